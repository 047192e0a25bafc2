"""What most tests start from: a site, and a browser in which alice has enrolled and then signed in anew."""

from __future__ import annotations

import pytest

from tests.support import Browser, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def alice(world: World) -> Browser:
    """An hour after she enrolled; at the site she is in a new login session."""
    browser = world.browser("alice")
    browser.enrolled()
    browser.sign_in("alice")
    world.clock.advance(3600)
    return browser
