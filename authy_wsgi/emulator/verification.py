"""Phone verification and information: the `phones/` calls, which know numbers and no users."""

from __future__ import annotations

from datetime import UTC, datetime

from authy_wsgi.emulator.ask import Ask
from authy_wsgi.emulator.failures import ApiError, bad_parameter, failure
from authy_wsgi.emulator.numbering import Number
from authy_wsgi.emulator.state import Code, Phone, State, Verification
from authy_wsgi.emulator.wire import JSON
from authy_wsgi.emulator.wording import started, verification_message


def start(ask: Ask) -> JSON:
    """Send a code to a number; within its time the same one again."""
    number = ask.number()
    via = ask.required("via")
    if via not in ("sms", "call"):
        raise bad_parameter("via", "Must be sms or call")
    for name in ("custom_code", "custom_message"):
        if ask.text(name) and not ask.rules.custom_messages:
            raise failure(60091, f"{name} is not allowed for this application")
    if via == "sms" and number.kind == "landline" and not ask.rules.sms_to_landlines:
        raise failure(60082)
    _enabled(ask, via)
    length, custom = _wanted(ask)
    ask.spend(via)
    phone = ask.state.phone(number)
    verification = _running(ask, phone) or _begin(ask.state, phone, custom or ask.state.dice.digits(length))
    code = verification.sent.code
    text = verification_message(ask.text("locale"), ask.state.app_name, " ".join(code) if via == "call" else code)
    ask.state.deliver(phone, via, code, ask.text("custom_message").replace("{{code}}", code) or text)
    ask.state.count("sms_count" if via == "sms" else "calls_count")
    return {
        "carrier": "Simulated",
        "is_cellphone": number.kind == "cellphone",
        "is_ported": False,
        "message": started(ask.text("locale"), via, number.shown),
        "seconds_to_expire": verification.sent.until - ask.state.now() - 1,
        "uuid": verification.uuid,
        "success": True,
    }


def _enabled(ask: Ask, via: str) -> None:
    if via == "sms" and not ask.rules.sms_enabled:
        raise failure(60007)
    if via == "call" and not ask.rules.calls_enabled:
        raise failure(60006)


def _running(ask: Ask, phone: Phone) -> Verification | None:
    verification = phone.verification
    if verification is None or verification.verified or ask.state.now() >= verification.sent.until:
        return None
    return verification


def _wanted(ask: Ask) -> tuple[int, str]:
    """The length of the code that was asked for, and the code itself where the caller brings one."""
    length, custom = ask.text("code_length") or str(ask.rules.verification_digits), ask.text("custom_code")
    if not (length.isascii() and length.isdigit() and len(length) <= 2 and 4 <= int(length) <= 10):
        raise bad_parameter("code_length", "Must be a number from 4 to 10")
    if custom and not (custom.isascii() and custom.isdigit() and 4 <= len(custom) <= 10):
        raise bad_parameter("custom_code", "Must be 4 to 10 digits")
    return int(length), custom


def _begin(state: State, phone: Phone, code: str) -> Verification:
    now = state.now()
    if phone.verification is not None:
        state.verifications.pop(phone.verification.uuid, None)
    phone.verification = Verification(state.dice.uuid(), Code(code, now, now + state.rules.code_lifetime))
    state.verifications[phone.verification.uuid] = phone
    return phone.verification


def check(ask: Ask) -> JSON:
    """Check a number's code, which is spent by this."""
    number, code = ask.number(), ask.required("verification_code")
    phone = ask.state.phones.get(number.e164)
    verification = _running(ask, phone) if phone else None
    if verification is None:
        raise _nothing_pending(number.shown)
    if verification.sent.code != code:
        raise failure(60022)
    verification.verified = True
    return {"message": "Verification code is correct.", "success": True}


def status(ask: Ask) -> JSON:
    """How a verification stands, by its uuid or its number."""
    phone = _asked_phone(ask)
    verification = phone.verification if phone else None
    if phone is None or verification is None:
        raise _nothing_pending(ask.text("uuid") or ask.number().shown)
    now = ask.state.now()
    left = max(0, verification.sent.until - now)
    return {
        "message": "Phone Verification status.",
        "status": "verified" if verification.verified else "pending" if left else "expired",
        "seconds_to_expire": left,
        "country_code": str(phone.number.country_code),
        "phone_number": phone.number.national,
        "uuid": verification.uuid,
        "success": True,
    }


def _asked_phone(ask: Ask) -> Phone | None:
    uuid = ask.text("uuid")
    if uuid:
        return ask.state.verifications.get(uuid)
    if not (ask.text("country_code") and ask.text("phone_number")):
        raise failure(60042)
    return ask.state.phones.get(ask.number().e164)


def _nothing_pending(whom: str) -> ApiError:
    return failure(60023, f"No pending verifications for {whom} found.")


def info(ask: Ask) -> JSON:
    """What kind of number it is."""
    number: Number = ask.number()
    at = datetime.fromtimestamp(ask.state.now(), UTC)
    return {
        "message": f"Phone number information as of {at:%Y-%m-%d %H:%M:%S} UTC",
        "type": number.kind,
        "provider": "Simulated",
        "ported": False,
        "success": True,
    }
