"""Users: register, status, update, remove, activity, and the secret for another authenticator."""

from __future__ import annotations

import re

from authy_wsgi.emulator.ask import Ask, as_text, find_user
from authy_wsgi.emulator.numbering import Number, NumberError, read_number
from authy_wsgi.emulator.state import User
from authy_wsgi.emulator.wire import JSON, ApiError, bad_parameter, user_not_found

ACTIVITIES = ("password_reset", "banned", "unbanned", "cookie_login")

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}")


def new(ask: Ask) -> JSON:
    """Register a number; the same number has the same id, however it is written."""
    given = ask.parameters.get("user")
    given = given if isinstance(given, dict) else {}
    faults: dict[str, str] = {}
    email = _field(given, "email", faults).strip()
    if not _EMAIL.fullmatch(email):
        faults["email"] = "is invalid" if email else "is invalid and can't be blank"
    number = _read(_field(given, "country_code", faults), _field(given, "cellphone", faults), faults)
    if faults or number is None:
        raise ApiError(400, 60027, "User was not valid", fields=faults)
    user = ask.state.register(number, email)
    return {"message": "User created successfully.", "user": {"id": user.authy_id}, "success": True}


def _field(given: dict[str, object], name: str, faults: dict[str, str]) -> str:
    try:
        return as_text(name, given.get(name))
    except ApiError:
        faults[name] = "is invalid"
        return ""


def _read(country_code: str, cellphone: str, faults: dict[str, str]) -> Number | None:
    try:
        return read_number(country_code, cellphone)
    except NumberError as error:
        faults[error.field] = error.text
        return None


def status(ask: Ask) -> JSON:
    """What is known of a user; a removed one is marked until the deletion is done."""
    user = find_user(ask.state, ask.arguments["id"])
    if user is None:
        raise user_not_found()
    phone = user.phone
    return {
        "status": {
            "authy_id": user.authy_id,
            "confirmed": user.confirmed,
            "registered": phone.installed,
            "country_code": phone.number.country_code,
            "phone_number": phone.number.status_mask,
            "email": user.emails[0],
            "devices": ["android"] if phone.installed else [],
            "has_hard_token": False,
            "account_disabled": user.removed_at is not None,
            "detailed_devices": [_device(user)] if phone.installed else [],
            "deleted_devices": [],
        },
        "message": "User status.",
        "success": True,
    }


def _device(user: User) -> JSON:
    return {
        "device_type": "authy",
        "os_type": "android",
        "registration_device_id": None,
        "registration_method": "sms",
        "device_id": user.phone.device_id,
        "last_sync_date": user.phone.since,
        "creation_date": user.phone.since,
    }


def remove(ask: Ask) -> JSON:
    """Mark a user for deletion: codes keep verifying until then."""
    user = find_user(ask.state, ask.arguments["id"])
    if user is None or user.removed_at is not None:
        raise user_not_found()
    user.removed_at = ask.state.now()
    return {"message": "User was added to remove.", "success": True}


def update(ask: Ask) -> JSON:
    """Change a user's first e-mail address."""
    user = ask.user()
    email = ask.required("email").strip()
    if not _EMAIL.fullmatch(email):
        raise ApiError(400, 60027, "User was not valid", fields={"email": "is invalid"})
    user.emails = [email, *(known for known in user.emails[1:] if known != email)]
    return {"message": "User was updated successfully", "success": True}


def register_activity(ask: Ask) -> JSON:
    """Take note of something that happened to the user elsewhere."""
    ask.user()
    if ask.text("type") not in ACTIVITIES:
        raise ApiError(400, 60029, f"You can only create the following activities: {', '.join(ACTIVITIES)}.")
    return {"message": "Activity was created.", "success": True}


def secret(ask: Ask) -> JSON:
    """The address of an image with the secret for another authenticator; a new secret each time."""
    user = ask.user()
    size = ask.text("qr_size") or "300"
    if not (size.isascii() and size.isdigit() and 1 <= len(size) <= 4 and int(size)):
        raise bad_parameter("qr_size", "Must be a number of pixels")
    label = ask.text("label") or f"{ask.state.app_name}: {user.emails[0]}"
    if len(label) > 200:
        raise bad_parameter("label", "Must have at most 200 characters")
    user.phone.authenticator_key = ask.state.dice.key(20)
    code = ask.state.dice.hex(32)
    ask.state.pictures[code] = (user.phone.authenticator_key, label, int(size))
    return {"qr_code": f"{ask.base_url}/qr/{code}.svg", "label": label, "issuer": ask.state.app_name, "success": True}
