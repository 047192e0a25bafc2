"""How the part beside the API answers: a page or a redirect for a person, JSON for a program."""

from __future__ import annotations

from authy_wsgi.emulator.wire import JSON, Environ, status_line, to_json
from authy_wsgi.site import Response, as_path, header, read_form


def wants_page(environ: Environ) -> bool:
    """Whether the caller is a browser with a person before it."""
    return "text/html" in header(environ, "Accept")


def base_url(environ: Environ) -> str:
    """The URL that the service was reached at, without a slash at its end."""
    host = header(environ, "Host") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    return f"{environ['wsgi.url_scheme']}://{host}{as_path(str(environ.get('SCRIPT_NAME') or '')).rstrip('/')}"


def program(answer: JSON, status: int = 200) -> Response:
    """JSON for programs."""
    response = Response(status=status_line(status), body=to_json(answer).encode("ascii"))
    response.headers["Content-Type"] = "application/json"
    return response


def form_of(environ: Environ) -> dict[str, str]:
    """The fields of a button's form; `RequestError` for what is none."""
    return {} if str(environ.get("CONTENT_LENGTH") or "0").strip() == "0" else read_form(environ)


def done(environ: Environ, page: str, answer: JSON) -> Response:
    """After a button: JSON for a program, the way back to the page (below `/phone/`) for a browser."""
    if not wants_page(environ):
        return program(answer)
    response = Response(status="303 See Other")
    response.headers["Location"] = as_path(str(environ.get("SCRIPT_NAME") or ""), "/phone/", page.encode("utf-8").decode("latin-1"))
    return response
