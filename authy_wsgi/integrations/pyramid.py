"""The second factor of a Pyramid app: `config.include("authy_wsgi.integrations.pyramid")`.

Settings come from the ini with the prefix `second_factor.`, and from `config.set_second_factor(...)` where no text can say them. Who is there is the word of
the app's security policy. A view asks for more with `second_factor_max_age=60` and `second_factor_strength="code"`; `request.second_factor` tells what is
proved, and asks by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyramid.config import PHASE3_CONFIG, Configurator
from pyramid.exceptions import ConfigurationError
from pyramid.interfaces import ISecurityPolicy, ISessionFactory
from pyramid.request import Request
from pyramid.tweens import EXCVIEW, INGRESS

from authy_wsgi.contracts import Login, Proven, Strength, proven
from authy_wsgi.errors import Misconfigured
from authy_wsgi.integrations.marks import drop_mark, fresh_mark, mark_of
from authy_wsgi.integrations.texts import read_demand, read_settings
from authy_wsgi.middleware import SecondFactor

_TWEEN = f"{__name__}.tween_factory"
OPTIONS = ("second_factor_max_age", "second_factor_strength")
_GIVEN, _MADE = "authy_wsgi.given", "authy_wsgi.second_factor"


def includeme(config: Configurator) -> None:
    """Called by `config.include`. The factor is made when the configuration is committed, after every setting is known."""
    config.registry[_GIVEN] = {}
    config.add_directive("set_second_factor", set_second_factor)
    config.add_request_method(RequestSecondFactor, "second_factor", reify=True)
    config.add_view_deriver(demand, "second_factor")
    # Inside the transaction, where there is one: the policy may ask the database who is there.
    config.add_tween(_TWEEN, under=("pyramid_tm.tm_tween_factory", INGRESS), over=EXCVIEW)
    config.action(_MADE, lambda: _make(config), order=PHASE3_CONFIG)


def set_second_factor(config: Configurator, **settings: Any) -> None:
    """Settings of `SecondFactor` as objects: functions, a store, a client. They count before the ini's."""
    config.registry[_GIVEN] |= settings


def _make(config: Configurator) -> None:
    registry = config.registry
    policy = registry.queryUtility(ISecurityPolicy)
    if policy is None:
        raise ConfigurationError("The second factor needs a security policy, which says who is there: config.set_security_policy(...).")
    if {"identity", "app"} & registry[_GIVEN].keys() or "second_factor.identity" in registry.settings:
        raise ConfigurationError("identity is no setting here: who is there is the word of the app's security policy.")
    try:
        registry[_MADE] = SecondFactor(**read_settings(registry.settings, **registry[_GIVEN], identity=_by_the_policy))
    except Misconfigured as fault:
        raise ConfigurationError("The second factor cannot work:\n" + "\n".join(f"  - {each}" for each in fault.faults)) from None
    if registry.queryUtility(ISessionFactory) is None:
        raise ConfigurationError("The second factor marks each login in the session, and this app has none: config.set_session_factory(...).")
    registry.registerUtility(_Marking(policy), ISecurityPolicy)


def _by_the_policy(_environ: Any) -> None:
    raise Misconfigured("Under Pyramid the tween asks the security policy who is there; the environ does not say.")


class _Marking:
    """The app's security policy, which also marks each login in the session, and ends ours with it."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def remember(self, request: Request, userid: Any, **options: Any) -> Sequence[tuple[str, str]]:
        headers = self._policy.remember(request, userid, **options)
        fresh_mark(request.session, str(userid))
        return list(headers or ())

    def forget(self, request: Request, **options: Any) -> Sequence[tuple[str, str]]:
        ours = request.second_factor.forget()
        headers = self._policy.forget(request, **options)
        drop_mark(request.session)
        return [*(headers or ()), *ours]


def login_of(request: Request) -> Login | None:
    """Who is there by the app's own security policy, bound to this login by the mark in the session."""
    user = request.authenticated_userid
    return None if user is None else Login(str(user), mark_of(request.session, str(user)))


def tween_factory(handler: Callable[[Request], Any], registry: Any) -> Callable[[Request], Any]:
    """Ask the gate before the app; what it answers is a response."""
    gate = registry[_MADE].gate

    def tween(request: Request) -> Any:
        return gate(request.environ, lambda _environ: login_of(request)) or handler(request)

    return tween


def demand(view: Any, info: Any) -> Any:
    """The view deriver: before a view runs, what it asks for; and that it acts for the one who has proved it."""
    max_age, asked = read_demand(*(info.options.get(option) for option in OPTIONS))
    strict = max_age is not None or asked is not None

    def wrapped(context: Any, request: Request) -> Any:
        factor = request.second_factor
        answer = factor.require(max_age=max_age, strength=asked) if strict else factor.confirm()
        return answer or view(context, request)

    return wrapped


demand.options = OPTIONS  # type: ignore[attr-defined]  # where Pyramid looks for them


class RequestSecondFactor:
    """`request.second_factor`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._factor: SecondFactor = request.registry[_MADE]
        self.backend = self._factor.backend

    @property
    def proven(self) -> Proven:
        """Who is there, and what is proved of them."""
        return proven(self._request.environ)

    def require(self, *, max_age: int | None = None, strength: Strength | None = None) -> Any:
        """None where there is such a proof, else the response to give instead of the view's own."""
        request = self._request
        form = request.POST if request.method == "POST" else None
        return self._factor.require(request.environ, lambda _environ: login_of(request), max_age=max_age, strength=strength, form=form)

    def confirm(self) -> Any:
        """None where the app acts for the very login that the gate has let through; else what the gate says of the other one."""
        return self._factor.confirm(self._request.environ, lambda _environ: login_of(self._request))

    def remember(self, grant: Any) -> list[tuple[str, str]]:
        """The headers that give the browser what a grant of the backend has earned."""
        return self._factor.remember(self._request.environ, grant)

    def forget(self) -> list[tuple[str, str]]:
        """End what was proved here, and the headers that delete our cookies. `pyramid.security.forget` does it too."""
        return self._factor.forget(self._request.environ)
