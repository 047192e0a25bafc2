"""The pages themselves. Each POST goes through one guard, each answer of the backend through one function that says what happens next."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from authy_wsgi import phones
from authy_wsgi.attempts import Attempt, Grant, UnderWay, Waiting
from authy_wsgi.backend import Answer, Backend
from authy_wsgi.contracts import Environ, Login, Outcome, User, Way
from authy_wsgi.errors import AttemptEnded, Misconfigured, Refused, Throttled, Unavailable
from authy_wsgi.pages.kept import KeptForm, KeptForms, kept_url
from authy_wsgi.pages.look import Look, respond, respond_json
from authy_wsgi.pages.visit import CookieMissing, Reception, Untrusted, Visit, cookie_cause, meets, page_values, renewed
from authy_wsgi.site import RequestError, Response, Routes, as_path, header, path_of, read_body
from authy_wsgi.tickets import Pass, delete_cookie

log = logging.getLogger("authy_wsgi")

_ROUTES = Routes(
    [
        ("choose", "/", ("GET",)),
        ("start", "/start", ("GET", "POST")),
        ("code", "/code", ("GET", "POST")),
        ("push", "/push", ("GET",)),
        ("poll", "/poll", ("GET", "POST")),
        ("continue", "/continue", ("GET", "POST")),
        ("enrol", "/enrol", ("GET", "POST")),
        ("kept", "/kept", ("GET", "POST")),
        ("logout", "/logout", ("GET", "POST")),
        ("static", "/static/<name>", ("GET",)),
        ("callback", "/callback/<name>", ("GET", "POST")),
    ]
)


class Pages:
    """Our pages below the prefix: (environ, login) -> response. `presented` finds the live pass that a request carries."""

    def __init__(
        self,
        backend: Backend,
        look: Look,
        reception: Reception,
        kept: KeptForms,
        names: Mapping[str, str],
        presented: Callable[[Environ, Login, int], Pass | None],
        pass_cookie: Callable[[Grant], tuple[str, str]],
    ) -> None:
        self._backend = backend
        self._settings = backend.settings
        self._look = look
        self._reception = reception
        self._kept = kept
        self._names = names
        self._presented = presented
        self._pass_cookie = pass_cookie

    def serve(self, environ: Environ, whose: Callable[[], Login | None]) -> Response:
        """The answer to a request below our prefix; `whose` resolves the login, and is not asked for static files."""
        prefix_length = len(self._settings.prefix)
        try:
            name, arguments = _ROUTES.find(path_of(environ)[prefix_length:], environ["REQUEST_METHOD"])
            if name == "static":
                return self._look.file(arguments["name"])
            if name == "callback":
                return self._callback(environ, arguments["name"])
            login = whose()
            if login is None:
                return self._anonymous(environ)
            now = self._settings.clock()
            visit = self._reception.receive(environ, login, now, self._presented(environ, login, now))
        except RequestError as error:
            return self._request_error(environ, error)
        except Unavailable as failure:
            if not _by_script(environ):
                raise
            log.warning("%s", failure)
            return respond_json(503, {"state": "unavailable", "message": self._look.text("unavailable.us")}, headers={"Retry-After": "2"})
        return self._serve_visit(name, visit)

    def _serve_visit(self, name: str, visit: Visit) -> Response:
        method = "post" if visit.environ["REQUEST_METHOD"] == "POST" else "get"
        try:
            if method == "post" and not self._reception.admit(visit):
                return self._stale(name, visit)
            view: Callable[[Visit], Response] = getattr(self, f"_{method}_{name}")
            return view(visit)
        except CookieMissing:
            return self._cookie_missing(visit)
        except Untrusted as error:
            if _by_script(visit.environ):
                return respond_json(403, {"state": "ended", "url": visit.url()})
            return self._message(visit, error.status, "Nothing was done", self._look.text(error.detail))
        except RequestError as error:
            return self._request_error(visit.environ, error)
        except AttemptEnded as ended:
            if _by_script(visit.environ):
                return respond_json(200, {"state": "ended", "url": visit.url()})
            if str(ended) == "disabled":
                return self._message(visit, 403, "Your account is switched off", self._look.text("disabled"))
            text = "changed" if str(ended) in ("the account has changed", "what allowed it is gone", "the factor is gone") else "ended"
            return self._choose(renewed(visit), 422, self._look.text(text))
        except Unavailable as failure:
            log.warning("%s", failure)
            return self._broken(visit, name, "unavailable" if failure.what == "provider" else "unavailable.us")
        except Misconfigured as failure:
            log.error("%s", failure)
            return self._broken(visit, name, "misconfigured")

    def _callback(self, environ: Environ, client: str) -> Response:
        """What a provider says: before identity, since it has none. Nothing is granted by it; the signature alone says whose it is."""
        headers = {name: header(environ, name) for name in ("X-Authy-Signature", "X-Authy-Signature-Nonce", "Content-Type")}
        body = read_body(environ) if environ["REQUEST_METHOD"] == "POST" else b""
        try:
            genuine = self._backend.hear(client, environ["REQUEST_METHOD"], str(environ.get("QUERY_STRING", "")), headers, body)
        except Unavailable as failure:
            log.warning("a callback could not be noted: %s", failure)
            return respond(503, headers={"Retry-After": "10"})
        if not genuine:
            log.warning("a callback that is not the provider's, or not for us: check callback_url, callback_method and the API key")
        return respond(200 if genuine else 403)

    # Answers that are not about a page of their own

    def _anonymous(self, environ: Environ) -> Response:
        if _by_script(environ):
            return respond_json(403, {"state": "ended", "url": self._settings.login_url or as_path(str(environ.get("SCRIPT_NAME", "")), "/")})
        invited = "invite" in parse_qs(str(environ.get("QUERY_STRING", "")))
        return self._look.page(
            "anonymous.html",
            403,
            self._plain_values(environ, message=self._look.text("anonymous.invited" if invited else "anonymous"), login_url=self._settings.login_url),
        )

    def _plain_values(self, environ: Environ, **more: Any) -> dict[str, Any]:
        base = str(environ.get("SCRIPT_NAME", ""))
        return {"static": as_path(base, self._settings.prefix, "/static"), "home": as_path(base, "/"), "notices": self._backend.notices(), **more}

    def _request_error(self, environ: Environ, error: RequestError) -> Response:
        response = self._look.page("message.html", error.status, self._plain_values(environ, heading="That did not work", message=error.detail))
        if error.allow:
            response.headers["Allow"] = ", ".join(error.allow)
        return response

    def _page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        profile = self._backend.profile(visit.login.user_id)
        shown = page_values(
            visit,
            static=visit.prefix + "/static",
            home=visit.base,
            notices=self._backend.notices(),
            csrf=self._reception.csrf(visit),
            user_name=profile.name or visit.login.user_id,
            **values,
        )
        response = self._look.page(template, status, shown)
        if not visit.kept:
            response.headerlist.append(self._reception.attempt_cookie(visit.attempt_id, visit.minted, visit.sent_form))
        return response

    def _message(self, visit: Visit, status: int, heading: str, message: str, **values: Any) -> Response:
        return self._page(visit, "message.html", status, heading=heading, message=message, **values)

    def _go(self, visit: Visit, url: str, *headers: tuple[str, str]) -> Response:
        response = self._page(visit, "moved.html", 303, to=url)
        response.headers["Location"] = url
        response.headerlist.extend(headers)
        return response

    def _stale(self, name: str, visit: Visit) -> Response:
        """A POST of another attempt of this person: nothing is done, the page comes back with the fields kept."""
        message = self._look.text("stale")
        if _by_script(visit.environ):
            return respond_json(409, {"state": "stale", "url": visit.url()})
        if name == "enrol":
            return self._enrol_form(visit, 409, message, "")
        if name in ("logout", "kept"):
            again = self._get_logout(visit) if name == "logout" else self._get_kept(visit)
            again.status_int = 409 if again.status_int == 200 else again.status_int
            return again
        attempt, waiting = self._under_way(visit)
        if name == "code" and attempt and waiting and waiting.challenge.way.kind == "code":
            return self._code_page(visit, attempt, waiting, 409, message)
        return self._choose(visit, 409, message)

    def _cookie_missing(self, visit: Visit) -> Response:
        cause = cookie_cause(visit.environ, self._settings)
        return self._page(visit, "cookie.html", 400, cause=cause)

    def _broken(self, visit: Visit, name: str, text: str) -> Response:
        """Something did not answer: what the person was doing stays possible."""
        message = self._look.text(text)
        if _by_script(visit.environ):
            return respond_json(503, {"state": "unavailable", "message": message}, headers={"Retry-After": "2"})
        if text == "unavailable":
            try:
                return self._back(visit, name, 503, message)
            except (Unavailable, Misconfigured, AttemptEnded, Refused) as error:
                log.warning("%s", error)
        response = self._message(visit, 503, "Please try again in a moment", message)
        response.headers["Retry-After"] = "10"
        return response

    def _back(self, visit: Visit, name: str, status: int, message: str, field: str = "", again_at: int | None = None) -> Response:
        """The page where a POST came from, with a message."""
        if again_at is not None:
            message += self._look.text("again", when=again_at - visit.context.at)
            return _later(self._back(visit, name, status, message, field), again_at - visit.context.at)
        if name == "enrol":
            return self._enrol_form(visit, status, message, field)
        attempt, waiting = self._under_way(visit)
        # A second tab that asks for the same message gets the page where its code is typed.
        came_from = "code" if name == "code" else visit.fields.get("from")
        if attempt and waiting and (came_from == waiting.challenge.way.kind or visit.fields.get("channel") == waiting.challenge.way.channel):
            if waiting.challenge.way.kind == "code":
                return self._code_page(visit, attempt, waiting, status, message)
            return self._push_page(visit, attempt, waiting, status, message)
        return self._choose(visit, status, message)

    # Where an attempt stands

    def _seen(self, visit: Visit) -> UnderWay | None:
        return self._backend.under_way(visit.attempt_id, visit.login, visit.context.at, visit.need) if visit.kept else None

    def _under_way(self, visit: Visit) -> tuple[Attempt | None, Waiting | None]:
        seen = self._seen(visit)
        if seen is None:
            return None, None
        waiting = seen.waiting
        if waiting and waiting.challenge.ends <= visit.context.at and waiting.challenge.way.kind == "code":
            waiting = None
        return seen.attempt, waiting

    def _user(self, visit: Visit) -> User:
        user = self._backend.accounts.user(visit.login.user_id)
        if user.disabled:
            raise AttemptEnded("disabled")
        return user

    # Choose

    def _get_choose(self, visit: Visit) -> Response:
        user = self._user(visit)
        if visit.satisfied(self._settings.lifetime):
            return self._go(visit, visit.target) if visit.next else self._page(visit, "verified.html", proofs=visit.presented)
        if not user.factors:
            return self._go(visit, visit.url("/enrol", **_carried(visit, "invite")))
        if visit.presented is None and "again" not in visit.fields and self._backend.just_granted(visit.login, visit.context):
            return self._page(visit, "cookie.html", cause=cookie_cause(visit.environ, self._settings))
        outcome = self._backend.outcome(visit.attempt_id, visit.login, visit.context.at) if visit.kept else None
        if outcome is not None:
            if visit.presented is None and self._backend.resume(visit.attempt_id, visit.login, visit.context.at):
                return self._page(visit, "continue.html")
            visit = renewed(visit)
        return self._choose(visit)

    def _choose(self, visit: Visit, status: int = 200, message: str = "") -> Response:
        user = self._backend.accounts.user(visit.login.user_id)
        ways = self._backend.ways_of(user, visit.need)
        if not user.factors:
            return self._enrol_form(visit, status, message, "")
        likely = [way for way in ways if not way.unlikely]
        return self._page(
            visit, "choose.html", status, message=message, ways=likely, unlikely=[way for way in ways if way.unlikely], closed=self._is_closed(user)
        )

    def _is_closed(self, user: User) -> bool:
        return self._backend.accounts.is_closed(user, "code", self._settings.clock())

    # Start

    def _get_start(self, visit: Visit) -> Response:
        return self._go(visit, visit.url())

    _get_poll = _get_start

    def _begin(self, visit: Visit) -> tuple[Attempt, Visit]:
        """The attempt of this visit, begun if it was not. Its id may be another one than the cookie's; then the answer sets the cookie again."""
        attempt, waiting = self._under_way(visit)
        if attempt is None or not (waiting and waiting.candidate):
            purpose = "step_up" if visit.presented else "sign_in"
            attempt = self._backend.begin(
                visit.login,
                context=visit.context,
                purpose=purpose,  # type: ignore[arg-type]
                need=visit.need,
                attempt_id=visit.attempt_id,
                minted=visit.minted,
                presented=visit.presented,
            )
        if self._backend.outcome(attempt.id, visit.login, visit.context.at) is not None:
            raise AttemptEnded("it has an outcome")
        return attempt, visit if attempt.id == visit.attempt_id else renewed(visit, attempt.id)

    def _post_start(self, visit: Visit) -> Response:
        # A tab that was left behind: what it asks for is there already, so nothing is sent.
        if visit.satisfied(self._settings.lifetime) or (visit.kept and self._backend.resume(visit.attempt_id, visit.login, visit.context.at)):
            return self._go(visit, visit.url("/continue"))
        attempt, visit = self._begin(visit)
        asked = visit.fields
        way = Way(client=asked.get("client", ""), channel=asked.get("channel", ""), factor=asked.get("factor", ""), kind="code", strength=visit.need.strength)
        context = replace(visit.context, insist=asked.get("insist") == "1")
        try:
            challenge = self._backend.start(attempt, way, context)
        except Throttled as refusal:
            return self._back(visit, "start", 429, refusal.sentence, again_at=refusal.again_at)
        except Refused as refusal:
            return self._back(visit, "start", 422, refusal.sentence)
        return self._go(visit, visit.url("/push" if challenge.way.kind == "wait" else "/code"))

    # Code

    def _get_code(self, visit: Visit) -> Response:
        attempt, waiting = self._under_way(visit)
        if attempt is None or waiting is None or waiting.challenge.way.kind != "code":
            return self._go(visit, visit.url())
        if self._backend.outcome(attempt.id, visit.login, visit.context.at) is not None:
            return self._go(visit, visit.url("/continue"))
        return self._code_page(visit, attempt, waiting)

    def _code_page(self, visit: Visit, attempt: Attempt, waiting: Waiting, status: int = 200, message: str = "") -> Response:
        challenge, now = waiting.challenge, visit.context.at
        asked = str(challenge.shown.get("instead_of") or challenge.way.channel)
        cooldown = self._settings.limits["send.cooldown"][0][1]
        return self._page(
            visit,
            "code.html",
            status,
            message=message,
            challenge=challenge,
            way=challenge.way,
            asked=asked,
            ignored=bool(challenge.shown.get("ignored")),
            enrolling=waiting.candidate is not None,
            other_number=attempt.allowed != "known",
            hint=waiting.candidate.label if waiting.candidate else challenge.way.hint,
            resend_in=max(0, waiting.began + cooldown - now),
            minutes=max(1, round((challenge.ends - now) / 60)),
            ways=self._backend.ways(attempt),
            typed=visit.fields.get("code", "")[:32] if status == 409 else "",
        )

    def _post_code(self, visit: Visit) -> Response:
        attempt, waiting = self._under_way(visit)
        if attempt is None and visit.satisfied(self._settings.lifetime):
            return self._go(visit, visit.url("/continue"))
        if attempt is None:
            return self._choose(visit, 422, self._look.text("ended"))
        try:
            answer = self._backend.check(attempt, {"code": visit.fields.get("code", "")}, visit.context)
        except Refused as refusal:
            return self._choose(visit, 422, refusal.sentence)
        return self._next(visit, attempt, waiting, answer)

    def _next(self, visit: Visit, attempt: Attempt, waiting: Waiting | None, answer: Answer) -> Response:
        """What an answer of the backend leads to, for every way in."""
        if answer.grant:
            return self._enter(visit, answer.grant)
        outcome, reason = answer.verdict.outcome, answer.verdict.reason
        if outcome is Outcome.PENDING:
            return self._go(visit, visit.url("/continue"))
        if outcome is Outcome.DENIED or reason == "denied":
            return self._page(renewed(visit), "denied.html", 403)
        if outcome is Outcome.EXPIRED or waiting is None:
            text = {"no_challenge": "code.expired", "ended": "ended"}.get(reason, "ended")
            return self._choose(visit if reason == "no_challenge" else renewed(visit), 422, self._look.text(text))
        status = 429 if outcome is Outcome.THROTTLED or answer.left == 0 else 422
        push_open = not waiting.candidate and any(way.kind == "wait" for way in self._backend.ways(attempt))
        page = self._code_page(visit, attempt, waiting, status, self._complaint(answer, visit.context.at, push_open=push_open))
        return _later(page, answer.again_at - visit.context.at) if status == 429 and answer.again_at else page

    def _complaint(self, answer: Answer, now: int, *, push_open: bool) -> str:
        reason, left, text = answer.verdict.reason, answer.left, self._look.text
        when = max(1, (answer.again_at or now + 900) - now)
        if answer.verdict.outcome is Outcome.THROTTLED:
            name = {"closed": "code.closed", "code.attempt": "code.throttled.attempt"}.get(reason, "code.throttled")
            return text(name, when=when) + (text("code.push_open") if push_open else "")
        if reason in ("malformed", "used"):
            return text(f"code.{reason}")
        if left == 0:
            return text("code.wrong.none", when=when)
        return text("code.wrong") if left is None else text("code.wrong.one") if left == 1 else text("code.wrong.some", left=left)

    def _enter(self, visit: Visit, grant: Grant) -> Response:
        return self._go(visit, visit.target, self._pass_cookie(grant))

    # A form that was kept

    def _get_kept(self, visit: Visit) -> Response:
        of = visit.fields.get("of", "")
        form = self._kept.waiting(visit.login, of, visit.context.at) if self._is_sender(visit) else None
        if form is None:
            return self._message(visit, 404, "Nothing to send", self._look.text("kept.gone"))
        if not self._may_send(visit, form):
            signed = self._reception.sign_target(visit.login, kept_url(visit.prefix, of), form.need, visit.context.at)
            return self._go(visit, replace(visit, next=signed).url())
        return self._page(visit, "send.html", of=of, path=form.target.partition("?")[0])

    def _post_kept(self, visit: Visit) -> Response:
        of, now = visit.fields.get("of", ""), visit.context.at
        waiting = self._kept.waiting(visit.login, of, now) if self._is_sender(visit) else None
        form = self._kept.take(visit.login, of, now) if waiting and self._may_send(visit, waiting) else None
        return self._get_kept(visit) if form is None else self._resend(visit, form)

    @staticmethod
    def _is_sender(visit: Visit) -> bool:
        """Whether the form that is asked for came from this very browser."""
        return visit.sent_form is not None and visit.sent_form[0] == visit.fields.get("of", "")

    def _may_send(self, visit: Visit, form: KeptForm) -> bool:
        """Whether the pass shows what the form's page asks for; otherwise the wall would only keep it again."""
        return visit.presented is not None and meets(visit.presented, form.need, visit.context.at, self._settings.lifetime)

    def _resend(self, visit: Visit, form: KeptForm) -> Response:
        """The page that sends a kept form on: a button, which the script presses."""
        return self._page(visit, "resend.html", to=form.target, path=form.target.partition("?")[0], fields=form.fields)

    # Push

    def _get_push(self, visit: Visit) -> Response:
        attempt, waiting = self._under_way(visit)
        if attempt is None or waiting is None or waiting.challenge.way.kind != "wait":
            return self._go(visit, visit.url("/continue") if attempt and visit.satisfied(self._settings.lifetime) else visit.url())
        return self._push_page(visit, attempt, waiting)

    def _push_page(self, visit: Visit, attempt: Attempt, waiting: Waiting, status: int = 200, message: str = "") -> Response:
        try:
            outcome = self._backend.look(attempt, visit.context)
        except Unavailable as failure:
            log.warning("%s", failure)
            outcome = Outcome.PENDING
        if outcome is Outcome.DENIED:
            return self._page(renewed(visit), "denied.html", 403)
        if outcome is Outcome.EXPIRED:
            return self._choose(visit, 422, self._look.text("push.expired"))
        left = max(0, waiting.challenge.ends - visit.context.at)
        return self._page(visit, "push.html", status, message=message, challenge=waiting.challenge, outcome=outcome.value, left=left)

    def _post_poll(self, visit: Visit) -> Response:
        seen = self._seen(visit)
        script = _by_script(visit.environ)
        if seen is None:
            state = "approved" if visit.satisfied(self._settings.lifetime) else "ended"
            return respond_json(200, {"state": state, "url": visit.url("/continue")}) if script else self._go(visit, visit.url("/continue"))
        answer = self._backend.poll(seen.attempt, visit.context, seen)
        if not script:
            pending = answer.verdict.outcome is Outcome.PENDING and answer.verdict.reason != "continue"
            return self._go(visit, visit.url("/push")) if pending else self._next(visit, seen.attempt, seen.waiting, answer)
        return self._poll_json(visit, answer)

    def _poll_json(self, visit: Visit, answer: Answer) -> Response:
        if answer.grant:
            response = respond_json(200, {"state": "approved", "url": visit.target})
            response.headerlist.append(self._pass_cookie(answer.grant))
            return response
        outcome, reason = answer.verdict.outcome, answer.verdict.reason
        if outcome is Outcome.PENDING and reason == "continue":
            return respond_json(200, {"state": "approved", "url": visit.url("/continue")})
        if outcome is Outcome.DENIED or reason == "denied":
            return respond_json(200, {"state": "denied", "url": visit.url("/push")})
        if outcome is Outcome.PENDING:
            return respond_json(200, {"state": "pending"})
        return respond_json(200, {"state": "expired" if reason == "" else "ended", "url": visit.url("/push")})

    # Continue

    def _get_continue(self, visit: Visit) -> Response:
        if visit.satisfied(self._settings.lifetime):
            return self._go(visit, visit.target)
        if visit.kept and self._backend.resume(visit.attempt_id, visit.login, visit.context.at):
            return self._page(visit, "continue.html")
        attempt, waiting = self._under_way(visit)
        if attempt and self._backend.is_trying(attempt, visit.context.at):
            return self._page(visit, "checking.html")
        if attempt and waiting and self._backend.outcome(attempt.id, visit.login, visit.context.at) is None:
            return self._go(visit, visit.url("/push" if waiting.challenge.way.kind == "wait" else "/code"))
        return self._page(renewed(visit), "ended.html")

    def _post_continue(self, visit: Visit) -> Response:
        grant = self._backend.resume(visit.attempt_id, visit.login, visit.context.at)
        if grant:
            return self._enter(visit, grant)
        return self._go(visit, visit.url())

    # Enrol

    def _get_enrol(self, visit: Visit) -> Response:
        if self._user(visit).factors:
            return self._go(visit, visit.url())
        return self._enrol_form(visit, 200, "", "")

    def _enrol_form(self, visit: Visit, status: int, message: str, field: str) -> Response:
        user = self._user(visit)
        mode = self._backend.enrolment_mode(user)
        profile = self._backend.profile(user.id)
        known = self._backend.known_phone(user.id) if mode == "known" else ""
        invited = mode == "invited" and self._invitation(visit) in user.invitations and self._invitation(visit) != ""
        if mode == "none" or (mode == "invited" and not invited) or (mode == "known" and not known):
            return self._page(visit, "closed.html", 403, mode=mode)
        typed = visit.fields if visit.environ["REQUEST_METHOD"] == "POST" else {}
        country = typed.get("country", "") or profile.country or _region_of(profile.phone)
        return self._page(
            visit,
            "enrol.html",
            status,
            message=message,
            field=field,
            known=known,
            countries=phones.countries(_language(profile.locale), self._settings.countries),
            country=country,
            # SECURITY: what was typed, and nothing that the site knows: somebody who has the password only must not read the number here.
            phone=typed.get("phone", ""),
            email=typed.get("email", ""),
            ask_email=not profile.email and self._needs_email(),
            invite=visit.fields.get("invite", ""),
        )

    def _needs_email(self) -> bool:
        return any(getattr(client, "needs_email", False) for client in self._settings.clients)

    def _invitation(self, visit: Visit) -> str:
        """The id of the invitation that the request carries, or that the enrolment under way rests on."""
        attempt, _ = self._under_way(visit)
        if attempt and attempt.allowed.startswith("invited:") and not visit.fields.get("invite"):
            return attempt.allowed.partition(":")[2]
        return self._backend.accounts.invitation(visit.fields.get("invite", ""), visit.login.user_id, visit.context.at)

    def _post_enrol(self, visit: Visit) -> Response:
        if self._user(visit).factors:
            return self._go(visit, visit.url())
        fields = {name: visit.fields.get(name, "") for name in ("phone", "country", "email")}
        try:
            attempt = self._backend.begin(
                visit.login,
                context=visit.context,
                purpose="enrol",
                need=visit.need,
                attempt_id=visit.attempt_id,
                minted=visit.minted,
                invitation=self._invitation(visit),
            )
            if attempt.id != visit.attempt_id:
                visit = renewed(visit, attempt.id)
            self._backend.enrol(attempt, self._backend.enrolling_clients()[0], fields, visit.context)
        except Throttled as refusal:
            return self._back(visit, "enrol", 429, refusal.sentence, again_at=refusal.again_at)
        except Refused as refusal:
            return self._enrol_form(visit, 422, refusal.sentence, refusal.field)
        return self._go(visit, visit.url("/code"))

    # Sign out

    def _get_logout(self, visit: Visit) -> Response:
        return self._page(visit, "logout.html")

    def _post_logout(self, visit: Visit) -> Response:
        self._backend.log_out(visit.login, visit.presented, visit.attempt_id if visit.kept else "", visit.context)
        secure = self._settings.https
        gone = [delete_cookie(self._names[kind], secure=secure) for kind in ("pass", "attempt")]
        return self._go(replace(visit, kept=True), self._settings.logout_url or self._settings.login_url or visit.base, *gone)


def _by_script(environ: Environ) -> bool:
    """Whether the waiting page's script asks, which reads JSON only."""
    return header(environ, "Accept") == "application/json"


def _later(response: Response, seconds: int) -> Response:
    response.headers["Retry-After"] = str(max(1, seconds))
    return response


def _carried(visit: Visit, name: str) -> dict[str, str]:
    return {name: visit.fields[name]} if visit.fields.get(name) else {}


def _language(locale: str) -> str:
    return locale or "en"


def _region_of(phone: str) -> str:
    try:
        return phones.region_of(phones.read_number(phone)) if phone else ""
    except Refused:
        return ""
