"""One try to sign in, step up or enrol, as the ledger holds it: a record written once, and beside it what it waits for and what it has earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from authy_wsgi.contracts import Challenge, Factor, Login, Need, Proof
from authy_wsgi.documents import dump_challenge, dump_factor, load_challenge, load_factor
from authy_wsgi.records import Found, Records, until
from authy_wsgi.tickets import digest, short

ATTEMPT_SECONDS = 600
REISSUE_SECONDS = 30
_LOOKED_BACK_AT = 720  # what became of a push is asked also when its attempt is over: as long as a denial would pause further ones
_CHALLENGES_KEPT = 2000

Purpose = Literal["sign_in", "step_up", "enrol", "change"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A try under way. `need` is what this page asks for; all else is as it was when the attempt began."""

    id: str
    login: Login
    purpose: Purpose
    epoch: str
    began: int
    ends: int
    generation: str  # of the record that an enrolment will save
    saved_epoch: str  # the epoch of that record: anything else is somebody else's doing
    allowed: str  # what allowed an enrolment: known, open, invited:<id>, factor
    pass_id: str  # of the pass that was presented, else derived from the attempt's id
    proofs: tuple[Proof, ...] = ()  # of the pass that was presented
    need: Need = Need()

    @property
    def key(self) -> str:
        """What the ledger, the provider and a burnt code know this attempt by."""
        return key_of(self.id, self.login)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The current challenge of an attempt. `candidate` is the factor that it would prove, `address` where the candidate's messages go."""

    challenge: Challenge
    candidate: Factor | None = None
    address: str = field(default="", repr=False)
    began: int = 0


class Grant(NamedTuple):
    """What an attempt has earned: the content of a pass. `at` is the proof's time."""

    login: Login
    pass_id: str
    epoch: str
    proofs: tuple[Proof, ...]
    at: int


def key_of(attempt_id: str, login: Login) -> str:
    """An attempt's name in all that is stored: of the cookie's id and of who carries it.

    SECURITY: a cookie that somebody else carries, copied or planted, names another attempt by construction; it neither reads nor spoils this one.
    """
    return short(digest("attempt", attempt_id, *login))


class UnderWay(NamedTuple):
    """An attempt as one reading found it: what it waits for, and what has become of it (see `Attempts.outcome`)."""

    attempt: Attempt
    waiting: Waiting | None
    outcome: Grant | str | None
    said: Sequence[Found] | None = None  # OF_A_PUSH of its challenge, where the same reading has brought them


# What is noted of a push: what the phone has said, that its provider called, that it was asked just now.
OF_A_PUSH = ("answer", "hint", "asked")


class Attempts:
    """The attempts' records."""

    def __init__(self, records: Records) -> None:
        self._records = records
        # Written once under a random id, so that what was read once never changes; which one is current is asked each time.
        self._challenges: dict[str, Mapping[str, Any]] = {}
        self._current: dict[str, str] = {}  # attempt -> its challenge when this worker last looked: a guess of what to read along

    def begin(self, attempt: Attempt, now: int) -> Attempt | None:
        """Write the attempt down; if its id is there already, the one that is: None where that is somebody else's or has another purpose."""
        stored = self._records.claim("attempt", attempt.key, value=_dump(attempt), ttl=until(attempt.ends, now) + _LOOKED_BACK_AT, now=now).value
        return self._same(stored, attempt.login, now, attempt.need, attempt.purpose)

    def find(self, attempt_id: str, login: Login, now: int, need: Need) -> Attempt | None:
        """The attempt under way with this id and for this login; None otherwise, whatever the reason."""
        stored = self._records.get("attempt", key_of(attempt_id, login), now=now)
        return self._same(stored, login, now, need)

    @staticmethod
    def _same(stored: Mapping[str, Any] | None, login: Login, now: int, need: Need, purpose: str = "") -> Attempt | None:
        # SECURITY: an attempt's cookie under another user or login session behaves exactly as none.
        if stored is None or Login(*stored["login"]) != login or stored["ends"] <= now or (purpose and stored["purpose"] != purpose):
            return None
        return _load(stored, need)

    def wait(self, attempt: Attempt, waiting: Waiting, now: int) -> None:
        """Write the challenge down, once, and make it the attempt's current one."""
        cid = waiting.challenge.id
        kept = {
            "attempt": attempt.key,
            "began": now,
            "challenge": dump_challenge(waiting.challenge),
            "candidate": dump_factor(waiting.candidate) if waiting.candidate else None,
            "address": waiting.address,
        }
        self._records.claim("challenge", cid, value=kept, ttl=until(attempt.ends, now) + _LOOKED_BACK_AT, now=now)
        self._records.put("attempt-now", attempt.key, value=cid, ttl=until(attempt.ends, now), now=now)

    def waiting(self, attempt: Attempt, now: int) -> Waiting | None:
        """The current challenge, None where there is none."""
        cid = self._records.get("attempt-now", attempt.key, now=now)
        kept = self._records.get("challenge", cid, now=now) if cid else None
        return _waiting(kept) if kept is not None and kept["attempt"] == attempt.key else None

    def challenge(self, cid: str, now: int) -> tuple[Attempt, Waiting] | None:
        """A challenge by its id, and the attempt that it is of, over or not."""
        kept = self._records.get("challenge", cid, now=now)
        stored = self._records.get("attempt", kept["attempt"], now=now) if kept else None
        return None if stored is None else (_load(stored, Need()), _waiting(kept))

    def grant(self, attempt: Attempt, grant: Grant, now: int) -> tuple[Grant | None, bool]:
        """Store what the attempt has earned, once: what is stored (None where it ended before), and whether this call stored it."""
        value = {"pass": grant.pass_id, "epoch": grant.epoch, "proofs": grant.proofs, "at": grant.at, "login": grant.login}
        stored = self._records.claim("grant", attempt.key, value=value, ttl=until(attempt.ends, now), now=now)
        return (grant, True) if stored.mine else (_grant(stored.value, attempt.login), False)

    def end(self, attempt_id: str, login: Login, how: str, now: int) -> Grant | None:
        """Make it impossible that this attempt earns anything from now on; what it had earned already."""
        key = key_of(attempt_id, login)
        # SECURITY: a tombstone in the grant's place, because a worker already past its checks could grant after a deletion.
        stored = self._records.claim("grant", key, value={"ended": how, "login": login}, ttl=ATTEMPT_SECONDS + REISSUE_SECONDS, now=now).value
        return _grant(stored, login)

    def under_way(self, attempt_id: str, login: Login, now: int, need: Need) -> UnderWay | None:
        """The attempt, its challenge and its outcome, with as few readings as can be: what a waiting page asks for each second."""
        key = key_of(attempt_id, login)
        guess = self._current.get(key, "")
        along = [(kind, guess) for kind in OF_A_PUSH] if guess else []
        stored, current, granted, *said = self._records.many(("attempt", key), ("attempt-now", key), ("grant", key), *along, now=now)
        attempt = self._same(stored.value, login, now, need)
        if attempt is None:
            return None
        kept = self._challenge_of(current.value, now) if current.value else None
        if kept is None or kept["attempt"] != attempt.key:
            return UnderWay(attempt, None, _outcome(granted, login))
        if len(self._current) >= _CHALLENGES_KEPT:
            self._current.clear()
        self._current[key] = current.value
        return UnderWay(attempt, _waiting(kept), _outcome(granted, login), said if guess == current.value else None)

    def _challenge_of(self, cid: str, now: int) -> Mapping[str, Any] | None:
        kept: Mapping[str, Any] | None = self._challenges.get(cid)
        if kept is None:
            kept = self._records.get("challenge", cid, now=now)
            if kept is not None:
                if len(self._challenges) >= _CHALLENGES_KEPT:
                    self._challenges.clear()
                self._challenges[cid] = kept
        return kept

    def outcome(self, attempt_id: str, login: Login, now: int) -> Grant | str | None:
        """What became of an attempt: its grant, how it ended ("denied", "ended"), None while it is open."""
        return _outcome(self._records.many(("grant", key_of(attempt_id, login)), now=now)[0], login)


def _dump(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "login": attempt.login,
        "purpose": attempt.purpose,
        "epoch": attempt.epoch,
        "began": attempt.began,
        "ends": attempt.ends,
        "generation": attempt.generation,
        "saved_epoch": attempt.saved_epoch,
        "allowed": attempt.allowed,
        "pass_id": attempt.pass_id,
        "proofs": attempt.proofs,
    }


def _load(stored: Mapping[str, Any], need: Need) -> Attempt:
    known = {**stored, "login": Login(*stored["login"]), "proofs": tuple(Proof(*proof) for proof in stored["proofs"])}
    return Attempt(need=need, **known)


def _waiting(kept: Mapping[str, Any]) -> Waiting:
    candidate = load_factor(kept["candidate"]) if kept["candidate"] else None
    return Waiting(challenge=load_challenge(kept["challenge"]), candidate=candidate, address=kept["address"], began=kept["began"])


def _outcome(granted: Found, login: Login) -> Grant | str | None:
    if not granted.there:
        return None
    # What no key opens any more can never be granted either: that attempt is over.
    return _grant(granted.value, login) or str((granted.value or {}).get("ended", "ended"))


def _grant(stored: Mapping[str, Any] | None, login: Login) -> Grant | None:
    if stored is None or "ended" in stored or Login(*stored["login"]) != login:
        return None
    return Grant(login, stored["pass"], stored["epoch"], tuple(Proof(*proof) for proof in stored["proofs"]), stored["at"])
