"""The WSGI app itself: it takes a request to the API, a phone's page or a picture, under one lock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

import requests

from authy_wsgi.emulator import api
from authy_wsgi.emulator.adapter import PATIENCE
from authy_wsgi.emulator.ask import Ask
from authy_wsgi.emulator.callbacks import Callbacks
from authy_wsgi.emulator.codes import Dice
from authy_wsgi.emulator.controls import Controls
from authy_wsgi.emulator.failures import ApiError, failure, invalid
from authy_wsgi.emulator.faults import Fault, Faults, Trickle, drop
from authy_wsgi.emulator.guard import check_host, known_hosts, protect
from authy_wsgi.emulator.handset import Handset
from authy_wsgi.emulator.numbering import NumberError, read_number
from authy_wsgi.emulator.parameters import Parameters, read_parameters, without_key
from authy_wsgi.emulator.phones import Phones
from authy_wsgi.emulator.picture import picture
from authy_wsgi.emulator.replies import base_url
from authy_wsgi.emulator.rules import Rules
from authy_wsgi.emulator.state import State
from authy_wsgi.emulator.storage import load_file, save_file
from authy_wsgi.emulator.wire import Environ, api_answer, path_of
from authy_wsgi.site import RequestError, Response, as_path

CALLS_KEPT = 10_000

_log = logging.getLogger("authy_wsgi.emulator")


@dataclass(frozen=True, slots=True)
class Call:
    """One API request that arrived, whatever became of it. `route` is "" where no call has that path; the API key is in none of it."""

    method: str
    path: str
    route: str
    parameters: Parameters


class Emulator:
    """A local Authy service with phones, as a WSGI app. All of its state is in this object, and every answer says `X-Authy-Simulator: 1`.

    `clock` answers Unix seconds (default: the system's), and is moved by `advance`; with a `seed` codes and ids are the same in each run. `hosts` are
    names to answer to besides the local ones. `quiet=False` logs a line per request to `authy_wsgi.emulator`, without parameters. `sleep` is what
    slow faults wait with.

    With a `callback_url` every answer on a phone is sent there as a signed OneTouch callback; `callback_session` is a requests Session to send it by (one
    with a `WSGIAdapter` mounted leads into an application in this process).
    """

    def __init__(
        self,
        api_key: str,
        *,
        clock: Callable[[], float] | None = None,
        seed: int | str | bytes | None = None,
        app_name: str = "Authy Demo",
        rules: Rules | None = None,
        hosts: Iterable[str] = (),
        quiet: bool = True,
        sleep: Callable[[float], None] = time.sleep,
        callback_url: str = "",
        callback_method: str = "POST",
        callback_session: requests.Session | None = None,
    ) -> None:
        if not api_key:
            raise ValueError("api_key must not be empty")
        self.calls: list[Call] = []
        self.state = State(clock=clock or time.time, rules=rules or Rules(), dice=Dice(seed), app_name=app_name)
        self._api_key = api_key
        self._hosts = known_hosts(hosts)
        self._quiet = quiet
        self._sleep = sleep
        self._lock = RLock()
        self._waiting = Faults()
        self.callbacks = Callbacks(self.state, api_key, callback_session, sleep)
        self.state.when_answered = self.callbacks.answered
        self._phones = Phones(self.state, Controls(self.state, self._waiting, self.callbacks), api.ROUTE_NAMES)
        if callback_url:
            self.callbacks.configure(callback_url, callback_method)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        response, slow = self._respond(environ)
        response.headers["X-Authy-Simulator"] = "1"
        if not self._quiet:
            _log.info("%s %s %s", environ["REQUEST_METHOD"], path_of(environ), response.status_int)
        if slow is not None:
            return Trickle(response, slow.seconds, self._sleep)(environ, start_response)
        answer: Iterable[bytes] = response(environ, start_response)
        return answer

    # -- for tests

    @property
    def now(self) -> int:
        """The service's time, in Unix seconds."""
        with self._lock:
            return self.state.now()

    def advance(self, seconds: int) -> int:
        """Move the clock by that much; the new time."""
        with self._lock:
            return self.state.advance(seconds)

    def set_clock(self, at: int) -> int:
        """Set the clock, which runs on from there; the new time."""
        with self._lock:
            return self.state.set_clock(at)

    def phone(self, who: str | int) -> Handset:
        """The phone with that number (`+14085555270`) or Authy id; `LookupError` where there is none."""
        with self._lock:
            phone = self.state.find_phone(str(who))
        if phone is None:
            raise LookupError(f"No phone {who} here; known: {', '.join(self.state.phones) or 'none'}")
        return Handset(self.state, phone, self._lock)

    @property
    def phones(self) -> list[Handset]:
        """All phones, oldest first."""
        with self._lock:
            return [Handset(self.state, phone, self._lock) for phone in self.state.phones.values()]

    @property
    def faults(self) -> list[Fault]:
        """The faults that still wait."""
        with self._lock:
            return self._waiting.listed()

    def add_fault(self, fault: Fault | None = None, **settings: Any) -> Fault:
        """Have the next requests go wrong: a `Fault`, or its settings (`route="sms", kind="status", status=503`)."""
        fault = fault or Fault(**settings)
        with self._lock:
            self._waiting.add(fault)
        return fault

    def clear_faults(self) -> None:
        """Have everything go right again."""
        with self._lock:
            self._waiting.clear()

    def save(self, path: str | Path) -> None:
        """Write the whole state to a file: users, phones, messages, requests, statistics, the clock's offset."""
        with self._lock:
            save_file(self.state, Path(path))

    def load(self, path: str | Path) -> None:
        """Go on from a file that `save` wrote; `StateError`, and nothing changed, where that cannot be."""
        with self._lock:
            load_file(self.state, Path(path))

    # -- requests

    def _respond(self, environ: Environ) -> tuple[Response, Fault | None]:
        path = path_of(environ)
        page = path in ("/", "/phone") or path.startswith(("/phone/", "/qr/"))
        try:
            check_host(environ, self._hosts)
        except RequestError as error:
            return (self._phones.refuse(environ, error) if page else api_answer(403, invalid(error.detail).body)), None
        if not page:
            return self._api(environ, path)
        with self._lock:
            return self._beside(environ, path), None

    def _beside(self, environ: Environ, path: str) -> Response:
        if path in ("/", "/phone"):
            response = Response(status="303 See Other")
            response.headers["Location"] = as_path(str(environ.get("SCRIPT_NAME") or ""), "/phone/")
            return protect(response)
        drawn = self.state.pictures.get(path.removeprefix("/qr/").removesuffix(".png"))
        if path.startswith("/qr/") and drawn is not None:
            key, label, size = drawn
            return protect(picture(key, label, self.state.app_name, size))
        return self._phones.respond(environ, path)

    def _api(self, environ: Environ, path: str) -> tuple[Response, Fault | None]:
        found = api.find(str(environ["REQUEST_METHOD"]), path)
        parameters: Parameters = {}
        unreadable: ApiError | None = None
        try:
            parameters = read_parameters(environ, once=self.state.rules.refuse_repeated)
        except ApiError as error:
            unreadable = error
        fault = self._note(Call(str(environ["REQUEST_METHOD"]), path, found.route, without_key(parameters)))
        instead = self._suffer(fault, environ) if fault else None
        if instead is not None:
            return instead, None
        with self._lock:
            try:
                self._admit(environ, found, parameters, unreadable)
                body = api.HANDLERS[found.route](Ask(found.route, found.arguments, parameters, base_url(environ), self.state))
                response = api_answer(200, body)
            except ApiError as error:
                response = api_answer(error.status, error.body)
        if fault and fault.kind in ("delay", "trickle") and fault.seconds >= environ.get(PATIENCE, fault.seconds + 1):
            if fault.kind == "trickle":
                self._sleep(environ[PATIENCE])
            raise TimeoutError("the simulator answered too late, as it was told to")
        return response, fault if fault and fault.kind == "trickle" else None

    def _note(self, call: Call) -> Fault | None:
        """Remember a call; the fault that hits it."""
        with self._lock:
            self.calls.append(call)
            if len(self.calls) > 2 * CALLS_KEPT:
                del self.calls[:-CALLS_KEPT]
            return self._waiting.take(call.route)

    def _suffer(self, fault: Fault, environ: Environ) -> Response | None:
        if fault.kind == "drop":
            drop(environ)
        if fault.kind == "delay":
            self._sleep(min(fault.seconds, environ.get(PATIENCE, fault.seconds)))
        return fault.answer()

    def _admit(self, environ: Environ, found: api.Found, parameters: Parameters, unreadable: ApiError | None) -> None:
        if found.error is not None:
            raise found.error
        key = api.key_of(environ, parameters)
        # A body that cannot be read may have held the key: then what is wrong with it is the better answer.
        if unreadable is not None and (not key or api.right_key(key, self._api_key)):
            raise unreadable
        if not api.right_key(key, self._api_key):
            raise api.bad_key()
        self.state.count("api_calls_count")
        minute = (f"{found.route} {_about(found, parameters)}", self.state.now() // 60 * 60 + 60, self.state.rules.requests_per_minute)
        if self.state.use([minute]):
            raise failure(60003, status=self.state.rules.limit_status)


def _about(found: api.Found, parameters: Parameters) -> str:
    """The user or number that a call is about, in one spelling; "" for none."""
    whom = found.arguments.get("id", "")
    if whom.isascii() and whom.isdigit():
        return whom.lstrip("0")
    user = parameters.get("user")
    fields = {**parameters, **user} if isinstance(user, dict) else parameters
    number = fields.get("phone_number") or fields.get("cellphone")
    try:
        return read_number(str(fields.get("country_code", "")), str(number or "")).e164
    except NumberError:
        return whom
