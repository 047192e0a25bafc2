"""The suite of the Django project: `DJANGO_SETTINGS_MODULE=examples.django_site.settings pytest tests/examples/django_project.py`.

Named so that a run of everything leaves it out; `test_small_sites.py` starts it in a process of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from authy_wsgi.testing import Authy, Clock
from examples.django_site import ACCOUNTS
from examples.django_site.wsgi import ready

from .conftest import Browser, heading, words


@pytest.fixture(scope="module")
def app() -> Any:
    assert os.environ["DEMO_FOLDER"]
    return ready()


@pytest.fixture
def browser(app: Any, authy: Authy, second_factor_clock: Clock) -> Iterator[Browser]:
    from django.conf import settings

    from authy_wsgi.integrations.django.factor import second_factor
    from authy_wsgi.integrations.django.models import SecondFactorUser

    SecondFactorUser.objects.all().delete()
    # An ini's texts for the client give way to a client; the rest stays as the project has it.
    own = {name: value for name, value in settings.SECOND_FACTOR.items() if name != "AUTHY"}
    with override_settings(SECOND_FACTOR={**own, "CLIENTS": authy.client(), "CLOCK": second_factor_clock}, ALLOWED_HOSTS=["site.example"]):
        yield Browser(app, second_factor=second_factor())


def sign_in(browser: Browser, name: str) -> Any:
    form = browser.open("/accounts/login/").form
    form["username"], form["password"] = name, ACCOUNTS[name]
    return form.submit(status="*")


def test_in_pay_and_out(browser: Browser, second_factor_clock: Clock) -> None:
    assert browser.open("/").request.path == "/accounts/login/"
    sign_in(browser, "alice")
    page = browser.pass_second_factor()
    assert heading(page) == "Good to see you, alice"
    assert "and by sms" in words(page)
    second_factor_clock.advance(61)
    browser.expect_second_factor("/pay")
    page = browser.pass_second_factor(path="/pay")
    page.form["amount"] = "12"
    assert heading(page.form.submit()) == "Paid 12"
    assert browser.send(browser.open("/"), "/accounts/logout/").request.path == "/accounts/login/"
    sign_in(browser, "alice")
    browser.expect_second_factor("/")


def test_a_wrong_password(browser: Browser) -> None:
    form = browser.open("/accounts/login/").form
    form["username"], form["password"] = "alice", "wrong"
    assert "do not belong together" in words(form.submit())


def test_the_admin_asks_again_after_ten_minutes(browser: Browser, second_factor_clock: Clock) -> None:
    sign_in(browser, "alice")
    browser.grant_second_factor("")
    assert "Site administration" in words(browser.open("/admin/"))
    second_factor_clock.advance(601)
    browser.expect_second_factor("/admin/")
    assert heading(browser.open("/")) == "Good to see you, alice"


def test_the_admins_stylesheet_is_for_everybody(browser: Browser) -> None:
    assert browser.get("/static/admin/css/base.css").content_type == "text/css"


def test_whoever_lacks_the_factor_can_sign_out(browser: Browser) -> None:
    sign_in(browser, "bob")
    browser.expect_second_factor("/")
    page = browser.get("/accounts/login/", status="*")
    assert page.status_int in (200, 303)
