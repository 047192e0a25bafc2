"""The plug-in as a project of somebody else meets it: fixtures by themselves, side by side in parallel runs, and a sentence for what they have to give."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)

SITE = """
import pytest
from authy_wsgi import Login, SecondFactor, SQLStore
from authy_wsgi.testing.webtest import TestApp

def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["authy_wsgi.proven"].proofs[0].channel.encode()]

def make(authy, clock, folder):
    return SecondFactor(site, identity=lambda environ: Login("alice", "one"), secret="x" * 40, users=SQLStore(f"sqlite:///{folder}/factor.db"),
                        clients=authy.client(), enrolment="open", clock=clock)

@pytest.fixture
def second_factor(authy, second_factor_clock, tmp_path):
    gate = make(authy, second_factor_clock, tmp_path)
    yield gate
    gate.settings.users.database.close()

@pytest.fixture
def browser(second_factor):
    return TestApp(second_factor)
"""

TESTS = """
import pytest
import requests

@pytest.mark.parametrize("number", range(6))
def test_in(browser, phone, second_factor_clock, number):
    assert browser.pass_second_factor("alice").text == "sms"
    assert len(phone("alice").messages) == 1
    second_factor_clock.advance(13 * 3600)
    browser.expect_second_factor()
    assert browser.pass_second_factor("alice", channel="push").text == "push"
    assert phone("alice").approvals[0]["status"] == "approved"
    assert phone(phone("alice").number).messages == phone("alice").messages

def test_granted(browser):
    browser.grant_second_factor("alice", "app")
    assert browser.get("/").text == "app"

def test_live(authy):
    answer = requests.get(authy.url + "/phone/", timeout=10)
    assert answer.headers["X-Authy-Simulator"] == "1"

def test_nobody(phone):
    with pytest.raises(LookupError, match="alice has no phone yet"):
        phone("alice")
"""


def test_the_fixtures_are_there_and_do_not_disturb_each_other_in_parallel(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SITE)
    pytester.makepyfile(TESTS)
    # As a process of its own: the plug-in comes by its entry point, or not at all.
    result = pytester.runpytest_subprocess("-n", "2", "-q", "-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning")
    result.assert_outcomes(passed=9)


def test_a_project_that_gives_no_second_factor_is_told_how(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(phone): phone('alice')")
    result = pytester.runpytest_subprocess("-q", "-p", "no:xdist")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*give it in conftest.py, as a fixture `second_factor`*"])


def test_a_suite_that_is_not_met_shows_what_was_compared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from authy_wsgi import MemoryLedger
        from authy_wsgi.testing.contracts import LedgerContract

        class Forgets(MemoryLedger):
            def pop(self, key, *, now):
                return b"other"

        class TestForgets(LedgerContract):
            @pytest.fixture
            def ledger(self):
                return Forgets()
        """
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:xdist", "-k", "test_pop_takes_it_away")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert b'other' is None*"])


def test_it_costs_little_where_nobody_asks_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys
        def test_it():
            assert not [name for name in sys.modules if name.startswith(("authy_wsgi.emulator", "hypothesis.strategies", "webtest", "django", "flask"))]
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:xdist", "-p", "no:hypothesispytest").assert_outcomes(passed=1)
