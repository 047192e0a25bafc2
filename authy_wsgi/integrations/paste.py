"""The second factor as a PasteDeploy filter, for `pserve` and whatever else reads such files.

    [filter:second-factor]
    use = egg:authy-wsgi
    identity = remote_user
    secret = ...
    users = sqlite:///%(here)s/second-factor.db
    authy.api_key = ...
    enrolment = open

Names are those of the settings, texts as in `authy_wsgi.integrations.texts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from authy_wsgi.integrations.texts import read_settings
from authy_wsgi.middleware import SecondFactor, WSGIApp


def filter_app_factory(app: WSGIApp, _global_conf: Mapping[str, str], **texts: str) -> SecondFactor:
    """paste.filter_app_factory: the app with the second factor around it. `Misconfigured` with every fault at once."""
    return SecondFactor(app, **read_settings(texts, ""))


def filter_factory(global_conf: Mapping[str, str], **texts: str) -> Callable[[WSGIApp], SecondFactor]:
    """paste.filter_factory: a function that puts it around an app."""
    return lambda app: filter_app_factory(app, global_conf, **texts)
