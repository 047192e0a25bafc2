"""Flask's test client, with the way through our pages.

app.test_client_class = authy_wsgi.testing.flask.FlaskClient
client = app.test_client()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flask.testing
from flask import request, request_finished

from authy_wsgi.testing.authy import Authy
from authy_wsgi.testing.passes import second_factor_of
from authy_wsgi.testing.walk import Answer
from authy_wsgi.testing.werkzeug import Asking


class FlaskClient(Asking, flask.testing.FlaskClient):
    """What `app.test_client()` makes, once it is the app's `test_client_class`."""

    def __init__(self, application: Any, *options: Any, second_factor: Any = None, authy: Authy | None = None, **more: Any) -> None:
        self.second_factor = second_factor_of(second_factor or application)
        self.authy = authy
        super().__init__(application, *options, **more)

    def _ask(self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
        def note(_sender: Any, **_more: Any) -> None:
            self._seen = request.environ

        with request_finished.connected_to(note, self.application):
            return super()._ask(method, path, fields, headers)._replace(environ=self._seen)
