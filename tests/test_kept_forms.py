"""A form that meets the wall: kept, sealed, and sent on once, by the person who sent it and nobody else."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote_plus, urlencode

import bottle
import pytest
import webob
import webob.multidict
from bs4 import BeautifulSoup
from webtest import TestRequest, TestResponse
from werkzeug.datastructures import MultiDict
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from authy_wsgi import Login, MemoryLedger, Need, Strength, Unavailable, by_path, proven
from tests.support import HTML, PHONE, SECRET, Browser, World, form_to, way_form, words

FORM = "application/x-www-form-urlencoded"
OURS = {**HTML, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
BOBS = "+14085555299"
SITE = "https://site.example"
OTHER_SECRET = "another-secret-another-secret-another"
FIELDS = [("amount", "100.50"), ("to", "Zoë & Søn <ß>"), ("note", "line one\r\nline two"), ("empty", ""), ("to", "someone else")]


class Desk:
    """An app that notes what arrives: where, and the fields as they came."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.sent: list[tuple[str, list[tuple[str, str]]]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ)
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            assert environ["CONTENT_TYPE"].partition(";")[0] == FORM
            self.sent.append((where(environ), parse_qsl(body.decode("ascii"), keep_blank_values=True)))
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"desk {environ['REQUEST_METHOD']} {proven(environ).user_id}".encode()]


def where(environ: dict[str, Any]) -> str:
    return environ["SCRIPT_NAME"] + environ["PATH_INFO"] + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")


class Glass(MemoryLedger):
    """A ledger whose values can be looked at, and that can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, bytes]] = []
        self.down = False

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("ledger", "down")

    def put(self, key: str, value: bytes, ttl: int, *, now: int) -> None:
        self._answer()
        self.seen.append((key, value))
        super().put(key, value, ttl, now=now)

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        self._answer()
        self.seen.append((key, value))
        return super().claim(key, value, ttl, now=now)

    def get(self, key: str, *, now: int) -> bytes | None:
        self._answer()
        return super().get(key, now=now)

    def pop(self, key: str, *, now: int) -> bytes | None:
        self._answer()
        return super().pop(key, now=now)

    def kept(self) -> list[str]:
        """The keys under which forms were kept, in order."""
        return list(dict.fromkeys(key for key, _ in self.seen if ":kept:" in key))


def desk(**settings: Any) -> World:
    """A site whose app is a desk: one page asks for a proof of the last minute, the rest for any."""
    settings.setdefault("policy", by_path({"/pay": Need(max_age=60)}))
    return World(app=settings.pop("app", None) or Desk(), **settings)


@pytest.fixture
def world() -> World:
    return desk()


def send(browser: Browser, path: str = "/pay", fields: Any = FIELDS, **headers: str) -> TestResponse:
    """Send a form as a page of the site's own does; a header given as "-" is left out."""
    said = {name: value for name, value in {**OURS, **headers}.items() if value != "-"}
    body = fields if isinstance(fields, bytes) else urlencode(fields)
    return browser.http.post(browser.world.below + path, body, headers=said, content_type=said.pop("Content-Type", FORM), status="*")


def kept(answer: TestResponse) -> str:
    """The address of the page that sends a kept form on, from the page that says it is kept."""
    assert answer.status_int == 401
    assert "We keep your form for ten minutes" in words(answer), words(answer)
    return str(answer.html.find("main").find("a")["href"])


def is_not_kept(answer: TestResponse, why: str) -> None:
    assert answer.status_int == 401, answer.status
    assert "Nothing of what you sent has arrived" in words(answer)
    assert why in words(answer)
    assert "keep your form" not in words(answer)


def confirm(browser: Browser, answer: TestResponse, number: str = PHONE) -> TestResponse:
    """From the page that says that the form is kept, by a text message, to what comes after the code."""
    page = browser.follow(browser.get(kept(answer).removeprefix(browser.world.below)))
    if "/code" not in str(page.forms[0].action):
        browser.world.clock.advance(30)
        page = browser.choose(page, "sms")
    return onward(browser, browser.enter(page, browser.world.phone(number).code))


def onward(browser: Browser, answer: TestResponse) -> TestResponse:
    """From what comes after a proof to the page that has the form, or to whatever there is in its place; a page that asks for a press gets one."""
    page = browser.follow(answer)
    waits = "Your form waits to be sent" in page.text
    return press(browser, page) if waits else page


def button(page: TestResponse) -> Any:
    """The form that a script would press, as the browser's parser has it."""
    assert page.status_int == 200, words(page)
    form = BeautifulSoup(page.text, "html.parser").find("form", attrs={"data-press": True})
    assert form is not None, words(page)
    assert form.find("button").get_text() == "Send it now"
    return form


def fields_of(form: Any) -> list[tuple[str, str]]:
    """What a browser sends: newlines of any kind become CRLF (HTML, 4.10.21.7)."""
    pairs = [(field["name"], field.get("value", "")) for field in form.find_all("input")]
    return [(name, re.sub("\r\n|\r|\n", "\r\n", value)) for name, value in pairs]


def press(browser: Browser, page: TestResponse) -> TestResponse:
    """Press "Send it now", or have it pressed."""
    form = button(page)
    return browser.http.post(form["action"], urlencode(fields_of(form)), headers=OURS, content_type=FORM, status="*")


def attempt_of(browser: Browser) -> str:
    """The id in our attempt's cookie, which anybody can read; what is kept is kept under it."""
    payload = (browser.cookie("_attempt") or "").partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[1])


def address_of(browser: Browser) -> str:
    """The page that sends on what is kept under this browser's attempt."""
    return f"/second-factor/kept?of={attempt_of(browser)}"


def nothing_to_send(answer: TestResponse) -> None:
    assert answer.status_int == 404
    assert "Nothing to send" in words(answer)
    assert "Nothing was sent just now" in words(answer)


# The way through


@pytest.mark.parametrize("below", ["", "/app"], ids=["root", "below a prefix"])
def test_a_form_that_met_the_wall_arrives_after_the_code_as_it_was(below: str) -> None:
    world = desk(below=below)
    alice = world.browser()
    alice.enrolled()
    world.clock.advance(100)
    before = world.app_calls
    answer = send(alice, "/pay/caf%C3%A9/a;b=1?x=1&y=%C3%A9&x=2&z")
    assert answer.status_int == 401
    assert f"send it to {below}/pay/caf%C3%A9/a;b=1 once you have confirmed" in words(answer)
    assert "takes the place" not in words(answer)
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_user_authentication", max_age="60"')
    assert answer.headers["Cache-Control"] == "no-store"
    page = confirm(alice, answer)
    assert f"Your form goes to {below}/pay/caf%C3%A9/a;b=1 ." in words(page)
    assert world.app_calls == before
    assert press(alice, page).text == "desk POST alice"
    assert world.app_calls == before + 1
    path = f"{below}/pay/caf\xc3\xa9/a;b=1?x=1&y=%C3%A9&x=2&z"
    assert world.app.sent == [(path, FIELDS)]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("a", "")],
        [("a", "1"), ("b", "2"), ("a", "3"), ("b", "2"), ("a", "1")],
        [("submit", "1"), ("action", "/evil"), ("method", "get"), ("csrf", "x"), ("next", "//evil"), ("of", "y"), ("elements", "z"), ("target", "_blank")],
        [("name with space & more=", "v"), ("[]", "x"), ("a[b][]", "y"), ("é日本😀", "naïve 日本 😀 \u202e \ufeff \u00a0")],
        [('"><script>alert(1)</script>', "'\"&<>&amp;&#39;&nbsp;{{ 7 * 7 }}{% raw %}")],
        [("lines", "\r\n\r\n a \r\n\tb\r\n"), ("spaces", "   "), ("tab", "\t"), ("form feed", "\x0c\x7f\x85"), ("plus", "a+b c%20d%2B")],
        [("_charset_", "UTF-8"), ("isindex", "x"), ("id", "press"), ("data-press", "")],
        [(f"field{number}", str(number)) for number in range(1000)],
        [("long", "é" * 10000)],
    ],
    ids=["none", "empty", "duplicates", "awkward names", "any characters", "markup", "white space", "names that mean something", "1000", "long"],
)
def test_every_field_arrives_byte_for_byte_and_in_order(world: World, alice: Browser, fields: list[tuple[str, str]]) -> None:
    page = confirm(alice, send(alice, fields=fields))
    form = button(page)
    assert (form["action"], form["method"]) == ("/pay", "post")
    assert page.text.count("<script") == 1
    assert press(alice, page).text == "desk POST alice"
    assert world.app.sent == [("/pay", fields)]


def test_64_kib_are_measured_as_the_browser_wrote_them(world: World, alice: Browser) -> None:
    press(alice, confirm(alice, send(alice, fields=b"stars=" + b"*" * 65530)))
    assert world.app.sent == [("/pay", [("stars", "*" * 65530)])]


def test_bytes_that_a_browser_would_not_write_say_the_same_afterwards(world: World, alice: Browser) -> None:
    page = confirm(alice, send(alice, fields=b"a&b=1&&c==&d=%zz&e=%4&f=~!*()'&g=+%2B"))
    press(alice, page)
    assert world.app.sent == [("/pay", [("a", ""), ("b", "1"), ("c", "="), ("d", "%zz"), ("e", "%4"), ("f", "~!*()'"), ("g", " +")])]


def test_after_an_approval_on_the_phone_the_waiting_page_leads_to_the_form(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.follow(alice.get(kept(send(alice)))), "push")
    world.phone().approve()
    world.clock.advance(1)
    answer = alice.poll(page)
    assert answer["state"] == "approved"
    assert answer["url"].startswith("/second-factor/kept?of=")
    page = alice.get(answer["url"])
    assert "Your form waits to be sent to /pay" in words(page)
    assert world.app.sent == []
    page = press(alice, page)
    assert "Your form goes to /pay" in words(page)
    press(alice, page)
    assert world.app.sent == [("/pay", FIELDS)]


def test_after_an_approval_without_script_continue_leads_to_the_form(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.follow(alice.get(kept(send(alice)))), "push")
    world.phone().approve()
    world.clock.advance(1)
    page = alice.submit(form_to(alice.get(page.request.path_qs), "/poll"))
    press(alice, onward(alice, page))
    assert world.app.sent == [("/pay", FIELDS)]


def test_a_form_waits_through_a_first_enrolment(world: World) -> None:
    browser = world.browser("alice")
    answer = send(browser)
    page = browser.follow(browser.get(kept(answer)))
    assert "Add your phone" in words(page)
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone=PHONE, email="alice@example.com"))
    press(browser, onward(browser, browser.enter(page, world.phone().code)))
    assert world.app.sent == [("/pay", FIELDS)]
    assert world.app_calls == 1


def test_a_form_waits_through_wrong_codes_and_other_ways(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.follow(alice.get(kept(send(alice)))), "app")
    page = alice.enter(page, "1111111")
    assert page.status_int == 422
    page = alice.choose(alice.follow(page.click("Another way")), "app")
    press(alice, onward(alice, alice.enter(page, world.phone().app_code or "")))
    assert world.app.sent == [("/pay", FIELDS)]


def test_whoever_has_confirmed_meanwhile_in_another_tab_only_presses(world: World, alice: Browser) -> None:
    answer = send(alice)
    other = alice.choose(alice.visit("/members"), "sms")
    assert alice.follow(alice.enter(other, world.phone().code)).text == "desk GET alice"
    page = alice.follow(alice.get(kept(answer)))
    assert "Your form waits to be sent to /pay" in words(page)
    press(alice, press(alice, page))
    assert world.app.sent == [("/pay", FIELDS)]


def test_the_send_page_asks_again_where_the_proof_has_become_too_old(world: World, alice: Browser) -> None:
    answer = send(alice)
    other = alice.choose(alice.visit("/members"), "sms")
    alice.enter(other, world.phone().code)
    world.clock.advance(61)
    page = alice.follow(alice.get(kept(answer)))
    assert "fresh or stronger" in words(page)
    page = onward(alice, alice.enter(alice.choose(page, "sms"), world.phone().code))
    press(alice, page)
    assert world.app.sent == [("/pay", FIELDS)]


def test_a_form_that_meets_the_wall_again_after_all_is_kept_again(world: World, alice: Browser) -> None:
    first = send(alice)
    page = confirm(alice, first)
    world.clock.advance(61)
    second = press(alice, page)
    assert kept(second) != kept(first)
    assert "takes the place" not in words(second)
    assert world.app.sent == []
    press(alice, confirm(alice, second))
    assert world.app.sent == [("/pay", FIELDS)]
    nothing_to_send(alice.follow(alice.get(kept(first))))


def test_an_app_that_answers_with_a_redirect_anywhere_is_free_to(alice: Browser) -> None:
    """Browsers hold what follows a form to the policy of the page that the form was on."""
    page = confirm(alice, send(alice))
    policy = page.headers["Content-Security-Policy"]
    assert "form-action" not in policy or "form-action 'self' https:" in policy
    assert "default-src 'none'" in policy


def test_a_plain_sign_in_keeps_a_form_too(world: World) -> None:
    browser = world.browser()
    browser.enrolled()
    browser.sign_in("alice")
    world.clock.advance(100)
    before = world.app_calls
    press(browser, confirm(browser, send(browser, "/members?tab=2")))
    assert world.app.sent == [("/members?tab=2", FIELDS)]
    assert world.app_calls == before + 1


# The attempt's cookie


def test_the_first_form_sets_the_attempts_cookie_and_the_next_uses_it(world: World, alice: Browser) -> None:
    first = send(alice)
    cookies = first.headers.getall("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["__Host-second_factor_attempt"]
    held = attempt_of(alice)
    second = send(alice)
    assert attempt_of(alice) == held
    assert "takes the place" in words(second)


def test_a_form_during_a_sign_in_under_way_is_kept_under_it(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit("/members"), "sms")
    held = attempt_of(alice)
    answer = send(alice)
    assert attempt_of(alice) == held
    # The sign-in under way goes where it was going; the form waits.
    assert alice.follow(alice.enter(page, world.phone().code)).text == "desk GET alice"
    press(alice, press(alice, alice.follow(alice.get(kept(answer)))))
    assert world.app.sent == [("/pay", FIELDS)]


# Whose page it was on


@pytest.mark.parametrize(
    ("headers", "settings"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, {}),
        ({"Sec-Fetch-Site": "same-origin"}, {"public_url": "https://public.example"}),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {}),
        ({"Sec-Fetch-Site": "-", "Origin": SITE}, {}),
        ({"Sec-Fetch-Site": "-", "Origin": "https://public.example"}, {"public_url": "https://public.example"}),
        ({"Sec-Fetch-Site": "-", "Origin": "https://public.example"}, {"public_url": "https://PUBLIC.example:443/"}),
        ({"Sec-Fetch-Site": "-", "Origin": "http://site.example"}, {"https": False}),
    ],
)
def test_a_form_of_our_own_origin_is_kept(headers: dict[str, str], settings: dict[str, Any]) -> None:
    world = desk(**settings)
    browser = world.browser()
    browser.enrolled()
    browser.sign_in("alice")
    kept(send(browser, **headers))
    assert world.app.sent == []


FOREIGN = [
    {"Sec-Fetch-Site": "-"},
    {"Sec-Fetch-Site": "-", "Referer": f"{SITE}/form"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "Same-Origin "},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": SITE},
    {"Sec-Fetch-Site": "same-site", "Origin": SITE},
    {"Sec-Fetch-Site": "none", "Origin": SITE},
    *(
        {"Sec-Fetch-Site": "-", "Origin": origin}
        for origin in (
            "null",
            "",
            "https://evil.example",
            "https://site.example.evil.example",
            "https://sub.site.example",
            "https://site.example:8443",
            "https://site.example:80",
            "http://site.example",
            "https://evil@site.example",
            "site.example",
            "://site.example/x",
            "https://site.example/",
            "https://site.example, https://evil.example",
        )
    ),
]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()))
def test_a_form_that_is_not_known_to_be_of_our_origin_is_not_kept(headers: dict[str, str]) -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    browser = world.browser()
    is_not_kept(send(browser, **headers), "did not say that it came from this site's own page")
    assert ledger.kept() == []


@pytest.mark.parametrize("origin", [SITE, "http://public.example", "https://public.example:8443", "https://public.example.evil", "null"])
def test_with_a_public_url_only_that_is_our_origin(origin: str) -> None:
    world = desk(public_url="https://public.example")
    browser = world.browser()
    is_not_kept(send(browser, **{"Sec-Fetch-Site": "-", "Origin": origin}), "did not say that it came from this site's own page")


# What cannot be kept


UNKEEPABLE = [
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', "It has files with it"),
    ("text/plain", b"a=1\r\n", "of a kind that we cannot keep"),
    (f"{FORM}; charset=iso-8859-1", b"a=%e9", "of a kind that we cannot keep"),
    (f"{FORM}; charset=utf-16", b"a=1", "of a kind that we cannot keep"),
    (FORM, b"a=%e9", "of a kind that we cannot keep"),
    (FORM, b"%ff=1", "of a kind that we cannot keep"),
    (FORM, b"a=%ed%a0%80", "of a kind that we cannot keep"),
    (FORM, "a=é".encode(), "of a kind that we cannot keep"),
    (FORM, b"a=%00", "of a kind that we cannot keep"),
    (FORM, b"=nameless", "of a kind that we cannot keep"),
    (FORM, b"a=" + b"x" * 65535, "too large"),
    (FORM, b"a=" + b"x" * 3_000_000, "too large"),
    (FORM, b"&".join([b"a=1"] * 1001), "too large"),
]


def test_what_cannot_be_kept_is_explained(world: World, alice: Browser) -> None:
    for content_type, body, why in UNKEEPABLE:
        is_not_kept(send(alice, fields=body, **{"Content-Type": content_type}), why)
    assert world.app.sent == []


def test_the_page_that_explains_leads_back_to_where_the_form_was(world: World, alice: Browser) -> None:
    answer = send(alice, fields=b"a=%e9", Referer=f"{SITE}/form?x=1")
    page = alice.choose(alice.follow(alice.get(answer.html.find("main").find("a")["href"])), "sms")
    assert alice.enter(page, world.phone().code).headers["Location"] == "/form?x=1"


@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=utf-8", f'{FORM};charset="UTF-8"', FORM.upper()])
def test_64_kib_of_any_spelling_of_the_type_are_kept(world: World, alice: Browser, content_type: str) -> None:
    body = b"a=" + b"x" * (65536 - 2)
    press(alice, confirm(alice, send(alice, fields=body, **{"Content-Type": content_type})))
    assert [len(fields[0][1]) for _, fields in world.app.sent] == [65534]


def by_hand(browser: Browser, **environ: Any) -> TestResponse:
    """A form whose environ is not what WebTest would make of it."""
    request = TestRequest.blank("/pay", environ={**browser.http.extra_environ}, headers=OURS, method="POST", POST=b"a=1&b=2", content_type=FORM)
    request.environ.update({name: value for name, value in environ.items() if value is not None})
    for name in [name for name, value in environ.items() if value is None]:
        del request.environ[name]
    return browser.http.do_request(request, status="*")


def test_a_body_of_unknown_length_is_not_kept_as_an_empty_form(world: World, alice: Browser) -> None:
    is_not_kept(by_hand(alice, CONTENT_LENGTH=None, HTTP_TRANSFER_ENCODING="chunked"), "of a kind that we cannot keep")
    is_not_kept(by_hand(alice, CONTENT_LENGTH=""), "of a kind that we cannot keep")
    is_not_kept(by_hand(alice, CONTENT_LENGTH=None), "of a kind that we cannot keep")


def test_a_body_that_ends_early_is_not_kept(world: World, alice: Browser) -> None:
    is_not_kept(by_hand(alice, CONTENT_LENGTH="8"), "of a kind that we cannot keep")
    assert by_hand(alice, CONTENT_LENGTH="7").status_int == 401


SCRIPTS = [
    {"Accept": "application/json", "Content-Type": "application/json", "Sec-Fetch-Mode": "cors"},
    {"Accept": "*/*", "Sec-Fetch-Mode": "cors"},
    {"Accept": "*/*", "Sec-Fetch-Mode": "same-origin"},
    {"Accept": "text/html, */*; q=0.01", "X-Requested-With": "XMLHttpRequest", "Sec-Fetch-Mode": "cors"},
    {"Accept": "text/html, */*; q=0.01", "X-Requested-With": "XMLHttpRequest", "Sec-Fetch-Mode": "-", "Sec-Fetch-Site": "-", "Origin": SITE},
    {"Accept": "text/vnd.turbo-stream.html, text/html, application/xhtml+xml", "Sec-Fetch-Mode": "cors"},
    {"Accept": "*/*", "Sec-Fetch-Mode": "-", "X-Requested-With": "XMLHttpRequest", "Content-Type": "multipart/form-data; boundary=x"},
    {"Accept": "application/json", "Sec-Fetch-Mode": "-"},
    {"Accept": "-", "Sec-Fetch-Mode": "-", "Sec-Fetch-Site": "-", "Origin": SITE},
    {"Accept": "*/*", "Content-Type": "text/plain;charset=UTF-8", "Sec-Fetch-Mode": "no-cors"},
]


def test_what_a_script_posts_is_never_kept_and_never_in_the_way_of_a_form() -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    browser = world.browser()
    browser.enrolled()
    world.clock.advance(100)
    for headers in SCRIPTS:
        answer = send(browser, **headers)
        assert answer.status_int == 401, headers
        assert "Set-Cookie" not in answer.headers
        assert ledger.kept() == [], headers
    mine = send(browser)
    for headers in SCRIPTS:
        send(browser, fields=[("a", "another")], **headers)
    press(browser, confirm(browser, mine))
    assert world.app.sent == [("/pay", FIELDS)]


def test_other_methods_are_never_kept() -> None:
    ledger = Glass()
    browser = desk(ledger=ledger).browser()
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = browser.http.request("/pay", base_url=SITE, method=method, body=b"a=1", headers={**OURS, "Content-Type": FORM}, status="*")
        assert answer.status_int == 401
    assert ledger.kept() == []


# Once


def test_a_form_is_handed_over_once(world: World, alice: Browser) -> None:
    answer = send(alice)
    page = confirm(alice, answer)
    press(alice, page)
    nothing_to_send(alice.follow(alice.get(kept(answer))))
    nothing_to_send(alice.get(address_of(alice)))
    assert world.app.sent == [("/pay", FIELDS)]


def test_the_second_press_of_send_sends_nothing(world: World, alice: Browser) -> None:
    answer = send(alice)
    other = alice.choose(alice.visit("/members"), "sms")
    alice.enter(other, world.phone().code)
    page = alice.follow(alice.get(kept(answer)))
    second_tab = alice.follow(alice.get(kept(answer)))
    on = press(alice, page)
    nothing_to_send(press(alice, page))
    nothing_to_send(press(alice, second_tab))
    press(alice, on)
    nothing_to_send(alice.follow(alice.get(kept(answer))))
    assert world.app.sent == [("/pay", FIELDS)]


def test_of_many_presses_at_once_one_gets_the_form(world: World, alice: Browser) -> None:
    answer = send(alice)
    alice.enter(alice.choose(alice.visit("/members"), "sms"), world.phone().code)
    form = button(alice.follow(alice.get(kept(answer))))
    body = urlencode(fields_of(form)).encode()
    start = threading.Barrier(8)
    seen: list[int] = []

    def push() -> None:
        environ = EnvironBuilder("/second-factor/kept", base_url=SITE, method="POST", data=body, content_type=FORM, headers=OURS).get_environ()
        environ |= {"HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in alice.http.cookies.items()), **alice.http.extra_environ}
        start.wait()
        seen.append(webob.Request(environ).send(world.gate).status_int)

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [200, *[404] * 7]


def test_going_back_to_the_code_page_and_sending_the_code_again_sends_nothing_twice(world: World, alice: Browser) -> None:
    page = alice.choose(alice.follow(alice.get(kept(send(alice)))), "sms")
    code = world.phone().code
    press(alice, onward(alice, alice.enter(page, code)))
    again = alice.follow(alice.enter(page, code))
    nothing_to_send(again)
    assert world.app.sent == [("/pay", FIELDS)]


def test_looking_at_the_page_changes_nothing(world: World, alice: Browser) -> None:
    send(alice)
    alice.enter(alice.choose(alice.visit("/members"), "sms"), world.phone().code)
    where = address_of(alice)
    calls, events = len(world.calls()), len(world.events)
    for _ in range(10):
        page = alice.get(where)
        assert "Your form waits" in words(page)
        assert alice.http.head(where, headers=HTML, status="*").status_int == 200
    assert (world.app.sent, len(world.calls()), len(world.events)) == ([], calls, events)
    press(alice, press(alice, page))
    assert world.app.sent == [("/pay", FIELDS)]


def test_the_press_needs_the_pages_own_token(world: World, alice: Browser) -> None:
    answer = send(alice)
    alice.enter(alice.choose(alice.visit("/members"), "sms"), world.phone().code)
    page = alice.follow(alice.get(kept(answer)))
    fields = dict(fields_of(button(page)))
    for change, headers in (({"csrf": ""}, {}), ({"csrf": "x"}, {}), ({}, {"Sec-Fetch-Site": "cross-site"}), ({}, {"Origin": "https://evil.example"})):
        refused = alice.http.post("/second-factor/kept", {**fields, **change}, headers={**OURS, **headers}, status="*")
        assert refused.status_int == 403
        assert "Your form goes" not in refused.text
    press(alice, press(alice, page))
    assert world.app.sent == [("/pay", FIELDS)]


@pytest.mark.parametrize(("seconds", "still"), [(569, True), (570, False)])
def test_ten_minutes_and_no_longer(world: World, alice: Browser, seconds: int, still: bool) -> None:
    answer = send(alice)
    world.phone().install_app()
    page = alice.follow(alice.get(kept(answer)))
    world.clock.advance(seconds)
    # A denial ends the attempt, and another one begins, so that its ten minutes do not end together with the form's.
    alice.choose(page, "push")
    world.phone().deny()
    world.clock.advance(1)
    assert "denied" in words(alice.get("/second-factor/push")).lower()
    page = alice.choose(alice.follow(alice.get(kept(answer))), "app")
    world.clock.advance(29)
    last = onward(alice, alice.enter(page, world.phone().app_code))
    if still:
        press(alice, last)
    else:
        nothing_to_send(last)
    assert world.app.sent == [("/pay", FIELDS)] * still


def test_a_form_whose_time_is_over_is_not_asked_for_a_second_time(world: World, alice: Browser) -> None:
    alice.enter(alice.choose(alice.visit("/members"), "sms"), world.phone().code)
    world.clock.advance(100)
    answer = send(alice)
    address = address_of(alice)
    world.clock.advance(600)
    nothing_to_send(alice.get(address))
    assert "fresh or stronger" in words(alice.follow(alice.get(kept(answer))))


def test_a_second_form_takes_the_place_of_the_first_and_the_page_says_so(world: World, alice: Browser) -> None:
    first = send(alice, fields=[("which", "first")])
    assert "takes the place" not in words(first)
    second = send(alice, "/pay/other?q=1", fields=[("which", "second")])
    assert "It takes the place of another form that you sent before; that one is not sent." in words(second)
    page = confirm(alice, first)
    assert "Your form goes to /pay/other" in words(page)
    press(alice, page)
    assert world.app.sent == [("/pay/other?q=1", [("which", "second")])]
    third = send(alice, "/pay", fields=[("which", "third")])
    assert third.text == "desk POST alice"


def test_what_cannot_be_kept_leaves_the_form_that_is(world: World, alice: Browser) -> None:
    first = send(alice)
    is_not_kept(send(alice, fields=b"a=" + b"x" * 70000), "too large")
    press(alice, confirm(alice, first))
    assert world.app.sent == [("/pay", FIELDS)]


def test_twenty_forms_an_hour_are_kept_for_a_person() -> None:
    world = desk()
    browser = world.browser("alice")
    for number in range(20):
        kept(send(browser, fields=[("number", str(number))]))
    is_not_kept(send(browser), "We have kept many forms for you lately")
    # Whatever the login session; but nobody else's are counted with them.
    browser.sign_in("alice")
    is_not_kept(send(browser), "We have kept many forms for you lately")
    kept(send(world.browser("bob")))
    world.clock.advance(3600)
    kept(send(browser))


def test_the_number_of_kept_forms_is_a_setting_and_the_last_one_stays() -> None:
    world = desk(limits={"kept.user": [(2, 60)]})
    browser = world.browser("alice")
    browser.enrolled()
    browser.sign_in("alice")
    send(browser, fields=[("number", "1")])
    second = send(browser, fields=[("number", "2")])
    is_not_kept(send(browser, fields=[("number", "3")]), "many forms")
    press(browser, confirm(browser, second))
    assert world.app.sent == [("/pay", [("number", "2")])]


# For whom


def test_nobody_else_gets_it(world: World, alice: Browser) -> None:
    answer = send(alice)
    address = address_of(alice)
    bob = world.browser("bob")
    bob.enrolled(BOBS)
    later = world.browser("alice")
    page = later.choose(later.visit(), "sms")
    later.enter(page, world.phone().code)
    for other in (bob, later):
        assert other.get("/members").status_int == 200
        nothing_to_send(other.get(address))
        token = form_to(other.get("/second-factor/"), "/logout")["csrf"].value
        for more in ({}, {"next": kept(answer).partition("next=")[2]}):
            nothing_to_send(other.http.post("/second-factor/kept", {"csrf": token, "of": address.partition("=")[2], **more}, headers=OURS, status="*"))
        assert other.follow(other.get(kept(answer))).status_int == 200
    stranger = world.browser(None)
    assert stranger.get(address).status_int == 403
    # Nor has any of them taken it away.
    world.clock.advance(30)
    press(alice, confirm(alice, answer))
    assert world.app.sent == [("/pay", FIELDS)]


def test_the_stolen_address_in_another_browser_of_the_same_login_has_nothing_to_send(world: World, alice: Browser) -> None:
    answer = send(alice)
    thief = world.browser("alice", alice.http.extra_environ["site.login"].session)
    nothing_to_send(thief.get(address_of(alice)))
    press(alice, confirm(alice, answer))
    assert world.app.sent == [("/pay", FIELDS)]


@pytest.mark.parametrize("session", ["s1", ""], ids=["bound", "unbound"])
def test_what_the_passwords_thief_had_kept_is_not_sent_by_the_owner(world: World, session: str) -> None:
    """A form that somebody else of the same login had kept, and an address that the owner is led to: with the owner's pass it would be sent in their name."""
    owner, thief = world.browser("alice", session), world.browser("alice", session)
    owner.enrolled()
    world.clock.advance(61)
    kept(send(thief, "/pay", [("to", "the thief")]))
    address = address_of(thief)
    owner.enter(owner.choose(owner.visit("/pay"), "sms"), world.phone().code)
    nothing_to_send(owner.get(address))
    page = owner.get("/second-factor/")
    form = form_to(page, "/logout")
    fields = {"csrf": form["csrf"].value, "of": attempt_of(thief)}
    nothing_to_send(owner.http.post("/second-factor/kept", fields, headers=OURS, status="*"))
    assert world.app.sent == []


def test_it_does_not_outlive_the_login(world: World, alice: Browser) -> None:
    answer = send(alice)
    address = address_of(alice)
    alice.sign_in("alice")
    alice.enter(alice.choose(alice.visit(), "sms"), world.phone().code)
    nothing_to_send(alice.get(address))
    assert "You are signed in" in words(alice.follow(alice.get(kept(answer))))
    assert world.app.sent == []


@pytest.mark.parametrize("of", ["", "x", "../x", "a" * 22, "%C3%A9", "%00", "a" * 4000])
def test_an_address_that_names_nothing_has_nothing_to_send(world: World, of: str) -> None:
    browser = world.browser()
    browser.enrolled()
    nothing_to_send(browser.get(f"/second-factor/kept?of={of}"))
    nothing_to_send(browser.get("/second-factor/kept"))


# In the ledger


def test_the_ledger_holds_nothing_in_clear() -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    browser = world.browser("alice-canary", "session-canary")
    send(browser, "/pay/path-canary?query-canary=1", fields=[("name-canary", "value-canary"), ("long-canary", "x" * 500)])
    assert len(ledger.kept()) == 1
    for key, value in ledger.seen:
        for clear in (key.encode(), value, base64.urlsafe_b64decode(value)):
            assert b"canary" not in clear
            assert b"x" * 20 not in clear


def test_a_value_put_under_another_key_opens_for_nobody() -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    alice, bob = world.browser("alice"), world.browser("bob")
    alice.enrolled()
    bob.enrolled(BOBS)
    world.clock.advance(100)
    answers = [send(alice, fields=[("whose", "alice's")]), send(bob, fields=[("whose", "bob's")])]
    values = {key: next(value for name, value in reversed(ledger.seen) if name == key) for key in ledger.kept()}
    assert len(values) == 2
    for key, value in zip(values, reversed(values.values()), strict=True):
        ledger.put(key, value, 600, now=world.clock())
    for browser, answer, number in zip((alice, bob), answers, (PHONE, BOBS), strict=True):
        nothing_to_send(browser.follow(confirm(browser, answer, number)))
    # Nor under another attempt of the same person's.
    world.clock.advance(100)
    third = send(alice, fields=[("whose", "alice's other")])
    first_key, _, third_key = ledger.kept()
    ledger.put(third_key, values[first_key], 600, now=world.clock())
    nothing_to_send(alice.follow(confirm(alice, third)))
    assert world.app.sent == []


def test_a_value_is_sealed_for_its_login_too_not_for_its_attempt_alone() -> None:
    """Two people, one after the other, in one browser with one attempt's cookie."""
    ledger = Glass()
    world = desk(ledger=ledger)
    world.browser("alice").enrolled()
    world.browser("bob").enrolled(BOBS)
    world.clock.advance(100)
    browser = world.browser("alice")
    send(browser, fields=[("whose", "alice's")])
    attempt = attempt_of(browser)
    browser.sign_in("bob")
    answer = send(browser, fields=[("whose", "bob's")])
    assert attempt_of(browser) == attempt
    assert "takes the place" not in words(answer)
    for key in ledger.kept():
        ledger.put(key, dict(ledger.seen)[ledger.kept()[0]], 600, now=world.clock())
    nothing_to_send(browser.follow(confirm(browser, answer, BOBS)))
    assert world.app.sent == []


@pytest.mark.parametrize("junk", [b"", b"x", b"{}", b"gAAAAA"])
def test_junk_in_the_ledger_is_no_form_and_no_fault(junk: bytes) -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    browser = world.browser()
    browser.enrolled()
    world.clock.advance(100)
    answer = send(browser)
    ledger.put(ledger.kept()[0], junk, 600, now=world.clock())
    nothing_to_send(browser.follow(confirm(browser, answer)))


def test_with_the_ledger_down_nothing_is_kept_nothing_is_sent_and_the_app_is_not_called() -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    browser = world.browser()
    browser.enrolled()
    world.clock.advance(100)
    calls = world.app_calls
    ledger.down = True
    answer = send(browser)
    assert answer.status_int == 503
    assert "Set-Cookie" not in answer.headers
    ledger.down = False
    answer = send(browser)
    page = browser.choose(browser.follow(browser.get(kept(answer))), "sms")
    ledger.down = True
    assert browser.enter(page, world.phone().code).status_int == 503
    assert world.app_calls == calls
    ledger.down = False
    press(browser, onward(browser, browser.enter(page, world.phone().code)))
    assert world.app.sent == [("/pay", FIELDS)]


@pytest.mark.parametrize("lists_old", [True, False], ids=["still accepted", "retired"])
def test_a_key_that_is_rotated_in_between(lists_old: bool) -> None:
    ledger = Glass()
    world = desk(ledger=ledger)
    browser = world.browser()
    browser.enrolled()
    world.clock.advance(100)
    answer = send(browser)
    address = address_of(browser)
    next_day = desk(
        ledger=ledger,
        users=world.settings["users"],
        clients=world.client,
        clock=world.clock,
        app=world.app,
        secret=OTHER_SECRET,
        other_secrets=[SECRET] if lists_old else [],
    )
    browser.http.app = next_day.wsgi
    if lists_old:
        press(browser, confirm(browser, answer))
        assert world.app.sent == [("/pay", FIELDS)]
    else:
        assert browser.get("/members").status_int == 303
        browser.enter(browser.choose(browser.visit(), "sms"), world.phone().code)
        nothing_to_send(browser.get(address))


# What a view has read already


class Views:
    """An app whose one view reads its form in its own way, and then asks for a proof of the last minute."""

    def __init__(self, read: Callable[[dict[str, Any]], Any], *, hands_over: bool = True) -> None:
        self.gate: Any = None
        self.read, self.hands_over = read, hands_over
        self.calls: list[dict[str, Any]] = []
        self.done: list[tuple[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ)
        if environ["REQUEST_METHOD"] == "POST":
            form = self.read(environ)
            login = environ.get("site.login")
            wall = self.gate.require(environ, login, max_age=60, form=form) if self.hands_over else self.gate.require(environ, login, max_age=60)
            if wall is not None:
                return wall(environ, start_response)
            self.done.append((where(environ), form))
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"view"]


def body_of(environ: dict[str, Any]) -> bytes:
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return data


def as_django(environ: dict[str, Any]) -> Any:
    from django.http import QueryDict

    return QueryDict(body_of(environ))


def as_webob(environ: dict[str, Any]) -> Any:
    # A copy: WebOb would put its own reading back into the environ.
    return webob.Request(dict(environ)).POST


READERS: dict[str, tuple[Callable[[dict[str, Any]], Any], bool]] = {
    # how it is read, and whether the order of different names survives that
    "bytes": (body_of, True),
    "pairs": (lambda environ: parse_qsl(body_of(environ).decode(), keep_blank_values=True), True),
    "tuple of lists": (lambda environ: tuple(list(pair) for pair in parse_qsl(body_of(environ).decode(), keep_blank_values=True)), True),
    "generator": (lambda environ: (pair for pair in parse_qsl(body_of(environ).decode(), keep_blank_values=True)), True),
    "parse_qs": (lambda environ: parse_qs(body_of(environ).decode(), keep_blank_values=True), False),
    "Django": (as_django, False),
    "Werkzeug": (lambda environ: Request(environ).form, False),
    "Werkzeug, mutable": (lambda environ: MultiDict(Request(environ).form), False),
    "WebOb": (as_webob, True),
    "WebOb, read-only": (lambda environ: webob.multidict.NestedMultiDict(as_webob(environ)), True),
    "Bottle": (lambda environ: bottle.Request(environ).forms, False),
    "Bottle, decoded": (lambda environ: bottle.Request(environ).forms.decode(), False),
}
WRITTEN = [("to", "Zoë"), ("amount", "100"), ("note", "a\r\nb"), ("to", "日本 😀"), ("empty", ""), ("to", "")]


def viewed(read: Callable[[dict[str, Any]], Any], **more: Any) -> tuple[World, Browser]:
    """A site with that view, and a browser in which alice has confirmed an hour ago."""
    from tests.frameworks import django_site

    views = Views(read, **more)
    world = World(app=views)
    django_site.configure()  # QueryDict reads Django's settings
    views.gate = world.gate
    browser = world.browser()
    browser.enrolled()
    world.clock.advance(3600)
    return world, browser


@pytest.mark.parametrize("name", READERS)
def test_what_a_view_has_read_is_handed_over_and_arrives_as_it_was(name: str) -> None:
    read, ordered = READERS[name]
    world, browser = viewed(read)
    answer = send(browser, "/transfer?from=1", WRITTEN)
    assert world.app.done == []
    page = confirm(browser, answer)
    found = fields_of(button(page))
    if not ordered:  # one name after the other then
        found, expected = sorted(found, key=lambda pair: pair[0]), sorted(WRITTEN, key=lambda pair: pair[0])
    assert found == (WRITTEN if ordered else expected)
    assert press(browser, page).text == "view"
    assert [where for where, _ in world.app.done] == ["/transfer?from=1"]


def test_a_plain_mapping_is_kept(alice: Browser, world: World) -> None:
    world, browser = viewed(lambda environ: dict(parse_qsl(body_of(environ).decode(), keep_blank_values=True)))
    fields = [("b", "2"), ("a", "1"), ("c", "é")]
    press(browser, confirm(browser, send(browser, "/transfer", fields)))
    assert world.app.done == [("/transfer", dict(fields))]


def test_without_a_form_handed_over_the_page_says_that_it_is_not_kept() -> None:
    world, browser = viewed(body_of, hands_over=False)
    is_not_kept(send(browser, "/transfer"), "does not let us keep it")
    assert world.app.done == []


UPLOAD = b"\r\n".join(
    [
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\nx\r\n--x--\r\n',
    ]
)


@pytest.mark.parametrize("name", ["Werkzeug", "WebOb", "Bottle", "bytes", "pairs"])
def test_a_view_cannot_hand_over_half_of_a_form_with_files(name: str) -> None:
    """Frameworks keep the files apart from the fields; a form without its files must not be sent again."""
    read = {**{name: one for name, (one, _) in READERS.items()}, "bytes": lambda _: b"a=1", "pairs": lambda _: [("a", "1")]}[name]
    world, browser = viewed(read)
    is_not_kept(send(browser, "/transfer", UPLOAD, **{"Content-Type": "multipart/form-data; boundary=x"}), "It has files with it")
    assert world.app.done == []


ODD_FORMS: list[Any] = [
    [("a", b"1")],
    {"a": 1},
    {"a": None},
    {"a": ["1", 2]},
    {1: "a"},
    [("a", "\ud800")],
    [("\udcff", "1")],
    [("a", "\x00")],
    [("", "1")],
    [("a", "b", "c")],
    5,
    [5],
    b"a=%ff",
]


def test_a_form_that_holds_something_else_is_not_kept_and_explained() -> None:
    forms = iter(ODD_FORMS)
    world, browser = viewed(lambda _environ: next(forms))
    for form in ODD_FORMS:
        answer = send(browser, "/transfer")
        assert answer.status_int == 401, form
        is_not_kept(answer, "which we cannot keep" if "files" in words(answer) else "of a kind that we cannot keep")
    assert world.app.done == []


def test_a_view_of_an_exempt_or_unasked_page_may_still_keep_its_form() -> None:
    for settings in ({"exempt": ["/transfer"]}, {"enforce": False}):
        views = Views(body_of)
        world = World(app=views, **settings)
        views.gate = world.gate
        browser = world.browser()
        answer = send(browser, "/transfer", [("a", "1")])
        page = browser.follow(browser.get(kept(answer)))
        page = browser.follow(browser.submit(form_to(page, "/enrol"), phone=PHONE, email="alice@example.com"))
        press(browser, onward(browser, browser.enter(page, world.phone().code)))
        assert world.app.done == [("/transfer", b"a=1")]


def test_a_form_may_ask_for_a_stronger_proof_and_the_wrong_kind_does_not_send_it() -> None:
    world = desk(policy=by_path({"/admin": Need(strength=Strength.CODE)}))
    browser = world.browser()
    browser.enrolled()
    world.phone().install_app()
    world.clock.advance(60)
    answer = send(browser, "/admin")
    page = browser.follow(browser.get(kept(answer)))
    assert {form["channel"].value for form in page.forms.values() if "channel" in form.fields} == {"app"}
    forged = way_form(page, "app")
    forged["channel"].force_value("sms")
    assert "not open to you" in words(browser.submit(forged))
    forged["channel"].force_value("app")
    token = form_to(page, "/logout")["csrf"].value
    body = {"csrf": token, "of": attempt_of(browser)}
    assert "strong" in words(browser.follow(browser.http.post("/second-factor/kept", body, headers=OURS, status="*")))
    press(browser, onward(browser, browser.enter(browser.choose(page, "app"), world.phone().app_code or "")))
    assert world.app.sent == [("/admin", FIELDS)]


def test_the_names_of_a_kept_form_are_never_read_as_ours(world: World, alice: Browser) -> None:
    """The page that sends it on has forms of ours beside it; no field of the person's gets into those."""
    fields = [("csrf", "x"), ("next", "/evil"), ("of", "y")]
    page = confirm(alice, send(alice, fields=fields))
    ours = page.html.find("form", {"action": "/second-factor/logout"})
    assert [field["name"] for field in ours.find_all("input")] == ["csrf"]
    assert ours.find("input")["value"] != "x"
    assert quote_plus("/evil") not in page.headers.get("Location", "")
    press(alice, page)
    assert world.app.sent == [("/pay", fields)]


def test_a_form_of_somebody_who_is_not_signed_in_at_all_reaches_the_app(world: World) -> None:
    browser = world.browser(None)
    assert send(browser).text == "desk POST None"
    assert Login("alice") not in {environ.get("site.login") for environ in world.app.calls}
