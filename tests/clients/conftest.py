from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from tests.support import API_KEY, Clock, session_for

from .lab import RawServer, wait_until


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    """Makes raw servers, which end with the test."""
    with ExitStack() as stack:
        yield lambda *answers, **options: stack.enter_context(RawServer(*answers, **options))


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log at its most talkative, urllib3's included."""
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "authy_wsgi"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


class Service:
    """An emulator on a socket. `environs` are what its requests came with, `peers` the connections they came by."""

    def __init__(self, server: Server) -> None:
        self.clock = Clock()
        self.emulator = Emulator(API_KEY, clock=self.clock, seed=1)
        self.environs: list[dict[str, Any]] = []
        self.url = server.url

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.environs.append({"peer": environ["werkzeug.socket"].getpeername(), **{k: v for k, v in environ.items() if isinstance(v, str)}})
        return self.emulator(environ, start_response)

    @property
    def peers(self) -> set[Any]:
        return {environ["peer"] for environ in self.environs}


class Listener:
    """The socket that the emulators of one run of tests answer on, one after the other."""

    def __init__(self) -> None:
        self.service: Any = None
        self.under_way = 0
        self._lock = threading.Lock()
        self.server = Server(self)  # type: ignore[arg-type]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        with self._lock:
            self.under_way += 1
        try:
            yield from self.service(environ, start_response)
        finally:
            with self._lock:
                self.under_way -= 1


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    made = Listener()
    with made.server:
        yield made


class Transport:
    """The way from our client to a WSGI app: `to(app)` answers the options of the client that lead there."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener

    def __repr__(self) -> str:
        return "socket" if self._listener else "in-process"

    def to(self, app: Any) -> dict[str, Any]:
        if self._listener is None:
            return {"base_url": "http://127.0.0.1:8999", "session": session_for(app)}
        self._listener.service = app
        return {"base_url": self._listener.server.url}

    def wait(self) -> None:
        """Until nothing is under way: a request that a test has given up on may still be."""
        if self._listener is not None:
            wait_until(lambda: not self._listener.under_way)


@pytest.fixture(params=["socket", "in-process"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Both ways, one after the other."""
    made = Transport(request.getfixturevalue("listener") if request.param == "socket" else None)
    yield made
    made.wait()


@pytest.fixture
def service(listener: Listener) -> Iterator[Service]:
    listener.service = Service(listener.server)
    yield listener.service
    # A request that a test has given up on may still be under way.
    wait_until(lambda: not listener.under_way)
