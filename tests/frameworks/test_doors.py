"""The doors themselves: what they must notice, and what they must not wait for."""

from __future__ import annotations

import time
from typing import Any

import pytest
from webtest import TestApp

from .conftest import Doors
from .doors import CLIENTS, PATIENCE, Environ, Waitress
from .served import Served


def visited(entrance: object) -> str:
    return str(TestApp(entrance, extra_environ={"REMOTE_ADDR": "10.0.0.1"}).get("/").text)


def refused(entrance: object) -> str:
    """What is said of a server that gives no answer; before anybody's patience is at its end."""
    began = time.monotonic()
    with pytest.raises(AssertionError, match="gave no answer") as raised:
        visited(entrance)
    assert time.monotonic() - began < PATIENCE
    return str(raised.value)


def test_server_that_does_not_start_fails_a_test_at_once_and_says_why(doors: Doors) -> None:
    served = Served("no_such", "", doors.services)
    try:
        assert "No module named 'tests.frameworks.no_such_site'" in refused(served.wire)
        assert "No module named 'tests.frameworks.no_such_site'" in refused(served.wire), "and in all tests after it"
    finally:
        served.stop()


@pytest.mark.slow
def test_server_that_dies_fails_a_test_at_once(doors: Doors) -> None:
    served = Served("plain", "", doors.services, "-of-the-dead")
    try:
        assert visited(served.wire) == "front: None []"
    finally:
        served.stop()
    assert "Booting worker" in refused(served.wire)


def here(_environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]


def test_waitress_that_has_ended_leaves_nobody_waiting() -> None:
    door = Waitress()
    entrance = door("plain", here, "")()
    try:
        assert visited(entrance) == "here"
    finally:
        door.stop()
    refused(entrance)


@pytest.mark.parametrize("site", CLIENTS)
def test_client_whose_jar_has_lost_a_cookie_is_noticed(site: str, doors: Doors) -> None:
    browser = doors.open(site, "own client", "").browser("alice")
    assert browser.get("/members").status_int == 303
    browser.entrance.adopt("")
    with pytest.raises(AssertionError, match="other cookies than a browser's"):
        browser.get("/members")
