"""The Pyramid site: a phone added at the first sign-in, and a page that asks for a fresh proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plaster
import pytest

from authy_wsgi import AuthyClient
from authy_wsgi.emulator import Handset
from authy_wsgi.emulator.server import Server
from examples.pyramid_site import make_app, site
from examples.pyramid_site.bank import read_amount
from examples.pyramid_site.site import ACCOUNTS

from .browser import SECRET, Browser, Clock, heading, words

PHONES = {"alice": "+12025550123", "bob": "+12025550143"}


class Acorn:
    """The site and its people's phones."""

    def __init__(self, folder: Path, clock: Clock, client: AuthyClient, service: Server) -> None:
        self.clock = clock
        self.service = service
        self.app = make_app(folder / "site.db", folder / "factor.db", secret=SECRET, client=client, https=False, clock=clock)

    def browser(self) -> Browser:
        return Browser(self.app)

    def phone(self, name: str = "alice") -> Handset:
        return self.service.emulator.phone(PHONES[name])

    def sign_in(self, browser: Browser, name: str = "alice") -> Any:
        return browser.send(browser.open("/login"), "/login", name=name, password=ACCOUNTS[name])

    def enrol(self, browser: Browser, name: str = "alice") -> Any:
        """Sign in for the first time and add a phone; the account page."""
        page = browser.send(self.sign_in(browser, name), "/enrol", phone=PHONES[name], email=f"{name}@example.com")
        return browser.send(page, "/code", code=self.phone(name).code)

    def confirm(self, browser: Browser, page: Any, name: str = "alice") -> Any:
        """Prove oneself by a text message, from the choose page."""
        page = browser.choose(page, "sms")
        return browser.send(page, "/code", code=self.phone(name).code)


@pytest.fixture
def acorn(tmp_path: Path, clock: Clock, client: AuthyClient, service: Server) -> Acorn:
    return Acorn(tmp_path, clock, client, service)


def test_the_first_sign_in_adds_a_phone(acorn: Acorn) -> None:
    browser = acorn.browser()
    page = acorn.enrol(browser)
    assert page.request.path == "/members"
    assert "A code by text message" in words(page)


def test_a_wrong_number_can_be_corrected(acorn: Acorn) -> None:
    browser = acorn.browser()
    page = acorn.sign_in(browser)
    page = browser.send(page, "/enrol", phone="+1 202 555", email="alice@example.com", status=422)
    assert "too short" in words(page)
    page = browser.send(page, "/enrol", phone=PHONES["alice"])
    assert browser.send(page, "/code", code=acorn.phone().code).request.path == "/members"


def test_paying_asks_again_after_a_minute(acorn: Acorn) -> None:
    browser = acorn.browser()
    acorn.enrol(browser)
    assert heading(browser.open("/pay")) == "Pay somebody"
    acorn.clock.advance(120)
    assert browser.open("/members").request.path == "/members"
    page = browser.open("/pay")
    assert page.request.path == "/second-factor/"
    page = acorn.confirm(browser, page)
    assert page.request.path == "/pay"
    page = browser.send(page, "/pay", payee="Squirrel & Sons", amount="12,50")
    assert heading(page) == "Paid"
    assert "Squirrel & Sons" in words(page)
    assert "12.50" in words(browser.open("/members"))


def test_a_payment_sent_too_late_is_not_made_and_says_so(acorn: Acorn) -> None:
    browser = acorn.browser()
    acorn.enrol(browser)
    page = browser.open("/pay")
    acorn.clock.advance(120)
    browser.http.extra_environ["HTTP_REFERER"] = "http://site.example/pay"
    page = browser.send(page, "/pay", payee="Squirrel", amount="1", status=401)
    assert "SecondFactor" in page.headers["WWW-Authenticate"]
    assert "None yet" in words(browser.open("/members"))
    page = acorn.confirm(browser, browser.open(page.html.find("main").find("a")["href"]))
    assert page.request.path == "/pay"


def test_a_program_is_told_how_fresh_the_proof_must_be(acorn: Acorn) -> None:
    browser = acorn.browser()
    acorn.enrol(browser)
    acorn.clock.advance(120)
    answer = browser.http.get("/pay", headers={"Accept": "application/json"}, status=401)
    assert answer.json["max_age"] == 60


@pytest.mark.parametrize(("payee", "amount", "complaint"), [("", "1", "Say who"), ("Bob", "nothing", "Type an amount"), ("Bob", "-1", "Type an amount")])
def test_a_payment_that_cannot_be_says_why(acorn: Acorn, payee: str, amount: str, complaint: str) -> None:
    browser = acorn.browser()
    acorn.enrol(browser)
    assert complaint in words(browser.send(browser.open("/pay"), "/pay", status=422, payee=payee, amount=amount))


@pytest.mark.parametrize(
    ("text", "cents"),
    [("12", 1200), ("12.50", 1250), (" 0,01 ", 1), ("3.5", 350), ("10000", 1_000_000)]
    + [(wrong, None) for wrong in ("10000.01", "0", "1.005", "1e3", "-1", "")],
)
def test_amounts_are_read_as_people_write_them(text: str, cents: int | None) -> None:
    assert read_amount(text) == cents


def test_signing_out_ends_the_login_and_every_copy_of_its_cookies(acorn: Acorn) -> None:
    browser, copy = acorn.browser(), acorn.browser()
    page = acorn.enrol(browser)
    for cookie in browser.http.cookiejar:
        copy.http.cookiejar.set_cookie(cookie)
    assert copy.open("/members").request.path == "/members"
    assert "You are signed out" in words(browser.send(page, "/logout"))
    assert browser.open("/members").request.path == "/login"
    assert copy.open("/members").request.path == "/login"


def test_signing_out_on_the_second_factors_pages_leads_to_our_own(acorn: Acorn) -> None:
    browser = acorn.browser()
    page = browser.send(acorn.sign_in(browser), "/second-factor/logout")
    assert heading(page) == "Sign out?"
    assert browser.send(page, "/logout").request.path == "/"


def test_two_people_in_one_browser(acorn: Acorn) -> None:
    browser = acorn.browser()
    browser.send(acorn.enrol(browser), "/logout")
    assert acorn.sign_in(browser, "bob").request.path == "/second-factor/enrol"
    browser.send(browser.open("/logout"), "/logout")
    assert acorn.enrol(browser, "bob").request.path == "/members"
    browser.send(browser.open("/members"), "/logout")
    acorn.clock.advance(60)
    page = acorn.confirm(browser, acorn.sign_in(browser))
    assert heading(page) == "Good to see you, alice"


def test_a_form_without_its_token_does_nothing(acorn: Acorn) -> None:
    browser = acorn.browser()
    acorn.enrol(browser)
    page = browser.http.post("/pay", {"payee": "Eve", "amount": "1"}, status=403)
    assert "Nothing was done" in words(page)
    assert "None yet" in words(browser.open("/members"))


def test_a_wrong_password(acorn: Acorn) -> None:
    browser = acorn.browser()
    page = browser.send(browser.open("/login"), "/login", status=422, name="alice", password="wrong")
    assert "do not belong together" in words(page)


def test_the_ini_file_starts_the_same_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ini = Path(site.__file__).with_name("development.ini")
    monkeypatch.chdir(tmp_path)
    app = plaster.get_loader(str(ini), protocols=["wsgi"]).get_wsgi_app()
    assert heading(Browser(app).open("/login")) == "Sign in"
    assert (tmp_path / ".demo/pserve/site.db").is_file()


def test_strangers_see_the_door_only(acorn: Acorn) -> None:
    browser = acorn.browser()
    assert browser.open("/").request.path == "/"
    assert browser.open("/members").request.path == "/login"
    assert browser.open("/pay", status=403)
    assert heading(browser.open("/nowhere", status=404)) == "There is no such page"
