"""The five sites, and the doors to them: a server is started when it is first asked for, and once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

from .doors import Waitress, own_client
from .served import Served, ServedWorld, Services
from .support import SITES, SiteWorld, Town, inside


class Doors:
    """Makes the world of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._served: dict[tuple[str, str], Served] = {}

    @cached_property
    def _waitress(self) -> Waitress:
        return Waitress()

    @cached_property
    def services(self) -> Services:
        return Services(self._folder)

    def open(self, site: str, door: str, below: str) -> Town:
        if door != "gunicorn":
            return SiteWorld(site, below, {"inside": inside, "own client": own_client, "waitress": self._waitress}[door])
        if (site, below) not in self._served:
            self._served[site, below] = Served(site, below, self.services)
        return ServedWorld(self._served[site, below])

    def close(self) -> None:
        for server in self._served.values():
            server.stop()
        for part in ("_waitress", "services"):
            if part in vars(self):
                getattr(self, part).stop()


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    found = Doors(tmp_path_factory.mktemp("sites"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def door() -> str:
    return "inside"


@pytest.fixture
def below() -> str:
    """Where the site is mounted."""
    return ""


@pytest.fixture
def world(site: str, door: str, below: str, doors: Doors) -> Town:
    return doors.open(site, door, below)
