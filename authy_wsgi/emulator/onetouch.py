"""Approval requests: create one, and ask what became of it."""

from __future__ import annotations

from datetime import UTC, datetime

from authy_wsgi.emulator.ask import Ask, as_text
from authy_wsgi.emulator.failures import bad_parameter, failure
from authy_wsgi.emulator.parameters import items_of
from authy_wsgi.emulator.state import Approval, Phone, State
from authy_wsgi.emulator.wire import JSON

RESOLUTIONS = ("default", "low", "med", "high")
LONGEST = 2**31 - 1


def create(ask: Ask) -> JSON:
    """Put a request on the user's phone."""
    if not ask.rules.onetouch_enabled:
        raise failure(60065)
    user = ask.user()
    message = ask.required("message")
    if len(message) > ask.rules.message_limit:
        raise bad_parameter("message", f"Must have at most {ask.rules.message_limit} characters")
    approval = Approval(
        uuid=ask.state.dice.uuid(),
        id=ask.state.dice.hex(24),
        email=user.emails[0],
        message=message,
        details=_details(ask, "details"),
        hidden_details=_details(ask, "hidden_details"),
        logos=_logos(ask),
        at=ask.state.now(),
        lifetime=_lifetime(ask),
    )
    if ask.rules.approval_needs_app and not user.phone.installed:
        raise failure(60050, status=ask.rules.no_app_status)
    ask.state.request(user.phone, approval)
    return {"approval_request": {"uuid": approval.uuid}, "success": True}


def _details(ask: Ask, name: str) -> dict[str, str]:
    given = ask.parameters.get(name)
    if given is None or given in ("", []):
        return {}
    if isinstance(given, str):
        given = {"Details": given}
    if not isinstance(given, dict):
        raise bad_parameter(name, "Must be a set of names and values")
    details = {label: as_text(name, value) for label, value in given.items()}
    if ask.rules.details_limit and len(details) > ask.rules.details_limit:
        raise bad_parameter(name, f"Must be at most {ask.rules.details_limit}")
    for label, value in details.items():
        if len(label) > ask.rules.label_limit or len(value) > ask.rules.value_limit:
            raise bad_parameter(name, f"Labels have at most {ask.rules.label_limit} characters, values {ask.rules.value_limit}")
    return details


def _logos(ask: Ask) -> list[dict[str, str]]:
    items = items_of(ask.parameters.get("logos"))
    if items is None:
        raise bad_parameter("logos", "Must be a list")
    logos = [_logo(item) for item in items]
    if logos and not any(logo["res"] == "default" for logo in logos):
        raise bad_parameter("logos", "One of them must have the res default")
    return logos


def _logo(item: object) -> dict[str, str]:
    if not isinstance(item, dict):
        raise bad_parameter("logos", "Each needs res and url")
    res, url = as_text("logos", item.get("res")), as_text("logos", item.get("url"))
    if res not in RESOLUTIONS or not url or len(url) > 500:
        raise bad_parameter("logos", f"Each needs a url of at most 500 characters, and a res of {', '.join(RESOLUTIONS)}")
    return {"res": res, "url": url}


def _lifetime(ask: Ask) -> int:
    text = ask.text("seconds_to_expire").strip()
    if not text:
        return ask.rules.approval_lifetime
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= LONGEST):
        raise bad_parameter("seconds_to_expire", "Must be a whole number of seconds, 0 for no end")
    return int(text)


def status(ask: Ask) -> JSON:
    """What became of a request."""
    uuid = ask.arguments["uuid"]
    found = ask.state.approvals.get(uuid)
    if found is None:
        raise failure(60049, f"Approval request not found: {uuid}")
    return {"approval_request": _described(ask.state, *found), "success": True}


def _described(state: State, phone: Phone, approval: Approval) -> JSON:
    user = state.user_of(phone)
    answered = approval.answered_at if approval.answer else None
    described: JSON = {
        "_app_name": state.app_name,
        "_app_serial_id": int(state.app_id[:6], 16),
        "_authy_id": phone.authy_id,
        "_id": approval.id,
        "_user_email": approval.email,
        "app_id": state.app_id,
        "created_at": _iso(approval.at),
        "notified": True,
        "processed_at": None if answered is None else _iso(answered),
        "seconds_to_expire": approval.lifetime,
        "status": approval.status(state.now()),
        "updated_at": _iso(approval.at if answered is None else answered),
        "user_id": "" if user is None else user.id,
        "uuid": approval.uuid,
    }
    if answered is not None:
        described["device"] = {"id": phone.device_id, "os_type": "android", "registration_date": phone.since, "last_sync_date": answered}
    return described


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
