"""The wheel in a Python of its own, far from the checkout: the command line, the emulator, every page, and the example sites beside it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from urllib.parse import urljoin

import pytest
import requests
from bs4 import BeautifulSoup

from examples import plain
from examples.demo import SITES

from .conftest import Installed

PATIENCE = 60
HTML = {"Accept": "text/html"}

pytestmark = pytest.mark.slow

A_SITE = """
from authy_wsgi import AuthyClient, SecondFactor, SQLStore, remote_user

def page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]

application = SecondFactor(
    page, identity=remote_user, secret="{secret}", users=SQLStore("sqlite:///second-factor.db"),
    clients=AuthyClient("0123456789abcdef"), enrolment="known", profile=lambda user: None,
)
"""


@contextmanager
def running(there: Installed, *command: str, cwd: Path | None = None, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs until it is interrupted; it ends with 0 and no complaint."""
    process = subprocess.Popen(
        command, cwd=cwd or there.folder, env={**there.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    patience = Timer(PATIENCE, process.kill)
    patience.start()
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        complaints = process.stderr.read()
        assert (process.wait(), complaints) == (0, "")
    finally:
        patience.cancel()
        process.kill()
        process.communicate()


def address(process: subprocess.Popen[str], pattern: str) -> str:
    """The address in the next line that it prints like that."""
    seen = []
    assert process.stdout is not None
    for line in process.stdout:
        seen.append(line)
        if found := re.search(pattern, line):
            return found[1]
    process.wait()
    raise AssertionError(f"no line like {pattern!r} came: {seen} {process.stderr and process.stderr.read()}")


def look(url: str, status: int = 200, auth: tuple[str, str] | None = None) -> int:
    """A page and everything that it loads; how many files that were."""
    with requests.Session() as browser:
        browser.trust_env = False
        browser.auth = auth
        page = browser.get(url, headers=HTML, timeout=PATIENCE)
        assert (page.status_code, page.headers["Content-Type"].partition(";")[0]) == (status, "text/html"), page.text
        parts = BeautifulSoup(page.text, "html.parser").select("link[href], script[src], img[src]")
        for part in parts:
            file = browser.get(urljoin(page.url, str(part.get("href") or part["src"])), timeout=PATIENCE)
            assert file.status_code == 200, file.url
            assert file.content, file.url
            assert not file.headers["Content-Type"].startswith("text/html"), file.url
        return len(parts)


def test_it_is_the_wheel_that_is_imported_and_all_it_needs_is_there(installed: Installed) -> None:
    found = installed.run(installed.python, "-I", "-c", "import authy_wsgi; print(authy_wsgi.__file__)").strip()
    assert Path(found).is_relative_to(installed.programs.parent)
    installed.run(installed.python, "-m", "pip", "check")


def test_every_entry_point_can_be_loaded(installed: Installed, contents: dict[str, bytes]) -> None:
    # Without the extras. What pytest loads is for where pytest is.
    script = """
from importlib.metadata import distribution
print(*(f"{point.group} {callable(point.load())}" for point in distribution("authy-wsgi").entry_points if not point.group.startswith("pytest")), sep="\\n")
"""
    said = installed.run(installed.python, "-I", "-c", script).split()
    assert "console_scripts" in said
    assert "False" not in said


def test_the_command_line(installed: Installed) -> None:
    program = str(installed.programs / "authy-wsgi")
    helped = installed.run(program, "--help")
    assert all(f"    {command} " in helped for command in ("emulator", "keygen", "check", "users"))
    secrets = {installed.run(program, "keygen").strip() for _ in range(2)}
    assert len(secrets) == 2
    (installed.folder / "mysite.py").write_text(A_SITE.format(secret=secrets.pop()))
    assert "alice" in installed.run(program, "check", "--app", "mysite:application", "--path", "/", "--user", "alice")
    assert installed.run(program, "check", "--app", "mysite:application", "--offline")
    assert installed.run(installed.python, "-m", "authy_wsgi", "--help") == helped


def test_the_emulator(installed: Installed) -> None:
    with running(installed, str(installed.programs / "authy-wsgi"), "emulator", "--port", "0", "--api-key", "a key that fits") as process:
        phones = address(process, r"phones +(http://\S+)$")
        assert look(phones) >= 3
        user = {"user[email]": "alice@example.com", "user[cellphone]": "408-555-5270", "user[country_code]": "1"}
        made = requests.post(urljoin(phones, "/protected/json/users/new"), user, headers={"X-Authy-API-Key": "a key that fits"}, timeout=PATIENCE)
        assert made.status_code == 200, made.text
        assert look(phones + "+14085555270") >= 3


def test_every_page_of_ours_renders(installed: Installed, tree: Path, tmp_path: Path) -> None:
    for script in (Path(__file__).parent / "walk.py", tree / "tests" / "support.py"):
        shutil.copy(script, tmp_path)
    rooms = {room: tree / "authy_wsgi" / room for room in ("pages", "emulator")}
    assets = {room: sorted(path.name for path in (folder / "static").iterdir()) for room, folder in rooms.items()}
    seen = json.loads(installed.run(installed.python, str(tmp_path / "walk.py"), json.dumps(assets)))
    assert Path(seen["from"]).is_relative_to(installed.programs.parent)
    for room, folder in rooms.items():
        templates = {path.name: path.read_text() for path in (folder / "templates").iterdir()}
        reached, waiting = set(), set(seen[room])
        while waiting:
            name = waiting.pop()
            reached.add(name)
            waiting |= set(re.findall(r'{%-? *(?:extends|include|import|from) "([^"]+)"', templates[name])) - reached
        assert reached == set(templates), f"no step of walk.py leads to {sorted(set(templates) - reached)}"


@pytest.mark.parametrize("site", list(SITES))
def test_the_example_sites_run_beside_it(installed: Installed, tree: Path, tmp_path: Path, site: str) -> None:
    shutil.copytree(tree / "examples", tmp_path / "examples")
    with running(installed, installed.python, "-m", "examples.demo", cwd=tmp_path, SITE=site, PORT="0", EMULATOR_PORT="0") as demo:
        home = address(demo, r"(http://127\.0\.0\.1:\d+/)$")
        phones = address(demo, r"(http://127\.0\.0\.1:\d+/phone/)$")
        # In front of these two a server asks for the password, and then we do at once.
        behind_basic = site in ("plain", "paste")
        auth = ("alice", plain.ACCOUNTS["alice"]) if behind_basic else None
        look(home, auth=auth)
        assert look(urljoin(home, "second-factor/"), status=200 if behind_basic else 403, auth=auth) >= 3
        assert look(phones) >= 3
