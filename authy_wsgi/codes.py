"""A typed code: what its client says of it, and that it is good once.

A code is burnt before it grants: in the ledger, with the attempt's id as value, so that a burn by the same attempt (a request that died before it granted)
counts as won. A local verifier's answer is burnt in the user's record as well, by the save that moves its step, so that a lost ledger gives no step a
second life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from authy_wsgi.accounts import Accounts
from authy_wsgi.attempts import Attempt, Waiting
from authy_wsgi.contracts import Challenge, Client, Context, Factor, Outcome, User, Verdict
from authy_wsgi.errors import AttemptEnded
from authy_wsgi.records import Records, until
from authy_wsgi.tickets import digest, short

_USED = Verdict(outcome=Outcome.WRONG, reason="used")


class _StepUsedError(Exception):
    """A local verifier has seen this step already."""


class Codes:
    """Judges codes, and burns the ones that are right."""

    def __init__(self, clients: Mapping[str, Client], memory: int, records: Records, accounts: Accounts) -> None:
        self._clients = clients
        self._memory = memory  # seconds that an accepted code is remembered
        self._records = records
        self._accounts = accounts

    def judge(self, attempt: Attempt, user: User, factor: Factor, waiting: Waiting, code: str, asked: Context) -> tuple[Verdict, int]:
        """The verdict, approved only where the code is this attempt's burn now, and when it was burnt. The try has been spent by the caller."""
        now = asked.at
        key = (self._clients[factor.client].reference(factor) or factor.id, short(digest(code), 32))
        verdict = self._ask(attempt, user, factor, waiting, code, self._records.get("used", *key, now=now), asked)
        if not verdict:
            return verdict, now
        burn = {"attempt": attempt.key, "channel": verdict.channel, "at": now, "local": verdict.factor is not None}
        burnt: Any = self._records.claim("used", *key, value=burn, ttl=max(self._memory, until(attempt.ends, now)), now=now).value
        if burnt is None or burnt["attempt"] != attempt.key:
            return _USED, now
        if verdict.factor is not None and not waiting.candidate and not self._burn_step(attempt, user, factor.id, waiting.challenge, code, asked):
            return _USED, now
        return replace(verdict, channel=burnt["channel"]), burnt["at"]

    def _ask(self, attempt: Attempt, user: User, factor: Factor, waiting: Waiting, code: str, burnt: Mapping[str, Any] | None, asked: Context) -> Verdict:
        """The client's verdict on a code that nobody has burnt. What another attempt has burnt is wrong; what this one has, has won."""
        if burnt is not None and burnt["attempt"] != attempt.key:
            return _USED
        if burnt is not None and not burnt.get("local"):
            return Verdict(outcome=Outcome.APPROVED, channel=burnt["channel"])
        if burnt is not None and factor.data.get("burnt") == _mark(attempt, code):
            return Verdict(outcome=Outcome.APPROVED, channel=burnt["channel"], factor=factor)
        return self._clients[factor.client].check(user, waiting.challenge, {"code": code}, asked)

    def _burn_step(self, attempt: Attempt, user: User, factor_id: str, challenge: Challenge, code: str, asked: Context) -> bool:
        """Save what a local verifier's answer has used up; where the record has moved, the whole judgement again. False where it was used."""
        mark = _mark(attempt, code)

        def burn(stored: User) -> User | None:
            held = stored.factor(factor_id)
            if held is None or self._accounts.epoch(stored) != attempt.epoch or self._accounts.is_closed(stored, "code", asked.at):
                raise AttemptEnded("the account has changed")
            if held.data.get("burnt") == mark:
                return None
            verdict = self._clients[held.client].check(stored, challenge, {"code": code}, asked)
            if not verdict or verdict.factor is None:
                raise _StepUsedError
            kept = replace(verdict.factor, data={**verdict.factor.data, "burnt": mark})
            return replace(stored, factors=tuple(kept if each.id == factor_id else each for each in stored.factors))

        try:
            self._accounts.change(user.id, burn)
        except _StepUsedError:
            return False
        return True


def _mark(attempt: Attempt, code: str) -> list[str]:
    """What a burn leaves in a factor: by whom, and which code. The code itself is worth nothing any more."""
    return [attempt.key, short(digest(code), 32)]
