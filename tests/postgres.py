"""A private PostgreSQL for tests, from the distribution's binaries: `pytest_plugins = ("tests.postgres",)`, then ask for `postgres_url`.

It listens on a socket in a folder of its own and on no port, runs under an unprivileged user, and is gone with the session. Where the binaries are missing
the tests are skipped, or fail where CI=true says that they must run.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

_schemas = itertools.count(1)


def binaries() -> Path | None:
    """The folder of the newest server there is."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0), reverse=True)
    on_path = shutil.which("initdb")
    folders = [*found, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


class Postgres:
    """A server in `folder`; `url` opens its database."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._user = _unprivileged() if os.geteuid() == 0 else None
        self.folder = folder
        if self._user:
            shutil.chown(folder, self._user)
        data = folder / "data"
        self._log = (folder / "log").open("wb")
        initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, check=True, cwd=folder, user=self._user, stdout=self._log, stderr=self._log, env=_environment())
        settings = ["listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [option for setting in settings for option in ("-c", setting)]
        self._process = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), *options], cwd=folder, user=self._user, stdout=self._log, stderr=self._log, env=_environment()
        )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > end or self._process.poll() is not None:
                    self.stop()
                    raise RuntimeError("PostgreSQL did not start: " + (self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True)

    def new_url(self) -> str:
        """The URL of an empty place of its own in the database."""
        schema = f"test{next(_schemas)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}&options=-csearch_path%3D{schema}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _unprivileged() -> str:
    """PostgreSQL does not run as root."""
    names = {line.partition(":")[0] for line in Path("/etc/passwd").read_text().splitlines()}
    return "postgres" if "postgres" in names else "nobody"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server of this test session."""
    programs = binaries()
    if programs is None:
        missing = "no PostgreSQL server here (initdb, postgres): install the distribution's package, for example 'apt-get install postgresql'"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        server = Postgres(programs, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of an empty PostgreSQL database, new for each test."""
    return postgres.new_url()
