"""No framework: a WSGI app with a signed cookie for its login and another that remembers people, and the middleware around it."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from itsdangerous import BadSignature, URLSafeSerializer
from webob import Request

from authy_wsgi import Login, SecondFactor

from .site import KEY, LONG, new_login_id, shown

_session = URLSafeSerializer(KEY)


def identity(environ: dict[str, Any]) -> Login | None:
    cookies = Request(environ).cookies
    # The lasting one has an id of its own: whoever comes back by it alone is in another login.
    for name in ("plain", "remembered"):
        try:
            return Login(*_session.loads(cookies.get(name, "")))
        except BadSignature:
            continue
    return None


class Site:
    """The app; `gate` is set once it stands around it, for the page that asks again."""

    gate: SecondFactor

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status, headers = 200, [("Content-Type", "text/plain; charset=utf-8")]
        page = {"GET": {"/": "front"}, "POST": {"/members": "saved"}}.get(method, {}).get(path, "")
        if path == "/pay":
            answer = self.gate.require(environ, identity, max_age=60)
            if answer is not None:
                return answer(environ, start_response)
            page = "paid"
        elif path == "/login":
            fields = Request(environ).POST
            headers.append(("Set-Cookie", f"plain={_session.dumps([fields['user'], new_login_id()])}; Path=/; HttpOnly"))
            if "remember" in fields:
                headers.append(("Set-Cookie", f"remembered={_session.dumps([fields['user'], new_login_id()])}; Path=/; HttpOnly; Max-Age={LONG}"))
            page = "signed in"
        elif path == "/logout":
            headers += [("Set-Cookie", f"{name}=; Path=/; Max-Age=0") for name in ("plain", "remembered")]
            page = "signed out"
        elif method == "GET" and (path == "/members" or path.startswith("/members/")):
            page = "members"
        elif not page:
            status, page = 404, "not found"
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [shown(page, environ).encode()]


def make(settings: dict[str, Any]) -> tuple[SecondFactor, Any]:
    app = Site()
    app.gate = SecondFactor(app, **{**settings, "identity": identity})
    return app.gate, app.gate
