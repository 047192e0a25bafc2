"""The site behind the gate as the servers run it: an app that writes down each call, and around the gate a witness that writes down each answer.

Which gate it is, and who is signed in, says the file `mode` ("wall", "wall bob s1"), as a server's own login would: nothing that a client sends reaches it.
"""

from __future__ import annotations

import itertools
import json
import os
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from authy_wsgi import AuthyClient, Login, SecondFactor, SQLStore, basic_auth, environ_key, proven, remote_user
from authy_wsgi.clients.http import Deadlines

HERE = Path(os.environ["SITE_UNDER_TEST"])

# What the app says of a request: all of this comes from the environ that it was handed.
_TOLD = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "REMOTE_USER", "HTTP_REMOTE_USER", "wsgi.url_scheme")

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]


class Notes:
    """A file of JSON lines, one for each thing that happened."""

    def __init__(self, name: str) -> None:
        self._file = os.open(HERE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def add(self, **facts: Any) -> None:
        os.write(self._file, json.dumps(facts).encode() + b"\n")


class Server:
    """The app of a mode."""

    def __init__(self) -> None:
        self._calls, self._answers = Notes("calls"), Notes("answers")
        self._numbers = itertools.count(1)
        self._users = SQLStore(f"sqlite:///{HERE}/second-factor.db")
        self._modes: dict[str, tuple[App, Environ]] = {
            "wall": (self._gate(), {"site.login": Login("alice", "s1")}),
            "exempt": (self._gate(exempt=("/static", "/health")), {"site.login": Login("alice", "s1")}),
            "mounted": (self._mounted(exempt=("/mount/static",)), {"site.login": Login("alice", "s1")}),
            "remote": (self._gate(identity=remote_user), {"REMOTE_USER": "alice", "AUTH_TYPE": "Basic"}),
            "nobody": (self._gate(identity=remote_user), {}),
            "basic": (self._gate(identity=basic_auth), {}),
        }

    def _gate(self, **settings: Any) -> SecondFactor:
        defaults: dict[str, Any] = {
            "identity": environ_key("site.login"),
            "secret": os.environ["SECRET"],
            "users": self._users,
            "clients": AuthyClient(
                os.environ["API_KEY"], base_url=os.environ["EMULATOR"], deadlines=Deadlines(1.0, 1.0, 1.5), callback_url=os.environ["CALLBACK"]
            ),
            "enrolment": "open",
            # More newcomers than a site has in a day.
            "limits": {"send.new.site": ((10_000, 86_400),)},
        }
        return SecondFactor(self._app, **{**defaults, **settings})

    def _mounted(self, **settings: Any) -> App:
        mounted: App = DispatcherMiddleware(_nothing, {"/mount": self._gate(**settings)})
        return mounted

    def _app(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen = proven(environ)
        told = {name: environ.get(name) for name in _TOLD}
        self._calls.add(mode=environ["test.mode"], user=seen.user_id, proofs=[proof.channel for proof in seen.proofs], enforced=seen.enforced, **told)
        text = f"app of {seen.user_id}".encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
        return [text]

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        mode, *login = (HERE / "mode").read_text().split()
        app, own = self._modes[mode]
        if login:
            own = {"site.login": Login(*login)}
        number = next(self._numbers)
        self._answers.add(number=number, begins=True)
        facts: Environ = {}

        def witnessed(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            facts["status"] = int(status[:3])
            return start_response(status, [*headers, ("X-Gate", str(number))], exc_info)

        try:
            answer = app({**environ, **own, "test.mode": mode}, witnessed)
        except BaseException:
            facts["raised"] = traceback.format_exc()
            raise
        finally:
            self._answers.add(number=number, begins=False, **facts)
        return answer


def _nothing(_environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0"), ("X-Nothing", "is mounted here")])
    return [b""]


application = Server()
