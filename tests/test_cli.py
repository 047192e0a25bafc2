"""The command line, run as a person runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from tests.support import API_KEY

SITE = """
from authy_wsgi import AuthyClient, SecondFactor, SQLStore, remote_user

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

store = SQLStore("sqlite:///second-factor.db")
application = SecondFactor(app, identity=remote_user, secret="s" * 40, users=store, clients=AuthyClient({key!r}, base_url={url!r}),
                           enrolment="open", https=False, exempt="/static", logout_url="/logout")
class Wrapper:
    def __init__(self, app): self.wsgi_app = app
outer = Wrapper(application)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SITE.format(key=API_KEY, url="http://127.0.0.1:9"))
    return tmp_path


def run(folder: Path, *arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "authy_wsgi", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_keygen_prints_a_new_secret_each_time(folder: Path) -> None:
    first, second = run(folder, "keygen").strip(), run(folder, "keygen").strip()
    assert len(first) >= 32
    assert first != second


def test_check_says_what_is_set_exempt_unbound_and_whether_the_provider_answers(folder: Path) -> None:
    with Server(Emulator(API_KEY)) as server:
        (folder / "shop.py").write_text(SITE.format(key=API_KEY, url=server.url))
        said = run(folder, "check", "--app", "shop:outer")
    assert "/static, and all that is below it" in said
    assert "/logout (the app's logout)" in said
    assert "Logins are unbound" in said
    assert "authy: Authy Demo" in said
    assert "s" * 40 not in said
    assert API_KEY not in said


def test_check_fails_where_the_provider_does_not_answer(folder: Path) -> None:
    assert "does not work" in run(folder, "check", "--app", "shop:application", status=1)
    assert "Providers" not in run(folder, "check", "--offline", "--app", "shop:application")


def test_wrong_settings_are_listed(folder: Path) -> None:
    (folder / "bad.py").write_text("from authy_wsgi import SecondFactor\napplication = SecondFactor(None)\n")
    said = run(folder, "check", "--app", "bad:application", status=1)
    assert said.count("  - ") == 5


@pytest.mark.parametrize(
    ("app", "says"), [("shop", "module:attribute"), ("nope:x", "no module"), ("shop:nope", "has no 'nope'"), ("os:path", "not a SecondFactor")]
)
def test_an_app_that_is_not_there_is_named(folder: Path, app: str, says: str) -> None:
    assert says in run(folder, "users", "list", "--app", app, status=1)


def test_users_from_the_empty_state_to_administration(folder: Path) -> None:
    app = ("--app", "shop:application")
    assert "Nobody has added a factor yet" in run(folder, "users", "list", *app)
    assert "no record of 'alice'" in run(folder, "users", "show", "alice", *app, status=1)
    add = (
        "from shop import store; from authy_wsgi.contracts import User, Factor; "
        "factor = Factor(id='f', client='authy', label='+1 \u2022\u2022\u2022 \u2022\u2022\u2022 70', added=1700000000, data={'authy_id': 7}); "
        "store.save(User(id='alice', closed=frozenset({'code'}), factors=(factor,)))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", add], cwd=folder, check=True, timeout=60)
    assert "70" in run(folder, "users", "list", *app)
    assert "codes closed" in run(folder, "users", "show", "alice", *app)
    assert "differs" in run(folder, "users", "show", "ALICE", *app, status=1)
    assert "open again" in run(folder, "users", "open", "alice", *app)
    assert "in order" in run(folder, "users", "show", "alice", *app)
    run(folder, "users", "disable", "alice", *app)
    assert "disabled" in run(folder, "users", "list", *app)
    run(folder, "users", "disable", "alice", "--undo", *app)
    assert "no factor any more" in run(folder, "users", "reset", "alice", *app)
    assert "enrolment: invited" in run(folder, "users", "show", "alice", *app)
    assert "/second-factor/enrol?invite=" in run(folder, "users", "invite", "alice", *app)


def test_tables_of_an_older_version_are_refused_and_migrated(folder: Path) -> None:
    app = ("--app", "shop:application")
    assert "tables made" in run(folder, "users", "migrate", *app)
    import sqlite3

    with sqlite3.connect(folder / "second-factor.db") as database:
        database.execute("UPDATE second_factor_schema SET version = 0")
    database.close()
    assert "users migrate" in run(folder, "users", "list", *app, status=1)
    assert "was version 0, up to date" in run(folder, "users", "migrate", *app)
    assert "Nobody" in run(folder, "users", "list", *app)


def test_a_taken_port_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"Port {port}" in run(folder, "emulator", "--port", port, status=1)


def test_the_command_line_explains_itself(folder: Path) -> None:
    assert "emulator" in run(folder, "--help")
    assert "invitation" in run(folder, "users", "--help")
    run(folder, "users", status=2)
