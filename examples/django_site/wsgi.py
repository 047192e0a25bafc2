"""The project as a WSGI app: `application` for servers, `ready()` for the demo and the tests."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_site.settings")

from django.contrib.auth import get_user_model
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from examples.django_site import ACCOUNTS

application = get_wsgi_application()


def ready() -> Any:
    """The app with its tables, its two accounts and the admin's stylesheets. alice may use the admin."""
    call_command("migrate", verbosity=0)
    people = get_user_model().objects
    for name, password in ACCOUNTS.items():
        if not people.filter(username=name).exists():
            people.create_user(name, f"{name}@example.com", password, is_staff=name == "alice", is_superuser=name == "alice")
    return StaticFilesHandler(application)
