"""The emulator on a socket: Werkzeug's threaded server, silent by default.

`serve` runs until it is interrupted; `Server` is for tests and demos:

    with Server(Emulator("key")) as server:
        requests.get(server.url + "/phone/")
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import TracebackType
from typing import Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from authy_wsgi.emulator.app import Emulator

ANY = ("", "0.0.0.0", "::")  # noqa: S104


class Handler(WSGIRequestHandler):
    """Answers and says nothing: request lines hold API keys."""

    protocol_version = "HTTP/1.1"

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """Have the connection closed: werkzeug would wait for another request on it."""
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Nothing: `Emulator(quiet=False)` logs, without parameters."""


class Server:
    """An emulator that listens; also a context manager. `port` 0 takes a free one. Where the port is taken Werkzeug says so and exits."""

    def __init__(self, emulator: Emulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.emulator = emulator
        self._server: BaseWSGIServer = make_server(host, port, emulator, threaded=True, request_handler=Handler)
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """The base URL for a client, without a slash at its end."""
        host, port = self._server.host, self._server.port
        if host in ANY:
            host = "127.0.0.1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Listen in a thread of its own."""
        self._thread = Thread(target=self.run, name="authy-emulator", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Listen here, until `stop` or an interrupt."""
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Stop listening and free the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def serve(
    host: str = "127.0.0.1",
    port: int = 8765,
    api_key: str = "",
    *,
    quiet: bool = True,
    state: str | Path | None = None,
    ready: Callable[[str], object] = lambda _url: None,
    **settings: Any,
) -> None:
    """Run an emulator until Ctrl-C or SIGTERM. `settings` are those of `Emulator`; `quiet=False` logs a line per request to stderr.

    With `state` it goes on from that file, where there is one, and writes it at its end; `StateError` where the file is no state. `ready` is called with
    the base URL once it listens.
    """
    if not quiet:
        logging.getLogger("authy_wsgi.emulator").setLevel(logging.INFO)
        logging.basicConfig(format="%(message)s")
    hosts = {*settings.pop("hosts", ()), *(() if host in ANY else (host,))}
    emulator = Emulator(api_key, hosts=hosts, quiet=quiet, **settings)
    if state is not None and Path(state).exists():
        emulator.load(state)
        emulator.state.app_name = settings.get("app_name", emulator.state.app_name)
    server = Server(emulator, host, port)
    if current_thread() is main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        ready(server.url)
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
        if state is not None:
            emulator.save(state)
