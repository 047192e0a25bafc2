"""The Django app: label `second_factor`."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register


class SecondFactorApp(AppConfig):
    """What INSTALLED_APPS names by this package."""

    name = "authy_wsgi.integrations.django"
    label = "second_factor"
    verbose_name = "Second factor"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from authy_wsgi.integrations.django import checks, factor

        register(checks.check_second_factor)
        user_logged_in.connect(factor.begin_with_the_login, dispatch_uid="authy_wsgi")
        user_logged_out.connect(factor.end_with_the_login, dispatch_uid="authy_wsgi")
