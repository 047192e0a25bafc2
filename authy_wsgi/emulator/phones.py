"""The phones, beside the API: pages for people, JSON for programs. There is no sound in any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, PackageLoader, StrictUndefined

from authy_wsgi.emulator import screen
from authy_wsgi.emulator.controls import CONTROLS, Controls
from authy_wsgi.emulator.failures import ApiError
from authy_wsgi.emulator.guard import check_origin, protect
from authy_wsgi.emulator.handset import describe
from authy_wsgi.emulator.overview import listing
from authy_wsgi.emulator.replies import base_url, done, form_of, program, wants_page
from authy_wsgi.emulator.state import Phone, State
from authy_wsgi.emulator.wire import Environ, decode_segment, status_line
from authy_wsgi.site import RequestError, Response, Routes, as_path, header, read_query

SIDE_BY_SIDE = 6
DELIVERIES = 10
TYPES = {"css": "text/css;charset=utf-8", "js": "text/javascript;charset=utf-8", "svg": "image/svg+xml"}

_ROUTES = Routes(
    [
        ("overview", "/phone/", ["GET"]),
        ("static", "/phone/static/<name>", ["GET"]),
        *CONTROLS,
        ("side", "/phone/side", ["GET"]),
        ("json", "/phone/<who>.json", ["GET"]),
        ("show", "/phone/<who>", ["GET"]),
        ("app", "/phone/<who>/app", ["POST"]),
        ("suspended", "/phone/<who>/suspended", ["POST"]),
        ("answer", "/phone/<who>/approvals/<uuid>", ["POST"]),
    ]
)


@cache
def _templates() -> Environment:
    """Compiled once in a process: tests make many emulators."""
    made = Environment(loader=PackageLoader("authy_wsgi.emulator"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    words = (screen.countdown, screen.day, screen.duration, screen.moment, screen.parts, screen.time_of_day)
    made.filters.update({word.__name__: word for word in words}, iso=lambda at: screen.local_time(at).isoformat())
    return made


class Phones:
    """Everything under `/phone/`. The emulator holds its lock around each call. `routes` are the names that a fault may have."""

    def __init__(self, state: State, controls: Controls, routes: Sequence[str]) -> None:
        self._state = state
        self._controls = controls
        self._routes = routes
        self._pages = _templates()
        folder = files("authy_wsgi.emulator").joinpath("static")
        self._static = {name: folder.joinpath(name).read_bytes() for name in ("phone.css", "phone.js", "phone.svg")}
        self._views: Mapping[str, Callable[..., Response]] = {
            "overview": self._overview,
            "static": self._file,
            **controls.views,
            "side": self._side,
            "json": self._json,
            "show": self._show,
            "app": self._app,
            "suspended": self._suspended,
            "answer": self._answer,
        }

    def respond(self, environ: Environ, path: str) -> Response:
        """The answer to a request under `/phone/`."""
        try:
            name, arguments = _ROUTES.find(path, str(environ["REQUEST_METHOD"]))
            if environ["REQUEST_METHOD"] == "POST":
                check_origin(environ)
            return protect(self._views[name](environ, **{key: decode_segment(value) for key, value in arguments.items()}))
        except ApiError as error:
            return self.refuse(environ, RequestError(error.status, str(error)))
        except RequestError as error:
            return self.refuse(environ, error)

    def refuse(self, environ: Environ, error: RequestError) -> Response:
        """A refusal: a page for people, JSON for programs."""
        if not wants_page(environ):
            response = program({"message": error.detail, "success": False}, error.status)
        else:
            response = self._page(environ, "sorry.html", error=error)
            response.status = status_line(error.status)
        if error.allow:
            response.headers["Allow"] = ", ".join(error.allow)
        return protect(response)

    # -- pages

    def _page(self, environ: Environ, template: str, **words: Any) -> Response:
        root = as_path(str(environ.get("SCRIPT_NAME") or ""), "/phone/")
        html = self._pages.get_template(template).render(root=root, now=self._state.now(), app_name=self._state.app_name, **words)
        response = Response(body=html.encode("utf-8", "replace"))
        response.headers["Content-Type"] = "text/html;charset=utf-8"
        return response

    def _watched(self, environ: Environ, template: str, facts: object, **words: Any) -> Response:
        """A page that looks after itself: 304 where nothing is new to the page that asks."""
        now, moved = self._state.now(), self._state.moved
        mark = blake2b(repr((facts, now // 60, moved, self._state.app_name)).encode("utf-8", "replace"), digest_size=12).hexdigest()
        known = header(environ, "If-None-Match") == f'"{mark}"'
        response = Response(status="304 Not Modified", content_type=None) if known else self._page(environ, template, mark=mark, moved=moved, **words)
        response.headers["ETag"] = f'"{mark}"'
        return response

    def _overview(self, environ: Environ) -> Response:
        query = read_query(environ)
        page = query.get("page", "")
        beside = self._found(query["with"]) if query.get("with") else {}
        if len(beside) >= SIDE_BY_SIDE:
            raise RequestError(400, f"No more than {SIDE_BY_SIDE} phones fit side by side. Close one first.")
        number = int(page) if page.isascii() and page.isdigit() and len(page) < 9 else 1
        phones = listing(self._state, query.get("q", ""), number, [phone.number.e164 for phone in beside.values()])
        faults, callbacks = self._controls.faults.listed(), self._controls.callbacks
        deliveries = callbacks.deliveries[: -DELIVERIES - 1 : -1]
        return self._watched(
            environ,
            "overview.html",
            (phones, faults, callbacks.url, callbacks.method, deliveries),
            phones=phones,
            beside=list(beside),
            faults=faults,
            callbacks=callbacks,
            deliveries=deliveries,
            routes=self._routes,
            base=base_url(environ),
            limit=SIDE_BY_SIDE,
        )

    def _show(self, environ: Environ, who: str) -> Response:
        screens = [screen.show(self._state, phone, name) for name, phone in self._found(who).items()]
        waiting = sum(len(it.pending) for it in screens)
        return self._watched(environ, "phones.html", [it.facts for it in screens], screens=screens, waiting=waiting, limit=SIDE_BY_SIDE, short=screen.SHORT)

    def _side(self, environ: Environ) -> Response:
        """From the ticks of the overview to the phones side by side."""
        chosen = parse_qs(str(environ.get("QUERY_STRING", "")), errors="replace").get("who", [])
        if not chosen:
            raise RequestError(400, "Tick the phones first that you want to see side by side.")
        response = Response(status="303 See Other")
        response.headers["Location"] = as_path(str(environ.get("SCRIPT_NAME") or ""), "/phone/", ",".join(self._found(",".join(chosen))))
        return response

    def _found(self, whos: str) -> dict[str, Phone]:
        """The phones of an address like `1635,+14085555270`, each once."""
        phones: dict[str, Phone] = {}
        unknown = []
        for who in filter(None, map(str.strip, whos.split(","))):
            phone = self._state.find_phone(who)
            if phone is None:
                unknown.append(who[:40])
            elif all(phone is not other for other in phones.values()):
                phones[who] = phone
        if unknown or not phones:
            raise _unknown(unknown)
        if len(phones) > SIDE_BY_SIDE:
            raise RequestError(400, f"No more than {SIDE_BY_SIDE} phones fit side by side. Choose fewer.")
        return phones

    def _file(self, _environ: Environ, name: str) -> Response:
        if name not in self._static:
            raise RequestError(404, "There is no such file here.")
        response = Response(body=self._static[name])
        response.headers["Content-Type"] = TYPES[name.rpartition(".")[2]]
        return response

    # -- for programs

    def _phone(self, who: str) -> Phone:
        phone = self._state.find_phone(who)
        if phone is None:
            raise _unknown([who[:40]])
        return phone

    def _json(self, _environ: Environ, who: str) -> Response:
        return program(describe(self._state, self._phone(who)))

    # -- buttons

    def _app(self, environ: Environ, who: str) -> Response:
        phone, form = self._phone(who), form_of(environ)
        phone.installed = _told(form, "installed")
        return self._pressed(environ, who, form, phone)

    def _suspended(self, environ: Environ, who: str) -> Response:
        phone, form = self._phone(who), form_of(environ)
        user, suspended = self._state.user_of(phone), _told(form, "suspended")
        if user is None:
            raise RequestError(409, "This number is no user's, so there is nobody to suspend. Register it first.")
        user.suspended, user.wrong = suspended, 0
        return self._pressed(environ, who, form, phone)

    def _answer(self, environ: Environ, who: str, uuid: str) -> Response:
        phone, form = self._phone(who), form_of(environ)
        status = form.get("status", "")
        approval = next((it for it in phone.approvals if it.uuid == uuid), None)
        if approval is None:
            raise RequestError(404, "There is no such request on this phone.")
        if status not in ("approved", "denied"):
            raise RequestError(400, "Say status=approved or status=denied.")
        if not self._state.answer(phone, approval, status):
            raise RequestError(409, f"This request is {approval.status(self._state.now())} already. Ask for a new one on the site.")
        return self._pressed(environ, who, form, phone)

    def _pressed(self, environ: Environ, who: str, form: Mapping[str, str], phone: Phone) -> Response:
        """Back to the phone, or to all that were side by side when its button was pressed."""
        return done(environ, form.get("page") or who, describe(self._state, phone))


def _told(form: Mapping[str, str], name: str) -> bool:
    said = form.get(name, "").lower()
    if said not in ("true", "false"):
        raise RequestError(400, f"Say {name}=true or {name}=false.")
    return said == "true"


def _unknown(whos: Sequence[str]) -> RequestError:
    if len(whos) > 1:
        return RequestError(404, f"These phones are not here: {', '.join(whos)}. A phone appears when a user with its number is registered.")
    return RequestError(404, f"There is no {f'phone {whos[0]}' if whos else 'such phone'} here. A phone appears when a user with its number is registered.")
