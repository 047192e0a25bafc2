"""The Bottle site, from joining to signing out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import Event
from authy_wsgi.testing import Authy, Clock
from examples import passwords
from examples.bottle_site import make_site

from .conftest import Browser, form_to, heading, words

ALICE = {"name": "Alice", "password": "correct horse", "email": "alice@example.com", "country": "US", "phone": "202-555-0123"}
BOB = {"name": "bob", "password": "battery staple", "email": "bob@example.com", "country": "PT", "phone": "912 345 678"}
ALICES_PHONE, BOBS_PHONE = "+12025550123", "+351912345678"


class Harbour:
    """The site, its people's phones, and what it told about sign-ins."""

    def __init__(self, folder: Path, clock: Clock, authy: Authy, secret: str) -> None:
        self.events: list[Event] = []
        self.clock = clock
        self.authy = authy
        self.app = make_site(
            folder / "site.db", folder / "factor.db", secret=secret, client=authy.client(), https=False, clock=clock, events=self.events.append
        )

    def browser(self) -> Browser:
        return Browser(self.app)

    def newest_code(self, number: str) -> str:
        return self.authy.phone(number).code

    def join(self, browser: Browser, person: dict[str, str]) -> Any:
        """Register and sign in; the page that comes next."""
        return self.sign_in(browser, person, browser.send(browser.open("/register"), "/register", **person))

    def sign_in(self, browser: Browser, person: dict[str, str], page: Any = None) -> Any:
        return browser.send(page or browser.open("/login"), "/login", name=person["name"], password=person["password"])

    def enrol(self, browser: Browser, person: dict[str, str]) -> Any:
        """Join, and prove the phone; the members' page."""
        self.join(browser, person)
        return browser.pass_second_factor(person["name"].lower(), path="/members")

    def steps(self) -> list[tuple[str, str, str]]:
        return [(event.user_id, event.kind, event.channel) for event in self.events if event.kind != "challenged"]


@pytest.fixture
def harbour(tmp_path: Path, second_factor_clock: Clock, authy: Authy, secret: str) -> Harbour:
    return Harbour(tmp_path, second_factor_clock, authy, secret)


def test_joining_and_the_first_code_lead_to_the_members_page(harbour: Harbour) -> None:
    browser = harbour.browser()
    page = harbour.join(browser, ALICE)
    assert page.request.path == "/second-factor/enrol"
    assert "23" in words(page)
    assert "0123" not in words(page)
    page = browser.send(page, "/enrol")
    page = browser.send(page, "/code", code=harbour.newest_code(ALICES_PHONE))
    assert page.request.path == "/members"
    assert heading(page) == "Good to see you, alice"
    assert "A code by text message" in words(page)
    assert harbour.steps() == [("alice", "sent", "sms"), ("alice", "enrolled", "sms"), ("alice", "approved", "sms")]


def test_a_wrong_code_lets_nobody_in(harbour: Harbour) -> None:
    browser = harbour.browser()
    page = browser.send(harbour.join(browser, ALICE), "/enrol")
    right = harbour.newest_code(ALICES_PHONE)
    page = browser.send(page, "/code", code=f"{(int(right) + 1) % 10**7:07}", status=422)
    assert "That code is not right" in words(page)
    assert browser.open("/members").request.path.startswith("/second-factor/")
    assert browser.send(page, "/code", code=right).request.path == "/members"


def test_signing_in_again_by_an_approval_on_the_phone(harbour: Harbour) -> None:
    browser = harbour.browser()
    page = harbour.enrol(browser, ALICE)
    browser.send(page, "/logout")
    phone = harbour.authy.phone(ALICES_PHONE)
    phone.install_app()
    harbour.clock.advance(60)
    page = browser.choose(harbour.sign_in(browser, ALICE), "push")
    assert heading(browser.poll(page)) == "Approve on your phone"
    phone.approve()
    harbour.clock.advance(1)
    page = browser.poll(page)
    assert page.request.path == "/members"
    assert "An approval on your phone" in words(page)
    assert harbour.steps()[-1] == ("alice", "approved", "push")


def test_a_denial_on_the_phone_ends_the_try(harbour: Harbour) -> None:
    browser = harbour.browser()
    browser.send(harbour.enrol(browser, ALICE), "/logout")
    phone = harbour.authy.phone(ALICES_PHONE)
    phone.install_app()
    page = browser.choose(harbour.sign_in(browser, ALICE), "push")
    phone.deny()
    harbour.clock.advance(1)
    page = browser.poll(page)
    assert page.status_int == 403
    assert harbour.steps()[-1][1] == "denied"
    assert browser.open("/members").request.path.startswith("/second-factor/")


def test_signing_out_ends_both_factors(harbour: Harbour) -> None:
    browser = harbour.browser()
    page = browser.send(harbour.enrol(browser, ALICE), "/logout")
    assert "You are signed out" in words(page)
    assert browser.open("/members").request.path == "/login"
    assert harbour.sign_in(browser, ALICE).request.path == "/second-factor/"


def test_signing_out_on_the_second_factors_pages_leads_to_our_own(harbour: Harbour) -> None:
    browser = harbour.browser()
    page = browser.send(harbour.join(browser, ALICE), "/second-factor/logout")
    assert heading(page) == "Sign out?"
    assert browser.send(page, "/logout").request.path == "/"
    assert browser.open("/members").request.path == "/login"


def test_signing_out_is_a_form_of_ours_or_nothing(harbour: Harbour) -> None:
    browser = harbour.browser()
    harbour.enrol(browser, ALICE)
    browser.post("/logout", {"csrf": "guessed"}, status=403)
    # The second factor's pass ends before the site has read the form; the site's own login stays.
    assert browser.open("/members").request.path.startswith("/second-factor/")


def test_two_people_in_one_browser_prove_themselves_each(harbour: Harbour) -> None:
    browser = harbour.browser()
    browser.send(harbour.enrol(browser, ALICE), "/logout")
    page = harbour.join(browser, BOB)
    assert page.request.path == "/second-factor/enrol"
    page = browser.send(page, "/enrol")
    page = browser.send(page, "/code", code=harbour.newest_code(BOBS_PHONE))
    assert heading(page) == "Good to see you, bob"
    assert "alice" in words(page)


def test_a_new_password_ends_what_was_proved(harbour: Harbour, tmp_path: Path) -> None:
    browser = harbour.browser()
    harbour.enrol(browser, ALICE)
    with closing(sqlite3.connect(tmp_path / "site.db")) as database, database:
        database.execute("UPDATE people SET password = ?", (passwords.hashed("another password"),))
    harbour.clock.advance(61)
    assert browser.open("/members").request.path.startswith("/second-factor/")


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "a", "Choose a name of 2 to 32"),
        ("name", "alice <b>", "Choose a name of 2 to 32"),
        ("password", "short", "8 characters or more"),
        ("email", "alice", "does not look like an e-mail address"),
        ("phone", "", "Type your phone number"),
        ("phone", "12", "too short"),
        ("phone", "nothing", "does not look like a phone number"),
        ("country", "", "Choose the country"),
    ],
)
def test_registration_says_what_to_mend_and_keeps_the_rest(harbour: Harbour, field: str, value: str, complaint: str) -> None:
    browser = harbour.browser()
    page = browser.send(browser.open("/register"), "/register", status=422, **{**ALICE, field: value})
    assert complaint in words(page)
    form = form_to(page, "/register")
    assert form["password"].value == ""
    assert {name: form[name].value for name in ALICE if name != "password"} == {name: {**ALICE, field: value}[name] for name in ALICE if name != "password"}


def test_a_name_is_one_persons_in_every_spelling(harbour: Harbour) -> None:
    harbour.join(harbour.browser(), ALICE)
    other = harbour.browser()
    page = other.send(other.open("/register"), "/register", status=422, **{**BOB, "name": "ALICE"})
    assert "This name is taken" in words(page)


def test_a_wrong_password_and_an_unknown_name_read_alike(harbour: Harbour) -> None:
    browser = harbour.browser()
    browser.send(browser.open("/register"), "/register", **ALICE)
    said = {words(browser.send(browser.open("/login"), "/login", status=422, name=name, password="wrong")) for name in ("alice", "nobody")}
    assert len(said) == 1


@pytest.mark.parametrize("path", ["/register", "/login"])
def test_forms_of_other_sites_do_nothing(harbour: Harbour, path: str) -> None:
    browser = harbour.browser()
    browser.send(browser.open("/register"), "/register", **ALICE)
    page = browser.post(path, {**ALICE, "name": "eve" if path == "/register" else "alice", "csrf": ""}, status=403)
    assert "Nothing was done" in words(page)
    assert browser.open("/members").request.path == "/login"


def test_a_session_planted_before_the_login_is_not_the_one_after(harbour: Harbour) -> None:
    browser = harbour.browser()
    page = browser.open("/login")
    planted = browser.cookies["harbour_session"]
    browser.send(browser.open("/register"), "/register", **ALICE)
    harbour.sign_in(browser, ALICE, page)
    assert browser.cookies["harbour_session"] != planted


def test_the_site_works_below_a_prefix(harbour: Harbour) -> None:
    page = Browser(harbour.app)
    page.extra_environ["SCRIPT_NAME"] = "/club"
    opened = page.get("/members", status=303)
    assert opened.headers["Location"] == "/club/login"


def test_an_unknown_page_is_a_page(harbour: Harbour) -> None:
    assert heading(harbour.browser().open("/nowhere", status=404)) == "There is no such page"


def test_a_new_password_asks_everywhere_again(harbour: Harbour) -> None:
    browser, elsewhere = harbour.browser(), harbour.browser()
    harbour.enrol(browser, ALICE)
    harbour.sign_in(elsewhere, ALICE)
    elsewhere.grant_second_factor("alice")
    harbour.clock.advance(301)
    browser.expect_second_factor("/password")
    page = browser.pass_second_factor("alice", path="/password")
    page = browser.send(page, "/password", status=422, password="short")
    assert "8 characters or more" in words(page)
    browser.send(page, "/password", password="a better horse")
    harbour.clock.advance(61)
    for person in (browser, elsewhere):
        person.expect_second_factor("/members")
    browser.send(browser.open("/logout"), "/logout")
    page = browser.send(browser.open("/login"), "/login", name="alice", password="a better horse")
    assert page.request.path == "/second-factor/"
