"""The frameworks' pages run as they are written."""

from __future__ import annotations

import configparser
import textwrap
from pathlib import Path
from typing import Any

import pytest
from webtest import TestApp

from authy_wsgi import Login, SecondFactor
from authy_wsgi.integrations.texts import read_settings
from tests.docs.blocks import block
from tests.support import API_KEY, SECRET
from tests.test_docs import ROOT, blocks

HTML = {"Accept": "text/html"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"APP_SECRET": "the app's own", "SECOND_FACTOR_SECRET": SECRET, "AUTHY_API_KEY": API_KEY}.items():
        monkeypatch.setenv(name, value)


def added(page: str) -> int:
    """How many lines the page says that a site gets."""
    return sum("# +" in line for line in blocks(page, "python")[0].splitlines())


@pytest.mark.usefixtures("environment")
def test_the_flask_page(tmp_path: Path) -> None:
    code = blocks("docs/flask.md", "python")[0].replace("{app.instance_path}-", f"{tmp_path}/")
    names: dict[str, Any] = {"__name__": "site_of_the_page"}
    exec(code, names)
    browser = TestApp(names["app"])
    browser.get("/", status=401)
    assert browser.post("/login", {"user": "alice"}).text == "signed in"
    assert browser.get("/", headers=HTML, status=303).headers["Location"].startswith("/second-factor/")
    assert browser.get("/logout", headers=HTML).text == "signed out"
    assert added("docs/flask.md") == 10
    names["app"].extensions["second_factor"].core.settings.users.database.close()


def test_the_flask_page_without_flask_login() -> None:
    names: dict[str, Any] = {"Login": Login, "session": {}}
    exec(block("docs/flask.md", "python", 1), names)
    assert names["who"]() is None
    names["session"].update(user_id=7, login_id="a")
    assert names["who"]() == Login("7", "a")


@pytest.mark.usefixtures("environment")
def test_the_bottle_page() -> None:
    names: dict[str, Any] = {"__name__": "site_of_the_page"}
    exec(blocks("docs/bottle.md", "python")[0], names)
    browser = TestApp(names["app"])
    browser.get("/", status=302)
    assert browser.post("/login", {"user": "alice"}).text == "signed in"
    assert browser.get("/", headers=HTML, status=303).headers["Location"].startswith("/second-factor/")
    assert browser.get("/logout", headers=HTML).text == "signed out"
    assert added("docs/bottle.md") == 14
    names["second_factor"].core.settings.users.database.close()


@pytest.mark.parametrize("page", ["pyramid", "paste"])
def test_the_inis(page: str, tmp_path: Path) -> None:
    ini = configparser.ConfigParser(defaults={"here": str(tmp_path)}, delimiters=("=",))
    ini.read_string(blocks(f"docs/{page}.md", "ini")[0])
    section, prefix = ("app:main", "second_factor.") if page == "pyramid" else ("filter:second-factor", "")
    texts = {name: textwrap.dedent(value) for name, value in ini[section].items() if name not in ("here", "use")}
    texts[f"{prefix}secret"] = SECRET
    given = {"identity": lambda _environ: None} if page == "pyramid" else {}
    gate = SecondFactor(**read_settings(texts, prefix, **given))
    assert gate.settings.enrolment == "open"
    users: Any = gate.settings.users
    users.database.close()


def test_the_django_page(tmp_path: Path) -> None:
    from django.test import override_settings

    from tests.frameworks import django_site

    django_site.configure()
    import os

    from authy_wsgi.integrations.django.factor import second_factor

    names: dict[str, Any] = {"INSTALLED_APPS": [], "MIDDLEWARE": [], "os": os, "BASE_DIR": tmp_path}
    os.environ.setdefault("AUTHY_API_KEY", API_KEY)
    exec(blocks("docs/django.md", "python")[0], names)
    assert names["MIDDLEWARE"] == django_site.MIDDLEWARE[2:]
    assert names["INSTALLED_APPS"] == [django_site.APPS]
    from django.contrib.auth.urls import urlpatterns

    # Spelled as Django's own addresses are: with another slash at its end it would be let through for nobody.
    assert names["SECOND_FACTOR"]["LOGOUT_URL"] in {f"/accounts/{each.pattern}" for each in urlpatterns if each.name == "logout"}
    second_factor.cache_clear()
    with override_settings(SECOND_FACTOR=names["SECOND_FACTOR"]):
        assert second_factor().settings.logout_url == "/accounts/logout/"
    second_factor.cache_clear()


def test_every_framework_has_a_page_and_the_readme_leads_there() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in ("flask", "pyramid", "bottle", "django", "paste"):
        assert f"docs/{name}.md" in readme
