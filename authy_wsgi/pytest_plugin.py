"""The pytest plug-in, there by itself where `authy-wsgi` is installed: fixtures for the tests of an app with a second factor.

`second_factor_clock` a clock that stands still · `authy` a local Authy service · `second_factor` yours to give · `phone` somebody's phone in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    # Every run of pytest loads this module, few tests need what is behind it.
    from authy_wsgi.emulator import Handset
    from authy_wsgi.testing import Authy, Clock

pytest.register_assert_rewrite("authy_wsgi.testing.contracts")


@pytest.fixture
def second_factor_clock() -> Clock:
    """The time of the gate and of the service: give it as `clock=`, and `advance` it."""
    from authy_wsgi.testing import Clock

    return Clock()


@pytest.fixture
def authy(second_factor_clock: Clock) -> Iterator[Authy]:
    """A local Authy service, new for each test: `authy.client()` for SecondFactor, `authy.phone(number)`, and `authy.url` where it listens once asked for."""
    from authy_wsgi.testing import Authy

    with Authy(clock=second_factor_clock) as service:
        yield service


@pytest.fixture
def second_factor() -> Any:
    """Yours to give: the SecondFactor of the app under test, or the app, plugin or extension that holds it."""
    raise pytest.UsageError(
        "The fixture `phone` looks users up in your second factor: give it in conftest.py, as a fixture `second_factor` that returns your SecondFactor "
        "(or the app, plugin or extension that holds it)."
    )


@pytest.fixture
def phone(authy: Authy, request: pytest.FixtureRequest) -> Callable[[str], Handset]:
    """`phone("alice")` is her phone: `.code`, `.app_code`, `.messages`, `.install_app()`, `.approve()`, `.deny()`; `phone("+14085555270")` that number's."""
    from authy_wsgi.testing import second_factor_of

    def of(who: str) -> Handset:
        if who.startswith("+"):
            return authy.phone(who)
        core = second_factor_of(request.getfixturevalue("second_factor"))
        return authy.phone_of(core.backend.accounts.user(who))

    return of
