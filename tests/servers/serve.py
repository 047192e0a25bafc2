"""`python -m tests.servers.serve NAME FD`: the site under one of the servers, on a listening socket that is there already."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def _waitress(listener: socket.socket) -> None:
    import waitress

    from tests.servers.site import application

    waitress.serve(application, sockets=[listener], threads=4, channel_timeout=5, cleanup_interval=1, _quiet=True)


def _cheroot(listener: socket.socket) -> None:
    # As under a service manager that hands the socket over: as number 3, before anything else is opened.
    os.dup2(listener.fileno(), 3)
    os.environ["LISTEN_PID"] = str(os.getpid())

    from cheroot import wsgi

    from tests.servers.site import application

    server = wsgi.Server(listener.getsockname(), application, numthreads=4, timeout=5)
    server.safe_start()


def _werkzeug(listener: socket.socket) -> None:
    from werkzeug.serving import WSGIRequestHandler, make_server

    from tests.servers.site import application

    class Handler(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: before it logs, the answer has not gone out, and of some targets it cannot make a line."""

    host, port = listener.getsockname()
    make_server(host, port, application, threaded=True, fd=listener.fileno(), request_handler=Handler).serve_forever()


def _gunicorn(listener: socket.socket, *options: str) -> None:
    options = options or ("--worker-class", "gthread", "--threads", "4", "--timeout", "60", "--keep-alive", "5")
    bind = f"fd://{listener.fileno()}"
    _become(sys.executable, "-m", "gunicorn", "--bind", bind, *options, "tests.servers.site:application")


def _one_worker(listener: socket.socket) -> None:
    _gunicorn(listener, "--worker-class", "sync", "--workers", "1", "--timeout", "30")


def _uwsgi(listener: socket.socket) -> None:
    own = [
        "--http-socket",
        f"fd://{listener.fileno()}",
        "--socket-timeout",
        "5",
        "--master",
        "--need-app",
        "--die-on-term",
        "--no-orphans",
        "--buffer-size",
        "32768",
    ]
    _become(str(_beside_python("pyuwsgi")), *own, "--enable-threads", "--threads", "4", "--module", "tests.servers.site:application")


def _beside_python(name: str) -> str:
    return os.path.join(os.path.dirname(sys.executable), name)  # noqa: PTH118, PTH120 - as it is, links not followed


def _become(program: str, *arguments: str) -> None:
    os.execv(program, [program, *arguments])


SERVERS: dict[str, Callable[[socket.socket], Any]] = {
    "gunicorn": _gunicorn,
    "one gunicorn worker": _one_worker,
    "waitress": _waitress,
    "cheroot": _cheroot,
    "uwsgi": _uwsgi,
    "werkzeug": _werkzeug,
}


def end_with_parent() -> None:
    """Have the kernel end this process, and what it becomes, when whoever started it is gone (Linux; PR_SET_PDEATHSIG is 1)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    SERVERS[sys.argv[1]](socket.socket(fileno=int(sys.argv[2])))
