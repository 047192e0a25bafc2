"""A pytest plugin that runs in httpbin's environment: httpbin's own tests, with the gate around its app and whoever asks verified.

HTTPBIN_GATE names a JSON file: the Python block of docs/foreign-apps.md, whether requests carry a pass, and where to write how often gate and app were asked.
It imports nothing of `tests`: httpbin's own tests are a package of that name.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpbin
import requests

from authy_wsgi import AuthyClient, Login, MemoryLedger, MemoryStore, SecondFactor, proven
from authy_wsgi.emulator import Emulator, WSGIAdapter

KEY = "0123456789abcdef0123456789abcdef"
PHONE = "+14085555270"


class Counted:
    """A WSGI app, and how often it was called; `proved` counts the calls of somebody who has proved themselves."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.calls = self.proved = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls += 1
        self.proved += bool(proven(environ).proofs)
        return self.app(environ, start_response)


class Presented:
    """Says that alice passed the first login, as a server in front would, and adds her pass to the cookies of each request, where she has one."""

    def __init__(self, app: Any, cookie: str) -> None:
        self.app = app
        self.cookie = cookie
        self.calls = 0
        self.statuses: Counter[int] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls += 1
        environ["REMOTE_USER"] = "alice"
        if self.cookie:
            environ["HTTP_COOKIE"] = "; ".join(filter(None, [environ.get("HTTP_COOKIE"), self.cookie]))

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self.statuses[int(status[:3])] += 1
            return start_response(status, headers, *more)

        return self.app(environ, start)


def minted(gate: SecondFactor, emulator: Emulator) -> str:
    """The pass of alice, as a Cookie header has it: she enrols and types the code that her phone shows."""
    backend = gate.backend
    context = backend.context()
    attempt = backend.begin(Login("alice"), purpose="enrol", context=context)
    backend.enrol(attempt, "authy", {"phone": PHONE, "email": "alice@example.com"}, context)
    answer = backend.check(attempt, {"code": emulator.phone(PHONE).code}, backend.context())
    return gate.remember({}, answer.grant)[0][1].partition(";")[0]


def wrap(code: str, *, verified: bool) -> tuple[Counted, Presented]:
    """Run the block that puts the gate around httpbin; what counts inside of it and what presents alice outside."""
    emulator = Emulator(KEY, seed=1)
    wire = requests.Session()
    wire.mount("http://", WSGIAdapter(emulator))
    settings = {
        "secret": "a secret of thirty-two characters or more",
        "users": MemoryStore(),
        "ledger": MemoryLedger(),
        "single_process": True,
        "clients": AuthyClient(KEY, base_url="http://127.0.0.1:8999", session=wire),
        "enrolment": "open",
    }
    inside = httpbin.app.wsgi_app = Counted(httpbin.app.wsgi_app)
    exec(code, {"settings": settings})
    gate = httpbin.app.wsgi_app
    assert gate is not inside, "the block put nothing around httpbin"
    outside = httpbin.app.wsgi_app = Presented(gate, minted(gate, emulator) if verified else "")
    return inside, outside


def pytest_configure(config: Any) -> None:
    given = json.loads(Path(os.environ["HTTPBIN_GATE"]).read_text())
    config.gate = (given, *wrap(given["code"], verified=given["verified"]))


def pytest_unconfigure(config: Any) -> None:
    given, inside, outside = config.gate
    counts = {"asked": outside.calls, "reached": inside.calls, "proved": inside.proved, "statuses": outside.statuses}
    Path(given["counts"]).write_text(json.dumps(counts))
