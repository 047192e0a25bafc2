"""People's records: read them, and change them in one way only, by version. Administration (revoke, open, reset, disable, invite) is here too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from authy_wsgi.attempts import ATTEMPT_SECONDS, Grant
from authy_wsgi.contracts import Factor, Login, User, WritableUserStore
from authy_wsgi.documents import fold, new_generation
from authy_wsgi.errors import AttemptEnded, Conflict, Misconfigured, SecondFactorError, Unavailable
from authy_wsgi.records import Records
from authy_wsgi.settings import Settings
from authy_wsgi.tickets import LEEWAY, Tickets, digest, new_id, short

_ROUNDS = 3
_ENDED_LIMIT = 32
_MEMO_SIZE = 10_000
INVITATION_SECONDS = 7 * 86400
_DAY = 86400
_FOR_GOOD = 3650 * _DAY

log = logging.getLogger("authy_wsgi")


class Standing(NamedTuple):
    """What a worker may remember of a user for a minute. `read_at` is the time *before* the read."""

    read_at: int
    epoch: str
    ended: frozenset[str]
    disabled: bool
    enrolled: bool


class Accounts:
    """The user store, seen by the rest of the package."""

    def __init__(self, settings: Settings, records: Records, tickets: Tickets) -> None:
        self._settings = settings
        self._records = records
        self._tickets = tickets
        self.writable = hasattr(settings.users, "save")
        # What this worker remembers: user id -> standing, pass id -> when the ledger was last asked for it. Dropped by any change made here.
        self.standings: dict[str, Standing] = {}
        self._changes = 0  # made here; a reading that began before one is not remembered after it
        self.asked: dict[str, int] = {}

    def read(self, user_id: str) -> User | None:
        """The stored user, None where there is none. What a store raises goes on to the gate, which closes: a fault never reads as "no factor"."""
        return self._settings.users.get(user_id)

    def user(self, user_id: str) -> User:
        """The stored user, or a fresh one that nobody has saved yet."""
        return self.read(user_id) or User(id=user_id)

    def epoch(self, user: User) -> str:
        """What revokes: changes with the generation and with the app's password stamp."""
        return self.epoch_of(user.generation, user.id)

    def epoch_of(self, generation: str, user_id: str) -> str:
        """The epoch of a record of this generation, under the password stamp of now."""
        stamp = self._settings.password_stamp(user_id) if self._settings.password_stamp else ""
        if not isinstance(stamp, str):
            raise Misconfigured("password_stamp must answer a str.")
        return short(digest(generation, stamp), 8)

    def subject(self, user_id: str) -> str:
        """The form of an id that ledger entries go by: folded as the store folds it. Two spellings of one person share a budget, two people do not."""
        return fold(user_id, case_sensitive=getattr(self._settings.users, "case_sensitive_ids", False))

    def carries(self, grant: Grant, now: int) -> bool:
        """Whether the user's record, read now, still carries what an attempt has earned."""
        user = self.user(grant.login.user_id)
        if user.disabled or grant.pass_id in user.ended or self.epoch(user) != grant.epoch:
            return False
        return not self.ended_elsewhere(user.id, grant.pass_id, now)

    def standing(self, user_id: str, now: int, patience: int) -> Standing:
        """How the user stands, from memory where that is younger than `patience` seconds; 0 reads the store."""
        known = self.standings.get(user_id)
        if known is not None and 0 <= now - known.read_at < patience:
            return known
        changes = self._changes
        read = self._read_standing(user_id, now)
        if len(self.standings) >= _MEMO_SIZE:
            self.standings.clear()
        if changes == self._changes:
            self.standings[user_id] = read
        return read

    def _read_standing(self, user_id: str, now: int) -> Standing:
        user = self.read(user_id)
        if user is None:
            # SECURITY: whoever presents a pass of a user who is not there any more is refused: no epoch equals "".
            return Standing(now, "", frozenset(), disabled=False, enrolled=False)
        return Standing(now, self.epoch(user), frozenset(user.ended), user.disabled, bool(user.factors))

    def ended_elsewhere(self, user_id: str, pass_id: str, now: int) -> bool:
        """Whether a get-only store's ledger holds this pass as ended."""
        return not self.writable and self._records.has("ended", self.subject(user_id), pass_id, now=now)

    def has_ended(self, user: User, pass_id: str, now: int) -> bool:
        """Whether this pass was ended, by a record just read."""
        return pass_id in user.ended or self.ended_elsewhere(user.id, pass_id, now)

    def change(self, user_id: str, how: Callable[[User], User | None]) -> User:
        """Save what `how` makes of the record as it is stored, judged again for each new version; None from it leaves the record alone."""
        if not self.writable:
            raise Misconfigured("This user store has no save: nothing of a user can be changed here.")
        for _ in range(_ROUNDS):
            user = self.user(user_id)
            changed = how(user)
            if changed is None:
                return user
            try:
                return cast("WritableUserStore", self._settings.users).save(changed)
            except Conflict:
                continue
            finally:
                self._changes += 1
                self.standings.pop(user_id, None)
        raise Unavailable("store", "the record keeps changing")

    def add_factor(self, user_id: str, factor: Factor, generation: str, allowed: Callable[[User], bool]) -> User:
        """Save a proved factor, iff the very condition that allowed its enrolment still holds on the version replaced; else `AttemptEnded`.

        Invitations are burnt by the same save.
        """

        def add(user: User) -> User | None:
            if user.generation == generation and user.factor(factor.id):
                return None  # our own save, before a crash
            if not allowed(user):
                raise AttemptEnded
            # SECURITY: every invitation, not only the one that was used: another one could be opened after a reset.
            return replace(user, factors=(*user.factors, factor), generation=generation, enrolment="", invitations=())

        return self.change(user_id, add)

    def learn(self, user: User, factor_id: str, learnt: Mapping[str, Any], *, prefers: str = "", used: int | None = None) -> None:
        """Merge what was learnt of a factor into its record, when there is something new; losing it does not matter."""
        if not self.writable or not (learnt or prefers or used) or user.factor(factor_id) is None:
            return
        try:
            self.change(user.id, lambda stored: _merged(stored, factor_id, learnt, prefers, used))
        except SecondFactorError as error:
            log.info("something learnt of a factor was not kept: %s", error)

    def end_pass(self, user_id: str, pass_id: str, now: int) -> None:
        """This pass is over, in every copy: also in one that has got a newer proof since."""
        # A step-up that is under way in a copy may still add a proof to it, which is that much younger.
        ends = now + self._settings.lifetime + ATTEMPT_SECONDS + LEEWAY
        self.asked.pop(pass_id, None)
        if not self.writable:
            self._records.put("ended", self.subject(user_id), pass_id, value=1, ttl=ends - now, now=now)
            return

        def end(user: User) -> User | None:
            if not user.version:
                return None
            live = {each: until for each, until in user.ended.items() if until > now}
            if len(live) >= _ENDED_LIMIT:
                return replace(user, ended={}, generation=new_generation())
            return replace(user, ended={**live, pass_id: ends})

        self.change(user_id, end)

    def revoke(self, user_id: str) -> User:
        """Every pass and every attempt of this user is dead; the factors stay."""
        return self.change(user_id, lambda user: replace(user, generation=new_generation(), ended={}, invitations=()))

    def is_closed(self, user: User, kind: str, now: int) -> bool:
        """Whether guessing has closed this kind of way. A get-only store's closures are in the ledger."""
        return kind in user.closed or (not self.writable and self._records.has("closed", self.subject(user.id), kind, now=now))

    def close(self, user_id: str, kind: str, now: int) -> None:
        """Close a kind of way for good: only an administrator opens it again."""
        if self.writable:
            self.change(user_id, lambda user: None if kind in user.closed else replace(user, closed=user.closed | {kind}))
        else:
            self._records.put("closed", self.subject(user_id), kind, value=1, ttl=_FOR_GOOD, now=now)

    def open(self, user_id: str, now: int) -> None:
        """Open what guessing has closed."""
        if self.writable:
            self.change(user_id, lambda user: replace(user, closed=frozenset()) if user.closed else None)
        else:
            self._records.drop("closed", self.subject(user_id), "code", now=now)

    def reset(self, user_id: str) -> User:
        """No factors any more; whoever wants to add one needs an invitation, whatever the site's mode."""
        return self.change(user_id, lambda user: _emptied(user))

    def disable(self, user_id: str, *, disabled: bool) -> User:
        """Refuse everything, or no longer. The passes of before do not come back."""
        return self.change(user_id, lambda user: None if user.disabled == disabled else replace(user, disabled=disabled, generation=new_generation()))

    def invite(self, user_id: str, now: int) -> str:
        """A signed invitation, good once and for seven days, for this user alone."""
        invitation = new_id()
        self.change(user_id, lambda user: replace(user, invitations=(*user.invitations[-7:], invitation), generation=user.generation or new_generation()))
        return self._tickets.sign("invite", [1, invitation, self._tickets.holder(Login(user_id)), now])

    def invitation(self, token: str, user_id: str, now: int) -> str:
        """The id inside an invitation that is for this user and not too old, "" otherwise. Whether it is still good is in the user's record."""
        match self._tickets.read("invite", token):
            case [1, str(invitation), str(holder), int(at)] if holder in self._tickets.holders(Login(user_id)) and at - LEEWAY <= now < at + INVITATION_SECONDS:
                return invitation
        return ""


def _emptied(user: User) -> User:
    """The record without anything that opened it; a user who is switched off stays so."""
    return User(id=user.id, enrolment="invited", generation=new_generation(), disabled=user.disabled, version=user.version, extra=user.extra)


def _merged(stored: User, factor_id: str, learnt: Mapping[str, Any], prefers: str, used: int | None) -> User | None:
    """The record with what was learnt; None where nothing would change, or only a moment of use that is not a day newer."""
    factor = stored.factor(factor_id)
    if factor is None:
        return None
    stale = used is not None and (factor.used is None or used - factor.used >= _DAY)
    if not stale and all(factor.data.get(name) == value for name, value in learnt.items()) and prefers in ("", stored.prefers):
        return None
    merged = replace(factor, data={**factor.data, **learnt}, used=used or factor.used)
    return replace(stored, factors=tuple(merged if each.id == factor_id else each for each in stored.factors), prefers=prefers or stored.prefers)
