"""The second factor of a Bottle app: a plugin, installed before all others.

    app.install(SecondFactor(identity=who, secret=..., users=..., clients=..., enrolment="open"))

    @app.post("/pay", second_factor_max_age=60)
    def pay(): ...

Options of a route: `second_factor_max_age` (seconds) and `second_factor_strength`. The gate stands before the router, so paths that are not there are behind
it too. `identity` takes the environ, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bottle import Bottle, HTTPResponse, request

from authy_wsgi.contracts import Strength
from authy_wsgi.errors import Misconfigured
from authy_wsgi.integrations.texts import read_demand, read_settings
from authy_wsgi.middleware import SecondFactor as Core

OPTIONS = ("second_factor_max_age", "second_factor_strength")


class SecondFactor:
    """The plugin (API 2). Settings that are given here count before those of `app.config` (`second_factor.secret = ...`)."""

    name = "second_factor"
    api = 2

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.core: Core

    def setup(self, app: Bottle) -> None:
        """Called by `install`. `Misconfigured` with every fault at once."""
        if hasattr(self, "core"):
            raise Misconfigured("This plugin is installed already; another app takes another one.")
        self.core = Core(**read_settings(app.config, **self._settings))
        self._identity = self.core.settings.identity
        # The first hook of all: nothing that the app does before a request may answer before the gate has.
        app._hooks["before_request"].insert(0, self.gate)  # noqa: SLF001 - `add_hook` only puts it last

    def apply(self, callback: Callable[..., Any], route: Any) -> Callable[..., Any]:
        """Called for each route: what it asks for, before its function runs."""
        max_age, asked = read_demand(*(route.config.get(option) for option in OPTIONS))

        def asking(*args: Any, **named: Any) -> Any:
            if max_age is None and asked is None:
                answered(self.core.confirm(request.environ, self._identity))
            else:
                self.require(max_age=max_age, strength=asked)
            return callback(*args, **named)

        return asking

    def gate(self) -> None:
        """The hook."""
        answered(self.core.gate(request.environ, self._identity))

    def require(self, *, max_age: int | None = None, strength: Strength | None = None) -> None:
        """A function's own demand: goes on where there is such a proof, else raises the answer."""
        form = request.forms if request.method == "POST" else None
        answered(self.core.require(request.environ, self._identity, max_age=max_age, strength=strength, form=form))

    def forget(self, response: Any) -> None:
        """End what was proved in this login: call it where the app signs somebody out, with the response that goes out."""
        for name, value in self.core.forget(request.environ):
            response.add_header(name, value)


def answered(answer: Any) -> None:
    """Bottle takes no WSGI app as an answer: this makes one of its own."""
    if answer is not None:
        head: list[Any] = []
        body = answer(request.environ, lambda *given: head.extend(given))
        raise HTTPResponse(body, *head)
