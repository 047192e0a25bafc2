"""`make demo`, as a process of its own: what it prints, that a sign-in works, and that it ends cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import pytest
import requests
from bs4 import BeautifulSoup

from examples import django_site, flask_site, plain

ROOT = Path(__file__).parents[2]
PATIENCE = 30


class Demo:
    """A running demo; its lines come as they are printed."""

    def __init__(self, folder: Path, **environ: str) -> None:
        # The demo itself must not wait for a full buffer before it tells a step, so nothing is unbuffered from outside.
        settings = {name: value for name, value in os.environ.items() if name not in ("PYTHONUNBUFFERED", "SITE")}
        settings |= {"PORT": "0", "EMULATOR_PORT": "0", "PYTHONPATH": str(ROOT), **environ}
        command = [sys.executable, "-m", "examples.demo"]
        self.process = subprocess.Popen(command, cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        self._lines: Queue[str] = Queue()
        self.seen: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self, pattern: str) -> re.Match[str]:
        """The next line that matches, waited for."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError(f"no line like {pattern!r} came; before: {self.seen}") from None
            self.seen.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal and wait; exit code and what stood on stderr."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self._lines.empty():
            self.seen.append(self._lines.get())
        assert self.process.stderr is not None
        return code, self.process.stderr.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[Any]:
    running: list[Demo] = []

    def start(**environ: str) -> Demo:
        running.append(Demo(tmp_path, **environ))
        return running[-1]

    yield start
    for demo in running:
        demo.close()


class Person:
    """Somebody with a browser, made of `requests`."""

    def __init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Accept"] = "text/html"
        self.page = requests.Response()

    def open(self, url: str) -> None:
        self.page = self.http.get(url, timeout=PATIENCE)

    def send(self, to: str, **fields: str) -> None:
        """Fill in the form of this page whose action ends so, and send it."""
        form = next(form for form in BeautifulSoup(self.page.text, "html.parser").find_all("form") if str(form.get("action", "")).endswith(to))
        hidden = {str(field["name"]): str(field.get("value", "")) for field in form.find_all("input", type="hidden")}
        self.page = self.http.post(requests.compat.urljoin(self.page.url, str(form.get("action", ""))), {**hidden, **fields}, timeout=PATIENCE)

    @property
    def heading(self) -> str:
        found = BeautifulSoup(self.page.text, "html.parser").find("h1")
        return found.get_text(strip=True) if found else ""


def addresses(demo: Demo) -> tuple[str, str]:
    """The two URLs that the demo prints: the site's, and the phones'."""
    site = demo.line(r"(http://127\.0\.0\.1:\d+/)$")[1]
    return site, demo.line(r"(http://127\.0\.0\.1:\d+/phone/)$")[1]


def test_a_sign_in_is_told_line_by_line_and_ctrl_c_ends_it(demos: Any, tmp_path: Path) -> None:
    demo = demos()
    site, phones = addresses(demo)
    demo.line("The steps of each sign-in")
    alice = Person()
    alice.open(site + "register")
    alice.send("/register", name="alice", password="correct horse", email="alice@example.com", country="US", phone="202-555-0123")
    alice.send("/login", name="alice", password="correct horse")
    alice.send("/enrol")
    demo.line(r"^\d\d:\d\d:\d\d alice  sent sms$")
    code = alice.http.get(phones + "+12025550123.json", timeout=PATIENCE).json()["messages"][-1]["code"]
    alice.send("/code", code="0000000" if code != "0000000" else "1111111")
    demo.line(r" alice  wrong code by sms$")
    alice.send("/code", code=code)
    assert alice.heading == "Good to see you, alice"
    demo.line(r" alice  enrolled by sms$")
    demo.line(r" alice  approved by sms$")
    code, complaints = demo.end(signal.SIGINT)
    assert (code, complaints) == (0, "")
    assert demo.seen[-1] == "The demo has ended."
    assert stat.S_IMODE((tmp_path / ".demo/bottle/secret").stat().st_mode) == 0o600
    for url in (site, phones):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=PATIENCE)


@pytest.mark.slow
def test_accounts_outlive_the_demo_and_enrolments_do_not(demos: Any) -> None:
    alice = Person()
    for run in range(2):
        demo = demos()
        site, _ = addresses(demo)
        demo.line("The steps of each sign-in")
        if run == 0:
            alice.open(site + "register")
            alice.send("/register", name="alice", password="correct horse", email="alice@example.com", country="US", phone="202-555-0123")
        alice.open(site + "login")
        alice.send("/login", name="alice", password="correct horse")
        assert alice.page.url.startswith(site + "second-factor/enrol")
        assert demo.end(signal.SIGTERM) == (0, "")
        alice.http.cookies.clear()


def test_the_pyramid_site_on_demand(demos: Any) -> None:
    demo = demos(SITE="pyramid")
    site, _ = addresses(demo)
    bob = Person()
    bob.open(site + "login")
    bob.send("/login", name="bob", password="winter store")
    assert bob.heading == "Confirm your phone"
    assert demo.end(signal.SIGINT) == (0, "")


@pytest.mark.parametrize("name", [pytest.param("flask", marks=pytest.mark.slow), "django"])
def test_a_small_site_on_demand(demos: Any, name: str) -> None:
    demo = demos(SITE=name)
    site, phones = addresses(demo)
    demo.line("The steps of each sign-in")
    alice = Person()
    alice.open(site)
    module = {"flask": flask_site, "django": django_site}[name]
    field = "username" if name == "django" else "name"
    alice.send("", **{field: "alice", "password": module.ACCOUNTS["alice"]})
    assert alice.heading == "Add your phone"
    alice.send("/enrol", phone="202-555-0123", country="US", email="alice@example.com")
    demo.line(r" sent sms$")
    code = alice.http.get(phones + "+12025550123.json", timeout=PATIENCE).json()["messages"][-1]["code"]
    alice.send("/code", code=code)
    assert alice.heading == "Good to see you, alice"
    demo.line(r" approved by sms$")
    assert demo.end(signal.SIGINT) == (0, "")


@pytest.mark.parametrize("name", [pytest.param("plain", marks=pytest.mark.slow), "paste"])
def test_a_site_behind_basic_on_demand(demos: Any, name: str) -> None:
    demo = demos(SITE=name)
    site, _ = addresses(demo)
    demo.line("The steps of each sign-in")
    alice = Person()
    alice.open(site)
    assert alice.page.status_code == 401
    alice.http.auth = ("alice", plain.ACCOUNTS["alice"])
    alice.open(site)
    assert alice.heading == "Add your phone"
    alice.send("/enrol", phone="202-555-0123", country="US", email="alice@example.com")
    demo.line(r" alice  sent sms$")
    assert demo.end(signal.SIGINT) == (0, "")


@pytest.mark.parametrize("setting", ["PORT", "EMULATOR_PORT"])
def test_a_taken_port_is_named(demos: Any, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = demos(**{setting: str(port)})
        assert demo.process.wait(PATIENCE) == 2
        assert demo.process.stderr.read().startswith(f"Port {port} is taken: choose another with {setting}=")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [("SITE", "zope", "choose SITE=bottle, pyramid, flask"), ("PORT", "http", "PORT is 'http'"), ("PORT", "99999", "PORT is '99999'")],
)
def test_a_setting_that_cannot_be_is_named(demos: Any, setting: str, value: str, said: str) -> None:
    demo = demos(**{setting: value})
    assert demo.process.wait(PATIENCE) == 2
    assert said in demo.process.stderr.read()
