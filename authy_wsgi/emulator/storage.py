"""The whole state as JSON and back: users, phones, messages, requests, statistics, the clock's offset, and the order of what chance will draw."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from authy_wsgi.emulator.numbering import Number
from authy_wsgi.emulator.state import LATEST, Approval, Code, Message, Phone, State, User, Verification
from authy_wsgi.emulator.wire import JSON

FORMAT = "authy_wsgi emulator 1"


class StateError(ValueError):
    """A state that cannot be read; says what to do."""


def dump(state: State) -> JSON:
    """Everything that a fresh emulator needs to go on from here. Keys of simulated apps are in it, API keys, faults and recorded calls are not."""
    drawn = state.dice.drawn()
    return {
        "format": FORMAT,
        "app_id": state.app_id,
        "app_name": state.app_name,
        "moved": state.moved,
        "dice": [drawn[0].hex(), drawn[1]],
        "phones": [_phone(phone) for phone in state.phones.values()],
        "users": [_user(user) for user in state.users.values()],
        "pictures": {code: [key.hex(), label, size] for code, (key, label, size) in state.pictures.items()},
        "counts": [[*when, number] for when, number in state.counts.items()],
        "used": {what: list(spent) for what, spent in state.used.items()},
    }


def _phone(phone: Phone) -> JSON:
    return {**asdict(phone), "key": phone.key.hex(), "authenticator_key": phone.authenticator_key.hex()}


def _user(user: User) -> JSON:
    kept = {name: getattr(user, name) for name in ("authy_id", "id", "emails", "since", "confirmed", "suspended", "removed_at", "wrong")}
    kept["phone"] = user.phone.number.e164
    kept["sent"] = {action: asdict(code) for action, code in user.sent.items()}
    kept["spent"] = [[*what, at] for what, at in user.spent.items()]
    return kept


def load(state: State, kept: Any) -> None:
    """Have `state` go on from what `dump` described; `StateError`, and nothing changed, where that cannot be."""
    if not isinstance(kept, dict) or kept.get("format") != FORMAT:
        raise StateError(f"This is no state of the simulator, or one of another version ({FORMAT!r} is wanted). Save a new one.")
    try:
        found = _Found(kept)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise StateError(f"This state of the simulator is damaged ({type(error).__name__}: {error}). Save a new one.") from None
    state.restore(**vars(found.state))
    state.dice.go_on(*found.dice)


class _Found:
    """Everything of a file, read and looked at."""

    def __init__(self, kept: JSON) -> None:
        phones = {phone.number.e164: phone for phone in map(_read_phone, kept["phones"])}
        users = {user.authy_id: user for user in (_read_user(one, phones) for one in kept["users"])}
        if any(phone.authy_id is not None and phone.authy_id not in users for phone in phones.values()):
            raise ValueError("a phone is nobody's")
        counts = {(_int(year), _int(month), _str(what)): _int(number) for year, month, what, number in kept["counts"]}
        if not all(1 <= month <= 12 and 1 <= year <= 9999 for year, month, _ in counts):
            raise ValueError("a month that there is not")
        moved = kept["moved"]
        if type(moved) not in (int, float) or not abs(moved) <= LATEST:
            raise ValueError("a clock that is nowhere")
        int(_str(kept["app_id"])[:6], 16)
        self.state = SimpleNamespace(
            app_id=_str(kept["app_id"]),
            app_name=_str(kept["app_name"]),
            moved=float(moved),
            phones=phones,
            users=users,
            pictures={_str(code): (bytes.fromhex(key), _str(label), _int(size)) for code, (key, label, size) in kept["pictures"].items()},
            counts=counts,
            used={_str(what): (_int(until), _int(spent)) for what, (until, spent) in kept["used"].items()},
        )
        self.dice = bytes.fromhex(kept["dice"][0]), _int(kept["dice"][1])


def _read_phone(kept: JSON) -> Phone:
    verification = kept["verification"]
    if verification is not None:
        verification = _read(Verification, {**verification, "sent": _read(Code, verification["sent"])})
    parts: JSON = {
        "number": _read(Number, kept["number"]),
        "key": bytes.fromhex(kept["key"]),
        "authenticator_key": bytes.fromhex(kept["authenticator_key"]),
        "messages": [_read(Message, message) for message in kept["messages"]],
        "approvals": [_read(Approval, approval) for approval in kept["approvals"]],
        "verification": verification,
    }
    if any(message.kind not in ("sms", "call", "email") for message in parts["messages"]):
        raise ValueError("a message of a kind that there is not")
    if any(approval.answer not in ("", "approved", "denied") or approval.lifetime < 0 for approval in parts["approvals"]):
        raise ValueError("a request in a state that there is not")
    return _read(Phone, {**kept, **parts})


def _read_user(kept: JSON, phones: dict[str, Phone]) -> User:
    parts: JSON = {
        "phone": phones[kept["phone"]],
        "sent": {_str(action): _read(Code, code) for action, code in kept["sent"].items()},
        "spent": {(_str(kind), _str(code)): _int(at) for kind, code, at in kept["spent"]},
    }
    user = _read(User, {**kept, **parts})
    if not user.emails or user.authy_id < 1:
        raise ValueError("a user without an address or id")
    return user


_T = TypeVar("_T", Number, Message, Code, Verification, Approval, Phone, User)


def _read(kind: type[_T], kept: JSON) -> _T:
    """A dataclass of these members, each looked at by its annotation where that is a plain one."""
    for field in fields(kind):
        value, wanted = kept[field.name], str(field.type)
        if value is None and wanted.endswith("| None"):
            continue
        looked_at = _LEAVES.get(wanted.removesuffix(" | None"))
        if looked_at is not None:
            looked_at(value)
    return kind(**kept)


def _int(value: Any) -> int:
    if type(value) is not int or abs(value) > LATEST:
        raise TypeError("a number was expected")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    value.encode("utf-8")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false was expected")
    return value


def _texts(value: Any) -> None:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    for each in value:
        _str(each)


def _named(value: Any) -> None:
    for name, each in value.items():
        _str(name)
        _str(each)


def _named_each(value: Any) -> None:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    for each in value:
        _named(each)


_LEAVES: Mapping[str, Callable[[Any], object]] = {
    "int": _int,
    "str": _str,
    "bool": _bool,
    "list[str]": _texts,
    "dict[str, str]": _named,
    "list[dict[str, str]]": _named_each,
}


def save_file(state: State, path: Path) -> None:
    """Write the state to a file that only its owner can read: whole or not at all."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            # dumps, not dump: only that has the fast encoder.
            file.write(json.dumps(dump(state), ensure_ascii=False, separators=(",", ":")))
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink()
        raise


def load_file(state: State, path: Path) -> None:
    """Read the state from a file; `StateError` where it is none, `OSError` where it cannot be read."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        raise StateError(f"{path} is no state of the simulator: it is not JSON.") from None
    load(state, kept)
