"""The whole state as JSON and back: users, phones, messages, requests, statistics, the clock's offset, and the order of what chance will draw."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from authy_wsgi.emulator.numbering import Number
from authy_wsgi.emulator.state import Approval, Code, Message, Phone, State, User, Verification
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
        phones = {phone.number.e164: phone for phone in map(_read_phone, kept["phones"])}
        users = {user.authy_id: user for user in (_read_user(one, phones) for one in kept["users"])}
        pictures = {code: (bytes.fromhex(key), str(label), int(size)) for code, (key, label, size) in kept["pictures"].items()}
        counts = {(int(year), int(month), str(what)): int(number) for year, month, what, number in kept["counts"]}
        used = {what: (int(until), int(spent)) for what, (until, spent) in kept["used"].items()}
        app_id, app_name, moved = str(kept["app_id"]), str(kept["app_name"]), float(kept["moved"])
        key, drawn = bytes.fromhex(kept["dice"][0]), int(kept["dice"][1])
        int(app_id, 16)
        if any(phone.authy_id is not None and phone.authy_id not in users for phone in phones.values()):
            raise ValueError("a phone is nobody's")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise StateError(f"This state of the simulator is damaged ({type(error).__name__}: {error}). Save a new one.") from None
    state.restore(app_id=app_id, app_name=app_name, moved=moved, phones=phones, users=users, pictures=pictures, counts=counts, used=used)
    state.dice.go_on(key, drawn)


def _read_phone(kept: JSON) -> Phone:
    verification = kept["verification"]
    if verification is not None:
        verification = Verification(**{**verification, "sent": Code(**verification["sent"])})
    parts: JSON = {
        "number": Number(**kept["number"]),
        "key": bytes.fromhex(kept["key"]),
        "authenticator_key": bytes.fromhex(kept["authenticator_key"]),
        "messages": [Message(**message) for message in kept["messages"]],
        "approvals": [Approval(**approval) for approval in kept["approvals"]],
        "verification": verification,
    }
    return Phone(**{**kept, **parts})


def _read_user(kept: JSON, phones: dict[str, Phone]) -> User:
    parts: JSON = {
        "phone": phones[kept["phone"]],
        "sent": {action: Code(**code) for action, code in kept["sent"].items()},
        "spent": {(str(kind), str(code)): int(at) for kind, code, at in kept["spent"]},
    }
    return User(**{**kept, **parts})


def save_file(state: State, path: Path) -> None:
    """Write the state to a file that only its owner can read: whole or not at all."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(dump(state), file, ensure_ascii=False, separators=(",", ":"))
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink()
        raise


def load_file(state: State, path: Path) -> None:
    """Read the state from a file; `StateError` where it is none, `OSError` where it cannot be read."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise StateError(f"{path} is no state of the simulator: it is not JSON.") from None
    load(state, kept)
