"""An app's site on a socket, run in the app's environment; the Authy service with its phones, and the browsers, in this process."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

from webtest import TestApp, TestResponse

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.handset import Handset
from authy_wsgi.emulator.server import Server
from tests.support import API_KEY, PHONE, Browser, way_form

from .environments import ROOT, Environment


class Clock:
    """The Authy service's time: this machine's, and what a test puts on top, so that phones show another code."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return int(time.time()) + self.ahead


class Site:
    """What a browser of `tests.support` has to know of a world, for a site in another process."""

    below = ""

    def __init__(self, address: tuple[str, int], scheme: str, emulator: Emulator, clock: Clock) -> None:
        self.address = address
        self.scheme = scheme
        self.emulator = emulator
        self.clock = clock
        self.url = f"http://{address[0]}:{address[1]}"

    def phone(self, number: str = PHONE) -> Handset:
        return self.emulator.phone(number)

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """A WSGI app that asks the site over HTTP: WebTest's way to a real server."""
        headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ.get("CONTENT_TYPE"):
            headers["Content-Type"] = environ["CONTENT_TYPE"]
        query = environ.get("QUERY_STRING", "")
        connection = HTTPConnection(*self.address, timeout=30)
        try:
            connection.request(environ["REQUEST_METHOD"], quote(environ["PATH_INFO"].encode("latin-1")) + (f"?{query}" if query else ""), body or None, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        hop_by_hop = ("connection", "transfer-encoding", "keep-alive")
        start_response(f"{response.status} {response.reason}", [pair for pair in response.getheaders() if pair[0].lower() not in hop_by_hop])
        return [content]


class SiteBrowser(Browser):
    """A browser at such a site."""

    def __init__(self, site: Site, **environ: str) -> None:
        self.world: Any = site
        self.scheme = site.scheme
        self.http = TestApp(site.wsgi, extra_environ={"wsgi.url_scheme": site.scheme, "HTTP_HOST": "site.example", **environ})

    def by_sms(self, path: str, number: str = PHONE) -> TestResponse:
        """Asked for the second factor there, give it by text message; the page that it leads to."""
        self.world.clock.ahead += 60  # no code is good twice
        page = self.follow(self.submit(way_form(self.visit(path), "sms")))
        return self.follow(self.enter(page, self.world.phone(number).code))


@contextmanager
def serving(home: Environment, code: str, folder: Path, *, scheme: str = "https", basic: dict[str, str] | None = None, **variables: str) -> Iterator[Site]:
    """The site that a block of the page makes, until the end of the `with`."""
    clock = Clock()
    with Server(Emulator(API_KEY, clock=clock, seed=1)) as authy, socket.socket() as listener, (folder / "log").open("w+") as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        given = {"code": code, "folder": str(folder), "authy": authy.url, "key": API_KEY, "scheme": scheme, "basic": basic or {}}
        command = [str(home.python), "-m", "tests.apps.serve", str(listener.fileno())]
        program = subprocess.Popen(
            command, env=home.variables(**variables), cwd=ROOT, pass_fds=[listener.fileno()], stdin=subprocess.PIPE, stdout=log, stderr=log, text=True
        )
        try:
            assert program.stdin is not None
            with program.stdin as pipe:
                json.dump(given, pipe)
            _answered(listener.getsockname(), program, Path(log.name))
            yield Site(listener.getsockname(), scheme, authy.emulator, clock)
        finally:
            program.kill()
            program.wait()


def _answered(address: tuple[str, int], program: subprocess.Popen[str], log: Path) -> None:
    """Wait for the first answer. The kernel takes connections from the start; a program that has ended never answers them."""
    connection = HTTPConnection(*address, timeout=1)
    for _ in range(60):
        assert program.poll() is None, log.read_text()
        with suppress(TimeoutError), closing(connection):
            connection.request("GET", "/second-factor/static/style.css")
            connection.getresponse().read()
            return
    raise AssertionError(f"no answer within a minute: {log.read_text()}")
