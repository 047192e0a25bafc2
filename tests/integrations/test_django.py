"""The Django app: a user store on a model, checks, a decorator, signals, and what stands in the way of the middleware."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections, transaction
from django.http import HttpRequest
from django.test import Client, override_settings

from authy_wsgi import MemoryLedger, Unavailable
from authy_wsgi.contracts import User
from authy_wsgi.testing.contracts.users import UserStoreContract
from tests.frameworks import django_site
from tests.frameworks.support import SiteWorld
from tests.support import API_KEY, words

django_site.configure()

from authy_wsgi.integrations.django import factor  # noqa: E402 - after Django's settings
from authy_wsgi.integrations.django.models import SecondFactorUser  # noqa: E402
from authy_wsgi.integrations.django.store import ModelStore  # noqa: E402


class Tidy(ModelStore):
    """Django closes a connection at the end of a request; threads of a test close theirs after each step."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("get", "save", "delete", "erase", "ids"):
            return found

        def step(*arguments: Any, **named: Any) -> Any:
            try:
                return found(*arguments, **named)
            finally:
                if threading.current_thread() is not threading.main_thread():
                    connections.close_all()

        return step


class TestModelStore(UserStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[ModelStore]:
        SecondFactorUser.objects.all().delete()
        yield Tidy()
        SecondFactorUser.objects.all().delete()

    @pytest.fixture
    def case_sensitive(self, store: ModelStore) -> ModelStore:
        return Tidy(case_sensitive_ids=True)

    def test_a_change_inside_a_transaction_of_the_apps_is_refused(self, store: ModelStore) -> None:
        with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
            store.save(User(id="alice"))
        assert store.get("alice") is None

    def test_a_database_that_fails_is_unavailable(self) -> None:
        store = ModelStore()
        with connections["default"].execute_wrapper(_fails):
            for call in (lambda: store.get("alice"), lambda: store.save(User(id="alice")), lambda: store.delete("alice")):
                with pytest.raises(Unavailable):
                    call()


def _fails(*_arguments: Any) -> Any:
    from django.db import OperationalError

    raise OperationalError("the disk is gone")


def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", "second_factor", check=True, dry_run=True, verbosity=0)


def given(**more: Any) -> dict[str, Any]:
    return {"AUTHY": {"API_KEY": API_KEY, "BASE_URL": "http://127.0.0.1:8001"}, "ENROLMENT": "open", "LEDGER": "memory", "SINGLE_PROCESS": True, **more}


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    yield
    factor.second_factor.cache_clear()


def test_what_the_project_says_already_need_not_be_said_again() -> None:
    with override_settings(SECOND_FACTOR=given(), DEBUG=True, LOGIN_URL="/accounts/login/", SECRET_KEY="s" * 50, SECRET_KEY_FALLBACKS=["f" * 50]):
        settings = factor.second_factor().settings
        assert isinstance(settings.users, ModelStore)
        assert (settings.https, settings.login_url, settings.secret, settings.other_secrets) == (False, "/accounts/login/", "s" * 50, ("f" * 50,))
    with override_settings(SECOND_FACTOR=given(HTTPS="true", EXEMPT="/static"), DEBUG=True):
        settings = factor.second_factor().settings
        assert (settings.https, settings.exempt) == (True, ("/static",))


def test_wrong_settings_are_improper_and_told_at_once() -> None:
    with override_settings(SECOND_FACTOR={"ENROLMENT": "sometimes", "RECHECK": "soon"}), pytest.raises(ImproperlyConfigured) as caught:
        factor.second_factor()
    for each in ("enrolment must be one of", "recheck must be a time", "clients is missing"):
        assert each in str(caught.value)
    with override_settings(SECOND_FACTOR=given(IDENTITY="x:y")), pytest.raises(ImproperlyConfigured, match="IDENTITY is no setting here"):
        factor.second_factor()
    with override_settings(SECOND_FACTOR=None), pytest.raises(ImproperlyConfigured, match="is missing"):
        factor.second_factor()


def ids() -> list[str]:
    return [found.id for found in run_checks() if str(found.id).startswith("second_factor")]


def test_checks_find_a_missing_or_misplaced_middleware_and_settings_that_cannot_work() -> None:
    good = [*django_site.MIDDLEWARE]
    with override_settings(SECOND_FACTOR=given()):
        assert "second_factor.E001" not in ids()
        with override_settings(MIDDLEWARE=good[:2]):
            assert "second_factor.E001" in ids()
        with override_settings(MIDDLEWARE=[good[2], *good[:2]]):
            assert "second_factor.E002" in ids()
    with override_settings(SECOND_FACTOR={}):
        assert "second_factor.E003" in ids()


def test_a_middleware_in_the_wrong_place_says_where_it_belongs() -> None:
    with override_settings(SECOND_FACTOR=given(), MIDDLEWARE=[django_site.MIDDLEWARE[2]]), pytest.raises(ImproperlyConfigured, match="must stand after"):
        Client(headers={"host": "site.example"}).get("/", secure=True)


def test_without_wsgi_it_says_so() -> None:
    with pytest.raises(ImproperlyConfigured, match="needs WSGI"):
        factor.environ_of(HttpRequest())


def test_a_new_password_ends_the_passes_of_before() -> None:
    from tests.frameworks.django_people.models import Person

    world = SiteWorld("django", password_stamp=factor.password_stamp_of)
    alice = world.browser("alice")
    alice.enrolled()
    assert alice.get("/members").status_int == 200
    person = Person.objects.get(name="alice")
    person.set_password("another one")
    person.save()
    alice.sign_in("alice")
    world.clock.advance(61)
    assert "Confirm it is you" in words(alice.visit("/members"))
    assert factor.profile_of("alice").name == "alice"  # type: ignore[union-attr]
    assert factor.profile_of("nobody") is None
    assert factor.password_stamp_of("nobody") == ""


def test_a_later_middleware_that_lets_somebody_else_in_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(MIDDLEWARE=[*django_site.MIDDLEWARE, f"{__name__}.by_token"]):
        world = SiteWorld("django")
        alice = world.browser("alice")
        alice.enrolled()
        assert alice.get("/members", headers={"X-Token": "bob", "Accept": "text/html"}).status_int == 503
    assert "acts for somebody whom the gate was not asked about" in caplog.text


def by_token(get_response: Any) -> Any:
    from tests.frameworks.django_people.models import Person

    def middleware(request: Any) -> Any:
        if token := request.headers.get("X-Token"):
            request.user = Person(name=token)
        return get_response(request)

    return middleware


def test_a_ledger_has_to_be_named_since_the_store_brings_none() -> None:
    with override_settings(SECOND_FACTOR={name: value for name, value in given().items() if name != "LEDGER"}), pytest.raises(ImproperlyConfigured) as caught:
        factor.second_factor()
    assert "this user store brings none" in str(caught.value)
    assert isinstance(MemoryLedger(), object)
