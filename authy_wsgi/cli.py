"""The command line: `authy-wsgi`, or `python -m authy_wsgi`."""

from __future__ import annotations

import argparse
import importlib
import logging
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from authy_wsgi.contracts import User
from authy_wsgi.database import MIGRATED
from authy_wsgi.errors import AmbiguousUser, Misconfigured, SecondFactorError
from authy_wsgi.explain import explain, who_sends_nothing
from authy_wsgi.identity import remote_user
from authy_wsgi.lookup import second_factor_in
from authy_wsgi.middleware import SecondFactor
from authy_wsgi.policy import required

_SECRET_SETTINGS = ("secret", "other_secrets")


class _Stop(Exception):
    """Something that the person at the terminal can mend; printed as it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: 0 when it did what was asked, 1 when something is wrong, 2 when the command line is."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except _Stop as stop:
        print(stop, file=sys.stderr)
        return 1
    except Misconfigured as error:
        print("The settings cannot work:", *(f"  - {fault}" for fault in error.faults), sep="\n", file=sys.stderr)
        return 1
    except SecondFactorError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="authy-wsgi", description="A second factor around any WSGI app.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    emulator = commands.add_parser("emulator", help="run a local Authy service, with phones to read codes and press Approve")
    emulator.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    emulator.add_argument("--port", type=int, default=8001, help="the port (default: %(default)s)")
    emulator.add_argument("--api-key", default="", help="the key that clients must send (default: a new one, printed)")
    emulator.add_argument("--app-name", default="", help="the application's name, as messages say it (default: Authy Demo, or that of the state)")
    emulator.add_argument("--callback-url", default="", help="where to send what people answer on their phones (OneTouch callbacks)")
    emulator.add_argument("--callback-method", choices=("POST", "GET"), default="POST", help="how to send it (default: %(default)s)")
    emulator.add_argument("--state", type=Path, metavar="FILE", help="go on from this file, and write it at the end: users, phones, messages, the clock")
    emulator.add_argument("--seed", help="have codes and ids be the same in each run")
    emulator.add_argument("--set", action="append", default=[], metavar="SWITCH=VALUE", help="a switch of the service, such as code_lifetime=60; repeatable")
    emulator.set_defaults(command=_emulator)

    keygen = commands.add_parser("keygen", help="print a new secret for the setting `secret`")
    keygen.set_defaults(command=_keygen)

    check = commands.add_parser("check", help="look at a site's settings: faults, what is exempt, who is unbound, whether the provider answers")
    _add_app(check)
    check.add_argument("--offline", action="store_true", help="do not ask the provider")
    check.add_argument("--path", default="", metavar="PATH", help="say what would happen to a request for this path (from the server's root), and nothing else")
    check.add_argument("--user", default="", metavar="ID", help="with --path: who has passed the site's own login (default: nobody)")
    check.add_argument("--method", default="GET", help="with --path: the request's method (default: %(default)s)")
    check.set_defaults(command=_check)

    users = commands.add_parser("users", help="look at the site's users and administer them").add_subparsers(required=True, metavar="ACTION")
    for name, command, help_text in (
        ("list", _users_list, "every user who has a record"),
        ("show", _users_show, "one user's factors and state"),
        ("reset", _users_reset, "take all factors away; the next one needs an invitation"),
        ("invite", _users_invite, "print an address at which this user may add a factor, once, within seven days"),
        ("open", _users_open, "open codes again after too many wrong ones"),
        ("disable", _users_disable, "refuse this user everything, at once"),
        ("enable", _users_enable, "let a disabled user in again"),
        ("migrate", _users_migrate, "bring the database's tables to this version"),
    ):
        action = users.add_parser(name, help=help_text)
        _add_app(action)
        if name not in ("list", "migrate"):
            action.add_argument("user", help="the user's id, as the site spells it")
        if name == "disable":
            action.add_argument("--undo", action="store_true", help="let them in again")
            action.add_argument("--new", action="store_true", help="also a user who has no record yet; the id must be spelled exactly as the site does")
        action.set_defaults(command=command)
    return parser


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", required=True, metavar="MODULE:ATTRIBUTE", help="where the site's WSGI application is, for example mysite.wsgi:application")


# Finding the site


def find_second_factor(name: str) -> SecondFactor:
    """The `SecondFactor` that `module:attribute` is, or that the application there is wrapped in or wraps."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise _Stop(f"--app {name!r} must be module:attribute, for example mysite.wsgi:application.")
    sys.path.insert(0, str(Path.cwd()))
    # What the site says at its start is for its own log; `check` prints it in its place.
    logging.getLogger("authy_wsgi").setLevel(logging.ERROR)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise _Stop(f"--app {name}: there is no module {error.name!r}. Run this in the site's folder, or with its PYTHONPATH.") from None
        raise _Stop(f"--app {name}: {module_name} needs the module {error.name!r}, which is not installed here.") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise _Stop(f"--app {name}: {module_name} has no {part!r}.")
        found = getattr(found, part)
    second_factor = second_factor_in(found)
    if second_factor is None:
        raise _Stop(f"--app {name} is not a SecondFactor, and none was found around or inside it; name the SecondFactor itself, or the app that it guards.")
    return second_factor


# Commands


def _emulator(options: argparse.Namespace) -> int:
    # Imported here: a site that only runs `users` does not need the emulator's pages.
    from authy_wsgi.emulator.callbacks import check_endpoint
    from authy_wsgi.emulator.rules import Rules
    from authy_wsgi.emulator.server import serve
    from authy_wsgi.emulator.storage import StateError

    try:
        rules = Rules().but(options.set)
        check_endpoint(options.callback_url, options.callback_method)
    except ValueError as error:
        raise _Stop(f"{error}") from None
    if options.state is not None and not options.state.absolute().parent.is_dir():
        raise _Stop(f"--state {options.state}: there is no such folder.")
    if not 0 <= options.port <= 65535:
        raise _Stop("--port must be from 0 to 65535; 0 takes a free one.")
    _refuse_taken(options.host, options.port)
    key = options.api_key or secrets.token_hex(16)

    def ready(url: str) -> None:
        print(f"A local Authy service. No real messages are sent, no real phone is asked.\n\n  API      {url}\n  API key  {key}\n  phones   {url}/phone/\n")
        fits = 8 <= len(key) <= 128 and key.isascii() and key.isprintable() and " " not in key
        ours = f"AuthyClient({key!r}, base_url={url!r})" if fits else "AuthyClient wants another key: 8 to 128 visible ASCII characters"
        print(f"In your site: {ours}\nCtrl-C ends it.", flush=True)

    named = {"app_name": options.app_name} if options.app_name else {}
    callback = {"callback_url": options.callback_url, "callback_method": options.callback_method}
    try:
        serve(options.host, options.port, key, ready=ready, state=options.state, seed=options.seed, rules=rules, **named, **callback)
    except (StateError, OSError) as error:
        raise _Stop(f"{error}") from None
    return 0


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _Stop(f"Port {port} on {host} cannot be used ({error.strerror}): choose another with --port.") from None


def _keygen(_options: argparse.Namespace) -> int:
    print(secrets.token_urlsafe(48))
    return 0


def _check(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    settings = second_factor.settings
    if options.path:
        if not options.path.startswith("/"):
            raise _Stop("--path must start with a slash: the whole path, from the server's root.")
        print(f"{options.method} {options.path} as {options.user or 'nobody'}")
        print("\n".join(f"  {line}" for line in explain(second_factor, options.path, options.user, options.method)))
        return 0
    if options.user:
        raise _Stop("--user needs --path: say for which request.")
    print("Settings")
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if value != setting.default and setting.name not in (*_SECRET_SETTINGS, "limits"):
            print(f"  {setting.name:<15} {_shown(value)}")
    print("\nExempt from the second factor")
    print("\n".join(f"  {path}, and all that is below it" for path in settings.exempt) or "  nothing")
    if settings.logout_url:
        print(f"  {settings.logout_url} (the app's logout)")
    print("\nRules")
    rules: Callable[[], list[str]] | None = getattr(settings.policy, "described", None)
    print("\n".join(f"  {line}" for line in (rules() if rules else [f"  decided by {_shown(settings.policy or required)}".strip()])))
    print("\nBudgets (tries in a time)")
    for rule, windows in settings.limits.items():
        print(f"  {rule:<20} {', '.join(f'{limit} in {_span(window)}' for limit, window in windows)}")
    if settings.identity is not remote_user:
        print(f"\nLogins are read by {_shown(settings.identity)}: bound where it answers Login(user_id, session), unbound where it answers a user id alone.")
    warnings = second_factor.warnings()
    print("\nWorth knowing")
    print("\n".join(f"  - {warning}" for warning in warnings) or "  nothing")
    wrong = _check_parts(second_factor)
    return wrong if options.offline else _check_providers(second_factor) or wrong


def _check_parts(second_factor: SecondFactor) -> int:
    """Ask identity, store and ledger once, as a request of nobody would."""
    settings = second_factor.settings
    asked: dict[str, Callable[[], object]] = {
        "identity": lambda: who_sends_nothing(second_factor),
        "users": lambda: settings.users.get("nobody at all"),
        "ledger": lambda: second_factor.backend.ledger.get("nothing", now=settings.clock()),
    }
    wrong = 0
    print("\nParts")
    for name, ask in asked.items():
        try:
            said = ask()
            print(f"  {name}: answers{f', and takes a request without any cookie or header for {said}' if said else ''}")
        except Exception as error:  # noqa: BLE001 - whatever it is: it is what a request would meet
            wrong = 1
            print(f"  {name}: does not work. {type(error).__name__}: {error}")
    return wrong


def _check_providers(second_factor: SecondFactor) -> int:
    print("\nProviders")
    wrong = 0
    for client in second_factor.settings.clients:
        reach: Callable[[], str] | None = getattr(client, "reach", None)
        if reach is None:
            continue
        try:
            print(f"  {client.name}: {reach()}")
        except SecondFactorError as error:
            wrong = 1
            print(f"  {client.name}: does not work, {client!r}. {error}")
    return wrong


def _shown(value: object) -> str:
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, tuple):
        return ", ".join(_shown(one) for one in value)
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    return str(value)


def _span(seconds: int) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            return f"{seconds // size} {name}{'s' if seconds > size else ''}"
    return f"{seconds} seconds"


def _users_list(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    store: Any = second_factor.settings.users
    if not hasattr(store, "ids"):
        raise _Stop("This user store cannot list its users.")
    after, count = "", 0
    while ids := store.ids(after=after):
        for user_id in ids:
            user = store.get(user_id)
            if user is not None:
                count += 1
                print(f"{user_id:<30} {_factors(user):<40} {_state(user)}".rstrip())
        after = ids[-1]
    if not count:
        print(f"Nobody has added a factor yet in {_place(store)}.")
    return 0


def _place(store: Any) -> str:
    """Where a store keeps its users, with the whole path of a file: a relative one is another file in another folder."""
    database = getattr(store, "database", None)
    file = getattr(database, "file", "")
    return str(Path(file).absolute()) if file else str(getattr(database, "shown", "") or type(store).__name__)


def _factors(user: User) -> str:
    return ", ".join(f"{factor.client} {factor.label}" for factor in user.factors) or "no factor"


def _state(user: User) -> str:
    marks = ["disabled"] if user.disabled else []
    marks += [f"{kind}s closed" for kind in sorted(user.closed)]
    marks += [f"enrolment: {user.enrolment}"] if user.enrolment else []
    return ", ".join(marks)


def _known(second_factor: SecondFactor, user_id: str) -> User:
    try:
        user = second_factor.settings.users.get(user_id)
    except AmbiguousUser:
        raise _Stop(f"There is a user whose id differs from {user_id!r} in spelling only; 'users list' shows how.") from None
    if user is None:
        raise _Stop(f"There is no record of {user_id!r}; 'users list' shows who has one.")
    return user


def _users_show(options: argparse.Namespace) -> int:
    user = _known(find_second_factor(options.app), options.user)
    print(f"{user.id}: {_state(user) or 'in order'}")
    for factor in user.factors:
        # A use is written down once a day.
        used = f", last used {_day(factor.used)[:10]} or the day after" if factor.used else ""
        print(f"  {factor.client} {factor.label}, added {_day(factor.added)} (by {factor.added_by}){used}")
    if not user.factors:
        print("  no factor")
    return 0


def _day(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _users_reset(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    user = _known(second_factor, options.user)
    second_factor.backend.reset(user.id)
    print(f"{user.id} has no factor any more and is signed out of the second step. 'users invite' lets them add a new one.")
    print("At the provider nothing was removed: another account may use the same phone.")
    return 0


def _users_invite(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    settings = second_factor.settings
    stored = settings.users.get(settings.canonical(options.user))
    if stored and stored.factors:
        raise _Stop(f"{options.user} has a factor already; 'users reset' takes it away.")
    if (stored.enrolment if stored else "") != "invited" and settings.enrolment != "invited":
        raise _Stop(f"{options.user} needs no invitation: this site's enrolment is {settings.enrolment!r}.")
    token = second_factor.backend.invite(options.user)
    if stored is None:
        print(f"There was no record of {options.user!r} yet: the id must be spelled exactly as the site's own login does.")
    print(f"For {options.user} alone, once, within seven days, after signing in:\n  {settings.public_url}{settings.prefix}/enrol?invite={token}")
    return 0


def _users_open(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    user = _known(second_factor, options.user)
    second_factor.backend.open(user.id)
    print(f"Codes are open again for {user.id}, and their wrong ones are counted anew.")
    return 0


def _users_disable(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    if not options.new:
        _known(second_factor, options.user)
    second_factor.backend.disable(options.user, disabled=not options.undo)
    print(f"{options.user} is {'let in again' if options.undo else 'refused everything'}.")
    return 0


def _users_enable(options: argparse.Namespace) -> int:
    second_factor = find_second_factor(options.app)
    second_factor.backend.disable(_known(second_factor, options.user).id, disabled=False)
    print(f"{options.user} is let in again.")
    return 0


def _users_migrate(options: argparse.Namespace) -> int:
    migrated: dict[str, int | None] = {}
    token = MIGRATED.set(migrated)
    try:
        find_second_factor(options.app)
    finally:
        MIGRATED.reset(token)
    if not migrated:
        raise _Stop("This site has no SQL store or ledger.")
    for shown, before in migrated.items():
        print(f"{shown}: {'tables made' if before is None else f'was version {before}'}, up to date.")
    return 0
