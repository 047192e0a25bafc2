"""The blocks of the pages that no other test runs, and claims of the same pages that stand beside them."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import logging
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from pyramid.config import Configurator
from pyramid.session import SignedCookieSessionFactory
from webtest import TestApp
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

from authy_wsgi import AuthyClient, Login, SecondFactor, SQLStore, Unavailable
from authy_wsgi.emulator import Emulator, WSGIAdapter, server
from authy_wsgi.lookup import second_factor_in
from tests.clients.test_wire import certificate
from tests.docs.blocks import ROOT, block
from tests.frameworks.pyramid_site import Policy
from tests.support import API_KEY, HTML, PHONE, SECRET, CountingApp, World, words

KEY = "a-key-of-yours"
FETCH = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}


def run(page: str, language: str, number: int = 0, **names: Any) -> dict[str, Any]:
    """Execute a block; the names that there are afterwards."""
    exec(block(page, language, number), names)
    return names


def close(gate: SecondFactor) -> None:
    gate.settings.users.database.close()  # type: ignore[attr-defined]
    gate.backend.ledger.database.close()  # type: ignore[attr-defined]


# The first page, Pyramid, step-up, architecture


def test_the_wrap_of_the_first_page_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECOND_FACTOR_SECRET", "x" * 40)
    monkeypatch.setenv("AUTHY_API_KEY", API_KEY)
    app = CountingApp()
    gate = run("docs/index.md", "python", application=app)["application"]
    assert isinstance(gate, SecondFactor)
    assert gate.app is app
    close(gate)


def test_the_include_of_the_pyramid_page_works_with_its_ini(tmp_path: Path) -> None:
    ini = configparser.ConfigParser(defaults={"here": str(tmp_path)}, delimiters=("=",))
    ini.read_string(block("docs/pyramid.md", "ini"))
    config = Configurator(settings={name: textwrap.dedent(value) for name, value in ini["app:main"].items()} | {"second_factor.secret": SECRET})
    config.set_security_policy(Policy())
    config.set_session_factory(SignedCookieSessionFactory("the app's own"))
    run("docs/pyramid.md", "python", config=config)
    config.commit()
    gate = config.registry["authy_wsgi.second_factor"]
    assert gate.settings.exempt == ("/static",)
    close(gate)


def test_a_view_that_hands_over_its_form_has_it_kept() -> None:
    world = World()
    browser = world.browser("alice")
    browser.enrolled()
    world.clock.advance(120)
    names = run("docs/step-up.md", "python", 1, second_factor=world.gate, payment_page=world.app, read_form=lambda _environ: {"amount": "7"})
    world.gate.app = names["pay"]
    page = browser.post("/pay", {"amount": "7"}, headers={**HTML, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    assert "We keep your form for ten minutes and send it to /pay" in words(page)
    page = browser.choose(browser.follow(page.click("Confirm it is you")), "sms")
    assert "/pay" in words(browser.follow(browser.enter(page, world.phone().code)))


def test_the_one_idea_is_what_the_gate_has() -> None:
    found = re.findall(r"(\w+)\(([^)]*)\)(?= +(?:->|/))", block("docs/architecture.md", "indented"))
    assert [name for name, _ in found] == ["gate", "require", "remember", "forget"]
    for name, said in found:
        has = inspect.signature(getattr(SecondFactor, name)).parameters
        assert {each.partition("=")[0] for each in said.split(", ")} - {"*"} <= set(has), name


def test_the_two_lines_of_the_middleware_are_its_own() -> None:
    ours, shown = (
        ast.parse(text).body[0] for text in (textwrap.dedent(inspect.getsource(SecondFactor.__call__)), block("docs/architecture.md", "indented", 1))
    )
    assert isinstance(ours, ast.FunctionDef)
    assert isinstance(shown, ast.FunctionDef)
    assert ast.unparse(ours.body[-1]) == ast.unparse(shown.body[-1])


# Deployment


def nginx_headers(**variables: str) -> dict[str, str]:
    """The headers that the page has nginx send, as CGI names, with its variables filled in."""
    lines = re.findall(r"proxy_set_header (\S+) \$(\S+);", block("docs/deployment.md", "nginx"))
    assert len(lines) == 3
    return {"HTTP_" + name.upper().replace("-", "_"): variables[value] for name, value in lines}


def behind_a_proxy(world: World, application: Any) -> Any:
    """A stand-in for nginx: plain http and its own address inside, and the headers that it was told to send."""

    def hop(environ: dict[str, Any], start_response: Any) -> Any:
        environ |= nginx_headers(host=environ["HTTP_HOST"], remote_addr=environ["REMOTE_ADDR"], scheme=environ["wsgi.url_scheme"])
        environ |= {"wsgi.url_scheme": "http", "REMOTE_ADDR": "127.0.0.1"}
        return application(environ, start_response)

    world.wsgi = hop
    return world.browser("alice", HTTP_HOST="example.org", HTTP_ORIGIN="https://example.org", REMOTE_ADDR="8.8.4.4", HTTP_X_FORWARDED_FOR="1.2.3.4")


def test_the_wrap_behind_a_proxy_sees_what_nginx_is_told_to_send() -> None:
    world = World(validate=False)
    names = run("docs/deployment.md", "python", application=world.app, settings=world.settings, SecondFactor=SecondFactor)
    browser = behind_a_proxy(world, names["application"])
    assert "alice" in browser.enrolled().text
    assert {event.network for event in world.events} == {"8.8.4.4"}
    assert world.app.calls[-1]["wsgi.url_scheme"] == "https"
    found = second_factor_in(names["application"])
    assert found is not None
    assert found.app is world.app


def test_the_other_way_round_the_gate_sees_the_proxy() -> None:
    world = World(validate=False, public_url="https://example.org")
    world.gate.app = ProxyFix(world.app, x_for=1, x_proto=1)  # type: ignore[arg-type]
    behind_a_proxy(world, world.gate).enrolled()
    assert {event.network for event in world.events} == {""}


def test_nginx_itself_sends_what_the_stand_in_does(tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if nginx is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("no nginx here: its lines were read by a stand-in alone")
    seen: list[dict[str, Any]] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"inside"]

    certificate(tmp_path, "example")
    inside = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=inside.serve_forever, daemon=True).start()
    tls, plain = free_port(), free_port()
    lines = block("docs/deployment.md", "nginx")
    for there, here in {
        "127.0.0.1:8000": f"127.0.0.1:{inside.port}",
        "/etc/ssl/example.org.pem": f"{tmp_path}/example.pem",
        "/etc/ssl/example.org.key": f"{tmp_path}/example.key",
        "listen 443": f"listen 127.0.0.1:{tls}",
        "listen 80": f"listen 127.0.0.1:{plain}",
    }.items():
        assert there in lines
        lines = lines.replace(there, here)
    folders = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    settings = tmp_path / "nginx.conf"
    settings.write_text(f"daemon off; pid {tmp_path}/pid; events {{}} http {{ access_log off; {folders} {lines} }}")
    process = subprocess.Popen([nginx, "-p", str(tmp_path), "-e", "stderr", "-c", str(settings)], stderr=subprocess.PIPE)
    try:
        with requests.Session() as http, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nobody vouches for the certificate
            http.trust_env = http.verify = False
            sent = {"Host": "example.org", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "gopher", "SCRIPT_NAME": "/admin"}
            assert patiently(lambda: http.get(f"https://127.0.0.1:{tls}/members", headers=sent)).text == "inside"
            moved = http.get(f"http://127.0.0.1:{plain}/members?a=b", headers={"Host": "example.org"}, allow_redirects=False)
            assert (moved.status_code, moved.headers["Location"]) == (301, "https://example.org/members?a=b")
    finally:
        process.terminate()
        process.communicate(timeout=10)
        inside.shutdown()
        inside.server_close()
    told = nginx_headers(host="example.org", remote_addr="127.0.0.1", scheme="https")
    assert {name: seen[0][name] for name in told} == told
    assert not {"HTTP_SCRIPT_NAME", "SCRIPT_NAME"} & {name for name, value in seen[0].items() if value == "/admin"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def patiently(ask: Callable[[], Any]) -> Any:
    for _ in range(100):
        try:
            return ask()
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError("nginx does not listen")


def test_the_health_check_answers_in_front_of_the_gate() -> None:
    def broken(_environ: Any) -> None:
        raise RuntimeError

    world = World(identity=broken)
    names = run("docs/deployment.md", "python", 1, application=world.app, settings=world.settings, SecondFactor=SecondFactor)
    http = TestApp(names["application"])
    assert http.get("/health").text == "ok"
    assert http.get("/", status="*").status_int == 503
    assert second_factor_in(names["second_factor"]) is names["second_factor"]
    assert second_factor_in(names["application"]) is None


def break_down(part: Any) -> None:
    """Every call of a store or a ledger fails from now on."""

    def fail(*_given: Any, **_named: Any) -> Any:
        raise Unavailable("a part", "it is down")

    for name in ("get", "save", "spend", "give_back", "claim", "put", "pop", "get_many"):
        if hasattr(part, name):
            setattr(part, name, fail)


@pytest.mark.parametrize(("part", "later", "plain", "step_up"), [("users", 0, 200, 503), ("users", 61, 503, 503), ("ledger", 61, 200, 200)])
def test_what_the_deployment_page_says_of_parts_that_are_down(part: str, later: int, plain: int, step_up: int) -> None:
    world = World()
    member = world.browser("alice")
    member.enrolled()
    assert member.get("/").status_int == 200
    environ = dict(world.app.calls[-1])
    break_down(world.settings[part])
    world.clock.advance(later)
    assert world.browser(None).get("/health").status_int == 200
    assert member.get("/").status_int == plain
    answer = world.gate.require(environ, max_age=600)
    assert (answer.status_int if answer else 200) == step_up
    newcomer = world.browser("alice").visit("/")
    assert newcomer.status_int == 503
    assert "Retry-After" in newcomer.headers


def test_a_secret_that_is_changed_at_once_keeps_the_phones_and_takes_no_app_code_for_three_minutes() -> None:
    before = World()
    before.browser("alice").enrolled()
    before.phone().install_app()
    before.clock.advance(3600)
    kept = {name: before.settings[name] for name in ("users", "ledger", "clients", "clock")}
    browser = World(secret="another-secret-another-secret-another", **kept).browser("alice")
    page = browser.choose(browser.visit(), "app")
    assert browser.enter(page, before.phone().app_code or "").status_int == 503
    before.clock.advance(181)
    page = browser.choose(browser.visit(), "app")
    assert browser.enter(page, before.phone().app_code or "").status_int == 303


def test_the_backup_holds_what_was_just_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = World(users=SQLStore("sqlite:///second-factor.db"))
    world.browser("alice").enrolled()
    run("docs/deployment.md", "python", 2)
    with closing(sqlite3.connect("backup.db")) as copy:
        assert copy.execute("select id from second_factor_users").fetchall() == [("alice",)]
    close(world.gate)


# The emulator


def test_the_emulator_is_started_from_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    served: list[Any] = []
    assert list(inspect.signature(server.serve).parameters)[:3] == ["host", "port", "api_key"]
    monkeypatch.setattr(server, "serve", lambda *given: served.append(given))  # it would serve until Ctrl-C
    run("docs/emulator.md", "python", 0)
    assert served == [("127.0.0.1", 8765, KEY)]
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


def test_the_emulator_is_mounted_into_a_session() -> None:
    client = run("docs/emulator.md", "python", 1)["client"]
    assert isinstance(client, AuthyClient)
    assert client.reach().startswith("Authy Demo")


def registered(emulator: Emulator) -> tuple[AuthyClient, int]:
    session = requests.Session()
    session.mount("http://127.0.0.1:8765", WSGIAdapter(emulator))
    client = AuthyClient(KEY, base_url="http://127.0.0.1:8765", session=session)
    return client, client.api.register_user("alice@example.com", "408-555-5270", 1)


def test_a_phone_is_in_the_hand() -> None:
    first, *lines = block("docs/emulator.md", "python", 2).splitlines()
    names: dict[str, Any] = {"Emulator": Emulator}
    exec(first, names)
    emulator = names["emulator"]
    client, alice = registered(emulator)
    client.api.request_sms(alice, force=True)
    client.api.qr_secret(alice)
    for line in lines:
        if "phone.approve()" in line:
            names["phone"].install_app()
            names["uuid"], _newest = (client.api.request_approval(alice, "Sign in?") for _ in range(2))
        exec(line, names)
    assert [approval["status"] for approval in names["phone"].approvals] == ["denied", "approved"]
    assert emulator.now == 1_800_000_000
    assert KEY not in repr(emulator.calls)


def test_callbacks_reach_an_application_in_the_same_process() -> None:
    heard: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        heard.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return []

    with requests.Session() as session:
        emulator = run("docs/emulator.md", "python", 3, session=session, application=application, WSGIAdapter=WSGIAdapter, Emulator=_with_the_key)["emulator"]
        client, alice = registered(emulator)
        emulator.phone(alice).install_app()
        client.api.request_approval(alice, "Sign in?")
        emulator.phone(alice).approve()
        emulator.callbacks.wait()
    assert set(heard) == {"/callback"}


def _with_the_key(key: str, **settings: Any) -> Emulator:
    assert key == KEY
    return Emulator(key, **settings)


def test_the_state_is_saved_loaded_and_sent_by_curl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    emulator = Emulator(KEY)
    registered(emulator)
    run("docs/emulator.md", "python", 4, emulator=emulator)
    fresh = TestApp(Emulator(KEY), extra_environ={"HTTP_HOST": "127.0.0.1:8765"})
    fresh.post("/phone/state", Path("phones.json").read_bytes(), content_type="application/json")
    assert fresh.app.phone(PHONE).number == PHONE


def test_a_fault_is_set_from_outside_and_from_python() -> None:
    emulator = Emulator(KEY)
    run("docs/emulator.md", "python", 5, emulator=emulator)
    assert [(fault.route, fault.kind) for fault in emulator.faults] == [("sms", "drop")]


def test_a_phone_for_programs_has_the_members_that_the_page_shows() -> None:
    emulator = Emulator(KEY)
    client, alice = registered(emulator)
    client.api.request_sms(alice)
    phone = emulator.phone(alice)
    phone.install_app()
    client.api.request_approval(alice, "Log in?", details={"User": "alice"})
    shown = json.loads(block("docs/emulator.md", "json"))
    assert _shape(phone.as_json()) == _shape(shown)


def _shape(value: Any) -> Any:
    """The names and kinds of a JSON value."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else type(value)


# Events and questions


def test_an_event_in_the_log_has_the_members_that_the_page_shows(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "authy_wsgi.events")
    world = World()
    world.browser("alice", REMOTE_ADDR="8.8.4.4").enrolled()
    lines = [json.loads(record.message) for record in caplog.records if record.name == "authy_wsgi.events"]
    shown = json.loads(block("docs/events.md", "json"))
    assert _shape(next(line for line in reversed(lines) if line["kind"] == "approved")) == _shape(shown)


def refused_fetch(world: World) -> Any:
    world.browser("alice").enrolled()
    return world.browser("alice").http.get("/api", headers=FETCH, status=401)


def test_fetch_gets_what_the_questions_say() -> None:
    answer = refused_fetch(World())
    assert answer.content_type == "application/problem+json"
    assert answer.json == json.loads(block("docs/faq.md", "json"))
    assert answer.headers["WWW-Authenticate"].startswith("SecondFactor")
    assert "Set-Cookie" not in answer.headers


DRIVER = """
const [script, said] = JSON.parse(require("fs").readFileSync(0));
global.fetch = async () => new Response(said.body, {status: said.status, headers: said.headers});
global.location = {assign(url) { console.log("to " + url); }};
eval(script + "; ask('/api').then(answer => console.log('through'), error => console.log(error.message));");
"""


@pytest.mark.parametrize("refused", [True, False])
def test_the_script_of_the_questions_goes_to_our_pages(refused: bool) -> None:
    node = shutil.which("node")
    if node is None:
        missing = "the script of docs/faq.md was NOT run: no Node here"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    answer = refused_fetch(World())
    said = {"status": answer.status_int, "body": answer.text, "headers": dict(answer.headers)} if refused else {"status": 401, "body": "{}", "headers": {}}
    given = json.dumps([block("docs/faq.md", "js"), said])
    done = subprocess.run([node, "-e", DRIVER], input=given, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == (["to /second-factor/", "A second factor is needed"] if refused else ["through"])


def test_a_key_lets_a_program_through_and_no_header_does() -> None:
    world = World(policy=run("docs/faq.md", "python", 0)["policy"])
    browser = world.browser("alice")
    assert browser.http.get("/api", headers=FETCH, status="*").status_int == 401
    assert browser.http.get("/api", headers={**FETCH, "mysite.by_key": "1", "Mysite-By-Key": "1"}, status="*").status_int == 401
    assert browser.http.get("/api", headers=FETCH, extra_environ={"mysite.by_key": "yes"}).status_int == 200


def test_staff_is_asked_first() -> None:
    world = World(policy=run("docs/faq.md", "python", 1)["policy"])
    assert {user: world.browser(user).get("/").status_int for user in ("alice", "bob", "carol")} == {"alice": 303, "bob": 303, "carol": 200}
    world.browser("carol").enrolled(path="/second-factor/")
    assert world.browser("carol").get("/").status_int == 303


def test_everybody_is_asked_from_the_day_on() -> None:
    names = run("docs/faq.md", "python", 2)
    world = World(policy=lambda environ, login: names["policy"](environ, login))
    asked = []
    for day in (10, 11):

        class Today(datetime):
            @classmethod
            def now(cls, tz: Any = None, day: int = day) -> datetime:
                return datetime(2027, 1, day, 12, tzinfo=tz)

        names["datetime"] = Today
        asked.append(world.browser("bob").get("/").status_int)
    assert asked == [200, 303]


def test_a_session_that_changes_with_each_request_shows_as_the_questions_say() -> None:
    numbers = iter(range(1000))
    world = World(identity=lambda _environ: Login("alice", f"s{next(numbers)}"))
    sentence = "This page was not made for you, or is too old"
    assert sentence in words(world.browser("alice").enrol())
    assert sentence in (ROOT / "docs" / "faq.md").read_text()


def test_a_dry_run_asks_nobody_and_lets_people_add_their_phones() -> None:
    world = World(enforce=False)
    browser = world.browser("bob")
    assert browser.get("/").status_int == 200
    assert world.kinds() == ["not_enforced"]
    assert browser.enrolled(path="/second-factor/").status_int == 200
    assert world.kinds()[-2:] == ["enrolled", "approved"]
