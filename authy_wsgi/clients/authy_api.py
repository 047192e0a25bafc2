"""The Authy REST API (https://api.authy.com, JSON), call by call, each believed only when HTTP status and every field say so.

Errors of the API are `AuthyError` with the provider's own words: `message`, `error_code` ("60020"), `token` ("is invalid"). A broken world is `Unavailable`,
a key that the provider does not know is `Misconfigured`. Sources: Twilio's Authy API pages, and what its client libraries and their fixtures agree on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import requests

from authy_wsgi.clients.http import Deadlines, Reply, Wire
from authy_wsgi.errors import Misconfigured, Refused, Unavailable

PRODUCTION = "https://api.authy.com"
TOKEN = re.compile(r"[0-9]{6,10}", re.ASCII)
_UUID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_KEY_ERRORS = frozenset({"60001", "60047", "60056", "60061", "60063", "60073"})
_BUSY_ERRORS = frozenset({"60000", "60003", "60008", "60057", "60060"})


class AuthyError(Refused):
    """The API's own error: `status` (HTTP), `error_code` ("60020"), `message` ("Token is invalid"), `token` ("is invalid", on verify) and `errors`."""

    success = False

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        code, message = _words(body.get("error_code"), 12), _words(body.get("message"))
        super().__init__("The phone service did not take this.", code=code, text=message, status=status)
        self.error_code = code
        self.message = message
        self.token = _words(body.get("token"), 40)
        errors = body.get("errors")
        self.errors = {_words(name, 40): _words(text) for name, text in list(errors.items())[:20]} if isinstance(errors, dict) else {}

    def __str__(self) -> str:
        return f"{self.error_code or self.status} {self.message}"


# A code or number however it is grouped, an address, and whatever is long enough to be a key.
_TELLING = re.compile(r"[+(]*[0-9](?:[ \u00a0().+/_-]*[0-9]){5,}|\S*@\S*|[A-Za-z0-9_-]{16,}")


def _words(said: Any, length: int = 200) -> str:
    """The provider's own words, fit for a log: printable, cut, and without anything that could be a code, a number, an address or a key."""
    # SECURITY: a provider, or whatever answers in its place, may repeat what it was asked.
    text = "".join(character if character.isprintable() else " " for character in str(said)) if isinstance(said, str | int) else ""
    return _TELLING.sub("…", text)[:length]


class Sent(NamedTuple):
    """What became of an SMS, call or e-mail. `ignored`: nothing was sent, because the person has the app (`device`)."""

    ignored: bool
    device: str = ""


class UserStatus(NamedTuple):
    """`registered`: an app of Authy's runs on a device of theirs. `confirmed`: they have used a valid code once."""

    authy_id: int
    registered: bool
    confirmed: bool
    disabled: bool


class Approval(NamedTuple):
    """How an approval request stands, and whose it is."""

    uuid: str
    authy_id: int
    status: Literal["pending", "approved", "denied", "expired"]


class AuthyAPI:
    """`AuthyAPI(api_key)`: the calls. The key travels in a header, never in a URL."""

    def __init__(self, api_key: str, *, base_url: str = PRODUCTION, deadlines: Deadlines = Deadlines(), session: requests.Session | None = None) -> None:
        if not isinstance(api_key, str) or not re.fullmatch(r"[!-~]{8,128}", api_key):
            raise Misconfigured("api_key must be the application's API key: 8 to 128 visible ASCII characters, 32 as a rule.")
        self.wire = Wire(base_url, {"X-Authy-API-Key": api_key, "Accept": "application/json", "User-Agent": "authy_wsgi"}, deadlines, session)

    def __repr__(self) -> str:
        return f"AuthyAPI(base_url={self.wire.base_url!r})"

    def register_user(self, email: str, cellphone: str, country_code: int) -> int:
        """The Authy ID of this number (the same one each time). Sends nothing."""
        form = {
            "user[email]": email,
            "user[cellphone]": cellphone,
            "user[country_code]": str(country_code),
            "send_install_link_via_sms": "false",
        }
        body = _success(self.wire.call("POST", ("protected", "json", "users", "new"), form=form))
        user = body.get("user")
        return _number(user.get("id") if isinstance(user, dict) else None, "users/new")

    def user_status(self, authy_id: int) -> UserStatus:
        """What the provider knows of a user."""
        body = _success(self.wire.call("GET", ("protected", "json", "users", str(authy_id), "status"), repeat=True))
        status = body.get("status")
        if not isinstance(status, dict) or _number(status.get("authy_id"), "status") != authy_id or not isinstance(status.get("registered"), bool):
            raise Unavailable("provider", "an unexpected answer to status")
        return UserStatus(authy_id, status["registered"], status.get("confirmed") is True, status.get("account_disabled") is True)

    def request_sms(self, authy_id: int, *, force: bool = False, action: str = "", locale: str = "") -> Sent:
        """Send a code by SMS; `ignored` where the person has the app and `force` is not given. `action` binds the code to that word."""
        return self._send("sms", authy_id, force, action, locale)

    def request_call(self, authy_id: int, *, force: bool = False, action: str = "", locale: str = "") -> Sent:
        """Say a code in a phone call; as `request_sms`."""
        return self._send("call", authy_id, force, action, locale)

    def _send(self, by: str, authy_id: int, force: bool, action: str, locale: str) -> Sent:
        query = {name: value for name, value in (("force", "true" if force else ""), ("action", action), ("locale", locale)) if value}
        body = _success(self.wire.call("GET", ("protected", "json", by, str(authy_id)), query=query))
        # A verify's success in the place of a send's, or the other way round, is no success of this call.
        if "token" in body or not isinstance(body.get("cellphone"), str):
            raise Unavailable("provider", f"an unexpected answer to {by}")
        ignored = body.get("ignored", False)
        if type(ignored) is not bool:
            raise Unavailable("provider", f"an unexpected answer to {by}")
        return Sent(ignored, _words(body.get("device"), 40))

    def request_email(self, authy_id: int, *, force: bool = False, action: str = "") -> str:
        """Send a code by e-mail: the address that it went to. Whoever registered the number first may have named another one than yours."""
        query = {name: value for name, value in (("force", "true" if force else ""), ("action", action)) if value}
        body = _success(self.wire.call("POST", ("protected", "json", "email", str(authy_id)), query=query))
        if "token" in body or not isinstance(body.get("email_id"), str) or not isinstance(body.get("email"), str):
            raise Unavailable("provider", "an unexpected answer to email")
        return str(body["email"])

    def verify(self, authy_id: int, token: str, *, action: str = "") -> str:
        """The kind of device that a valid code came from ("sms", "android", ...), "" where the provider does not say. An invalid code is an `AuthyError`.

        `ValueError` for a token that is not 6 to 10 ASCII digits: it is never sent.
        """
        if not TOKEN.fullmatch(token):
            raise ValueError("a token is 6 to 10 digits")
        # SECURITY: without force=true the server answers "valid" to ANY token of a user who has never used one.
        query = {"force": "true", "action": action} if action else {"force": "true"}
        reply = self.wire.call("GET", ("protected", "json", "verify", token, str(authy_id)), query=query)
        body = reply.body
        if reply.status != 200 or body is None:
            raise _failure(reply)
        # The API sends success as the string "true" here and as a boolean elsewhere; both are met in the wild. Everything else is no success.
        said = body.get("success")
        genuine = body.get("token") == "is valid" and body.get("message") == "Token is valid." and (said is True or said == "true")
        if not genuine:
            raise Unavailable("provider", "an unexpected answer to verify")
        device = body.get("device")
        kind = device.get("os_type") if isinstance(device, dict) else ""
        return kind[:40] if isinstance(kind, str) else ""

    def request_approval(
        self,
        authy_id: int,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        hidden_details: Mapping[str, str] | None = None,
        logos: Sequence[Mapping[str, str]] = (),
        seconds_to_expire: int = 120,
    ) -> str:
        """Ask for an approval on the phone (OneTouch): the request's uuid. Labels are cut at 20 characters, values and the message at 200."""
        form = {"message": message[:200], "seconds_to_expire": str(seconds_to_expire)}
        for kind, pairs in (("details", details), ("hidden_details", hidden_details)):
            for label, value in (pairs or {}).items():
                form[f"{kind}[{_label(label)}]"] = value[:200]
        for index, logo in enumerate(logos):
            form[f"logos[{index}][res]"] = logo["res"]
            form[f"logos[{index}][url]"] = logo["url"]
        body = _success(self.wire.call("POST", ("onetouch", "json", "users", str(authy_id), "approval_requests"), form=form))
        request = body.get("approval_request")
        uuid = request.get("uuid") if isinstance(request, dict) else None
        # The status of an approval is another call's success.
        if not isinstance(uuid, str) or not _UUID.fullmatch(uuid) or not isinstance(request, dict) or "status" in request:
            raise Unavailable("provider", "an unexpected answer to approval_requests")
        return uuid

    def approval_status(self, uuid: str) -> Approval:
        """What became of an approval request."""
        body = _success(self.wire.call("GET", ("onetouch", "json", "approval_requests", uuid), repeat=True))
        request = body.get("approval_request")
        if not isinstance(request, dict) or request.get("uuid") != uuid or request.get("status") not in ("pending", "approved", "denied", "expired"):
            raise Unavailable("provider", "an unexpected answer to an approval's status")
        return Approval(uuid, _number(request.get("_authy_id"), "an approval's status"), request["status"])

    def qr_secret(self, authy_id: int, *, label: str = "", size: int = 300) -> str:
        """The URL of a QR code (PNG) that puts this user into an authenticator app. It shows a secret: hand it to its owner only."""
        form = {"qr_size": str(size), "label": label}
        body = _success(self.wire.call("POST", ("protected", "json", "users", str(authy_id), "secret"), form=form))
        if not isinstance(body.get("qr_code"), str):
            raise Unavailable("provider", "an unexpected answer to secret")
        return str(body["qr_code"])

    def remove_user(self, authy_id: int) -> None:
        """Take the user out of the Authy application; the provider does it after about 24 hours. Two accounts of yours may share one Authy ID."""
        _success(self.wire.call("POST", ("protected", "json", "users", str(authy_id), "remove"), form={}))

    def app_details(self) -> Mapping[str, Any]:
        """What the key opens: `app_id`, `name`, `plan`, `sms_enabled`. Good for checking a key."""
        app = _success(self.wire.call("GET", ("protected", "json", "app", "details"), repeat=True)).get("app")
        if not isinstance(app, dict):
            raise Unavailable("provider", "an unexpected answer to app details")
        return app


def _label(text: str) -> str:
    # Brackets would nest, and the signed callback strips what looks like an index.
    return re.sub(r"[\[\]]", "", text)[:20]


def _success(reply: Reply) -> Mapping[str, Any]:
    """The body of a success: 200, an object, `success` exactly true."""
    if reply.status != 200 or reply.body is None:
        raise _failure(reply)
    if reply.body.get("success") is not True:
        raise Unavailable("provider", "a 200 without success")
    return reply.body


def _failure(reply: Reply) -> Exception:
    body = reply.body
    if body is None or body.get("success") is not False or not isinstance(body.get("message"), str):
        return Unavailable("provider", f"HTTP {reply.status} without an error of the API")
    error = AuthyError(reply.status, body)
    if error.error_code in _KEY_ERRORS or "invalid api key" in error.message.lower():
        return Misconfigured(f"The Authy API refuses the application's key ({error.error_code or reply.status}); see api_key and base_url.")
    if error.error_code in _BUSY_ERRORS or reply.status in (429, 500, 502, 504):
        return Unavailable("provider", str(error))
    return error


def _number(value: Any, where: str) -> int:
    """An id: an integer, or its digits as a string (both are met)."""
    if type(value) is int and 0 < value < 10**18:
        return value
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,17}", value):
        return int(value)
    raise Unavailable("provider", f"an unexpected answer to {where}")
