from __future__ import annotations

from collections.abc import Iterator

import pytest

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server

from .service import KEY, Service


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def alice(service: Service) -> int:
    return service.register()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(Emulator(KEY, seed=7)) as running:
        yield running
