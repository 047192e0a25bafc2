"""What a request meets that lacks the factor: a redirect to our pages, a page that says that nothing was sent, or a 401 for a program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from authy_wsgi.contracts import Environ, Need
from authy_wsgi.pages.look import Look, add_headers, respond, respond_json
from authy_wsgi.site import FORM_TYPE, Response, encoded_path, encoded_query, header, plain_host

Kind = Literal["get", "post", "program"]

# At less than a tenth text/html is no wish: package installers name it so after their own formats, and would read our page as an index without packages.
_HTML = re.compile(r"text/html(?!\s*;\s*q\s*=\s*0(\.0\d*)?\s*(,|\Z))", re.IGNORECASE)
_FORM_TYPES = (FORM_TYPE, "multipart/form-data", "text/plain")


def kind_of(environ: Environ) -> Kind:
    """Whether a person's browser is going somewhere (GET), sending a form (POST), or a program is asking."""
    method = environ.get("REQUEST_METHOD", "GET")
    if method not in ("GET", "POST") or header(environ, "Upgrade"):
        return "program"
    mode = header(environ, "Sec-Fetch-Mode")
    html = _HTML.search(header(environ, "Accept")) is not None
    navigates = mode == "navigate" if mode else html and not header(environ, "X-Requested-With")
    if method == "GET":
        return "get" if navigates else "program"
    content_type = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    form = content_type in _FORM_TYPES and html
    return "post" if navigates or form else "program"


class Wall:
    """The answers of the gate to a request that may not go on."""

    def __init__(self, look: Look, site_name: str) -> None:
        self._look = look
        # Only what a quoted-string may hold (RFC 9110); everything else is left out.
        realm = "".join(character for character in site_name if character.isascii() and character.isprintable() and character not in '"\\')
        self._challenge = f'SecondFactor realm="{realm}", error="insufficient_user_authentication"'

    def _headers(self, need: Need) -> Mapping[str, str]:
        age = "" if need.max_age is None else f', max_age="{need.max_age}"'
        return {"WWW-Authenticate": self._challenge + age, "Vary": "Cookie, Accept, Sec-Fetch-Mode"}

    def redirect(self, url: str) -> Response:
        return respond(303, headers={"Location": url, "Vary": "Cookie, Accept, Sec-Fetch-Mode"})

    def not_sent(self, url: str, need: Need, why: str, values: Mapping[str, Any]) -> Response:
        """A form was on its way: it did not arrive and is not kept, and this page says so, and why."""
        response = self._look.page("not_sent.html", 401, {**values, "url": url, "why": self._look.text(why)})
        add_headers(response, self._headers(need))
        return response

    def kept(self, url: str, need: Need, path: str, values: Mapping[str, Any], *, replaced: bool) -> Response:
        """A form was on its way, and is kept until the person has confirmed."""
        response = self._look.page("kept.html", 401, {**values, "url": url, "path": path, "replaced": replaced})
        add_headers(response, self._headers(need))
        return response

    def problem(self, url: str, need: Need, *, enrolled: bool) -> Response:
        """For programs: RFC 9457, with what RFC 9470 asks for. No cookie, nothing started."""
        document = {
            "type": "about:blank",
            "title": "A second factor is needed",
            "status": 401,
            "detail": f"Open {url} in a browser that is signed in, confirm there, and try again."
            if enrolled
            else f"Open {url} in a browser that is signed in, add a second factor there, and try again.",
            "url": url,
            "max_age": need.max_age,
            "strength": need.strength.name.lower(),
            "enrolled": enrolled,
        }
        return respond_json(401, document, "application/problem+json", self._headers(need))

    def sign_in_first(self, login_url: str) -> Response:
        """For programs, where nobody is signed in and a view asks for a proof."""
        document = {"type": "about:blank", "title": "Sign in first", "status": 403, "detail": "Nobody is signed in, so there is nobody who could confirm."}
        return respond_json(403, {**document, **({"url": login_url} if login_url else {})}, "application/problem+json")

    def fault(self, environ: Environ, sentence: str, values: Mapping[str, Any]) -> Response:
        """Something that the gate needs is broken: nobody is let in, with 503 and when to try again."""
        headers = {"Retry-After": "10"}
        if kind_of(environ) == "program":
            document = {"type": "about:blank", "title": "The second factor cannot be checked", "status": 503, "detail": sentence}
            return respond_json(503, document, "application/problem+json", headers)
        response = self._look.page("message.html", 503, {**values, "heading": "Please try again in a moment", "message": sentence})
        add_headers(response, headers)
        return response


def came_from(environ: Environ, public_host: str = "") -> str:
    """The path of the page that a form was on, from a Referer of our own origin; "" otherwise."""
    try:
        parts = urlsplit(header(environ, "Referer")[:2000])
    except ValueError:
        return ""
    hosts = {plain_host(header(environ, "Host")), plain_host(public_host)} - {""}
    if not parts.path.startswith("/") or parts.path.startswith(("//", "/\\")) or plain_host(parts.netloc) not in hosts:
        return ""
    return encoded_path(parts.path) + encoded_query(parts.query)
