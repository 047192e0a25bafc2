"""The front door: `SecondFactor` around a WSGI app, or beside it for an integration.

    gate(environ, login)                                    -> Response | None
    require(environ, login=..., *, max_age=None, strength=None, form=None) -> Response | None
    remember(environ, grant) / forget(environ)             -> [("Set-Cookie", ...)]

None means "go on"; anything else is the answer: a WebOb response, itself a WSGI app.
The app's own answers are never touched: no header added, nothing buffered.

A verified request touches this module and `tickets` only: no Request object, no store, no network. Each worker remembers for `recheck` seconds how a user
stands; a refusal is never given from that memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import EllipsisType
from typing import Any, NamedTuple
from urllib.parse import quote

from authy_wsgi.accounts import Standing
from authy_wsgi.attempts import ATTEMPT_SECONDS, Grant
from authy_wsgi.backend import Backend
from authy_wsgi.contracts import NOT_NEEDED, PROVEN_KEY, Environ, Login, Need, Proven, Strength
from authy_wsgi.errors import Misconfigured, SecondFactorError, UnreadableIdentity
from authy_wsgi.identity import basic_auth, login_reader, remote_user
from authy_wsgi.ledgers.sql import SQLLedger
from authy_wsgi.pages.kept import CannotKeep, Form, KeptForms, kept_url
from authy_wsgi.pages.look import Look
from authy_wsgi.pages.views import Pages
from authy_wsgi.pages.visit import Reception, good_until
from authy_wsgi.pages.wall import Wall, came_from, kind_of
from authy_wsgi.policy import REQUIRED, Exemptions, full_path, reaches_beyond, required
from authy_wsgi.settings import Settings
from authy_wsgi.site import Response, as_path, client_network, encoded_query, header
from authy_wsgi.tickets import LEEWAY, Pass, Tickets, cookie_values, delete_cookie, first_cookie_value, new_id, set_cookie

BASIC = (
    "Logins by HTTP Basic are one and the same for whoever has the password, in whatever browser: nobody signs out of them, and who can plant a cookie of ours "
    "in the owner's browser shares their sign-in. A login of your own with Login(user_id, session) does not have that."
)
_ANONYMOUS = Proven()
_MEMO_SIZE = 10_000

UNBOUND = (
    "Logins are unbound: identity gives no session, so two logins of one user look alike, and a pass outlives the app's logout unless logout_url is set. "
    "Answer Login(user_id, session) where you can."
)

WSGIApp = Callable[[Environ, Any], Iterable[bytes]]

log = logging.getLogger("authy_wsgi")


class CookieNames(NamedTuple):
    """One spelling of each name, fixed at start: accepting two would let a sibling site toss one in."""

    passes: str
    attempt: str

    @classmethod
    def of(cls, settings: Settings) -> CookieNames:
        name = ("__Host-" if settings.https else "") + settings.cookie_name
        return cls(name, f"{name}_attempt")


class SecondFactor:
    """A second factor around `app`, any WSGI callable. See `authy_wsgi.settings` for what may be set; all faults are reported at once.

    Without an app it is for an integration (a tween, a hook), which calls `gate` and `require` itself.
    """

    def __init__(self, app: WSGIApp | None = None, **settings: Any) -> None:
        self.settings = Settings.read(settings)
        self.app = app
        self._cookies = CookieNames.of(self.settings)
        _refuse_nested(app, self._cookies)
        self._tickets = Tickets([self.settings.secret, *self.settings.other_secrets], self.settings.instance)
        ledger = SQLLedger(self.settings.users.database) if self.settings.ledger is None else self.settings.ledger  # type: ignore[attr-defined]
        self._needs_one_process = any(getattr(part, "single_process", False) for part in (ledger, self.settings.users)) and not self.settings.single_process
        self.backend = Backend(self.settings, self._tickets, ledger)
        self._accounts = self.backend.accounts
        look = Look(self.settings)
        self._wall = Wall(look, self.settings.shown_name)
        self._reception = Reception(self.settings, self._tickets, self._cookies.attempt)
        origin, https = self.settings.public_url, self.settings.https
        self._kept = KeptForms(ledger, self._tickets, self.settings.instance, self.backend.limits, self._accounts, origin, https=https)
        names = {"pass": self._cookies.passes, "attempt": self._cookies.attempt}
        self._pages = Pages(self.backend, look, self._reception, self._kept, names, self._presented, self._pass_cookie)
        self._prefix, self._below = self.settings.prefix, self.settings.prefix + "/"
        self._exemptions = Exemptions(self.settings.exempt) if self.settings.exempt else None
        self._logout_url = self.settings.logout_url
        self._read_login = login_reader(self.settings.canonical)
        self._clock = self.settings.clock
        # Named for the instance: gates may be nested, and each asks its own.
        self._base_key, self._login_key = f"authy_wsgi.base.{self.settings.instance}", f"authy_wsgi.login.{self.settings.instance}"
        self._mark = self._cookies.passes + "="
        # Passes that went through lately: token -> (login, need, since, until, standing, what the app is told). See _keep_warm.
        self._warm: dict[str, tuple[Login, Need, int, int, Standing, Proven]] = {}
        self._policy = self.settings.policy or required
        self._challenged: dict[Login, int] = {}  # who met the wall lately: login -> until when that is not told again
        self._warned_unbound = self._warned_proxy = False
        for warning in self.warnings():
            log.warning("%s", warning)

    def __repr__(self) -> str:
        return f"SecondFactor(prefix={self._prefix!r}, enrolment={self.settings.enrolment!r})"

    def warnings(self) -> list[str]:
        """What works, but should be known: said at start and by `authy-wsgi check`."""
        settings, found = self.settings, []
        if not settings.https:
            found.append("https=False: cookies travel in clear. This is for development only.")
        if not settings.enforce:
            found.append("enforce=False: nobody is asked for a second factor; what would have been asked is only logged.")
        if settings.identity is remote_user:
            found.append(UNBOUND)
        if settings.identity is basic_auth:
            found.append(BASIC)
        if settings.enrolment == "open":
            found.append('enrolment="open": whoever passes the login first adds their phone to a fresh account (trust on first use).')
        if self._needs_one_process:
            found.append("Store or ledger are in memory: with more than one process every request is refused. Use SQLStore, or promise single_process=True.")
        found += self.backend.notices()
        return found

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if self.app is None:
            raise Misconfigured("This SecondFactor wraps no app: give one as its first argument, or call gate() from your framework.")
        return (self.gate(environ, self.settings.identity) or self.app)(environ, start_response)

    # The gate

    def gate(self, environ: Environ, login: Callable[[Environ], Any] | Login | str | None) -> Response | None:
        """None to go on, else the answer. `login` is who passed the first factor, or a callable of the environ that says so."""
        try:
            path: str = environ.get("PATH_INFO", "")
            if path.startswith(self._prefix) and (path == self._prefix or path.startswith(self._below)):
                return self._own_page(environ, login)
            environ[self._base_key] = environ.get("SCRIPT_NAME", "")
            return self._judge(environ, self._read_login(login(environ) if callable(login) else login))
        except Exception as fault:  # noqa: BLE001 - a gate that lets an exception out lets the request in
            return self._fault(environ, fault)

    def _whose(self, environ: Environ, login: Callable[[Environ], Any] | Login | str | None) -> Login | None:
        return self._read_login(login(environ) if callable(login) else login)

    def _judge(self, environ: Environ, who: Login | None) -> Response | None:
        if who is None:
            environ[PROVEN_KEY] = _ANONYMOUS
            environ.pop(self._login_key, None)
            return None
        environ[self._login_key] = who
        if not who.session and not self._warned_unbound:
            self._warned_unbound = True
            log.warning(UNBOUND)
        if self._logout_url and self._is_logout(environ):
            # Through for whoever lacks the factor; it only takes away. The dead cookies stay: the app's answer is not ours to touch.
            self._log_out(environ, who)
            environ[PROVEN_KEY] = Proven(user_id=who.user_id)
            return None
        if self._exemptions is not None and self._exemptions.match(full_path(environ), environ.get("SCRIPT_NAME", "")):
            environ[PROVEN_KEY] = Proven(user_id=who.user_id)
            return None
        need: object = self._policy(environ, who)
        if need is NOT_NEEDED:
            environ[PROVEN_KEY] = Proven(user_id=who.user_id)
            return None
        if not isinstance(need, Need):
            # SECURITY: a forgotten return is "needed", never "not needed".
            log.error("policy answered %s; that counts as required", type(need).__name__)
            need = REQUIRED
        return self._ask(environ, who, need, strict=False)

    def _is_logout(self, environ: Environ) -> bool:
        mount, path = environ.get("SCRIPT_NAME", ""), full_path(environ)
        ours = path == self._logout_url and (not mount or reaches_beyond(path, mount, path))
        return ours and header(environ, "Sec-Fetch-Site") != "cross-site"

    def _refuse_many_processes(self, environ: Environ) -> None:
        if environ.get("wsgi.multiprocess"):
            raise Misconfigured("Store or ledger are in memory, but several processes serve this site: use SQLStore, or set single_process=True if it is one.")

    def _ask(self, environ: Environ, who: Login, need: Need, *, strict: bool, form: Form | None = None) -> Response | None:
        """Go on with a pass that meets the need; the wall otherwise. `strict` is a view's own demand, which nothing lessens."""
        if self._needs_one_process:
            self._refuse_many_processes(environ)
        now = self._clock()
        token = first_cookie_value(environ, self._mark)
        # Where more is asked than a pass, also by a rule, nothing is taken from memory.
        fresh = strict or need.max_age is not None or need.strength > Strength.REMEMBERED
        if not fresh and (warm := self._warm.get(token)) is not None:
            login, met, since, until, standing, seen = warm
            if met is need and login == who and since <= now < until and self._accounts.standings.get(who.user_id) is standing:
                environ[PROVEN_KEY] = seen
                return None
        held = self._live_pass(environ, who, now, strict=fresh)
        if held is not None and now < (until := good_until(held, need, self.settings.lifetime)):
            seen = environ[PROVEN_KEY] = Proven(user_id=who.user_id, proofs=held.proofs)
            if not fresh:
                self._keep_warm(token, held, (who, need, now, until, seen))
            return None
        if need.if_enrolled and not strict and self._may_do_without(who, now):
            environ[PROVEN_KEY] = Proven(user_id=who.user_id)
            return None
        if not self.settings.enforce and not strict:
            self._report(environ, who)
            environ[PROVEN_KEY] = Proven(user_id=who.user_id, proofs=held.proofs if held else (), enforced=False)
            return None
        self._note_challenge(environ, who, now)
        if kind_of(environ) == "post":
            return self._stop_form(environ, who, need, now, form, unread=not strict)
        return self._answer(environ, who, need, now)

    def _note_challenge(self, environ: Environ, who: Login, now: int) -> None:
        """Tell that somebody has passed the first factor and not the second: the site may want to know of those who never do (ASVS 6.3.5)."""
        if now < self._challenged.get(who, 0):
            return
        if len(self._challenged) >= _MEMO_SIZE:
            self._challenged.clear()
        self._challenged[who] = now + ATTEMPT_SECONDS
        self.backend.events.emit("challenged", self.backend.context(network=client_network(environ)), who.user_id)

    def _may_do_without(self, who: Login, now: int) -> bool:
        """Whether "those who have a factor" leaves this user out. Whoever an administrator has switched off is refused, factor or not."""
        standing = self._accounts.standing(who.user_id, now, self.settings.recheck)
        return not (standing.enrolled or standing.disabled)

    def _keep_warm(self, token: str, held: Pass, judged: tuple[Login, Need, int, int, Proven]) -> None:
        """Remember that this pass, for this login and need, needs no second look until a proof is too old or the user's record is due for a reading.

        SECURITY: the entry holds the very reading of the record that it rests on; any newer reading, or a change made here, makes it void.
        """
        who, need, now, until, seen = judged
        standing = self._accounts.standings.get(who.user_id)
        # The reading may be newer than the one that the pass was judged by, and not carry it any more; and another cookie may have been the good one.
        if standing is None or not _carries(standing, held) or self._tickets.read_pass(token) != held:
            return
        if not self._accounts.writable or self.settings.idle is not None:
            return
        if len(self._warm) >= _MEMO_SIZE:
            self._warm.clear()
        self._warm[token] = (who, need, now, min(standing.read_at + self.settings.recheck, until), standing, seen)

    def require(
        self,
        environ: Environ,
        login: Callable[[Environ], Any] | Login | str | EllipsisType | None = ...,
        *,
        max_age: int | None = None,
        strength: Strength | None = None,
        form: Form | None = None,
    ) -> Response | None:
        """A view's own demand (step-up): a proof at most `max_age` seconds old and at least this strong, judged on the store as it is now.

        No exemption, policy or `enforce=False` lessens it. An anonymous request is answered with "Sign in first". `login` is the one that the gate has let
        through, where it is left out. `form` is what the view has read of a POST (a mapping, pairs, or the urlencoded body), which no one can read again: it
        is kept, and sent again once the person has confirmed.
        """
        try:
            who = self._demanded(environ, login)
            environ.setdefault(self._base_key, environ.get("SCRIPT_NAME", ""))
            if who is None:
                if kind_of(environ) == "program":
                    return self._wall.sign_in_first(self.settings.login_url)
                return self._pages.serve(self._at_base(environ), lambda: None)
            environ[self._login_key] = who
            return self._ask(environ, who, Need(max_age=max_age, strength=strength or Strength.REMEMBERED), strict=True, form=form)
        except Exception as fault:  # noqa: BLE001 - a gate that lets an exception out lets the request in
            return self._fault(environ, fault)

    def confirm(self, environ: Environ, login: Callable[[Environ], Any] | Login | str | None) -> Response | None:
        """For an integration, right before a view runs: None where the app acts for nobody, or for the very login that `gate` has judged.

        SECURITY: something between gate and view (a token, another middleware) may have let in somebody else; what was proved is not theirs. That is refused
        wherever that one would be asked, and said in the log, because our pages could never serve them.
        """
        try:
            who = self._whose(environ, login)
            if who is None or who == self.login_of(environ) or self._judge(environ, who) is None:
                return None
            raise Misconfigured("the app acts for somebody whom the gate was not asked about: have it stand behind whatever lets people in")
        except Exception as fault:  # noqa: BLE001 - a gate that lets an exception out lets the request in
            return self._fault(environ, fault)

    def login_of(self, environ: Environ) -> Login | None:
        """The login that `gate` or `require` has judged this request for; None for an anonymous one, and for one that neither has seen."""
        found: Login | None = environ.get(self._login_key)
        return found

    def _demanded(self, environ: Environ, login: Callable[[Environ], Any] | Login | str | EllipsisType | None) -> Login | None:
        """Whose proof a view asks for: the login that the gate has judged, or, in front of it, the one given."""
        judged = self.login_of(environ)
        if login is ...:
            return judged if self._base_key in environ else self._whose(environ, self.settings.identity)
        who = self._whose(environ, login)
        if who is not None and judged not in (None, who):
            # Our pages serve the login that `identity` names: for another one nobody could ever get through.
            said = "the same user in another login session" if judged is not None and judged.user_id == who.user_id else "another user"
            raise Misconfigured(f"require() was given {said} than the gate has let through: give it what `identity` answers, or leave `login` out")
        return who

    def _at_base(self, environ: Environ) -> Environ:
        """The environ as it would be for our first page: where mounted sub-apps have moved the split, back to our place."""
        return {**environ, "SCRIPT_NAME": environ[self._base_key], "PATH_INFO": self._prefix + "/", "REQUEST_METHOD": "GET", "QUERY_STRING": ""}

    # Passes

    def _live_pass(self, environ: Environ, who: Login, now: int, *, strict: bool = False) -> Pass | None:
        """The first pass among the cookies that is this holder's, of a sane time, and not revoked."""
        holders = self._tickets.holders(who)
        for token in cookie_values(environ, self._cookies.passes):
            held = self._tickets.read_pass(token)
            if held is None or held.holder not in holders or not self._timely(held, now):
                continue
            if self._stands(held, who, now, 0 if strict else self.settings.recheck):
                return held
        return None

    def _timely(self, held: Pass, now: int) -> bool:
        newest = held.proofs[0].at
        for proof in held.proofs:
            if proof.at > now + LEEWAY:
                return False
            newest = max(newest, proof.at)
        return now - newest <= self.settings.lifetime

    def _stands(self, held: Pass, who: Login, now: int, patience: int) -> bool:
        """Whether the user's record still carries this pass. Read anew where memory is older than `patience` seconds, or would refuse."""
        standing = self._accounts.standing(who.user_id, now, patience)
        if not _carries(standing, held):
            if standing.read_at == now and patience == 0:
                return False
            standing = self._accounts.standing(who.user_id, now, 0)
            if not _carries(standing, held):
                return False
        return self._alive_in_ledger(held, who, now, patience)

    def _alive_in_ledger(self, held: Pass, who: Login, now: int, patience: int) -> bool:
        """What only the ledger knows of a pass: an idle time, where one is set, and the ended passes of a get-only store."""
        if self._accounts.writable and self.settings.idle is None:
            return True
        asked = self._accounts.asked
        if 0 <= now - asked.get(held.id, -patience) < patience:
            return True
        alive = not self._accounts.ended_elsewhere(who.user_id, held.id, now) and self.backend.stays_awake(held, now)
        if alive:
            if len(asked) >= _MEMO_SIZE:
                asked.clear()
            asked[held.id] = now
        return alive

    def _presented(self, environ: Environ, who: Login, now: int) -> Pass | None:
        """The live pass of a request to our own pages, judged on the store as it is now."""
        return self._live_pass(environ, who, now, strict=True)

    def _pass_cookie(self, grant: Grant) -> tuple[str, str]:
        held = Pass(grant.pass_id, self._tickets.holder(grant.login), grant.epoch, grant.proofs)
        return set_cookie(self._cookies.passes, self._tickets.sign("pass", held.payload()), secure=self.settings.https, max_age=self.settings.lifetime)

    def remember(self, environ: Environ, grant: Grant) -> list[tuple[str, str]]:
        """The headers that give the browser the pass which a grant earned. For an app that calls the backend itself."""
        return [self._pass_cookie(grant)]

    def forget(self, environ: Environ) -> list[tuple[str, str]]:
        """End the pass of this request in every copy, and the headers that delete our cookies. For an app's own logout."""
        who = self.login_of(environ)
        if who is not None:
            self._log_out(environ, who)
        return [delete_cookie(name, secure=self.settings.https) for name in self._cookies]

    def _log_out(self, environ: Environ, who: Login) -> None:
        context = self.backend.context(network=client_network(environ))
        held = self._live_pass(environ, who, context.at, strict=True)
        self.backend.log_out(who, held, self._reception.attempt_of(environ, context.at), context)

    # Answers

    def _warn_of_proxy(self, environ: Environ) -> None:
        """Behind a proxy every address is the proxy's; the header that says more is anybody's word until ProxyFix vouches for it."""
        if "HTTP_X_FORWARDED_FOR" in environ and not self._warned_proxy and not client_network(environ):
            self._warned_proxy = True
            log.warning("X-Forwarded-For is not read here: network budgets count no proxy's address. Wrap the whole: ProxyFix(SecondFactor(app)).")

    def _own_page(self, environ: Environ, login: Callable[[Environ], Any] | Login | str | None) -> Response:
        environ.setdefault("REQUEST_METHOD", "GET")
        if self._needs_one_process:
            self._refuse_many_processes(environ)
        self._warn_of_proxy(environ)
        return self._pages.serve(environ, lambda: self._whose(environ, login))

    def _target(self, environ: Environ) -> str:
        """The path and query of a request, percent-encoded, as an absolute path of our own origin."""
        return as_path(environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")) + encoded_query(environ.get("QUERY_STRING", ""))

    def _start_url(self, environ: Environ, who: Login, target: str, need: Need, now: int) -> str:
        signed = self._reception.sign_target(who, target, need, now, as_path(environ[self._base_key], "/"))
        return as_path(environ[self._base_key], self._prefix, "/") + f"?next={quote(signed)}"

    def _answer(self, environ: Environ, who: Login, need: Need, now: int) -> Response:
        if kind_of(environ) == "get":
            return self._wall.redirect(self._start_url(environ, who, self._target(environ), need, now))
        enrolled = self._accounts.standing(who.user_id, now, 0).enrolled
        url = as_path(environ[self._base_key], self._prefix, "/")
        if need.max_age is not None or need.strength > Strength.REMEMBERED:
            # The page has to know what is asked for, or a pass that is good elsewhere would be the end of it.
            url = self._start_url(environ, who, as_path(environ[self._base_key], "/"), need, now)
        return self._wall.problem(url, need, enrolled=enrolled)

    def _stop_form(self, environ: Environ, who: Login, need: Need, now: int, form: Form | None, *, unread: bool) -> Response:
        """A form that met the wall: kept where it can be, and a page that says what becomes of it."""
        values = self._wall_values(environ)
        attempt_id, minted = self._reception.read_attempt(environ, now) or ("", now)
        if not attempt_id or self.backend.outcome(attempt_id, who, now) is not None:
            attempt_id, minted = new_id(), now
        try:
            kept = self._kept.read(environ, self._target(environ), need, form, body=unread)
            replaced = self._kept.keep(who, attempt_id, kept, now)
        except CannotKeep as why:
            back = came_from(environ, self.settings.public_url.partition("://")[2]) or as_path(environ[self._base_key], "/")
            return self._wall.not_sent(self._start_url(environ, who, back, need, now), need, str(why), values)
        page = kept_url(as_path(environ[self._base_key], self._prefix), attempt_id)
        response = self._wall.kept(self._start_url(environ, who, page, need, now), need, kept.target.partition("?")[0], values, replaced=replaced)
        response.headerlist.append(self._reception.attempt_cookie(attempt_id, minted, (attempt_id, now)))
        return response

    def _wall_values(self, environ: Environ) -> dict[str, Any]:
        base = str(environ.get(self._base_key, environ.get("SCRIPT_NAME", "")))
        return {"static": as_path(base, self._prefix, "/static"), "home": as_path(base, "/"), "notices": self.backend.notices()}

    def _report(self, environ: Environ, who: Login) -> None:
        log.warning("enforce=False: a request to %s would have been asked for a second factor", as_path(full_path(environ)))
        self.backend.events.emit("not_enforced", self.backend.context(network=client_network(environ)), who.user_id)

    def _fault(self, environ: Environ, fault: Exception) -> Response:
        """SECURITY: whatever raises (identity, policy, store, ledger, our own code), the app is not called."""
        if isinstance(fault, UnreadableIdentity):
            log.error("%s", fault)
            with suppress(Exception):
                self.backend.events.emit("identity_unreadable", self.backend.context(network=client_network(environ)), "")
        elif isinstance(fault, SecondFactorError):
            log.error("%s: %s", type(fault).__name__, fault)
        else:
            # The traceback without the exception's own words: those may hold what a user typed.
            log.error("%s in the gate", type(fault).__name__, exc_info=_without_words(fault))
        sentence = "We cannot check your second step just now, so nobody is let in. Try again in a moment."
        return self._wall.fault(environ, sentence, self._wall_values(environ))


def _carries(standing: Standing, held: Pass) -> bool:
    return standing.epoch == held.epoch and held.id not in standing.ended and not standing.disabled


def _without_words(fault: Exception) -> tuple[type[BaseException], BaseException, Any]:
    """The exception for a log: its kind and traceback, without its words."""
    return (Exception, Exception(type(fault).__name__), fault.__traceback__)


def _refuse_nested(app: object, cookies: CookieNames) -> None:
    """Two gates of one cookie name, one inside the other, would each throw the other's pass away."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        if isinstance(app, SecondFactor) and CookieNames.of(app.settings) == cookies:
            raise Misconfigured(f"Two SecondFactors around one app have the same cookie_name ({cookies.passes}): give one of them another.")
        app = getattr(app, "app", None) or getattr(app, "wsgi_app", None)
