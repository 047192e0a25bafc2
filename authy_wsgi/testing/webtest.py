"""WebTest's TestApp, with the way through our pages: for any WSGI app, Pyramid's and Bottle's among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookiejar import CookieJar
from typing import Any

import webtest

from authy_wsgi.contracts import Environ
from authy_wsgi.testing.authy import Authy
from authy_wsgi.testing.passes import second_factor_of
from authy_wsgi.testing.walk import Answer, WalksSecondFactor


class TestApp(WalksSecondFactor, webtest.TestApp):
    """`TestApp(application)`: a browser, with cookies of its own. `second_factor` is found in the application where it can be.

    It speaks https where the second factor wants that; an `extra_environ` of yours counts before.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    def __init__(self, app: Any, extra_environ: Environ | None = None, *, second_factor: Any = None, authy: Authy | None = None, **options: Any) -> None:
        self.second_factor = second_factor_of(second_factor or app)
        self.authy = authy
        # A Secure cookie is not sent back over plain http.
        scheme = {"wsgi.url_scheme": "https", "HTTP_HOST": "localhost:443", "SERVER_PORT": "443"} if self.second_factor.settings.https else {}
        super().__init__(app, {**scheme, **(extra_environ or {})}, **options)

    def _ask(self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
        options: dict[str, Any] = {"headers": dict(headers), "status": "*"}
        response = self.get(path, **options) if method == "GET" else self._gen_request(method, path, params=fields or {}, **options)
        return Answer(response.request.url, response.status_int, response.headers, response.text, response.request.environ, response)

    def _keep(self, name: str, value: str) -> None:
        cookie = f"{name}={value}; Path=/; HttpOnly" + ("; Secure" if self.second_factor.settings.https else "")

        def setting(_environ: Environ, start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", cookie)])
            return [b""]

        # By an answer, as a browser gets it: WebTest's own set_cookie makes one of another domain, which the site could never take back.
        jar: CookieJar = self.cookiejar
        webtest.TestApp(setting, dict(self.extra_environ), cookiejar=jar).get("/")
