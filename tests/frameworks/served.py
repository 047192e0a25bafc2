"""A site under gunicorn: two workers of a process of its own, a store in a file, the emulator on a socket, and one clock in a file that all have mapped."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from authy_wsgi import AuthyClient, Event, SQLStore
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from tests.servers.serve import end_with_parent
from tests.support import API_KEY, SECRET, START, Clock

from .doors import Wire, mounted
from .support import COUNTRIES, Town, make_site, never

ROOT = Path(__file__).parents[2]
# Every count of the day is over by then.
LATER = 2 * 86_400


class SharedClock(Clock):
    """A clock that every process of a machine reads, and one sets."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("q", START))
        with path.open("r+b") as file:
            self._held = mmap.mmap(file.fileno(), 8)

    @property
    def now(self) -> int:  # type: ignore[override]
        return int(struct.unpack("q", self._held[:])[0])

    @now.setter
    def now(self, value: int) -> None:
        self._held[:] = struct.pack("q", value)


def settings_of(store: SQLStore, client: AuthyClient, clock: Clock, events: Path, below: str) -> dict[str, Any]:
    """What the workers have in common with whoever looks after the site."""
    return {
        "identity": never,
        "secret": SECRET,
        "users": store,
        "clients": client,
        "enrolment": "open",
        "countries": COUNTRIES,
        "clock": clock,
        "events": _teller(events),
        "site_name": "Acorn Ledger",
        "logout_url": f"{below}/logout",
    }


def _teller(path: Path) -> Callable[[Event], None]:
    """Writes down what is told, a line each."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def tell(event: Event) -> None:
        os.write(file, json.dumps([event.kind, event.user_id]).encode() + b"\n")

    return tell


# In the server's processes


def make(name: str, below: str) -> Any:
    """The app that gunicorn loads."""
    end_with_parent()
    folder = Path(os.environ["SITE_FOLDER"])
    client = AuthyClient(API_KEY, base_url=os.environ["SITE_PROVIDER"])
    store, clock = SQLStore(f"sqlite:///{folder}/second-factor.db"), SharedClock(Path(os.environ["SITE_CLOCK"]))
    _, app = make_site(name, settings_of(store, client, clock, folder / "events", below))
    return mounted(app, below)


# In the process of the tests


class Services:
    """What all served sites share: the clock, and the emulator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SharedClock(folder / "clock")
        self.emulator = Emulator(API_KEY, clock=self.clock, seed=1)
        self._server = Server(self.emulator)
        self._server.start()
        self.url = self._server.url
        self.numbers = itertools.count(1000)

    def stop(self) -> None:
        self._server.stop()


class Served:
    """A site under gunicorn, as it is started."""

    def __init__(self, name: str, below: str, services: Services, mark: str = "") -> None:
        self.name, self.below, self.services = name, below, services
        self.folder = services.folder / (name + below.replace("/", "-") + mark)
        self.folder.mkdir()
        self.store = SQLStore(f"sqlite:///{self.folder}/second-factor.db")
        client = AuthyClient(API_KEY, base_url=services.url)
        self.told = self.folder / "events"
        self.settings = settings_of(self.store, client, services.clock, self.told, below)
        self.wire = self._started()

    def _started(self) -> Wire:
        # Not kept open here: where the server has died a connection is refused, not left waiting.
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, (self.folder / "log").open("wb") as log:
            options = ["--bind", f"fd://{listener.fileno()}", "--workers", "2", "--preload", "--timeout", "30"]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, f"{__name__}:make({self.name!r}, {self.below!r})"],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,
                env={
                    **{name: value for name, value in os.environ.items() if name != "LISTEN_PID"},
                    "SITE_FOLDER": str(self.folder),
                    "SITE_PROVIDER": self.services.url,
                    "SITE_CLOCK": str(self.services.folder / "clock"),
                    "HOME": str(self.folder),
                    "TMPDIR": str(self.folder),
                    "XDG_RUNTIME_DIR": str(self.folder),
                    "GUNICORN_CMD_ARGS": "",
                },
            )
            return Wire(f"gunicorn with {self.name}", listener.getsockname()[1], (self.folder / "log").read_text)

    def stop(self) -> None:
        # gunicorn's workers are in the process group of their master.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self.store.database._engine is not None:
            self.store.database._engine.dispose()


class ServedWorld(Town):
    """A test's share of a served site: people whom nobody has met, days after the last test."""

    def __init__(self, served: Served) -> None:
        services = served.services
        super().__init__(below=served.below, validate=False, **served.settings)
        self.wsgi, self.desk = served.wire, self.backend
        self.clock, self.emulator = services.clock, services.emulator
        self.clock.advance(LATER)
        self.emulator.calls.clear()
        one, two = next(services.numbers), next(services.numbers)
        self.alice, self.bob = f"alice{one}", f"bob{two}"
        self.number, self.other_number = f"+1408555{one}", f"+1408555{two}"
        self._told, self._before = served.told, served.told.stat().st_size

    def kinds(self) -> list[str]:
        lines = self._told.read_bytes()[self._before :].splitlines()
        return [kind for kind, user in map(json.loads, lines) if user in (self.alice, self.bob) and kind != "challenged"]
