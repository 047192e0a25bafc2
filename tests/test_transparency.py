"""The middleware does not touch the app's answer, costs nothing on the way, and says what it has to say in the way that each kind of request understands."""

from __future__ import annotations

import functools
import io
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from authy_wsgi import Login, MemoryLedger, MemoryStore, Misconfigured, Need, SecondFactor, Strength, environ_key, for_users, proven, remote_user
from tests.support import HTML, Browser, World, words

WAYS_THROUGH = ["verified", "anonymous", "exempt", "logout", "not needed"]
PLACES = ["", "/app"]


class Inner:
    """The app inside. It can be exchanged, so that people have enrolled before the one in question stands there."""

    def __init__(self) -> None:
        self.app: Any = self.hello
        self.calls: list[dict[str, Any]] = []

    @staticmethod
    def hello(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ)
        result: Iterable[bytes] = self.app(environ, start_response)
        return result


def environ_of(**given: Any) -> dict[str, Any]:
    """What a server would hand over, with `given` in it."""
    environ = {"SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", **given}
    setup_testing_defaults(environ)
    return environ


class Passage:
    """One way through the gate, at one place: makes requests that take it."""

    def __init__(self, kind: str, below: str, validate: bool) -> None:
        self.kind, self.below = kind, below
        self.world, self.cookie = _world(below, validate)
        self.inner: Inner = self.world.app
        self.inner.app = Inner.hello

    def environ(self, **more: Any) -> dict[str, Any]:
        path = {"exempt": "/public/page", "logout": "/logout"}.get(self.kind, "/page")
        found: dict[str, Any] = {"PATH_INFO": self.below + path, "wsgi.url_scheme": "https", "HTTP_HOST": "site.example"}
        if self.kind != "anonymous":
            user = {"verified": "alice", "not needed": "dave"}.get(self.kind, "carol")
            found["site.login"] = Login(user, "one")
        if self.kind == "verified":
            found["HTTP_COOKIE"] = f'odd={{"a": 1}}; __Host-second_factor={self.cookie}; theme=dark'
        return environ_of(**found, **more)

    def call(self, app: Any = None, **more: Any) -> Call:
        self.inner.app = app or self.inner.app
        return Call(self.world.wsgi, self.environ(**more))


@functools.cache
def _world(below: str, validate: bool) -> tuple[World, str]:
    policy = for_users(lambda user: user != "dave")
    world = World(app=Inner(), below=below, validate=validate, exempt=[f"{below}/public"], logout_url=f"{below}/logout", policy=policy)
    browser = world.browser("alice", session="one")
    browser.enrolled()
    return world, browser.cookie() or ""


class Call:
    """What a server does with an app, step by step."""

    def __init__(self, wsgi: Any, environ: dict[str, Any]) -> None:
        self.started: list[tuple[str, list[tuple[str, str]], Any]] = []
        self.written: list[bytes] = []
        self.result = wsgi(environ, self.start_response)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        self.started.append((status, headers, exc_info))
        return self.written.append

    def body(self) -> bytes:
        """All of it; closed at the end, whatever happens."""
        try:
            return b"".join(self.written) + b"".join(self.result)
        finally:
            self.close()

    def close(self) -> None:
        if hasattr(self.result, "close"):
            self.result.close()


@pytest.fixture(params=PLACES, ids=["root", "below a prefix"])
def below(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS_THROUGH)
def passage(request: pytest.FixtureRequest, below: str) -> Passage:
    """Between two validators."""
    return Passage(request.param, below, validate=True)


@pytest.fixture(params=WAYS_THROUGH)
def bare(request: pytest.FixtureRequest, below: str) -> Passage:
    """With nothing between server, gate and app, so that objects can be compared by identity."""
    return Passage(request.param, below, validate=False)


class Chunks:
    """An iterable answer that notes what happens to it."""

    def __init__(self, *chunks: bytes) -> None:
        self.left = list(chunks)
        self.log: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.log.append("made " + self.left[0].decode())
        return self.left.pop(0)

    def close(self) -> None:
        self.log.append("closed")


def answering(result: Any, status: str = "200 OK", headers: list[tuple[str, str]] | None = None) -> Any:
    def app(_environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, [("Content-Type", "text/plain")] if headers is None else headers)
        return result

    return app


# The app's answer


def test_server_and_app_hold_the_very_same_objects(bare: Passage) -> None:
    chunks, headers = Chunks(b"one"), [("Content-Type", "text/plain")]
    given: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        given.extend((environ, start_response))
        start_response("200 OK", headers)
        return chunks

    bare.inner.app = app
    environ = bare.environ()
    before = dict(environ)
    call = Call(bare.world.wsgi, environ)
    assert call.result is chunks
    assert call.started[0][1] is headers
    assert given[0] is environ
    assert given[1] == call.start_response
    added = {key for key in environ if key not in before}
    assert "authy_wsgi.proven" in added
    assert all(key.startswith("authy_wsgi.") for key in added)
    moved = {"SCRIPT_NAME", "PATH_INFO"} if bare.below else set()
    assert {key for key in before if environ[key] is not before[key]} <= moved
    assert environ["SCRIPT_NAME"] + environ["PATH_INFO"] == before["SCRIPT_NAME"] + before["PATH_INFO"]


def test_app_is_told_who_is_there_and_by_which_proofs(passage: Passage) -> None:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(proven(environ))
        return Inner.hello(environ, start_response)

    forged = {"authy_wsgi.proven": "whatever something outside has put there"}
    assert passage.call(app, **forged).body() == b"hello"
    user = {"verified": "alice", "anonymous": None, "not needed": "dave"}.get(passage.kind, "carol")
    assert seen[0].user_id == user
    assert [proof.channel for proof in seen[0].proofs] == (["sms"] if passage.kind == "verified" else [])


def test_status_and_headers_arrive_byte_for_byte_and_in_order(passage: Passage) -> None:
    headers = [
        ("x-B", "2"),
        ("X-b", "1"),
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "__Host-second_factor=the app's own business; Path=/; Secure"),
        ("content-TYPE", 'text/plain;charset="utf-8"'),
        ("X-Empty", ""),
        ("X-Latin", "caf\xe9"),
        ("X-Spaces", "  kept  "),
        ("Location", "relative/../path?a=b#c"),
        ("Cache-Control", "public, max-age=31536000"),
        ("WWW-Authenticate", "Basic"),
    ]
    call = passage.call(answering([b"x"], "299 Odd,  but mine", list(headers)))
    assert call.body() == b"x"
    assert [(status, given) for status, given, _ in call.started] == [("299 Odd,  but mine", headers)]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "401 Unauthorized", "500 Internal Server Error"])
def test_no_status_of_the_app_is_special(passage: Passage, status: str) -> None:
    headers = [] if status[:3] in ("204", "304") else [("Content-Type", "text/plain")]
    call = passage.call(answering([], status, headers))
    assert call.body() == b""
    assert call.started == [(status, headers, None)]


def test_chunks_arrive_one_by_one(passage: Passage) -> None:
    chunks = Chunks(b"one", b"two", b"three")
    call = passage.call(answering(chunks))
    arriving = iter(call.result)
    assert chunks.log == []
    assert next(arriving) == b"one"
    assert chunks.log == ["made one"]
    assert next(arriving) == b"two"
    assert chunks.log == ["made one", "made two"]
    assert list(arriving) == [b"three"]
    call.close()
    assert chunks.log == ["made one", "made two", "made three", "closed"]


def test_close_is_called_once_when_the_server_stops_half_way(passage: Passage) -> None:
    chunks = Chunks(b"one", b"two")
    call = passage.call(answering(chunks))
    assert next(iter(call.result)) == b"one"
    call.close()
    assert chunks.log == ["made one", "closed"]


def test_response_that_starts_with_the_first_chunk_is_not_hurried(passage: Passage) -> None:
    def app(_environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"late"

    call = passage.call(app)
    assert call.started == []
    assert call.body() == b"late"
    assert [status for status, _, _ in call.started] == ["200 OK"]


def test_write_callable_writes_at_once(passage: Passage) -> None:
    seen: list[list[bytes]] = []

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one ")
        write(b"two ")
        seen.append(list(calls[0]))
        return [b"three"]

    calls: list[list[bytes]] = []
    passage.inner.app = app

    class Noting(Call):
        def start_response(self, *given: Any) -> Callable[[bytes], Any]:
            calls.append(self.written)
            return super().start_response(*given)

    assert Noting(passage.world.wsgi, passage.environ()).body() == b"one two three"
    assert seen == [[b"one ", b"two "]]


def test_error_after_the_start_replaces_the_headers(passage: Passage) -> None:
    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise KeyError("half-way")
        except KeyError:
            start_response("500 Internal Server Error", [("Content-Type", "text/x-error")], sys.exc_info())
        return [b"sorry"]

    call = passage.call(app)
    assert call.body() == b"sorry"
    assert [(status, headers) for status, headers, _ in call.started] == [
        ("200 OK", [("Content-Type", "text/plain")]),
        ("500 Internal Server Error", [("Content-Type", "text/x-error")]),
    ]
    kind, value, trace = call.started[1][2]
    assert (kind, value.args) == (KeyError, ("half-way",))
    assert trace.tb_frame.f_code is app.__code__


class Broken(Exception):
    """An app's own."""


def test_error_after_the_headers_went_out_reaches_the_server(passage: Passage) -> None:
    fault = Broken()

    class Sent(Call):
        def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], Any]:
            if exc_info:
                raise exc_info[1].with_traceback(exc_info[2])
            return super().start_response(status, headers)

    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])(b"gone")
        try:
            raise fault
        except Broken:
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")], sys.exc_info())
        raise AssertionError("not reached")

    passage.inner.app = app
    with pytest.raises(Broken) as caught:
        Sent(passage.world.wsgi, passage.environ())
    assert caught.value is fault


def test_generator_that_fails_half_way_fails_in_the_server(passage: Passage) -> None:
    fault, log = Broken(), []

    def app(_environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            yield b"one"
            raise fault
        finally:
            log.append("cleaned up")

    call = passage.call(app)
    arriving = iter(call.result)
    assert next(arriving) == b"one"
    with pytest.raises(Broken) as caught:
        next(arriving)
    call.close()
    assert caught.value is fault
    assert log == ["cleaned up"]
    assert len(call.started) == 1


@pytest.mark.parametrize("kind", [Broken, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_app_that_raises_before_it_starts_raises_in_the_server(passage: Passage, kind: type[BaseException]) -> None:
    fault, started = kind(), []

    def app(_environ: dict[str, Any], _start_response: Any) -> Iterable[bytes]:
        raise fault

    passage.inner.app = app
    environ = passage.environ()
    with pytest.raises(kind) as caught:
        passage.world.wsgi(environ, lambda *given: started.append(given))
    assert caught.value is fault
    assert started == []


class Sized:
    """An answer of known length."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"sized"])


def test_length_and_file_wrapper_of_an_answer_reach_the_server(bare: Passage) -> None:
    call = bare.call(answering(Sized()))
    assert len(call.result) == 1
    assert call.body() == b"sized"

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](file, 4)

    file = io.BytesIO(b"a file's data")
    call = bare.call(app, **{"wsgi.file_wrapper": FileWrapper})
    assert type(call.result) is FileWrapper
    assert call.result.filelike is file
    assert call.body() == b"a file's data"
    assert file.closed


class Upload(io.RawIOBase):
    """50 MiB that come into being as they are read. Notes who read before the app was called."""

    SIZE = 50 * 1024 * 1024
    PIECE = bytes(range(256)) * 256

    def __init__(self) -> None:
        self.left, self.reads, self.early = self.SIZE, 0, 0
        self.app_called = False

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= len(self.PIECE), "nobody asks for all of it at once"
        self.reads += 1
        self.early += not self.app_called
        piece = self.PIECE[: min(size, self.left)]
        self.left -= len(piece)
        return piece


def test_big_upload_is_read_by_the_app_alone(passage: Passage) -> None:
    upload = Upload()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        upload.app_called = True
        size = 0
        while piece := environ["wsgi.input"].read(len(Upload.PIECE)):
            size += len(piece)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(size).encode()]

    call = passage.call(app, REQUEST_METHOD="POST", CONTENT_LENGTH=str(Upload.SIZE), CONTENT_TYPE="application/x-www-form-urlencoded", **{"wsgi.input": upload})
    assert call.body() == str(Upload.SIZE).encode()
    assert (upload.early, upload.left, upload.reads) == (0, 0, 801)


def test_upload_that_may_not_go_on_is_not_read() -> None:
    world = World()
    upload = Upload()
    given = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(Upload.SIZE), "CONTENT_TYPE": "multipart/form-data; boundary=x", "HTTP_ACCEPT": "text/html"}
    call = Call(world.wsgi, environ_of(**given, **{"wsgi.input": upload, "site.login": Login("alice", "one")}))
    assert b"Nothing of what you sent has arrived" in call.body()
    assert call.started[0][0].startswith("401 ")
    assert upload.reads == 0


# Over sockets


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Nothing."""


@contextmanager
def served(wsgi: Any) -> Iterator[int]:
    """The port of a server in a thread."""
    with make_server("127.0.0.1", 0, wsgi, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _signed_in(wsgi: Any) -> Any:
    def around(environ: dict[str, Any], start_response: Any) -> Any:
        return wsgi({**environ, "site.login": Login("alice", "one")}, start_response)

    return around


def _ask(port: int, cookie: str, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: site.example\r\nCookie: __Host-second_factor={cookie}\r\n\r\n".encode())
    return connection


def test_first_chunk_is_at_the_browser_before_the_app_made_the_second(below: str) -> None:
    passage = Passage("verified", below, validate=True)
    arrived = threading.Event()

    def app(_environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        yield b"second" if arrived.wait(10) else b"nobody has got the first yet"

    passage.inner.app = app
    with served(_signed_in(passage.world.wsgi)) as port, closing(_ask(port, passage.cookie, below + "/page")) as connection:
        got = b""
        while not got.endswith(b"first"):
            piece = connection.recv(4096)
            assert piece, got
            got += piece
        arrived.set()
        rest = b"".join(iter(lambda: connection.recv(4096), b""))
    assert rest == b"second"


def test_close_is_called_once_when_the_browser_goes_away(below: str, capsys: pytest.CaptureFixture[str]) -> None:
    passage = Passage("verified", below, validate=True)
    gone, closed = threading.Event(), threading.Event()
    closes: list[str] = []

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            yield b"first"
            assert gone.wait(10)
            while True:
                yield b"x" * 65536

        def close(self) -> None:
            closes.append("closed")
            closed.set()

    passage.inner.app = answering(Endless())
    with served(_signed_in(passage.world.wsgi)) as port:
        connection = _ask(port, passage.cookie, below + "/page")
        assert connection.recv(4096)
        # A reset instead of a polite end: what a closed tab with unread data looks like.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        gone.set()
        assert closed.wait(10)
    assert closes == ["closed"]


# What a request costs


class CountingStore:
    """A user store of somebody's own, which counts how often it is asked."""

    def __init__(self) -> None:
        self._kept = MemoryStore()
        self.reads = 0
        self.writes = 0

    def get(self, user_id: str) -> Any:
        self.reads += 1
        return self._kept.get(user_id)

    def save(self, user: Any) -> Any:
        self.writes += 1
        return self._kept.save(user)

    def delete(self, user_id: str) -> None:
        self._kept.delete(user_id)

    def erase(self, user_id: str) -> None:
        self._kept.erase(user_id)

    def ids(self, after: str = "", limit: int = 1000) -> Any:
        return self._kept.ids(after, limit)


class CountingLedger(MemoryLedger):
    """A ledger that counts how often it is asked."""

    asked = 0


def _counted(name: str) -> Any:
    def counted(self: CountingLedger, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return getattr(MemoryLedger, name)(self, *args, **options)

    return counted


for _name in ("spend", "give_back", "claim", "put", "get", "pop"):
    setattr(CountingLedger, _name, _counted(_name))


class Costs:
    """What happened since it was made: (store reads, store writes, ledger calls, provider calls)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._before = self._now()

    def _now(self) -> tuple[int, ...]:
        users, ledger = self._world.settings["users"], self._world.settings["ledger"]
        return (users.reads, users.writes, ledger.asked, len(self._world.emulator.calls))

    def __call__(self) -> tuple[int, ...]:
        return tuple(now - before for now, before in zip(self._now(), self._before, strict=True))


@pytest.fixture
def counting(below: str) -> World:
    return World(below=below, users=CountingStore(), ledger=CountingLedger(), exempt=[f"{below}/public"])


def test_warm_request_reads_no_store_no_ledger_and_no_network(counting: World) -> None:
    alice = counting.browser("alice")
    assert alice.enrolled().text.endswith("alice ['sms']")
    costs = Costs(counting)
    for number in range(50):
        assert alice.get(f"/members/{number}?q=1").status_int == 200
        assert alice.post("/members", {"a": "b"}).status_int == 200
        assert alice.get("/api", headers={"X-Requested-With": "XMLHttpRequest"}).status_int == 200
    assert costs() == (0, 0, 0, 0)


def test_one_store_read_a_minute_is_all_that_a_busy_user_costs(counting: World) -> None:
    alice = counting.browser("alice")
    alice.enrolled()
    costs = Costs(counting)
    for _ in range(600):
        counting.clock.advance(1)
        assert alice.get("/members").status_int == 200
    reads, *others = costs()
    assert reads == 10
    assert others == [0, 0, 0]


def test_anonymous_and_exempt_requests_cost_nothing_at_all(counting: World) -> None:
    costs = Costs(counting)
    for _ in range(5):
        assert counting.browser(None).get("/members").status_int == 200
        assert counting.browser("alice").get("/public/page").status_int == 200
    assert costs() == (0, 0, 0, 0)


def test_request_that_lacks_the_factor_changes_and_sends_nothing(counting: World) -> None:
    alice = counting.browser("alice")
    costs = Costs(counting)
    assert alice.get("/members").status_int == 303
    assert alice.post("/members", {"a": "b"}).status_int == 401
    assert costs() == (0, 0, 0, 0)
    assert alice.get("/members", headers={"Accept": "application/json"}).status_int == 401
    reads, *others = costs()
    assert reads == 1
    assert others == [0, 0, 0]


def test_step_up_reads_the_store_each_time() -> None:
    class Paying(Inner):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            answer = world.gate.require(environ, world.settings["identity"], max_age=60)
            return (answer or self.hello)(environ, start_response)

    world = World(app=Paying(), users=CountingStore(), ledger=CountingLedger())
    alice = world.browser("alice")
    alice.enrolled()
    costs = Costs(world)
    for _ in range(3):
        assert alice.get("/pay").text == "hello"
    assert costs() == (3, 0, 0, 0)


# The gate's own answers

PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FORM = "application/x-www-form-urlencoded"
NAVIGATIONS = {
    "an old browser": ("GET", {"Accept": PAGE}),
    "a browser": ("GET", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}),
    "a navigation that accepts anything": ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "navigate"}),
    "a navigation without Accept": ("GET", {"Sec-Fetch-Mode": "navigate"}),
    "a web view that names its app": ("GET", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate", "X-Requested-With": "com.example.app"}),
    "a browser that would rather have https": ("GET", {"Accept": PAGE, "Upgrade-Insecure-Requests": "1"}),
    "Accept in capitals": ("GET", {"Accept": "TEXT/HTML"}),
    "text/html as the last wish": ("GET", {"Accept": "application/json;q=0.9, text/html;q=0.1"}),
}
FORMS = {
    "an old browser's form": ("POST", {"Accept": PAGE, "Content-Type": FORM}),
    "an old browser's upload": ("POST", {"Accept": PAGE, "Content-Type": "multipart/form-data; boundary=xyz"}),
    "an old browser's plain form": ("POST", {"Accept": PAGE, "Content-Type": "text/plain"}),
    "a browser's form": ("POST", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate", "Content-Type": FORM}),
    "an old web view's form that names its app": ("POST", {"Accept": PAGE, "X-Requested-With": "com.example.app", "Content-Type": FORM}),
    "a script's form that asks for a page": ("POST", {"Accept": "text/html", "Sec-Fetch-Mode": "cors", "Content-Type": FORM}),
    "a form without Accept": ("POST", {"Sec-Fetch-Mode": "navigate", "Content-Type": FORM}),
}
PROGRAMS = {
    "curl": ("GET", {"Accept": "*/*"}),
    "a program that says nothing": ("GET", {}),
    "a program for JSON": ("GET", {"Accept": "application/json"}),
    "any text": ("GET", {"Accept": "text/*"}),
    "pip": ("GET", {"Accept": "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"}),
    "no page, whatever comes": ("GET", {"Accept": "*/*, text/html;q=0"}),
    "XHR of an old browser": ("GET", {"Accept": "text/html, */*; q=0.01", "X-Requested-With": "XMLHttpRequest"}),
    "fetch": ("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}),
    "fetch of the same origin": ("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "same-origin"}),
    "an image": ("GET", {"Accept": "image/avif,*/*", "Sec-Fetch-Mode": "no-cors"}),
    "a web socket": ("GET", {"Accept": PAGE, "Upgrade": "websocket", "Connection": "Upgrade"}),
    "a browser's web socket": ("GET", {"Sec-Fetch-Mode": "websocket", "Upgrade": "websocket"}),
    "a navigation that upgrades": ("GET", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate", "Upgrade": "h2c"}),
    "HEAD": ("HEAD", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate"}),
    "OPTIONS": ("OPTIONS", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate"}),
    "preflight": ("OPTIONS", {"Origin": "https://other.example", "Access-Control-Request-Method": "PUT"}),
    "PUT": ("PUT", {"Accept": PAGE, "Content-Type": FORM}),
    "DELETE": ("DELETE", {"Accept": PAGE}),
    "TRACE": ("TRACE", {"Accept": PAGE, "Sec-Fetch-Mode": "navigate"}),
    "a POST of JSON": ("POST", {"Accept": "application/json", "Content-Type": "application/json"}),
    "curl -d": ("POST", {"Accept": "*/*", "Content-Type": FORM}),
    "a fetch of a form": ("POST", {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Content-Type": FORM}),
    "a fetch of JSON that would take a page": ("POST", {"Accept": "text/html", "Sec-Fetch-Mode": "cors", "Content-Type": "application/json"}),
    "a POST of nothing known": ("POST", {}),
}


@pytest.fixture(scope="module", params=PLACES, ids=["root", "below a prefix"])
def challenged(request: pytest.FixtureRequest) -> World:
    """Its users have no factor, and nothing that a request does here changes that."""
    return World(below=request.param, users=CountingStore(), ledger=CountingLedger())


def ask(world: World, method: str, headers: dict[str, str]) -> Any:
    browser = world.browser("alice")
    calls, costs = world.app_calls, Costs(world)
    response = browser.http.request(world.below + "/members?tab=2", method=method, headers=headers, base_url="https://site.example", status="*")
    assert world.app_calls == calls
    assert costs()[1:] == (0, 0, 0)
    assert response.headers.getall("Set-Cookie") == []
    assert response.headers.getall("Cache-Control") == ["no-store"]
    return response


def assert_challenge(response: Any) -> None:
    assert response.headers.getall("WWW-Authenticate") == ['SecondFactor realm="Acorn Ledger", error="insufficient_user_authentication"']


@pytest.mark.parametrize("kind", NAVIGATIONS)
def test_navigation_is_led_to_our_pages(challenged: World, kind: str) -> None:
    response = ask(challenged, *NAVIGATIONS[kind])
    assert response.status_int == 303
    parts = urlsplit(response.headers["Location"])
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", challenged.below + "/second-factor/")
    assert list(parse_qs(parts.query)) == ["next"]
    assert "members" not in parts.query


@pytest.mark.parametrize("kind", FORMS)
def test_form_meets_a_page_that_says_it_was_not_sent(challenged: World, kind: str) -> None:
    response = ask(challenged, *FORMS[kind])
    assert (response.status_int, response.content_type) == (401, "text/html")
    assert "Nothing of what you sent has arrived" in words(response)
    assert response.html.find("a", string="Confirm it is you")["href"].startswith(challenged.below + "/second-factor/?next=")
    assert_challenge(response)


@pytest.mark.parametrize("kind", PROGRAMS)
def test_everything_else_gets_a_problem_document(challenged: World, kind: str) -> None:
    method, headers = PROGRAMS[kind]
    response = ask(challenged, method, headers)
    assert (response.status_int, response.content_type) == (401, "application/problem+json")
    assert_challenge(response)
    if method == "HEAD":
        assert response.body == b""
        return
    url = challenged.below + "/second-factor/"
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": "A second factor is needed",
        "status": 401,
        "detail": f"Open {url} in a browser that is signed in, add a second factor there, and try again.",
        "url": url,
        "max_age": None,
        "strength": "remembered",
        "enrolled": False,
    }


def test_problem_document_says_how_fresh_and_how_strong() -> None:
    world = World(policy=lambda _environ, _login: Need(max_age=300, strength=Strength.CODE))
    world.browser("alice").enrolled()
    response = world.browser("alice").get("/members", headers={})
    assert {key: response.json[key] for key in ("max_age", "strength", "enrolled")} == {"max_age": 300, "strength": "code", "enrolled": True}
    assert "confirm there" in response.json["detail"]
    assert response.headers["WWW-Authenticate"] == 'SecondFactor realm="Acorn Ledger", error="insufficient_user_authentication", max_age="300"'


@pytest.mark.parametrize(("name", "realm"), [('Tom "the" \\ Cat', "Tom the  Cat"), ("Café 日本", "Caf ")])
def test_realm_holds_only_what_a_quoted_string_may_hold(name: str, realm: str) -> None:
    response = World(site_name=name).browser().get("/members", headers={})
    assert response.headers["WWW-Authenticate"] == f'SecondFactor realm="{realm}", error="insufficient_user_authentication"'


@pytest.fixture(scope="module")
def alice() -> Browser:
    """Enrolled and signed in."""
    browser = World().browser("alice", session="one")
    browser.enrolled()
    return browser


def leads_to(browser: Browser, url: str) -> str:
    """Where one of our addresses leads a person who has given the factor."""
    response = browser.get(url)
    assert response.status_int == 303
    return str(response.headers["Location"])


def without_pass(browser: Browser, path: str, method: str = "GET", **environ: str) -> Any:
    """The answer to a request of the same login that does not carry the pass."""
    other = browser.world.browser("alice", session="one", **environ)
    return other.http.request(path, method=method, headers={**HTML, "Host": "site.example"}, base_url="https://site.example", status="*")


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        ("/members", "tab=2&q=%C3%A9", "/members?tab=2&q=%C3%A9"),
        ("/caf\xc3\xa9", "", "/caf%C3%A9"),
        ("/50% off", "", "/50%25%20off"),
        ("/what?#", "x=%23", "/what%3F%23?x=%23"),
        ("//evil.example/x", "", "/evil.example/x"),
        ("/\\evil.example", "", "/evil.example"),
        ("/a\r\nSet-Cookie: x=y", "", "/a%0D%0ASet-Cookie:%20x=y"),
        ("/members", "q=\xc3\xa9", "/members?q=%C3%A9"),
        ("/members", "next=https://evil.example", "/members?next=https://evil.example"),
    ],
)
def test_next_carries_the_page_asked_for_as_a_path_of_our_own(alice: Browser, path: str, query: str, target: str) -> None:
    call = Call(alice.world.wsgi, environ_of(PATH_INFO=path, QUERY_STRING=query, HTTP_ACCEPT=PAGE, **{"site.login": Login("alice", "one")}))
    call.body()
    location = dict(call.started[0][1])["Location"]
    found = leads_to(alice, location)
    assert found.lstrip("/\\") == target.lstrip("/\\")
    assert not found.startswith(("//", "/\\"))


def test_next_that_was_touched_leads_to_the_root(alice: Browser) -> None:
    location = without_pass(alice, "/members").headers["Location"]
    assert leads_to(alice, location) == "/members"
    start, _, token = location.partition("next=")
    for changed in (token[:-1], token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "x" + token, token + token, "/members", "https://evil.example/"):
        response = alice.get(f"{start}next={changed}")
        # Signed in, with nowhere to go: our own page says so.
        assert response.status_int == 200
        assert "You are signed in" in words(response)
        assert "evil" not in response.text


def test_next_of_somebody_else_leads_nowhere(alice: Browser) -> None:
    stranger = alice.world.browser("bob")
    location = stranger.get("/members").headers["Location"]
    assert alice.get(location).status_int == 200


def test_address_too_long_to_carry_leads_to_the_root(alice: Browser) -> None:
    location = without_pass(alice, "/members?" + "q" * 3000).headers["Location"]
    assert location.startswith("/second-factor/?next=")
    assert len(location) < 400


@pytest.mark.parametrize(
    ("referer", "target"),
    [
        ("https://site.example/form?step=2", "/form?step=2"),
        ("https://site.example/caf%C3%A9?a=%2B", "/caf%C3%A9?a=%2B"),
        ("https://site.example/form#part", "/form"),
        ("", "/"),
        ("https://evil.example/form", "/"),
        ("https://site.example.evil.example/form", "/"),
        ("https://site.example@evil.example/form", "/"),
        ("https://site.example//evil.example/", "/"),
        ("https://site.example/\\evil.example/", "/"),
        ("//evil.example/form", "/"),
        ("/form", "/"),
        ("about:client", "/"),
        ("https://[broken/form", "/"),
        ("https://site.example:x/form", "/"),
    ],
)
def test_form_that_was_not_sent_leads_back_to_the_page_it_was_on(alice: Browser, referer: str, target: str) -> None:
    response = without_pass(alice, "/send", "POST", HTTP_REFERER=referer, CONTENT_TYPE=FORM)
    assert response.status_int == 401
    assert leads_to(alice, response.html.find("a", string="Confirm it is you")["href"]) == target


# Who is there

NOBODY_AND_NOT_SOMEBODY = {
    "an empty text": "",
    "zero": 0,
    "a number": 42,
    "True": True,
    "False": False,
    "a float": 1.5,
    "bytes": b"alice",
    "a list": ["alice", "one"],
    "a dict": {"user_id": "alice"},
    "a set": {"alice"},
    "an object": object(),
    "a class": Login,
    "an empty tuple": (),
    "one of a pair": ("alice",),
    "three": ("alice", "one", "two"),
    "a session that is None": ("alice", None),
    "a user that is None": (None, "one"),
    "bytes in a pair": (b"alice", "one"),
    "an empty user": ("", "one"),
    "300 characters": "a" * 300,
    "256 characters": "a" * 256,
    "NUL": "al\0ice",
    "a line feed": "alice\n",
    "DEL": "al\x7fice",
    "a C1 control": "al\x85ice",
    "half a character": "al\ud800ice",
    "a control in the session": ("alice", "one\r\n"),
    "a session without end": ("alice", "s" * 5000),
}
EVERYWHERE = ["/members", "/public/page", "/logout", "/second-factor/", "/second-factor/code", "/nowhere"]


@pytest.fixture(scope="module")
def doubtful() -> World:
    return World(exempt=["/public"], logout_url="/logout", identity=lambda environ: environ["site.identity"]())


def assert_shut(world: World, identity: Callable[[], Any]) -> None:
    """Whatever is asked for, whoever asks: 503, and the app hears nothing of it."""
    browser = world.browser(None, **{"site.identity": identity})
    calls = world.app_calls
    for path in EVERYWHERE:
        page = browser.get(path)
        assert (page.status_int, page.content_type) == (503, "text/html"), path
        assert "nobody is let in" in words(page)
        program = browser.get(path, headers={"Accept": "application/json"})
        assert (program.status_int, program.content_type, program.json["status"]) == (503, "application/problem+json", 503), path
        for response in (page, program):
            assert response.headers["Retry-After"] == "10"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers.getall("Set-Cookie") == []
    assert world.app_calls == calls


@pytest.mark.parametrize("name", NOBODY_AND_NOT_SOMEBODY)
def test_identity_that_is_neither_nobody_nor_somebody_shuts_the_gate(doubtful: World, name: str, caplog: pytest.LogCaptureFixture) -> None:
    value = NOBODY_AND_NOT_SOMEBODY[name]
    assert_shut(doubtful, lambda: value)
    assert "identity answered" in caplog.text
    assert "alice" not in caplog.text
    assert "aaa" not in caplog.text


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError, StopIteration, AssertionError, MemoryError, Broken])
def test_identity_that_raises_shuts_the_gate_and_its_words_stay_out_of_the_log(
    doubtful: World, kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    typed = "hunter"

    def identity() -> Any:
        raise kind(f"alice typed {typed}2")

    assert_shut(doubtful, identity)
    assert f"{kind.__name__} in the gate" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_worker_that_is_told_to_stop_stops_without_calling_the_app(kind: type[BaseException]) -> None:
    def identity(_environ: dict[str, Any]) -> Any:
        raise kind

    world = World(identity=identity)
    with pytest.raises(kind):
        Call(world.wsgi, environ_of())
    assert world.app_calls == 0


@pytest.mark.parametrize("answer", [None, 5, b"alice", "", "al\0ice", "a" * 300])
def test_canonical_that_answers_oddly_shuts_the_gate(answer: Any) -> None:
    world = World(canonical=lambda _user: answer)
    assert world.browser("alice").get("/members").status_int == 503
    assert world.browser(None).get("/members").status_int == 200
    assert world.app_calls == 1


def test_canonical_that_raises_shuts_the_gate() -> None:
    world = World(canonical=lambda user: user[99])
    assert world.browser("alice").get("/members").status_int == 503
    assert world.app_calls == 0


@pytest.mark.parametrize("policy", [lambda *_: 1 // 0, lambda: None])
def test_policy_that_raises_shuts_the_gate(policy: Any) -> None:
    world = World(policy=policy)
    assert world.browser("alice").get("/members").status_int == 503
    assert world.browser(None).get("/members").status_int == 200
    assert world.app_calls == 1


@pytest.mark.parametrize("answer", [None, False, True, 0, "no", Need])
def test_policy_that_answers_oddly_means_required(answer: Any) -> None:
    world = World(policy=lambda _environ, _login: answer)
    assert world.browser("alice").get("/members").status_int == 303
    assert world.app_calls == 0


@pytest.mark.parametrize("user", ["alice", "a" * 255, "Zoë", "李小龍", "alice@example.com", "CN=Alice, O=Acorn", "🙂"])
def test_every_other_text_is_somebody(doubtful: World, user: str) -> None:
    calls = doubtful.app_calls
    for identity in (user, (user, "one"), Login(user), Login(user, "one")):
        browser = doubtful.browser(None, **{"site.identity": lambda found=identity: found})
        assert browser.get("/members").status_int == 303
    assert doubtful.app_calls == calls


def test_only_none_is_anonymous(doubtful: World) -> None:
    assert doubtful.browser(None, **{"site.identity": lambda: None}).get("/members").text.endswith("None []")


def test_empty_remote_user_is_anonymous_and_a_header_of_the_clients_is_nobody() -> None:
    world = World(identity=remote_user)
    assert world.browser(None).get("/members").text.endswith("None []")
    assert world.browser(None, REMOTE_USER="").get("/members").text.endswith("None []")
    assert world.browser(None, HTTP_REMOTE_USER="alice").get("/members").text.endswith("None []")
    assert world.browser(None, REMOTE_USER="alice").get("/members").status_int == 303
    assert world.browser(None, REMOTE_USER="al\0ice").get("/members").status_int == 503


def test_key_of_the_environ_that_a_client_could_set_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="any client can send"):
        environ_key("HTTP_X_USER")


def test_gate_without_an_app_says_what_to_do_when_it_is_called() -> None:
    world = World()
    gate = SecondFactor(**world.settings)
    with pytest.raises(Misconfigured, match="wraps no app"):
        gate(environ_of(), lambda *_: None)
