"""One-time codes: by SMS, call and e-mail, from the app, and the check of all of them."""

from __future__ import annotations

from authy_wsgi.emulator.ask import Ask, find_user
from authy_wsgi.emulator.failures import bad_parameter, failure
from authy_wsgi.emulator.state import User
from authy_wsgi.emulator.wire import JSON
from authy_wsgi.emulator.wording import code_message

_IGNORED = {
    "sms": "Ignored: SMS is not needed for smartphones. Pass force=true if you want to actually send it anyway.",
    # Two spaces before "App": as the service writes it.
    "call": "Call ignored. User is using  App Tokens and this call is not necessary. Pass force=true if you still want to call users that are using the App.",
    "email": "Ignored: Email is not needed for smartphones. Pass force=true if you want to actually send it anyway.",
}
_SENT = {"sms": "SMS token was sent", "call": "Call started...", "email": "Email token was sent"}


def sms(ask: Ask) -> JSON:
    """Send a code by SMS."""
    if not ask.rules.sms_enabled:
        raise failure(60007)
    return _send(ask, "sms")


def call(ask: Ask) -> JSON:
    """Send a code by a call."""
    if not ask.rules.calls_enabled:
        raise failure(60006)
    return _send(ask, "call")


def email(ask: Ask) -> JSON:
    """Send a code by e-mail."""
    return _send(ask, "email")


def _send(ask: Ask, kind: str) -> JSON:
    user = ask.user()
    action, title = _action(ask)
    address: JSON = {"email": user.emails[0]} if kind == "email" else {"cellphone": user.phone.number.message_mask}
    if user.phone.installed and not ask.flag("force"):
        return {"message": _IGNORED[kind], **address, "device": "android", "ignored": True, "success": True}
    if kind == "sms" and user.phone.number.kind == "landline" and not ask.rules.sms_to_landlines:
        raise failure(60082)
    ask.spend(kind)
    state = ask.state
    code = state.code_for(user, action)
    text = code_message(ask.text("locale"), state.app_name, " ".join(code) if kind == "call" else code)
    state.deliver(user.phone, kind, code, f"{title}: {text}" if title else text)
    state.count(f"{kind}s_count" if kind == "call" else f"{kind}_count")
    if kind == "email":
        address["email_id"] = "EM" + state.dice.hex(32)
    return {"success": True, "message": _SENT[kind], **address}


def _action(ask: Ask) -> tuple[str, str]:
    for name in ("action", "action_message"):
        if len(ask.text(name)) > 255:
            raise bad_parameter(name, "Must have at most 255 characters")
    return ask.text("action"), ask.text("action_message")


def verify(ask: Ask) -> JSON:
    """Check a code. The answer's `success` is the text "true", by which it differs from every other call's."""
    user = find_user(ask.state, ask.arguments["id"])
    if user is None:
        raise failure(60016)
    if user.suspended:
        raise failure(60017)
    token = ask.arguments["token"]
    if not (token.isascii() and token.isdigit() and 6 <= len(token) <= 12):
        raise failure(60020)
    kind = ask.state.check(user, token, ask.text("action"))
    # Until the first good code the service takes any, so that nobody is locked out, unless the caller says force=true.
    if kind in ("", "used") and (user.confirmed or ask.flag("force")):
        if kind:
            raise failure(60019)
        user.wrong += 1
        user.suspended = 0 < ask.rules.wrong_codes <= user.wrong
        raise failure(60020)
    ask.state.count("auths_count")
    return {
        "message": "Token is valid.",
        "token": "is valid",
        "success": "true" if ask.rules.verify_success_text else True,
        "device": _device(user, kind if kind != "used" else ""),
    }


def _device(user: User, kind: str) -> JSON:
    known = kind == "android"
    return {
        "id": user.phone.device_id if known else None,
        "os_type": kind or "unknown",
        "registration_date": user.phone.since,
        "registration_method": "sms" if known else None,
        **dict.fromkeys(("registration_country", "registration_region", "registration_city", "country", "region", "city", "ip")),
        "last_account_recovery_at": None,
        "last_sync_date": user.phone.since if known else None,
    }
