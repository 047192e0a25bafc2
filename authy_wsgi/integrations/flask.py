"""The second factor of a Flask app.

    second_factor = SecondFactor(app)                  # or SecondFactor(), and later second_factor.init_app(app)

    @app.get("/pay")
    @second_factor_required(max_age=60)
    def pay(): ...

Settings are `app.config` keys with the prefix `SECOND_FACTOR_`, as objects or as texts. Who is there is Flask-Login's `current_user` where the app has that,
else the word of the setting `identity`: a function without arguments that answers None, a user id or a `Login`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from flask import Flask, Response, current_app, request, session

from authy_wsgi.contracts import Login, Strength
from authy_wsgi.errors import Misconfigured
from authy_wsgi.integrations.marks import drop_mark, fresh_mark, mark_of
from authy_wsgi.integrations.texts import read_settings
from authy_wsgi.middleware import SecondFactor as Core

PREFIX = "SECOND_FACTOR_"
EXTENSION = "second_factor"

P = ParamSpec("P")
Identity = Callable[[], Login | str | int | None]


class SecondFactor:
    """The extension. Settings that are given here count before those of `app.config`."""

    def __init__(self, app: Flask | None = None, **settings: Any) -> None:
        self._settings = settings
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put it around an app. `Misconfigured` with every fault at once."""
        if EXTENSION in app.extensions:
            raise Misconfigured("This app has a second factor already.")
        texts = {_dotted(name): value for name, value in app.config.items() if name.startswith(PREFIX)}
        given = dict(self._settings)
        identity: Identity | None = given.pop("identity", texts.pop("identity", None)) or _flask_login(app)
        core = Core(**_settings(texts, given, identity))
        app.extensions[EXTENSION] = guard = Guard(core, core.settings.identity)
        # The first of all: nothing that the app does before a request may answer before the gate has.
        app.before_request_funcs.setdefault(None, []).insert(0, guard.gate)
        app.after_request(guard.after)
        _confirm_before_views(app, guard)


def _settings(texts: dict[str, Any], given: dict[str, Any], identity: Identity | None) -> dict[str, Any]:
    """What the core takes. Who is there is asked in Flask's way, so its faults are told in that way too."""
    faults: list[str] = []
    if identity is None:
        faults.append(f"identity is missing: this app has no Flask-Login, so say SecondFactor(app, identity=who). {_WHO}")
    elif inspect.isfunction(identity) and inspect.signature(identity).parameters:
        faults.append(f"identity takes no arguments under Flask. {_WHO}")
    try:
        settings = read_settings(texts, "", **given, identity=_of_request(identity or (lambda: None)))
    except Misconfigured as others:
        raise Misconfigured([*faults, *others.faults]) from None
    if faults:
        raise Misconfigured(faults)
    return settings


_WHO = "who() answers None, a user id or Login(user_id, session), for example from flask.session."


def _of_request(identity: Identity) -> Callable[[Any], Any]:
    def read(_environ: Any) -> Any:
        who: Any = identity()
        # Ids of database rows are numbers. Not bool, which Python counts among them.
        return str(who) if isinstance(who, int) and not isinstance(who, bool) else who

    return read


def _dotted(name: str) -> str:
    """`SECOND_FACTOR_AUTHY_API_KEY` is `authy.api_key`, `SECOND_FACTOR_LOGIN_URL` is `login_url`."""
    plain = name.removeprefix(PREFIX).lower()
    return f"authy.{plain.removeprefix('authy_')}" if plain.startswith("authy_") else plain


def _confirm_before_views(app: Flask, guard: Guard) -> None:
    dispatch = app.dispatch_request

    def dispatch_request() -> Any:
        return guard.confirm() or dispatch()

    app.dispatch_request = dispatch_request  # type: ignore[method-assign]


class Guard:
    """What an app's extension does: `app.extensions["second_factor"]`."""

    def __init__(self, core: Core, identity: Callable[[Any], Login | str | None]) -> None:
        self.core = core
        self.backend = core.backend
        self._login = identity

    def gate(self) -> Any:
        """Before a request, paths that the app does not know included: None to go on, else the answer."""
        return self.core.gate(request.environ, self._login)

    def confirm(self) -> Any:
        """Before a view: that the app acts for the login that the gate has let through."""
        return self.core.confirm(request.environ, self._login)

    def require(self, *, max_age: int | None = None, strength: Strength | None = None) -> Any:
        """A view's own demand: None where there is such a proof, else the answer to give."""
        form = request.form if request.method == "POST" else None
        return self.core.require(request.environ, self._login, max_age=max_age, strength=strength, form=form)

    def forget(self) -> None:
        """End what was proved in this login; the answer takes our cookies back. A logout by Flask-Login calls it."""
        request.environ[_GOODBYE] = self.core.forget(request.environ)

    def after(self, response: Response) -> Response:
        """Add what `forget` and `remember` have left."""
        for name, value in request.environ.pop(_GOODBYE, ()):
            response.headers.add(name, value)
        return response


_GOODBYE = "authy_wsgi.flask.goodbye"


def second_factor_required(*, max_age: int | None = None, strength: Strength | None = None) -> Callable[[Callable[P, Any]], Callable[P, Any]]:
    """A view that wants a proof at most `max_age` seconds old, or of at least this strength; put it below the route's decorator."""

    def decorated(view: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(view)
        def asking(*args: P.args, **named: P.kwargs) -> Any:
            return current_app.extensions[EXTENSION].require(max_age=max_age, strength=strength) or current_app.ensure_sync(view)(*args, **named)

        return asking

    return decorated


# Flask-Login


def _flask_login(app: Flask) -> Identity | None:
    """`current_user`, bound to its login by a mark in the session; None where the app has no Flask-Login."""
    if not hasattr(app, "login_manager"):
        return None
    from flask_login import current_user, user_logged_in, user_logged_out

    def identity() -> Login | None:
        if not current_user.is_authenticated:
            return None
        user_id = str(current_user.get_id())
        return Login(user_id, mark_of(session, user_id))

    def logged_in(_sender: Any, user: Any, **_more: Any) -> None:
        fresh_mark(session, str(user.get_id()))

    def logged_out(sender: Flask, **_more: Any) -> None:
        drop_mark(session)
        sender.extensions[EXTENSION].forget()

    user_logged_in.connect(logged_in, app, weak=False)
    user_logged_out.connect(logged_out, app, weak=False)
    return identity
