"""I. Leaks: canaries through every flow and every fault at DEBUG, and then a search through everything that was kept or said."""

from __future__ import annotations

import ast
import base64
import io
import json
import logging
import re
import sys
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import redis
import requests
from requests.adapters import BaseAdapter

from authy_wsgi import AuthyAPI, AuthyClient, MemoryLedger, MemoryStore, Need, Profile, SQLLedger, SQLStore, by_path, cli
from authy_wsgi.clients.http import Deadlines
from authy_wsgi.emulator import Emulator
from authy_wsgi.ledgers.redis import RedisLedger
from tests.attacks.helpers import (
    ATTEMPT,
    BASE_URL,
    CALLBACK,
    PASS,
    PREFIX,
    UNLIMITED,
    Answer,
    Liar,
    Outbox,
    Tab,
    ask,
    deliver,
    granted,
    hidden,
    named,
    signed_in,
)
from tests.clients.lab import CALLS, told_by
from tests.support import HTML, Clock, World, session_for

pytest_plugins = ("tests.redis_server",)

# The canaries. A real key is letters and digits; the emulator takes any.
KEY = "cAnArYkEy9f8e7d6c5b4a39281706f5e4"
SECRETS = ("canary-secret-that-signs-everything-now", "canary-secret-that-signed-everything-before")
NUMBERS = ("+14085555270", "+14085555271", "+14085555272", "+14085555273")
MAIL = "canary.person@example.com"
SESSION = "canary-session-of-the-site"
FORM = "canary-of-a-kept-form"
FAULT = "canary-words-of-a-fault"
SAME = {**HTML, "Sec-Fetch-Site": "same-origin"}
JSON = {"Accept": "application/json"}


class Seen(Tab):
    """A tab that remembers every answer and address."""

    all: list[tuple[str, Answer]]

    def _kept(self, answer: Answer) -> Answer:
        self.all.append(("", answer))
        return super()._kept(answer)


class Talkative(BaseAdapter):
    """A transport that fails with all that it was given in its words, as requests' own errors have the URL."""

    def __init__(self, kind: Callable[[str], BaseException]) -> None:
        super().__init__()
        self.kind = kind

    def send(self, request: Any, **_: Any) -> requests.Response:
        raise self.kind(f"HTTPSConnectionPool(host='api.authy.com'): Max retries exceeded with url: {request.url} {dict(request.headers)} {request.body!r}")

    def close(self) -> None:
        """Nothing is open."""


TALKATIVE: tuple[Callable[[str], BaseException], ...] = (
    requests.ConnectionError,
    requests.ReadTimeout,
    requests.exceptions.SSLError,
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
)


def echo(environ: dict[str, Any], _truth: Any) -> Any:
    """A refusal of the provider's that repeats whatever it was asked."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    said = f"You said {environ['REQUEST_URI']} {unquote(body)} with {environ.get('HTTP_X_AUTHY_API_KEY')}"
    for digits in re.findall(r"\d{7,10}", said):
        said += f" {digits[:3]} {digits[3:]} {digits[:3]}-{digits[3:]} ({digits[:3]}) {digits[3:6]}-{digits[6:]} {' '.join(digits)} {'.'.join(digits)}"
    return {"success": False, "message": said, "error_code": "60099", "errors": {"message": said, said: said}, "token": said}


class Spy:
    """Looks, from wherever it is called, at every object of ours that the calls above hold: what would a debugger or an error report show of it?"""

    def __init__(self) -> None:
        self.shown: dict[str, set[str]] = {}

    def look(self) -> None:
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_globals.get("__name__", "").startswith("authy_wsgi.") and ".emulator" not in frame.f_globals["__name__"]:
                for value in list(frame.f_locals.values()):
                    self._note(value, 2)
            frame = frame.f_back  # type: ignore[assignment]

    def _note(self, value: Any, depth: int) -> None:
        module = type(value).__module__ or ""
        if module.startswith("authy_wsgi.") and ".emulator" not in module:
            self.shown.setdefault(type(value).__name__, set()).add(repr(value))
            if depth:
                for name in (*getattr(type(value), "__slots__", ()), *getattr(value, "__dict__", {})):
                    if not name.startswith("__"):
                        self._note(getattr(value, name, None), depth - 1)
        if depth and type(value) in (tuple, list):
            for each in value:
                self._note(each, depth - 1)


_LOOK_EACH = 5


class Spied:
    """A ledger or store that calls the spy now and then, and raises once told to."""

    single_process = True

    def __init__(self, inner: Any, names: tuple[str, ...], spy: Spy) -> None:
        self.error: BaseException | None = None
        self.calls = 0
        for name in names:
            setattr(self, name, self._spied(getattr(inner, name), spy))

    def _spied(self, real: Callable[..., Any], spy: Spy) -> Callable[..., Any]:
        def method(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls % _LOOK_EACH == 0:
                spy.look()
            if self.error is not None:
                raise self.error
            return real(*arguments, **more)

        return method


class Everything:
    """All flows and all faults, once, over one kind of ledger. What came of them is in the attributes."""

    def __init__(self, ledger: Any, users: Any) -> None:
        self.spy, self.said, self.codes = Spy(), io.StringIO(), set[str]()
        self.answers: list[tuple[str, Answer]] = []
        self.ledger = Spied(ledger, ("spend", "give_back", "claim", "put", "get", "pop"), self.spy)
        self.users = Spied(users, ("get", "save", "delete", "erase", "ids"), self.spy)
        self.clock, self.outbox, self.liar = Clock(), Outbox(), Liar()
        emulator = Emulator(KEY, clock=self.clock, seed=7, callback_url=CALLBACK, callback_session=session_for(self.outbox))
        self.session = session_for(self._provider)
        self.healthy = self.session.get_adapter("https://x/")
        client = AuthyClient(KEY, base_url=BASE_URL, session=self.session, callback_url=CALLBACK)
        self.liar.emulator = emulator
        self.world = World(
            clients=client,
            clock=self.clock,
            ledger=self.ledger,
            users=self.users,
            secret=SECRETS[0],
            other_secrets=SECRETS[1:],
            channels=("push", "app", "sms", "call", "email"),
            policy=by_path({"/pay": Need(max_age=60)}),
            logout_url="/logout",
            profile=lambda user: Profile(name=user, email=MAIL) if user != "dora" else None,
            limits={**UNLIMITED, "code.user": [(6, 900), (8, 30 * 86400)]},
            password_stamp=lambda _user: FAULT,
            validate=False,
        )
        self.world.emulator, self.world.clock = emulator, self.clock
        emulator.callbacks.wait()

    def _provider(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.spy.look()
        return self.liar(environ, start_response)

    def tab(self, user: str) -> Seen:
        tab = Seen(self.world, user, f"{SESSION} {user} {self.clock.now} {len(self.answers)}")
        tab.all = self.answers
        return tab

    def code(self, number: str, channel: str = "sms") -> str:
        phone = self.world.phone(number)
        self.codes |= {message.code for message in phone.messages if message.code} | ({phone.app_code} if phone.app_code else set())
        found = phone.app_code if channel == "app" else phone.code
        assert found
        return found

    def wait(self, seconds: int = 31) -> None:
        self.clock.advance(seconds)

    # -- the flows

    def run(self, *, faults: bool) -> None:
        """`faults`: also with everything failing, which says nothing more about what is kept."""
        self.enrol()
        self.by_message()
        self.by_app_and_push()
        self.step_up_and_kept_form()
        self.ends_and_administration()
        self.tampered()
        if faults:
            self.provider_faults()
            self.own_faults()
        self.command_line()

    def enrol(self) -> None:
        for user, number, spelling in (("alice", NUMBERS[0], "(408) 555-5270"), ("bob", NUMBERS[1], NUMBERS[1]), ("dora", NUMBERS[2], "001 408 555 5272")):
            tab = self.tab(user)
            form = hidden(tab.visit("/members?a=b"), "/enrol")
            tab.post(f"{PREFIX}/enrol", {**form, "phone": spelling + "x", "country": "US", "email": MAIL})
            self.wait()
            answer = tab.post(f"{PREFIX}/enrol", {**form, "phone": spelling, "country": "US", "email": MAIL})
            fields = hidden(tab.visit(answer.header("Location") or ""), "/code")
            self.codes |= {"9191919", "919 1919"}
            tab.enter(fields, "9191919")
            tab.enter(fields, "919 1919 and more")
            assert granted(tab.enter(fields, self.code(number)))
            assert tab.get().status_int == 200
            self.wait(3600)

    def by_message(self) -> None:
        for channel in ("sms", "call", "email"):
            tab = self.tab("alice")
            fields = tab.to_code(channel)
            tab.enter(fields, "9191919")
            answer = tab.enter(fields, self.code(NUMBERS[0]))
            assert granted(answer), (channel, answer.text)
            tab.enter(fields, self.code(NUMBERS[0]))
            tab.post(f"{PREFIX}/continue", fields)
            self.wait(1000)

    def by_app_and_push(self) -> None:
        for number in NUMBERS[:2]:
            self.world.phone(number).install_app()
        tab = self.tab("alice")
        fields = tab.to_code("app")
        code = self.code(NUMBERS[0], "app")
        assert granted(tab.enter(fields, code))
        other = self.tab("alice")
        other.enter(other.to_code("app"), code)
        for press in ("approve", "deny", "expire"):
            self.wait(700)
            tab = self.tab("alice")
            tab.start("push")
            page = tab.get(f"{PREFIX}/push")
            fields = hidden(page, "/poll")
            tab.post(f"{PREFIX}/poll", fields, headers=JSON)
            if press == "expire":
                self.wait(200)
            else:
                getattr(self.world.phone(NUMBERS[0]), press)()
                self.world.emulator.callbacks.wait()
                for sent in self.outbox.sent:
                    self.answers += [("", deliver(self.world, sent)), ("", deliver(self.world, sent, headers={}))]
                    self.answers.append(("", deliver(self.world, sent, body=sent["body"][:-1])))
            self.wait(1)
            self.answers.append(("", tab.post(f"{PREFIX}/poll", fields, headers=JSON)))
            tab.get(f"{PREFIX}/push")

    def step_up_and_kept_form(self) -> None:
        self.wait(700)
        tab = self.tab("alice")
        tab.enter(tab.to_code("app"), self.code(NUMBERS[0], "app"))
        self.wait(100)
        answer = tab.post("/pay?x=1", {"password": FORM, "to": NUMBERS[3], "code": FORM}, headers=SAME)
        assert "We keep your form" in answer.text
        tab.post("/pay?x=2", {"password": FORM, "to": NUMBERS[3]}, headers=SAME)
        tab.post("/pay", {"password": FORM}, headers=HTML)
        page = tab.get(unquote(re.findall(r'href="([^"]*next=[^"]*)"', answer.text)[0]))
        answer = tab.post(f"{PREFIX}/start", hidden(page, "/start", "app"))
        fields = hidden(tab.get(answer.header("Location") or ""), "/code")
        done = tab.enter(fields, self.code(NUMBERS[0], "app"))
        if done.status_int == 303:
            done = tab.post(f"{PREFIX}/kept", hidden(tab.get(done.header("Location") or ""), "/kept"))
        assert FORM in done.text, done.text  # the page that sends it on, for its owner only

    def ends_and_administration(self) -> None:
        self.wait(700)
        for end in ("ours", "theirs"):
            tab = self.tab("bob")
            tab.enter(tab.to_code("app"), self.code(NUMBERS[1], "app"))
            if end == "ours":
                tab.post(f"{PREFIX}/logout", hidden(tab.get(f"{PREFIX}/logout"), "/logout"))
            else:
                tab.get("/logout")
            tab.get()
            self.wait(60)
        backend = self.world.backend
        for deed in (backend.revoke, backend.open, backend.disable, lambda user: backend.disable(user, disabled=False), backend.reset):
            deed("bob")
            self.tab("bob").visit()
        token = backend.invite("bob")
        self.codes.add(token.partition(".")[2])
        tab = self.tab("bob")
        form = hidden(tab.visit(f"{PREFIX}/enrol?invite={token}"), "/enrol")
        answer = tab.post(f"{PREFIX}/enrol", {**form, "phone": NUMBERS[3], "email": MAIL})
        assert granted(tab.enter(hidden(tab.visit(answer.header("Location") or ""), "/code"), self.code(NUMBERS[3])))
        self.wait(700)
        tab = self.tab("dora")
        fields = tab.to_code("sms")
        for number in range(12):
            self.codes.add(f"81818{number:02d}")
            tab.enter(fields, f"81818{number:02d}")
        self.wait(900)
        for number in range(12, 20):
            self.codes.add(f"81818{number:02d}")
            tab = self.tab("dora")
            page = tab.visit()
            if "Codes are closed" in page.text:
                break
            tab.enter(tab.to_code("sms"), f"81818{number:02d}")
            self.wait(31)
        assert "closed" in self.world.kinds()

    def tampered(self) -> None:
        tab = self.tab("alice")
        fields = tab.to_code("app")
        tab.enter(fields, self.code(NUMBERS[0], "app"))
        held = dict(tab.cookies)
        for name in (PASS, ATTEMPT):
            for value in (held[name][:-1], held[name] + "A", held[name].swapcase(), "x" * 600, '"', held[name] + "; " + held[name]):
                tab.cookies = {**held, name: value}
                tab.get()
                tab.post(f"{PREFIX}/start", fields)
                tab.cookies = dict(held)
        for identity in (5, f"{SESSION}\n", ("alice", SESSION, 1)):
            self.answers.append(("", ask(self.world, login=identity)))

    def provider_faults(self) -> None:
        lies: list[Any] = [
            echo,
            lambda environ, truth: (400, echo(environ, truth), {}),
            lambda environ, truth: (401, {**echo(environ, truth), "error_code": "60020"}, {}),
            lambda environ, truth: (503, echo(environ, truth), {"X-Echo": "x"}),
            lambda environ, truth: (200, json.dumps(echo(environ, truth)).encode()[:-2], {}),
            lambda environ, truth: (302, b"", {"Location": BASE_URL + environ["REQUEST_URI"]}),
            lambda environ, truth: (500, f"<html>{echo(environ, truth)}</html>".encode(), {"Content-Type": "text/html"}),
        ]
        for lie in lies:
            self._each_step(lambda lie=lie: self.liar.lies.update({"": lie}), self.liar.lies.clear)
        for kind in TALKATIVE:
            self._each_step(lambda kind=kind: self.session.mount("http://", Talkative(kind)), lambda: self.session.mount("http://", self.healthy))

    def own_faults(self) -> None:
        for part in (self.ledger, self.users):
            for error in (RuntimeError(f"{FAULT} {KEY} {NUMBERS[0]}"), OSError(28, f"{FAULT} {MAIL}"), KeyError(FAULT)):

                def fail(part: Spied = part, error: BaseException = error) -> None:
                    part.error = error

                def mend(part: Spied = part) -> None:
                    part.error = None

                self._each_step(fail, mend)

    def _each_step(self, fail: Callable[[], object], mend: Callable[[], object]) -> None:
        """Every step of a sign-in and of an enrolment, while something fails."""
        self.wait(901)
        self.world.backend.open("alice")
        coded, pushed, fresh = self.tab("alice"), self.tab("alice"), self.tab(f"new{self.clock.now}")
        typed = coded.to_code("app")
        form = hidden(fresh.visit(), "/enrol")
        self.wait(700)
        pushed.start("push")
        waiting = hidden(pushed.get(f"{PREFIX}/push"), "/poll")
        coded.to_code("app")
        typed = hidden(coded.get(f"{PREFIX}/code"), "/code")
        code = self.code(NUMBERS[0], "app")
        self.wait(11)
        fail()
        try:
            answers = [coded.enter(typed, code), pushed.post(f"{PREFIX}/poll", waiting, headers=JSON), pushed.get(f"{PREFIX}/push")]
            for channel in ("sms", "call", "email", "push"):
                answers.append(coded.post(f"{PREFIX}/start", {**typed, "client": "authy", "channel": channel, "factor": self.factor}))
                self.wait()
            answers.append(fresh.post(f"{PREFIX}/enrol", {**form, "phone": NUMBERS[3], "email": MAIL}))
            answers += [coded.get(), coded.get(headers={}), coded.post("/pay", {"a": FORM}, headers=SAME)]
            assert not any(granted(answer) for answer in answers)
        finally:
            mend()

    factor = ""

    def command_line(self) -> None:
        module = types.ModuleType("canary_site")
        module.application = self.world.gate  # type: ignore[attr-defined]
        sys.modules["canary_site"] = module
        out, errors, level = sys.stdout, sys.stderr, logging.getLogger("authy_wsgi").level
        sys.stdout = sys.stderr = self.said
        try:
            for words in (
                ["check", "--offline"],
                ["check"],
                ["check", "--offline", "--path", "/pay", "--user", "alice"],
                *(["users", name, "alice"] for name in ("show", "open", "disable")),
            ):
                cli.main(
                    [
                        words[0],
                        *(words[1:2] if words[0] == "users" else []),
                        "--app",
                        "canary_site:application",
                        *(words[2:] if words[0] == "users" else words[1:]),
                    ]
                )
            cli.main(["users", "list", "--app", "canary_site:application"])
            cli.main(["users", "disable", "--app", "canary_site:application", "--undo", "alice"])
            self.liar.lies[""] = lambda environ, truth: (400, echo(environ, truth), {})
            cli.main(["check", "--app", "canary_site:application"])
            self.liar.lies.clear()
        finally:
            sys.stdout, sys.stderr = out, errors
            logging.getLogger("authy_wsgi").setLevel(level)
            del sys.modules["canary_site"]


class Log(logging.Handler):
    """Every record as it would be written, and its raw parts."""

    def __init__(self) -> None:
        super().__init__(0)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        fault = "" if not record.exc_info or record.exc_info[1] is None else told_by(record.exc_info[1])
        self.lines.append(f"{self.format(record)} {record.args!r} {record.msg!r} {fault}")


every_ledger = pytest.mark.parametrize("ran", ["memory", "sqlite", "redis"], indirect=True)


@pytest.fixture(scope="module", params=["memory"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Everything, Log, str]:
    """Everything, over one kind of ledger: with what was logged, and what is in ledger and store."""
    folder: Path = tmp_path_factory.mktemp("leaks")
    ledger: Any = MemoryLedger()
    users: Any = MemoryStore()
    if request.param == "sqlite":
        ledger, users = SQLLedger(f"sqlite:///{folder}/ledger.db"), SQLStore(f"sqlite:///{folder}/users.db")
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        with redis.Redis.from_url(url) as server:
            server.flushall()
        ledger = RedisLedger(url)
    log, root = Log(), logging.getLogger()
    names = ("", "authy_wsgi", "authy_wsgi.events", "authy_wsgi.wire", "urllib3", "sqlalchemy.engine", "redis", "requests")
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(log)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        done = Everything(ledger, users)
        done.run(faults=request.param == "memory")
    finally:
        root.removeHandler(log)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    if request.param == "memory":
        kept = repr(vars(ledger)) + repr(vars(users))
    elif request.param == "sqlite":
        ledger.database.close()
        users.database.close()
        kept = "".join(path.read_bytes().decode("latin-1") for path in folder.iterdir())
    else:
        with redis.Redis.from_url(url) as server:
            kept = "".join(key.decode("latin-1") + _redis_value(server, key).decode("latin-1") for key in server.scan_iter())
        ledger.close()
    return done, log, kept


def _redis_value(server: Any, key: bytes) -> bytes:
    kind = server.type(key)
    if kind == b"string":
        return bytes(server.get(key))
    if kind == b"zset":
        return b" ".join(bytes(member) for member in server.zrange(key, 0, -1))
    return b" ".join(bytes(member) for member in server.smembers(key))


# The search


def _encoded(text: str) -> set[str]:
    """The text, and what is left of it in base64 and hexadecimal wherever it begins."""
    data = text.encode()
    found = {text, data.hex(), data.hex().upper()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\x00" * shift + data).decode()
            found.add(whole[(0, 2, 3)[shift] : len(whole) - (0, 4, 4)[(shift + len(data)) % 3] or None].rstrip("="))
    return {each for each in found if len(each) > 5}


@cache
def _spread(digits: str) -> re.Pattern[str]:
    """These digits in this order, however they are grouped."""
    return re.compile(r"(?<![0-9A-Za-z_-])\(?" + r"[ \u00a0().-]{0,2}".join(digits) + r"(?![0-9A-Za-z_-])")


WORDS = (KEY, KEY.lower(), KEY[:16], KEY[16:], *SECRETS, SESSION, FORM, FAULT, MAIL, "canary.person")


_DIGITS = re.compile(r"\(?[0-9](?:[ \u00a0().-]{0,2}[0-9]){5,}")
_SPELLINGS = {word: _encoded(word) for word in WORDS}


def search(text: str, codes: set[str], *allowed: str) -> list[str]:
    """The canaries that are in a text."""
    found = [word for word in WORDS if word not in allowed and any(spelling in text for spelling in _SPELLINGS[word])]
    digits = {*(code for code in codes if code.isdigit()), *(number[1:] for number in NUMBERS), *(number[2:] for number in NUMBERS)} - set(allowed)
    for run in _DIGITS.finditer(text):
        bare = re.sub(r"[^0-9]", "", run[0])
        around = text[max(0, run.start() - 1) : run.end() + 1]
        found += [each for each in digits if each in bare and _spread(each).search(around)]
    found += [each for each in codes if not each.isdigit() and each in text]
    return found


def _cookies(answers: list[tuple[str, Answer]]) -> str:
    said = []
    for _, answer in answers:
        for name, value in answer.headerlist:
            if name == "Set-Cookie":
                text = value.partition("=")[2].partition(";")[0]
                payload = text.partition(".")[0]
                said += [value, base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("latin-1")]
    return "\n".join(said)


def _urls(answers: list[tuple[str, Answer]]) -> str:
    said = []
    for _, answer in answers:
        said += [value for name, value in answer.headerlist if name == "Location"]
        said += re.findall(r'(?:href|action|src|data-poll)="([^"]*)"', answer.text)
        if (answer.header("Content-Type") or "").endswith("json"):
            said.append(str(answer.json.get("url", "")))
    decoded = []
    for url in said:
        for value in re.findall(r"next=([A-Za-z0-9_-]+)", url):
            decoded.append(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("latin-1"))
    return "\n".join([*said, *map(unquote, said), *decoded])


def test_the_search_finds_what_it_is_to_find() -> None:
    for word in WORDS:
        for noise in range(3):
            data = b"n" * noise + word.encode() + b" and more"
            assert search(f"xx {base64.b64encode(data).decode()} yy", set()), (word, noise)
            assert search(f"xx {data.hex()} yy", set())
    for text in ("735 0912", "735-0912", "(408) 555-5270", "408.555.5270", "+14085555270", "7 3 5 0 9 1 2", "code=7350912&"):
        assert search(text, {"7350912"}), text
    assert search("1700003600 17350912 73509123 a7350912", {"7350912"}) == []


def test_I1_every_flow_and_every_fault_was_gone_through(ran: tuple[Everything, Log, str]) -> None:
    done, log, kept = ran
    kinds = set(done.world.kinds()) | {event.kind for event in done.world.events}
    assert kinds >= {
        "challenged",
        "sent",
        "enrolled",
        "approved",
        "wrong",
        "denied",
        "expired",
        "closed",
        "opened",
        "revoked",
        "disabled",
        "enabled",
        "identity_unreadable",
    }
    routes = {call.route for call in done.world.calls()}
    assert routes >= {"users/new", "users/status", "sms", "call", "email", "verify", "approval_requests/create", "approval_requests/status", "app/details"}
    assert {answer.status_int for _, answer in done.answers} >= {200, 303, 400, 401, 403, 422, 429, 503}
    assert len(done.codes) > 25
    assert len(log.lines) > 300
    assert len(kept) > 10_000
    assert {
        "Visit",
        "Attempt",
        "Waiting",
        "Challenge",
        "User",
        "Factor",
        "Login",
        "Settings",
        "AuthyClient",
        "Wire",
        "Candidate",
        "Context",
        "Backend",
        "KeptForm",
    } <= set(done.spy.shown)


@every_ledger
def test_I1_nothing_secret_is_logged(ran: tuple[Everything, Log, str]) -> None:
    done, log, _ = ran
    found = search("\n".join(log.lines), done.codes)
    assert found == [], [line for line in log.lines if search(line, done.codes)]
    tokens = {cookie.partition("=")[2].partition(";")[0] for _, answer in done.answers for name, cookie in answer.headerlist if name == "Set-Cookie"} - {""}
    everything = "\n".join(log.lines)
    assert len(tokens) > 15
    for token in tokens:
        assert token not in everything
        assert token.rpartition(".")[2] not in everything


def test_I1_nothing_secret_is_in_an_event(ran: tuple[Everything, Log, str]) -> None:
    done, _, _ = ran
    for event in done.world.events:
        assert search(repr(event), done.codes) == []


def test_I1_C15_nothing_secret_is_in_an_address_of_ours(ran: tuple[Everything, Log, str]) -> None:
    done, _, _ = ran
    said = _urls(done.answers)
    assert len(said) > 10_000
    assert search(said, done.codes - {code for code in done.codes if not code.isdigit()}) == []


@every_ledger
def test_I1_C14_nothing_secret_is_in_a_cookie_in_clear(ran: tuple[Everything, Log, str]) -> None:
    done, _, _ = ran
    said = _cookies(done.answers)
    assert len(said) > 3000
    assert search(said, done.codes) == []
    assert "alice" not in said


@every_ledger
def test_I1_C14_nothing_secret_is_in_ledger_or_store_in_clear(ran: tuple[Everything, Log, str]) -> None:
    done, _, kept = ran
    assert search(kept, done.codes) == []


SHOWN = ("Visit", "Attempt", "Waiting", "Candidate", "Challenge", "Factor", "User", "Login", "Profile", "Context", "KeptForm", "Settings", "Grant", "Reply")


@pytest.mark.parametrize("kind", [*SHOWN, "the rest"])
def test_I1_no_object_of_ours_shows_anything_secret(ran: tuple[Everything, Log, str], kind: str) -> None:
    done, _, _ = ran
    kinds = [kind] if kind in SHOWN else [name for name in done.spy.shown if name not in SHOWN]
    found = {name: leaked for name in kinds for each in done.spy.shown.get(name, ()) if (leaked := search(each, done.codes))}
    assert found == {}


def test_I1_our_refusals_repeat_nothing_of_the_providers_words(ran: tuple[Everything, Log, str]) -> None:
    done, _, _ = ran
    for _, answer in done.answers:
        if answer.status_int == 503:
            assert "You said" not in answer.text
            assert search(re.sub(r'value="[^"]*"', "", answer.text), done.codes) == []


def test_I1_the_command_line_shows_nothing_secret(ran: tuple[Everything, Log, str]) -> None:
    done, _, _ = ran
    said = done.said.getvalue()
    assert "+1 ••• ••• 70" in said
    assert "does not work" in said
    assert search(said, done.codes) == []


def test_I3_the_key_travels_in_a_header_only(ran: tuple[Everything, Log, str]) -> None:
    done, _, _ = ran
    assert len(done.liar.seen) > 50
    for method, target, headers in done.liar.seen:
        assert KEY not in target, method
        assert "api_key" not in target
        assert headers["HTTP_X_AUTHY_API_KEY"] == KEY
        assert not any(KEY in value for name, value in headers.items() if name != "HTTP_X_AUTHY_API_KEY")
    for number in NUMBERS:
        assert not any(number[2:] in target for _, target, _ in done.liar.seen)


class Recorded(BaseAdapter):
    """Answers every request alike."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__()
        self.status, self.body = status, body

    def send(self, request: Any, **_: Any) -> requests.Response:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            body = self.body or json.dumps(echo(environ, None)).encode()
            start_response(f"{self.status} Said", [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("X-Authy-Simulator", "1")])
            return [body]

        session = session_for(app)
        return session.get_adapter(request.url).send(request)

    def close(self) -> None:
        """Nothing is open."""


FAULTS: dict[str, BaseAdapter] = {
    **{f"{kind.__name__}": Talkative(kind) for kind in TALKATIVE[:5]},
    **{f"an echo {status}": Recorded(status, b"") for status in (200, 400, 401, 403, 404, 429, 500, 503)},
    "no JSON": Recorded(200, b"<html>"),
    "a foreign success": Recorded(200, b'{"success": "yes"}'),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("fault", **named(FAULTS))
def test_I1_I3_an_error_of_the_api_says_nothing_secret(name: str, fault: BaseAdapter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", fault)
    api = AuthyAPI(KEY, base_url=BASE_URL, session=session, deadlines=Deadlines(total=2))
    try:
        CALLS[name].make(api)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked through
        said = told_by(error)
    else:
        pytest.fail(f"{name} believed it")
    for text in (said, repr(api), repr(api.wire), caplog.text):
        assert search(text, {"7350912"}, FAULT) == [], text
        assert "canary@" not in text
        assert "canary%40" not in text


# I2, I4, I5


def test_I2_the_page_of_an_enrolment_has_no_address_of_another_origin(world: World) -> None:
    tab = Tab(world)
    page = tab.visit()
    answer = tab.post(f"{PREFIX}/enrol", {**hidden(page, "/enrol"), "phone": NUMBERS[0], "email": MAIL})
    for each in (page, answer, tab.visit(answer.header("Location") or "")):
        urls = re.findall(r'(?:href|action|src|srcset|data|poster)="([^"]*)"', each.text)
        assert all(url.startswith("/") and not url.startswith("//") for url in urls)
        assert re.findall(r"https?://[^\s<\"]+", re.sub(r"Codes come from a simulator at \S+", "", each.text)) == []
        assert "url(" not in each.text


def test_I4_a_tampered_value_raises_and_logs_nothing_that_helps(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    browser = signed_in(world)
    token = browser.http.cookies[PASS]
    payload, _, signature = token.partition(".")
    login = browser.http.extra_environ["site.login"]
    caplog.clear()
    for forged in (
        f"{payload}.{'A' * 43}",
        f"{payload[:-1]}.{signature}",
        f"{payload}.{signature[:-1]}",
        f"{payload}A.{signature}",
        f"{payload}.{signature[::-1]}",
        payload + ".",
    ):
        for path in ("/members", f"{PREFIX}/", f"{PREFIX}/continue"):
            answer = ask(world, path, login=login, cookie=f"{PASS}={forged}; {ATTEMPT}={forged}")
            assert answer.status_int in (200, 303)
            for place in (answer.text, str(answer.headerlist), caplog.text):
                assert signature not in place
                assert forged not in place
                assert "expected" not in place.lower()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


SECRET_NAMES = re.compile(r"signature|digest|hmac|\bmac\b|secret|api_key|_key\b|password|token|claimed", re.IGNORECASE)
# Reviewed: neither side is a secret, or both are the caller's own.
REVIEWED = {
    "body.get('token') == 'is valid'": "a word of the provider's answer",
    "body.get('message') == 'Token is valid.'": "a word of the provider's answer",
    "self._tickets.read_pass(token) != held": "two passes whose signatures were good",
    "who == self.login_of(environ)": "two logins that the site itself has named, under a key of the environ",
}


def test_I5_no_secret_or_digest_is_compared_by_equality() -> None:
    """A list for the reviewer: every `==` or `!=` of a name that sounds like one. `docs/security.md` says how each secret is compared."""
    found = {}
    for path in sorted((Path(__file__).parents[2] / "authy_wsgi").rglob("*.py")):
        # Neither is there where people sign in.
        if {"emulator", "testing"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
                text = ast.unparse(node)
                if SECRET_NAMES.search(text) and text not in REVIEWED:
                    found[text] = path.name
    assert found == {}
