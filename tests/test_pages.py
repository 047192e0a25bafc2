"""Our pages under hostile hands: who may POST, what a GET may do, what leaves in headers and what is echoed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import MemoryStore, Misconfigured, Profile, Unavailable
from tests.support import HTML, PHONE, Browser, World, form_to, way_form, words

PAGES = ["/", "/code", "/push", "/enrol", "/continue", "/logout", "/start", "/poll", "/nothing", "/static/style.css", "/static/nothing.css"]
POSTS = ["/start", "/code", "/poll", "/continue", "/enrol", "/logout"]


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_of_ours_carries_its_headers(world: World, alice: Browser, page: str) -> None:
    response = alice.get("/second-factor" + page)
    headers = response.headers
    assert response.status_int in (200, 303, 404)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert ("no-store" in headers["Cache-Control"]) is not page.endswith("style.css")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_sends_nothing_counts_nothing_and_grants_nothing(world: World, alice: Browser, method: str) -> None:
    world.phone().install_app()
    alice.choose(alice.visit(), "push")
    world.phone().approve()
    world.clock.advance(1)
    events, calls = len(world.events), len(world.calls())
    for page in PAGES:
        for _ in range(3):
            response = alice.http.request("/second-factor" + page, method=method, headers=HTML, status="*")
            assert "second_factor=" not in str(response.headers.getall("Set-Cookie"))
    assert len(world.events) == events
    assert {call.route for call in world.calls()[calls:]} <= {"approval_requests/status"}
    assert alice.get("/members").status_int == 303


def test_anonymous_visitors_of_our_pages_are_told_to_sign_in_first() -> None:
    world = World(login_url="/login")
    for page in ("/", "/code", "/enrol", "/logout"):
        response = world.browser(None).get("/second-factor" + page)
        assert response.status_int == 403
        assert "Sign in first" in words(response)
        assert response.html.find("a", href="/login")
        assert response.headers.getall("Set-Cookie") == []
    for page in POSTS:
        assert world.browser(None).post("/second-factor" + page, {"csrf": "x"}).status_int == 403
    assert world.kinds() == []


def posted(browser: Browser, page: str, token: str, **headers: str) -> Any:
    fields = {"csrf": token, "client": "authy", "channel": "sms", "code": "1234567", "phone": PHONE, "country": "US", "email": "a@example.com"}
    return browser.post("/second-factor" + page, fields, headers={**HTML, **headers})


@pytest.mark.parametrize("page", POSTS)
def test_a_post_that_is_not_ours_changes_nothing(world: World, alice: Browser, page: str) -> None:
    good = form_to(alice.visit(), "/start")["csrf"].value
    mallory = world.browser("mallory")
    hers = form_to(mallory.visit(), "/enrol")["csrf"].value
    attempt = alice.cookie("_attempt") or ""
    before = len(world.events), len(world.calls())
    for token in ("", "x", hers, attempt, good[:-3], good + "A"):
        assert posted(alice, page, token).status_int == 403
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert posted(alice, page, good, **headers).status_int == 403
    assert (len(world.events), len(world.calls())) == before


@pytest.mark.parametrize("page", POSTS)
def test_a_post_of_another_type_is_a_4xx(world: World, alice: Browser, page: str) -> None:
    token = form_to(alice.visit(), "/start")["csrf"].value
    for content_type in ("application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x"):
        response = alice.http.post(f"/second-factor{page}", f"csrf={token}", content_type=content_type, headers=HTML, status="*")
        assert response.status_int == 400
    assert alice.http.post(f"/second-factor{page}", f"csrf={token}&code=%ff", headers=HTML, status="*").status_int == 400
    assert alice.http.post(f"/second-factor{page}", f"csrf={token}&csrf={token}", headers=HTML, status="*").status_int == 400
    assert alice.http.post(f"/second-factor{page}", f"csrf={token}&code=" + "1" * 70_000, headers=HTML, status="*").status_int == 413


def test_methods_that_a_page_does_not_take_are_405(world: World, alice: Browser) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        response = alice.http.request("/second-factor/code", method=method, headers=HTML, status="*")
        assert response.status_int == 405
        assert "GET" in response.headers["Allow"]


NASTY = "\"><svg onload=alert(1)>{{7*'7'}}'"


def test_what_is_echoed_is_escaped(world: World) -> None:
    world = World(profile=lambda _user: Profile(name=NASTY, email=""), site_name="<b>Site</b>")
    browser = world.browser("bob" + NASTY)
    page = browser.visit("/x?q=" + "%22%3E%3Csvg%3E")
    page = browser.submit(form_to(page, "/enrol"), phone=NASTY, email=NASTY)
    assert page.status_int == 422
    assert "<svg onload" not in page.text
    assert "<b>Site" not in page.text
    assert "7777777" not in words(page)
    assert form_to(page, "/enrol")["phone"].value == NASTY


@pytest.mark.parametrize(
    "target",
    ["//evil.example/", "/\\evil.example", "https://evil.example/", "/%2F%2Fevil", "javascript:alert(1)", "/\tevil", "\r\nSet-Cookie: x=y", "evil.example"],
)
def test_next_is_ours_or_the_sites_root(world: World, alice: Browser, target: str) -> None:
    page = alice.get("/second-factor/", params={"next": target})
    page = alice.choose(page, "sms")
    done = alice.enter(page, world.phone().code)
    assert done.headers["Location"] == "/"


def test_somebody_elses_next_leads_to_the_root(world: World, alice: Browser) -> None:
    theirs = world.browser("mallory").get("/secret-of-mallory").headers["Location"].partition("next=")[2]
    page = alice.choose(alice.get(f"/second-factor/?next={theirs}"), "sms")
    assert alice.enter(page, world.phone().code).headers["Location"] == "/"


@pytest.mark.parametrize(
    "path", ["//evil.example/x", "/\\evil.example", "/a//b", "/%0d%0aSet-Cookie:x=y", "/x?next=//evil", "/" + "a" * 1400, "/" + "a" * 3000]
)
def test_the_way_back_stays_on_our_origin(world: World, alice: Browser, path: str) -> None:
    first = alice.http.get("/", headers=HTML, extra_environ={"PATH_INFO": path.partition("?")[0], "QUERY_STRING": path.partition("?")[2]}, status="*")
    page = alice.choose(alice.follow(first), "sms")
    location = alice.enter(page, world.phone().code).headers["Location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert "\r" not in location


def test_a_page_left_open_overnight_keeps_its_target(world: World, alice: Browser) -> None:
    page = alice.visit("/report?year=2023")
    world.clock.advance(40_000)
    page = alice.submit(way_form(page, "sms"))
    assert page.status_int == 409
    page = alice.choose(page, "sms")
    assert alice.enter(page, world.phone().code).headers["Location"] == "/report?year=2023"


def test_fields_are_kept_when_an_enrolment_form_is_stale(world: World) -> None:
    browser = world.browser("bob")
    page = browser.visit()
    world.clock.advance(700)
    page = browser.submit(form_to(page, "/enrol"), phone="408-555-5270", country="US", email="bob@example.com")
    assert page.status_int == 409
    form = form_to(page, "/enrol")
    assert (form["phone"].value, form["country"].value, form["email"].value) == ("408-555-5270", "US", "bob@example.com")
    assert world.kinds() == []


class Broken(MemoryStore):
    """A store that can be down."""

    down = False

    def get(self, user_id: str) -> Any:
        if self.down:
            raise Unavailable("store", "down")
        return super().get(user_id)


def test_a_store_that_is_down_closes_the_gate_and_opens_again_by_itself() -> None:
    store = Broken()
    world = World(users=store)
    browser = world.browser("alice")
    browser.enrolled()
    calls = world.app_calls
    store.down = True
    assert browser.get("/members").status_int == 200  # still remembered, for at most a minute
    world.clock.advance(60)
    response = browser.get("/members")
    assert response.status_int == 503
    assert "nobody is let in" in words(response)
    assert response.headers["Retry-After"]
    assert response.headers.getall("Set-Cookie") == []
    assert browser.http.get("/api", status="*").content_type == "application/problem+json"
    assert browser.get("/second-factor/").status_int == 503
    assert world.app_calls == calls + 1
    store.down = False
    assert browser.get("/members").status_int == 200


def test_a_provider_that_is_down_leaves_the_person_on_their_page(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    world.emulator.add_fault(route="verify", kind="status", status=500)
    broken = alice.enter(page, world.phone().code)
    assert broken.status_int == 503
    assert "does not answer just now" in words(broken)
    assert alice.enter(broken, world.phone().code).status_int == 303


def test_a_wrong_api_key_says_whom_to_tell() -> None:
    world = World()
    world.browser("alice").enrolled()
    browser = world.browser("alice")
    page = browser.visit()
    world.clock.advance(60)
    world.emulator.add_fault(
        route="sms", kind="status", status=401, body='{"message":"Invalid API key","success":false,"errors":{"message":"Invalid API key"},"error_code":"60001"}'
    )
    response = browser.choose(page, "sms")
    assert response.status_int == 503
    assert "not set up correctly" in words(response)


def test_the_sites_own_templates_and_texts_come_first(tmp_path: Path) -> None:
    (tmp_path / "anonymous.html").write_text("{% extends 'base.html' %}{% block title %}Knock first{% endblock %}")
    (tmp_path / "texts.json").write_text('{"way.sms": "SMS on your phone"}')
    world = World(templates=tmp_path)
    assert "Knock first" in world.browser(None).get("/second-factor/")
    browser = world.browser("alice")
    browser.enrolled()
    browser.sign_in("alice")
    world.clock.advance(60)
    assert "SMS on your phone" in words(browser.visit())


@pytest.mark.parametrize(("name", "content"), [("texts.json", "{"), ("texts.json", '{"nothing": "x"}'), ("choose.html", "{% if %}")])
def test_a_mistake_in_the_templates_folder_shows_at_start(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Misconfigured, match=name):
        World(templates=tmp_path)


def test_logo_and_accent_are_served(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    world = World(logo=logo, accent="#0b6e4f")
    page = world.browser("alice").visit()
    image = page.html.find("img", {"class": "logo"})["src"]
    response = world.browser("alice").get(image)
    assert response.content_type == "image/svg+xml"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "--accent: #0b6e4f" in world.browser(None).get("/second-factor/static/theme.css")


def test_a_disabled_user_is_told_so_and_nothing_is_sent(world: World, alice: Browser) -> None:
    world.backend.disable("alice")
    calls = len(world.calls())
    response = alice.visit()
    assert response.status_int == 403
    assert "switched off" in words(response)
    assert len(world.calls()) == calls


def test_only_ways_that_are_offered_can_be_started(world: World, alice: Browser) -> None:
    page = alice.visit()
    form = way_form(page, "sms")
    calls = len(world.calls())
    for fields in ({"channel": "call"}, {"channel": "email"}, {"channel": "pigeon"}, {"client": "other"}, {"factor": "other"}):
        response = alice.http.post(form.action, {**dict(form.submit_fields()), **fields}, headers=HTML, status="*")
        assert response.status_int == 422
        assert "not open to you" in words(response)
    assert len(world.calls()) == calls


def test_an_attempt_of_another_login_behaves_as_none(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    code = world.phone().code
    cookie = alice.cookie("_attempt") or ""
    thief = world.browser("alice")
    thief.http.set_cookie("__Host-second_factor_attempt", cookie)
    hers = form_to(thief.visit(), "/start")["csrf"].value
    response = thief.post("/second-factor/code", {"csrf": hers, "code": code})
    assert response.status_int in (409, 422)
    assert thief.cookie() is None
    assert alice.enter(page, code).status_int == 303


def test_a_page_to_sign_out_that_was_open_too_long_comes_back_as_itself(world: World, alice: Browser) -> None:
    alice.enter(alice.choose(alice.visit(), "sms"), world.phone().code)
    page = alice.get("/second-factor/logout")
    world.clock.advance(12 * 60)
    alice.get("/second-factor/?again=1")
    again = alice.submit(form_to(page, "/logout"))
    assert again.status_int in (303, 409)
    if again.status_int == 409:
        assert form_to(again, "/logout").submit(headers=HTML, status="*").status_int == 303
    assert alice.get("/members").status_int == 303


def test_too_often_says_when_to_come_back_in_a_header_too(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    for _ in range(5):
        answer = alice.enter(page, "1111111")
    assert answer.status_int == 429
    assert int(answer.headers["Retry-After"]) == 15 * 60
    assert "Come back in 15 minutes" in words(answer)


def test_a_number_that_the_site_knows_is_not_shown_to_whoever_has_the_password_only() -> None:
    world = World(profile=lambda _user: Profile(phone="+14085555270", email="alice@example.com"))
    page = world.browser("alice").visit()
    assert "5270" not in page.text.replace("-", "").replace(" ", "")
    linked = world.browser("alice").get("/second-factor/enrol?phone=408-555-9999&email=evil@example.com")
    assert "9999" not in linked.text
    assert "evil@" not in linked.text


def test_somebody_invited_who_is_not_signed_in_is_told_to_come_back_to_the_address() -> None:
    world = World(enrolment="invited")
    address = f"/second-factor/enrol?invite={world.backend.invite('alice')}"
    assert "open the address of your invitation again" in words(world.browser(None).get(address))
    assert "invitation" not in words(world.browser(None).get("/second-factor/"))
    assert "Add your phone" in words(world.browser("alice").get(address))
