"""Who may speak to the simulator: this machine, under its own names, from its own pages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from authy_wsgi.emulator.wire import Environ
from authy_wsgi.site import RequestError, Response, header, same_origin

LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._\-]+)(:[0-9]{1,5})?")


def known_hosts(told: Iterable[str]) -> frozenset[str]:
    """The names that this service answers to: the local ones, and those it was told."""
    return LOCAL | {name.strip().lower() if ":" not in name or name.startswith("[") else f"[{name.lower()}]" for name in told}


def check_host(environ: Environ, hosts: frozenset[str]) -> None:
    """`RequestError` 403 for a name that is not ours."""
    given = header(environ, "Host").lower()
    match = _HOST.fullmatch(given)
    # SECURITY: a foreign name that points here is DNS rebinding: another site reading this one. No Host at all is no browser.
    if given and (match is None or match[1].rstrip(".") not in hosts):
        raise RequestError(403, "This simulator answers to its own host names only. Start it with that host name to allow it.")


def check_origin(environ: Environ) -> None:
    """`RequestError` 403 where the browser says that another site's page sent this."""
    if not same_origin(environ):
        raise RequestError(403, "This came from another site's page. Use the simulator's own pages.")


def protect(response: Response) -> Response:
    """The headers that every page, picture and file of the phones carries."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response
