"""Events: each kind once, by its own journey, with the right members, as a call and as a line of JSON; nothing secret, and nothing hangs on them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import Event, Login, MemoryLedger, Need, Proof, Strength, Unavailable, by_path
from authy_wsgi.tickets import Pass
from tests.support import API_KEY, HTML, PHONE, SECRET, START, Browser, World, form_to, way_form, words

LOG = "authy_wsgi.events"
PUBLIC = "8.8.8.8"
KINDS = {
    *("challenged", "sent", "ignored", "enrolled", "approved", "wrong", "denied", "expired", "closed", "opened"),
    *("revoked", "removed", "disabled", "enabled", "not_enforced", "identity_unreadable"),
}


class Told:
    """What a world has told since the last look: by its callable, and, the same, in the log."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger=LOG)
        self.caplog = caplog
        self.called: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.called.append(event)

    def lines(self) -> list[dict[str, Any]]:
        records = [record for record in self.caplog.records if record.name == LOG and record.levelno == logging.INFO]
        return [json.loads(record.getMessage()) for record in records]

    def since(self) -> list[dict[str, Any]]:
        """The events, each with the members that say something; the two ways of telling agree."""
        members = ("kind", "at", "user_id", "channel", "factor", "network", "reason")
        called = [{name: getattr(event, name) for name in members if getattr(event, name) != ""} for event in self.called]
        assert self.lines() == called
        self.called.clear()
        self.caplog.clear()
        return called


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    return Told(caplog)


@pytest.fixture
def world(told: Told) -> World:
    return World(events=told)


def factor_of(world: World, user: str = "alice") -> str:
    """The id of somebody's one factor."""
    return str(world.settings["users"].get(user).factors[0].id)


def enrolled(world: World, told: Told, **environ: Any) -> Browser:
    """A browser of somebody who has enrolled, signed in anew at the site an hour later; nothing of that is left to be told."""
    browser = world.browser("alice", **environ)
    browser.enrolled()
    browser.sign_in("alice")
    world.clock.advance(3600)
    if told.called:
        told.since()
    return browser


# Each kind by its journey


def test_an_enrolment_tells_of_the_message_the_factor_and_the_way_in(world: World, told: Told) -> None:
    browser = world.browser("alice", REMOTE_ADDR=PUBLIC)
    page = browser.visit()
    at = {"at": START, "user_id": "alice", "network": PUBLIC}
    assert told.since() == [{"kind": "challenged", **at}]
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone=PHONE, email="alice@example.com"))
    (sent,) = told.since()
    world.clock.advance(40)
    browser.follow(browser.enter(page, world.phone().code))
    factor = factor_of(world)
    assert sent == {"kind": "sent", **at, "channel": "sms", "factor": factor}
    at["at"] = START + 40
    assert told.since() == [{"kind": "enrolled", **at, "channel": "sms", "factor": factor}, {"kind": "approved", **at, "channel": "sms", "factor": factor}]


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_a_sign_in_by_message_or_call(told: Told, channel: str) -> None:
    world = World(events=told, channels=["push", "app", "sms", "call"])
    alice = enrolled(world, told)
    page = alice.choose(alice.visit(), channel)
    alice.enter(page, world.phone().code)
    at = {"at": world.clock(), "user_id": "alice"}
    by = {"channel": channel, "factor": factor_of(world)}
    assert told.since() == [{"kind": "challenged", **at}, {"kind": "sent", **at, **by}, {"kind": "approved", **at, **by}]


def test_a_sign_in_by_the_app_sends_nothing(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    world.phone().install_app()
    page = alice.choose(alice.visit(), "app")
    assert [event["kind"] for event in told.since()] == ["challenged"]
    alice.enter(page, world.phone().app_code or "")
    assert told.since() == [{"kind": "approved", "at": world.clock(), "user_id": "alice", "channel": "app", "factor": factor_of(world)}]


def test_a_message_that_was_not_needed_is_ignored_and_the_evidence_names_the_channel(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    world.phone().install_app()
    page = alice.choose(alice.visit(), "sms")
    at = {"at": world.clock(), "user_id": "alice"}
    factor = factor_of(world)
    assert told.since()[1:] == [{"kind": "ignored", **at, "channel": "sms", "factor": factor}]
    page = alice.choose(page, "sms")
    assert told.since() == [{"kind": "sent", **at, "channel": "sms", "factor": factor}]
    alice.enter(page, world.phone().code)
    assert told.since() == [{"kind": "approved", **at, "channel": "sms", "factor": factor}]


@pytest.mark.parametrize(("answer", "kind"), [("approve", "approved"), ("deny", "denied"), (None, "expired")])
def test_a_push_and_what_became_of_it_is_told_once_however_many_tabs_wait(world: World, told: Told, answer: str | None, kind: str) -> None:
    alice = enrolled(world, told, REMOTE_ADDR=PUBLIC)
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    at = {"at": world.clock(), "user_id": "alice", "channel": "push", "factor": factor_of(world), "network": PUBLIC}
    assert told.since()[1:] == [{"kind": "sent", **at}]
    for _ in range(3):
        assert alice.poll(page)["state"] == "pending"
    assert told.since() == []
    if answer:
        getattr(world.phone(), answer)()
    world.clock.advance(1 if answer else 121)
    for _ in range(3):
        alice.poll(page)
    for _ in range(3):
        alice.get("/second-factor/push")
    at["at"] = world.clock()
    if kind != "approved":
        del at["factor"]
        at["reason"] = kind
    assert told.since() == [{"kind": kind, **at}]


def test_a_wrong_code_and_a_used_one(world: World, told: Told) -> None:
    alice = enrolled(world, told, REMOTE_ADDR=PUBLIC)
    page = alice.choose(alice.visit(), "sms")
    told.since()
    for _ in range(2):
        page = alice.enter(page, "1111111")
    wrong = {"kind": "wrong", "at": world.clock(), "user_id": "alice", "channel": "sms", "network": PUBLIC, "reason": "wrong"}
    assert told.since() == [wrong, wrong]
    for text in ("", "12", "letters", "١٢٣٤٥٦٧"):
        page = alice.enter(page, text)
    assert told.since() == []
    alice.enter(page, world.phone().code)
    assert [event["kind"] for event in told.since()] == ["approved"]


def test_a_code_that_was_good_before_is_wrong_because_it_is_used(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    world.phone().install_app()
    code = world.phone().app_code or ""
    alice.enter(alice.choose(alice.visit(), "app"), code)
    other = world.browser("alice")
    page = other.choose(other.visit(), "app")
    told.since()
    assert "used already" in words(other.enter(page, code))
    assert told.since() == [{"kind": "wrong", "at": world.clock(), "user_id": "alice", "channel": "app", "reason": "used"}]


def test_codes_are_closed_once_and_opened_once(told: Told) -> None:
    world = World(events=told, limits={"code.user": [(4, 604800)], "code.attempt": [(99, 600)]})
    alice = enrolled(world, told)
    world.phone().install_app()
    page = alice.choose(alice.visit(), "app")
    told.since()
    tabs = [alice.get(page.request.path_qs) for _ in range(3)]
    for tab in [page] * 4 + tabs:
        alice.enter(tab, "1111111")
    kinds = [event["kind"] for event in told.since()]
    assert kinds == ["wrong"] * 4 + ["closed"]
    page = world.browser("alice").visit()
    assert "Codes are closed for your account" in words(page)
    told.since()
    world.backend.open("alice")
    assert told.since() == [{"kind": "opened", "at": world.clock(), "user_id": "alice", "reason": "administrator"}]


def test_the_closing_says_why(told: Told) -> None:
    world = World(events=told, limits={"code.user": [(1, 604800)]})
    alice = enrolled(world, told)
    world.phone().install_app()
    page = alice.choose(alice.visit(), "app")
    told.since()
    alice.enter(page, "1111111")
    wrong, closed = told.since()
    assert (wrong["kind"], closed) == ("wrong", {"kind": "closed", "at": world.clock(), "user_id": "alice", "reason": "code"})


def test_what_an_administrator_does(world: World, told: Told) -> None:
    enrolled(world, told)
    at = {"at": world.clock(), "user_id": "alice"}
    world.backend.revoke("alice")
    assert told.since() == [{"kind": "revoked", **at}]
    world.backend.disable("alice")
    assert told.since() == [{"kind": "disabled", **at, "reason": "administrator"}]
    world.backend.disable("alice", disabled=False)
    assert told.since() == [{"kind": "enabled", **at, "reason": "administrator"}]
    world.backend.reset("alice")
    assert told.since() == [{"kind": "revoked", **at, "reason": "reset"}]
    world.backend.invite("alice")
    assert told.since() == []


def test_a_factor_that_is_removed(world: World, told: Told) -> None:
    enrolled(world, told)
    factor = factor_of(world)
    presented = Pass("some-pass", "holder", "epoch", (Proof("app", world.clock()),))
    context = world.backend.context(network=PUBLIC)
    attempt = world.backend.begin(Login("alice", "s"), context=context, purpose="change", presented=presented)
    world.backend.remove(attempt, factor, context)
    assert told.since() == [{"kind": "removed", "at": world.clock(), "user_id": "alice", "factor": factor, "network": PUBLIC}]


def test_what_would_have_been_asked_is_told_where_nothing_is_enforced(told: Told) -> None:
    world = World(events=told, enforce=False)
    browser = world.browser("alice", REMOTE_ADDR=PUBLIC)
    assert browser.get("/members").status_int == 200
    assert told.since() == [{"kind": "not_enforced", "at": START, "user_id": "alice", "network": PUBLIC}]
    assert world.browser(None).get("/members").status_int == 200
    assert told.since() == []


@pytest.mark.parametrize("odd", ["", 5, b"alice", ["alice"], ("alice",), ("alice", 5), "a\nb", "x" * 256, "\ud800", 5.5], ids=repr)
@pytest.mark.parametrize("path", ["/members", "/second-factor/"])
def test_an_identity_that_cannot_be_read_is_nobodys_event(told: Told, odd: Any, path: str) -> None:
    world = World(events=told, identity=lambda _environ: odd)
    assert world.browser(None, REMOTE_ADDR=PUBLIC).get(path).status_int == 503
    assert told.since() == [{"kind": "identity_unreadable", "at": START, "network": PUBLIC}]
    assert world.app_calls == 0


def test_an_identity_that_raises_is_a_fault_of_the_sites_and_no_event(told: Told) -> None:
    def identity(_environ: Any) -> Any:
        raise RuntimeError("canary")

    world = World(events=told, identity=identity)
    assert world.browser(None).get("/members").status_int == 503
    assert told.since() == []


# Whoever meets the wall


def test_meeting_the_wall_is_told_once_in_ten_minutes_for_a_login(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    challenged = {"kind": "challenged", "user_id": "alice"}
    for _ in range(3):
        alice.get("/members")
        alice.get("/other")
        alice.http.get("/members", headers={"Accept": "application/json"}, status=401)
        alice.http.post("/members", "a=1", headers={**HTML, "Sec-Fetch-Site": "same-origin"}, status=401)
        alice.visit()
    assert told.since() == [{**challenged, "at": world.clock()}]
    world.clock.advance(599)
    alice.get("/members")
    assert told.since() == []
    world.clock.advance(1)
    alice.get("/members")
    alice.get("/members")
    assert told.since() == [{**challenged, "at": world.clock()}]
    # Another login of hers is another challenge; whoever is in, or nobody at all, is none.
    alice.sign_in("alice")
    alice.get("/members")
    assert told.since() == [{**challenged, "at": world.clock()}]
    alice.enter(alice.choose(alice.visit(), "sms"), world.phone().code)
    assert [event["kind"] for event in told.since()] == ["sent", "approved"]
    for path in ("/members", "/second-factor/", "/second-factor/static/style.css"):
        alice.get(path)
        world.browser(None).get(path)
    assert told.since() == []


def test_our_own_pages_challenge_nobody_and_a_step_up_does(told: Told) -> None:
    world = World(events=told, policy=by_path({"/pay": Need(max_age=60)}), exempt=["/open"])
    alice = enrolled(world, told)
    for path in ("/second-factor/", "/second-factor/code", "/second-factor/enrol", "/open/x"):
        alice.get(path)
    assert told.since() == []
    alice.enter(alice.choose(alice.visit("/members"), "sms"), world.phone().code)
    told.since()
    world.clock.advance(600)
    alice.get("/pay")
    assert [event["kind"] for event in told.since()] == ["challenged"]


# Exactly once


def test_a_double_click_and_the_answer_that_comes_again_are_no_second_event(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    page = alice.choose(alice.visit(), "sms")
    told.since()
    code = world.phone().code
    alice.enter(page, code)
    alice.forget_cookie()
    alice.enter(page, code)
    again = alice.follow(alice.get(page.request.path_qs))
    alice.submit(form_to(again, "/continue"))
    assert [event["kind"] for event in told.since()] == ["approved"]


def test_a_message_that_is_refused_is_not_told_as_sent(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    page = alice.choose(alice.visit(), "sms")
    told.since()
    assert alice.choose(page, "sms").status_int == 429
    world.clock.advance(30)
    world.emulator.add_fault(route="sms", kind="status", status=503, count=0)
    assert alice.submit(way_form(alice.visit(), "sms")).status_int == 503
    assert told.since() == []


def test_a_log_out_is_told_to_nobody_and_pages_are_free_to_look_at(world: World, told: Told) -> None:
    alice = enrolled(world, told)
    alice.enter(alice.choose(alice.visit(), "sms"), world.phone().code)
    told.since()
    for page in ("/", "/code", "/push", "/continue", "/enrol", "/logout", "/kept"):
        alice.get("/second-factor" + page)
    alice.submit(form_to(alice.get("/second-factor/"), "/logout"))
    assert told.since() == []


class Dying(MemoryLedger):
    """A ledger that can be down for writes."""

    down = False

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        if self.down:
            raise Unavailable("ledger", "down")
        return super().claim(key, value, ttl, now=now)


def test_what_did_not_come_about_is_not_told(told: Told) -> None:
    ledger = Dying()
    world = World(events=told, ledger=ledger)
    alice = enrolled(world, told)
    page = alice.choose(alice.visit(), "sms")
    told.since()
    ledger.down = True
    assert alice.enter(page, world.phone().code).status_int == 503
    assert told.since() == []
    ledger.down = False
    assert alice.enter(page, world.phone().code).status_int == 303
    assert [event["kind"] for event in told.since()] == ["approved"]


# Durable first


def test_each_event_is_told_after_its_step_is_durable() -> None:
    seen: dict[str, Any] = {}
    world: Any = None

    def look(event: Event) -> None:
        user = world.settings["users"].get("alice")
        seen[event.kind] = user and (len(user.factors), user.disabled, set(user.closed), user.generation)

    world = World(events=look, limits={"code.user": [(1, 604800)]})
    browser = world.browser("alice")
    page = browser.enrol()
    assert seen == {"challenged": None, "sent": None}
    browser.enter(page, world.phone().code)
    assert seen["enrolled"][0] == 1
    generation = seen["enrolled"][3]
    browser.sign_in("alice")
    world.clock.advance(3600)
    browser.enter(browser.choose(browser.visit(), "app"), "1111111")
    assert seen["closed"][2] == {"code"}
    world.backend.open("alice")
    assert seen["opened"][2] == set()
    world.backend.revoke("alice")
    assert seen["revoked"][3] != generation
    world.backend.disable("alice")
    assert seen["disabled"][1] is True
    world.backend.disable("alice", disabled=False)
    assert seen["enabled"][1] is False
    world.backend.reset("alice")
    assert seen["revoked"][0] == 0


# Nothing hangs on them


def everything(**settings: Any) -> Iterator[tuple[World, Any]]:
    """Journeys by which every kind comes about: the world, and what came back."""
    world = World(limits={"code.user": [(3, 604800)], "code.attempt": [(99, 600)]}, site_name="Acorn", **settings)
    alice = world.browser("alice", "canary-session", REMOTE_ADDR=PUBLIC)
    page = alice.enrol(email="canary@mail.example")
    yield world, alice.enter(page, world.phone().code).status_int
    world.phone().install_app()
    for answer in ("approve", "deny", None):
        world.clock.advance(3600)
        alice.sign_in("alice", f"canary-session-{answer}")
        page = alice.choose(alice.visit(), "push")
        if answer:
            getattr(world.phone(), answer)()
        world.clock.advance(1 if answer else 121)
        yield world, alice.poll(page)
    world.clock.advance(3600)
    alice.sign_in("alice")
    page = alice.choose(alice.visit(), "sms")
    page = alice.choose(page, "sms")
    yield world, [alice.enter(page, code).status_int for code in ("1111111", "2222222", world.phone().code)]
    alice.sign_in("alice")
    page = alice.choose(alice.visit(), "app")
    for code in ("1111111", "3333333", "4444444"):
        page = alice.enter(page, code)
    yield world, (page.status_int, words(alice.visit()))
    for step in (world.backend.open, world.backend.disable, lambda user: world.backend.disable(user, disabled=False), world.backend.revoke):
        yield world, step("alice")
    presented = Pass("pass", "holder", "epoch", (Proof("app", world.clock()),))
    attempt = world.backend.begin(Login("alice", "s"), context=world.backend.context(), purpose="change", presented=presented)
    yield world, world.backend.remove(attempt, factor_of(world), world.backend.context()).login
    yield world, world.backend.reset("alice")
    yield world, World(events=settings["events"], enforce=False).browser("alice").get().status_int
    yield world, World(events=settings["events"], identity=lambda _environ: 5).browser("alice").get().status_int


def test_every_kind_that_there_is_comes_about_and_is_in_the_docs(told: Told) -> None:
    list(everything(events=told))
    assert {event["kind"] for event in told.since()} == KINDS
    docs = (Path(__file__).parents[1] / "docs/events.md").read_text(encoding="utf-8")
    table = "\n".join(line.split("|")[1] for line in docs.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == KINDS
    for kind in KINDS:
        assert kind in (Event.__doc__ or "")


def test_nothing_secret_is_in_any_event(told: Told) -> None:
    secrets: set[str] = {API_KEY, SECRET, "canary", PHONE, PHONE[2:], PHONE[-7:], PHONE[-4:], "1111111", "2222222"}
    for world, _ in everything(events=told):
        for phone in world.emulator.phones:
            secrets |= {message.code for message in phone.messages if message.code} | {phone.app_code or API_KEY, str(phone.authy_id)}
            secrets |= {approval["uuid"] for approval in phone.approvals}
    text = "\n".join([*map(repr, told.called), *(record.getMessage() for record in told.caplog.records if record.name == LOG)])
    # Times are no secrets, and might look like one.
    text = re.sub(r"17\d{8}", "", text)
    assert len(text) > 1000
    for secret in secrets:
        assert secret not in text, secret


def tells_nothing(_event: Event) -> None:
    raise RuntimeError("the site's own fault")


def test_a_callable_that_raises_changes_nothing_and_the_log_has_every_event(told: Told) -> None:
    calm = [answer for _, answer in everything(events=told)]
    expected = [event["kind"] for event in told.since()]
    raising = [answer for _, answer in everything(events=tells_nothing)]
    assert raising == calm
    assert [line["kind"] for line in told.lines()] == expected
    complaints = [record for record in told.caplog.records if record.name == LOG and record.levelno == logging.ERROR]
    assert len(complaints) == len(expected)


def test_without_a_callable_the_log_has_them_and_without_the_log_the_callable(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    world = World(events=None)
    world.browser("alice").enrolled()
    assert [line["kind"] for line in told.lines()] == ["challenged", "sent", "enrolled", "approved"]
    caplog.clear()
    caplog.set_level(logging.WARNING, logger=LOG)
    world = World(events=told)
    world.browser("alice").enrolled()
    assert told.lines() == []
    assert [event.kind for event in told.called] == ["challenged", "sent", "enrolled", "approved"]


@pytest.mark.parametrize("user", ["zoë", "日本 😀", 'a"b\\c', "{json}", "a%s%d", "a\u2028b\u2029", "\u202eevil", "a|b,c;d", "<b>", "x" * 255])
def test_any_user_id_is_one_line_of_ascii(told: Told, caplog: pytest.LogCaptureFixture, user: str) -> None:
    world = World(events=told)
    world.browser(user).visit()
    (record,) = [record for record in caplog.records if record.name == LOG]
    assert record.getMessage().isascii()
    assert len(record.getMessage().splitlines()) == 1
    assert told.since() == [{"kind": "challenged", "at": START, "user_id": user}]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("8.8.4.4", "8.8.4.4"),
        ("10.0.0.1", None),
        ("127.0.0.1", None),
        ("2a00:1450:4001:812::200e", "2a00:1450:4001:812::/64"),
        ("::1", None),
        ("unix:", None),
        ("", None),
    ],
)
def test_the_network_is_a_public_one_or_is_left_out(world: World, told: Told, address: str, network: str | None) -> None:
    world.browser("alice", REMOTE_ADDR=address, HTTP_X_FORWARDED_FOR="9.9.9.9").get("/members")
    (event,) = told.since()
    assert event.get("network") == network


def test_a_user_of_two_spellings_is_told_by_the_canonical_one(told: Told) -> None:
    world = World(events=told, canonical=str.lower)
    world.browser("ALICE").visit()
    world.backend.revoke("Alice")
    world.backend.disable("aLICE")
    assert {event["user_id"] for event in told.since()} == {"alice"}


def test_a_step_up_is_told_like_a_sign_in(told: Told) -> None:
    world = World(events=told, policy=by_path({"/vault": Need(strength=Strength.CODE)}))
    alice = enrolled(world, told)
    alice.enter(alice.choose(alice.visit(), "sms"), world.phone().code)
    world.phone().install_app()
    told.since()
    world.clock.advance(601)
    alice.enter(alice.choose(alice.visit("/vault"), "app"), world.phone().app_code or "")
    assert [(event["kind"], event.get("channel")) for event in told.since()] == [("challenged", None), ("approved", "app")]
