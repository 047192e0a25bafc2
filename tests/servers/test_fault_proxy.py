"""A fault between client and provider, at every call of a whole journey: nobody is let in, nothing hangs past the deadline, and afterwards all is well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests
from webtest import TestResponse

from authy_wsgi import AuthyClient, SecondFactor
from authy_wsgi.clients.http import Deadlines
from authy_wsgi.emulator.server import Server
from tests.clients.test_wire import certificate
from tests.support import API_KEY, PHONE, Browser, World, form_to, words

from .proxy import FAULTS, SLOW, Fault, Proxy, doubled, replay, twice

HASTY = Deadlines(connect=0.3, read=0.35, total=0.5)
MARGIN = 1.0
CANNOT = "The phone service does not answer just now"


class Relay:
    """The socket that the emulators of one run of tests answer on, one after the other, and the proxy before it."""

    def __init__(self) -> None:
        self.service: Any = None
        self.server = Server(self)  # type: ignore[arg-type]
        self.proxy: Proxy

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.service(environ, start_response)


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    made = Relay()
    with made.server, Proxy(int(made.server.url.rpartition(":")[2])) as proxy:
        made.proxy = proxy
        yield made


class Site(World):
    """A site whose client speaks to the emulator through the proxy, patiently, and while `hasty` is set with short deadlines."""

    def __init__(self, url: str, session: requests.Session | None = None, **settings: Any) -> None:
        # One country makes for a short form, which is read quickly.
        super().__init__(clients=AuthyClient(API_KEY, base_url=url, session=session), countries={"US"}, **settings)
        self.patient = self.wsgi
        self.impatient_client = AuthyClient(API_KEY, base_url=url, deadlines=HASTY, session=session)
        self.impatient = SecondFactor(self.app, **{**self.settings, "clients": self.impatient_client})
        self.hasty = False
        self.wsgi = lambda environ, start_response: (self.impatient if self.hasty else self.patient)(environ, start_response)


@pytest.fixture
def site(relay: Relay) -> Site:
    made = Site(relay.proxy.url)
    relay.service = made.emulator
    return made


# The journey: each call of the API, and the step of a person that makes it.


class Journey:
    """alice at her browser, up to the step that makes a certain call."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.browser: Browser = site.browser("alice")
        self.page: TestResponse

    def enrol(self) -> TestResponse:
        return self.browser.submit(form_to(self.page, "/enrol"), phone=PHONE, email="alice@example.com")

    def enter(self) -> TestResponse:
        return self.browser.enter(self.page, self.site.phone().code)

    def choose(self, channel: str) -> TestResponse:
        return self.browser.choose(self.page, channel)

    def poll(self) -> TestResponse:
        self.site.phone().approve()
        self.site.clock.advance(1)
        form = form_to(self.page, "/poll")
        return self.browser.http.post(form.action, form.submit_fields(), headers={"Accept": "application/json"}, status="*")

    def enrolled(self) -> None:
        """An hour after the enrolment, in a new login session, before the page where one chooses."""
        self.browser.enrolled()
        self.site.clock.advance(3600)
        self.browser.sign_in("alice")
        self.page = self.browser.visit()

    def up_to(self, call: str) -> Callable[[], TestResponse]:
        """Go there; the step that makes the call."""
        if call in ENROLLING:
            self.page = self.browser.visit()
            if call == "users/new" or call == "the first sms":
                return self.enrol
            self.page = self.browser.enrol()
            return self.enter
        self.enrolled()
        if call == "sms":
            return lambda: self.choose("sms")
        if call == "verify":
            self.page = self.choose("sms")
            return self.enter
        self.site.phone().install_app()
        if call == "approval_requests/create":
            return lambda: self.choose("push")
        self.page = self.choose("push")
        return self.poll


ENROLLING = ("users/new", "the first sms", "the first verify", "users/status")
CALLS = (*ENROLLING, "sms", "verify", "approval_requests/create", "approval_requests/status")
# The calls that come before it in the same step, and are to succeed.
BEFORE = {"the first sms": 1, "users/status": 1}


def _is_out(site: Site, browser: Browser) -> bool:
    before = site.app_calls
    return browser.get("/members").status_int == 303 and site.app_calls == before


def _says_what_to_do(answer: TestResponse) -> bool:
    if answer.content_type == "application/json":
        return answer.status_int == 503 and answer.json["state"] == "unavailable" and bool(answer.json["message"])
    return answer.status_int in (422, 503) and CANNOT in words(answer) and bool(answer.html.find("form"))


def _all_is_well(site: Site, call: str) -> None:
    """Some time later the same person makes the same journey."""
    site.hasty = False
    site.clock.advance(3600)
    browser = site.browser("alice")
    page = browser.visit()
    if call.startswith("approval_requests/"):
        page = browser.choose(page, "push")
        site.phone().approve()
        site.clock.advance(1)
        assert browser.poll(page)["state"] == "approved"
        assert browser.get("/members").text.endswith("alice ['push']")
        return
    page = browser.enrol() if call in ENROLLING and site.gate.settings.users.get("alice") is None else browser.choose(page, "sms")
    assert browser.follow(browser.enter(page, site.phone().code)).text.endswith("alice ['sms']")


def _goes_wrong(site: Site, call: str, fault: Callable[[], AbstractContextManager[None]], *, hasty: bool = False, after: Callable[[], object] = object) -> None:
    """`hasty`: by a client of short deadlines, on its first connection; otherwise by the one of the journey, on a connection that has worked before."""
    journey = Journey(site)
    step = journey.up_to(call)
    called, held = site.app_calls, journey.browser.cookie()
    site.hasty = hasty
    with fault():
        began = time.monotonic()
        answer = step()
        took = time.monotonic() - began
        after()
        assert took < HASTY.total * 2 + MARGIN
        if call == "users/status":
            # It asks only what is nice to know: the factor was right.
            assert answer.status_int == 303
            assert journey.browser.get("/members").text.endswith("alice ['sms']")
        else:
            assert _says_what_to_do(answer), f"{answer.status} {answer.text[:3000]}"
            assert site.app_calls == called
            assert _is_out(site, journey.browser)
            assert journey.browser.cookie() == held
    _all_is_well(site, call)


def _misbehaving(proxy: Proxy, fault: Fault, call: str) -> AbstractContextManager[None]:
    return proxy.faulty(fault, after=BEFORE.get(call, 0))


# The others differ for the client's reader, which is the same for all calls.
TELLING = [
    "reset before an answer",
    "the answer is lost",
    "cut in the headers",
    "cut before its last byte",
    "reset before its last byte",
    "garbage",
    "garbage for a body",
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", TELLING)
def test_a_fault_at_any_call_lets_nobody_in_and_passes(relay: Relay, site: Site, fault: str, call: str) -> None:
    before = relay.proxy.misbehaved
    opened: list[int] = []

    def watched() -> AbstractContextManager[None]:
        opened.append(relay.proxy.connections)
        return _misbehaving(relay.proxy, FAULTS[fault], call)

    _goes_wrong(site, call, watched, after=lambda: opened.append(relay.proxy.connections))
    assert relay.proxy.misbehaved > before
    # But for the very first call it was a connection that had worked before; what may be asked twice is, on a new one.
    new = {"users/new": {1}, "the first sms": {1}, "users/status": {0, 1}, "approval_requests/status": {0, 1}}.get(call, {0})
    assert opened[1] - opened[0] in new


@pytest.mark.parametrize(
    "call", ["verify", pytest.param("approval_requests/status", marks=pytest.mark.slow), *(pytest.param(call, marks=pytest.mark.slow) for call in CALLS[:5])]
)
@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in TELLING])
def test_every_fault_lets_nobody_in_and_passes(relay: Relay, site: Site, fault: str, call: str) -> None:
    _goes_wrong(site, call, lambda: _misbehaving(relay.proxy, FAULTS[fault], call))


@pytest.mark.parametrize("call", ["users/new", "sms", "verify", "approval_requests/create", "approval_requests/status"])
@pytest.mark.parametrize(
    "fault", ["silence after the request was passed on", *(pytest.param(name, marks=pytest.mark.slow) for name in ("silence in the body", "byte by byte"))]
)
def test_what_only_a_deadline_ends_is_ended_by_it(relay: Relay, site: Site, fault: str, call: str) -> None:
    _goes_wrong(site, call, lambda: _misbehaving(relay.proxy, SLOW[fault], call), hasty=True)


@pytest.mark.parametrize("fault", [name for name in SLOW if name not in ("silence after the request was passed on", "silence in the body", "byte by byte")])
def test_what_only_a_deadline_ends_is_ended_by_it_while_a_code_is_checked(relay: Relay, site: Site, fault: str) -> None:
    _goes_wrong(site, "verify", lambda: _misbehaving(relay.proxy, SLOW[fault], "verify"), hasty=True)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", SLOW)
def test_what_only_a_deadline_ends_is_ended_by_it_at_every_call(relay: Relay, site: Site, fault: str, call: str) -> None:
    _goes_wrong(site, call, lambda: _misbehaving(relay.proxy, SLOW[fault], call), hasty=True)


@pytest.mark.parametrize("call", [call for call in CALLS if call not in BEFORE])
@pytest.mark.parametrize("how", ["refusing", "unanswered"])
def test_a_provider_that_cannot_be_connected_to_lets_nobody_in(relay: Relay, site: Site, how: str, call: str) -> None:
    _goes_wrong(site, call, getattr(relay.proxy, how), hasty=True)


def _without_limits(relay: Relay) -> Site:
    rules = ("code.attempt", "code.user", "code.reference")
    site = Site(relay.proxy.url, limits=dict.fromkeys(rules, ((100_000, 60),)))
    relay.service = site.emulator
    return site


def _cut_at_offsets(relay: Relay, step: int) -> None:
    site = _without_limits(relay)
    journey = Journey(site)
    # The genuine answer to a right code, and then another sign-in to which it is given piece by piece.
    journey.up_to("verify")()
    good = relay.proxy.last_answer
    assert b"Token is valid" in good
    journey.browser.sign_in("alice")
    site.clock.advance(3600)
    journey.page = journey.browser.choose(journey.browser.visit(), "sms")
    called, held = site.app_calls, journey.browser.cookie()
    action = form_to(journey.page, "/code")
    wrong = []
    for length in range(0, len(good), step):
        with relay.proxy.faulty(replay(good[:length])):
            answer = journey.browser.submit(action, code="1234567")
        if answer.status_int != 503 or journey.browser.cookie() != held:
            wrong.append(good[:length])
    assert wrong == []
    assert _is_out(site, journey.browser)
    assert site.app_calls == called
    # Whole, it is believed: what was left out made the difference.
    with relay.proxy.faulty(replay(good)):
        assert journey.browser.follow(journey.browser.submit(action, code="1234567")).text.endswith("alice ['sms']")


def test_an_approval_that_is_cut_off_anywhere_is_none(relay: Relay) -> None:
    _cut_at_offsets(relay, 7)


@pytest.mark.slow
def test_an_approval_that_is_cut_off_at_any_byte_is_none(relay: Relay) -> None:
    _cut_at_offsets(relay, 1)


@pytest.mark.parametrize("when", ["at once", "later"])
def test_an_answer_that_comes_twice_answers_one_question_only(relay: Relay, site: Site, when: str) -> None:
    journey = Journey(site)
    enter = journey.up_to("verify")
    mallory = site.browser("mallory")
    page = mallory.enrol("+14085555271")
    connections = relay.proxy.connections
    again, sent = threading.Event(), threading.Event()
    with relay.proxy.faulty(doubled() if when == "at once" else twice(again, sent), times=1):
        answer = enter()
        again.set()
        assert when == "at once" or sent.wait(10)
    assert journey.browser.follow(answer).text.endswith("alice ['sms']")
    # The second copy has come by the connection that the next question would take: "Token is valid".
    called = site.app_calls
    answer = mallory.enter(page, "1234567")
    assert answer.status_int == 422
    assert "That code is not right" in words(answer)
    assert site.app_calls == called
    assert mallory.cookie() is None
    assert relay.proxy.connections == connections + (when == "later")


# Certificates


@pytest.fixture
def tls_site(relay: Relay, tmp_path: Path) -> Iterator[Callable[..., tuple[Site, Proxy]]]:
    """Makes a site whose provider is behind TLS with a certificate, and that trusts it or not."""
    proxies: list[Proxy] = []

    def make(*, trusted: bool, **odd: Any) -> tuple[Site, Proxy]:
        file, context = certificate(tmp_path, "provider", **odd)
        proxies.append(Proxy(int(relay.server.url.rpartition(":")[2]), context))
        session = requests.Session()
        session.trust_env = False
        session.verify = str(file)
        site = Site(proxies[-1].url, session if trusted else None)
        relay.service = site.emulator
        return site, proxies[-1]

    yield make
    for proxy in proxies:
        proxy.__exit__()


def test_a_provider_with_the_right_certificate_is_spoken_to(tls_site: Callable[..., tuple[Site, Proxy]]) -> None:
    site, proxy = tls_site(trusted=True)
    assert site.browser("alice").enrolled().text.endswith("alice ['sms']")
    assert API_KEY.encode() in proxy.received


@pytest.mark.parametrize(
    "odd",
    [{"trusted": False}, {"trusted": True, "address": "127.0.0.2"}, {"trusted": True, "days": -1}],
    ids=["of nobody's", "of another host", "run out"],
)
@pytest.mark.parametrize("call", ["users/new", "the first sms", "verify", "approval_requests/create", "approval_requests/status"])
def test_a_wrong_certificate_lets_nobody_in_and_is_told_nothing(
    tls_site: Callable[..., tuple[Site, Proxy]], relay: Relay, odd: dict[str, Any], call: str
) -> None:
    site, proxy = tls_site(**odd)
    journey = Journey(site)
    # The way there leads over the good connection, as on the day before the certificate was changed.
    site.patient = SecondFactor(site.app, **{**site.settings, "clients": AuthyClient(API_KEY, base_url=relay.proxy.url)})
    step = journey.up_to(call)
    called, held = site.app_calls, journey.browser.cookie()
    site.hasty = True
    began = time.monotonic()
    answer = step()
    assert time.monotonic() - began < HASTY.total * 2 + MARGIN
    assert _says_what_to_do(answer), f"{answer.status} {answer.text[:3000]}"
    assert site.app_calls == called
    assert journey.browser.cookie() == held
    assert _is_out(site, journey.browser)
    assert proxy.connections > 0
    assert (proxy.exchanges, proxy.received) == (0, b"")
    _all_is_well(site, call)
