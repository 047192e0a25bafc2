"""Fresh and stronger proofs, asked for by a rule or by a view: what browsers and programs meet, what satisfies it, and what never does."""

from __future__ import annotations

import base64
import itertools
import json
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from webtest import TestResponse

from authy_wsgi import NOT_NEEDED, Need, Strength, by_path, proven
from tests.support import HTML, PHONE, Browser, World, form_to, way_form, words

NEEDS = {
    "/pay": Need(max_age=60),
    "/now": Need(max_age=0),
    "/approve": Need(strength=Strength.APPROVE),
    "/vault": Need(strength=Strength.CODE),
    "/both": Need(max_age=60, strength=Strength.CODE),
    "/key": Need(strength=Strength.PHISHING_RESISTANT),
    "/long": Need(max_age=10**6),
}
PROGRAM = {"Accept": "application/json"}
ASKS = ["require", "by_path"]


class Inside:
    """The app: `done` are the requests that its views have served. With `gate` they ask by themselves."""

    def __init__(self) -> None:
        self.gate: Any = None
        self.calls: list[dict[str, Any]] = []
        self.done: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ)
        need = NEEDS.get(environ["PATH_INFO"])
        if self.gate is not None and need is not None:
            wall = self.gate.require(environ, environ.get("site.login"), max_age=need.max_age, strength=need.strength)
            if wall is not None:
                return wall(environ, start_response)
        self.done.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{environ['PATH_INFO']} {[proof.channel for proof in proven(environ).proofs]}".encode()]


def site(asks: str, **settings: Any) -> World:
    """A site that asks for fresh and strong proofs, by rules of its policy or in its views."""
    app = Inside()
    if asks == "by_path":
        settings.setdefault("policy", by_path(NEEDS))
    world = World(app=app, **settings)
    if asks == "require":
        app.gate = world.gate
    return world


@pytest.fixture(params=ASKS)
def world(request: pytest.FixtureRequest) -> World:
    return site(request.param)


@pytest.fixture
def alice(world: World) -> Browser:
    """A browser in which alice confirmed by text message, 100 seconds ago."""
    return signed_in(world)


def signed_in(world: World) -> Browser:
    browser = world.browser("alice")
    browser.enrolled()
    world.clock.advance(100)
    return browser


def let_in(browser: Browser, path: str) -> bool:
    """Whether a person gets to a page, or is asked for something first."""
    answer = browser.get(path)
    assert answer.status_int in (200, 303)
    return answer.status_int == 200


def channels(page: TestResponse) -> set[str]:
    """The ways that a page offers."""
    return {form["channel"].value for form in page.forms.values() if "channel" in form.fields}


def prove(browser: Browser, channel: str, path: str) -> TestResponse:
    """Asked at that path, confirm in that way; where it leads to."""
    page = browser.choose(browser.visit(path), channel)
    phone = browser.world.phone()
    if channel == "push":
        phone.approve()
        browser.world.clock.advance(1)
        answer = browser.poll(page)
        assert answer["state"] == "approved"
        return browser.follow(browser.get(answer["url"].removeprefix(browser.world.below)))
    return browser.follow(browser.enter(page, phone.code if channel == "sms" else phone.app_code or ""))


def said(browser: Browser) -> list[Any]:
    """What the pass says, which anybody can read: version, id, holder, epoch, proofs."""
    payload = (browser.cookie() or "").rpartition(".")[0].removeprefix(".")
    data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    # A dot in front says that it is compressed.
    found: list[Any] = json.loads(zlib.decompress(data) if (browser.cookie() or "").startswith(".") else data)
    return found


# What a browser meets


@pytest.mark.parametrize("below", ["", "/app"], ids=["root", "below a prefix"])
@pytest.mark.parametrize("asks", ASKS)
def test_a_page_that_asks_for_a_fresh_proof_leads_to_ours_and_back(asks: str, below: str) -> None:
    policy = {"policy": by_path({below + path: need for path, need in NEEDS.items()})} if asks == "by_path" else {}
    world = site(asks, below=below, **policy)
    alice = signed_in(world)
    assert let_in(alice, "/members")
    first = alice.get("/pay?to=Zo%C3%AB&amount=1")
    assert first.status_int == 303
    assert first.headers["Location"].startswith(below + "/second-factor/?next=")
    page = alice.follow(first)
    assert "You are signed in, but this page asks for a fresh or stronger confirmation. Choose how." in words(page)
    done = alice.enter(alice.choose(page, "sms"), world.phone().code)
    assert done.headers["Location"] == below + "/pay?to=Zo%C3%AB&amount=1"
    assert done.follow().text == "/pay ['sms', 'sms']"


def test_a_step_up_keeps_the_pass_and_adds_its_proof(world: World, alice: Browser) -> None:
    before = said(alice)
    prove(alice, "sms", "/pay")
    after = said(alice)
    assert after[:4] == before[:4]
    assert after[4] == [["sms", world.clock()], *before[4]]


def test_one_logout_ends_what_was_before_and_after_the_step_up(world: World, alice: Browser) -> None:
    old = alice.cookie() or ""
    prove(alice, "sms", "/pay")
    new = alice.cookie() or ""
    assert new != old
    assert alice.submit(form_to(alice.get("/second-factor/"), "/logout")).status_int == 303
    for token in (old, new):
        alice.http.set_cookie("__Host-second_factor", token)
        assert not let_in(alice, "/members")
        assert not let_in(alice, "/pay")


def test_a_copy_of_the_pass_from_before_has_no_part_in_the_new_proof(world: World, alice: Browser) -> None:
    copied = copy_of(alice)
    prove(alice, "sms", "/pay")
    assert let_in(copied, "/members")
    assert not let_in(copied, "/pay")


def test_the_last_three_proofs_are_kept(world: World, alice: Browser) -> None:
    world.phone().install_app()
    for _ in range(4):
        world.clock.advance(100)
        prove(alice, "app", "/pay")
    assert [channel for channel, _ in said(alice)[4]] == ["app"] * 3
    assert let_in(alice, "/members")


def test_looking_at_our_pages_is_no_step_up(world: World, alice: Browser) -> None:
    page = alice.visit("/pay")
    for _ in range(3):
        assert "fresh or stronger" in words(alice.get(page.request.path_qs))
        alice.get("/second-factor/")
        alice.get("/second-factor/continue")
    assert not let_in(alice, "/pay")
    assert "/pay" not in world.app.done


def test_somebody_without_a_factor_adds_one_first_and_that_is_fresh(world: World) -> None:
    browser = world.browser("alice")
    page = browser.enrol(path="/pay")
    assert browser.follow(browser.enter(page, world.phone().code)).text == "/pay ['sms']"


def test_a_person_who_is_not_signed_in_is_told_to_sign_in_by_a_view() -> None:
    world = site("require")
    browser = world.browser(None)
    assert "Sign in first" in words(browser.get("/pay"))
    assert browser.get("/pay").status_int == 403
    program = browser.http.get("/pay", headers=PROGRAM, status=403)
    assert program.content_type == "application/problem+json"
    assert (program.json["title"], program.json["status"]) == ("Sign in first", 403)
    assert world.app.done == []


@pytest.mark.parametrize("asks", ASKS)
def test_whoever_is_switched_off_is_refused_at_once(asks: str) -> None:
    world = site(asks)
    alice = signed_in(world)
    prove(alice, "sms", "/pay")
    world.backend.disable("alice")
    assert not let_in(alice, "/pay")
    assert "switched off" in words(alice.visit("/pay"))


# What a program meets


def refusal(browser: Browser, path: str, **options: Any) -> TestResponse:
    options = {"method": "GET", "headers": PROGRAM, "status": 401, "base_url": "https://site.example", **options}
    return browser.http.request(browser.world.below + path, **options)


ASKED = [("/pay", 60, "remembered"), ("/vault", None, "code"), ("/both", 60, "code"), ("/now", 0, "remembered"), ("/key", None, "phishing_resistant")]


def test_a_program_gets_401_with_what_is_asked_for(world: World, alice: Browser) -> None:
    for path, max_age, strength in ASKED:
        cookies, calls = dict(alice.http.cookies), len(world.calls())
        answer = refusal(alice, path)
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"
        scheme, _, parameters = answer.headers["WWW-Authenticate"].partition(" ")
        said = dict(re.findall(r'(\w+)="([^"]*)"', parameters))
        assert scheme == "SecondFactor"
        assert said == {"realm": "Acorn Ledger", "error": "insufficient_user_authentication", **({} if max_age is None else {"max_age": str(max_age)})}
        problem = answer.json
        assert set(problem) == {"type", "title", "status", "detail", "url", "max_age", "strength", "enrolled"}
        assert (problem["status"], problem["max_age"], problem["strength"], problem["enrolled"]) == (401, max_age, strength, True)
        assert problem["url"] in problem["detail"]
        assert "Set-Cookie" not in answer.headers
        assert (dict(alice.http.cookies), len(world.calls())) == (cookies, calls)
        assert path not in world.app.done


PROGRAMS: list[dict[str, Any]] = [
    {"headers": PROGRAM},
    {"headers": {"Accept": "*/*"}},
    {"headers": {}},
    {"headers": {**HTML, "X-Requested-With": "XMLHttpRequest"}},
    {"headers": {**HTML, "Sec-Fetch-Mode": "cors"}},
    {"headers": {**HTML, "Upgrade": "websocket", "Connection": "Upgrade"}},
    *({"headers": HTML, "method": method} for method in ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")),
    {"headers": {**PROGRAM, "Content-Type": "application/json"}, "method": "POST", "body": b'{"amount": 1}'},
    {"headers": {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}, "method": "POST", "body": b"amount=1"},
]


def test_whatever_is_no_person_going_somewhere_gets_401_and_no_redirect(world: World, alice: Browser) -> None:
    for request in PROGRAMS:
        answer = refusal(alice, "/pay", **request)
        assert 'max_age="60"' in answer.headers["WWW-Authenticate"], request
        assert "Set-Cookie" not in answer.headers
    assert "/pay" not in world.app.done


def test_a_program_of_somebody_without_a_factor_is_told_that_there_is_none(world: World) -> None:
    problem = refusal(world.browser("nobody"), "/pay").json
    assert problem["enrolled"] is False
    assert "add a second factor there" in problem["detail"]
    assert world.calls() == []


@pytest.mark.parametrize("path", ["/pay", "/vault"])
def test_the_url_for_programs_leads_to_the_step_up_itself(world: World, alice: Browser, path: str) -> None:
    world.phone().install_app()
    problem = refusal(alice, path).json
    page = alice.follow(alice.get(problem["url"]))
    assert "fresh or stronger" in words(page)
    page = alice.choose(page, "app")
    assert alice.follow(alice.enter(page, world.phone().app_code or "")).status_int == 200
    assert alice.http.get(path, headers=PROGRAM).status_int == 200


def test_the_url_for_programs_is_of_our_own_site_below_its_prefix() -> None:
    world = site("require", below="/app")
    alice = signed_in(world)
    assert refusal(alice, "/pay").json["url"].startswith("/app/second-factor/")


@pytest.mark.parametrize("long", ["x" * 1500, "é" * 700])
def test_a_target_too_long_to_carry_still_steps_up(world: World, alice: Browser, long: str) -> None:
    page = alice.visit("/pay?q=" + long.encode().decode("latin-1"))
    assert "fresh or stronger" in words(page)
    done = alice.enter(alice.choose(page, "sms"), world.phone().code)
    assert done.headers["Location"] == "/"
    assert let_in(alice, "/pay")


# What satisfies it


@pytest.mark.parametrize(("path", "max_age"), [("/now", 0), ("/pay", 60), ("/both", 60)])
def test_a_proof_is_good_for_exactly_its_age(world: World, path: str, max_age: int) -> None:
    alice = signed_in(world)
    world.phone().install_app()
    prove(alice, "app", "/both")
    for seconds, good in ((0, True), (max_age, True), (1, False), (10_000, False)):
        world.clock.advance(seconds)
        assert let_in(alice, path) is good


def test_no_age_reaches_beyond_the_lifetime(world: World) -> None:
    alice = world.browser("alice")
    alice.enrolled()
    world.clock.advance(43200)
    assert let_in(alice, "/long")
    assert let_in(alice, "/members")
    world.clock.advance(1)
    assert not let_in(alice, "/long")
    assert not let_in(alice, "/members")


def test_a_clock_that_was_put_back_has_half_a_minute(world: World) -> None:
    alice = world.browser("alice")
    alice.enrolled()
    world.clock.advance(-30)
    assert let_in(alice, "/pay")
    world.clock.advance(-1)
    assert not let_in(alice, "/pay")


def test_a_text_message_is_too_weak_where_a_code_is_needed(world: World, alice: Browser) -> None:
    world.phone().install_app()
    sent = len(world.phone().messages)
    page = alice.visit("/vault")
    assert channels(page) == {"app"}
    for channel in ("sms", "push", "call", "email", "made-up"):
        form = way_form(alice.visit("/vault"), "app")
        form["channel"].force_value(channel)
        refused = alice.submit(form)
        assert refused.status_int == 422
        assert "This way is not open to you" in words(refused)
    assert len(world.phone().messages) == sent
    assert world.phone().approvals == []
    assert prove(alice, "app", "/vault").text == "/vault ['app', 'sms']"


def test_an_approval_is_stronger_than_a_message_and_weaker_than_a_code(world: World, alice: Browser) -> None:
    world.phone().install_app()
    assert channels(alice.visit("/approve")) == {"push", "app"}
    assert prove(alice, "push", "/approve").text == "/approve ['push', 'sms']"
    assert not let_in(alice, "/vault")
    world.clock.advance(100)
    prove(alice, "app", "/vault")
    assert let_in(alice, "/approve")
    assert let_in(alice, "/vault")


def test_a_weak_code_typed_where_a_strong_one_is_asked_for_gives_a_weak_proof() -> None:
    """The provider takes a message's code for an app's; what it says of the device is what counts."""
    world = site("by_path", client={"bind_action": False})
    alice = signed_in(world)
    other = world.browser("alice")
    other.choose(other.visit("/members"), "sms")
    by_message = world.phone().code
    world.phone().install_app()
    page = alice.choose(alice.visit("/vault"), "app")
    after = alice.follow(alice.enter(page, by_message))
    assert "Confirm it is you" in words(after)
    assert channels(after) == {"app"}
    assert [channel for channel, _ in said(alice)[4]] == ["sms", "sms"]
    assert "/vault" not in world.app.done
    world.clock.advance(100)
    assert prove(alice, "app", "/vault").status_int == 200


def test_age_and_strength_have_to_be_one_proofs(world: World, alice: Browser) -> None:
    world.phone().install_app()
    assert prove(alice, "app", "/both").status_int == 200
    world.clock.advance(100)
    # An older code and a younger message are not a young code.
    page = alice.choose(alice.visit("/pay"), "sms")
    if "You have the Authy app" in words(page):
        page = alice.choose(page, "sms")
    assert alice.follow(alice.enter(page, world.phone().code)).text == "/pay ['sms', 'app', 'sms']"
    assert let_in(alice, "/vault")
    assert not let_in(alice, "/both")
    assert refusal(alice, "/both").json["max_age"] == 60


def test_several_rules_in_one_session_are_each_judged_by_themselves(world: World, alice: Browser) -> None:
    world.phone().install_app()
    paths = ["/members", "/pay", "/approve", "/vault", "/both"]

    def open_to() -> set[str]:
        return {path for path in paths + paths[::-1] if let_in(alice, path)}

    assert open_to() == {"/members"}
    prove(alice, "push", "/approve")
    assert open_to() == {"/members", "/pay", "/approve"}
    world.clock.advance(61)
    assert open_to() == {"/members", "/approve"}
    prove(alice, "app", "/vault")
    assert open_to() == set(paths)
    world.clock.advance(61)
    assert open_to() == {"/members", "/approve", "/vault"}
    world.clock.advance(43200)
    assert open_to() == set()


@pytest.mark.parametrize("order", [["/members", "/vault"], ["/members", "/pay"], ["/pay", "/members", "/vault"], ["/long", "/pay", "/members", "/pay"]])
def test_what_a_worker_remembers_of_one_rule_is_never_an_answer_to_another(order: list[str]) -> None:
    world = site("by_path")
    alice = signed_in(world)
    for _ in range(5):
        for path in order:
            assert let_in(alice, path) is (path in ("/members", "/long")), path
        world.clock.advance(7)


def test_a_policy_whose_rules_change_is_asked_at_each_request() -> None:
    needs = {"now": Need()}
    world = World(app=Inside(), policy=lambda _environ, _login: needs["now"])
    alice = signed_in(world)
    for need, good in ((Need(), True), (Need(max_age=60), False), (Need(strength=Strength.CODE), False), (Need(max_age=100), True), (Need(), True)):
        needs["now"] = need
        assert let_in(alice, "/members") is good, need
        needs["now"] = replace(need)
        assert let_in(alice, "/members") is good, need


def test_a_rule_for_those_who_have_a_factor_asks_only_them_for_a_fresh_one() -> None:
    world = World(app=Inside(), policy=by_path({"/pay": Need(max_age=60, if_enrolled=True)}, otherwise=NOT_NEEDED))
    assert let_in(world.browser("nobody"), "/pay")
    alice = world.browser("alice")
    alice.enrolled(path="/second-factor/enrol")
    world.clock.advance(61)
    assert not let_in(alice, "/pay")
    assert prove(alice, "sms", "/pay").status_int == 200


@pytest.mark.parametrize("asks", ASKS)
def test_what_is_revoked_elsewhere_is_out_at_once_where_more_is_asked(asks: str) -> None:
    world = site(asks)
    alice = signed_in(world)
    prove(alice, "sms", "/pay")
    assert let_in(alice, "/members")
    users = world.settings["users"]
    users.save(replace(users.get("alice"), generation="another worker's"))
    assert not let_in(alice, "/pay")


# Dead ends and odd demands


@pytest.mark.parametrize("asks", ASKS)
def test_where_no_way_is_strong_enough_the_page_says_so_and_leads_back(asks: str) -> None:
    world = site(asks)
    alice = signed_in(world)
    world.phone().install_app()
    page = alice.visit("/key")
    assert page.status_int == 200
    assert "None of your ways is strong enough for this page, or open just now." in words(page)
    assert "Ask the people who run this site" in words(page)
    assert channels(page) == set()
    assert page.html.find("main").find("a")["href"] == "/"
    forged = {"csrf": form_to(page, "/logout")["csrf"].value, "next": page.request.GET["next"], "client": "authy", "channel": "app", "factor": "x"}
    assert alice.post("/second-factor/start", forged).status_int == 422
    assert let_in(alice, "/members")


def test_where_the_strong_ways_are_not_offered_at_all_it_is_the_same() -> None:
    world = site("by_path", channels=["sms"])
    alice = signed_in(world)
    assert "None of your ways is strong enough" in words(alice.visit("/vault"))
    assert refusal(alice, "/vault").json["strength"] == "code"


def test_an_enrolment_that_is_not_strong_enough_leads_on_to_a_way_that_is(world: World) -> None:
    browser = world.browser("alice")
    page = browser.follow(browser.enter(browser.enrol(path="/vault"), world.phone().code))
    assert "fresh or stronger" in words(page)
    assert channels(page) == {"app"}
    assert "I have the Authy app now" in words(page)
    assert "/vault" not in world.app.done
    world.phone().install_app()
    page = browser.choose(page, "app")
    assert browser.follow(browser.enter(page, world.phone().app_code or "")).text == "/vault ['app', 'sms']"


def test_where_codes_are_closed_a_page_that_needs_one_says_so() -> None:
    world = site("by_path", limits={"code.user": [(5, 604800)], "code.attempt": [(99, 600)]})
    alice = signed_in(world)
    world.phone().install_app()
    page = alice.choose(alice.visit("/vault"), "app")
    for _ in range(5):
        page = alice.enter(page, "1111111")
    page = alice.visit("/vault")
    assert "Codes are closed for your account" in words(page)
    assert "None of your ways is strong enough for this page, or open just now." in words(page)
    assert let_in(alice, "/members")


NONSENSE = [
    {"max_age": "60"},
    {"max_age": 1.5},
    {"max_age": -1},
    {"max_age": [60]},
    {"strength": "code"},
    {"strength": 40},
    {"strength": 99},
    {"strength": b"code"},
]


def test_a_demand_that_makes_no_sense_lets_nobody_in() -> None:
    world = site("by_path")
    alice = signed_in(world)
    alice.get("/members")
    for demand, headers in itertools.product(NONSENSE, (HTML, PROGRAM)):
        environ = {**world.app.calls[-1], "HTTP_ACCEPT": headers["Accept"]}
        answer = world.gate.require(environ, environ["site.login"], **demand)
        assert answer is not None, demand
        assert answer.status_int in (303, 401, 503)


def test_a_demand_is_of_the_login_that_the_gate_has_judged(world: World, alice: Browser, caplog: pytest.LogCaptureFixture) -> None:
    prove(alice, "sms", "/pay")
    environ = world.app.calls[-1]
    login = environ["site.login"]
    assert world.gate.require(dict(environ), login, max_age=60) is None
    assert world.gate.require(dict(environ), lambda _environ: login, max_age=60) is None
    assert world.gate.require(dict(environ), max_age=60) is None
    for other in ("bob", "alice", login._replace(session="another")):
        # Our pages serve whoever `identity` names; for another login nobody could ever get through, so it is said, and closed.
        caplog.clear()
        assert world.gate.require(dict(environ), other, max_age=60).status_int == 503
        assert ("another user" if other == "bob" else "the same user in another login session") in caplog.text
    world.clock.advance(61)
    assert world.gate.require(dict(environ), max_age=60).status_int == 303
    assert world.gate.require(dict(environ), None, max_age=60).status_int == 403
    for odd in ("", 5, b"alice", ("alice",), lambda _environ: 1 / 0):
        assert world.gate.require(dict(environ), odd, max_age=60).status_int == 503


@pytest.mark.parametrize("settings", [{"enforce": False}, {"exempt": ["/pay"]}, {"policy": lambda *_: NOT_NEEDED}], ids=["enforce=False", "exempt", "policy"])
def test_a_views_demand_is_lessened_by_nothing(settings: dict[str, Any]) -> None:
    world = site("require", **settings)
    browser = world.browser("alice")
    browser.enrolled(path="/pay")
    world.clock.advance(61)
    assert not let_in(browser, "/pay")
    assert prove(browser, "sms", "/pay").status_int == 200


# While it is under way


def test_a_log_out_in_another_tab_ends_the_step_up_too(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit("/pay"), "sms")
    alice.submit(form_to(alice.get("/second-factor/"), "/logout"))
    assert alice.enter(page, world.phone().code).status_int in (303, 400, 403, 409, 422)
    assert not let_in(alice, "/pay")
    assert not let_in(alice, "/members")


def copy_of(browser: Browser) -> Browser:
    """The same login with the same pass in another browser: a copied cookie jar."""
    copied = browser.world.browser("alice", browser.http.extra_environ["site.login"].session)
    copied.http.set_cookie("__Host-second_factor", browser.cookie() or "")
    return copied


def test_a_pass_that_was_ended_by_its_copy_ends_the_step_up_with_it(world: World, alice: Browser) -> None:
    copied = copy_of(alice)
    page = alice.choose(alice.visit("/pay"), "sms")
    copied.submit(form_to(copied.get("/second-factor/"), "/logout"))
    alice.enter(page, world.phone().code)
    assert not let_in(alice, "/members")
    after = alice.visit("/pay")
    assert "Confirm it is you" in words(after)
    assert "does not keep our cookie" not in words(after)


def test_an_ended_pass_does_not_come_back_by_a_step_up_when_its_end_is_forgotten() -> None:
    world = site("by_path", lifetime=600)
    alice = signed_in(world)
    copied = copy_of(alice)
    page = alice.choose(alice.visit("/pay"), "sms")
    copied.submit(form_to(copied.get("/second-factor/"), "/logout"))
    world.clock.advance(590)
    alice.enter(page, world.phone().code)
    kept = alice.cookie() or ""
    # Old ends are forgotten at the next one.
    world.clock.advance(60)
    other = world.browser("alice")
    prove(other, "sms", "/members")
    other.submit(form_to(other.get("/second-factor/"), "/logout"))
    world.clock.advance(61)
    alice.http.set_cookie("__Host-second_factor", kept)
    assert not let_in(alice, "/members")


def test_a_revocation_during_the_step_up_ends_it(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit("/pay"), "sms")
    world.backend.revoke("alice")
    answer = alice.enter(page, world.phone().code)
    assert answer.status_int == 422
    assert "Your account has changed meanwhile" in words(answer)
    assert not let_in(alice, "/members")


def test_a_wrong_code_in_a_step_up_leaves_the_pass_as_it_was(world: World, alice: Browser) -> None:
    before = alice.cookie()
    page = alice.choose(alice.visit("/pay"), "sms")
    for _ in range(5):
        page = alice.enter(page, "1111111")
    assert page.status_int == 429
    assert alice.cookie() == before
    assert let_in(alice, "/members")
    assert not let_in(alice, "/pay")


def test_a_denial_in_a_step_up_leaves_the_pass_as_it_was(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit("/approve"), "push")
    world.phone().deny()
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "denied"
    assert let_in(alice, "/members")
    assert not let_in(alice, "/approve")


@pytest.mark.parametrize("lost", ["answer", "tab"])
def test_the_lost_answer_of_a_step_up_comes_again(world: World, alice: Browser, lost: str) -> None:
    before = alice.cookie() or ""
    page = alice.choose(alice.visit("/pay"), "sms")
    code = world.phone().code
    alice.enter(page, code)
    after = alice.cookie()
    alice.forget_cookie()
    alice.http.set_cookie("__Host-second_factor", before)
    again = alice.follow(alice.enter(page, code) if lost == "answer" else alice.get(page.request.path_qs))
    assert "One more press" in words(again)
    alice.submit(form_to(again, "/continue"))
    assert alice.cookie() == after
    assert let_in(alice, "/pay")


def test_two_people_step_up_side_by_side(world: World, alice: Browser) -> None:
    bob = world.browser("bob")
    bob.enrolled("+14085555299")
    world.clock.advance(100)
    alices, bobs = alice.choose(alice.visit("/pay"), "sms"), bob.choose(bob.visit("/pay"), "sms")
    assert bob.enter(bobs, world.phone(PHONE).code).status_int == 422
    assert bob.follow(bob.enter(bobs, world.phone("+14085555299").code)).status_int == 200
    assert not let_in(alice, "/pay")
    assert alice.follow(alice.enter(alices, world.phone(PHONE).code)).status_int == 200


def test_the_next_of_one_page_does_not_serve_another(world: World, alice: Browser) -> None:
    """The need travels signed beside the target: a weaker page's address leads there, and the stronger page asks again."""
    world.phone().install_app()
    weaker, stronger = (alice.get(path).headers["Location"] for path in ("/pay", "/vault"))
    page = alice.follow(alice.get(weaker))
    assert {"app", "sms", "push"} <= channels(page)
    assert channels(alice.follow(alice.get(stronger))) == {"app"}
    token = stronger.partition("next=")[2]
    cut: list[Callable[[str], str]] = [lambda token: token[:-1], lambda token: token + "A", lambda token: "A" + token, lambda _token: "", lambda _token: "x.y"]
    for change in cut:
        answer = alice.get(f"/second-factor/?next={change(token)}")
        assert "/vault" not in answer.headers.get("Location", "")
    assert not let_in(alice, "/vault")
