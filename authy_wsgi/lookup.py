"""Where the `SecondFactor` of an app is: of the wrapped app itself, of a framework's app, plugin or extension, and of middleware around any of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from authy_wsgi.middleware import SecondFactor

# What middleware of all kinds, plugins and extensions call what they hold; and the maps in which Flask and Pyramid keep things, with our key there.
_LINKS = ("core", "app", "wsgi_app", "application", "wrap_app", "second_factor")
_MAPS = (("extensions", "second_factor"), ("registry", "authy_wsgi.second_factor"))
_MOST = 100


def second_factor_in(thing: Any) -> SecondFactor | None:
    """The `SecondFactor` that guards an app; None where none is to be found."""
    seen: set[int] = set()
    waiting = [thing]
    while waiting and len(seen) < _MOST:
        here = waiting.pop(0)
        if isinstance(here, SecondFactor):
            return here
        if here is None or id(here) in seen:
            continue
        seen.add(id(here))
        if type(here).__module__.startswith("django."):
            # By name: Django's part can be imported in a Django project alone. The handler knows its project, and so does that part.
            of_the_project: SecondFactor = import_module("authy_wsgi.integrations.django.factor").second_factor()
            return of_the_project
        waiting += [getattr(here, name, None) for name in _LINKS]
        waiting += [found.get(key) for name, key in _MAPS if isinstance(found := getattr(here, name, None), Mapping)]
        waiting += list(getattr(here, "plugins", None) or ())
    return None
