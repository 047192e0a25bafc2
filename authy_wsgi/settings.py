"""Every setting of a SecondFactor in one place: its name, its default, what it does.

`Settings.read(...)` reports all faults at once, at start, each with what to do. Nothing else in the package reads a setting's raw value.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from authy_wsgi import phones
from authy_wsgi.contracts import Client, Event, Identity, Ledger, Policy, Profile, UserStore
from authy_wsgi.errors import Misconfigured

ENROLMENT_MODES = ("known", "invited", "open", "none")
CHANNELS = ("push", "app", "sms", "call", "email")
CHANNELS_BY_DEFAULT = ("push", "app", "sms")

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

# rule -> windows, each (limit, seconds). The subject is the last part of the name; "new" are numbers that nobody has proved yet.
LIMITS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "code.attempt": ((5, 10 * _MINUTE),),
    "code.user": ((5, 15 * _MINUTE), (20, _DAY), (100, 30 * _DAY)),
    "code.reference": ((5, 15 * _MINUTE), (20, _DAY), (100, 30 * _DAY)),
    "code.new.user": ((5, 15 * _MINUTE),),
    "code.new.reference": ((5, _DAY),),
    "send.cooldown": ((1, 30),),
    "send.user": ((5, _HOUR), (10, _DAY)),
    "send.number": ((5, _HOUR), (10, _DAY)),
    "send.network": ((20, _HOUR),),
    "send.site": ((1000, _DAY),),
    "send.voice": ((2, _HOUR),),
    "send.new.user": ((3, _HOUR),),
    "send.new.number": ((3, _DAY),),
    "send.new.network": ((5, _HOUR),),
    "send.new.site": ((100, _DAY),),
    "push.user": ((3, 10 * _MINUTE),),
    "kept.user": ((20, _HOUR),),
}

_IMAGES = {".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_IMAGE_LIMIT = 256 * 1024
_REQUIRED: Any = object()


def nobody(_user_id: str) -> Profile:
    """The default `profile`: the site knows nothing of anybody."""
    return Profile()


def as_it_is(user_id: str) -> str:
    """The default `canonical`."""
    return user_id


def _now() -> int:
    return int(time.time())


def _setting(default: Any, help: str) -> Any:  # noqa: A002 - the settings table says help
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the person who wraps an app may choose. Times are seconds, paths are URL paths from the server's root (SCRIPT_NAME included)."""

    identity: Identity = _setting(_REQUIRED, "Who passed the first factor: environ -> None, a user id, or Login(user_id, session). Required.")
    secret: str = field(default=_REQUIRED, repr=False, metadata={"help": "Signs everything; 32 characters or more ('authy-wsgi keygen' makes one). Required."})
    users: UserStore = _setting(_REQUIRED, "The user store: SQLStore(url), MemoryStore(), or an object of your own. Required.")
    clients: tuple[Client, ...] = _setting(_REQUIRED, "The client, or a list of clients, that provide the ways to prove oneself. Required.")
    enrolment: str = _setting(
        _REQUIRED, 'Who may add a first factor: "known" (to the phone that `profile` gives), "invited", "open" (trust on first use) or "none". Required.'
    )
    other_secrets: tuple[str, ...] = field(default=(), repr=False, metadata={"help": "Accepted beside `secret`: past ones, and the next one, while rotating."})
    prefix: str = _setting("/second-factor", "Where our pages live, below the place where the app is mounted.")
    policy: Policy | None = _setting(None, "Which request needs what: (environ, Login) -> Need or NOT_NEEDED. Default: required for all.")
    exempt: tuple[str, ...] = _setting((), "Paths that need no second factor, with all that is below them; whole segments.")
    logout_url: str = _setting("", "The app's own logout (a path, to its last slash): let through without the factor, and it ends our pass.")
    login_url: str = _setting("", "Where an anonymous visitor of our pages is sent to sign in (a path).")
    profile: Callable[[str], Profile | None] = _setting(nobody, "What the site knows of a user: user id -> Profile or None.")
    password_stamp: Callable[[str], str] | None = _setting(None, "user id -> a text that changes with the password; a new one revokes every pass.")
    canonical: Callable[[str], str] = _setting(as_it_is, "One spelling per person: user id -> user id, applied before everything else.")
    lifetime: int = _setting(12 * _HOUR, "How long a pass is good.")
    recheck: int = _setting(_MINUTE, "How long a worker may rely on what it read of a user: the delay of a revocation on plain pages.")
    idle: int | None = _setting(None, "End a pass after this much time without a request; None leaves idleness to the app's session.")
    cookie_name: str = _setting("second_factor", "The name of our cookie (behind TLS it gets the __Host- prefix).")
    instance: str = _setting("", "Keeps two SecondFactors apart even under one secret. Default: the cookie's name.")
    https: bool = _setting(True, "False is for development: cookies without Secure, for http.")
    public_url: str = _setting("", "Scheme and host that browsers see, https://example.org, where the inner server cannot know them.")
    site_name: str = _setting("", "What our pages and messages call the site. Default: the host of `public_url`, else 'This site'.")
    logo: str = _setting("", "An image file (svg, png, jpg, webp; 256 KiB at most) that our pages show.")
    accent: str = _setting("", "The accent colour of our pages, #rrggbb; it must carry white text.")
    templates: str = _setting("", "A folder whose templates and texts.json replace ours, by name.")
    channels: tuple[str, ...] = _setting(CHANNELS_BY_DEFAULT, "The ways that are offered; call and email only when asked for here.")
    countries: frozenset[str] | None = _setting(None, "ISO codes of the countries that new numbers may be of; None for all.")
    limits: Mapping[str, tuple[tuple[int, int], ...]] = _setting(None, "Budgets that replace ours: rule -> [(limit, seconds), ...].")
    code_memory: int = _setting(_HOUR, "How long an accepted code is remembered, so that it is good once.")
    enforce: bool = _setting(True, "False only reports what would have been asked (proven(environ).enforced is False).")
    ledger: Ledger | None = _setting(
        None,
        "Where limits and attempts live: SQLLedger(url), authy_wsgi.ledgers.redis.RedisLedger(url) or MemoryLedger(). Default: the database of a SQLStore.",
    )
    events: Callable[[Event], object] | None = _setting(None, "Called with each Event, after it is durable.")
    single_process: bool = _setting(False, "True promises that one process serves the site, so that memory will do for store and ledger.")
    clock: Callable[[], int] = _setting(_now, "Now, in Unix seconds; tests move it.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from keyword arguments. `Misconfigured` with every fault at once."""
        faults = _Faults()
        known = {setting.name: setting.default for setting in fields(cls)}
        for name in values.keys() - known.keys():
            faults.add(f"{name!r} is not a setting{_perhaps(name, known) or '.'}")
        given = {**known, **{name: value for name, value in values.items() if name in known}}
        for name in known:
            if given[name] is _REQUIRED or (known[name] is _REQUIRED and given[name] is None):
                faults.add(_MISSING[name])
                given[name] = None
        _read_trust(given, faults)
        _read_parts(given, faults)
        _read_paths(given, faults)
        _read_times(given, faults)
        _read_looks(given, faults)
        _read_limits(given, faults)
        faults.raise_all()
        return cls(**given)

    @property
    def shown_name(self) -> str:
        return self.site_name or (urlsplit(self.public_url).hostname or "" if self.public_url else "") or "This site"

    @property
    def image_type(self) -> str:
        return _IMAGES[Path(self.logo).suffix.lower()]


_MISSING = {
    "identity": (
        "identity is missing: say how to see who passed the app's own login. Give identity=remote_user (the server sets REMOTE_USER), "
        'identity=environ_key("my.user") (something inside sets that key), or a function of the environ that answers None, a user id or a Login.'
    ),
    "secret": "secret is missing: give 32 characters or more, for example from 'authy-wsgi keygen', and keep them out of your repository.",
    "users": 'users is missing: give a user store, for example users=SQLStore("sqlite:///second-factor.db").',
    "clients": "clients is missing: give a client or a list of them, for example clients=AuthyClient(api_key).",
    "enrolment": (
        'enrolment is missing: choose "known" (codes go to the phone that `profile` gives), "invited" (who has an invitation), '
        '"open" (whoever passes the login first adds a phone: trust on first use) or "none" (the site enrols by itself).'
    ),
}


class _Faults:
    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, fault: str) -> None:
        self.found.append(fault)

    def need(self, given: dict[str, Any], name: str, fits: Callable[[Any], bool], fault: str) -> None:
        """Where the value does not fit: note the fault. None counts as already reported for required settings."""
        value = given[name]
        try:
            good = fits(value)
        except (TypeError, ValueError, AttributeError):
            good = False
        if not good and not (value is None and name in _MISSING):
            self.add(f"{name} {fault}.")

    def raise_all(self) -> None:
        if self.found:
            raise Misconfigured(self.found)


def _perhaps(name: str, known: Collection[str]) -> str:

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _read_trust(given: dict[str, Any], faults: _Faults) -> None:
    _as_texts(given, "other_secrets", faults)
    # SECURITY: neither a secret nor its length is named in a fault; faults are logged.
    faults.need(
        given, "secret", lambda text: isinstance(text, str) and len(text) >= 32, "must be a str of 32 characters or more; 'authy-wsgi keygen' makes one"
    )
    faults.need(
        given, "other_secrets", lambda texts: all(isinstance(text, str) and len(text) >= 32 for text in texts), "must be strings of 32 characters or more"
    )
    faults.need(
        given,
        "cookie_name",
        lambda name: re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,40}", name) is not None,
        "must be letters, digits, - and _, starting with a letter",
    )
    if given["instance"]:
        plain = re.compile(r"[!-9;-~]{1,64}")
        faults.need(given, "instance", lambda name: plain.fullmatch(name) is not None, "must be at most 64 visible ASCII characters without a colon")
    else:
        given["instance"] = given["cookie_name"]
    for name in ("https", "enforce", "single_process"):
        faults.need(given, name, lambda value: isinstance(value, bool), "must be True or False")


def _read_parts(given: dict[str, Any], faults: _Faults) -> None:
    clients = given["clients"]
    if clients is not None:
        given["clients"] = tuple(clients) if isinstance(clients, Sequence) else (clients,)
        faults.need(
            given,
            "clients",
            lambda them: bool(them) and all(hasattr(one, "ways") and hasattr(one, "check") for one in them),
            "must be a client or a list of them, such as AuthyClient(api_key)",
        )
        names = [getattr(client, "name", "") for client in given["clients"]]
        if len(set(names)) != len(names):
            faults.add(f"clients has two of one name ({', '.join(names)}): give one of them another name.")
    for name in ("identity", "profile", "canonical", "clock"):
        faults.need(given, name, callable, "must be callable")
    for name in ("policy", "password_stamp", "events"):
        faults.need(given, name, lambda value: value is None or callable(value), "must be callable")
    faults.need(given, "users", lambda store: callable(store.get), "must be a user store: an object with get(user_id), best also save, delete, erase and ids")
    faults.need(given, "enrolment", lambda mode: mode in ENROLMENT_MODES, f"must be one of {', '.join(ENROLMENT_MODES)}")
    _read_enrolment(given, faults)
    if given["ledger"] is None and given["users"] is not None and not hasattr(given["users"], "database"):
        faults.add("ledger is missing: this user store brings none. Give ledger=SQLLedger(url), or ledger=MemoryLedger() with single_process=True.")
    faults.need(given, "ledger", lambda ledger: ledger is None or isinstance(ledger, Ledger), "must be a ledger: spend, give_back, claim, put, get, pop")


def _read_enrolment(given: dict[str, Any], faults: _Faults) -> None:
    if hasattr(given["users"], "get") and not hasattr(given["users"], "save") and given["enrolment"] not in ("none", None):
        faults.add('enrolment must be "none" with a user store that has no save: nobody could keep a new factor.')
    _as_texts(given, "channels", faults)
    enrollers = [client for client in given["clients"] or () if hasattr(client, "enrol")]
    usable = bool(given["clients"]) and all(hasattr(client, "ways") for client in given["clients"])
    if given["enrolment"] in ("known", "invited", "open") and usable and not enrollers:
        faults.add('enrolment must be "none": none of the clients can add a factor.')
    proving = {channel for client in enrollers for channel in getattr(client, "proves_by", ())}
    if given["enrolment"] in ("known", "invited", "open") and proving and not proving & set(given["channels"]) and set(given["channels"]) & set(CHANNELS):
        faults.add(f"channels has no way to prove a new phone: add {' or '.join(sorted(proving))}, or set enrolment='none'.")
    if given["enrolment"] == "known" and given["profile"] is nobody:
        faults.add('enrolment="known" needs profile: a function of the user id that answers Profile(phone=...).')


def _as_texts(given: dict[str, Any], name: str, faults: _Faults) -> None:
    """One text, or any collection of texts, as a tuple; a fault, and an empty one, for anything else."""
    value = given[name]
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Collection) and not isinstance(value, bytes | Mapping) else None
    if value is not None and (texts is None or not all(isinstance(text, str) for text in texts)):
        # The value is left out: it may be a secret.
        faults.add(f"{name} must be a list of texts.")
        texts = None
    given[name] = texts or ()


def is_plain_path(path: Any) -> bool:
    """Whether a rule may be made of it: whole, plain segments. What is ambiguous between servers is no rule."""
    return isinstance(path, str) and re.fullmatch(r"(/[A-Za-z0-9._~!$&'()*+,=:@-]+)+", path) is not None and not {".", ".."} & set(path.split("/"))


def _read_paths(given: dict[str, Any], faults: _Faults) -> None:
    shape = 'a path of plain segments without a slash at its end, such as "/a/b"'
    faults.need(given, "prefix", is_plain_path, f"must be {shape}")
    _as_texts(given, "exempt", faults)
    given["exempt"] = tuple(path.rstrip("/") or path for path in given["exempt"])
    for path in given["exempt"]:
        if "*" in path:
            faults.add(f"exempt holds {path!r}: a * means nothing here; a path stands for itself and all that is below it.")
        elif not is_plain_path(path):
            faults.add(f"exempt holds {path!r}: each must be {shape}.")
    for client in given["clients"] or ():
        ours, theirs = f"{given['prefix']}/callback/{getattr(client, 'name', '')}", str(getattr(client, "callback_url", "") or "")
        if theirs and not theirs.endswith(ours):
            faults.add(f"the callback_url of the client {client.name!r} must end in {ours}, where our pages are, but is {theirs}.")
    faults.need(given, "logout_url", lambda path: path == "" or is_plain_path(path.rstrip("/")), f"must be {shape}")
    faults.need(
        given,
        "login_url",
        lambda path: path in ("", "/") or (path.startswith("/") and not path.startswith(("//", "/\\")) and path.isascii() and path.isprintable()),
        'must be a path, such as "/login"',
    )
    if isinstance(given["public_url"], str):
        # As browsers write an origin: small letters, and without the port that goes without saying.
        url = given["public_url"].rstrip("/").lower()
        given["public_url"] = url.removesuffix(":443" if url.startswith("https:") else ":80")
    faults.need(
        given,
        "public_url",
        lambda url: url == "" or re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", url) is not None,
        "must be scheme and host, such as https://example.org",
    )
    if given["https"] is True and str(given["public_url"]).startswith("http://"):
        faults.add("public_url is http, but https is True: our cookies would not come back. Serve the site over TLS, or set https=False for development.")


def _read_times(given: dict[str, Any], faults: _Faults) -> None:
    def between(low: int, high: int) -> Callable[[Any], bool]:
        return lambda value: type(value) is int and low <= value <= high

    faults.need(given, "lifetime", between(60, 400 * _DAY), "must be whole seconds, 60 or more")
    faults.need(given, "recheck", between(0, _HOUR), "must be whole seconds, from 0 to 3600")
    faults.need(given, "code_memory", between(600, _DAY), "must be whole seconds, from 600 to 86400")
    faults.need(given, "idle", lambda value: value is None or between(60, 400 * _DAY)(value), "must be None or whole seconds, 60 or more")


def contrast(colour: str, other: str) -> float:
    """The contrast ratio of two #rrggbb colours (WCAG 2.2, 1.4.3): from 1 to 21."""

    def luminance(text: str) -> float:
        parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(colour), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _read_looks(given: dict[str, Any], faults: _Faults) -> None:
    faults.need(given, "site_name", lambda name: isinstance(name, str) and len(name) <= 60 and name.isprintable(), "must be at most 60 printable characters")
    faults.need(given, "accent", lambda colour: colour == "" or re.fullmatch(r"#[0-9a-fA-F]{6}", colour) is not None, "must be a colour such as #1d5fd6")
    if re.fullmatch(r"#[0-9a-fA-F]{6}", str(given["accent"])) and contrast(given["accent"], "#ffffff") < 4.5:
        faults.add(
            f"accent {given['accent']} is too light: white text on it has a contrast of {contrast(given['accent'], '#ffffff'):.1f}; take a darker one (4.5)."
        )
    given["logo"], given["templates"] = str(given["logo"] or ""), str(given["templates"] or "")
    if _can_stat(given["logo"], faults):
        faults.need(given, "logo", _is_image, "must be an svg, png, jpg or webp file of at most 256 KiB")
    faults.need(given, "templates", lambda path: path == "" or Path(path).is_dir(), "must be a folder that exists")
    faults.need(given, "channels", lambda names: bool(names) and set(names) <= set(CHANNELS), f"must be some of {', '.join(CHANNELS)}")
    if given["countries"] is not None:
        _as_texts(given, "countries", faults)
        given["countries"] = frozenset(code.upper() for code in given["countries"])
        unknown = sorted(given["countries"] - phones.regions())
        if unknown or not given["countries"]:
            faults.add(f"countries holds {', '.join(unknown) or 'nothing'}: give ISO 3166 codes such as PT or US.")


def _can_stat(path: str, faults: _Faults) -> bool:
    if path and not Path(path).is_file():
        faults.add(f"logo {path!r} does not exist.")
        return False
    return True


def _read_limits(given: dict[str, Any], faults: _Faults) -> None:
    given["limits"] = LIMITS if given["limits"] is None else given["limits"]
    changed = given["limits"] if isinstance(given["limits"], Mapping) else {}
    if not isinstance(given["limits"], Mapping):
        faults.add("limits must be a mapping: rule -> [(limit, seconds), ...].")
    merged = dict(LIMITS)
    for rule, windows in changed.items():
        if rule not in LIMITS:
            faults.add(f"limits has no rule {rule!r}{_perhaps(str(rule), LIMITS)}; the rules are {', '.join(LIMITS)}.")
            continue
        pairs = tuple(tuple(pair) for pair in windows) if isinstance(windows, Sequence) and all(isinstance(pair, Sequence) for pair in windows) else ()
        if not pairs or not all(len(pair) == 2 and all(type(number) is int and number > 0 for number in pair) for pair in pairs):
            faults.add(f"limits[{rule!r}] must be a list of (limit, seconds), whole numbers above 0.")
            continue
        if len({window for _, window in pairs}) != len(pairs):
            faults.add(f"limits[{rule!r}] has two limits for one window: give the lower one only.")
            continue
        merged[rule] = cast("tuple[tuple[int, int], ...]", pairs)
    given["limits"] = merged


def _is_image(path: str) -> bool:
    return path == "" or (Path(path).suffix.lower() in _IMAGES and 0 < Path(path).stat().st_size <= _IMAGE_LIMIT)
