"""Users: register, status, update, remove, activity, and the secret for another authenticator."""

from __future__ import annotations

import re
from contextlib import suppress

from authy_wsgi.emulator.ask import Ask, as_text, find_user
from authy_wsgi.emulator.codes import AUTHENTICATOR_STEP, authenticator_code, base32
from authy_wsgi.emulator.failures import ApiError, bad_parameter, failure, invalid
from authy_wsgi.emulator.numbering import Number, NumberError, read_number
from authy_wsgi.emulator.state import User
from authy_wsgi.emulator.wire import JSON

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
        raise failure(60027, fields=faults)
    known = len(ask.state.users)
    user = ask.state.register(number, email)
    if len(ask.state.users) > known and _wants_link(ask, given):
        _send_link(ask, user)
    return {"message": "User created successfully.", "user": {"id": user.authy_id}, "success": True}


def _send_link(ask: Ask, user: User) -> None:
    """A text message like any other: where those are off, used up or not for this number, none is sent, and registering works all the same."""
    if not ask.rules.sms_enabled or (user.phone.number.kind == "landline" and not ask.rules.sms_to_landlines):
        return
    with suppress(ApiError):
        ask.spend("sms")
        ask.state.deliver(user.phone, "sms", "", f"Install the Authy app to sign in to {ask.state.app_name}: https://www.authy.com/install")
        ask.state.count("sms_count")


def _wants_link(ask: Ask, given: dict[str, object]) -> bool:
    if not ask.rules.install_links:
        return False
    told = ask.text("send_install_link_via_sms") or str(given.get("send_install_link_via_sms") or "true")
    return told.strip().lower() not in ("false", "0")


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
        raise failure(60026)
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
        raise failure(60026)
    user.removed_at = ask.state.now()
    return {"message": "User was added to remove.", "success": True}


def update(ask: Ask) -> JSON:
    """Change a user's first e-mail address."""
    user = ask.user()
    email = ask.required("email").strip()
    if not _EMAIL.fullmatch(email):
        raise failure(60027, fields={"email": "is invalid"})
    user.emails = [email, *(known for known in user.emails[1:] if known != email)]
    return {"message": "User was updated successfully", "success": True}


def register_activity(ask: Ask) -> JSON:
    """Take note of something that happened to the user elsewhere."""
    ask.user()
    if ask.text("type") not in ACTIVITIES:
        raise failure(60029, f"You can only create the following activities: {', '.join(ACTIVITIES)}.")
    return {"message": "Activity was created.", "success": True}


def secret(ask: Ask) -> JSON:
    """The address of an image with the secret for another authenticator; a new secret each time."""
    user = ask.user()
    if not ask.rules.generic_tokens_enabled:
        raise failure(60123)
    size = ask.text("qr_size") or "300"
    if not (size.isascii() and size.isdigit() and 1 <= len(size) <= 4 and int(size)):
        raise bad_parameter("qr_size", "Must be a number of pixels")
    state, phone = ask.state, user.phone
    label = ask.text("label") or f"{state.app_name}: {user.emails[0]}"
    if len(label) > 200:
        raise bad_parameter("label", "Must have at most 200 characters")
    state.pictures.pop(phone.picture, None)
    phone.authenticator_key, phone.picture = state.dice.key(20), state.dice.hex(32)
    state.pictures[phone.picture] = (phone.authenticator_key, label, int(size))
    return {"qr_code": f"{ask.base_url}/qr/{phone.picture}.png", "label": label, "issuer": state.app_name, "success": True}


def export_secret(ask: Ask) -> JSON:
    """The secret that `secret` made, and the code that it shows now: for moving to another service."""
    phone = _exporting(ask).phone
    if not phone.authenticator_key:
        raise invalid("This user has no secret for another authenticator.", status=404)
    code = authenticator_code(phone.authenticator_key, ask.state.now() // AUTHENTICATOR_STEP)
    return {"secret": base32(phone.authenticator_key), "otp": code, "success": True}


def export_number(ask: Ask) -> JSON:
    """The whole phone number: for moving to another service."""
    number = _exporting(ask).phone.number
    return {"phone_number": number.national, "country_code": str(number.country_code), "e164": number.e164, "success": True}


def _exporting(ask: Ask) -> User:
    user = ask.user()
    if not ask.rules.exports_enabled:
        raise failure(60031)
    return user


def registration_status(ask: Ask) -> JSON:
    """A registration by the Authy SDK; there is none in this service, so none is ever found."""
    ask.required("custom_user_id")
    raise failure(60035)


def remove_device(ask: Ask) -> JSON:
    """Take the app off the phone that is that device."""
    wanted = ask.arguments["id"]
    for phone in ask.state.phones.values():
        if phone.installed and str(phone.device_id) == wanted:
            phone.installed = False
            return {"message": "Device was removed.", "success": True}
    raise failure(60092)
