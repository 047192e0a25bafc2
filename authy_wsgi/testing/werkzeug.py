"""Werkzeug's test client, with the way through our pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import werkzeug.test

from authy_wsgi.contracts import Environ
from authy_wsgi.testing.authy import Authy
from authy_wsgi.testing.passes import second_factor_of
from authy_wsgi.testing.walk import Answer, WalksSecondFactor


class Asking(WalksSecondFactor):
    """What Werkzeug's client and Flask's, which is one, have in common."""

    _seen: Environ

    def _ask(self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
        self._seen = {}
        client: Any = self
        response = client.open(path, method=method, data=None if fields is None else dict(fields), headers=dict(headers))
        return Answer(response.request.url, response.status_code, response.headers, response.get_data(as_text=True), self._seen, response)

    def _keep(self, name: str, value: str) -> None:
        client: Any = self
        host = str(self._seen.get("HTTP_HOST", "localhost")).partition(":")[0]
        client.set_cookie(name, value, domain=host, path="/", httponly=True, secure=self.second_factor.settings.https)


class Client(Asking, werkzeug.test.Client):
    """`Client(application)`: a browser, with cookies of its own. `second_factor` is found in the application where it can be."""

    def __init__(self, application: Any, *options: Any, second_factor: Any = None, authy: Authy | None = None, **more: Any) -> None:
        self.second_factor = second_factor_of(second_factor or application)
        self.authy = authy

        def watched(environ: Environ, start_response: Any) -> Iterable[bytes]:
            # Werkzeug hands a copy on; what the gate writes into it is only to be seen here.
            self._seen = environ
            answer: Iterable[bytes] = application(environ, start_response)
            return answer

        super().__init__(watched, *options, **more)
