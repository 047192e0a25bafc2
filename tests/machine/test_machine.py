"""A short part of the soak, the same in each run."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import Machine

# What runs that prove anything have met; of a mishap, early or late.
MET = (
    "proof by sms",
    "proof by call",
    "proof by app",
    "proof by push",
    "issued again",
    "came back to the same pass",
    "entered plainly",
    "entered strictly",
    "compared with its absence",
    "denied",
    "enrolled (open)",
    "enrolled (invited)",
    "enrolled (known)",
    "mishap killed",
    "mishap raised",
    "mishap lied",
    "status 429",
    "status 503",
)
ROUNDS, AT_MOST = 3, 15  # of fifteen runs each: on from three, until all of that was met


def test_adversary_and_honest_users_do_not_break_an_invariant(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "authy_wsgi")
    seen: Counter[str] = Counter()
    missing = list(MET)
    for number in range(AT_MOST):
        machine = type("ShortMachine", (Machine,), {"totals": seen})
        run_state_machine_as_test(
            seed(number)(machine),
            settings=settings(
                max_examples=15,
                stateful_step_count=50,
                database=None,
                deadline=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
            ),
        )
        missing = [what for what in MET if not any(seen[each] for each in (what, f"{what} late"))]
        if number + 1 >= ROUNDS and not missing:
            break
    assert missing == []
