"""Several processes on one SQLite file, and processes that die: limits, passes and the store are as true as with one."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from bs4 import BeautifulSoup

from authy_wsgi import SQLStore
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from authy_wsgi.tickets import Pass, Tickets
from tests.support import API_KEY, PHONE, SECRET

SITE = """
import json, os, time
from pathlib import Path

from authy_wsgi import AuthyClient, Login, SecondFactor, SQLStore

HERE = Path(__file__).parent


def clock():
    return int(time.time()) + int((HERE / "moved").read_text())


def identity(environ):
    # For this test only: whoever sends a request says who they are.
    name = environ.get("HTTP_X_TEST_USER")
    return Login(name, environ["HTTP_X_TEST_SESSION"]) if name else None


def note(event):
    with (HERE / "events").open("a") as file:
        file.write(json.dumps([event.kind, event.user_id, os.getpid()]) + "\\n")


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield f"app {environ['PATH_INFO']}\\n".encode()
    if environ["PATH_INFO"].startswith("/hold/"):
        while (HERE / environ["PATH_INFO"].rpartition("/")[2]).exists():
            time.sleep(0.01)


gate = SecondFactor(
    site,
    identity=identity,
    secret=SECRET,
    users=SQLStore(f"sqlite:///{HERE}/second-factor.db"),
    clients=AuthyClient(API_KEY, base_url=EMULATOR),
    enrolment="open",
    https=False,
    exempt=("/hold",),
    clock=clock,
    events=note,
)


def application(environ, start_response):
    def with_pid(status, headers, exc_info=None):
        return start_response(status, [*headers, ("X-Pid", str(os.getpid()))], exc_info)

    return gate(environ, with_pid)
"""


class Site:
    """A site served by gunicorn from a file in `folder`, and the emulator in this process."""

    def __init__(self, folder: Path, server: Server, *options: str) -> None:
        self.folder = folder
        self.emulator = server.emulator
        settings = f"SECRET = {SECRET!r}\nAPI_KEY = {API_KEY!r}\nEMULATOR = {server.url!r}\n"
        (folder / "site_under_test.py").write_text(settings + SITE)
        (folder / "events").touch()
        self._numbers = itertools.count()
        self.moved = 0
        self.move_clock(0)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        bind = f"fd://{self._socket.fileno()}"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", bind, *options, "site_under_test:application"],
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=[self._socket.fileno()],
            start_new_session=True,
            env={**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "GUNICORN_CMD_ARGS": ""},
        )

    def stop(self) -> None:
        # gunicorn's workers are in the process group of their master.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()
        self._log.close()

    def move_clock(self, seconds: int) -> None:
        """Move the site's clock, and the provider's with it."""
        self.moved += seconds
        (self.folder / "moving").write_text(str(self.moved))
        (self.folder / "moving").replace(self.folder / "moved")
        self.emulator.advance(seconds)

    def events(self) -> list[list[Any]]:
        return [json.loads(line) for line in (self.folder / "events").read_text().splitlines()]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    @contextmanager
    def only(self, pid: int) -> Iterator[None]:
        """Meanwhile this worker is the one that serves: the other one (each takes one request at a time) is kept busy."""
        for _ in range(100):
            with self._held() as held:
                if held != pid:
                    yield
                    return
        raise AssertionError("the other worker never took a request")

    @contextmanager
    def _held(self) -> Iterator[int]:
        """Keeps a worker busy; its process id."""
        busy = self.folder / f"busy{next(self._numbers)}"
        busy.touch()
        try:
            with requests.get(f"{self.url}/hold/{busy.name}", stream=True, timeout=20) as held:
                try:
                    yield int(held.headers["X-Pid"])
                finally:
                    busy.unlink()
                # The worker is free again when its answer has ended.
                assert held.content
        finally:
            busy.unlink(missing_ok=True)

    def pids(self) -> set[int]:
        """The two workers, each of which has served."""
        with self._held() as one, self._held() as other:
            return {one, other}


class Page:
    """An answer, and the forms on it."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.location = response.headers.get("Location", "")
        self.pid = int(response.headers["X-Pid"])
        self.text = response.text
        self.html = BeautifulSoup(response.text, "html.parser")

    @property
    def words(self) -> str:
        return " ".join(self.html.get_text(" ").split())

    def form(self, end: str, **wanted: str) -> tuple[str, dict[str, str]]:
        """Action and fields of the form whose action ends so and that has these values."""
        for form in self.html.find_all("form"):
            fields = {field["name"]: field.get("value", "") for field in form.find_all("input") if field.get("name")}
            if form["action"].partition("?")[0].endswith(end) and wanted.items() <= fields.items():
                return form["action"], fields
        raise AssertionError(f"no form to {end} on: {self.status} {self.words}")


class Person:
    """A browser over sockets, a new connection for each request."""

    def __init__(self, site: Site, user: str, session: str = "s") -> None:
        self.site = site
        self.http = requests.Session()
        self.http.headers.update({"X-Test-User": user, "X-Test-Session": session, "Accept": "text/html", "Connection": "close"})

    def twin(self) -> Person:
        """Another window of the same browser, with a copy of its cookies."""
        twin = Person(self.site, "")
        twin.http.headers.update(self.http.headers)
        twin.http.cookies.update(self.http.cookies)
        return twin

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_error: object) -> None:
        self.http.close()

    def get(self, path: str = "/members") -> Page:
        page = Page(self.http.get(self.site.url + path, allow_redirects=False, timeout=20))
        return self.get(page.location) if page.status == 303 else page

    def post(self, action: str, fields: dict[str, str]) -> Page:
        return Page(self.http.post(self.site.url + action, fields, allow_redirects=False, timeout=20))

    def submit(self, page: Page, end: str, **fields: str) -> Page:
        action, known = page.form(end)
        answer = self.post(action, {**known, **fields})
        return self.get(answer.location) if answer.status == 303 else answer

    def ask_to_enrol(self, number: str = PHONE) -> Page:
        """To the page where the first code is typed."""
        return self.submit(self.get(), "/enrol", phone=number, email="someone@example.com")

    def choose(self, channel: str = "sms") -> Page:
        action, fields = self.get().form("/start", channel=channel)
        answer = self.post(action, fields)
        return self.get(answer.location) if answer.status == 303 else answer

    def finish(self, number: str = PHONE) -> Page:
        """To the app's page, by a factor that is there or by adding one; whatever was begun before."""
        page = self.get()
        page = self.ask_to_enrol(number) if "Add your phone" in page.words else self.choose()
        return self.submit(page, "/code", code=self.site.emulator.phone(number).code)

    @property
    def held(self) -> Pass | None:
        """The pass in this browser."""
        token = self.http.cookies.get("second_factor")
        return Tickets([SECRET], "second_factor").read_pass(token) if token else None


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """Starts a site under gunicorn with these options."""
    started: list[Site] = []
    with Server(Emulator(API_KEY, seed=1)) as server:

        def start(*options: str) -> Site:
            started.append(Site(tmp_path, server, *options))
            return started[-1]

        try:
            yield start
        finally:
            for site in started:
                site.stop()


def verified(site: Site) -> int:
    return len([call for call in site.emulator.calls if call.route == "verify"])


@pytest.mark.parametrize("options", [[], pytest.param(["--preload"], marks=pytest.mark.slow)], ids=["", "preload"])
def test_ten_wrong_codes_over_two_workers_are_counted_together(make_site: MakeSite, options: list[str]) -> None:
    site = make_site("--workers=2", *options)
    one, other = sorted(site.pids())
    with Person(site, "alice") as alice:
        assert alice.submit(alice.ask_to_enrol(), "/code", code=site.emulator.phone(PHONE).code).text == "app /members\n"
        site.move_clock(3600)
    with Person(site, "alice", "next") as alice:
        page = alice.choose()
        before = verified(site)
        answers = []
        for pid in (one, other, one, other, other, one, one, other, one, other):
            with site.only(pid):
                page = alice.post(page.form("/code")[0], {**page.form("/code")[1], "code": "1111111"})
            assert page.pid == pid
            answers.append(page.status)
            left = re.search(r"(\d) (tries|try) left", page.words)
            if left:
                answers[-1] = int(left[1])
        assert answers == [4, 3, 2, 1, 429, 429, 429, 429, 429, 429]
        assert verified(site) - before == 5
        page = alice.post(page.form("/code")[0], {**page.form("/code")[1], "code": site.emulator.phone(PHONE).code})
        assert page.status == 429
        assert alice.held is None
    # In another sign-in of the same person it is no other.
    with Person(site, "alice", "third") as alice:
        site.move_clock(30)
        page = alice.choose()
        page = alice.post(page.form("/code")[0], {**page.form("/code")[1], "code": site.emulator.phone(PHONE).code})
        assert page.status == 429
    assert verified(site) - before == 5
    assert [event[0] for event in site.events()].count("wrong") == 5
    assert {event[2] for event in site.events() if event[0] == "wrong"} == {one, other}


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["", "preload"])
def test_of_fifty_parallel_right_codes_one_wins_and_all_others_end_in_its_pass(make_site: MakeSite, options: list[str]) -> None:
    site = make_site("--workers=2", "--worker-class=gthread", "--threads=8", *options)
    with Person(site, "alice") as alice:
        alice.submit(alice.ask_to_enrol(), "/code", code=site.emulator.phone(PHONE).code)
        site.move_clock(3600)
    with Person(site, "alice", "next") as alice:
        action, fields = alice.choose().form("/code")
        fields["code"] = site.emulator.phone(PHONE).code
        before = verified(site)
        windows = [alice.twin() for _ in range(50)]
        start = threading.Barrier(50)

        def press(window: Person) -> Page:
            start.wait()
            return window.post(action, fields)

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(press, windows))
        assert {answer.status for answer in answers} == {303}
        assert len({answer.pid for answer in answers}) == 2
        assert verified(site) - before == 1
        winners = [window for window in windows if window.held]
        assert winners
        for window, answer in zip(windows, answers, strict=True):
            if window.held is None:
                assert "/second-factor/continue" in answer.location
                page = window.get(answer.location)
                assert window.submit(page, "/continue").text == "app /members\n"
        assert len({window.held.id for window in windows if window.held}) == 1
        assert {window.held.proofs for window in windows if window.held} == {winners[0].held.proofs if winners[0].held else ()}
        assert [event[0] for event in site.events()].count("approved") == 2  # the enrolment's, and one
        for window in windows:
            window.http.close()


def assert_whole(site: Site) -> None:
    """The store opens and holds nothing half-written."""
    with closing(sqlite3.connect(site.folder / "second-factor.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store = SQLStore(f"sqlite:///{site.folder}/second-factor.db")
    for user_id in store.ids():
        user = store.get(user_id)
        assert user is not None
        assert len(user.factors) <= 1
    if store.database._engine is not None:
        store.database._engine.dispose()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited for nothing"
        time.sleep(0.005)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def killed_while(site: Site, person: Person, page: Page, end: str, fields: dict[str, str], moment: Callable[[], bool]) -> None:
    """Submit a form, and kill the worker that is at it as soon as `moment` has come."""
    answered: list[Page] = []

    def submit() -> None:
        with suppress(requests.RequestException):
            answered.append(person.post(page.form(end)[0], {**page.form(end)[1], **fields}))

    thread = threading.Thread(target=submit)
    thread.start()
    wait_until(moment)
    kill(page.pid)
    thread.join()
    assert not answered, "the worker was faster than its end"


def starts_again(site: Site, user: str, number: str) -> None:
    """After a kill: nothing is broken, and the person gets in, in the same login or in a new one."""
    assert_whole(site)
    site.move_clock(60)
    with Person(site, user, "again") as person:
        assert person.finish(number).text == "app /members\n"
    store = SQLStore(f"sqlite:///{site.folder}/second-factor.db")
    user_stored = store.get(user)
    assert user_stored is not None
    assert len(user_stored.factors) == 1
    if store.database._engine is not None:
        store.database._engine.dispose()


def test_a_worker_killed_at_any_call_of_an_enrolment_leaves_a_store_that_opens_and_a_person_who_can_start_again(make_site: MakeSite) -> None:
    site = make_site("--workers=1", "--preload")

    def slow(route: str) -> Callable[[], bool]:
        site.emulator.add_fault(route=route, kind="delay", seconds=0.5)
        asked = len(site.emulator.calls)
        return lambda: any(call.route == route for call in site.emulator.calls[asked:])

    for number, route in enumerate(("users/new", "sms", "verify", "users/status")):
        user, phone = f"user{number}", f"+1408555528{number}"
        with Person(site, user) as person:
            page = person.get()
            if route in ("users/new", "sms"):
                killed_while(site, person, page, "/enrol", {"phone": phone, "email": "a@example.com"}, slow(route))
            else:
                page = person.ask_to_enrol(phone)
                killed_while(site, person, page, "/code", {"code": site.emulator.phone(phone).code}, slow(route))
        assert site.emulator.faults == [], f"{route} was never asked"
        starts_again(site, user, phone)


def test_a_worker_killed_right_after_sending_or_right_after_success_loses_nothing(make_site: MakeSite) -> None:
    site = make_site("--workers=1", "--preload")
    with Person(site, "alice") as alice:
        page = alice.ask_to_enrol()
        kill(page.pid)
        assert_whole(site)
        page = alice.get("/second-factor/code")
        answer = alice.post(page.form("/code")[0], {**page.form("/code")[1], "code": site.emulator.phone(PHONE).code})
        assert answer.status == 303
        kill(answer.pid)
        assert_whole(site)
        page = alice.get("/members")
        assert page.text == "app /members\n"
        assert page.pid != answer.pid
    starts_again(site, "alice", PHONE)


@pytest.mark.slow
def test_a_worker_killed_at_random_moments_leaves_a_store_that_opens_and_a_person_who_can_start_again(make_site: MakeSite) -> None:
    site = make_site("--workers=1", "--preload")
    random = Random(2)
    for number in range(12):
        user, phone = f"user{number}", f"+140855552{10 + number}"
        with Person(site, user) as person:
            page = person.get() if number % 2 else person.ask_to_enrol(phone)
            fields = {"phone": phone, "email": "a@example.com"} if number % 2 else {"code": site.emulator.phone(phone).code}
            end = "/enrol" if number % 2 else "/code"
            timer = threading.Timer(random.uniform(0.001, 0.06), kill, [page.pid])
            timer.start()
            with suppress(requests.RequestException):
                person.post(page.form(end)[0], {**page.form(end)[1], **fields})
            timer.join()
        starts_again(site, user, phone)
