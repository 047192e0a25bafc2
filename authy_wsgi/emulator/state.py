"""What the service knows: users, phones, messages, approval requests, and what time it is. No HTTP in it.

Nothing here locks; `Emulator` holds its one lock around every use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from authy_wsgi.emulator.codes import AUTHENTICATOR_STEP, Dice, app_code, authenticator_code
from authy_wsgi.emulator.numbering import Number
from authy_wsgi.emulator.rules import Rules

FIRST_AUTHY_ID = 1635
MESSAGES_KEPT = 200
APPROVALS_KEPT = 200
SPENT_KEPT = 100
USED_KEPT = 10_000
LATEST = 253_370_764_800  # the year 9999, the last that a date can be written in


@dataclass(slots=True)
class Message:
    """One SMS, call or e-mail, as it arrived."""

    kind: str
    code: str
    text: str
    at: int


@dataclass(slots=True)
class Code:
    """A code that was sent, for one action ("" for none)."""

    code: str
    at: int
    until: int


@dataclass(slots=True)
class Verification:
    """A running phone verification (the phones/ calls)."""

    uuid: str
    sent: Code
    verified: bool = False


@dataclass(slots=True)
class Approval:
    """One approval request; `lifetime` 0 never expires."""

    uuid: str
    id: str
    email: str
    message: str
    details: dict[str, str]
    hidden_details: dict[str, str]
    logos: list[dict[str, str]]
    at: int
    lifetime: int
    answer: str = ""
    answered_at: int = 0

    def status(self, now: int) -> str:
        """ "pending", "approved", "denied" or "expired"."""
        if self.answer:
            return self.answer
        return "expired" if self.lifetime and now >= self.at + self.lifetime else "pending"


@dataclass(slots=True)
class Phone:
    """A phone and what is on it. `authy_id` is None for a number that only phone verification has seen."""

    number: Number
    key: bytes
    since: int
    device_id: int
    authy_id: int | None = None
    installed: bool = False
    authenticator_key: bytes = b""
    picture: str = ""
    messages: list[Message] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    verification: Verification | None = None

    def app_code(self, counter: int) -> str:
        """What the Authy app shows in that step."""
        return app_code(self.key, counter)


@dataclass(slots=True)
class User:
    """One user of the application. `spent` remembers the codes that were used, and when; `wrong` counts wrong ones in a row."""

    authy_id: int
    id: str
    phone: Phone
    emails: list[str]
    since: int
    confirmed: bool = False
    suspended: bool = False
    removed_at: int | None = None
    sent: dict[str, Code] = field(default_factory=dict)
    spent: dict[tuple[str, str], int] = field(default_factory=dict)
    wrong: int = 0


class State:
    """Everything, and the rules of what may follow what."""

    def __init__(self, *, clock: Callable[[], float], rules: Rules, dice: Dice, app_name: str) -> None:
        self.rules = rules
        self.dice = dice
        self.app_name = app_name
        self.app_id = dice.hex(24)
        self.users: dict[int, User] = {}
        self.phones: dict[str, Phone] = {}
        self.pictures: dict[str, tuple[bytes, str, int]] = {}
        self.counts: Counter[tuple[int, int, str]] = Counter()
        self.used: dict[str, tuple[int, int]] = {}
        self.approvals: dict[str, tuple[Phone, Approval]] = {}
        self.verifications: dict[str, Phone] = {}
        self.when_answered: Callable[[Phone, Approval], None] = lambda _phone, _approval: None
        self._clock = clock
        self._moved = 0.0

    def restore(
        self,
        *,
        app_id: str,
        app_name: str,
        moved: float,
        phones: dict[str, Phone],
        users: dict[int, User],
        pictures: dict[str, tuple[bytes, str, int]],
        counts: dict[tuple[int, int, str], int],
        used: dict[str, tuple[int, int]],
    ) -> None:
        """Replace everything by what was saved."""
        self.app_id, self.app_name, self._moved = app_id, app_name, moved
        self.phones, self.users, self.pictures, self.used = phones, users, pictures, used
        self.counts = Counter(counts)
        self.approvals = {approval.uuid: (phone, approval) for phone in phones.values() for approval in phone.approvals}
        self.verifications = {phone.verification.uuid: phone for phone in phones.values() if phone.verification is not None}

    # -- time

    def now(self) -> int:
        """Unix seconds, by the clock that can be moved."""
        return max(0, min(int(self._clock() + self._moved), LATEST))

    def advance(self, seconds: int) -> int:
        """Move the clock; the new time."""
        self._moved += seconds
        return self.now()

    def set_clock(self, at: int) -> int:
        """Set the clock, which then runs on from there; the new time."""
        self._moved = at - self._clock()
        return self.now()

    def count(self, what: str) -> None:
        """One more of something in this month's statistics."""
        today = datetime.fromtimestamp(self.now(), UTC)
        self.counts[today.year, today.month, what] += 1

    def use(self, wanted: Sequence[tuple[str, int, int]]) -> str:
        """Spend one of each limit, (name, end of its period, limit): the name of the first that has none left, and then nothing is spent; else "".

        A limit of 0 is none.
        """
        limited = [(name, until, limit, self._used(name, until)) for name, until, limit in wanted if limit]
        for name, _until, limit, spent in limited:
            if spent >= limit:
                return name
        for name, until, _limit, spent in limited:
            self.used[name] = until, spent + 1
        if len(self.used) > USED_KEPT:
            self.used = {name: kept for name, kept in self.used.items() if self.now() < kept[0]}
        return ""

    def _used(self, name: str, until: int) -> int:
        end, spent = self.used.get(name, (until, 0))
        return spent if end == until else 0

    @property
    def moved(self) -> float:
        """How far the clock has been moved, in seconds."""
        return self._moved

    # -- users and phones

    def phone(self, number: Number) -> Phone:
        """The phone with that number, new where nobody has seen it yet."""
        if number.e164 not in self.phones:
            device_id = int(self.dice.digits(6)) + 1_000_000
            self.phones[number.e164] = Phone(number, self.dice.key(), self.now(), device_id)
        return self.phones[number.e164]

    def user(self, authy_id: int) -> User | None:
        """The user with that id, removed ones included until their deletion is done."""
        user = self.users.get(authy_id)
        return None if user is None or self._gone(user) else user

    @property
    def user_count(self) -> int:
        """How many users there are, those whose deletion is done left out."""
        return sum(not self._gone(user) for user in self.users.values())

    def user_of(self, phone: Phone) -> User | None:
        """The user whose phone it is."""
        return None if phone.authy_id is None else self.users.get(phone.authy_id)

    def find_phone(self, who: str) -> Phone | None:
        """The phone with that number (`+` and digits) or Authy id, as text."""
        if who.startswith("+"):
            return self.phones.get(who)
        user = self.users.get(int(who)) if who.isascii() and who.isdigit() and len(who) <= 18 else None
        return user.phone if user else None

    def register(self, number: Number, email: str) -> User:
        """The user of that number: the same id for the same number, always. A removal is taken back."""
        phone = self.phone(number)
        user = self.user_of(phone)
        if user is None or self._gone(user):
            authy_id = phone.authy_id or FIRST_AUTHY_ID + len(self.users)
            user = User(authy_id, self.dice.hex(24), phone, [], self.now())
            self.users[authy_id], phone.authy_id = user, authy_id
            self.count("users_count")
        user.removed_at = None
        if email not in user.emails:
            user.emails.append(email)
        return user

    def suspend(self, user: User, *, suspended: bool) -> None:
        """Have the service answer 60017 for a user, or no more; then wrong codes count anew."""
        user.suspended = suspended
        if not suspended:
            user.wrong = 0

    def _gone(self, user: User) -> bool:
        return user.removed_at is not None and self.now() >= user.removed_at + self.rules.deletion_delay

    # -- codes

    def deliver(self, phone: Phone, kind: str, code: str, text: str) -> None:
        """Put a message on a phone."""
        phone.messages.append(Message(kind, code, text, self.now()))
        del phone.messages[:-MESSAGES_KEPT]

    def code_for(self, user: User, action: str) -> str:
        """The code to send for an action: the one that is still good, else a new one."""
        now = self.now()
        sent = user.sent.get(action)
        if sent is None or now >= sent.until or ("message:" + action, sent.code) in user.spent:
            sent = user.sent[action] = Code(self.dice.digits(7), now, now + self.rules.code_lifetime)
        return sent.code

    def check(self, user: User, token: str, action: str) -> str:
        """What kind of code it was ("sms", "android", "generic"), which is spent by this; "used" for a spent one, "" for a wrong one."""
        key = self._key_of(user, token, action)
        if key is None:
            return ""
        now = self.now()
        if key in user.spent:
            return "used"
        if len(user.spent) >= SPENT_KEPT:
            oldest = now - max(self.rules.code_lifetime, 2 * self.rules.app_code_step, 3 * AUTHENTICATOR_STEP)
            user.spent = {spent: at for spent, at in user.spent.items() if oldest <= at}
        user.spent[key] = now
        user.confirmed = True
        user.wrong = 0
        return {"message": "sms", "app": "android"}.get(key[0].partition(":")[0], "generic")

    def _key_of(self, user: User, token: str, action: str) -> tuple[str, str] | None:
        now = self.now()
        purpose = "message:" + action
        sent = user.sent.get(action)
        if sent is not None and sent.code == token and now < sent.until:
            return purpose, token
        if now < user.spent.get((purpose, token), -self.rules.code_lifetime) + self.rules.code_lifetime:
            return purpose, token
        if user.phone.installed:
            counter = self.app_counter()
            for step in (counter, counter - 1):
                if step >= 0 and user.phone.app_code(step) == token:
                    return "app", str(step)
        return self._authenticator_key(user.phone, token)

    def _authenticator_key(self, phone: Phone, token: str) -> tuple[str, str] | None:
        counter = self.now() // AUTHENTICATOR_STEP
        for step in (counter, counter - 1, counter + 1) if phone.authenticator_key else ():
            if step >= 0 and authenticator_code(phone.authenticator_key, step) == token:
                return "generic", str(step)
        return None

    def app_counter(self) -> int:
        """The step that the app's code is in."""
        return self.now() // self.rules.app_code_step

    # -- approval requests

    def request(self, phone: Phone, approval: Approval) -> None:
        """Put an approval request on a phone."""
        phone.approvals.append(approval)
        self.approvals[approval.uuid] = phone, approval
        for old in phone.approvals[:-APPROVALS_KEPT]:
            del self.approvals[old.uuid]
        del phone.approvals[:-APPROVALS_KEPT]

    def answer(self, phone: Phone, approval: Approval, status: str) -> bool:
        """Approve or deny; False where it was no longer pending."""
        now = self.now()
        if approval.status(now) != "pending":
            return False
        approval.answer, approval.answered_at = status, now
        self.when_answered(phone, approval)
        return True
