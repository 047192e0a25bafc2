"""A phone in a test's hand: what arrived on it, and its buttons."""

from __future__ import annotations

from threading import RLock

from authy_wsgi.emulator.codes import AUTHENTICATOR_STEP, authenticator_code
from authy_wsgi.emulator.state import Approval, Message, Phone, State, User
from authy_wsgi.emulator.wire import JSON


def describe(state: State, phone: Phone) -> JSON:
    """A phone as programs read it: the JSON of `/phone/<id>.json`."""
    now = state.now()
    return {
        "authy_id": phone.authy_id,
        "phone_number": phone.number.e164,
        "app_installed": phone.installed,
        "app_code": phone.app_code(state.app_counter()) if phone.installed else None,
        "messages": [{"kind": it.kind, "code": it.code, "text": it.text, "at": it.at} for it in phone.messages],
        "approvals": [_approval(it, now) for it in phone.approvals],
    }


def _approval(approval: Approval, now: int) -> JSON:
    return {"uuid": approval.uuid, "message": approval.message, "details": dict(approval.details), "status": approval.status(now), "at": approval.at}


class Handset:
    """One phone of the emulator. Every read is of this moment; the buttons raise `LookupError` where there is nothing to press."""

    def __init__(self, state: State, phone: Phone, lock: RLock) -> None:
        self._state = state
        self._phone = phone
        self._lock = lock

    def __repr__(self) -> str:
        return f"<Handset {self.number} authy_id={self.authy_id}>"

    def as_json(self) -> JSON:
        """The same as `GET /phone/<id>.json`."""
        with self._lock:
            return describe(self._state, self._phone)

    @property
    def number(self) -> str:
        """`+` and all digits."""
        return self._phone.number.e164

    @property
    def authy_id(self) -> int | None:
        """The user's id; None for a number that only phone verification has seen."""
        return self._phone.authy_id

    @property
    def messages(self) -> list[Message]:
        """SMS, calls and e-mails, newest last: `kind`, `code`, `text`, `at`."""
        with self._lock:
            return list(self._phone.messages)

    @property
    def code(self) -> str:
        """The code of the newest message that has one; `LookupError` where none arrived."""
        for message in reversed(self.messages):
            if message.code:
                return message.code
        raise LookupError(f"No code has arrived at {self.number}.")

    @property
    def app_installed(self) -> bool:
        """Whether the Authy app is on it."""
        return self._phone.installed

    @property
    def app_code(self) -> str | None:
        """What the Authy app shows now; None without it."""
        with self._lock:
            return self._phone.app_code(self._state.app_counter()) if self._phone.installed else None

    @property
    def authenticator_code(self) -> str | None:
        """What another authenticator shows that took the secret of `users/{id}/secret`; None where none was made."""
        with self._lock:
            key = self._phone.authenticator_key
            return authenticator_code(key, self._state.now() // AUTHENTICATOR_STEP) if key else None

    @property
    def approvals(self) -> list[JSON]:
        """Approval requests, newest last: `uuid`, `message`, `details`, `status`, `at`."""
        approvals: list[JSON] = self.as_json()["approvals"]
        return approvals

    def install_app(self) -> None:
        """Put the Authy app on the phone."""
        with self._lock:
            self._phone.installed = True

    def remove_app(self) -> None:
        """Take the Authy app off the phone."""
        with self._lock:
            self._phone.installed = False

    def approve(self, uuid: str | None = None) -> None:
        """Press Approve, on the newest pending request unless told which."""
        self._answer("approved", uuid)

    def deny(self, uuid: str | None = None) -> None:
        """Press Deny, on the newest pending request unless told which."""
        self._answer("denied", uuid)

    def _answer(self, status: str, uuid: str | None) -> None:
        with self._lock:
            for approval in reversed(self._phone.approvals):
                if uuid in (None, approval.uuid) and self._state.answer(self._phone, approval, status):
                    return
        raise LookupError(f"{self.number} has no pending approval request" + (f" {uuid}." if uuid else "."))

    def suspend(self) -> None:
        """Have the service answer 60017 for this user."""
        with self._lock:
            self._state.suspend(self._user(), suspended=True)

    def restore(self) -> None:
        """Take a suspension back; wrong codes count anew."""
        with self._lock:
            self._state.suspend(self._user(), suspended=False)

    def _user(self) -> User:
        user = self._state.user_of(self._phone)
        if user is None:
            raise LookupError(f"{self.number} is not a user's.")
        return user
