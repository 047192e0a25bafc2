"""The project's settings, as `django-admin startproject` leaves them, less what a small site does without. The second factor is at the end."""

from __future__ import annotations

import os
from pathlib import Path

from examples.django_site import SITE_NAME
from examples.state import kept_secret

FOLDER = Path(os.environ.get("DEMO_FOLDER", ".demo/django")).absolute()
FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)

SECRET_KEY = kept_secret(FOLDER / "secret")
DEBUG = os.environ.get("DEBUG", "true") == "true"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "examples.django_site.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "site.db", "OPTIONS": {"timeout": 20}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = LOGIN_URL
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates", Path(__file__).parents[1] / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

INSTALLED_APPS += ["authy_wsgi.integrations.django"]
MIDDLEWARE += ["authy_wsgi.integrations.django.middleware.SecondFactorMiddleware"]
SECOND_FACTOR = {
    "AUTHY": {"API_KEY": os.environ.get("AUTHY_API_KEY", ""), "BASE_URL": os.environ.get("AUTHY_BASE_URL", "http://127.0.0.1:8001")},
    "ENROLMENT": "open",
    "LEDGER": f"sqlite:///{FOLDER}/second-factor.db",
    "SITE_NAME": SITE_NAME,
    "EXEMPT": "/static",
    "LOGOUT_URL": "/accounts/logout/",
    # The admin is worth more than the rest: a proof of the last ten minutes.
    "RULES": "/admin max_age=10m",
}
if os.environ.get("SECOND_FACTOR_EVENTS"):
    SECOND_FACTOR["EVENTS"] = os.environ["SECOND_FACTOR_EVENTS"]
