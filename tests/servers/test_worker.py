"""The same faults where it costs most: one gunicorn worker that takes one request at a time. When the deadline is over it serves the next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from tests.support import API_KEY

from .proxy import FAULTS, SLOW, Proxy
from .wire import Answer, Site, Visitor, exchange, read_answers, request

# As site.py has it: the total of one exchange.
DEADLINE = 1.5
MARGIN = 2.5
CANNOT = "The phone service does not answer just now"


class Worker:
    """The site under one worker, and the proxy between it and its provider."""

    def __init__(self, site: Site, proxy: Proxy) -> None:
        self.site, self.proxy = site, proxy
        self._users = 0

    def newcomer(self) -> tuple[Visitor, str]:
        """Somebody who has just passed the site's own login for the first time, and the number of their phone."""
        self._users += 1
        self.site.set_mode(f"wall user{self._users} s1")
        return Visitor(self.site), f"+14085556{self._users:03}"

    def starts(self) -> int:
        return self.site.log().count("Booting worker")


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    emulator = Emulator(API_KEY, seed=1)
    with Server(emulator) as server, Proxy(int(server.url.rpartition(":")[2])) as proxy:
        site = Site("one gunicorn worker", tmp_path_factory.mktemp("worker"), emulator, proxy.url, "+14085556999", callback="")
        try:
            yield Worker(site, proxy)
        finally:
            site.stop()


class Step:
    """Somebody on the way to the form that makes a call."""

    def __init__(self, worker: Worker, call: str) -> None:
        self.visitor, self.number = worker.newcomer()
        self._site = worker.site
        self.end, self.fields = "", {}
        page = self.visitor.arrive()
        if call == "users/new":
            self.end, self.fields = "/enrol", {"phone": self.number, "email": "someone@example.com"}
        else:
            page = self.visitor.submit(page, "/enrol", phone=self.number, email="someone@example.com")
            self.end, self.fields = "/code", {"code": self._site.emulator.phone(self.number).code}
        if call.startswith("approval_requests/"):
            assert self.visitor.submit(page, "/code", **self.fields).status == 200
            self._site.emulator.phone(self.number).install_app()
            user = self._site.mode.split()[1]
            self._site.set_mode(f"wall {user} s2")
            page = self.visitor.arrive()
            self.end, self.fields = "/start", {"channel": "push"}
        if call == "approval_requests/status":
            page = self.visitor.submit(page, "/start", channel="push")
            self.end, self.fields = "/poll", {}
            # The provider is asked once a second.
            time.sleep(1.1)
        self.page = page
        self.held = dict(self.visitor.cookies)

    def take(self) -> Answer:
        """Press the button; what it leads to."""
        return self.visitor.submit(self.page, self.end, **self.fields)


def _goes_wrong(worker: Worker, fault: str, call: str) -> None:
    site, proxy = worker.site, worker.proxy
    step = Step(worker, call)
    starts, called = worker.starts(), len(site.seen)
    misbehaved = proxy.misbehaved
    with proxy.faulty({**FAULTS, **SLOW}[fault]), ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        pressed = pool.submit(step.take)
        # Somebody else comes meanwhile, and waits for the one worker no longer than that.
        while proxy.misbehaved == misbehaved and not pressed.done():
            time.sleep(0.005)
        other = read_answers(exchange(site.port, request(b"/second-factor/static/style.css"), patience=30)[0])
        waited = time.monotonic() - began
        answer = pressed.result()
        took = time.monotonic() - began
    assert [each.status for each in other] == [200]
    assert max(took, waited) < DEADLINE + MARGIN
    assert proxy.misbehaved > misbehaved
    assert answer.status == 503
    assert CANNOT in answer.body.decode()
    assert len(site.seen) == called
    assert step.visitor.cookies.get("__Host-second_factor") == step.held.get("__Host-second_factor")
    # Free again: at once, and it is the same worker.
    began = time.monotonic()
    assert site.probe(request(b"/second-factor/static/style.css")).statuses == [200]
    assert time.monotonic() - began < 1
    assert worker.starts() == starts
    assert "WORKER TIMEOUT" not in site.log()
    # And the next in line has no trouble.
    visitor, number = worker.newcomer()
    page = visitor.submit(visitor.arrive(), "/enrol", phone=number, email="someone@example.com")
    assert visitor.submit(page, "/code", code=site.emulator.phone(number).code).body.startswith(b"app of user")


BRIEFLY = [
    ("silence", "users/new"),
    ("silence after the request was passed on", "the first verify"),
    ("silence in the body", "the first verify"),
    ("byte by byte", "approval_requests/create"),
    ("silence in the headers", "approval_requests/status"),
    ("reset before its last byte", "the first verify"),
    ("garbage", "users/new"),
]


@pytest.mark.parametrize(("fault", "call"), BRIEFLY)
def test_the_worker_is_free_again_after_the_deadline(worker: Worker, fault: str, call: str) -> None:
    _goes_wrong(worker, fault, call)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["users/new", "the first verify", "approval_requests/create", "approval_requests/status"])
@pytest.mark.parametrize("fault", [*SLOW, "an endless body", "an endless header", "headers without end"])
def test_the_worker_is_free_again_after_every_fault(worker: Worker, fault: str, call: str) -> None:
    _goes_wrong(worker, fault, call)


def test_a_provider_that_is_not_there_leaves_the_worker_free(worker: Worker) -> None:
    for how in (worker.proxy.refusing, worker.proxy.unanswered):
        step = Step(worker, "the first verify")
        with how():
            began = time.monotonic()
            answer = step.take()
            assert time.monotonic() - began < DEADLINE + MARGIN
        assert answer.status == 503
        assert CANNOT in answer.body.decode()
        # The code was not taken, and it is good as soon as the provider is back.
        assert step.visitor.submit(answer, "/code", **step.fields).body.startswith(b"app of user")
