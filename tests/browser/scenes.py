"""Every page of ours, each in the situation that shows it: what the screenshots are taken of, and what the tests of all pages walk through.

A scene drives a browser to its page and leaves it there. Sites, clock and emulator are in this process, so that a scene can have any setting and any hour.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from waitress import create_server

from authy_wsgi import Login, MemoryStore, Profile
from authy_wsgi.emulator.server import Server
from tests.support import PHONE, World

Scenery = Callable[["Stage", Any], None]


class Scene(NamedTuple):
    name: str
    play: Scenery
    script: bool
    settings: dict[str, Any]


SCENES: dict[str, Scene] = {}


def scene(name: str, *, script: bool = True, **settings: Any) -> Callable[[Scenery], Scenery]:
    """Registers a scene; `settings` are those of the site's SecondFactor."""

    def keep(play: Scenery) -> Scenery:
        SCENES[name] = Scene(name, play, script, settings)
        return play

    return keep


class Stage:
    """One site on a port, its emulator on another, and whoever the query says is signed in: /sign-in?user=alice."""

    def __init__(self) -> None:
        self.world: Any = None
        self.user: str | None = "alice"
        self._logins = 0
        self._server = create_server(self._site, host="127.0.0.1", port=0, threads=4)
        self.url = f"http://127.0.0.1:{self._server.effective_port}"
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        self._emulator: Server | None = None

    def _site(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.user is not None:
            environ["site.login"] = Login(self.user, f"login {self._logins}")
        answer: Iterable[bytes] = self.world.wsgi(environ, start_response)
        return answer

    def set(self, settings: dict[str, Any]) -> None:
        """A fresh world behind the same address."""
        self._close_emulator()
        self.world = World(validate=False, https=False, app=self._app, **settings)
        self.user = "alice"
        self.again()
        self._emulator = Server(self.world.emulator)
        self._emulator.start()

    def _app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The app inside: one page with a form."""
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"<!doctype html><html lang=en><title>Members</title><h1>Members</h1><form method=post action=/members><button>Save</button></form>"]

    def again(self) -> None:
        """The user signs in anew at the site, an hour later."""
        self._logins += 1
        if self.world is not None:
            self.world.clock.advance(3600)

    @property
    def phones(self) -> str:
        assert self._emulator is not None
        return self._emulator.url + "/phone/"

    def _close_emulator(self) -> None:
        if self._emulator is not None:
            self._emulator.stop()
            self._emulator = None

    def close(self) -> None:
        self._close_emulator()
        self._server.close()

    # What people do

    @property
    def phone(self) -> Any:
        return self.world.phone(PHONE)

    def open(self, page: Any, path: str = "/members") -> None:
        page.goto(self.url + path)

    def enrol(self, page: Any) -> None:
        """Up to the page that asks for the first code."""
        self.open(page)
        if page.locator("#phone").count():
            page.select_option("#country", "US")
            page.fill("#phone", "408-555-5270")
        if page.locator("#email").count():
            page.fill("#email", "alice@example.com")
        page.get_by_role("button", name="Send me a code").click()
        page.locator("#code").wait_for()

    def enter(self, page: Any, code: str) -> None:
        page.fill("#code", code)
        page.get_by_role("button", name="Continue").click()
        page.wait_for_load_state()

    def choice(self, page: Any, *, app: bool = True) -> None:
        """Enrolled, signed in anew, before our first page."""
        person = self.world.browser("alice")
        first = person.enrol()
        if app:
            self.phone.install_app()
        assert person.enter(first, self.phone.code).status_int == 303
        self.again()
        self.open(page)

    def choose(self, page: Any, channel: str) -> None:
        page.locator(f"form:has([name=channel][value={channel}]) button.way").click()
        page.wait_for_load_state()


@contextmanager
def staged() -> Iterator[Stage]:
    stage = Stage()
    try:
        yield stage
    finally:
        stage.close()


ALL_WAYS = {"channels": ("push", "app", "sms", "call", "email")}
KNOWN = {"enrolment": "known", "profile": lambda user: Profile(name="Alice Ferreira", email="alice@example.com", phone=PHONE)}


@scene("choose", **ALL_WAYS)
def _choose(stage: Stage, page: Any) -> None:
    stage.choice(page)


@scene("choose, I have the app now")
def _choose_unlikely(stage: Stage, page: Any) -> None:
    stage.choice(page, app=False)
    page.locator("summary").click()


@scene("choose, push expired")
def _expired(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "push")
    stage.world.clock.advance(125)
    page.get_by_text("ran out").wait_for()


@scene("choose, codes closed", limits={"code.user": ((1, 86400),)})
def _closed_codes(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "sms")
    stage.enter(page, "1111111")
    stage.again()
    stage.open(page)


@scene("choose, nothing open", channels=("sms",), limits={"code.user": ((1, 86400),)})
def _nothing_open(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "sms")
    stage.enter(page, "1111111")
    stage.again()
    stage.open(page)


@scene("code by text message")
def _code(stage: Stage, page: Any) -> None:
    stage.choice(page, app=False)
    stage.choose(page, "sms")


@scene("code by call", **ALL_WAYS)
def _code_by_call(stage: Stage, page: Any) -> None:
    stage.choice(page, app=False)
    stage.choose(page, "call")


@scene("code wrong")
def _code_wrong(stage: Stage, page: Any) -> None:
    _code(stage, page)
    for _ in range(2):
        stage.enter(page, "1111111")


@scene("code throttled")
def _code_throttled(stage: Stage, page: Any) -> None:
    _code(stage, page)
    for _ in range(6):
        stage.enter(page, "1111111")


@scene("code, provider does not answer")
def _code_unavailable(stage: Stage, page: Any) -> None:
    _code(stage, page)
    stage.world.emulator.add_fault(route="verify", kind="drop", count=0)
    stage.enter(page, "1111111")


@scene("code ignored")
def _ignored(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.phone.install_app()
    stage.choose(page, "sms")


@scene("code from the app")
def _app_code(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "app")


@scene("push waiting")
def _push(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "push")


@scene("push waiting without script", script=False)
def _push_without_script(stage: Stage, page: Any) -> None:
    _push(stage, page)


@scene("push approved without script", script=False)
def _push_approved(stage: Stage, page: Any) -> None:
    _push(stage, page)
    stage.phone.approve()
    stage.world.clock.advance(1)
    page.get_by_role("button", name="Continue").wait_for()


@scene("push denied")
def _denied(stage: Stage, page: Any) -> None:
    _push(stage, page)
    stage.phone.deny()
    stage.world.clock.advance(1)
    page.get_by_role("heading", name="Denied on your phone").wait_for()


@scene("enrol")
def _enrol(stage: Stage, page: Any) -> None:
    stage.open(page)


@scene("enrol, complaint")
def _enrol_complaint(stage: Stage, page: Any) -> None:
    stage.open(page)
    page.select_option("#country", "PT")
    page.fill("#phone", "912 345")
    page.fill("#email", "alice@example.com")
    page.get_by_role("button", name="Send me a code").click()
    page.locator(".complaint").wait_for()


@scene("enrol, known number", **KNOWN)
def _enrol_known(stage: Stage, page: Any) -> None:
    stage.open(page)


@scene("enrol, first code")
def _first_code(stage: Stage, page: Any) -> None:
    stage.enrol(page)


@scene("enrolment closed", enrolment="none")
def _closed(stage: Stage, page: Any) -> None:
    stage.open(page)


@scene("enrolment by invitation", enrolment="invited")
def _invited(stage: Stage, page: Any) -> None:
    stage.open(page)


@scene("verified")
def _verified(stage: Stage, page: Any) -> None:
    stage.enrol(page)
    stage.enter(page, stage.phone.code)
    stage.open(page, "/second-factor/")


@scene("continue", script=False)
def _continue(stage: Stage, page: Any) -> None:
    """A code was right, and the answer with the pass got lost on the way."""
    stage.enrol(page)
    stage.enter(page, stage.phone.code)
    page.context.clear_cookies(name="second_factor")
    stage.open(page, "/second-factor/continue")


@scene("ended")
def _ended(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.open(page, "/second-factor/continue")


@scene("cookie not kept")
def _cookie(stage: Stage, page: Any) -> None:
    stage.open(page)
    page.context.clear_cookies()
    page.select_option("#country", "US")
    page.fill("#phone", "408-555-5270")
    page.fill("#email", "alice@example.com")
    page.get_by_role("button", name="Send me a code").click()
    page.get_by_role("heading", name="cookie").wait_for()


@scene("anonymous", login_url="/login")
def _anonymous(stage: Stage, page: Any) -> None:
    stage.user = None
    stage.open(page, "/second-factor/")


@scene("form kept")
def _not_sent(stage: Stage, page: Any) -> None:
    stage.choice(page, app=False)
    # The form was opened while the pass was good.
    stage.choose(page, "sms")
    stage.enter(page, stage.phone.code)
    stage.again()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="One more step before it is sent").wait_for()


def _up_to_the_kept_form(stage: Stage, page: Any) -> None:
    _not_sent(stage, page)
    page.get_by_role("link", name="Confirm it is you").click()
    page.wait_for_load_state()
    stage.choose(page, "sms")
    stage.enter(page, stage.phone.code)
    page.get_by_role("heading", name="Send your form").wait_for()


@scene("form waits to be sent", script=False)
def _send(stage: Stage, page: Any) -> None:
    _up_to_the_kept_form(stage, page)


@scene("form on its way", script=False)
def _resend(stage: Stage, page: Any) -> None:
    _up_to_the_kept_form(stage, page)
    page.get_by_role("button", name="Send it now").click()
    page.get_by_role("heading", name="Sending your form").wait_for()


@scene("sign out")
def _sign_out(stage: Stage, page: Any) -> None:
    stage.open(page, "/second-factor/logout")


@scene("stranger's address")
def _no_such_page(stage: Stage, page: Any) -> None:
    stage.open(page, "/second-factor/nowhere")


class _Broken(MemoryStore):
    def get(self, user_id: str) -> Any:
        raise OSError("the disk is gone")


@scene("store broken", users=_Broken())
def _broken(stage: Stage, page: Any) -> None:
    stage.open(page)


@scene(
    "long names",
    site_name="The Honourable Society of Lighthouse Keepers & Foghorns",
    **{**KNOWN, "profile": lambda user: Profile(name="Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh", email="w@example.com", phone="+351912345678")},
)
def _long(stage: Stage, page: Any) -> None:
    stage.enrol(page)


@scene("phones")
def _phones(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "push")
    page.goto(stage.phones)


@scene("phone")
def _phone(stage: Stage, page: Any) -> None:
    stage.choice(page)
    stage.choose(page, "push")
    page.goto(stage.phones + PHONE)


@scene("phones, none")
def _no_phones(stage: Stage, page: Any) -> None:
    page.goto(stage.phones)
