"""Private Redis servers for tests, from the distribution's binary: `pytest_plugins = ("tests.redis_server",)`, then ask for `redis_url`.

Each listens on a free port of this machine only, keeps nothing on disk, and is gone with the session. Where the binary is missing the tests are skipped, or
fail where CI=true says that they must run. `VALKEY=1` takes valkey-server where there is one.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError


def binary() -> str | None:
    names = ("valkey-server", "redis-server") if os.environ.get("VALKEY") else ("redis-server", "valkey-server")
    return next((found for name in names if (found := shutil.which(name))), None)


class RedisServer:
    """A server that can be stopped, paused and started again on its port. `settings` are lines of its configuration."""

    def __init__(self, program: str, **settings: str) -> None:
        self._program = program
        self._settings = settings
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "daemonize": "no", "logfile": "", **self._settings}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + 20
        with Redis(port=self.port, socket_timeout=1) as client:
            while True:
                with suppress(RedisError):
                    if client.ping():
                        return
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError("Redis did not start")
                time.sleep(0.02)

    def client(self) -> Redis:
        return Redis(port=self.port, socket_timeout=5)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it: whatever it held is lost."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def need_redis() -> str:
    """The server's program; without it the test is skipped, loudly, and where nobody reads that it fails."""
    program = binary()
    if program is None:
        missing = "no Redis server here: install the distribution's package, for example 'apt-get install redis-server'"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return program


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server of this test session."""
    with RedisServer(need_redis()) as server:
        yield server


@pytest.fixture
def new_redis() -> Iterator[Any]:
    """Makes servers that end with the test."""
    program, made = need_redis(), list[RedisServer]()

    def make(**settings: str) -> RedisServer:
        made.append(RedisServer(program, **settings))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis database."""
    with redis_server.client() as client:
        client.flushall()
    return redis_server.url
