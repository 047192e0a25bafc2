"""Trac, which has logins and sessions of its own: the gate reads them through Trac's code, and stands between a login and what it opens."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from webtest import TestResponse

from tests.support import HTML, form_to, words

from .environments import Environment
from .sites import Site, SiteBrowser, serving

pytestmark = pytest.mark.slow

PASSWORDS = {"alice": "her-password", "bob": "his-password"}
BOBS_PHONE = "+14085555299"


@pytest.fixture(scope="module")
def made(trac: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `trac-admin initenv` makes it."""
    project = tmp_path_factory.mktemp("trac") / "project"
    done = trac.run("-m", "trac.admin.console", str(project), "initenv", "Acorn", "sqlite:db/trac.db")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """One of its own for each test."""
    return Path(shutil.copytree(made, tmp_path / "project"))


@contextmanager
def site_of(trac: Environment, code: str, project: Path, tmp_path: Path) -> Iterator[Site]:
    lines = [f"{user}:{{SHA}}{base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()}\n" for user, password in PASSWORDS.items()]
    passwords = tmp_path / "htpasswd"
    passwords.write_text("".join(lines))
    with serving(trac, code, tmp_path, TRAC_ENV=str(project), HTPASSWD=str(passwords)) as found:
        yield found


@pytest.fixture
def site(trac: Environment, page: dict[str, str], project: Path, tmp_path: Path) -> Iterator[Site]:
    with site_of(trac, page["trac"], project, tmp_path) as found:
        yield found


def log_in(browser: SiteBrowser, user: str, password: str = "") -> TestResponse:
    """Trac's own login: HTTP Basic at /login, and from then on a cookie of Trac's."""
    token = base64.b64encode(f"{user}:{password or PASSWORDS[user]}".encode()).decode()
    return browser.get("/login", headers={**HTML, "Authorization": f"Basic {token}"})


def log_out(browser: SiteBrowser) -> TestResponse:
    """Trac's own logout: the button that each of its pages has for whoever is signed in."""
    return browser.submit(browser.get("/wiki", status=200).forms["logout"])


def shown_user(browser: SiteBrowser, path: str = "/wiki") -> str:
    """Who Trac says is signed in."""
    found = browser.get(path, status=200).html.find(class_="trac-author-user")
    return found.get_text() if found else ""


def test_anonymous_visitors_read_as_before(site: Site) -> None:
    browser = SiteBrowser(site)
    assert "Welcome to Trac" in browser.get("/wiki", status=200)
    assert browser.get("/newticket").status_int == 403  # Trac's own word
    assert shown_user(browser) == ""
    assert browser.cookie("_attempt") is None


def test_a_wrong_password_is_nobody(site: Site) -> None:
    browser = SiteBrowser(site)
    assert log_in(browser, "alice", "a guess").status_int == 401
    assert browser.get("/wiki", status=200)
    assert shown_user(browser) == ""


def test_after_the_login_comes_the_wall_then_the_phone_then_trac(site: Site) -> None:
    browser = SiteBrowser(site)
    assert "trac_auth=" in log_in(browser, "alice").headers["Set-Cookie"]
    for path in ("/wiki", "/newticket", "/", "/prefs", "/chrome/common/css/trac.css", "/nowhere"):
        assert browser.get(path).status_int == 303, path
        assert browser.get(path).headers["Location"].startswith("/second-factor/?next=")
    page = browser.enrol(path="/newticket")
    assert "Prove your phone" in words(page)
    assert browser.get("/newticket").status_int == 303
    done = browser.follow(browser.enter(page, site.phone().code))
    assert "Create New Ticket" in done
    assert shown_user(browser) == "alice"


def test_a_wrong_code_does_not_get_in(site: Site) -> None:
    browser = SiteBrowser(site)
    log_in(browser, "alice")
    page = browser.enter(browser.enrol(path="/newticket"), "1111111")
    assert "4 tries left" in words(page)
    assert browser.get("/newticket").status_int == 303


def test_signing_out_and_in_again_asks_again(site: Site) -> None:
    browser = SiteBrowser(site)
    log_in(browser, "alice")
    browser.enrolled(path="/newticket")
    held = browser.cookie() or ""
    log_out(browser)
    assert shown_user(browser) == ""
    log_in(browser, "alice")
    browser.http.set_cookie("__Host-second_factor", held)
    assert browser.get("/newticket").status_int == 303
    assert "Confirm it is you" in words(browser.visit("/newticket"))
    assert "Create New Ticket" in browser.by_sms("/newticket")


def test_a_second_login_elsewhere_is_another_one(site: Site) -> None:
    browser, thief = SiteBrowser(site), SiteBrowser(site)
    log_in(browser, "alice")
    browser.enrolled(path="/newticket")
    log_in(thief, "alice")
    thief.http.set_cookie("__Host-second_factor", browser.cookie() or "")
    assert thief.get("/newticket").status_int == 303
    assert browser.get("/newticket").status_int == 200


def test_two_users_in_one_browser_do_not_share_a_pass(site: Site) -> None:
    browser = SiteBrowser(site)
    log_in(browser, "alice")
    browser.enrolled(path="/newticket")
    log_in(browser, "bob")  # over alice's live login, as Trac allows
    assert "Add your phone" in words(browser.visit("/newticket"))
    browser.enrolled(BOBS_PHONE, path="/newticket")
    assert shown_user(browser) == "bob"
    log_in(browser, "alice")
    assert browser.get("/newticket").status_int == 303
    assert "Create New Ticket" in browser.by_sms("/newticket")
    assert shown_user(browser) == "alice"


def test_whoever_lacks_the_factor_can_sign_out(site: Site) -> None:
    browser = SiteBrowser(site)
    form = {"__FORM_TOKEN": _token(browser)}
    log_in(browser, "alice")
    assert browser.get("/wiki").status_int == 303
    assert browser.post("/logout", form).status_int in (302, 303)
    assert browser.get("/wiki", status=200)
    assert shown_user(browser) == ""


def _token(browser: SiteBrowser) -> str:
    """Trac's word against forged forms, which it gives to anonymous visitors as well."""
    browser.get("/wiki", status=200)
    browser.get("/search", status=200)
    return str(browser.http.cookies["trac_form_token"])


def test_a_ticket_that_meets_the_wall_is_kept_and_sent_on(site: Site, project: Path) -> None:
    verified, browser = SiteBrowser(site), SiteBrowser(site)
    log_in(verified, "alice")
    form = verified.enrolled(path="/newticket").forms["propertyform"]
    token = _token(browser)
    log_in(browser, "alice")
    fields = {**dict(form.submit_fields("submit")), "field_summary": "The oak leaks", "__FORM_TOKEN": token}
    answer = browser.post("/newticket", fields, headers={**HTML, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}, status=401)
    assert "send it to /newticket once you have confirmed" in words(answer)
    assert tickets(project) == []
    site.clock.ahead += 60
    page = browser.choose(browser.visit(answer.html.find("main").find("a")["href"]), "sms")
    sending = browser.submit(form_to(browser.follow(browser.enter(page, site.phone().code)), "/kept"))
    assert tickets(project) == []
    shown = browser.follow(form_to(sending, "/newticket").submit(headers=HTML, status="*"))
    assert "The oak leaks" in shown
    assert tickets(project) == [("The oak leaks", "alice")]


def tickets(project: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(project / "db" / "trac.db")) as database:
        return list(database.execute("SELECT summary, reporter FROM ticket"))


FAILING = """
from trac.core import Component, TracError, implements
from trac.web.api import IAuthenticator

class Directory(Component):
    implements(IAuthenticator)

    def authenticate(self, req):
        raise TracError("The directory does not answer.")
"""


def test_nobody_is_let_in_while_trac_cannot_say_who_is_there(trac: Environment, page: dict[str, str], project: Path, tmp_path: Path) -> None:
    # Trac itself takes this for "anonymous", and reads /wiki to them.
    (project / "plugins" / "directory.py").write_text(FAILING)
    with site_of(trac, page["trac"], project, tmp_path) as site:
        assert "nobody is let in" in words(SiteBrowser(site).get("/wiki", status=503))
