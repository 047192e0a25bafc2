"""The command line, run as a person runs it."""

from __future__ import annotations

import json
import queue
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from authy_wsgi.cli import main
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from tests.fresh import command_line
from tests.support import API_KEY, session_for

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
    ended, said = command_line(folder, *arguments)
    assert ended == status, said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("command", [[sys.executable, "-m", "authy_wsgi"], [str(Path(sys.executable).with_name("authy-wsgi"))]], ids=["module", "script"])
def test_it_starts_as_a_person_starts_it(folder: Path, command: list[str]) -> None:
    done = subprocess.run([*command, "users", "list", "--app", "shop:application"], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert "Nobody has added a factor yet" in done.stdout


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


def test_check_asks_identity_store_and_ledger_as_a_request_would(folder: Path) -> None:
    said = run(folder, "check", "--offline", "--app", "shop:application")
    assert "identity: answers" in said
    assert "users: answers" in said
    broken = SITE.format(key=API_KEY, url="http://127.0.0.1:9").replace("identity=remote_user", "identity=lambda environ: environ['nothing']")
    (folder / "shop.py").write_text(broken)
    assert "identity: does not work. KeyError" in run(folder, "check", "--offline", "--app", "shop:application", status=1)
    (folder / "shop.py").write_text(broken.replace("environ['nothing']", "'alice'"))
    assert "takes a request without any cookie or header for alice" in run(folder, "check", "--offline", "--app", "shop:application")
    (folder / "shop.py").write_text(
        broken.replace("environ['nothing']", "None").replace("https=False", 'https=False, ledger=RedisLedger("redis://127.0.0.1:9/0")')
    )
    text = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text("from authy_wsgi.ledgers.redis import RedisLedger\n" + text)
    assert "ledger: does not work. Unavailable" in run(folder, "check", "--offline", "--app", "shop:application", status=1)


def test_check_asks_the_ledger_that_a_store_brings_too(folder: Path) -> None:
    text = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text(text + "\ndef down(*_, **__):\n    raise OSError('the disk is gone')\napplication.backend.ledger.get = down\n")
    assert "ledger: does not work. OSError" in run(folder, "check", "--offline", "--app", "shop:application", status=1)


def test_a_module_that_the_site_needs_is_named(folder: Path) -> None:
    (folder / "shop.py").write_text("import nothing_of_that_name\n")
    assert "shop needs the module 'nothing_of_that_name'" in run(folder, "check", "--app", "shop:application", status=1)


def test_a_user_for_check_needs_a_path(folder: Path) -> None:
    assert "--user needs --path" in run(folder, "check", "--app", "shop:application", "--user", "alice", status=1)


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
    assert f"Nobody has added a factor yet in {folder}/second-factor.db" in run(folder, "users", "list", *app)
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
    run(folder, "users", "enable", "alice", *app)
    assert "disabled" not in run(folder, "users", "list", *app)
    run(folder, "users", "disable", "alice", *app)
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


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_cannot_be_is_named(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(["emulator", f"--port={port}"])
    except SystemExit as stopped:
        status = stopped.code
    said = capsys.readouterr()
    assert status in (1, 2)
    assert said.out == ""
    assert "port" in said.err


# The emulator


ALICE = {"user": {"email": "a@example.com", "cellphone": "408-555-5270", "country_code": 1}}


class Running:
    """`authy-wsgi emulator` in a process of its own, on a free port."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        # A runner in the background starts its children with interrupts ignored.
        command = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from authy_wsgi.cli import main; sys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", command, "emulator", "--port", "0", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        while "Ctrl-C" not in self.said:
            line = self.process.stdout.readline() if self.process.stdout else ""
            if not line:
                break
            self.said += line
        self.url = self._told(r"API +(http://\S+)")
        self.headers = {"X-Authy-API-Key": self._told(r"API key +(\S+)")}

    def _told(self, pattern: str) -> str:
        found = re.search(pattern, self.said)
        if found is None:
            self.process.kill()
            pytest.fail(f"it has not started: {self.process.communicate()}")
        return found[1]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self, signal_: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit status, and what it said to stderr."""
        self.process.send_signal(signal_)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def get(self, path: str, status: int = 200) -> Any:
        answer = requests.get(self.url + path, headers=self.headers, timeout=10)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, **fields: str) -> Any:
        answer = requests.post(self.url + path, data=fields, headers=self.headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def register(self) -> int:
        answer = requests.post(self.url + "/protected/json/users/new", json=ALICE, headers=self.headers, timeout=10)
        number: int = answer.json()["user"]["id"]
        return number


def test_the_emulator_is_set_up_by_its_options(folder: Path) -> None:
    options = ("--api-key", API_KEY, "--seed", "7", "--app-name", "Acorn", "--set", "code_lifetime=60", "--set", "sms_enabled=true")
    with Running(folder, *options) as it:
        alice = it.register()
        it.get(f"/protected/json/sms/{alice}")
        message = it.get(f"/phone/{alice}.json")["messages"][-1]
        assert message["text"] == f"Your Acorn code is {message['code']}"
        assert it.get("/protected/json/app/details")["app"]["name"] == "Acorn"
        it.post("/phone/clock", advance="60")
        it.get(f"/protected/json/verify/{message['code']}/{alice}?force=true", 401)
        assert it.headers == {"X-Authy-API-Key": API_KEY}
        assert f"AuthyClient({API_KEY!r}, base_url={it.url!r})" in it.said
        assert f"{it.url}/phone/" in it.said
        assert it.end() == (0, "")
    # The same seed draws the same, here and there.
    same = Emulator(API_KEY, seed="7")
    assert session_for(same).post("http://localhost/protected/json/users/new", json=ALICE, headers=it.headers).json()["user"]["id"] == alice
    session_for(same).get(f"http://localhost/protected/json/sms/{alice}", headers=it.headers)
    assert same.phone(alice).code == message["code"]


def test_the_emulator_goes_on_from_its_state(folder: Path) -> None:
    with Running(folder, "--state", "emulator.json") as it:
        alice = it.register()
        it.get(f"/protected/json/sms/{alice}")
        it.post("/phone/clock", advance="500")
        before = it.get(f"/phone/{alice}.json")
        key = it.headers["X-Authy-API-Key"]
        assert not (folder / "emulator.json").exists()
        assert it.end(signal.SIGTERM) == (0, "")
    assert (folder / "emulator.json").stat().st_mode & 0o777 == 0o600
    assert key not in (folder / "emulator.json").read_text()
    with Running(folder, "--state", "emulator.json") as it:
        assert it.get(f"/phone/{alice}.json") == before
        # A new key each time, unless one is told.
        assert it.headers["X-Authy-API-Key"] != key
        # The clock has kept its 500 seconds: of ten minutes fewer than two are left.
        it.post("/phone/clock", advance="101")
        it.get(f"/protected/json/verify/{before['messages'][-1]['code']}/{alice}?force=true", 401)
        it.get(f"/protected/json/sms/{alice}")
        assert it.end(signal.SIGINT) == (0, "")
    assert len(json.loads((folder / "emulator.json").read_text())["phones"][0]["messages"]) == 2
    assert [path.name for path in folder.iterdir() if "emulator.json" in path.name] == ["emulator.json"]


@pytest.mark.parametrize("options", [(), ("--callback-method", "GET")], ids=["POST", "GET"])
def test_the_emulator_calls_back(folder: Path, options: tuple[str, ...]) -> None:
    heard: queue.Queue[tuple[str, str, str]] = queue.Queue()

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        heard.put((environ["REQUEST_METHOD"], environ["PATH_INFO"], body or environ["QUERY_STRING"]))
        signed = environ.get("HTTP_X_AUTHY_SIGNATURE") and environ.get("HTTP_X_AUTHY_SIGNATURE_NONCE")
        start_response("200 OK" if signed else "400 Bad Request", [("Content-Length", "0")])
        return [b""]

    method = options[-1] if options else "POST"
    with Server(application) as site:  # type: ignore[arg-type]
        url = f"{site.url}/second-factor/callback"
        with Running(folder, "--callback-url", url, *options) as it:
            # Saving an endpoint sends a test.
            assert heard.get(timeout=20)[:2] == (method, "/second-factor/callback")
            alice = it.register()
            it.post(f"/phone/{alice}/app", installed="true")
            uuid = it.post(f"/onetouch/json/users/{alice}/approval_requests", message="Sign in?")["approval_request"]["uuid"]
            it.post(f"/phone/{alice}/approvals/{uuid}", status="approved")
            said = heard.get(timeout=20)
            assert said[:2] == (method, "/second-factor/callback")
            assert uuid in said[2]
            assert it.get("/phone/callback.json")["url"] == url
            assert it.end() == (0, "")


DAMAGED = [
    (b"", "is no state of the simulator: it is not JSON"),
    (b"{", "is no state of the simulator: it is not JSON"),
    (b"\xff\xfe", "is no state of the simulator: it is not JSON"),
    (b"[]", "This is no state of the simulator"),
    (b'{"format": "authy_wsgi emulator 0"}', "of another version"),
    (b'{"format": "authy_wsgi emulator 1", "phones": [{}]}', "is damaged"),
]


@pytest.mark.parametrize(("content", "says"), DAMAGED)
def test_a_damaged_state_is_refused_before_anything_else_is_said(folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str) -> None:
    (folder / "state").write_bytes(content)
    assert main(["emulator", "--port", "0", "--state", str(folder / "state")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert (said.err.count("\n"), "Traceback" in said.err) == (1, False)
    # What is there may be mended: it is not overwritten.
    assert (folder / "state").read_bytes() == content


def test_a_state_that_cannot_be_read_or_written_is_named_at_the_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folder / "nowhere" / "state", folder):
        assert main(["emulator", "--port", "0", "--state", str(path)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert str(path) in said.err
        assert said.err.count("\n") == 1


def test_a_state_that_cannot_be_written_at_the_end_is_said(folder: Path) -> None:
    (folder / "inner").mkdir()
    with Running(folder, "--state", "inner/state") as it:
        (folder / "inner").rmdir()
        status, errors = it.end()
    assert status == 1
    assert "inner" in errors
    assert "Traceback" not in errors


SWITCHES = [
    ("nope=1", "'nope=1' is no switch: say name=value, with one of verify_success_text, "),
    ("code_lifetime", "'code_lifetime' is no switch: say name=value"),
    ("", "'' is no switch"),
    ("=5", "'=5' is no switch"),
    ("code_lifetime=abc", "code_lifetime must be a whole number"),
    ("code_lifetime=-1", "code_lifetime must be a whole number"),
    ("code_lifetime=1.5", "code_lifetime must be a whole number"),
    ("code_lifetime=", "code_lifetime must be a whole number"),
    ("code_lifetime=0", "code_lifetime must be at least a second"),
    ("sms_enabled=maybe", "sms_enabled must be true or false"),
    ("sms_enabled=1", "sms_enabled must be true or false"),
    ("limit_status=200", "limit_status must be a status from 400 to 599"),
    ("verification_digits=3", "verification_digits must be from 4 to 10"),
    ("callback_shape=1999", "callback_shape must be one of 2023, 2019, 2017, 2016"),
]


@pytest.mark.parametrize(("switch", "says"), SWITCHES)
def test_a_switch_that_cannot_be_is_refused_with_a_sentence(capsys: pytest.CaptureFixture[str], switch: str, says: str) -> None:
    assert main(["emulator", "--port", "0", "--set", "sms_per_day=5", "--set", switch]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(says)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("url", ["127.0.0.1:8000/x", "ftp://127.0.0.1/x", "http://", "http://x y/", "http://x/#y"])
def test_a_callback_url_that_cannot_be_is_refused_with_a_sentence(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["emulator", "--port", "0", "--callback-url", url]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "The callback URL must be a whole one, like http://127.0.0.1:8000/callback.\n")


def test_another_method_of_a_callback_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["emulator", "--callback-url", "http://127.0.0.1:8000/", "--callback-method", "PUT"])
    assert stopped.value.code == 2
    assert "--callback-method" in capsys.readouterr().err


def test_the_emulators_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["emulator", "--help"])
    said = capsys.readouterr().out
    for option in ("--host", "--port", "--api-key", "--app-name", "--callback-url", "--callback-method", "--state", "--seed", "--set"):
        assert option in said


# The rest


def test_the_command_line_explains_itself(folder: Path) -> None:
    assert "emulator" in run(folder, "--help")
    assert "invitation" in run(folder, "users", "--help")
    run(folder, "users", status=2)


def test_the_app_of_a_framework_leads_to_its_second_factor(tmp_path: Path) -> None:
    (tmp_path / "flasksite.py").write_text(
        "from flask import Flask\n"
        "from authy_wsgi import AuthyClient, MemoryLedger, MemoryStore\n"
        "from authy_wsgi.integrations.flask import SecondFactor\n"
        "app = Flask(__name__)\n"
        "SecondFactor(app, identity=lambda: None, secret='x' * 40, users=MemoryStore(), ledger=MemoryLedger(), single_process=True,\n"
        "             clients=AuthyClient('0123456789abcdef0123456789abcdef'), enrolment='none')\n"
    )
    status, said = command_line(tmp_path, "check", "--app", "flasksite:app", "--offline")
    assert status == 0, said
