"""The second factor itself, with no HTTP in it: what our pages stand on, and what an application can call on its own.

    backend = SecondFactor(identity=..., ...).backend
    attempt = backend.begin(login, context=backend.context())
    challenge = backend.start(attempt, backend.ways(attempt)[0], backend.context())
    answer = backend.check(attempt, {"code": "1234567"}, backend.context())
    if answer: headers = second_factor.remember(environ, answer.grant)

The order of the steps is the security: whatever is spent is spent before it is checked, whatever is burnt is burnt before it grants, and a grant is
claimed once. Every way in ends in `_succeed`, every refusal of an answer in `_fail`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from authy_wsgi import phones
from authy_wsgi.accounts import Accounts
from authy_wsgi.attempts import ATTEMPT_SECONDS, REISSUE_SECONDS, Attempt, Attempts, Grant, Purpose, UnderWay, Waiting, key_of
from authy_wsgi.codes import Codes
from authy_wsgi.contracts import (
    Allowance,
    Budget,
    Challenge,
    Client,
    Context,
    Enrols,
    Factor,
    Ledger,
    Login,
    Need,
    Outcome,
    Profile,
    Proof,
    Strength,
    User,
    Verdict,
    Way,
)
from authy_wsgi.documents import new_generation
from authy_wsgi.enrolment import EnrolmentRules
from authy_wsgi.errors import AttemptEnded, Misconfigured, Refused, SecondFactorError, Unavailable
from authy_wsgi.events import Events
from authy_wsgi.limits import Limits
from authy_wsgi.pushes import Pushes
from authy_wsgi.records import Records, until
from authy_wsgi.settings import Settings
from authy_wsgi.tickets import Pass, Tickets, digest, new_id, short

_TRYING_SECONDS = 15  # how long one evaluation of a code may take before another one may begin beside it
_LOOP_SECONDS = 10
_FOR_GOOD = 3650 * 86400
_CODE = re.compile(r"[0-9]{6,10}", re.ASCII)
_SEPARATORS = str.maketrans("", "", " \u00a0-.")

log = logging.getLogger("authy_wsgi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of an answer: true when it earned a `grant`, which `remember` turns into the cookie.

    `again_at` is when it is worth coming back (Unix seconds), `left` how many tries remain. A verdict PENDING with reason "continue" means that another
    request of the same attempt has been faster: ask `resume`.
    """

    verdict: Verdict
    grant: Grant | None = None
    again_at: int | None = None
    left: int | None = None

    def __bool__(self) -> bool:
        return self.grant is not None


def _answer(outcome: Outcome, reason: str = "", **more: Any) -> Answer:
    return Answer(verdict=Verdict(outcome=outcome, reason=reason), **more)


def _settled_by(outcome: Grant | str | None) -> Answer | None:
    """The answer to whatever else is tried in an attempt that has an outcome; None while it has none."""
    if outcome is None:
        return None
    return _answer(Outcome.PENDING, "continue") if isinstance(outcome, Grant) else _answer(Outcome.EXPIRED, outcome)


class Backend:
    """The calls of the second factor. Safe to share among threads; every state is in the user store or the ledger."""

    def __init__(self, settings: Settings, tickets: Tickets, ledger: Ledger) -> None:
        self.settings = settings
        self._tickets = tickets
        self.ledger = ledger
        self._records = Records(ledger, tickets, settings.instance)
        self.limits = Limits(settings.limits, settings.instance, ledger, self._records)
        self.events = Events(settings.events)
        self._clients: Mapping[str, Client] = {client.name: client for client in settings.clients}
        self._attempts = Attempts(self._records)
        self.accounts = Accounts(settings, self._records, tickets)
        self._rules = EnrolmentRules(settings, self.accounts)
        self._codes = Codes(self._clients, settings.code_memory, self._records, self.accounts)
        self._pushes = Pushes(self._clients, self._records, self._attempts, self.accounts, self.limits, self._for_client, self._push_refused)

    def context(self, **about: Any) -> Context:
        """A context for this moment; give what is known of the request (`network`, `browser`, `locale`, ...)."""
        return Context(at=self.settings.clock(), site=self.settings.shown_name, **about)

    # What there is

    def profile(self, user_id: str) -> Profile:
        """What the site knows of a person."""
        return self._rules.profile(user_id)

    def known_phone(self, user_id: str) -> str:
        """What an enrolment in mode "known" shows: the masked number that the site holds, "" where it holds none that can be used."""
        address = self._rules.known_address(user_id)
        return phones.mask(address) if address else ""

    def enrolment_mode(self, user: User) -> str:
        """How this user may add a first factor."""
        return self._rules.mode(user)

    def enrolling_clients(self) -> Sequence[str]:
        """The names of the clients that can add a factor."""
        return [name for name, client in self._clients.items() if isinstance(client, Enrols)]

    def notices(self) -> Sequence[str]:
        """What our pages must say about where codes come from ("" for the real provider)."""
        return [notice for client in self._clients.values() if (notice := getattr(client, "notice", ""))]

    def ways(self, attempt: Attempt) -> Sequence[Way]:
        """The ways that are open to this attempt, the likely and strong ones first; for an enrolment, those that prove the new address."""
        waiting = self._attempts.waiting(attempt, self.settings.clock()) if attempt.purpose in ("enrol", "change") else None
        if waiting and waiting.candidate:
            return self._proving(self.accounts.user(attempt.login.user_id), waiting.candidate)
        return self.ways_of(self.accounts.user(attempt.login.user_id), attempt.need)

    def ways_of(self, user: User, need: Need = Need()) -> Sequence[Way]:
        """The ways that are open to a user for a need."""
        order = self.settings.channels
        found = [way for client in self._clients.values() for way in client.ways(user) if way.channel in order and way.strength >= need.strength]
        if self.accounts.is_closed(user, "code", self.settings.clock()):
            found = [way for way in found if way.kind != "code"]
        return sorted(found, key=lambda way: (way.unlikely, way.channel != user.prefers, order.index(way.channel)))

    def _proving(self, user: User, candidate: Factor) -> Sequence[Way]:
        ways = self._clients[candidate.client].ways(replace(user, factors=(candidate,)))
        by_message = [way for way in ways if way.channel in ("sms", "call") and way.channel in self.settings.channels]
        return by_message or [way for way in ways if way.channel == "app"]

    # Attempts

    def begin(
        self,
        login: Login,
        *,
        context: Context,
        purpose: Purpose = "sign_in",
        need: Need | None = None,
        attempt_id: str = "",
        minted: int | None = None,
        presented: Pass | None = None,
        invitation: str = "",
    ) -> Attempt:
        """An attempt for this login; the one under way where `attempt_id` names it, a new one otherwise.

        `presented` is the live pass of a step-up or change; `invitation` the id that a signed invitation holds. `AttemptEnded` for a disabled user.
        """
        now, login = context.at, self._canonical(login)
        user = self._able(login)
        self._born(now)
        proofs = presented.proofs if presented else ()
        if minted is not None and now >= minted + ATTEMPT_SECONDS:
            # Its cookie is read for a little longer, for an answer that was lost at the very end.
            attempt_id, minted = "", None
        began = now if minted is None else min(now, minted)
        for candidate_id in (attempt_id or new_id(), new_id()):
            generation = new_generation()
            fresh = Attempt(
                id=candidate_id,
                login=login,
                purpose=purpose,
                epoch=self.accounts.epoch(user),
                began=began,
                ends=began + ATTEMPT_SECONDS,
                generation=generation,
                saved_epoch=self.accounts.epoch_of(generation, user.id),
                allowed=self._rules.allowing(user, proofs, invitation, now) if purpose in ("enrol", "change") else "",
                # The pass is derived from the attempt, so that a lost ledger cannot make two passes of one code.
                pass_id=presented.id if presented else short(digest("pass", key_of(candidate_id, login))),
                proofs=proofs,
                need=need or Need(),
            )
            attempt = self._attempts.begin(fresh, now)
            if attempt is not None:
                return attempt
        raise Unavailable("ledger", "no attempt could begin")

    def find(self, attempt_id: str, login: Login, now: int, need: Need | None = None) -> Attempt | None:
        """The attempt under way with this id, None where there is none for this login. Reads only."""
        return self._attempts.find(attempt_id, self._canonical(login), now, need or Need())

    def under_way(self, attempt_id: str, login: Login, now: int, need: Need | None = None) -> UnderWay | None:
        """`find`, `waiting` and `outcome` in one reading, None where there is no such attempt for this login."""
        return self._attempts.under_way(attempt_id, self._canonical(login), now, need or Need())

    def waiting(self, attempt: Attempt, now: int) -> Waiting | None:
        """What the attempt waits for: its current challenge. Reads only."""
        return self._attempts.waiting(attempt, now)

    def outcome(self, attempt_id: str, login: Login, now: int) -> Grant | str | None:
        """What became of an attempt: its grant, how it ended, None while it is open. Reads only."""
        return self._attempts.outcome(attempt_id, self._canonical(login), now)

    def is_trying(self, attempt: Attempt, now: int) -> bool:
        """Whether a code of this attempt is being checked by another request."""
        return self._records.get("trying", attempt.key, now=now) is not None

    def resume(self, attempt_id: str, login: Login, now: int) -> Grant | None:
        """The grant of an attempt that succeeded within the last 30 s, for a browser that has not got its cookie."""
        grant = self._attempts.outcome(attempt_id, self._canonical(login), now)
        # A pass that was ended or revoked since would only be refused again.
        young = isinstance(grant, Grant) and now < grant.at + REISSUE_SECONDS
        return grant if isinstance(grant, Grant) and young and self.accounts.carries(grant, now) else None

    def _canonical(self, login: Login) -> Login:
        return login._replace(user_id=self.settings.canonical(login.user_id))

    def _able(self, login: Login) -> User:
        user = self.accounts.user(login.user_id)
        if user.disabled:
            raise AttemptEnded("disabled")
        return user

    def _current(self, attempt: Attempt, now: int) -> User:
        """The user, read now, if the attempt may still go on for them."""
        if now >= attempt.ends:
            raise AttemptEnded("its time is over")
        user = self._able(attempt.login)
        # A record of the very epoch that this attempt was to save is its own save, from a request that died before it granted.
        if self.accounts.epoch(user) not in (attempt.epoch, attempt.saved_epoch):
            raise AttemptEnded("the account has changed")
        # A step-up renews the pass that it began with; where that has been ended since, there is nothing to renew.
        if attempt.proofs and self.accounts.has_ended(user, attempt.pass_id, now):
            raise AttemptEnded("its pass was ended")
        return user

    # Sending

    def start(self, attempt: Attempt, way: Way, context: Context) -> Challenge:
        """Send a code, ask for an approval, or get ready for a code from an app. `Refused` or `Throttled` with a sentence for the person."""
        now = context.at
        if self._attempts.outcome(attempt.id, attempt.login, now) is not None:
            raise AttemptEnded("it has an outcome")
        user = self._current(attempt, now)
        waiting = self._attempts.waiting(attempt, now)
        candidate = waiting.candidate if waiting else None
        offered = self._proving(user, candidate) if candidate else self.ways_of(user, attempt.need)
        # SECURITY: the browser names a way; what is sent is one of those that are offered to this user for this need, never what it made up.
        way = next((one for one in offered if (one.client, one.channel, one.factor) == (way.client, way.channel, way.factor)), way)
        if way not in offered:
            raise Refused("This way is not open to you. Choose another one.")
        if way.kind == "wait":
            return self._pushes.start(attempt, user, way, context, lambda: self._send(attempt, user, way, context))
        context = replace(context, insist=context.insist or candidate is not None)
        holder = replace(user, factors=(*user.factors, candidate)) if candidate else user
        if way.channel != "app":
            # "Send it anyway" is no second message where the first was not sent.
            anyway = context.insist and waiting is not None and waiting.challenge.shown.get("instead_of") == way.channel
            self._spend_message(holder, way, context, waiting.address if waiting else "", anyway=anyway)
        return self._send(attempt, holder, way, context, candidate, waiting.address if waiting else "")

    def _spend_message(self, user: User, way: Way, context: Context, new_address: str, *, anyway: bool = False) -> None:
        factor = user.factor(way.factor)
        number = new_address or (self._clients[way.client].reference(factor) if factor else "")
        self.limits.spend(self.limits.sending(self.accounts.subject(user.id), number, way, context, new=bool(new_address), anyway=anyway), context.at)

    def _send(self, attempt: Attempt, user: User, way: Way, context: Context, candidate: Factor | None = None, address: str = "") -> Challenge:
        try:
            challenge = self._clients[way.client].start(user, way, self._for_client(attempt, context))
        except Refused as refusal:
            self.accounts.learn(user, way.factor, refusal.learnt)
            log.info("the provider refused to start %s for a user: %s %s", way.channel, refusal.code, refusal.text)
            raise
        if candidate and challenge.learnt:
            candidate = replace(candidate, data={**candidate.data, **challenge.learnt})
        self._attempts.wait(attempt, Waiting(challenge=challenge, candidate=candidate, address=address), context.at)
        if way.channel != "app":
            self.events.emit("ignored" if challenge.shown.get("ignored") else "sent", context, attempt.login.user_id, channel=way.channel, factor=way.factor)
        self.accounts.learn(user, way.factor, challenge.learnt)
        return challenge

    def _for_client(self, attempt: Attempt, context: Context) -> Context:
        profile = self.profile(attempt.login.user_id)
        name = context.user_name or profile.name or attempt.login.user_id
        return replace(context, attempt=attempt.key, ends=attempt.ends, user_name=name, locale=context.locale or profile.locale)

    # Judging

    def check(self, attempt: Attempt, answer: Mapping[str, str], context: Context) -> Answer:
        """Judge what the person typed ({"code": ...}). A wrong code is an answer; `Unavailable` for a broken world, and then the try stays spent."""
        now = context.at
        code = answer.get("code", "").translate(_SEPARATORS)
        if not _CODE.fullmatch(code):
            return _answer(Outcome.WRONG, "malformed")
        settled = self._settled(attempt, now)
        if settled is not None:
            return settled
        user = self._current(attempt, now)
        waiting = self._attempts.waiting(attempt, now)
        if waiting is None or waiting.challenge.way.kind != "code" or waiting.challenge.ends <= now:
            return _answer(Outcome.EXPIRED, "no_challenge")
        if self.accounts.is_closed(user, "code", now):
            return _answer(Outcome.THROTTLED, "closed")
        if self._pushes.settle_last(user, context) == attempt.key:
            return _answer(Outcome.EXPIRED, "denied")
        holder, factor = self._holder(user, waiting)
        self._refuse_young_ledger(waiting.challenge, factor, now)
        # One evaluation of an attempt's code at a time: a double click joins the first click instead of losing against it.
        trying = self._records.claim("trying", attempt.key, value=new_id(), ttl=_TRYING_SECONDS, now=now)
        if not trying.mine:
            return _answer(Outcome.PENDING, "continue")
        try:
            return self._evaluate(attempt, holder, factor, waiting, code, context)
        finally:
            # What was granted stays granted where only the tidying fails; the claim ends by itself.
            with suppress(Unavailable):
                if self.settings.clock() < now + _TRYING_SECONDS:  # later the claim may be another request's
                    self._records.drop("trying", attempt.key, now=now)

    def _settled(self, attempt: Attempt, now: int) -> Answer | None:
        return _settled_by(self._attempts.outcome(attempt.id, attempt.login, now))

    @staticmethod
    def _holder(user: User, waiting: Waiting) -> tuple[User, Factor]:
        if waiting.candidate:
            return replace(user, factors=(*user.factors, waiting.candidate)), waiting.candidate
        factor = user.factor(waiting.challenge.way.factor)
        if factor is None:
            raise AttemptEnded("the factor is gone")
        return user, factor

    def _refuse_young_ledger(self, challenge: Challenge, factor: Factor, now: int) -> None:
        """SECURITY: a ledger that was lost has forgotten which codes are used. Until the oldest of them is dead, no code that is not bound to its attempt."""
        if challenge.bound:
            return
        born = self._born(now)
        ready = born + self._clients[factor.client].unbound_validity
        if factor.added < born and now < ready:
            raise Unavailable("ledger", "too young for app codes")

    def _born(self, now: int) -> int:
        born = self._records.claim("born", value=now, ttl=_FOR_GOOD, now=now).value
        if born is None:
            # Written under a key that has been retired since: when it was nobody knows, so the ledger counts as young.
            self._records.put("born", value=now, ttl=_FOR_GOOD, now=now)
        return now if born is None else int(born)

    def _evaluate(self, attempt: Attempt, user: User, factor: Factor, waiting: Waiting, code: str, context: Context) -> Answer:
        reference = self._clients[factor.client].reference(factor)
        budgets = self.limits.guessing(attempt.key, self.accounts.subject(user.id), reference, new=waiting.candidate is not None, now=context.at)
        allowance = self.limits.ask(budgets, context.at)
        if not allowance:
            return self._refuse_try(attempt, allowance, context)
        verdict, at = self._codes.judge(attempt, user, factor, waiting, code, self._for_client(attempt, context))
        if not verdict:
            return self._fail(attempt, verdict, allowance, budgets, context, waiting)
        if waiting.candidate and verdict.factor is not None:
            waiting = replace(waiting, candidate=verdict.factor)
        return self._succeed(attempt, waiting, verdict, at, context, allowance.receipt)

    def _refuse_try(self, attempt: Attempt, allowance: Allowance, context: Context) -> Answer:
        settled = self._settled(attempt, context.at)
        if settled is not None:
            return settled
        if self.limits.closes(allowance.refused):
            self._close(attempt, context)
            return _answer(Outcome.THROTTLED, "closed")
        return _answer(Outcome.THROTTLED, self.limits.rule_of(allowance), again_at=allowance.again_at, left=0)

    def _close(self, attempt: Attempt, context: Context) -> None:
        self.accounts.close(attempt.login.user_id, "code", context.at)
        self.events.emit("closed", context, attempt.login.user_id, reason="code")

    def _fail(self, attempt: Attempt, verdict: Verdict, allowance: Allowance | None, budgets: Sequence[Budget], context: Context, waiting: Waiting) -> Answer:
        """The one failure function: every answer that was judged and not approved ends here."""
        user_id = attempt.login.user_id
        kind = {Outcome.DENIED: "denied", Outcome.EXPIRED: "expired"}.get(verdict.outcome, "wrong")
        self.events.emit(kind, context, user_id, channel=verdict.channel or waiting.challenge.way.channel, reason=verdict.reason or verdict.outcome.value)
        if verdict.evidence:
            log.info("an answer was refused: %s %s", verdict.evidence.get("error_code", ""), verdict.evidence.get("message", ""))
        left = list(allowance.left) if allowance else []
        for budget, remaining in zip(budgets, left, strict=True):
            if remaining == 0 and self.limits.closes(budget):
                self._close(attempt, context)
        again_at = self._next_try(budgets, context.at) if left and min(left) == 0 else verdict.again_at
        return Answer(verdict=verdict, again_at=again_at, left=min(left) if left else None)

    def _next_try(self, budgets: Sequence[Budget], now: int) -> int | None:
        """When there is room for another try: what is full says so when it is asked, and nothing is spent by asking."""
        asked = self.limits.ask(budgets, now)
        if asked:
            self.limits.give_back(asked.receipt)
        return asked.again_at

    def _push_refused(self, attempt: Attempt, verdict: Verdict, context: Context, waiting: Waiting) -> None:
        self._fail(attempt, verdict, None, (), context, waiting)

    def _succeed(self, attempt: Attempt, waiting: Waiting, verdict: Verdict, at: int, context: Context, receipt: str = "") -> Answer:
        """The one success function: every approval that has been burnt ends here, and nothing else grants."""
        now, user_id = context.at, attempt.login.user_id
        proofs = (Proof(verdict.channel, at), *attempt.proofs[:2])
        epoch = attempt.epoch
        if waiting.candidate:
            user = self._keep(attempt, waiting, context)
            epoch = self.accounts.epoch(user)
            if epoch != attempt.saved_epoch:
                raise AttemptEnded("the account has changed")
            # Proving a further address proves that address only.
            proofs = attempt.proofs if attempt.allowed == "factor" else proofs
        grant, mine = self._attempts.grant(attempt, Grant(attempt.login, attempt.pass_id, epoch, proofs, at), now)
        if grant is None:
            return _answer(Outcome.EXPIRED, "ended")
        if receipt:
            self.limits.give_back(receipt)
        if not mine:
            return Answer(verdict=verdict, grant=grant)
        self._records.put("granted", self._tickets.holder(attempt.login), context.network, value=1, ttl=_LOOP_SECONDS, now=now)
        if waiting.candidate:
            self.events.emit("enrolled", context, user_id, channel=verdict.channel, factor=waiting.candidate.id)
        self.events.emit("approved", context, user_id, channel=verdict.channel, factor=waiting.challenge.way.factor)
        self._remember_use(attempt, waiting, verdict, now)
        return Answer(verdict=verdict, grant=grant)

    # Push

    def poll(self, attempt: Attempt, context: Context, seen: UnderWay | None = None) -> Answer:
        """What the phone has said so far. The provider is asked at most once a second per challenge, however many tabs wait.

        `seen` is what `under_way` has just answered, so that it is not read twice.
        """
        now = context.at
        seen = seen or self._attempts.under_way(attempt.id, attempt.login, now, attempt.need)
        if seen is None:
            return _answer(Outcome.EXPIRED, "ended")
        settled = _settled_by(seen.outcome)
        if settled is not None:
            return settled
        waiting = seen.waiting
        if waiting is None or waiting.challenge.way.kind != "wait":
            return _answer(Outcome.EXPIRED, "no_challenge")
        said = self._pushes.said(attempt, waiting, lambda: self._holder(self._current(attempt, now), waiting)[0], context, seen.said)
        outcome = Outcome(said["outcome"])
        if outcome is Outcome.APPROVED:
            return self._approved(attempt, waiting, said, context)
        return _answer(outcome)

    def look(self, attempt: Attempt, context: Context) -> Outcome:
        """What the phone has said, for a page without script: nothing is granted by looking."""
        settled = self._settled(attempt, context.at)
        if settled is not None:
            return Outcome.DENIED if settled.verdict.reason == "denied" else Outcome.APPROVED if settled.verdict.reason == "continue" else Outcome.EXPIRED
        waiting = self._attempts.waiting(attempt, context.at)
        if waiting is None or waiting.challenge.way.kind != "wait":
            return Outcome.EXPIRED
        said = self._pushes.said(attempt, waiting, lambda: self._holder(self._current(attempt, context.at), waiting)[0], context)
        return Outcome(said["outcome"])

    def hear(self, client: str, method: str, query: str, headers: Mapping[str, str], body: bytes) -> bool:
        """A callback of a client's provider: True for a genuine one, whatever it is about. It only makes the next poll ask; nothing is granted by it."""
        return self._pushes.hear(client, method, query, headers, body, self.settings.clock())

    def _approved(self, attempt: Attempt, waiting: Waiting, said: Mapping[str, Any], context: Context) -> Answer:
        now = context.at
        user = self._current(attempt, now)
        self._holder(user, waiting)
        burn = {"attempt": attempt.key, "channel": said["channel"], "at": now}
        uuid = str(waiting.challenge.hidden.get("uuid", waiting.challenge.id))
        burnt = self._records.claim("used", "push", uuid, value=burn, ttl=max(self.settings.code_memory, until(attempt.ends, now)), now=now).value
        if burnt is None or burnt["attempt"] != attempt.key:
            return _answer(Outcome.EXPIRED, "used")
        verdict = Verdict(outcome=Outcome.APPROVED, channel=burnt["channel"], learnt=said["learnt"])
        return self._succeed(attempt, waiting, verdict, burnt["at"], context)

    # Enrolment

    def enrol(self, attempt: Attempt, client: str, fields: Mapping[str, str], context: Context) -> Challenge:
        """Register a candidate with its client and send the first code to it. Nothing is stored of the user until that code has come back."""
        now = context.at
        enroller = self._clients.get(client)
        if enroller is None or not isinstance(enroller, Enrols):
            raise Refused("This kind of factor cannot be added here.")
        if self._attempts.outcome(attempt.id, attempt.login, now) is not None:
            raise AttemptEnded("it has an outcome")
        user = self._current(attempt, now)
        profile = self.profile(user.id)
        if attempt.allowed == "known":
            # SECURITY: what the form says is not even looked at; the number is the site's.
            fields = {"phone": profile.phone, "country": profile.country, "email": fields.get("email", "")}
        candidate = enroller.read(fields, profile)
        if not self._rules.still_allowed(attempt, user, candidate.address, now):
            raise AttemptEnded("what allowed it is gone")
        self._rules.check_country(candidate)
        first = "sms" if "sms" in self.settings.channels or "call" not in self.settings.channels else "call"
        way = Way(client=client, channel=first, kind="code", strength=Strength.PHONE)
        # By message, whatever app there is: it proves the very number, and tells nobody whether that number has the app.
        context = replace(context, insist=True)
        self._spend_message(user, way, context, candidate.address)
        factor = enroller.enrol(user, candidate, self._for_client(attempt, context))
        if attempt.allowed == "factor":
            factor = replace(factor, added_by="factor")
        offered = self._proving(user, factor)
        if not offered:
            raise Misconfigured("channels offers no way to prove a new phone: add 'sms', 'call' or 'app'.")
        return self._send(attempt, replace(user, factors=(*user.factors, factor)), offered[0], context, factor, candidate.address)

    def _keep(self, attempt: Attempt, waiting: Waiting, context: Context) -> User:
        """Save the factor that was proved."""
        factor, now = waiting.candidate, context.at
        assert factor is not None  # noqa: S101 - for the type checker; the caller has looked
        client = self._clients[factor.client]
        stored = self.accounts.user(attempt.login.user_id)
        if isinstance(client, Enrols) and stored.factor(factor.id) is None:
            factor = replace(factor, data={**factor.data, **self._ask_about(client, stored, factor, attempt, context)})
        return self.accounts.add_factor(
            attempt.login.user_id, factor, attempt.generation, lambda user: self._rules.still_allowed(attempt, user, waiting.address, now)
        )

    def _ask_about(self, client: Enrols, user: User, factor: Factor, attempt: Attempt, context: Context) -> Mapping[str, Any]:
        try:
            return client.proved(replace(user, factors=(factor,)), factor, self._for_client(attempt, context))
        except SecondFactorError as error:
            log.info("what the provider knows of a new factor could not be asked: %s", error)
            return {}

    # Changing and ending

    def remove(self, attempt: Attempt, factor_id: str, context: Context) -> Grant:
        """Take away a factor, under an attempt of purpose "change"; the grant keeps this browser in. At the provider nothing is removed."""
        now = context.at
        if now >= attempt.ends or self._attempts.outcome(attempt.id, attempt.login, now) is not None:
            raise AttemptEnded("it has an outcome")

        def without(user: User) -> User:
            if self.accounts.has_ended(user, attempt.pass_id, now):
                raise AttemptEnded("its pass was ended")
            if not self._rules.still_allowed(attempt, user, "", now) or user.factor(factor_id) is None:
                raise AttemptEnded("what allowed it is gone")
            return replace(user, factors=tuple(factor for factor in user.factors if factor.id != factor_id), generation=attempt.generation)

        if attempt.allowed != "factor":
            raise AttemptEnded("not a change")
        user = self.accounts.change(attempt.login.user_id, without)
        grant, _ = self._attempts.grant(attempt, Grant(attempt.login, attempt.pass_id, self.accounts.epoch(user), attempt.proofs, now), now)
        self.events.emit("removed", context, user.id, factor=factor_id)
        if grant is None:
            raise AttemptEnded("ended")
        return grant

    def log_out(self, login: Login, pass_: Pass | None, attempt_id: str, context: Context) -> None:
        """End a pass in every copy, and an attempt with everything it has earned or might."""
        now, login = context.at, self._canonical(login)
        granted = self._attempts.end(attempt_id, login, "ended", now) if attempt_id else None
        for pass_id in {pass_.id if pass_ else "", granted.pass_id if granted else ""} - {""}:
            self.accounts.end_pass(login.user_id, pass_id, now)
        self._records.drop("granted", self._tickets.holder(login), context.network, now=now)

    def just_granted(self, login: Login, context: Context) -> bool:
        """Whether this holder got a pass a moment ago, from this network: then a browser that has none does not keep our cookie."""
        return self._records.has("granted", self._tickets.holder(login), context.network, now=context.at)

    def stays_awake(self, held: Pass, now: int) -> bool:
        """Whether a pass has been used within the setting `idle`, give or take `recheck` seconds; if so, it counts as used now."""
        idle = self.settings.idle
        if idle is None:
            return True
        # Workers look once in `recheck` seconds, so the entry lives that much longer than an idle time.
        patience = idle + self.settings.recheck
        if now - held.proofs[0].at >= patience and not self._records.has("idle", held.id, now=now):
            return False
        self._records.put("idle", held.id, value=now, ttl=patience, now=now)
        return True

    def revoke(self, user_id: str) -> None:
        """End every pass and every attempt of a user: at once on our pages and on step-up pages, within `recheck` elsewhere."""
        user_id = self.settings.canonical(user_id)
        self.accounts.revoke(user_id)
        self.events.emit("revoked", self.context(), user_id)

    def open(self, user_id: str) -> None:
        """Open the ways that guessing has closed, and begin a fresh count of wrong codes. An administrator's word."""
        user_id = self.settings.canonical(user_id)
        context, user = self.context(), self.accounts.user(user_id)
        self.accounts.open(user_id, context.at)
        references = {self._clients[factor.client].reference(factor) for factor in user.factors if factor.client in self._clients}
        self.limits.begin_anew({self.accounts.subject(user_id), *references}, context.at)
        self._pushes.reopen(self.accounts.subject(user_id), context.at)
        self.events.emit("opened", context, user_id, reason="administrator")

    def reset(self, user_id: str) -> None:
        """Take all factors away; the next one needs an invitation. An administrator's word."""
        user_id = self.settings.canonical(user_id)
        self.accounts.reset(user_id)
        self.events.emit("revoked", self.context(), user_id, reason="reset")

    def disable(self, user_id: str, *, disabled: bool = True) -> None:
        """Refuse this user everything, or let them in again. An administrator's word."""
        user_id = self.settings.canonical(user_id)
        self.accounts.disable(user_id, disabled=disabled)
        self.events.emit("disabled" if disabled else "enabled", self.context(), user_id, reason="administrator")

    def invite(self, user_id: str) -> str:
        """A signed invitation for this user to add a first factor: good once, for seven days, after the site's own login."""
        return self.accounts.invite(self.settings.canonical(user_id), self.settings.clock())

    def _remember_use(self, attempt: Attempt, waiting: Waiting, verdict: Verdict, now: int) -> None:
        try:
            user = self.accounts.user(attempt.login.user_id)
        except SecondFactorError as error:
            log.info("when a factor was used last was not kept: %s", error)
            return
        asked = waiting.challenge.shown.get("instead_of") or waiting.challenge.way.channel
        self.accounts.learn(user, waiting.challenge.way.factor, verdict.learnt, prefers=str(asked), used=now)
