"""The page on testing an app: its blocks are files of a project, and that project's tests are run as a project's tests are."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.blocks import BLOCKS, ROOT, block

pytest_plugins = ("pytester",)

PAGE = "docs/testing.md"
PLAIN = ("mysite.py", "conftest.py", "test_members.py", "test_what_goes_wrong.py", "test_by_hand.py", "test_unit.py", "test_werkzeug.py")
FLASK = ("shop.py", "test_shop.py")
DJANGO = ("tests.py",)
OUTSIDE = ("test_from_outside.py",)
FILES = (*PLAIN, *FLASK, *DJANGO, *OUTSIDE)


def write(pytester: pytest.Pytester, *names: str) -> None:
    for name in names:
        (pytester.path / name).write_text(block(PAGE, "python", FILES.index(name)))


def passed(pytester: pytest.Pytester, count: int, *options: str) -> None:
    pytester.runpytest_subprocess("-q", *options, "-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning").assert_outcomes(passed=count)


def test_every_block_is_a_file_here() -> None:
    shown = [each for each in BLOCKS if each[:2] == (PAGE, "python")]
    assert len(shown) == len(FILES)
    text = (ROOT / PAGE).read_text()
    for name in set(FILES) - {"test_werkzeug.py", "test_shop.py"}:
        assert f"`{name}`" in text


def test_a_plain_site(pytester: pytest.Pytester) -> None:
    write(pytester, *PLAIN, *OUTSIDE)
    # Side by side, as the page says that they run.
    passed(pytester, 13, "-n", "2")


def test_without_pytest(pytester: pytest.Pytester) -> None:
    write(pytester, "mysite.py", "test_unit.py")
    done = subprocess.run([sys.executable, "test_unit.py"], cwd=pytester.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ran 1 test" in done.stderr


def test_a_flask_app(pytester: pytest.Pytester) -> None:
    write(pytester, *FLASK)
    passed(pytester, 2, "-p", "no:xdist")


DJANGO_SETTINGS = """
SECRET_KEY = "only for tests " * 4
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "project"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "authy_wsgi.integrations.django"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "authy_wsgi.integrations.django.middleware.SecondFactorMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
SECOND_FACTOR = {"AUTHY": {"API_KEY": "0123456789abcdef0123456789abcdef"}, "ENROLMENT": "open", "LEDGER": "sqlite:///ledger.sqlite3"}
LOGIN_URL = "/login"
"""

DJANGO_PROJECT = """
from django.http import HttpResponse
from django.urls import path

urlpatterns = [path("members/", lambda request: HttpResponse("members only"))]
"""


def test_a_django_project(pytester: pytest.Pytester) -> None:
    write(pytester, *DJANGO)
    (pytester.path / "site_settings.py").write_text(DJANGO_SETTINGS)
    (pytester.path / "project.py").write_text(DJANGO_PROJECT)
    command = [sys.executable, "-m", "django", "test", "--settings", "site_settings", "--pythonpath", ".", "--noinput"]
    done = subprocess.run(command, cwd=pytester.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


def test_what_a_failure_says_is_what_the_kit_says() -> None:
    kit = " ".join(path.read_text() for path in (ROOT / "authy_wsgi" / "testing").glob("*.py")) + (ROOT / "authy_wsgi" / "pytest_plugin.py").read_text()
    said = re.findall(r"^\| `([^`]+)` \|", (ROOT / PAGE).read_text().partition("## What a failure says")[2], re.MULTILINE)
    assert len(said) == 13
    plain = re.sub(r"\{[^{}]*\}|[`'\"]", "", kit)
    for message in said:
        for part in re.split(r"\.\.\.|'\w+'|\balice\b|\(\w+\)|\d+|: ", message):
            assert part.strip(" '():,`") in plain, message
