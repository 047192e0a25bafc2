"""`make demo`: one of the example sites, and a simulated Authy service whose phones you can hold, in one process.

    SITE=bottle|pyramid|flask|django|plain|paste PORT=8000 EMULATOR_PORT=8001 python -m examples.demo

Port 0 takes a free one. Everything that is kept lies in `.demo/<site>/` below the current directory: accounts and the secret last, enrolments do not,
because the simulated phones forget what they were when they are switched off.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from paste.deploy import loadapp
from waitress import create_server

from authy_wsgi import AuthyClient, Event
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
from examples import bottle_site, django_site, flask_site, plain, pyramid_site
from examples.state import kept_secret, sqlite_url

HOST = "127.0.0.1"
FOLDER = Path(".demo")
EXAMPLE_NUMBER = "202-555-0123"

Events = Callable[[Event], object]


class Service(NamedTuple):
    """The simulated Authy service."""

    api_key: str
    url: str

    def client(self) -> AuthyClient:
        return AuthyClient(self.api_key, base_url=self.url)


class Place(NamedTuple):
    """Where a site of the demo keeps what: its folder, the second factor's file there, its secret."""

    folder: Path
    factor_file: Path
    secret: str


class Demo(NamedTuple):
    """One site of the demo, and how it is built."""

    name: str
    framework: str
    first_step: str
    build: Callable[[Place, Service, Events], Any]


class Unusable(Exception):
    """The demo cannot start as it was asked to; the sentence says what to do."""


def _bottle(place: Place, service: Service, events: Events) -> Any:
    return bottle_site.make_site(place.folder / "site.db", place.factor_file, secret=place.secret, client=service.client(), https=False, events=events)


def _pyramid(place: Place, service: Service, events: Events) -> Any:
    return pyramid_site.make_app(place.folder / "site.db", place.factor_file, secret=place.secret, client=service.client(), https=False, events=events)


def _flask(place: Place, service: Service, events: Events) -> Any:
    return flask_site.make_app(place.factor_file, secret=place.secret, client=service.client(), https=False, events=events)


def _plain(place: Place, service: Service, events: Events) -> Any:
    return plain.make_app(place.factor_file, secret=place.secret, client=service.client(), https=False, events=events)


def _django(place: Place, service: Service, _events: Events) -> Any:
    # A project reads its settings by itself. It keeps people and factors in one database, and the phones have forgotten theirs.
    _remove(place.folder / "site.db")
    _remove(place.folder / "second-factor.db")
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "examples.django_site.settings",
        "DEMO_FOLDER": str(place.folder),
        "AUTHY_API_KEY": service.api_key,
        "AUTHY_BASE_URL": service.url,
        "SECOND_FACTOR_EVENTS": f"{__package__}.demo:tell",
    }
    app = import_module("examples.django_site.wsgi").ready()
    # Each 403 of ours would be a warning of Django's, among the steps of a sign-in.
    logging.getLogger("django.request").setLevel(logging.ERROR)
    return app


def _paste(place: Place, service: Service, _events: Events) -> Any:
    ini = Path(__file__).with_name("paste.ini").read_text(encoding="utf-8")
    said = {"authy.api_key": service.api_key, "authy.base_url": service.url, "users": sqlite_url(place.factor_file.absolute())}
    for name, value in said.items():
        ini = re.sub(rf"(?m)^{re.escape(name)} = .*", f"{name} = {value}", ini)
    own = place.folder / "paste.ini"
    own.write_text(ini.replace("https = false", f"https = false\nevents = {__package__}.demo:tell"), encoding="utf-8")
    return loadapp(f"config:{own.absolute()}", global_conf={"second_factor_secret": place.secret})


_ANY_NUMBER = f"Add any mobile number, for example {EXAMPLE_NUMBER} of the United States."


def _sign_in(accounts: Mapping[str, str]) -> str:
    names = " or ".join(f"{name} ({password})" for name, password in accounts.items())
    return f"Open the site and sign in as {names}. {_ANY_NUMBER}"


SITES: Mapping[str, Demo] = {
    "bottle": Demo(
        bottle_site.SITE_NAME, "Bottle", f"Open the site and join. Any mobile number will do, for example {EXAMPLE_NUMBER} of the United States.", _bottle
    ),
    "pyramid": Demo(pyramid_site.SITE_NAME, "Pyramid", "Open the site and sign in; the page names two accounts. Or open one of your own.", _pyramid),
    "flask": Demo(flask_site.SITE_NAME, "Flask", _sign_in(flask_site.ACCOUNTS), _flask),
    "django": Demo(django_site.SITE_NAME, "Django", _sign_in(django_site.ACCOUNTS), _django),
    "plain": Demo(plain.SITE_NAME, "plain WSGI", _sign_in(plain.ACCOUNTS), _plain),
    "paste": Demo(plain.SITE_NAME, "PasteDeploy", _sign_in(plain.ACCOUNTS), _paste),
}


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Run the demo until Ctrl-C or SIGTERM; the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    try:
        _run(environ)
    except Unusable as fault:
        print(fault, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def _run(environ: Mapping[str, str]) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.ERROR)
    chosen = environ.get("SITE") or "bottle"
    if chosen not in SITES:
        raise Unusable(f"There is no site {chosen!r}: choose SITE={', '.join(SITES)}.")
    demo = SITES[chosen]
    port, emulator_port = _port(environ, "PORT", 8000), _port(environ, "EMULATOR_PORT", 8001)
    if port == emulator_port != 0:
        raise Unusable(f"PORT and EMULATOR_PORT are both {port}: choose two.")
    with _bound(port, "PORT", 8080) as listener:
        _bound(emulator_port, "EMULATOR_PORT", 8081).close()
        api_key = secrets.token_hex(16)
        with Server(Emulator(api_key, app_name=demo.name), HOST, emulator_port) as emulator:
            place = _prepare(FOLDER / chosen, emulator.url.rpartition(":")[2])
            app = demo.build(place, Service(api_key, emulator.url), tell)
            site = create_server(app, sockets=[listener], threads=8)
            _welcome(demo, f"http://{HOST}:{listener.getsockname()[1]}/", emulator.url + "/phone/", place.folder)
            site.run()
            site.close()
    print("\nThe demo has ended.", flush=True)


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second Ctrl-C would interrupt the clearing up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text[:6]) < 65536):
        raise Unusable(f"{name} is {text!r}: give a whole number below 65536, such as {name}={default}.")
    return int(text)


def _bound(port: int, name: str, other: int) -> socket.socket:
    """A socket at this port of this machine; `Unusable` where it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # A port that a demo has just left counts as free. Elsewhere this option would let two demos share one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Unusable(f"Port {port} is taken: choose another with {name}={other} make demo") from None
        raise Unusable(f"Port {port} cannot be used ({error.strerror}): choose another with {name}={other} make demo") from None
    return listener


def _prepare(folder: Path, emulator_port: str) -> Place:
    """The folder, and a fresh file for the second factor there. Named by the emulator's port, so that two demos never share one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    factor_file = folder / f"second-factor-{emulator_port}.db"
    _remove(factor_file)
    return Place(folder, factor_file, kept_secret(folder / "secret"))


def _remove(database: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)


def _welcome(demo: Demo, site: str, phones: str, folder: Path) -> None:
    named = f"{demo.name}, a {demo.framework} site"
    print(
        f"""
  {named:<34}{site}
  {"Its phones, simulated":<34}{phones}

  1. {demo.first_step}
  2. A code goes to that phone. Open the phones, read it there, and type it in.
  3. Install the Authy app on that phone. Sign out and in again, choose "I have the Authy app now", then "Approve on my phone".

  Accounts are kept in {folder}, the phones forget. Ctrl-C ends both. The steps of each sign-in:
""",
        flush=True,
    )
    logging.getLogger().setLevel(logging.WARNING)


def tell(event: Event) -> None:
    """One line for a step of a sign-in."""
    print(f"{time.strftime('%H:%M:%S', time.localtime(event.at))} {event.user_id}  {in_words(event)}", flush=True)


def in_words(event: Event) -> str:
    """What happened, as the demo says it: "sent sms", "approved by push", "denied on the phone"."""
    by = f" by {event.channel}" if event.channel else ""
    said = {
        "challenged": "asked for the second step",
        "sent": f"sent {event.channel}",
        "enrolled": f"enrolled{by}",
        "approved": f"approved{by}",
        "wrong": f"wrong code{by}",
        "denied": "denied on the phone",
        "expired": "the request on the phone ran out",
        "ignored": f"no {event.channel} needed: the app is on the phone",
        "closed": "codes are closed after too many wrong ones",
        "opened": "codes are open again",
        "revoked": "every pass revoked",
        "disabled": "switched off by an administrator",
        "enabled": "switched on again by an administrator",
    }
    return said.get(event.kind, event.kind)


if __name__ == "__main__":
    sys.exit(main())
