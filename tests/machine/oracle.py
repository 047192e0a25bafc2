"""What must hold, judged by what is seen from outside: requests and answers, calls of the app, Set-Cookie values, calls of the provider and its words, what is
read and written at the borders of store and ledger. Numbers are those of the invariants in section 8 of the protocol.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from authy_wsgi import Login, Need, Strength
from authy_wsgi.settings import LIMITS
from tests.machine import marks
from tests.machine.browser import is_ours
from tests.machine.world import (
    ATTEMPT,
    EXEMPT,
    FACTORS,
    FORGET,
    LEEWAY,
    LIFETIME,
    LOGOUT,
    PASS,
    PREFIX,
    RECHECK,
    RULES,
    Asked,
    Entry,
    Reading,
    Seen,
    Version,
    World,
)

STRENGTHS = {"email": 20, "sms": 30, "call": 30, "push": 35, "app": 40}
SENDS = ("sms", "call")
STATUSES = frozenset({200, 303, 400, 401, 403, 404, 405, 409, 410, 413, 422, 429, 503})
PUSH_SECONDS = 120
REISSUE = 30


class Violation(AssertionError):
    """An invariant does not hold."""


Proofs = tuple[tuple[str, int], ...]


class Attempt(NamedTuple):
    """An attempt: the same cookie under another login is another one."""

    id: str
    who: Login


NONE = Attempt("", Login("", ""))


@dataclass(slots=True)
class Cause:
    """An approval: what a proof may come from, once."""

    seen: Seen
    order: int
    at: int  # by the worker's clock
    who: Login
    channel: str  # the strongest that the evidence allows
    authy_id: int
    key: tuple[Any, ...]  # what must not count twice
    attempt: Attempt
    push: bool
    proof: tuple[str, tuple[str, int]] | None = None


@dataclass(slots=True)
class Known:
    """A pass, by its id."""

    who: Login
    epochs: set[str]
    attempt: Attempt
    minted: dict[Proofs, Seen] = field(default_factory=dict)


class Minted(NamedTuple):
    """One pass as it was signed."""

    pass_id: str
    who: Login
    epoch: str
    proofs: Proofs
    order: int


@dataclass(slots=True)
class Push:
    """A request on a phone."""

    uuid: str
    who: Login
    authy_id: int
    attempt: Attempt
    at: int
    order: int
    answered: bool = False


@dataclass(slots=True)
class Try:
    """One code that reached the provider and was not right."""

    user_id: str
    authy_id: int
    attempt: Attempt
    new: bool
    at: int
    order: int


class Oracle:
    """Judges every request after it has ended; several that ran at once, together."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counts: Counter[str] = Counter()
        self.texts: dict[tuple[str, bytes], Minted] = {}
        self.passes: dict[str, Known] = {}
        self.causes: dict[Login, list[Cause]] = defaultdict(list)
        self.once: dict[tuple[Any, ...], tuple[str, tuple[str, int]]] = {}
        self.pushes: dict[str, Push] = {}
        self.denied: dict[Attempt, int] = {}  # attempt -> when it was known, by order
        self.paused: dict[str, tuple[int, int]] = {}  # user -> (when the phone said no, order)
        self.actions: dict[str, Attempt] = {}  # what a code is bound to -> the attempt that had it sent
        self.candidates: dict[str, set[int]] = defaultdict(set)  # user -> Authy IDs that their enrolments registered
        self.began: dict[Attempt, int] = {}  # when its record was written, by order
        self.tries: list[Try] = []
        self.sends: list[tuple[Asked, bool]] = []
        self.opened: dict[str, int] = {}  # user -> when an administrator opened, by order
        self.opened_ids: dict[int, int] = {}
        self.used: dict[str, int] = {}  # pass id -> when it last was
        self.ended: dict[Attempt, int] = {}  # attempts that a logout has ended -> when, by order
        self.kept: dict[str, tuple[Login, int]] = {}  # ledger key -> whose form is there, and until when
        self.spent: set[str] = set()
        self.returned: set[str] = set()
        self.slack = LEEWAY if world.options.skew else 0

    # The door

    def judge(self, *requests: Seen) -> None:
        """Whatever these requests did was allowed."""
        for seen in requests:
            self._note(seen)
        for seen in sorted(requests, key=lambda each: each.ended_order):
            self._answer(seen)
            self._strangers(seen)
            self._provider(seen)
            self._factors(seen)
            self._counts(seen)
            self._entries(seen)
            self._uses(seen)
            self._right_answers_win(seen)
            self._mints(seen)
            self._good_passes_enter(seen)
            self._left(seen)
            self._keeps(seen)

    def _fail(self, number: int | str, words: str, seen: Seen) -> None:
        raise Violation(f"invariant {number}: {words}\n    in {seen}: {seen.status} {[str(mishap) for _, mishap in seen.met] or ''}")

    # What is known

    def version(self, user_id: str, order: int) -> Version | None:
        """How the user stood at a moment; None before anything was saved."""
        versions = self.world.versions.get(user_id, [])
        place = bisect_right(versions, order, key=lambda each: each.order)
        return versions[place - 1] if place else None

    def versions(self, user_id: str, since: int, until: int) -> list[Version]:
        """How the user stood at any moment between the two."""
        first = self.version(user_id, since)
        return [each for each in [first] if each] + [each for each in self.world.versions.get(user_id, []) if since < each.order <= until]

    @staticmethod
    def epoch(version: Version | None) -> str:
        """The epoch of that standing; "" where there is nobody."""
        return marks.epoch(version.user.generation, version.stamp) if version and version.user else ""

    def _authy_ids(self, user_id: str, since: int, until: int) -> set[int]:
        return {factor.data["authy_id"] for version in self.versions(user_id, since, until) if version.user for factor in version.user.factors}

    def attempt_of(self, seen: Seen) -> Attempt:
        """The attempt that a request is about: the one that its cookies name, for whoever is there; of the app's own page, the one that it remembers."""
        assert seen.worker is not None
        if seen.who is None:
            return NONE
        if seen.path == FACTORS:
            return Attempt(self.world.changes.get(seen.who, ""), seen.who)
        now = seen.began_at_worker
        for value in marks.cookies_of(seen.cookies, ATTEMPT):
            mark = marks.read(value)
            if mark and mark.label == "attempt" and mark.secret in seen.worker.secrets and mark.payload[2] - LEEWAY <= now < mark.payload[2] + 600:
                return Attempt(str(mark.payload[1]), seen.who)
        return NONE

    def _set_attempt(self, seen: Seen) -> Attempt:
        for name, value, gone in seen.set_cookies:
            mark = None if gone or name != ATTEMPT else marks.read(value)
            if mark and seen.who:
                return Attempt(str(mark.payload[1]), seen.who)
        return NONE

    def _note(self, seen: Seen) -> None:
        """Facts that the checks of others may need too."""
        if seen.worker is None or not seen.path:
            return
        for write in seen.writes:
            if write.op == "claim" and write.kind == "attempt" and write.mine:
                self.began |= {self.attempt_of(seen): write.order, self._set_attempt(seen): write.order}
            if write.op == "spend" and write.mine:
                self.spent.add(write.receipt)
        who = seen.who
        if who is None:
            return
        attempt = self.attempt_of(seen)
        for call in seen.asked:
            if call.delivered and call.honest and call.status == 200:
                self._note_call(seen, call, who, attempt)

    def _note_call(self, seen: Seen, call: Asked, who: Login, attempt: Attempt) -> None:
        if call.kind == "register":
            self.candidates[who.user_id].add(call.answer["user"]["id"])
        elif call.kind == "push":
            uuid = call.answer["approval_request"]["uuid"]
            self.pushes[uuid] = Push(uuid, who, call.authy_id, attempt if (new := self._set_attempt(seen)) == NONE else new, seen.began, call.order)
        elif call.kind == "verify":
            channel = "app" if call.answer["device"]["os_type"] == "android" else "call"
            key = ("code", call.authy_id, call.token)
            self.causes[who].append(Cause(seen, call.order, seen.began_at_worker, who, channel, call.authy_id, key, attempt, push=False))
        elif call.kind == "poll" and call.uuid in self.pushes:
            self._note_poll(seen, call, self.pushes[call.uuid])

    def _note_poll(self, seen: Seen, call: Asked, push: Push) -> None:
        status = call.answer["approval_request"]["status"]
        push.answered |= status != "pending"
        key = ("push", call.uuid)
        if status == "approved" and not any(cause.key == key for cause in self.causes[push.who]):
            cause = Cause(seen, call.order, seen.began_at_worker, push.who, "push", push.authy_id, key, push.attempt, push=True)
            self.causes[push.who].append(cause)
        if status == "denied" and not seen.met:
            self.denied.setdefault(push.attempt, seen.ended_order)
            self.paused[push.who.user_id] = (seen.began, seen.ended_order)
            self.counts["denied"] += 1

    # 8: closed on fault

    def _answer(self, seen: Seen) -> None:
        if seen.raised is not None:
            raise Violation(f"invariant 8: {type(seen.raised).__name__} got out of {seen}") from seen.raised
        if not seen.path or seen.dead:
            return
        app_could_not = any(entry.path == FORGET for entry in seen.entries) and seen.status == 500
        if seen.status not in STATUSES and not app_could_not:
            self._fail(8, f"the answer is {seen.status}", seen)
        self.counts[f"status {seen.status}"] += 1
        broken = [order for order, mishap in seen.met if mishap.kind != "stalled"]
        for order in broken:
            if any(entry.order > order for entry in seen.entries):
                self._fail(8, "something was broken, and the app was called", seen)
        odd = seen.login is not None and seen.who is None
        if odd and seen.entries:
            self._fail(8, "identity was broken, and the app was called", seen)
        if seen.policy == "raise" and seen.entries and seen.who and self.needs(seen.path):
            self._fail(8, "the policy was broken, and the app was called", seen)

    # 5: strangers, and what only looks

    def _strangers(self, seen: Seen) -> None:
        if not seen.path:
            return
        callback = seen.path.startswith(f"{PREFIX}/callback/")
        minted = [name for name, _value, gone in seen.set_cookies if name == PASS and not gone]
        if seen.who is None:
            changed = [write for write in seen.writes if write.op != "spend" or write.mine]
            if changed and not (callback and all(write.kind == "hint" and write.op == "claim" for write in changed)):
                self._fail(5, f"a request without the first factor changed {[(write.op, write.kind) for write in changed]}", seen)
            if seen.saves or seen.asked or minted:
                self._fail(5, "a request without the first factor did something", seen)
            return
        strangers = {change.user_id for change in seen.saves} - {seen.who.user_id}
        if strangers:
            self._fail(5, f"the record of {strangers} was changed by somebody else", seen)
        if seen.method != "POST" and seen.path not in (LOGOUT, FORGET):
            self._only_looks(seen, minted)

    def _only_looks(self, seen: Seen, minted: Sequence[str]) -> None:
        sent = [call.kind for call in seen.asked if call.kind not in ("poll", "status")]
        if sent or seen.saves or minted:
            self._fail(5, f"{seen.method} did something: {sent} {minted}", seen)
        allowed = {"asked", "hint-taken", "answer", "grant", "inflight", "pause"} if seen.path.startswith(f"{PREFIX}/push") else set()
        allowed |= {"idle"} if self.world.options.idle else set()
        changed = [(write.op, write.kind) for write in seen.writes if write.kind not in allowed or write.op == "spend"]
        if changed:
            self._fail(5, f"{seen.method} changed {changed}", seen)

    # 3, 4, 9: the provider

    def _provider(self, seen: Seen) -> None:
        who = seen.who
        if who is None or not seen.path:
            return
        attempt = self.attempt_of(seen)
        for call in seen.asked:
            own = self._authy_ids(who.user_id, seen.began_order, call.order)
            if call.kind in (*SENDS, "verify", "push", "status") and call.authy_id not in own | self.candidates[who.user_id]:
                self._fail(9, f"{call.kind} for a phone that is not theirs", seen)
            if call.kind == "poll" and (call.uuid not in self.pushes or self.pushes[call.uuid].who.user_id != who.user_id):
                self._fail(9, "asked about somebody else's push", seen)
            if call.action:
                self._bound(seen, call, attempt)
            if call.kind == "verify":
                self._tried(seen, call, who, attempt, new=call.authy_id not in own or seen.path == FACTORS)
            elif call.kind in SENDS:
                self._sent(seen, call, who, new=call.authy_id not in own or seen.path == FACTORS)
            elif call.kind == "push":
                self._pushed(seen, call, who)

    def _bound(self, seen: Seen, call: Asked, attempt: Attempt) -> None:
        """3: what is sent and checked for one attempt stays with it."""
        new = self._set_attempt(seen)
        if call.kind in SENDS and call.action not in self.actions:
            self.actions[call.action] = attempt if new == NONE else new
        if self.actions.get(call.action) not in (attempt, new):
            self._fail(3, f"{call.kind} for another attempt than the cookie's", seen)

    def _lost(self, order: int) -> bool:
        """Whether the ledger has been lost since."""
        return any(lost > order for lost in self.world.losses)

    def _limit(self, rule: str) -> tuple[tuple[int, int], ...]:
        assert self.world.workers[0].gate.settings.limits is not None
        return self.world.workers[0].gate.settings.limits.get(rule, LIMITS[rule])

    def _bounded(self, rule: str, times: Iterable[tuple[int, int]], now: int, seen: Seen) -> None:
        times = [at for at, order in times if not self._lost(order)]
        for limit, window in self._limit(rule):
            inside = sum(at > now - window + self.slack for at in times)
            if inside > limit:
                self._fail(4, f"{inside} tries in {window} s, {rule} allows {limit}", seen)
            if inside == limit:
                self.counts[f"limit {rule} {limit}/{window}"] += 1

    def _tried(self, seen: Seen, call: Asked, who: Login, attempt: Attempt, *, new: bool) -> None:
        self.counts["codes checked"] += 1
        before = self.version(who.user_id, seen.began_order)
        if not new and before and before.user and "code" in before.user.closed:
            self._fail(4, "a code was checked although guessing has closed that way", seen)
        if call.delivered and call.honest and call.status == 200:
            return
        now = seen.began_at_worker
        self.tries.append(Try(who.user_id, call.authy_id, attempt, new, now, call.order))
        self._bounded("code.attempt", ((each.at, each.order) for each in self.tries if each.attempt == attempt), now, seen)
        kind = "code.new" if new else "code"
        since = 0 if new else self.opened.get(who.user_id, 0)
        mine = [(each.at, each.order) for each in self.tries if each.new == new and each.user_id == who.user_id and each.order > since]
        self._bounded(f"{kind}.user", mine, now, seen)
        since = 0 if new else self.opened_ids.get(call.authy_id, 0)
        theirs = [(each.at, each.order) for each in self.tries if each.new == new and each.authy_id == call.authy_id and each.order > since]
        self._bounded(f"{kind}.reference", theirs, now, seen)

    def _sent(self, seen: Seen, call: Asked, who: Login, *, new: bool) -> None:
        self.counts[f"sent {call.kind}"] += 1
        now = seen.began_at_worker
        self.sends.append((call, new))
        kind = "send.new" if new else "send"
        same = [(each.seen, each) for each, was_new in self.sends if was_new == new]
        self._bounded(f"{kind}.user", ((each.began_at_worker, call.order) for each, call in same if each.who and each.who.user_id == who.user_id), now, seen)
        to_it = [(each, asked) for each, asked in same if asked.authy_id == call.authy_id]
        self._bounded(f"{kind}.number", ((each.began_at_worker, asked.order) for each, asked in to_it), now, seen)
        if call.kind == "call":
            self._bounded("send.voice", ((each.began_at_worker, asked.order) for each, asked in to_it if asked.kind == "call"), now, seen)
        quick = [each for each, asked in to_it if each.began_at_worker > now - 30 + self.slack and not self._lost(asked.order)]
        if len(quick) > 2:
            self._fail(4, f"{len(quick)} messages to one number in 30 s", seen)

    def _pushed(self, seen: Seen, call: Asked, who: Login) -> None:
        self.counts["sent push"] += 1
        now = seen.began_at_worker
        calls = [each for each in self.world.asked if each.kind == "push"]
        mine = [each for each in calls if each.seen.who and each.seen.who.user_id == who.user_id]
        self._bounded("push.user", ((each.seen.began_at_worker, each.order) for each in mine), now, seen)
        self._bounded("push.user", ((each.seen.began_at_worker, each.order) for each in calls if each.authy_id == call.authy_id), now, seen)
        for push in self.pushes.values():
            waits = push.who.user_id == who.user_id and push.order < call.order and not push.answered and now < push.at + PUSH_SECONDS - self.slack
            if waits and not self._lost(push.order):
                self._fail(3, "a second push while one is in flight", seen)
        said, order = self.paused.get(who.user_id, (-(10**9), 0))
        if seen.began_order > order and now < said + 600 - self.slack and not self._lost(order) and self.opened.get(who.user_id, 0) < order:
            self._fail(3, "a push although one was denied a moment ago", seen)

    # 4, 8: counts

    def _counts(self, seen: Seen) -> None:
        given = [write.receipt for write in seen.writes if write.op == "give_back"]
        if not given:
            return
        attempt = self.attempt_of(seen)
        right = any(call.kind == "verify" and call.delivered and call.honest and call.status == 200 for call in seen.asked)
        right = right or any(cause.attempt == attempt for cause in self.causes[seen.who] if seen.who)  # type: ignore[index]
        for receipt in given:
            if receipt in self.returned or receipt not in self.spent or not right:
                self._fail(4, "a try was given back that was not right, or twice", seen)
            self.returned.add(receipt)

    # 7: the set of factors

    def _factors(self, seen: Seen) -> None:
        if not seen.path:
            return
        for change in seen.saves:
            before, after = change.before, change.after
            if after is None or change.user_id != (seen.who.user_id if seen.who else None):
                self._fail(7, "a record went away, or somebody else's changed", seen)
                return
            had = {factor.id: factor for factor in before.factors} if before else {}
            has = {factor.id: factor for factor in after.factors}
            added = has.keys() - had.keys()
            if had.keys() - has.keys() or (added and had):
                self._confirmed(seen, change)
            if added:
                self._added(seen, change, [has[each] for each in added], empty=not had)
            elif before and had.keys() == has.keys() and after.generation != before.generation and not (before.ended and not after.ended):
                self._fail(6, "a request changed the generation without a factor", seen)
            if before and (before.disabled != after.disabled or before.closed - after.closed or set(after.invitations) - set(before.invitations)):
                self._fail(7, "a request changed what is an administrator's", seen)
            if before and before.enrolment and not after.enrolment and not added:
                self._fail(7, "a request took an administrator's word back", seen)

    def _confirmed(self, seen: Seen, change: Any) -> None:
        """From a set that is not empty a person changes it only with a live pass, fresh, and as strong as the strongest factor held."""
        who, before = seen.who, change.before
        assert who is not None
        strongest = max(40 if factor.data.get("app") != "no" else 30 for factor in before.factors)
        for minted in self._presented(seen):
            fresh = [1 for channel, at in minted.proofs if seen.began_at_worker - at <= 600 + self.slack and STRENGTHS[channel] >= strongest]
            if minted.who == who and fresh and self._carries(before, marks.epoch(before.generation, self._stamp(change)), minted):
                return
        if self.world.changes.get(who) and self._confirmed_before(seen, who, strongest):
            return
        self._fail(7, "the factors were changed without a fresh and strong confirmation", seen)

    def _confirmed_before(self, seen: Seen, who: Login, strongest: int) -> bool:
        """Whether the attempt of this change began with such a pass: the code that proves the new address comes in a request of its own."""
        began = self.began.get(Attempt(self.world.changes[who], who), 0)
        for earlier in reversed(self.world.requests):
            if earlier.began_order < began < earlier.ended_order and earlier.who == who:
                return any(
                    minted.who == who
                    and any(seen.began_at_worker - at <= 600 + self.slack and STRENGTHS[channel] >= strongest for channel, at in minted.proofs)
                    for minted in self._presented(earlier)
                )
        return False

    def _presented(self, seen: Seen) -> list[Minted]:
        """The passes of this request that were minted here, whoever's they are."""
        found = []
        assert seen.worker is not None
        for value in marks.cookies_of(seen.cookies, PASS):
            mark = marks.read(value)
            minted = self.texts.get((mark.text, mark.signature)) if mark and mark.label == "pass" and mark.secret in seen.worker.secrets else None
            found += [minted] if minted else []
        return found

    def _added(self, seen: Seen, change: Any, factors: Sequence[Any], *, empty: bool) -> None:
        who, before = seen.who, change.before
        assert who is not None
        if len(factors) != 1 or change.after.generation == (before.generation if before else ""):
            self._fail(7, "more than one factor was added, or without a new generation", seen)
        factor = factors[0]
        attempt = self.attempt_of(seen)
        proved = [cause for cause in self.causes[who] if cause.authy_id == factor.data["authy_id"] and cause.order < change.order and cause.attempt == attempt]
        if not proved or proved[-1].at < seen.began_at_worker - 600 - self.slack:
            self._fail(7, "a factor was stored that nobody has proved", seen)
        if not empty:
            self.counts["enrolled (beside another)"] += 1
            return
        mode = before.enrolment if before and before.enrolment else self.world.options.enrolment
        if mode == "none" or (before and before.disabled):
            self._fail(7, f"a factor came in under mode {mode}", seen)
        if mode == "invited" and not (before and before.invitations):
            self._fail(7, "a factor came in without an invitation", seen)
        if mode == "known" and self.world.emulator.phone(self.world.phones_known[who.user_id]).authy_id != factor.data["authy_id"]:
            self._fail(7, "a factor came in that the site does not know", seen)
        if change.after.invitations:
            self._fail(2, "an invitation outlived the enrolment that used it", seen)
        self.counts[f"enrolled ({mode})"] += 1

    # 1, 2, 10: passes

    def _mints(self, seen: Seen) -> None:
        for name, value, gone in seen.set_cookies:
            if name == PASS and not gone:
                self._mint(seen, value)

    def _mint(self, seen: Seen, value: str) -> None:
        who, worker, mark = seen.who, seen.worker, marks.read(value)
        assert worker is not None
        if who is None or mark is None or mark.label != "pass" or mark.secret != worker.secrets[0]:
            self._fail(9, "a pass for nobody, or not signed as it should be", seen)
            return
        _one, pass_id, holder, epoch, pairs = mark.payload
        proofs: Proofs = tuple((channel, at) for channel, at in pairs)
        if holder != marks.holder(mark.secret, *who):
            self._fail(1, "a pass for another login than the request's", seen)
        if seen.method != "POST" or not (is_ours(seen.path) or seen.path == FACTORS):
            self._fail(5, "a pass outside our own POSTs", seen)
        self.texts.setdefault((mark.text, mark.signature), Minted(pass_id, who, epoch, proofs, seen.ended_order))
        known = self.passes.get(pass_id)
        attempt = self.attempt_of(seen)
        self.used[pass_id] = max(self.used.get(pass_id, 0), seen.ended)
        if seen.path == FACTORS:
            self._changed(seen, known, who, epoch, proofs)
            return
        if known is None or self._lived_twice(known, epoch, proofs):
            if len(proofs) != 1:
                self._fail(10, "a new pass with more than one proof", seen)
            known = self.passes[pass_id] = Known(who, {epoch}, attempt)
        elif known.who != who or epoch not in known.epochs:
            self._fail(10, "a pass was issued again, to another login or with another epoch", seen)
        elif proofs in known.minted:
            self._again(seen, known, proofs)
            return
        elif not any(proofs[1:] == earlier[:2] for earlier in known.minted):
            self._fail(10, f"a pass was issued again with other proofs: {proofs}", seen)
        self._new_proof(seen, pass_id, proofs[0], epoch, attempt, who)
        known.minted[proofs] = seen

    def _changed(self, seen: Seen, known: Known | None, who: Login, epoch: str, proofs: Proofs) -> None:
        """A change of factors keeps this browser in, by the same pass with the epoch that was saved."""
        saved = {
            marks.epoch(each.after.generation, self._stamp(each))
            for each in self.world.saves
            if each.seen.path == FACTORS and each.seen.who == who and each.after
        }
        if known is None or known.who != who or epoch not in saved or proofs not in known.minted:
            self._fail(10, "a change of factors made a pass of its own", seen)
            return
        known.epochs.add(epoch)
        self.counts["changed factors"] += 1

    def _lived_twice(self, known: Known, epoch: str, proofs: Proofs) -> bool:
        """Whether an attempt began anew because the ledger had lost it: its pass has the same id, by which no code makes two."""
        lost = any(self._lost(minted.ended_order) for minted in known.minted.values())
        return lost and len(proofs) == 1 and (epoch not in known.epochs or proofs not in known.minted)

    def _again(self, seen: Seen, known: Known, proofs: Proofs) -> None:
        first = known.minted[proofs]
        self.counts["issued again"] += 1
        if seen.began_order > first.ended_order and seen.began_at_worker >= proofs[0][1] + REISSUE + self.slack:
            self._fail(10, "a pass was issued again, too late", seen)

    def _new_proof(self, seen: Seen, pass_id: str, proof: tuple[str, int], epoch: str, attempt: Attempt, who: Login) -> None:
        cause = self._cause(seen, pass_id, proof, attempt, who)
        if cause is None:
            self._fail(2, f"a proof without a cause of its own: {proof}", seen)
            return
        cause.proof = pass_id, proof
        earlier = self.once.setdefault(cause.key, cause.proof)
        if earlier[0] != pass_id or (earlier != cause.proof and not (self._lost(cause.order - 1) or self.world.losses)):
            self._fail(2, f"{cause.key[0]} was good twice", seen)
        if not cause.push and seen.path.endswith("/continue") and seen.began_at_worker >= proof[1] + REISSUE + self.slack:
            self._fail(10, "a pass was issued too late", seen)
        if cause.authy_id not in self._authy_ids(who.user_id, cause.seen.began_order, seen.ended_order):
            self._fail(1, "a proof of a phone that was not theirs", seen)
        if attempt in self.ended and self.ended[attempt] < seen.began_order and not self._lost(self.ended[attempt]):
            self._fail(6, "a pass from an attempt that was logged out", seen)
        if attempt in self.denied and not self._lost(self.denied[attempt]) and self.denied[attempt] < seen.began_order:
            self._fail(3, "a pass from an attempt that was denied on the phone", seen)
        self._of_this_epoch(seen, epoch, attempt, who, cause)
        self.counts[f"proof by {proof[0]}"] += 1

    def _cause(self, seen: Seen, pass_id: str, proof: tuple[str, int], attempt: Attempt, who: Login) -> Cause | None:
        channel, at = proof
        fits = []
        for cause in self.causes[who]:
            timely = cause.at - self.slack <= at <= cause.at + 600 + self.slack if cause.push else cause.at == at
            strong = STRENGTHS.get(channel, 99) <= STRENGTHS[cause.channel]
            if timely and strong and cause.order < seen.ended_order and cause.proof in (None, (pass_id, proof)) and cause.attempt == attempt:
                fits.append(cause)
        return fits[0] if fits else None

    def _of_this_epoch(self, seen: Seen, epoch: str, attempt: Attempt, who: Login, cause: Cause) -> None:
        """6: a revocation ends the attempts under way, too."""
        began = self.began.get(attempt, 0)
        at_begin = self.epoch(self.version(who.user_id, began))
        enrolled = [change for change in self.world.saves if change.order > began and change.seen.who == who and change.after and change.user_id == who.user_id]
        saved = {marks.epoch(change.after.generation, self._stamp(change)) for change in enrolled if self._adds(change)}
        nobody = marks.epoch("", self._stamp_at(who.user_id, began))
        if epoch != (at_begin or nobody) and epoch not in saved:
            self._fail(6, "a pass of another epoch than its attempt's", seen)
        current = {self.epoch(version) for version in self.versions(who.user_id, cause.seen.began_order, seen.ended_order)}
        if epoch not in current:
            self._fail(6, "an attempt outlived a revocation", seen)

    @staticmethod
    def _adds(change: Any) -> bool:
        had = {factor.id for factor in change.before.factors} if change.before else set()
        return any(factor.id not in had for factor in change.after.factors)

    def _stamp(self, change: Any) -> str:
        version = self.version(change.user_id, change.order)
        return version.stamp if version else ""

    def _stamp_at(self, user_id: str, order: int) -> str:
        version = self.version(user_id, order)
        return version.stamp if version else ""

    # 1, 6, 9: who is let in

    def needs(self, path: str) -> list[Need]:
        """What a path needs, in every reading of it; all of that must be met. Empty where it needs nothing."""
        if path == LOGOUT:
            return []
        if self._exempt(path):
            return []
        found: list[Need] = []
        for reading in _readings(path):
            fits = [rule for rule in RULES if reading == rule or reading.startswith(rule + "/")]
            need = RULES[fits[0]] if fits else Need()
            if need not in found:
                found.append(need)
        return found

    @staticmethod
    def _exempt(path: str) -> bool:
        return all(any(reading == each or reading.startswith(each + "/") for each in EXEMPT) for reading in _readings(path))

    def _entries(self, seen: Seen) -> None:
        for entry in seen.entries:
            self._entry(seen, entry)

    def _entry(self, seen: Seen, entry: Entry) -> None:
        who = seen.who
        if is_ours(entry.path):
            self._fail(9, "the app was called below our own prefix", seen)
        if who is None:
            if entry.need is not None:
                self._fail(1, "an anonymous request met a demand", seen)
            if entry.told.user_id is not None or entry.told.proofs:
                self._fail(9, "an anonymous request was told to be somebody's", seen)
            self.counts["entered anonymously"] += 1
            return
        if entry.told.user_id != who.user_id:
            self._fail(9, f"the app was told of {entry.told.user_id}", seen)
        # What a policy has forgotten to answer counts as required, and no more.
        needs = [entry.need] if entry.need else [Need()] if seen.policy and self.needs(entry.path) else self.needs(entry.path)
        for need in needs:
            self._met(seen, entry, need, who)
        self.counts["entered exempt" if not needs else "entered"] += 1

    def _met(self, seen: Seen, entry: Entry, need: Need, who: Login) -> None:
        reasons = []
        strict = entry.need is not None or need.max_age is not None or need.strength > Strength.REMEMBERED
        for value in marks.cookies_of(seen.cookies, PASS):
            mark = marks.read(value)
            minted = self.texts.get((mark.text, mark.signature)) if mark and mark.label == "pass" else None
            assert seen.worker is not None
            if mark is None or minted is None or mark.secret not in seen.worker.secrets:
                reasons.append("not one of ours")
                continue
            reason = self._good(seen, minted, need, who, strict=strict) or self._idle(seen, minted)
            if not reason:
                self.counts["entered strictly" if strict else "entered plainly"] += 1
                return
            reasons.append(reason)
        if need.if_enrolled and not entry.need and self._has_no_factor(seen, who):
            return
        self._fail(1, f"the app was called for {need}, with: {reasons or 'no pass'}", seen)

    def _good(self, seen: Seen, minted: Minted, need: Need, who: Login, *, strict: bool) -> str:
        """ "" for a pass that may enter, else why not."""
        if minted.who != who:
            return "of another login"
        window = LIFETIME if need.max_age is None else min(need.max_age, LIFETIME)
        fresh = [channel for channel, at in minted.proofs if seen.began - at <= window + self.slack and STRENGTHS[channel] >= need.strength]
        if not fresh:
            return f"no proof young and strong enough: {minted.proofs} at {seen.began}"
        return self._revoked(seen, minted, who, strict=strict)

    def _uses(self, seen: Seen) -> None:
        """Every request that carries a pass keeps it awake, unless it has fallen asleep already."""
        for minted in self._presented(seen) if seen.path else ():
            if minted.who == seen.who and not self._idle(seen, minted):
                self.used[minted.pass_id] = seen.ended

    def _idle(self, seen: Seen, minted: Minted) -> str:
        unused = seen.began - self.used.get(minted.pass_id, seen.began)
        return f"unused for {unused} s" if self.world.options.idle and unused > 1800 + 2 * RECHECK + self.slack else ""

    def _carries(self, user: Any, epoch: str, minted: Minted) -> bool:
        return user is not None and epoch == minted.epoch and minted.pass_id not in user.ended and not user.disabled

    def _revoked(self, seen: Seen, minted: Minted, who: Login, *, strict: bool) -> str:
        """6"""
        dead = None
        for version in self.versions(who.user_id, minted.order, seen.ended_order):
            if not self._carries(version.user, self.epoch(version), minted):
                dead = version
                break
        if dead is not None and dead.order < seen.began_order and (strict or seen.began > dead.at + RECHECK + self.slack):
            return f"revoked {seen.began - dead.at} s ago{', and this page is strict' if strict else ''}"
        assert seen.worker is not None
        readings: list[Reading] = seen.reads if strict else seen.worker.readings
        oldest = seen.began_at_worker - (0 if strict else RECHECK)
        for reading in reversed(readings):
            if reading.at < oldest:
                break
            version = self.version(who.user_id, reading.order)
            if reading.user_id == who.user_id and self._carries(reading.user, self.epoch(version), minted):
                return ""
        return "no reading of the user's record that is young enough carries it"

    def _has_no_factor(self, seen: Seen, who: Login) -> bool:
        assert seen.worker is not None
        for reading in reversed(seen.worker.readings):
            if reading.at < seen.began_at_worker - RECHECK:
                return False
            if reading.user_id == who.user_id and not (reading.user and (reading.user.factors or reading.user.disabled)):
                return True
        return False

    # Liveness

    def _right_answers_win(self, seen: Seen) -> None:
        """A code that the provider has approved, to a request that nothing disturbed, is a pass."""
        # What was sealed with a key that has been retired since is lost, and an attempt with it.
        retired = seen.began < self.world.retired_at + 700 or seen.path == FACTORS
        if not seen.alone or seen.met or seen.who is None or not seen.path or retired:
            return
        right = [call for call in seen.asked if call.kind == "verify" and call.status == 200 and call.honest and call.delivered]
        fresh = [call for call in right if self.once.get(("code", call.authy_id, call.token)) is None]
        if fresh and not any(name == PASS and not gone for name, _value, gone in seen.set_cookies):
            self._fail("liveness", "a right code was refused", seen)

    def _good_passes_enter(self, seen: Seen) -> None:
        """A pass that nothing speaks against is let in, at once."""
        who, options = seen.who, self.world.options
        plain = seen.method == "GET" and seen.path and not is_ours(seen.path) and not seen.policy and seen.path != FORGET
        needs = self.needs(seen.path) if plain and {*_readings(seen.path)} == {seen.path} else []
        if not needs or seen.met or who is None or options.idle or seen.entries:
            return
        for minted in self._presented(seen):
            carried = all(
                self._carries(version.user, self.epoch(version), minted) for version in self.versions(who.user_id, seen.began_order, seen.ended_order)
            )
            if minted.who == who and carried and all(self._fresh(minted, need, seen.ended + self.slack) for need in needs):
                self._fail("liveness", "a good pass was refused", seen)

    @staticmethod
    def _fresh(minted: Minted, need: Need, now: int) -> bool:
        window = LIFETIME if need.max_age is None else min(need.max_age, LIFETIME)
        return any(now - at <= window and STRENGTHS[channel] >= need.strength for channel, at in minted.proofs)

    def _left(self, seen: Seen) -> None:
        """A logout ends the pass that was presented, in every copy, and the attempt with all that it has earned or might."""
        who, ours = seen.who, seen.path == f"{PREFIX}/logout" and seen.method == "POST"
        if who is None or seen.met or self.world.options.idle:
            return
        out = (ours and seen.status == 303 and any(gone for _name, _value, gone in seen.set_cookies)) or (seen.path in (LOGOUT, FORGET) and bool(seen.entries))
        if not out:
            return
        self.counts["logged out"] += 1
        attempt = self.attempt_of(seen)
        after = self.version(who.user_id, seen.ended_order)
        presented = [minted.pass_id for minted in self._presented(seen)[:1] if minted.who == who and self._fresh(minted, Need(), seen.ended + self.slack)]
        earned = [pass_id for pass_id, known in self.passes.items() if attempt != NONE and known.attempt == attempt]
        lost = self._lost(self.began.get(attempt, seen.began_order)) or seen.ended < self.world.retired_at + 700
        for pass_id in presented + ([] if lost else earned):
            epochs = self.passes[pass_id].epochs
            if after and after.user and not after.user.disabled and self.epoch(after) in epochs and pass_id not in after.user.ended:
                self._fail(6, "a logout left a pass alive", seen)
        if attempt != NONE and not lost:
            self.ended[attempt] = seen.ended_order

    def _keeps(self, seen: Seen) -> None:
        """3: a form that is kept is nobody's to replace but its owner's."""
        for write in seen.writes:
            if write.kind == "kept" and write.op == "put":
                owner, until = self.kept.get(write.key, (seen.who, 0))
                if owner != seen.who and seen.began < until and not self._lost(seen.began_order):
                    self._fail(3, "the kept form of another login was replaced", seen)
                assert seen.who is not None
                self.kept[write.key] = seen.who, seen.began + 600
            if write.kind == "kept" and write.op == "pop":
                self.kept.pop(write.key, None)

    def administered(self, seen: Seen, what: str, user_id: str) -> None:
        """An administrator's word."""
        if what == "open":
            self.opened[user_id] = seen.ended_order
            version = self.version(user_id, seen.ended_order)
            for factor in version.user.factors if version and version.user else ():
                self.opened_ids[factor.data["authy_id"]] = seen.ended_order


def _readings(path: str) -> list[str]:
    """What servers, proxies and apps may take a path for."""
    found = [path]
    with suppress(UnicodeError):
        found.append(path.encode("latin-1").decode("utf-8").casefold())
    for text in (path, unquote(path), unquote(unquote(path)), path.replace("\\", "/"), path.partition(";")[0], path.partition("\x00")[0]):
        found.append(text)
        found.append(_resolved(text))
        found.append(_resolved(text).casefold())
    return list(dict.fromkeys(found))


def _resolved(path: str) -> str:
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        part = part.partition(";")[0]
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
