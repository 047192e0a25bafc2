"""A form that was on its way when it met the wall: kept for ten minutes, sealed for one attempt and one login, and given back once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from authy_wsgi.accounts import Accounts
from authy_wsgi.contracts import Environ, Ledger, Login, Need, Strength
from authy_wsgi.limits import Limits
from authy_wsgi.site import FORM_LIMIT, FORM_TYPE, RequestError, header, read_body
from authy_wsgi.tickets import Tickets, digest, short

KEPT_SECONDS = 600
log = logging.getLogger("authy_wsgi.pages")
_FIELDS = 1000

# What a view has read of its form: a mapping (also one with several values for a name), pairs, or the body as it came.
Form = Mapping[str, Any] | Iterable[tuple[str, Any]] | bytes | str


class CannotKeep(Exception):
    """This form is not kept; `str` of it is the name of the text that says why."""


class KeptForm(NamedTuple):
    """Where a form was going (path and query), its fields, and what that path needs."""

    target: str
    fields: list[tuple[str, str]]
    need: Need

    def __repr__(self) -> str:
        # SECURITY: it may hold passwords; an error report shows the objects of a frame.
        return f"KeptForm({self.target.partition('?')[0]!r})"


class KeptForms:
    """The forms that wait, in the ledger."""

    def __init__(self, ledger: Ledger, tickets: Tickets, instance: str, limits: Limits, accounts: Accounts, public_url: str, *, https: bool) -> None:
        self._ledger = ledger
        self._tickets = tickets
        self._instance = instance
        self._limits = limits
        self._accounts = accounts
        self._public_url = public_url
        self._schemes = ("https://",) if https else ("https://", "http://")

    def _key(self, login: Login, attempt_id: str) -> str:
        return f"{self._instance}:kept:{short(digest(attempt_id, *login), 32)}"

    def keep(self, login: Login, attempt_id: str, form: KeptForm, now: int) -> bool:
        """Keep a form under an attempt; whether it took the place of an earlier one. `CannotKeep` where this user has had too many kept."""
        if not self._limits.ask(self._limits.keeping(self._accounts.subject(login.user_id)), now):
            raise CannotKeep("kept.often")
        replaced = self.waiting(login, attempt_id, now) is not None
        said = [form.target, form.fields, form.need.max_age, int(form.need.strength)]
        sealed = self._tickets.seal_for(login, attempt_id, json.dumps(said, separators=(",", ":")).encode())
        self._ledger.put(self._key(login, attempt_id), sealed, KEPT_SECONDS, now=now)
        return replaced

    def waiting(self, login: Login, attempt_id: str, now: int) -> KeptForm | None:
        """The form that is kept under an attempt, for this login; it stays."""
        return self._opened(login, attempt_id, self._ledger.get(self._key(login, attempt_id), now=now))

    def take(self, login: Login, attempt_id: str, now: int) -> KeptForm | None:
        """The same, once."""
        if self.waiting(login, attempt_id, now) is None:
            return None
        return self._opened(login, attempt_id, self._ledger.pop(self._key(login, attempt_id), now=now))

    def _opened(self, login: Login, attempt_id: str, sealed: bytes | None) -> KeptForm | None:
        plain = None if sealed is None else self._tickets.unseal_for(login, attempt_id, sealed)
        if plain is None:
            return None
        target, fields, max_age, strength = json.loads(plain)
        return KeptForm(target, [(name, value) for name, value in fields], Need(max_age=max_age, strength=Strength(strength)))

    def read(self, environ: Environ, target: str, need: Need, form: Form | None, *, body: bool) -> KeptForm:
        """The form of a request: what the view has read of it, else its body, where nobody has read that yet. `CannotKeep` says why not."""
        if not self._is_ours(environ):
            raise CannotKeep("kept.foreign")
        # What a script sends is not what the person waits for; it must not take the place of that.
        if header(environ, "Sec-Fetch-Mode") not in ("", "navigate") or header(environ, "X-Requested-With").lower() == "xmlhttprequest":
            raise CannotKeep("kept.type")
        content_type, _, parameters = str(environ.get("CONTENT_TYPE", "")).lower().partition(";")
        # Whatever the view hands over: of a form with files it has only a half.
        if content_type.strip() == "multipart/form-data":
            raise CannotKeep("kept.files")
        if content_type.strip() != FORM_TYPE or parameters.strip().removeprefix("charset=").strip('" ') not in ("", "utf-8", "utf8"):
            raise CannotKeep("kept.type")
        fields = _read_fields(environ, form, body=body)
        if not all(_can_be_sent(name, value) for name, value in fields):
            raise CannotKeep("kept.type")
        if len(fields) > _FIELDS or len(urlencode(fields, safe="*-._")) > FORM_LIMIT:
            raise CannotKeep("kept.large")
        return KeptForm(target, fields, need)

    def _is_ours(self, environ: Environ) -> bool:
        """SECURITY: what another site's page sends would be sent again in the person's name; where nobody says whose it is, it is not kept."""
        site = header(environ, "Sec-Fetch-Site")
        if site:
            return site == "same-origin"
        origin = header(environ, "Origin")
        if self._public_url:
            return origin == self._public_url
        host = origin.partition("://")[2].removesuffix(":443")
        return origin.startswith(self._schemes) and bool(host) and host.lower() == header(environ, "Host").lower().removesuffix(":443")


def _read_fields(environ: Environ, form: Form | None, *, body: bool) -> list[tuple[str, str]]:
    if isinstance(form, bytes | str):
        return _parsed(form.encode() if isinstance(form, str) else form)
    if form is not None:
        return _pairs(form)
    if not body:
        # Whether there is still something to read only the view knows; on some servers looking for more waits for ever.
        log.info("require() was called without form=, so a form that was on its way could not be kept: hand over what the view has read of it")
        raise CannotKeep("kept.unread")
    # Without a length nobody knows whether what was read is all of it.
    if not str(environ.get("CONTENT_LENGTH") or "").strip():
        raise CannotKeep("kept.type")
    try:
        return _parsed(read_body(environ))
    except RequestError as error:
        raise CannotKeep("kept.large" if error.status == 413 else "kept.type") from None


def _parsed(data: bytes) -> list[tuple[str, str]]:
    if len(data) > FORM_LIMIT:
        raise CannotKeep("kept.large")
    try:
        return parse_qsl(data.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict")
    except ValueError:
        raise CannotKeep("kept.type") from None


def _pairs(form: Any) -> list[tuple[str, str]]:
    """The fields of what frameworks call a form: with every value of a name, in their order where the framework knows it."""
    try:
        if callable(getattr(form, "lists", None)):  # Django's and Werkzeug's
            found = [(name, value) for name, values in form.lists() for value in values]
        elif callable(getattr(form, "allitems", None)):  # Bottle's, whose texts are UTF-8 read as Latin-1
            found = [(_recoded(form, name), _recoded(form, value)) for name, value in form.allitems()]
        elif callable(getattr(form, "items", None)):
            found = [(name, each) for name, value in form.items() for each in (value if isinstance(value, list | tuple) else [value])]
        else:
            found = [(name, value) for name, value in form]
    except (TypeError, ValueError):
        raise CannotKeep("kept.type") from None
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in found):
        raise CannotKeep("kept.files")
    return found


def _recoded(form: Any, text: str) -> str:
    return text.encode("latin-1").decode("utf-8") if getattr(form, "recode_unicode", False) else text


def _can_be_sent(name: str, value: str) -> bool:
    """Whether a browser sends this very field from a form of ours."""
    try:
        (name + value).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return bool(name) and "\0" not in name + value


def kept_url(prefix: str, attempt_id: str) -> str:
    """Our page that sends the form on which is kept under an attempt. The id is no secret: what is kept opens for its own login only."""
    return f"{prefix}/kept?of={quote(attempt_id, safe='')}"
