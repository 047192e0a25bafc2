"""What the documents say is true: their code runs, what they link to is there, what they name exists."""

from __future__ import annotations

import doctest
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import Login, MemoryLedger, SecondFactor
from authy_wsgi.attempts import Grant
from authy_wsgi.settings import LIMITS
from tests.support import API_KEY, PHONE, CountingApp, World, words

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_the_wrap_of_the_readme_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECOND_FACTOR_SECRET", "x" * 40)
    monkeypatch.setenv("AUTHY_API_KEY", API_KEY)
    app = CountingApp()
    names: dict[str, Any] = {"application": app}
    exec(blocks("README.md", "python")[0], names)  # the block itself
    gate = names["application"]
    assert isinstance(gate, SecondFactor)
    assert gate.app is app
    assert (tmp_path / "second-factor.db").exists()
    gate.settings.users.database.close()  # type: ignore[attr-defined]
    gate.backend.ledger.database.close()  # type: ignore[attr-defined]


def test_the_step_up_of_the_readme_runs_as_written() -> None:
    world = World()
    browser = world.browser("alice")
    browser.enrolled()
    names: dict[str, Any] = {"second_factor": world.gate, "login": browser.http.extra_environ["site.login"], "payment_page": world.app}
    exec(blocks("README.md", "python")[1], names)
    answers: list[str] = []
    pay = names["pay"]
    environ = world.app.calls[-1]
    assert b"alice" in b"".join(pay(environ, lambda status, _headers: answers.append(status)))
    world.clock.advance(61)
    b"".join(pay(environ, lambda status, _headers: answers.append(status)))
    assert answers == ["200 OK", "303 See Other"]


def test_the_session_of_the_readme_says_what_it_prints() -> None:
    text = "\n".join(blocks("README.md", "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, "README.md", None, 0)
    results = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(test)
    assert results.attempted > 8
    assert results.failed == 0


def test_the_backend_page_runs_as_written() -> None:
    world = World()
    settings = {**world.settings, "cookie_name": "other"}
    code = blocks("docs/backend.md", "python")[0]
    before, after = code.split("answer = ", 1)
    names: dict[str, Any] = {"settings": settings, "environ": {}}
    exec(before, names)
    names["code_from_the_form"] = world.phone(PHONE).code
    exec("answer = " + after, names)
    assert isinstance(names["answer"].grant, Grant)
    assert names["headers"][0][0] == "Set-Cookie"
    assert names["login"] == Login("alice", "the id of her login session")


def test_the_policy_of_the_step_up_page_asks_as_it_says() -> None:
    names: dict[str, Any] = {}
    exec(blocks("docs/step-up.md", "python")[0], names)
    world = World(policy=names["policy"])
    browser = world.browser("alice")
    browser.enrolled()
    world.clock.advance(61)
    asked = [browser.http.get(path, headers={"Accept": "application/json"}, status="*").status_int for path in ("/", "/pay/now", "/admin")]
    assert asked == [200, 401, 401]


def test_the_notices_of_the_events_page_are_not_as_many_as_a_stranger_likes() -> None:
    names: dict[str, Any] = {}
    exec(blocks("docs/events.md", "python")[1], names)
    mails: list[tuple[str, str]] = []
    ledger = MemoryLedger()
    world = World(ledger=ledger, events=names["Notices"](ledger, lambda *mail: mails.append(mail)))
    browser = world.browser("alice")
    page = browser.enrol()
    for number in range(4):
        page = browser.enter(page, f"00000{number}0")
    assert mails == [("alice", "Somebody typed a wrong code for your account.")] * 3


def test_every_kind_of_event_and_every_budget_is_written_down() -> None:
    events, security = (ROOT / "docs" / "events.md").read_text(), (ROOT / "docs" / "security.md").read_text()
    told = set(re.findall(r"emit\(\s*\"([a-z_]+)\"", "\n".join(path.read_text() for path in (ROOT / "authy_wsgi").rglob("*.py"))))
    assert {"sent", "enrolled", "approved"} < told | {"sent"}
    for kind in told:
        assert f"`{kind}`" in events
    for rule in LIMITS:
        last = rule.rpartition(".")[2]
        assert f"`{rule}`" in security or f"`.{last}`" in security, rule


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_commands_of_the_readme_exist() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"^    make ([a-z-]+)", readme, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_architecture_page_knows_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.stem if path.is_file() else path.name for path in (ROOT / "authy_wsgi").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    for room in rooms - {"__init__", "__main__"}:
        assert f"`{room}`" in text or f"`{room}/`" in text, f"docs/architecture.md does not mention {room}"


def test_no_page_of_ours_asks_for_a_foreign_url() -> None:
    for path in [*(ROOT / "authy_wsgi").rglob("*.html"), *(ROOT / "authy_wsgi").rglob("*.css"), *(ROOT / "authy_wsgi").rglob("*.js")]:
        assert not re.search(r"""(src|href|url|action)\s*[=(]\s*["']?(https?:)?//""", path.read_text()), path
    assert "http" not in words(World().browser("alice").visit())


def test_the_handler_of_the_events_page_shows_one_line_of_json_each(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("authy_wsgi.events")
    before = log.level, list(log.handlers)
    try:
        exec(blocks("docs/events.md", "python")[0], {})
        World().browser("alice").enrol()
    finally:
        log.setLevel(before[0])
        log.handlers[:] = before[1]
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["kind"] for line in lines] == ["challenged", "sent"]
