"""The phones, beside the API: pages for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from authy_wsgi.emulator.controls import CONTROLS, Controls
from authy_wsgi.emulator.failures import ApiError
from authy_wsgi.emulator.guard import check_origin, protect
from authy_wsgi.emulator.handset import describe
from authy_wsgi.emulator.replies import base_url, done, form_of, program, wants_page
from authy_wsgi.emulator.state import Approval, Message, Phone, State
from authy_wsgi.emulator.wire import Environ, decode_segment, status_line
from authy_wsgi.site import RequestError, Response, Routes, as_path

TYPES = {"css": "text/css;charset=utf-8", "js": "text/javascript;charset=utf-8", "svg": "image/svg+xml"}

_ROUTES = Routes(
    [
        ("overview", "/phone/", ["GET"]),
        ("static", "/phone/static/<name>", ["GET"]),
        *CONTROLS,
        ("json", "/phone/<who>.json", ["GET"]),
        ("show", "/phone/<who>", ["GET"]),
        ("app", "/phone/<who>/app", ["POST"]),
        ("answer", "/phone/<who>/approvals/<uuid>", ["POST"]),
    ]
)


def local_time(at: int) -> datetime:
    """A time in this machine's zone."""
    return datetime.fromtimestamp(at, UTC).astimezone()


def grouped(code: str) -> str:
    """`482 1079`: a code as it is read."""
    return f"{code[: len(code) // 2]} {code[len(code) // 2 :]}"


def parts(message: Message) -> tuple[str, str, str]:
    """A message's text before the code, the code as it is there, and the text after."""
    said = " ".join(message.code) if message.kind == "call" else message.code
    before, found, after = message.text.partition(said)
    return before, found, after


class Phones:
    """Everything under `/phone/`. The emulator holds its lock around each call."""

    def __init__(self, state: State, controls: Controls) -> None:
        self._state = state
        self._controls = controls
        self._pages = Environment(loader=PackageLoader("authy_wsgi.emulator"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        self._pages.filters.update(
            clock=lambda at: f"{local_time(at):%H:%M}",
            day=lambda at: f"{local_time(at):%d %b %Y}",
            iso=lambda at: local_time(at).isoformat(),
            grouped=grouped,
            parts=parts,
        )
        folder = files("authy_wsgi.emulator").joinpath("static")
        self._static = {name: folder.joinpath(name).read_bytes() for name in ("phone.css", "phone.js", "phone.svg")}
        self._views: Mapping[str, Callable[..., Response]] = {
            "overview": self._overview,
            "static": self._file,
            **controls.views,
            "json": self._json,
            "show": self._show,
            "app": self._app,
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

    def _overview(self, environ: Environ) -> Response:
        phones = sorted(self._state.phones.values(), key=lambda phone: (phone.authy_id is None, phone.authy_id or 0))
        return self._page(
            environ,
            "overview.html",
            phones=[(phone, self._pending(phone)) for phone in phones],
            faults=self._controls.faults.listed(),
            callbacks=self._controls.callbacks,
            base=base_url(environ),
        )

    def _show(self, environ: Environ, who: str) -> Response:
        phone = self._phone(who)
        now, step = self._state.now(), self._state.rules.app_code_step
        return self._page(
            environ,
            "phone.html",
            phone=phone,
            who=who,
            user=self._state.user_of(phone),
            pending=self._pending(phone),
            feed=self._feed(phone),
            code=phone.app_code(self._state.app_counter()) if phone.installed else None,
            left=step - now % step,
        )

    def _pending(self, phone: Phone) -> list[Approval]:
        return [approval for approval in phone.approvals if approval.status(self._state.now()) == "pending"]

    def _feed(self, phone: Phone) -> list[tuple[int, str, Message | Approval]]:
        """What is past: messages and requests that are done, newest first."""
        now = self._state.now()
        feed: list[tuple[int, str, Message | Approval]] = [(it.at, it.kind, it) for it in phone.messages]
        feed += [(it.answered_at or it.at, it.status(now), it) for it in phone.approvals if it.status(now) != "pending"]
        # Sorting is stable: of two in the same second the one that came later stays later.
        return sorted(feed, key=lambda entry: entry[0])[::-1]

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
            raise RequestError(404, "There is no such phone here. It appears when a user with its number is registered.")
        return phone

    def _json(self, _environ: Environ, who: str) -> Response:
        return program(describe(self._state, self._phone(who)))

    # -- buttons

    def _app(self, environ: Environ, who: str) -> Response:
        phone, installed = self._phone(who), form_of(environ).get("installed", "").lower()
        if installed not in ("true", "false"):
            raise RequestError(400, "Say installed=true or installed=false.")
        phone.installed = installed == "true"
        return done(environ, who, describe(self._state, phone))

    def _answer(self, environ: Environ, who: str, uuid: str) -> Response:
        phone, status = self._phone(who), form_of(environ).get("status", "")
        approval = next((it for it in phone.approvals if it.uuid == uuid), None)
        if approval is None:
            raise RequestError(404, "There is no such request on this phone.")
        if status not in ("approved", "denied"):
            raise RequestError(400, "Say status=approved or status=denied.")
        if not self._state.answer(phone, approval, status):
            raise RequestError(409, f"This request is {approval.status(self._state.now())} already. Ask for a new one on the site.")
        return done(environ, who, describe(self._state, phone))
