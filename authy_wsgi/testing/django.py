"""Django's test client, with the way through our pages.

class MyTest(TestCase):
    client_class = authy_wsgi.testing.django.Client
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urljoin

import django.test

from authy_wsgi.integrations.django.factor import second_factor
from authy_wsgi.middleware import SecondFactor
from authy_wsgi.testing.authy import Authy
from authy_wsgi.testing.walk import Answer, WalksSecondFactor


class Client(WalksSecondFactor, django.test.Client):
    """A browser, with cookies of its own. `authy` where the project's AuthyClient was not made by one."""

    def __init__(self, *options: Any, authy: Authy | None = None, **more: Any) -> None:
        self.authy = authy
        super().__init__(*options, **more)

    @property
    def second_factor(self) -> SecondFactor:  # type: ignore[override]
        """The project's, as its settings are now."""
        return second_factor()

    def _ask(self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
        body = {"data": urlencode(fields), "content_type": "application/x-www-form-urlencoded"} if fields is not None else {}
        response = self.generic(method, path, headers=dict(headers), secure=self.second_factor.settings.https, **body)
        environ = response.wsgi_request.environ
        url = urljoin(response.wsgi_request.build_absolute_uri("/"), path)
        return Answer(url, response.status_code, response.headers, response.content.decode(response.charset), environ, response)

    def _keep(self, name: str, value: str) -> None:
        self.cookies[name] = value
