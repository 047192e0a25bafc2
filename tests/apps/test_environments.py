"""What is missing is said: without a package index these tests are skipped, or fail where they must run; anything else that pip cannot do is a fault."""

from __future__ import annotations

import pytest
from _pytest.outcomes import Failed, Skipped

from .environments import Environment, asked_pip, environment

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("ci", "outcome"), [("", Skipped), ("true", Failed)])
def test_without_an_index_it_is_said_that_nothing_is_known(httpbin: Environment, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[Exception]) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(outcome, match="nothing is known of httpbin behind the gate"):
        asked_pip(httpbin, "install", "--dry-run", "--ignore-installed", "httpbin==0.0.0")


def test_a_pin_that_is_not_there_is_a_fault_everywhere(httpbin: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Failed, match="pip could not make the environment of httpbin"):
        asked_pip(httpbin, "install", "--dry-run", "--ignore-installed", "httpbin==0.0.0")


def test_an_environment_is_made_once(httpbin: Environment) -> None:
    made = (httpbin.folder / "complete").stat().st_mtime_ns
    again = environment("httpbin")
    assert again.folder == httpbin.folder
    assert (again.folder / "complete").stat().st_mtime_ns == made
