"""Approval requests: one in flight for a user, asked about as rarely as possible, and what the phone has said written down once.

What was denied ends its attempt before the answer is written, so that no code of the same attempt can be granted after the denial was seen. A provider's
callback is a hint and nothing more: it makes the next poll ask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from authy_wsgi.accounts import Accounts
from authy_wsgi.attempts import OF_A_PUSH, Attempt, Attempts, Waiting
from authy_wsgi.contracts import Challenge, Client, Context, Hears, Outcome, Polls, User, Verdict, Way
from authy_wsgi.errors import Misconfigured, Refused, SecondFactorError, Throttled, Unavailable
from authy_wsgi.limits import Limits
from authy_wsgi.records import Found, Records, until
from authy_wsgi.tickets import LEEWAY, new_id

PAUSE_SECONDS = 600  # how long a denial stops further pushes
ASK_SECONDS = 1  # how often the provider is asked about one push, however many tabs wait
NET_SECONDS = 10  # the same where its callbacks come: they may be lost
_PENDING: Mapping[str, Any] = {"outcome": Outcome.PENDING.value}

log = logging.getLogger("authy_wsgi")


class Pushes:
    """The pushes of a backend. `for_client` makes the context that a client sees, `refused` is told of each answer that is no approval."""

    def __init__(
        self,
        clients: Mapping[str, Client],
        records: Records,
        attempts: Attempts,
        accounts: Accounts,
        limits: Limits,
        for_client: Callable[[Attempt, Context], Context],
        refused: Callable[[Attempt, Verdict, Context, Waiting], object],
    ) -> None:
        self._clients = clients
        self._records = records
        self._attempts = attempts
        self._accounts = accounts
        self._limits = limits
        self._for_client = for_client
        self._refused = refused

    def start(self, attempt: Attempt, user: User, way: Way, context: Context, send: Callable[[], Challenge]) -> Challenge:
        """Send a push, unless one is in flight: this attempt's own is joined, another's is a `Refused`."""
        now, who = context.at, self._accounts.subject(user.id)
        self.settle_last(user, context)
        if self._records.has("pause", who, now=now):
            paused = self._records.get("pause", who, now=now)
            raise Throttled("A request was denied on your phone, so we do not send more for now. Use another way.", rule="push.pause", again_at=paused)
        claim = {"attempt": attempt.key, "token": new_id()}
        inflight = self._records.claim("inflight", who, value=claim, ttl=until(now + 120, now), now=now)
        if not inflight.mine:
            waiting = self._attempts.waiting(attempt, now)
            ours = inflight.value is not None and inflight.value["attempt"] == attempt.key
            if ours and waiting and waiting.challenge.way.kind == "wait" and now < waiting.challenge.ends:
                return waiting.challenge
            raise Refused("Another sign-in may be waiting on your phone. If it is not yours, deny it there. You can use another way meanwhile.")
        try:
            factor = user.factor(way.factor)
            self._limits.spend(self._limits.pushing(who, self._clients[way.client].reference(factor) if factor else ""), now)
            challenge = send()
        except Refused:
            # Nothing is waiting on the phone, and what is in flight is this very claim.
            self._records.drop("inflight", who, now=now)
            raise
        self._records.put("last-push", who, value=challenge.id, ttl=PAUSE_SECONDS, now=now)
        if self._is_called_back(way.client):
            uuid = str(challenge.hidden.get("uuid", ""))
            self._records.claim("push", way.client, uuid, value=challenge.id, ttl=until(attempt.ends, now), now=now)
            self._records.claim("asked", challenge.id, value=new_id(), ttl=NET_SECONDS, now=now)
        return challenge

    # What the phone has said

    def said(self, attempt: Attempt, waiting: Waiting, holder: Callable[[], User], context: Context, noted: Sequence[Found] | None = None) -> Mapping[str, Any]:
        """What the phone has said so far: what is written down (`noted`, if it has just been read), else what the provider says, where it may be asked."""
        cid, now = waiting.challenge.id, context.at
        stored, hint, asked = noted or self._records.many(*((kind, cid) for kind in OF_A_PUSH), now=now)
        if stored.value is not None:
            return dict(stored.value)
        if not self._may_ask(waiting.challenge, now, hinted=hint.there, asked=asked.there):
            return _PENDING
        client = self._clients[waiting.challenge.way.client]
        if not isinstance(client, Polls):
            raise Misconfigured(f"The client {client.name!r} has a way to wait for, but no poll.")
        verdict = client.poll(holder(), waiting.challenge, self._for_client(attempt, context))
        if verdict.outcome is Outcome.PENDING and now >= waiting.challenge.ends:
            verdict = Verdict(outcome=Outcome.EXPIRED)
        return _PENDING if verdict.outcome is Outcome.PENDING else self._note(attempt, waiting, verdict, context)

    def _may_ask(self, challenge: Challenge, now: int, *, hinted: bool, asked: bool) -> bool:
        """Whether the provider may be asked now: once a second, or, where it calls back, once for its word and once in ten seconds without."""
        called_back = self._is_called_back(challenge.way.client)
        if hinted and called_back and self._records.claim("hint-taken", challenge.id, value=new_id(), ttl=until(challenge.ends, now), now=now).mine:
            return True
        if asked:
            return False
        pause = NET_SECONDS if called_back and now < challenge.ends else ASK_SECONDS
        return self._records.claim("asked", challenge.id, value=new_id(), ttl=pause, now=now).mine

    def _note(self, attempt: Attempt, waiting: Waiting, verdict: Verdict, context: Context) -> Mapping[str, Any]:
        """Write down what the phone has said, once; what is written."""
        now = context.at
        if verdict.outcome is Outcome.DENIED:
            # SECURITY: first the attempt, then the answer, so that no code of the same attempt can be granted after the denial was seen; and the pause, which
            # a fault after the answer would lose.
            self._attempts.end(attempt.id, attempt.login, "denied", now)
            self._records.put("pause", self._accounts.subject(attempt.login.user_id), value=now + PAUSE_SECONDS, ttl=PAUSE_SECONDS, now=now)
        said = {"outcome": verdict.outcome.value, "channel": verdict.channel, "learnt": dict(verdict.learnt)}
        stored = self._records.claim("answer", waiting.challenge.id, value=said, ttl=max(until(attempt.ends, now), PAUSE_SECONDS), now=now)
        if stored.mine:
            self._answered(attempt, verdict, waiting, context)
        if stored.value is None:
            raise Unavailable("ledger", "an answer that no key opens")
        return dict(stored.value)

    def _answered(self, attempt: Attempt, verdict: Verdict, waiting: Waiting, context: Context) -> None:
        """Once per push: it is told, and nothing waits on the phone any more."""
        now, who = context.at, self._accounts.subject(attempt.login.user_id)
        if not verdict:
            self._refused(attempt, verdict, context, waiting)
        # One request only gets here, and while the claim lasts it can be no other push's. It ends by itself where this fails.
        with suppress(Unavailable):
            if now < waiting.challenge.ends + LEEWAY:
                self._records.drop("inflight", who, now=now)

    def settle_last(self, user: User, context: Context) -> str:
        """Ask once what became of a push that nobody waits for any more; the key of the attempt that it denied, "" otherwise.

        SECURITY: whoever asks for pushes and never looks would otherwise not be stopped by a denial.
        """
        cid = self._records.get("last-push", self._accounts.subject(user.id), now=context.at)
        found = self._attempts.challenge(cid, context.at) if cid else None
        if found is None or self._records.has("answer", cid, now=context.at) or found[1].challenge.way.client not in self._clients:
            return ""
        attempt, waiting = found
        if not self._records.claim("settled", cid, value=new_id(), ttl=ASK_SECONDS, now=context.at).mine:
            return ""
        client = self._clients[waiting.challenge.way.client]
        if not isinstance(client, Polls) or user.factor(waiting.challenge.way.factor) is None:
            return ""
        try:
            verdict = client.poll(user, waiting.challenge, self._for_client(attempt, context))
        except SecondFactorError as error:
            log.info("what became of the last push could not be asked: %s", error)
            return ""
        if verdict.outcome is not Outcome.PENDING:
            self._note(attempt, waiting, verdict, context)
        return attempt.key if verdict.outcome is Outcome.DENIED else ""

    def reopen(self, who: str, now: int) -> None:
        """Forget a denial. An administrator's word."""
        self._records.drop("pause", who, now=now)

    # Callbacks

    def _is_called_back(self, client: str) -> bool:
        return bool(getattr(self._clients.get(client), "callback_url", ""))

    def hear(self, client: str, method: str, query: str, headers: Mapping[str, str], body: bytes, now: int) -> bool:
        """A callback of a client's provider: True for a genuine one, whatever it is about. It only makes the next poll ask."""
        listener = self._clients.get(client)
        heard: Sequence[str] | None = listener.hear(method, query, headers, body, now=now) if isinstance(listener, Hears) else None
        for reference in heard or ():
            cid = self._records.get("push", client, reference, now=now)
            if cid is not None:
                self._records.claim("hint", cid, value=new_id(), ttl=PAUSE_SECONDS, now=now)
        return heard is not None
