"""`python -m tests.apps.serve FD < JSON`: runs in an app's environment and serves what a block of docs/foreign-apps.md makes, on a listening socket.

The JSON says: `code`, the block; `folder`, for the second factor's database; `authy`, where the emulator listens, and its `key`; `scheme`, as browsers see it;
`basic`, users and passwords where the server itself asks for HTTP Basic before anything else.
"""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import sys
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import waitress

from authy_wsgi import AuthyClient, SQLStore


class Verified:
    """What a web server in front does with HTTP Basic: nobody without a right password gets any further, and REMOTE_USER and AUTH_TYPE are its word."""

    def __init__(self, app: Any, passwords: dict[str, str]) -> None:
        self.app = app
        self.passwords = passwords

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        user, _, password = self._credentials(environ)
        if not user or self.passwords.get(user) != password:
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="packages"'), ("Content-Type", "text/plain"), ("Content-Length", "8")])
            return [b"Sign in."]
        environ["REMOTE_USER"], environ["AUTH_TYPE"] = user, "Basic"
        return self.app(environ, start_response)

    @staticmethod
    def _credentials(environ: dict[str, Any]) -> tuple[str, str, str]:
        with suppress(ValueError):
            return b64decode(environ.get("HTTP_AUTHORIZATION", "").removeprefix("Basic ")).decode().partition(":")
        return "", "", ""


def main() -> None:
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # end with whoever started this (Linux)
    given = json.load(sys.stdin)
    settings = {
        "secret": "a secret of thirty-two characters or more",
        "users": SQLStore(f"sqlite:///{given['folder']}/second-factor.db"),
        "clients": AuthyClient(given["key"], base_url=given["authy"]),
        "enrolment": "open",
        "https": given["scheme"] == "https",
        "site_name": "Acorn Ledger",
        # The tests sign in faster than people do.
        "limits": {"send.cooldown": [(100, 30)]},
    }
    names: dict[str, Any] = {"settings": settings}
    exec(given["code"], names)
    application = names["application"]
    if given["basic"]:
        application = Verified(application, given["basic"])
    waitress.serve(application, sockets=[socket.socket(fileno=int(sys.argv[1]))], threads=4, url_scheme=given["scheme"], _quiet=True)


if __name__ == "__main__":
    main()
