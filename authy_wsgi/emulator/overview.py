"""The list of all phones: those with something to answer first, then the most active, a page of them at a time."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from heapq import nlargest

from authy_wsgi.emulator.screen import moment
from authy_wsgi.emulator.state import Phone, State

SHOWN = 50
KINDS = {"sms": "SMS", "call": "call", "email": "e-mail", "request": "request"}

_NUMBER = re.compile(r"\+?[0-9 ().\-]*[0-9][0-9 ().\-]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One phone of the list. `at` is when something last happened on it, `last` says what."""

    who: str
    shown: str
    about: tuple[str, ...]
    waiting: int
    at: int
    last: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list. `waiting` counts the requests on all phones that nobody has answered yet."""

    rows: list[Row]
    query: str
    page: int
    pages: int
    matched: int
    total: int
    waiting: int


def listing(state: State, query: str = "", page: int = 1, without: Collection[str] = ()) -> Listing:
    """The phones that `query` (part of a number, an Authy id, part of an e-mail address) finds, but for the numbers in `without`."""
    now = state.now()
    found = _found(state, [phone for number, phone in state.phones.items() if number not in without], query)
    waiting = {id(phone): _waiting(phone, now) for phone in state.phones.values() if phone.approvals}
    pages = max(1, -(-len(found) // SHOWN))
    page = max(1, min(page, pages))
    # The number settles what is equal: the newest first.
    ranked = nlargest(page * SHOWN, ((waiting.get(id(phone), 0) > 0, _activity(phone), number) for number, phone in enumerate(found)))
    rows = [_row(state, found[number], waiting.get(id(found[number]), 0), now) for *_, number in ranked[(page - 1) * SHOWN :]]
    return Listing(rows, query, page, pages, len(found), len(state.phones), sum(waiting.values()))


def _found(state: State, phones: list[Phone], query: str) -> list[Phone]:
    wanted = query.strip().lower()
    if not wanted:
        return phones
    if not _NUMBER.fullmatch(wanted):
        return [phone for phone in phones if any(wanted in email.lower() for email in _emails(state, phone))]
    digits = re.sub("[^0-9]", "", wanted)
    if wanted.startswith("+"):
        return [phone for phone in phones if phone.number.e164.startswith("+" + digits)]
    return [phone for phone in phones if digits in phone.number.e164 or digits == str(phone.authy_id) or any(wanted in it for it in _emails(state, phone))]


def _emails(state: State, phone: Phone) -> list[str]:
    user = state.user_of(phone)
    return user.emails if user else []


def _waiting(phone: Phone, now: int) -> int:
    return sum(approval.status(now) == "pending" for approval in phone.approvals)


def _activity(phone: Phone) -> int:
    return max(phone.since, phone.messages[-1].at if phone.messages else 0, phone.approvals[-1].at if phone.approvals else 0)


def _row(state: State, phone: Phone, waiting: int, now: int) -> Row:
    user, at = state.user_of(phone), _activity(phone)
    about = ["phone verification only"]
    if user is not None:
        about = [f"Authy {user.authy_id}", user.emails[0]]
        about += [word for word, true in (("app", phone.installed), ("suspended", user.suspended), ("removed", user.removed_at is not None)) if true]
    last = ""
    if phone.approvals and phone.approvals[-1].at == at:
        last = "request"
    elif phone.messages and phone.messages[-1].at == at:
        last = phone.messages[-1].kind
    if last:
        about.append(f"{KINDS[last]} at {moment(at, now)}")
    return Row(str(phone.authy_id or phone.number.e164), phone.number.shown, tuple(about), waiting, at, KINDS.get(last, "new"))
