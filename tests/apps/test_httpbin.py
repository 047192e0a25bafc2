"""httpbin: its own tests pass through the gate as they do without, and nothing of it can be reached by whoever lacks the second factor."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .environments import HERE, Environment, source_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def suite(httpbin: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """httpbin's own tests, out of its source distribution, and nothing else of it: what is tested is the installed package."""
    requirement = (HERE / "httpbin.txt").read_text().split()[0]
    folder = tmp_path_factory.mktemp("httpbin")
    with tarfile.open(source_of(httpbin, requirement)) as source:
        top = source.getnames()[0].partition("/")[0]
        source.extractall(folder, [member for member in source if member.name.startswith(f"{top}/tests/")], filter="data")
    return folder / top


def outcomes(httpbin: Environment, suite: Path, folder: Path, *options: str, **variables: str) -> dict[str, str]:
    """Run httpbin's tests; the outcome of each."""
    report = folder / "report.xml"
    # An ini file of ours, above or beside, is not for them.
    own = ("-c", os.devnull, "--rootdir", str(suite), "-p", "no:cacheprovider", f"--junitxml={report}")
    done = httpbin.run("-m", "pytest", "-q", *own, *options, "tests", cwd=suite, variables={"PYTHONPATH": _path(httpbin), **variables})
    assert report.exists(), done.stdout + done.stderr
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {f"{case.get('classname')}.{case.get('name')}": outcome(case) for case in cases}


def outcome(case: ElementTree.Element) -> str:
    return next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")


def _path(httpbin: Environment) -> str:
    """The checkout, and this folder for the plugin: as `tests.apps` it would be in the way of httpbin's own package `tests`."""
    return os.pathsep.join([httpbin.variables()["PYTHONPATH"], str(HERE)])


def gated(httpbin: Environment, suite: Path, folder: Path, code: str, *, verified: bool) -> tuple[dict[str, str], dict[str, Any]]:
    """Run them with the gate around: the outcome of each, and how often the gate and httpbin were asked."""
    given = {"code": code, "verified": verified, "counts": str(folder / "counts.json")}
    (folder / "given.json").write_text(json.dumps(given))
    found = outcomes(httpbin, suite, folder, "-p", "httpbin_gate", HTTPBIN_GATE=str(folder / "given.json"))
    return found, json.loads((folder / "counts.json").read_text())


@pytest.fixture(scope="module")
def plain(httpbin: Environment, suite: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What comes of them without the gate."""
    return outcomes(httpbin, suite, tmp_path_factory.mktemp("plain"))


def test_its_own_tests_end_through_the_gate_as_they_do_without(
    httpbin: Environment, suite: Path, plain: dict[str, str], page: dict[str, str], tmp_path: Path
) -> None:
    through, counts = gated(httpbin, suite, tmp_path, page["httpbin"], verified=True)
    assert through == plain
    assert sum(outcome == "passed" for outcome in plain.values()) >= 65
    # Not beside the gate: all that was asked came through it, as somebody who has proved themselves.
    assert counts["asked"] == counts["reached"] == counts["proved"] >= 100


def test_its_own_tests_reach_nothing_without_a_pass(httpbin: Environment, suite: Path, plain: dict[str, str], page: dict[str, str], tmp_path: Path) -> None:
    through, counts = gated(httpbin, suite, tmp_path, page["httpbin"], verified=False)
    assert through.keys() == plain.keys()
    assert counts["reached"] == 0
    assert counts["asked"] >= 50
    assert counts["statuses"] == {"401": counts["asked"]}
    assert sum(outcome == "failure" for outcome in through.values()) >= 50


def walk(httpbin: Environment, code: str, *, verified: bool) -> dict[str, Any]:
    given = json.dumps({"code": code, "verified": verified})
    done = httpbin.run(str(HERE / "httpbin_rules.py"), input=given, variables={"PYTHONPATH": _path(httpbin)})
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_no_rule_of_its_url_map_answers_by_any_method_without_a_pass(httpbin: Environment, page: dict[str, str]) -> None:
    found = walk(httpbin, page["httpbin"], verified=False)
    assert found["rules"] >= 55
    assert len(found["answers"]) == found["rules"] * 9 * 2
    for rule, method, who, _known, status, location, content_type, challenge, reached in found["answers"]:
        said = (rule, method, who, status)
        assert reached == 0, said
        if (method, who) == ("GET", "browser"):
            assert status == 303, said
            assert location.startswith("/second-factor/?next="), said
        else:
            assert status == 401, said
            assert challenge.startswith("SecondFactor realm="), said
            assert content_type.startswith("text/html" if (method, who) == ("POST", "browser") else "application/problem+json"), said


def test_every_rule_of_its_url_map_answers_with_a_pass(httpbin: Environment, page: dict[str, str]) -> None:
    found = walk(httpbin, page["httpbin"], verified=True)
    for rule, method, who, known, status, _location, _content_type, challenge, reached in found["answers"]:
        said = (rule, method, who, status)
        assert reached == 1, said
        assert "SecondFactor" not in challenge, said
        assert known == (status != 405), said
