"""A local Authy service in the hands of a test, and a clock for it and the gate."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from threading import Lock
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import requests

from authy_wsgi.clients.authy import AuthyClient
from authy_wsgi.contracts import Client, User
from authy_wsgi.emulator import Emulator, Handset, WSGIAdapter
from authy_wsgi.emulator.server import Server

_IN_PROCESS = "http://127.0.0.1:1"  # nothing is ever sent there: the session leads into the emulator


class Clock:
    """Unix seconds that stand still until they are told to move. Begins now. Give it to `SecondFactor(clock=...)`, and to `Authy`."""

    def __init__(self, now: int | None = None) -> None:
        self.now = int(time.time()) if now is None else now

    def __call__(self) -> int:
        return self.now

    def __repr__(self) -> str:
        return f"Clock({self.now})"

    def advance(self, seconds: int) -> int:
        """Let so many seconds pass; the new time."""
        self.now += seconds
        return self.now


class Authy:
    """An Authy service in this process, with phones: `client()` speaks to it without a socket, `url` is where it also listens, once asked for.

    `settings` are those of `Emulator`, which is there as `emulator`. Also a context manager; `close` stops what listens.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None, **settings: Any) -> None:
        self.api_key = secrets.token_hex(16)
        self.emulator = Emulator(self.api_key, clock=clock, **settings)
        self._server: Server | None = None
        self._lock = Lock()
        self._clients: WeakSet[AuthyClient] = WeakSet()
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"<Authy phones={len(self.emulator.phones)}{' ' + self._server.url if self._server else ''}>"

    def client(self, **settings: Any) -> AuthyClient:
        """An `AuthyClient` for `SecondFactor(clients=...)` that calls this service directly. `settings` are its other settings."""
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", WSGIAdapter(self.emulator))
        client = AuthyClient(self.api_key, **{"base_url": _IN_PROCESS, "session": session, **settings})
        self._clients.add(client)
        return client

    @property
    def url(self) -> str:
        """The base URL of this service on a socket of its own, for another process or language: `AuthyClient(authy.api_key, base_url=authy.url)`."""
        with self._lock:
            if self._server is None:
                self._server = Server(self.emulator)
                self._server.start()
            return self._server.url

    def serves(self, client: Client) -> bool:
        """Whether this client speaks to this service."""
        return isinstance(client, AuthyClient) and (client in self._clients or (self._server is not None and client.api.wire.base_url == self._server.url))

    def phone(self, number: str | int) -> Handset:
        """The phone with this number (`+14085555270`) or Authy id; `LookupError` where nobody has registered it."""
        return self.emulator.phone(number)

    def phone_of(self, user: User | None) -> Handset:
        """The phone of a user of your store: of the first Authy factor. `LookupError` where there is none."""
        for factor in user.factors if user else ():
            if type(authy_id := factor.data.get("authy_id")) is int:
                return self.emulator.phone(authy_id)
        raise LookupError(f"{user.id if user else 'This user'} has no phone yet: nothing is enrolled in the user store.")

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            if self._server is not None:
                self._server.stop()
                self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


_ALL: WeakSet[Authy] = WeakSet()


def authy_of(client: Client) -> Authy | None:
    """The service of this process that a client speaks to, None where it speaks to another one."""
    return next((authy for authy in list(_ALL) if authy.serves(client)), None)
