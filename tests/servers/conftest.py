"""The site under each server, started once for all tests, when it is first asked for."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from tests.support import API_KEY

from .wire import Site

NAMES = ("gunicorn", "waitress", "cheroot", "uwsgi", "werkzeug")
MODULES = {"uwsgi": "pyuwsgi"}


def _is_there(name: str) -> bool:
    program = Path(os.path.dirname(sys.executable)) / "pyuwsgi"  # noqa: PTH120 - as it is, links not followed
    return importlib.util.find_spec(MODULES.get(name, name)) is not None and (name != "uwsgi" or program.exists())


def _needed(name: str) -> None:
    """Skip, or fail where the tests must run, without this server."""
    if not _is_there(name):
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{MODULES.get(name, name)} is not installed, so nothing is known of that server: pip install '.[test]'")


@pytest.fixture(scope="session")
def _sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Site]]:
    started: dict[str, Site] = {}
    with Server(Emulator(API_KEY, seed=1)) as emulator:

        def start(name: str) -> Site:
            if name not in started:
                number = f"+140855552{70 + NAMES.index(name)}"
                started[name] = Site(name, tmp_path_factory.mktemp(name), emulator.emulator, emulator.url, number)
            return started[name]

        try:
            yield start
            # Whatever was sent late, and to whichever server.
            late = {name: site.unexplained() for name, site in started.items()}
            assert not any(late.values()), late
        finally:
            for site in started.values():
                site.stop()


# Werkzeug's closes each connection, which makes these tests three times as long there.
@pytest.fixture(params=[*NAMES[:-1], pytest.param(NAMES[-1], marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, _sites: Callable[[str], Site]) -> Iterator[Site]:
    """The site under each of the servers, which afterwards answers as before."""
    _needed(request.param)
    found = _sites(request.param)
    found.set_mode("wall")
    found.earned()
    yield found
    found.assert_answers()
