"""A short part of the soak, the same in each run."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import Machine

# What a run that proves anything has met.
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


@pytest.mark.slow
def test_adversary_and_honest_users_do_not_break_an_invariant(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "authy_wsgi")
    seen: Counter[str] = Counter()
    machine = type("ShortMachine", (Machine,), {"totals": seen})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=45,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
    assert [what for what in MET if not seen[what]] == []
