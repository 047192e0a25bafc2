"""Twilio Authy as a second factor: codes by SMS, call, e-mail or the Authy app, and approvals (OneTouch) on the phone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import requests

from authy_wsgi import phones
from authy_wsgi.clients.authy_api import PRODUCTION, AuthyAPI, AuthyError
from authy_wsgi.clients.authy_callback import genuine
from authy_wsgi.clients.http import Deadlines, check_base, is_loopback
from authy_wsgi.contracts import CHANNEL_STRENGTH, Candidate, Challenge, Context, Factor, Outcome, Profile, User, Verdict, Way
from authy_wsgi.errors import Misconfigured, Refused, Unavailable
from authy_wsgi.tickets import digest, new_id, short

PUSH_SECONDS = 120
CODE_SECONDS = 600
APP_SECONDS = 180
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,}")
# The kinds of device that show a code rather than receive one.
_APPS = re.compile(r"(android|ios|iphone|ipad|authy|windows|mac|linux|chrome|watch|desktop)", re.IGNORECASE)


_NO_APP = "The Authy app is not set up for your number. Use another way."
# Provider codes that a person can do something about -> (what they read, what was learnt of their app).
_SENTENCES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "60006": ("Phone calls are switched off for this site. Use another way.", {}),
    "60007": ("Text messages are switched off for this site. Use another way.", {}),
    "60009": ("This site has used up its text messages for now. Use another way.", {}),
    "60010": ("This site has used up its text messages for now. Use another way.", {}),
    "60011": ("This site has used up its phone calls for now. Use another way.", {}),
    "60012": ("This site has used up its phone calls for now. Use another way.", {}),
    "60013": ("Codes cannot be sent to this country. Use another number or way.", {}),
    "60014": ("The call could not be started. Try again in a moment, or use another way.", {}),
    "60015": ("The text message could not be sent. Try again in a moment, or use another way.", {}),
    "60017": ("Your phone is suspended at the phone service. Ask the people who run this site.", {}),
    "60050": (_NO_APP, {"app": "no"}),
    "60051": (_NO_APP, {"app": "no"}),
    "60078": ("Codes cannot be sent to this country. Use another number or way.", {}),
    "60082": ("This number is a landline. Use a mobile number.", {}),
    "60083": ("No carrier serves this number. Check it, or use another one.", {}),
}


class AuthyClient:
    """`AuthyClient(api_key)`. `base_url`: https, or http on this machine (the local emulator). `bind_action` binds each sent code to its attempt.

    With `callback_url` (`https://example.org/second-factor/callback/authy`, entered in the Authy console as well) waiting pages cost next to no calls: the
    provider says when the phone was answered. `logos`: [{"res": "default", "url": "https://..."}], shown by the phone beside an approval request.
    Deadlines are seconds.
    """

    needs_email = True
    proves_by = ("sms", "call")  # the channels whose code proves a new number

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = PRODUCTION,
        name: str = "authy",
        bind_action: bool = True,
        logos: Sequence[Mapping[str, str]] = (),
        digits: int = 7,
        deadlines: Deadlines = Deadlines(),
        session: requests.Session | None = None,
        callback_url: str = "",
        callback_method: str = "POST",
    ) -> None:
        self.api = AuthyAPI(api_key, base_url=base_url, deadlines=deadlines, session=session)
        self.name = name
        self.digits = digits
        self.callback_url = check_base(callback_url, "callback_url") if callback_url else ""
        self.callback_method = callback_method
        if callback_method not in ("POST", "GET"):
            raise Misconfigured('callback_method must be "POST" or "GET", as the Authy console has it.')
        self._key = api_key
        self._bind_action = bind_action
        # An app code is good for its step and a little more; a message's code that is not bound to its attempt, for as long as messages are.
        self.unbound_validity = APP_SECONDS if bind_action else CODE_SECONDS
        self._logos = tuple(logos)
        if any(set(logo) != {"res", "url"} for logo in self._logos) or (self._logos and "default" not in {logo["res"] for logo in self._logos}):
            raise Misconfigured('logos must be a list of {"res": ..., "url": ...}, one of them with res "default".')

    def __repr__(self) -> str:
        return f"AuthyClient(base_url={self.api.wire.base_url!r})"

    @property
    def notice(self) -> str:
        """A sentence that our pages show where this is not the real provider, "" otherwise."""
        base = self.api.wire.base_url
        if base == PRODUCTION:
            return ""
        return f"Codes come from a simulator at {base}." if is_loopback(base) else f"Codes come from {base}."

    def reach(self) -> str:
        """One line on what the key opens at the provider; raises as every call does. For `authy-wsgi check`."""
        app = self.api.app_details()
        return f"{app.get('name')} ({app.get('plan')}), text messages {'on' if app.get('sms_enabled') else 'off'}"

    def ways(self, user: User) -> Sequence[Way]:
        return [way for factor in user.factors if factor.client == self.name for way in self._ways_of(factor)]

    def _ways_of(self, factor: Factor) -> Sequence[Way]:
        no_app = factor.data.get("app") == "no"
        found = [self._way(factor, "push", "", unlikely=no_app), self._way(factor, "app", "", unlikely=no_app)]
        found += [self._way(factor, channel, factor.label) for channel in ("sms", "call")]
        if factor.data.get("email"):
            found.append(self._way(factor, "email", str(factor.data["email"])))
        return found

    def _way(self, factor: Factor, channel: str, hint: str, *, unlikely: bool = False) -> Way:
        return Way(
            client=self.name,
            channel=channel,
            kind="wait" if channel == "push" else "code",
            strength=CHANNEL_STRENGTH[channel],
            factor=factor.id,
            hint=hint,
            digits=self.digits,
            unlikely=unlikely,
        )

    def reference(self, factor: Factor) -> str:
        return f"{self.name}:{factor.data['authy_id']}"

    # Enrolment

    def read(self, fields: Mapping[str, str], profile: Profile) -> Candidate:
        number = phones.read_number(fields.get("phone", ""), fields.get("country", ""))
        email = (profile.email or fields.get("email", "")).strip()
        if not _EMAIL.fullmatch(email):
            raise Refused("Type your e-mail address; the phone service asks for one.", field="email")
        return Candidate(address=number, label=phones.mask(number), data={"email": email})

    def enrol(self, user: User, candidate: Candidate, context: Context) -> Factor:
        code, national = phones.split(candidate.address)
        email = str(candidate.data["email"])
        try:
            authy_id = self.api.register_user(email, national, code)
        except AuthyError as error:
            raise _enrolment_refused(error) from None
        kept = {"authy_id": authy_id, "email": phones.mask_email(email), "email_mark": _email_mark(email)}
        return Factor(id=new_id(), client=self.name, label=candidate.label, added=context.at, data=kept)

    def proved(self, user: User, factor: Factor, context: Context) -> Mapping[str, Any]:
        return {"app": "yes" if self.api.user_status(_authy_id(factor)).registered else "no"}

    # Challenges

    def start(self, user: User, way: Way, context: Context) -> Challenge:
        factor = _factor(user, way)
        try:
            if way.channel == "push":
                return self._push(factor, way, context)
            if way.channel == "app":
                return self._code(way, context)
            return self._send(factor, way, context)
        except AuthyError as error:
            raise _told(error) from None

    def _code(self, way: Way, context: Context, *, bound: bool = False, ignored: bool = False) -> Challenge:
        ends = min(context.at + CODE_SECONDS, context.ends or context.at + CODE_SECONDS)
        shown = {"ignored": True, "instead_of": way.channel} if ignored else {}
        if ignored:
            way = self._way_to(way, "app")
        return Challenge(id=new_id(), way=way, ends=ends, bound=bound, shown=shown, learnt={"app": "yes"} if ignored else {})

    def _way_to(self, way: Way, channel: str) -> Way:
        return Way(client=way.client, channel=channel, kind="code", strength=CHANNEL_STRENGTH[channel], factor=way.factor, digits=self.digits)

    def _send(self, factor: Factor, way: Way, context: Context) -> Challenge:
        authy_id, action = _authy_id(factor), self._action(way, context)
        if way.channel == "email":
            self._send_email(factor, action)
            return self._code(way, context, bound=bool(action))
        send = self.api.request_call if way.channel == "call" else self.api.request_sms
        sent = send(authy_id, force=context.insist, action=action, locale=context.locale)
        return self._code(way, context, bound=bool(action) and not sent.ignored, ignored=sent.ignored)

    def _action(self, way: Way, context: Context) -> str:
        """What binds a code to its attempt. SECURITY: an e-mail's apart from a phone's, or a mailbox would do where a rule asks for the phone."""
        if not self._bind_action:
            return ""
        return f"{context.attempt}-email" if way.channel == "email" else context.attempt

    def _send_email(self, factor: Factor, action: str) -> None:
        # Whoever asks for an e-mail has the app out of reach; the service would leave it out where there is one.
        address = self.api.request_email(_authy_id(factor), force=True, action=action)
        # SECURITY: registering a number needs no proof of it, and the first address stays; a code that went to a stranger's mailbox is not asked for.
        if _email_mark(address) != factor.data.get("email_mark"):
            raise Unavailable("provider", "the e-mail went to another address than the person's")

    def _push(self, factor: Factor, way: Way, context: Context) -> Challenge:
        seconds = min(PUSH_SECONDS, context.ends - context.at if context.ends else PUSH_SECONDS)
        shown = dict(context.details) or _details(context)
        message = context.message or f"Sign in to {context.site}?"
        hidden = {"network": context.network} if context.network else {}
        uuid = self.api.request_approval(_authy_id(factor), message, details=shown, hidden_details=hidden, logos=self._logos, seconds_to_expire=max(1, seconds))
        return Challenge(id=new_id(), way=way, ends=context.at + seconds, bound=True, shown={"message": message, "details": shown}, hidden={"uuid": uuid})

    def check(self, user: User, challenge: Challenge, answer: Mapping[str, str], context: Context) -> Verdict:
        factor = _factor(user, challenge.way)
        try:
            device = self.api.verify(_authy_id(factor), answer.get("code", ""), action=self._action(challenge.way, context) if challenge.bound else "")
        except AuthyError as error:
            return _judge(error)
        channel = _evidence(device, challenge.way.channel)
        return Verdict(outcome=Outcome.APPROVED, channel=channel, learnt={"app": "yes"} if channel == "app" and factor.data.get("app") != "yes" else {})

    def hear(self, method: str, query: str, headers: Mapping[str, str], body: bytes, *, now: int) -> Sequence[str] | None:
        if not self.callback_url or method != self.callback_method:
            return None
        return genuine(self._key, method, self.callback_url, query, headers, body, now)

    def poll(self, user: User, challenge: Challenge, context: Context) -> Verdict:
        factor = _factor(user, challenge.way)
        try:
            approval = self.api.approval_status(str(challenge.hidden["uuid"]))
        except AuthyError as error:
            raise Unavailable("provider", str(error)) from None
        # SECURITY: an approval of somebody else's phone is no approval.
        if approval.authy_id != _authy_id(factor):
            raise Unavailable("provider", "an approval of another user")
        if approval.status == "approved":
            return Verdict(outcome=Outcome.APPROVED, channel="push", learnt={"app": "yes"} if factor.data.get("app") != "yes" else {})
        return Verdict(outcome={"pending": Outcome.PENDING, "denied": Outcome.DENIED}.get(approval.status, Outcome.EXPIRED), channel="push")


def _email_mark(address: str) -> str:
    return short(digest("email", address.strip().lower()))


def _factor(user: User, way: Way) -> Factor:
    factor = user.factor(way.factor)
    if factor is None:
        raise Refused("This phone is not yours any more. Choose another way.")
    return factor


def _authy_id(factor: Factor) -> int:
    authy_id = factor.data.get("authy_id")
    if type(authy_id) is not int:
        raise Misconfigured("A factor of the Authy client has no authy_id; the user store must give it as an int in Factor.data.")
    return authy_id


def _details(context: Context) -> Mapping[str, str]:
    at = datetime.fromtimestamp(context.at, UTC)
    rows = {"Site": context.site, "User": context.user_name, "From": context.browser, "At": f"{at:%H:%M} UTC, {at.day} {at:%B}"}
    return {label: value[:200] for label, value in rows.items() if value}


def _evidence(device: str, asked: str) -> str:
    """The channel that a valid code came by: what the provider says of the device, else the weakest that could have given it."""
    if asked == "email":
        return "email"
    if device.lower() != "sms" and _APPS.match(device):
        return "app"
    return asked if asked in ("sms", "call") else "sms"


def _judge(error: AuthyError) -> Verdict:
    evidence = {"message": error.message, "error_code": error.error_code, "token": error.token}
    if error.error_code in ("60019", "60020", "60022") or (error.status == 401 and error.message.startswith("Token is invalid")):
        reason = "used" if error.error_code == "60019" or "used recently" in error.message else ""
        return Verdict(outcome=Outcome.WRONG, reason=reason, evidence=evidence)
    if error.error_code in ("60016", "60026"):
        raise Refused("The phone service does not know your phone any more. Ask the people who run this site.", code=error.error_code, text=error.message)
    raise _told(error)


def _told(error: AuthyError) -> Exception:
    """The provider's refusal as what a person can do about it; what nobody can is a broken world."""
    sentence, learnt = _SENTENCES.get(error.error_code, ("", {}))
    if sentence:
        return Refused(sentence, code=error.error_code, text=error.message, status=error.status, learnt=learnt)
    if error.error_code in ("60016", "60026"):
        return Refused("The phone service does not know your phone any more. Ask the people who run this site.", code=error.error_code, text=error.message)
    return Unavailable("provider", str(error))


def _enrolment_refused(error: AuthyError) -> Exception:
    if error.error_code == "60027":
        if "email" in error.errors:
            return Refused("The phone service does not take this e-mail address. Check it.", field="email", code=error.error_code, text=error.message)
        if "country_code" in error.errors:
            return Refused("Codes cannot be sent to this country. Use a number of another one.", field="country", code=error.error_code, text=error.message)
        return Refused("The phone service does not take this number. Check it, or use another one.", field="phone", code=error.error_code, text=error.message)
    return _told(error)
