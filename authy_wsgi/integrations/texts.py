"""Settings as texts, from an ini file or the environment: the same names as `SecondFactor` takes, each read into what it stands for.

    second_factor.secret = ...                      second_factor.users = sqlite:///second-factor.db
    second_factor.enrolment = open                  second_factor.authy.api_key = ...
    second_factor.rules =                           second_factor.limits.code.user = 5/15m 20/1d
        /pay    max_age=60s
        /admin  strength=code

A value that is no text is taken as it is, so that code can give what no text can say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from authy_wsgi.clients.authy import AuthyClient
from authy_wsgi.contracts import Need, Strength
from authy_wsgi.errors import Misconfigured
from authy_wsgi.identity import basic_auth, environ_key, remote_user
from authy_wsgi.ledgers.memory import MemoryLedger
from authy_wsgi.ledgers.sql import SQLLedger
from authy_wsgi.policy import by_path
from authy_wsgi.settings import Settings
from authy_wsgi.stores.memory import MemoryStore
from authy_wsgi.stores.sql import SQLStore

PREFIX = "second_factor."

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_IDENTITIES = {"remote_user": remote_user, "basic_auth": basic_auth}


def read_settings(texts: Mapping[str, Any], prefix: str = PREFIX, **given: Any) -> dict[str, Any]:
    """The keyword arguments for `SecondFactor`. What is `given` counts before a text. `Misconfigured` with every fault at once."""
    settings: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, value in _grouped({name.removeprefix(prefix): value for name, value in texts.items() if name.startswith(prefix)}).items():
        target, read = _READERS.get(name, (name, _as_it_is))
        if target in given:
            continue
        if target in settings:
            faults[target] = f"{prefix}{name} says again what another setting says: {target}."
        try:
            settings[target] = read(value) if isinstance(value, str | _Group) or name == "rules" else value
        except Misconfigured as fault:
            faults[target] = f"{prefix}{name}: {' '.join(fault.faults)}"
        except ValueError as fault:
            faults[target] = f"{prefix}{name} {fault}."
    settings |= given
    if faults:
        raise Misconfigured([*faults.values(), *(each for each in _faults_of(settings) if each.partition(" ")[0] not in faults)])
    return settings


class _Group(dict[str, Any]):
    """Texts of one dotted name: what stands behind it, by the rest of their names."""


def _grouped(texts: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in texts.items():
        group, dot, rest = name.partition(".")
        if dot and group in ("authy", "limits"):
            found.setdefault(group, _Group())[rest] = value
        else:
            found[name] = value
    return found


def _faults_of(settings: Mapping[str, Any]) -> Sequence[str]:
    try:
        Settings.read(settings)
    except Misconfigured as fault:
        return fault.faults
    return ()


# Readers: a ValueError's words go on from the setting's name


def _as_it_is(text: str) -> str:
    return text.strip()


def flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("must be true or false")
    return word in ("true", "yes", "on", "1")


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def seconds(text: str) -> int:
    """Whole seconds: "90", "90s", "15m", "12h" or "30d"."""
    match = re.fullmatch(r"(\d{1,9})\s*([smhd]?)", text.strip())
    if match is None:
        raise ValueError('must be a time such as "90", "15m", "12h" or "30d"')
    return int(match[1]) * _SECONDS[match[2]]


def named(text: str) -> Any:
    """What "package.module:name" names."""
    module, colon, name = text.strip().partition(":")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError('must be "package.module:name"')
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"names what is not there ({error})") from None
    return found


def _identity(text: str) -> Any:
    word, colon, key = text.strip().partition(":")
    return _IDENTITIES.get(text.strip()) or (environ_key(key) if colon and word == "environ" else named(text))


def _store(text: str) -> Any:
    return MemoryStore() if text.strip() == "memory" else SQLStore(text.strip()) if "://" in text else named(text)


def _ledger(text: str) -> Any:
    url = text.strip()
    if url.startswith(("redis:", "rediss:", "unix:")):
        try:
            from authy_wsgi.ledgers.redis import RedisLedger
        except ImportError:
            raise ValueError('needs the extra: pip install "authy-wsgi[redis]"') from None
        return RedisLedger(url)
    return MemoryLedger() if url == "memory" else SQLLedger(url) if "://" in url else named(text)


def _clients(text: str) -> list[Any]:
    return [named(word) for word in _words(text)]


def _authy(group: Mapping[str, str]) -> AuthyClient:
    readers: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("api_key", "base_url", "callback_url", "callback_method"), _as_it_is),
        "bind_action": flag,
        "digits": int,
    }
    unknown = sorted(group.keys() - readers.keys())
    if unknown:
        raise ValueError(f"has no setting {', '.join(unknown)}; there are {', '.join(readers)}")
    if "api_key" not in group:
        raise ValueError("needs api_key")
    return AuthyClient(**{name: readers[name](value) if isinstance(value, str) else value for name, value in group.items()})


def _limits(group: Mapping[str, str]) -> dict[str, list[tuple[int, int]]]:
    return {rule: [_window(word) for word in _words(windows)] for rule, windows in group.items()}


def _window(word: str) -> tuple[int, int]:
    limit, slash, window = word.partition("/")
    if not slash or not limit.isdecimal():
        raise ValueError('must be windows such as "5/15m 20/1d"')
    return int(limit), seconds(window)


def _rules(rules: str | Mapping[str, Need]) -> Any:
    return by_path(dict(_rule(line) for line in rules.splitlines() if line.strip()) if isinstance(rules, str) else rules)


def _rule(line: str) -> tuple[str, Need]:
    path, *wishes = line.split()
    need: dict[str, Any] = {}
    for wish in wishes:
        name, _, value = wish.partition("=")
        if name == "max_age":
            need[name] = seconds(value)
        elif name == "strength":
            need[name] = strength(value)
        elif wish == "if_enrolled":
            need[name] = True
        else:
            raise ValueError(f"has {wish!r}: a rule is a path and max_age=60s, strength=code or if_enrolled")
    return path, Need(**need)


def strength(text: str) -> Strength:
    """A `Strength` by its name, in any case."""
    try:
        return Strength[text.strip().upper()]
    except KeyError:
        raise ValueError(f"has no strength {text!r}; there are {', '.join(each.name.lower() for each in Strength)}") from None


def read_demand(max_age: int | str | None, asked: Strength | str | None) -> tuple[int | None, Strength | None]:
    """What a view's options say it wants, as `require` takes it: seconds or "1m", a `Strength` or its name."""
    return seconds(max_age) if isinstance(max_age, str) else max_age, strength(asked) if isinstance(asked, str) else asked


# name of the text -> (the setting it makes, how)
_READERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{name: (name, flag) for name in ("https", "enforce", "single_process")},
    **{name: (name, _words) for name in ("other_secrets", "exempt", "channels", "countries")},
    **{name: (name, seconds) for name in ("lifetime", "recheck", "code_memory")},
    **{name: (name, named) for name in ("policy", "profile", "password_stamp", "canonical", "events", "clock")},
    "idle": ("idle", seconds),
    "identity": ("identity", _identity),
    "users": ("users", _store),
    "ledger": ("ledger", _ledger),
    "clients": ("clients", _clients),
    "authy": ("clients", _authy),
    "limits": ("limits", _limits),
    "rules": ("policy", _rules),
}
