"""What a phone shows: requests that wait for an answer, codes that change by themselves, and what is past, by days."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from authy_wsgi.emulator.codes import AUTHENTICATOR_STEP, authenticator_code, base32
from authy_wsgi.emulator.state import LATEST, Approval, Message, Phone, State, User

SHORT = 600  # seconds: a request with less than that left counts them down


@dataclass(frozen=True, slots=True)
class Card:
    """A code that changes every `step` seconds, next in `left`. `key` is what a person would type into an authenticator, "" where nobody would."""

    name: str
    code: str
    step: int
    left: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, or a request that is done. `name` is its own among this phone's, `heading` the day before which it is the first, "" for none."""

    name: str
    at: int
    kind: str
    it: Message | Approval
    heading: str


@dataclass(frozen=True, slots=True)
class Screen:
    """One phone as its page shows it. `who` is its address below `/phone/`."""

    who: str
    phone: Phone
    user: User | None
    pending: list[tuple[Approval, int]]
    cards: list[Card]
    feed: list[Entry]

    @property
    def facts(self) -> object:
        """What is on it, without what follows from the time that passes: where it is as it was, so is the page."""
        user, codes = self.user, [(card.name, card.code, card.key) for card in self.cards]
        return self.who, codes, user and (user.emails, user.suspended, user.removed_at), self.feed, [approval for approval, _ in self.pending]


def show(state: State, phone: Phone, who: str) -> Screen:
    """What is on a phone at this moment."""
    now = state.now()
    pending = [(it, it.at + it.lifetime - now if it.lifetime else 0) for it in phone.approvals if it.status(now) == "pending"]
    return Screen(who, phone, state.user_of(phone), pending, _cards(state, phone, now), _feed(phone, now))


def _cards(state: State, phone: Phone, now: int) -> list[Card]:
    cards = []
    step = state.rules.app_code_step
    if phone.installed:
        cards.append(Card("Authy app", phone.app_code(state.app_counter()), step, step - now % step))
    if phone.authenticator_key:
        code, key = authenticator_code(phone.authenticator_key, now // AUTHENTICATOR_STEP), base32(phone.authenticator_key)
        groups = " ".join(key[at : at + 4] for at in range(0, len(key), 4))
        cards.append(Card("Another authenticator", code, AUTHENTICATOR_STEP, AUTHENTICATOR_STEP - now % AUTHENTICATOR_STEP, groups))
    return cards


def _feed(phone: Phone, now: int) -> list[Entry]:
    """What is past, newest first."""
    seen: Counter[int] = Counter()
    feed: list[tuple[int, str, str, Message | Approval]] = []
    for message in phone.messages:
        # The messages of one second are told apart by their order.
        feed.append((message.at, f"{message.at}-{seen[message.at]}", message.kind, message))
        seen[message.at] += 1
    feed += [(it.answered_at or it.at, it.uuid, it.status(now), it) for it in phone.approvals if it.status(now) != "pending"]
    entries = []
    heading = "Today"
    # Sorting is stable: of two in the same second the one that came later stays later.
    for at, name, kind, it in sorted(feed, key=lambda entry: entry[0])[::-1]:
        before, heading = heading, _heading(at, now)
        entries.append(Entry(name, at, kind, it, "" if heading == before else heading))
    return entries


def _heading(at: int, now: int) -> str:
    ago = local_time(now).date() - local_time(at).date()
    return {0: "Today", 1: "Yesterday"}.get(ago.days, day(at))


# -- words and times, as the pages write them


def local_time(at: int) -> datetime:
    """A time in this machine's zone."""
    return datetime.fromtimestamp(max(0, min(at, LATEST)), UTC).astimezone()


def time_of_day(at: int) -> str:
    """`14:32`."""
    return f"{local_time(at):%H:%M}"


def day(at: int) -> str:
    """`14 November 2023`."""
    return f"{local_time(at).day} {local_time(at):%B %Y}"


def moment(at: int, now: int) -> str:
    """`14:32`, with its day where that is another one than now, and with its year likewise."""
    then, today = local_time(at), local_time(now)
    if then.date() == today.date():
        return time_of_day(at)
    return f"{then:%H:%M}, {then.day} {then:{'%b' if then.year == today.year else '%b %Y'}}"


def countdown(seconds: int) -> str:
    """`4:09`."""
    return f"{seconds // 60}:{seconds % 60:02}"


def duration(seconds: float) -> str:
    """`1 day 10 min`: the two largest parts."""
    left, words = round(abs(seconds)), []
    for size, name in ((86400, "day"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, size)
        if number:
            words.append(f"{number:,} {name}{'s' if name == 'day' and number != 1 else ''}")
    return " ".join(words[:2])


def parts(message: Message) -> tuple[str, str, str]:
    """A message's text before the code, the code as it is there, and the text after; "" for a code that is not in it."""
    for said in (" ".join(message.code), message.code) if message.code else ():
        before, found, after = message.text.partition(said)
        if found:
            return before, message.code, after
    return message.text, "", ""
