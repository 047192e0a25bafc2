"""Raw requests to the site under a server, and what is known of them afterwards: the answers on the wire, the answers of the gate, the calls of the app."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from bs4 import BeautifulSoup

from authy_wsgi import Login
from authy_wsgi.emulator import Emulator
from authy_wsgi.tickets import Tickets
from tests.support import API_KEY, SECRET

ROOT = Path(__file__).parents[2]
COOKIE = b"__Host-second_factor"
HTML = b"Accept: text/html"
FORM = b"Content-Type: application/x-www-form-urlencoded"
CALLBACK = "http://127.0.0.1/second-factor/callback/authy"
PATIENCE = 10.0


@dataclass
class Answer:
    """One answer as it was on the wire. `status` is 0 where bytes came that are no answer (HTTP/0.9)."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        return ", ".join(self.headers.get(name.lower(), []))

    @property
    def passed_us(self) -> bool:
        """Whether it came through the gate, and was not made by the server alone."""
        return "x-gate" in self.headers

    @property
    def is_dressed(self) -> bool:
        """Whether it has the headers that all answers of ours have."""
        return "frame-ancestors 'none'" in self.header("Content-Security-Policy") or "x-nothing" in self.headers


def read_answers(data: bytes) -> list[Answer]:
    """The answers in what a connection gave, without the interim ones."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        status = re.fullmatch(rb"[^\r\n]*HTTP/1\.[01] (\d\d\d)( .*)?", lines[0])
        if not status or not end:
            return [*found, Answer(0, {}, data)]
        headers: dict[str, list[str]] = {}
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        body, data = _read_body(headers, rest)
        if status[1] != b"100":
            found.append(Answer(int(status[1]), headers, body))
    return found


def _read_body(headers: Mapping[str, list[str]], rest: bytes) -> tuple[bytes, bytes]:
    if rest.startswith(b"HTTP/1."):
        return b"", rest
    if "chunked" in headers.get("transfer-encoding", []):
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.partition(b";")[0] or b"0", 16)
            body, rest = body + rest[:length], rest[length + 2 :]
            if length == 0:
                break
        return body, rest
    length = int(headers.get("content-length", [str(len(rest))])[0])
    return rest[:length], rest[length:]


def request(
    target: bytes, *headers: bytes, method: bytes = b"GET", body: bytes = b"", version: bytes = b" HTTP/1.1", host: bytes = b"Host: site.example"
) -> bytes:
    """A request as it is written, the last on its connection."""
    length = [b"Content-Length: %d" % len(body)] if body else []
    # Servers do not find "close" in a longer list; in HTTP/1.0 it goes without saying.
    last = [] if any(header.startswith(b"Connection:") for header in headers) else [b"Connection: close"]
    lines = [method + b" " + target + (version if last else b" HTTP/1.0"), *([host] if host else []), *headers, *length, *last, b"", body]
    return b"\r\n".join(lines)


def exchange(port: int, *pieces: bytes, pause: float = 0.0, end: bool = False, patience: float = PATIENCE, reset: bool = False) -> tuple[bytes, bool]:
    """Send the pieces, and all that came back; whether the server ended the connection. `end` closes our side after the last piece, `reset` all of it."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection, suppress(OSError):
        for at, piece in enumerate(pieces):
            if at and pause:
                time.sleep(pause)
            # Servers answer before they have read all of what they refuse.
            with suppress(ConnectionError):
                connection.sendall(piece)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return b"", False
        if end:
            connection.shutdown(socket.SHUT_WR)
        until = time.monotonic() + patience
        connection.settimeout(0.3)
        while time.monotonic() < until:
            try:
                piece = connection.recv(65536)
            except TimeoutError:
                # Some servers wait for the rest of what they refused, with the connection open.
                if _is_whole(got):
                    break
                continue
            if not piece:
                return got, True
            got += piece
    return got, False


def _is_whole(data: bytes) -> bool:
    """Whether what has come so far is one answer from its first byte to its last."""
    answers = read_answers(data)
    return len(answers) == 1 and answers[0].header("Content-Length") == str(len(answers[0].body))


@dataclass
class Probe:
    """What became of one request."""

    sent: bytes
    answers: list[Answer]
    gate: list[dict[str, Any]]
    calls: list[dict[str, Any]]
    ended: bool

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def reached_gate(self) -> bool:
        return bool(self.gate)

    def faults(self, *, calls: Callable[[dict[str, Any]], bool] = lambda _call: False, answered: bool = True) -> list[str]:
        """What is wrong with it. `calls` says which calls of the app are right; `answered` that whoever asks stays for the answer."""
        found = [f"the app was called: {call}" for call in self.calls if not calls(call)]
        found += [f"an exception of ours:\n{note['raised']}" for note in self.gate if "raised" in note]
        found += [f"a {note['status']} of ours" for note in self.gate if note.get("status", 0) >= 500]
        ours = [answer for answer in self.answers if answer.passed_us]
        # To a request of HTTP/0.9 ("GET /") the body alone is the answer.
        old = len(self.sent.partition(b"\n")[0].split()) == 2 and not any(self.statuses)
        if answered and not old and [answer.status for answer in ours] != [note.get("status") for note in self.gate]:
            found.append(f"the gate answered {[note.get('status') for note in self.gate]}, what arrived is {self.statuses}")
        if not self.calls:
            found += [f"our {answer.status} lacks our headers" for answer in ours if not answer.is_dressed]
        for answer in ours:
            found += self._leads_away(answer) + self._splits(answer)
        return found

    @staticmethod
    def _leads_away(answer: Answer) -> list[str]:
        where = answer.header("Location")
        stays = re.fullmatch(r"/(?![/\\])[!-~]*", where) is not None
        return [] if stays or not where else [f"Location leads away: {where!r}"]

    @staticmethod
    def _splits(answer: Answer) -> list[str]:
        return ["a header of the request's making"] if "x-injected" in answer.headers else []


def told(faults: Iterable[tuple[bytes, list[str]]]) -> str:
    """What is wrong with which requests, for an assertion: "" where nothing is."""
    return "\n".join(f"{sent[:300]!r}{'...' if len(sent) > 300 else ''}\n    " + "\n    ".join(wrong) for sent, wrong in faults if wrong)


class _Notes:
    """The lines of a file that another process writes, as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        self._at = 0

    def new(self) -> list[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole, _, _ = data.rpartition(b"\n")
        self._at += len(whole) + bool(whole)
        return [json.loads(line) for line in whole.splitlines()]


class Site:
    """The site under one server, and the emulator in this process."""

    def __init__(self, name: str, folder: Path, emulator: Emulator, url: str, number: str, *, callback: str = CALLBACK) -> None:
        self.name, self.folder, self.number = name, folder, number
        self.emulator = emulator
        self.mode = ""
        self.set_mode("wall")
        self._calls, self._answers = _Notes(folder / "calls"), _Notes(folder / "answers")
        self._open: set[int] = set()
        self._good = itertools.count(1)
        self._pass = ""
        self.seen: list[dict[str, Any]] = []
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = listener.getsockname()[1]
        with listener, (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.servers.serve", name, str(listener.fileno())],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,
                env={
                    **{name: value for name, value in os.environ.items() if name != "LISTEN_PID"},
                    "SITE_UNDER_TEST": str(folder),
                    "API_KEY": API_KEY,
                    "SECRET": SECRET,
                    "EMULATOR": url,
                    "CALLBACK": callback,
                    "HOME": str(folder),
                    "XDG_RUNTIME_DIR": str(folder),
                    "GUNICORN_CMD_ARGS": "",
                },
            )

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def set_mode(self, mode: str) -> None:
        """Who is signed in, and at which gate, from now on."""
        self.mode = mode
        (self.folder / "mode.new").write_text(mode)
        (self.folder / "mode.new").replace(self.folder / "mode")

    # What happened

    def _happened(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The answers of the gate and the calls of the app since the last time, once nothing is under way."""
        ended = []
        until = time.monotonic() + PATIENCE
        while True:
            for note in self._answers.new():
                if note["begins"]:
                    self._open.add(note["number"])
                else:
                    self._open.discard(note["number"])
                    ended.append(note)
            if not self._open:
                break
            assert time.monotonic() < until, f"a request does not end:\n{self.log()[-3000:]}"
            time.sleep(0.005)
        calls = self._calls.new()
        self.seen += calls
        return ended, calls

    def probe(self, *pieces: bytes, **how: Any) -> Probe:
        """Send bytes on a connection of their own; what became of them."""
        got, ended = exchange(self.port, *pieces, **how)
        gate, calls = self._happened()
        return Probe(b"".join(pieces), read_answers(got), gate, calls, ended)

    def probe_beside(self, data: bytes) -> list[int]:
        """The statuses that a request gets while others are under way."""
        return [answer.status for answer in read_answers(exchange(self.port, data)[0])]

    # A good request

    def ask(self, target: str, *headers: bytes, cookies: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None) -> Answer:
        """A request as a browser would send it."""
        cookie = [b"Cookie: " + "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()] if cookies else []
        if fields is None:
            data = request(target.encode(), HTML, *cookie, *headers)
        else:
            data = request(target.encode(), HTML, FORM, *cookie, *headers, method=b"POST", body=urlencode(fields).encode())
        probe = self.probe(data, patience=30)
        assert len(probe.answers) == 1, f"{probe}\n{self.log()[-3000:]}"
        return probe.answers[0]

    def earned(self) -> str:
        """The pass of alice, who has enrolled and confirmed by the front door. Once for each server."""
        if not self._pass:
            mode = self.mode
            self.set_mode("wall")
            visitor = Visitor(self)
            page = visitor.submit(visitor.arrive(), "/enrol", phone=self.number, email="alice@example.com")
            assert visitor.submit(page, "/code", code=self.emulator.phone(self.number).code).body == b"app of alice"
            self._pass = visitor.cookies[COOKIE.decode()]
            self.set_mode(mode)
        return self._pass

    def cookie_of(self, login: Login | None = None) -> bytes:
        """The pass in a Cookie header's words: the one that was earned, or what it would be for another login of alice's."""
        earned = self.earned()
        if login is not None:
            tickets = Tickets([SECRET], "second_factor")
            held = tickets.read_pass(earned)
            assert held is not None
            earned = tickets.sign("pass", held._replace(holder=tickets.holder(login)).payload())
        return COOKIE + b"=" + earned.encode()

    def assert_answers(self) -> None:
        """The server is as it was: a request without a pass is asked for one, a request with one gets to the app."""
        mode, cookie = self.mode, self.cookie_of()
        self.set_mode("wall")
        path = f"/good/{next(self._good)}".encode()
        asked = self.probe(request(path, HTML), patience=30)
        assert (asked.statuses, asked.calls) == ([303], []), f"{asked}\n{self.log()[-3000:]}"
        passed = self.probe(request(path, HTML, b"Cookie: " + cookie), patience=30)
        assert passed.statuses == [200], f"{passed}\n{self.log()[-3000:]}"
        assert [(call["PATH_INFO"], call["user"], call["proofs"]) for call in passed.calls] == [(path.decode(), "alice", ["sms"])]
        self.set_mode(mode)

    def unexplained(self) -> list[dict[str, Any]]:
        """The calls since the last request that neither a pass, an exemption nor anonymity explains: what was sent then came late."""
        _, calls = self._happened()
        return [call for call in calls if not (call["proofs"] == ["sms"] or _is_open(call))]


def _is_open(call: Mapping[str, Any]) -> bool:
    if call["mode"] in ("nobody", "basic"):
        return call["user"] is None
    return call["mode"] in EXEMPT and call["user"] == "alice" and is_exempt(call)


PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@/ #?\"<>[]^`{|}")
EXEMPT = {"exempt": ("/static", "/health"), "mounted": ("/mount/static",)}


def is_exempt(call: Mapping[str, Any]) -> bool:
    """Whether the app was called for a path that is exempt for everybody who could read it: judged otherwise than the gate does it.

    An app routes on PATH_INFO; a path that is exempt only together with a SCRIPT_NAME of the client's is none.
    """
    script, rest = call["SCRIPT_NAME"], call["PATH_INFO"]
    path = script + rest
    if path != unquote(path) or set(path) - PLAIN or (script and not rest.startswith("/")):
        return False
    segments = path.split("/")[1:]
    # Some take blanks away before they look for dots.
    if {".", ".."} & {segment.replace(" ", "") for segment in segments} or "" in segments[:-1]:
        return False
    exempt = [each.split("/")[1:] for each in EXEMPT[call["mode"]]]
    return any(segments[: len(parts)] == parts and len(parts) > script.count("/") for parts in exempt)


@dataclass
class Visitor:
    """A person at a browser who goes through our pages."""

    site: Site
    cookies: dict[str, str] = field(default_factory=dict)

    def _keep(self, answer: Answer) -> Answer:
        for line in answer.headers.get("set-cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def get(self, target: str) -> Answer:
        answer = self._keep(self.site.ask(target, cookies=self.cookies))
        return self.get(answer.header("Location")) if answer.status == 303 else answer

    def arrive(self) -> Answer:
        """The page that the wall leads to: where one chooses, also right after a success that another visitor has had."""
        page = self.get("/members")
        again = BeautifulSoup(page.body, "html.parser").find("a", href=re.compile("again=1"))
        return self.get(str(again["href"])) if again else page

    def form(self, page: Answer, end: str) -> tuple[str, dict[str, str]]:
        """Action and fields of the form on a page whose action ends so."""
        html = BeautifulSoup(page.body, "html.parser")
        for form in html.find_all("form"):
            if str(form["action"]).partition("?")[0].endswith(end):
                return str(form["action"]), {str(field["name"]): str(field.get("value", "")) for field in form.find_all("input") if field.get("name")}
        raise AssertionError(f"no form to {end} on: {page.status} {html.get_text(' ', strip=True)}")

    def submit(self, page: Answer, end: str, **fields: str) -> Answer:
        action, known = self.form(page, end)
        answer = self._keep(self.site.ask(action, cookies=self.cookies, fields={**known, **fields}))
        return self.get(answer.header("Location")) if answer.status == 303 else answer
