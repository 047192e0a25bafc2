"""A proxy between client and emulator that passes on what it gets, until it is told to misbehave.

All bytes pass as they came but one header: the emulator's server closes each connection with its answer, and here they stay open as the vendor's do.
"""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Self

_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What becomes of one exchange. `passes_on`: the emulator is asked, and only its answer suffers."""

    passes_on: bool
    act: Callable[[Exchange], None]
    goes_on: bool = False


class Exchange:
    """One request that has arrived, its answer where the emulator was asked, and what a fault can do."""

    def __init__(self, proxy: Proxy, client: socket.socket, answer: bytes) -> None:
        self._proxy, self._client = proxy, client
        self.answer = answer

    def send(self, data: bytes) -> None:
        self._client.sendall(data)

    def at(self, part: float) -> int:
        """A place in the answer: a fraction of it, or a number of bytes from its end."""
        return len(self.answer) + int(part) if part < 0 else int(len(self.answer) * part)

    @property
    def body_at(self) -> int:
        return self.answer.index(b"\r\n\r\n") + 4

    def stall(self) -> None:
        """Nothing more, on an open connection, until the proxy is told to behave."""
        self._proxy.over.wait(30)

    def trickle(self, data: bytes, pause: float) -> None:
        for at in range(len(data)):
            self.send(data[at : at + 1])
            if self._proxy.over.wait(pause):
                return

    def wait_until_delivered(self) -> None:
        """Wait until all that was sent has been acknowledged: it lies on the client's side, read or not."""
        waiting = bytearray(4)
        while fcntl.ioctl(self._client, termios.TIOCOUTQ, waiting) == 0 and any(waiting):
            self._proxy.over.wait(0.005)

    def reset(self) -> None:
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _cut(part: float) -> Fault:
    return Fault(True, lambda it: it.send(it.answer[: it.at(part)]))


def _reset(part: float) -> Fault:
    def act(it: Exchange) -> None:
        it.send(it.answer[: it.at(part)])
        it.reset()

    return Fault(True, act)


def _stall(part: float) -> Fault:
    def act(it: Exchange) -> None:
        it.send(it.answer[: it.at(part)])
        it.stall()

    return Fault(True, act)


def replay(answer: bytes) -> Fault:
    """Those bytes and the end of the connection, whatever is asked."""
    return Fault(False, lambda it: it.send(answer))


def twice(again: threading.Event, sent: threading.Event) -> Fault:
    """The answer, and the same answer once more when `again` is set; the connection stays open."""

    def act(it: Exchange) -> None:
        it.send(it.answer)
        again.wait(30)
        it.send(it.answer)
        it.wait_until_delivered()
        sent.set()

    return Fault(True, act, goes_on=True)


def doubled() -> Fault:
    """The answer two times over, at once; the connection stays open."""
    return Fault(True, lambda it: it.send(it.answer * 2), goes_on=True)


def _junk(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


def _endless(it: Exchange) -> None:
    it.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    # The client ends it; a bound, should it not.
    for _ in range(2000):
        it.send(b" " * 65536)


def _kept_open(data: Callable[[Exchange], bytes]) -> Callable[[Exchange], None]:
    def act(it: Exchange) -> None:
        it.send(data(it))
        it.stall()

    return act


FAULTS: dict[str, Fault] = {
    "closed before an answer": Fault(False, lambda _it: None),
    "reset before an answer": Fault(False, Exchange.reset),
    "the answer is lost": Fault(True, lambda _it: None),
    "the answer is lost in a reset": Fault(True, Exchange.reset),
    "cut in the status line": Fault(True, lambda it: it.send(it.answer[:10])),
    "cut in the headers": _cut(0.3),
    "cut after the headers": Fault(True, lambda it: it.send(it.answer[: it.body_at])),
    "cut in the body": _cut(0.9),
    "cut before its last byte": _cut(-1),
    "reset in the headers": _reset(0.3),
    "reset before its last byte": _reset(-1),
    "garbage": Fault(False, lambda it: it.send(_junk(500))),
    "garbage after the status line": Fault(True, lambda it: it.send(it.answer[: it.answer.index(b"\r\n") + 2] + _junk(500))),
    "garbage for a body": Fault(True, lambda it: it.send(it.answer[: it.body_at] + _junk(len(it.answer) - it.body_at))),
    "zeros for a body": Fault(True, lambda it: it.send(it.answer[: it.body_at] + bytes(len(it.answer) - it.body_at))),
    "a TLS alert": Fault(False, lambda it: it.send(b"\x15\x03\x03\x00\x02\x02\x28")),
    "another protocol": Fault(False, lambda it: it.send(b"220 mail.example ESMTP\r\n")),
    "an endless body": Fault(False, _endless),
    "an endless header": Fault(False, lambda it: it.send(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000)),
    "headers without end": Fault(False, lambda it: it.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000)),
    "an interim answer and no other": Fault(True, lambda it: it.send(b"HTTP/1.1 100 Continue\r\n\r\n")),
}
# Those that only a deadline ends.
SLOW: dict[str, Fault] = {
    "silence": Fault(False, Exchange.stall),
    "silence after the request was passed on": Fault(True, Exchange.stall),
    "silence in the headers": _stall(0.3),
    "silence in the body": _stall(0.9),
    "silence before its last byte": _stall(-1),
    "byte by byte": Fault(True, lambda it: it.trickle(it.answer, 0.1)),
    "garbage on an open connection": Fault(False, _kept_open(lambda _it: _junk(500).replace(b"\n", b""))),
    "interim answers without end": Fault(False, lambda it: it.trickle(b"HTTP/1.1 100 Continue\r\n\r\n" * 30, 0.1)),
}


class Proxy:
    """Listens on a port of its own for an emulator on another. Counts connections, exchanges and bytes, TLS's own left out where it speaks TLS."""

    def __init__(self, upstream: int, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self._fault: Fault | None = None
        self._skip = self._left = 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.connections = self.exchanges = self.misbehaved = 0
        self.received = self.last_answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._listen()

    def _listen(self) -> None:
        thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(client)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        plain = client
        with suppress(OSError), ExitStack() as stack:
            if self._tls:
                client = stack.enter_context(self._tls.wrap_socket(client, server_side=True))
                with self._lock:
                    self._open.add(client)
            while self._exchange(client):
                pass
        with self._lock:
            self._open -= {plain, client}
        client.close()
        plain.close()

    def _exchange(self, client: socket.socket) -> bool:
        """One request and its answer; whether the connection goes on."""
        asked = _message(client, self._note)
        if not asked:
            return False
        with self._lock:
            self.exchanges += 1
            fault = self._fault if self._skip == 0 and self._left != 0 else None
            self._skip = max(0, self._skip - 1)
            if fault:
                self._left -= 1
                self.misbehaved += 1
        answer = b""
        if fault is None or fault.passes_on:
            with socket.create_connection(("127.0.0.1", self._upstream)) as emulator:
                emulator.sendall(asked)
                answer = _message(emulator).replace(b"Connection: close\r\n", b"", 1)
        if fault is None:
            self.last_answer = answer
            client.sendall(answer)
            return True
        fault.act(Exchange(self, client, answer))
        return fault.goes_on

    def _note(self, data: bytes) -> None:
        with self._lock:
            self.received += data

    @contextmanager
    def faulty(self, fault: Fault, *, after: int = 0, times: int = -1) -> Iterator[None]:
        """Meanwhile exchanges misbehave: all but the first `after` ones, or `times` of them."""
        with self._lock:
            self._fault, self._skip, self._left = fault, after, times
        self.over.clear()
        try:
            yield
        finally:
            with self._lock:
                self._fault, self._left = None, 0
            self.over.set()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Meanwhile nobody listens, and the connections that there were are closed."""
        self._stop_listening()
        try:
            yield
        finally:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._listen()

    @contextmanager
    def unanswered(self) -> Iterator[None]:
        """Meanwhile who connects gets no answer at all: a queue of one, which is full."""
        self._stop_listening()
        with ExitStack() as stack:
            full = stack.enter_context(socket.create_server(("127.0.0.1", self.port), backlog=0))
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            yield
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def drop(self) -> None:
        """Close the connections that there are."""
        with self._lock:
            opened = list(self._open)
        for connection in opened:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _stop_listening(self) -> None:
        # A thread in accept() holds the listener open: shutdown wakes it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._stop_listening()
        for thread in self._threads:
            thread.join(5)


def _message(connection: Any, note: Callable[[bytes], None] = lambda _data: None) -> bytes:
    """A whole HTTP message as it came; b"" at the connection's end."""
    data = b""

    def more() -> bool:
        nonlocal data
        piece: bytes = connection.recv(65536)
        note(piece)
        data += piece
        return bool(piece)

    while b"\r\n\r\n" not in data:
        if not more():
            return b""
    head, _, _ = data.partition(b"\r\n\r\n")
    wanted = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(data) < len(head) + 4 + wanted:
        if not more():
            return b""
    return data
