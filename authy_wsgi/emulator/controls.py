"""The simulator's own controls, under `/phone/` beside the phones: the clock, faults, the callback endpoint, the state."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict

from authy_wsgi.emulator.callbacks import Callbacks
from authy_wsgi.emulator.faults import Faults, read_fault
from authy_wsgi.emulator.replies import done, form_of, program
from authy_wsgi.emulator.state import LATEST, State
from authy_wsgi.emulator.storage import StateError, dump, load
from authy_wsgi.emulator.wire import JSON, Environ
from authy_wsgi.site import RequestError, Response, read_body

STATE_LIMIT = 256 * 1024 * 1024

CONTROLS = (
    ("clock", "/phone/clock", ["POST"]),
    ("faults", "/phone/faults.json", ["GET"]),
    ("add_fault", "/phone/faults", ["POST"]),
    ("clear_faults", "/phone/faults/clear", ["POST"]),
    ("callback", "/phone/callback.json", ["GET"]),
    ("set_callback", "/phone/callback", ["POST"]),
    ("state", "/phone/state.json", ["GET"]),
    ("set_state", "/phone/state", ["POST"]),
)


class Controls:
    """The views of `CONTROLS`. The emulator holds its lock around each."""

    def __init__(self, state: State, faults: Faults, callbacks: Callbacks) -> None:
        self.faults = faults
        self.callbacks = callbacks
        self._state = state
        self.views: Mapping[str, Callable[[Environ], Response]] = {
            "clock": self._clock,
            "faults": lambda _environ: program(self._faults()),
            "add_fault": self._add_fault,
            "clear_faults": self._clear_faults,
            "callback": lambda _environ: program(self._callback()),
            "set_callback": self._set_callback,
            "state": lambda _environ: program(dump(self._state)),
            "set_state": self._set_state,
        }

    def _clock(self, environ: Environ) -> Response:
        form = form_of(environ)
        if ("advance" in form) == ("at" in form):
            raise RequestError(400, "Say either advance=<seconds> or at=<Unix seconds>.")
        now = self._state.set_clock(_whole(form["at"], 0)) if "at" in form else self._state.advance(_whole(form["advance"], -LATEST))
        return done(environ, "", {"now": now})

    def _faults(self) -> JSON:
        return {"faults": [fault.as_json() for fault in self.faults.listed()]}

    def _add_fault(self, environ: Environ) -> Response:
        fault = read_fault(form_of(environ))
        self.faults.add(fault)
        return done(environ, "", fault.as_json())

    def _clear_faults(self, environ: Environ) -> Response:
        form_of(environ)
        self.faults.clear()
        return done(environ, "", self._faults())

    def _callback(self) -> JSON:
        return {"url": self.callbacks.url, "method": self.callbacks.method, "deliveries": [asdict(it) for it in self.callbacks.deliveries]}

    def _set_callback(self, environ: Environ) -> Response:
        form = form_of(environ)
        try:
            self.callbacks.configure(form.get("url", ""), form.get("method") or "POST")
        except ValueError as error:
            raise RequestError(400, str(error)) from None
        return done(environ, "", self._callback())

    def _set_state(self, environ: Environ) -> Response:
        try:
            load(self._state, json.loads(read_body(environ, STATE_LIMIT)))
        except StateError as error:
            raise RequestError(400, str(error)) from None
        except (ValueError, RecursionError):
            raise RequestError(400, "The state is not JSON. Send what /phone/state.json has answered.") from None
        return done(environ, "", {"now": self._state.now()})


def _whole(text: str, least: int) -> int:
    digits = text.strip().removeprefix("-")
    if digits.isascii() and digits.isdigit() and len(digits) <= 12 and least <= int(text) <= LATEST:
        return int(text)
    raise RequestError(400, "That is not a whole number of seconds in reach.")
