"""One request to our pages: who, for which target, in which attempt; and whether a POST may change anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from authy_wsgi.attempts import ATTEMPT_SECONDS, REISSUE_SECONDS
from authy_wsgi.contracts import CHANNEL_STRENGTH, Context, Environ, Login, Need, Strength
from authy_wsgi.pages.kept import KEPT_SECONDS
from authy_wsgi.settings import Settings
from authy_wsgi.site import RequestError, as_path, browser_family, client_network, header, plain_host, read_form, read_query, same_origin
from authy_wsgi.tickets import LEEWAY, Pass, Tickets, cookie_values, new_id, set_cookie

TARGET_SECONDS = 86400
TARGET_LIMIT = 1500
CSRF_SECONDS = 86400


class Untrusted(RequestError):
    """A POST that is not one of our own pages', or not this person's: nothing is done."""


class CookieMissing(RequestError):
    """A POST from one of our own pages without the cookie that the page set: the browser does not keep it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a view needs to know. `target` is where the person was going (a path), `need` what that page asks for."""

    environ: Environ = field(repr=False)
    base: str  # SCRIPT_NAME at our place, as a path
    prefix: str  # of our pages, as a path
    login: Login
    context: Context
    fields: Mapping[str, str] = field(repr=False)
    next: str = field(repr=False)
    target: str = field(repr=False)  # with its query
    need: Need
    attempt_id: str
    minted: int
    kept: bool  # whether the attempt's id came in a cookie that is still good
    presented: Pass | None  # the live pass
    sent_form: tuple[str, int] | None = None  # the attempt that a form of this browser is kept under, and since when
    has_cookie: bool = False  # whether the browser brings a cookie of an attempt, however old

    def url(self, page: str = "/", **query: str) -> str:
        """The path of one of our pages, with the target carried along."""
        pairs = {**({"next": self.next} if self.next else {}), **query}
        return self.prefix + page + ("?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items()) if pairs else "")

    def satisfied(self, lifetime: int) -> bool:
        return self.presented is not None and meets(self.presented, self.need, self.context.at, lifetime)


def good_until(held: Pass, need: Need, lifetime: int) -> int:
    """The first second at which no proof of a pass is young and strong enough for a need any more; 0 where none ever was."""
    window = lifetime if need.max_age is None else min(need.max_age, lifetime)
    until = 0
    for proof in held.proofs:
        if proof.at >= until and CHANNEL_STRENGTH.get(proof.channel, 0) >= need.strength:
            until = proof.at
    return until and until + window + 1


def meets(held: Pass, need: Need, now: int, lifetime: int) -> bool:
    """Whether some proof of a pass is young and strong enough for a need."""
    return now < good_until(held, need, lifetime)


class Reception:
    """Makes a `Visit` of a request, and signs what pages carry: the target, the CSRF token, the attempt's cookie."""

    def __init__(self, settings: Settings, tickets: Tickets, cookie: str) -> None:
        self._settings = settings
        self._tickets = tickets
        self._cookie = cookie
        self._origins = frozenset({settings.public_url}) if settings.public_url else frozenset()

    # The target

    def sign_target(self, login: Login, target: str, need: Need, now: int, root: str = "/") -> str:
        """The `next` of a page: where to go on, and what is asked there, for this login only. A target that is too long to carry becomes the root."""
        if len(target) > TARGET_LIMIT:
            target = root
        return self._tickets.sign("next", [1, target, self._tickets.holder(login), now, need.max_age, int(need.strength)])

    def _read_target(self, token: str, login: Login, now: int) -> tuple[str, Need] | None:
        match self._tickets.read_long("next", token) if token else None:
            case [1, str(target), str(holder), int(at), max_age, int(strength)]:
                # SECURITY: somebody else's target, or one of another day, leads to the site's root instead.
                fits = holder in self._tickets.holders(login) and at - LEEWAY <= now < at + TARGET_SECONDS
                return (target, Need(max_age=max_age, strength=Strength(strength))) if fits else None
        return None

    # The attempt's cookie

    def attempt_cookie(self, attempt_id: str, minted: int, sent_form: tuple[str, int] | None = None) -> tuple[str, str]:
        """The Set-Cookie header that names an attempt, and the form that this browser had on its way."""
        kept, at = sent_form or ("", 0)
        token = self._tickets.sign("attempt", [1, attempt_id, minted, *(["" if kept == attempt_id else kept, at - minted] if sent_form else [])])
        return set_cookie(self._cookie, token, secure=self._settings.https, max_age=CSRF_SECONDS)

    def _cookies(self, environ: Environ) -> list[Any]:
        """What the cookies of attempts say, those that are ours."""
        return [said for token in cookie_values(environ, self._cookie) if (said := self._tickets.read("attempt", token))]

    def read_attempt(self, environ: Environ, now: int) -> tuple[str, int] | None:
        """The id of the attempt that a request carries, and when its cookie was made."""
        return self._attempt_in(self._cookies(environ), now)

    @staticmethod
    def _attempt_in(cookies: list[Any], now: int) -> tuple[str, int] | None:
        for said in cookies:
            match said:
                case [1, str(attempt_id), int(minted), *_form] if minted - LEEWAY <= now < minted + ATTEMPT_SECONDS + REISSUE_SECONDS:
                    return attempt_id, minted
        return None

    @staticmethod
    def _sent_form_in(cookies: list[Any], now: int) -> tuple[str, int] | None:
        """SECURITY: a form is sent on in the browser that sent it, and in no other of the same login: what a stranger had kept is not sent by its owner."""
        for said in cookies:
            match said:
                case [1, str(attempt_id), int(minted), str(kept), int(later)] if -LEEWAY <= now - minted - later < KEPT_SECONDS + LEEWAY:
                    return kept or attempt_id, minted + later
        return None

    def attempt_of(self, environ: Environ, now: int) -> str:
        """The id of the attempt that a request carries, "" where it carries none."""
        found = self.read_attempt(environ, now)
        return found[0] if found else ""

    # The CSRF token

    def csrf(self, visit: Visit) -> str:
        return self._tickets.sign("csrf", [1, visit.attempt_id, self._tickets.holder(visit.login), visit.context.at])

    def admit(self, visit: Visit) -> bool:
        """Whether a POST may go on. False for a token of another attempt of this person (two tabs): show the page again. Raises for nobody's."""
        if not same_origin(visit.environ, self._origins):
            raise Untrusted(403, "foreign")
        match self._tickets.read("csrf", visit.fields.get("csrf", "")):
            case [1, str(attempt_id), str(holder), int(at)] if (
                holder in self._tickets.holders(visit.login) and at - LEEWAY <= visit.context.at < at + CSRF_SECONDS
            ):
                if not visit.has_cookie:
                    raise CookieMissing(400, "cookie")
                return visit.kept and attempt_id == visit.attempt_id
        raise Untrusted(403, "untrusted")

    # All of it

    def receive(self, environ: Environ, login: Login, now: int, presented: Pass | None) -> Visit:
        """The visit; `RequestError` for a request that cannot be read."""
        query = read_query(environ)
        fields = read_form(environ) if environ["REQUEST_METHOD"] == "POST" else query
        token = fields.get("next", "") or query.get("next", "")
        found = self._read_target(token, login, now)
        base = str(environ.get("SCRIPT_NAME", ""))
        cookies = self._cookies(environ)
        attempt = self._attempt_in(cookies, now)
        attempt_id, minted = attempt or (new_id(), now)
        context = Context(
            at=now,
            site=self._settings.shown_name,
            browser=browser_family(environ),
            network=client_network(environ),
            locale="",
        )
        return Visit(
            environ=environ,
            base=as_path(base, "/") if base else "/",
            prefix=as_path(base, self._settings.prefix),
            login=login,
            context=context,
            fields=fields,
            next=token if found else "",
            target=found[0] if found else (as_path(base, "/") if base else "/"),
            need=found[1] if found else Need(),
            attempt_id=attempt_id,
            minted=minted,
            kept=attempt is not None,
            presented=presented,
            sent_form=self._sent_form_in(cookies, now),
            has_cookie=bool(cookies),
        )


def renewed(visit: Visit, attempt_id: str = "") -> Visit:
    """The same visit in another attempt: one that the backend has begun, or a fresh one."""
    return replace(visit, attempt_id=attempt_id or new_id(), minted=visit.context.at, kept=False)


def cookie_cause(environ: Environ, settings: Settings) -> str:
    """Why a browser may not have kept our cookie: "http" (Secure, but no TLS), "host" (another name than before), else "cookies"."""
    if settings.https and not settings.public_url and environ.get("wsgi.url_scheme", "http") == "http":
        return "http"
    usual = settings.public_url.partition("://")[2] or header(environ, "Host")
    origin = header(environ, "Origin").partition("://")[2] or header(environ, "Host")
    return "host" if plain_host(origin) != plain_host(usual) else "cookies"


def page_values(visit: Visit, **more: Any) -> dict[str, Any]:
    return {"visit": visit, "url": visit.url, "target": visit.target, **more}
