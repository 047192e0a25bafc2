"""The Pyramid site, from opening an account to the keepers' room. The fixtures `authy`, `phone` and `second_factor_clock` come with authy-wsgi."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plaster
import pytest

from authy_wsgi.emulator import Handset
from authy_wsgi.testing import Authy, Clock
from examples import pyramid_site
from examples.pyramid_site import ACCOUNTS, make_app
from examples.pyramid_site.models import read_amount

from .conftest import Browser, heading, words

CAROL = {"name": "Carol", "password": "a hollow oak", "email": "carol@example.com", "country": "US", "phone": "202-555-0167"}


@pytest.fixture
def app(tmp_path: Path, authy: Authy, second_factor_clock: Clock, secret: str) -> Any:
    return make_app(tmp_path / "site.db", tmp_path / "factor.db", secret=secret, client=authy.client(), https=False, clock=second_factor_clock)


@pytest.fixture
def second_factor(app: Any) -> Any:
    """Where the fixture `phone` looks people up."""
    return app


@pytest.fixture
def browser(app: Any) -> Browser:
    return Browser(app)


def sign_in(browser: Browser, name: str = "alice") -> Any:
    return browser.send(browser.open("/login"), "/login", name=name, password=ACCOUNTS[name][0])


def test_an_account_of_ones_own(browser: Browser, phone: Callable[[str], Handset]) -> None:
    page = browser.send(browser.open("/register"), "/register", **CAROL)
    page = browser.send(page, "/login", name="carol", password=CAROL["password"])
    assert page.request.path == "/second-factor/enrol"
    assert "0167" not in words(page)
    page = browser.pass_second_factor("carol", path="/members")
    assert heading(page) == "Good to see you, carol"
    assert "A code by text message" in words(page)
    assert phone("carol").number == "+12025550167"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "x", "Choose a name of 2"),
        ("name", "alice", "This name is taken"),
        ("password", "short", "8 characters or more"),
        ("email", "carol", "does not look like"),
        ("phone", "12", "number"),
    ],
)
def test_an_account_that_cannot_be_says_why(browser: Browser, field: str, value: str, said: str) -> None:
    page = browser.send(browser.open("/register"), "/register", status=422, **{**CAROL, field: value})
    assert said in words(page)
    assert page.form["email"].value == ("carol" if field == "email" else CAROL["email"])


def test_a_wrong_password(browser: Browser) -> None:
    page = browser.send(browser.open("/login"), "/login", status=422, name="alice", password="wrong")
    assert "do not belong together" in words(page)


def test_a_wrong_code_lets_nobody_in(browser: Browser, phone: Callable[[str], Handset]) -> None:
    page = browser.send(sign_in(browser), "/enrol")
    browser.send(page, "/code", status=422, code="0000000")
    browser.expect_second_factor("/members")


def test_paying_asks_again_after_a_minute(browser: Browser, second_factor_clock: Clock) -> None:
    sign_in(browser)
    browser.pass_second_factor("alice", path="/members")
    assert heading(browser.open("/pay")) == "Pay somebody"
    second_factor_clock.advance(61)
    assert heading(browser.open("/members")) == "Good to see you, alice"
    browser.expect_second_factor("/pay")
    page = browser.pass_second_factor("alice", path="/pay")
    page = browser.send(page, "/pay", payee="Squirrel & Sons", amount="12,50")
    assert heading(page) == "Paid"
    assert "Squirrel & Sons" in words(page)
    assert "12.50" in words(browser.open("/members"))


def test_a_payment_sent_too_late_is_kept_and_sent_on(browser: Browser, second_factor_clock: Clock, phone: Callable[[str], Handset]) -> None:
    sign_in(browser)
    browser.grant_second_factor("alice")
    page = browser.open("/pay")
    second_factor_clock.advance(120)
    page = browser.send(page, "/pay", status=401, payee="Squirrel", amount="1")
    assert "We keep your form" in words(page)
    assert "None yet" in words(browser.open("/members"))
    page = browser.open(page.html.find("main").find("a")["href"])
    page = browser.choose(page, "sms")
    page = browser.send(page, "/code", code=phone("alice").code)
    page = browser.send(page, "/kept")
    page = browser.send(page, "/pay")
    assert heading(page) == "Paid"
    assert "Squirrel" in words(browser.open("/members"))


def test_a_program_is_told_how_fresh_the_proof_must_be(browser: Browser, second_factor_clock: Clock) -> None:
    sign_in(browser)
    browser.grant_second_factor("alice", age=120)
    answer = browser.get("/pay", headers={"Accept": "application/json"}, status=401)
    assert answer.json["max_age"] == 60


@pytest.mark.parametrize(("payee", "amount", "complaint"), [("", "1", "Say who"), ("Bob", "nothing", "Type an amount"), ("Bob", "-1", "Type an amount")])
def test_a_payment_that_cannot_be_says_why(browser: Browser, payee: str, amount: str, complaint: str) -> None:
    sign_in(browser)
    browser.grant_second_factor("alice")
    assert complaint in words(browser.send(browser.open("/pay"), "/pay", status=422, payee=payee, amount=amount))


@pytest.mark.parametrize(
    ("text", "cents"),
    [("12", 1200), ("12.50", 1250), (" 0,01 ", 1), ("3.5", 350), ("10000", 1_000_000)]
    + [(wrong, None) for wrong in ("10000.01", "0", "1.005", "1e3", "-1", "")],
)
def test_amounts_are_read_as_people_write_them(text: str, cents: int | None) -> None:
    assert read_amount(text) == cents


def test_the_keepers_room_wants_more_than_a_text_message(browser: Browser, second_factor_clock: Clock, phone: Callable[[str], Handset]) -> None:
    sign_in(browser)
    browser.pass_second_factor("alice", path="/members")
    browser.expect_second_factor("/keepers")
    page = browser.pass_second_factor("alice", "app", path="/keepers")
    assert heading(page) == "The keepers' room"
    assert "carol" not in words(page)
    assert "bob" in words(page)


def test_the_keepers_room_is_for_keepers(browser: Browser) -> None:
    sign_in(browser, "bob")
    browser.grant_second_factor("bob", "app")
    assert heading(browser.open("/keepers", status=403)) == "This room is for keepers"


def test_a_keeper_has_somebodys_phone_asked_again(app: Any, browser: Browser, second_factor_clock: Clock) -> None:
    bob = Browser(app)
    sign_in(bob, "bob")
    bob.pass_second_factor("bob", path="/members")
    sign_in(browser)
    browser.grant_second_factor("alice", "app")
    page = browser.open("/keepers")
    page = next(form for form in page.forms.values() if "name" in form.fields and form["name"].value == "bob").submit().follow()
    assert "Whatever bob had confirmed is over" in words(page)
    bob.expect_second_factor("/members")


def test_signing_out_ends_the_login_and_every_copy_of_its_cookies(app: Any, browser: Browser) -> None:
    copy = Browser(app)
    sign_in(browser)
    page = browser.pass_second_factor("alice", path="/members")
    for cookie in browser.cookiejar:
        copy.cookiejar.set_cookie(cookie)
    assert copy.open("/members").request.path == "/members"
    assert "You are signed out" in words(browser.send(page, "/logout"))
    assert browser.open("/members").request.path == "/login"
    assert copy.open("/members").request.path == "/login"


def test_signing_out_on_the_second_factors_pages_leads_to_our_own(browser: Browser) -> None:
    page = browser.send(sign_in(browser), "/second-factor/logout")
    assert heading(page) == "Sign out?"
    assert browser.send(page, "/logout").request.path == "/"


def test_two_people_in_one_browser(browser: Browser, second_factor_clock: Clock) -> None:
    sign_in(browser)
    browser.send(browser.pass_second_factor("alice", path="/members"), "/logout")
    assert sign_in(browser, "bob").request.path == "/second-factor/enrol"
    browser.send(browser.open("/logout"), "/logout")
    second_factor_clock.advance(60)
    sign_in(browser)
    browser.expect_second_factor("/members")
    assert heading(browser.pass_second_factor("alice", path="/members")) == "Good to see you, alice"


def test_a_form_without_its_token_does_nothing(browser: Browser) -> None:
    sign_in(browser)
    browser.grant_second_factor("alice")
    page = browser.post("/pay", {"payee": "Eve", "amount": "1"}, status=403)
    assert "Nothing was done" in words(page)
    assert "None yet" in words(browser.open("/members"))


def test_the_ini_file_starts_the_same_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ini = Path(pyramid_site.__file__).with_name("development.ini")
    monkeypatch.chdir(tmp_path)
    app = plaster.get_loader(str(ini), protocols=["wsgi"]).get_wsgi_app()
    assert heading(Browser(app).open("/login")) == "Sign in"
    assert (tmp_path / ".demo/pserve/site.db").is_file()


def test_strangers_see_the_door_only(browser: Browser) -> None:
    assert browser.open("/").request.path == "/"
    for path in ("/members", "/pay", "/paid/x", "/keepers"):
        assert browser.open(path).request.path == "/login"
    assert heading(browser.open("/nowhere", status=404)) == "There is no such page"
