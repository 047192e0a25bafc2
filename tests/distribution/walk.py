"""Runs where the wheel is installed and the checkout is not: to every page of ours and of the phones. What was rendered is printed as JSON.

    python walk.py '{"pages": ["style.css", ...], "emulator": ["phone.css", ...]}'    the static files to ask for

`support.py`, copied here from the tests, is the site and the browser.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest import mock

import jinja2
from support import HTML, PHONE, Browser, World, form_to
from webtest import TestApp

import authy_wsgi

RENDERED: dict[str, set[str]] = {"pages": set(), "emulator": set()}
OURS = {**HTML, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def scene(*, app: bool = False, **settings: Any) -> tuple[World, Browser]:
    """An hour after alice enrolled; at the site she is in a new login session."""
    world = World(**settings)
    alice = world.browser("alice")
    alice.enrolled()
    if app:
        world.phone().install_app()
    alice.sign_in("alice")
    world.clock.advance(3600)
    return world, alice


def enrolment() -> None:
    world = World()
    nobody, alice, forgetful = world.browser(None), world.browser("alice"), world.browser("bob")
    nobody.get("/second-factor/")
    page = alice.enrol()
    page = alice.enter(page, "1111111")
    # The answer with the pass gets lost on the way.
    alice.enter(page, world.phone().code)
    alice.forget_cookie()
    page = alice.get("/second-factor/continue")
    alice.follow(alice.submit(form_to(page, "/continue")))
    alice.get("/second-factor/")
    alice.get("/second-factor/nowhere")
    alice.submit(form_to(alice.get("/second-factor/logout"), "/logout"))
    form = form_to(forgetful.visit(), "/enrol")
    forgetful.forget_cookie("_attempt")
    forgetful.submit(form, phone="+14085555271", email="bob@example.com")
    World(enrolment="none").browser("carol").visit()


def codes() -> None:
    world, alice = scene()
    alice.get("/second-factor/continue")
    page = alice.choose(alice.visit(), "sms")
    really, others = world.client.check, []

    def check(*arguments: Any) -> Any:
        others.append(alice.get("/second-factor/continue").text)
        return really(*arguments)

    with mock.patch.object(type(world.client), "check", staticmethod(check)):
        alice.enter(page, world.phone().code)
    assert "being checked" in others[0]


def kept_forms() -> None:
    world, alice = scene()
    kept = alice.http.post("/pay", {"amount": "1"}, headers=OURS, status=401)
    page = alice.choose(alice.follow(alice.get(kept.html.find("main").find("a")["href"])), "sms")
    page = alice.follow(alice.enter(page, world.phone().code))
    assert form_to(alice.submit(form_to(page, "/kept")), "/pay").fields["amount"][0].value == "1"
    other = world.browser("alice")
    other.http.post("/pay", {"amount": "1"}, headers={**OURS, "Sec-Fetch-Site": "cross-site"}, status=401)


def pushes() -> None:
    world, alice = scene(app=True)
    page = alice.choose(alice.visit(), "push")
    phones(world)
    world.phone().deny()
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "denied"
    alice.get("/second-factor/push")


def phones(world: World) -> None:
    people = TestApp(world.emulator, extra_environ={"HTTP_HOST": "127.0.0.1:8999", "HTTP_ACCEPT": "text/html"}, lint=True)
    for path, status in (("", 200), (PHONE, 200), ("+19995550100", 404)):
        people.get(f"/phone/{path}", status=status)


def static(names: dict[str, list[str]]) -> None:
    world = World()
    for app, folder, room in ((world.wsgi, "/second-factor/static/", "pages"), (world.emulator, "/phone/static/", "emulator")):
        for name in names[room]:
            assert TestApp(app, extra_environ={"HTTP_HOST": "127.0.0.1:8999", "wsgi.url_scheme": "https"}).get(folder + name).body


def main() -> None:
    really = jinja2.Template.render

    def render(template: jinja2.Template, *values: Any, **named: Any) -> str:
        text = really(template, *values, **named)
        assert template.filename is not None
        RENDERED["emulator" if "emulator" in template.filename else "pages"].add(str(template.name))
        return text

    with mock.patch.object(jinja2.Template, "render", render):
        for part in (enrolment, codes, kept_forms, pushes):
            part()
    static(json.loads(sys.argv[1]))
    print(json.dumps({"from": authy_wsgi.__file__, **{room: sorted(names) for room, names in RENDERED.items()}}))


if __name__ == "__main__":
    main()
