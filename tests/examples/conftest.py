"""What the tests of a site behind a second factor need: a clock, an Authy service with phones, and a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from authy_wsgi import AuthyClient
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server

from .browser import Clock

API_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[Server]:
    """An Authy service on a port of its own, by the test's clock."""
    with Server(Emulator(API_KEY, clock=clock, seed=7)) as server:
        yield server


@pytest.fixture
def client(service: Server) -> AuthyClient:
    return AuthyClient(API_KEY, base_url=service.url)
