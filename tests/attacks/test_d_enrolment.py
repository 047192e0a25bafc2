"""D. Enrolment, recovery, downgrade: the widest door of every second factor."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from authy_wsgi import NOT_NEEDED, Login, MemoryStore, Misconfigured, Need, Profile, Refused, SecondFactorError, Strength
from authy_wsgi.contracts import User
from tests.attacks.helpers import (
    ATTEMPT,
    FORM,
    OTHER_PHONE,
    PASS,
    PREFIX,
    UNLIMITED,
    Shut,
    Tab,
    ask,
    enrolled,
    environ_of,
    grant,
    granted,
    hidden,
    named,
    right,
    together,
)
from tests.support import HTML, PHONE, World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "post", "X" * 40)
PAGES = (
    "/",
    "/enrol",
    "/enrol/",
    "/start",
    "/code",
    "/push",
    "/poll",
    "/continue",
    "/kept",
    "/logout",
    "/remove",
    "/factors",
    "/manage",
    "/disable",
    "/reset",
    "/recovery",
    "/rescue",
)
JSON = "application/json"
MAIL = "thief@example.com"


def numbers(world: World, user: str = "alice") -> list[Any]:
    """What is stored of a user's factors."""
    stored = world.settings["users"].get(user)
    return [] if stored is None else [(factor.id, factor.label, dict(factor.data)) for factor in stored.factors]


def asks_to_enrol(tab: Tab, number: str, csrf: str = "", **more: str) -> Any:
    """The form as a browser would send it, whether or not there is one."""
    fields = {"csrf": csrf or hidden(tab.visit(), "/logout")["csrf"], "phone": number, "country": "US", "email": MAIL, **more}
    return tab.post(f"{PREFIX}/enrol", fields)


def proves(tab: Tab, answer: Any, number: str) -> Any:
    assert answer.status_int == 303, answer.text
    return tab.enter(hidden(tab.visit(answer.header("Location") or ""), "/code"), right(tab.world, number=number))


@pytest.fixture(scope="module")
def guarded() -> World:
    world = World(limits=UNLIMITED)
    enrolled(world)
    return world


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("page", PAGES)
def test_D1_the_password_alone_changes_no_factor_by_any_method_at_any_page(guarded: World, page: str, method: str) -> None:
    world, before = guarded, numbers(guarded)
    thief = Tab(world)
    csrf = hidden(thief.visit(), "/logout")["csrf"]
    sent, factor = len(world.calls()), before[0][0]
    fields = {"csrf": csrf, "phone": OTHER_PHONE, "country": "US", "email": MAIL, "factor": factor, "remove": factor, "_method": "DELETE"}
    bodies = {
        FORM: "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in fields.items()).encode(),
        JSON: json.dumps(fields).encode(),
        "text/plain": json.dumps(fields).encode(),
    }
    shut = Shut(world)
    for content_type, body in bodies.items():
        if (page, method, content_type) in {("/start", "POST", FORM), ("/logout", "POST", FORM)}:
            continue  # a message to the owner's own phone, and the end of the thief's own sign-in
        for headers in (HTML, {"Accept": JSON}, {"X-HTTP-Method-Override": "DELETE", **HTML}, {"X-Requested-With": "XMLHttpRequest"}):
            answer = ask(
                world,
                PREFIX + page,
                method=method,
                body=body if method not in ("GET", "HEAD") else b"",
                content_type=content_type,
                headers=headers,
                login=thief.login,
                cookie=thief.cookie,
            )
            shut(answer, 200, 303, 400, 403, 404, 405, 413, 422)
            assert "Add your phone" not in answer.text
    assert numbers(world) == before
    assert len(world.calls()) == sent
    assert [phone.number for phone in world.emulator.phones] == [PHONE]


def test_D1_the_backend_refuses_too_whatever_page_calls_it(guarded: World) -> None:
    backend, login = guarded.backend, Login("alice", "thief")
    for purpose in ("enrol", "change"):
        with pytest.raises(Refused, match="Confirm with a factor you have first"):
            backend.begin(login, purpose=purpose, context=backend.context())  # type: ignore[arg-type]


def test_D2_a_second_phone_is_not_added_beside_the_first_without_it(guarded: World) -> None:
    before, sent = numbers(guarded), len(guarded.calls())
    thief = Tab(guarded)
    Shut(guarded)(asks_to_enrol(thief, OTHER_PHONE), 303)
    assert thief.cookies.keys() == {ATTEMPT}
    Shut(guarded)(thief.get(f"{PREFIX}/enrol"), 303)
    assert numbers(guarded) == before
    assert len(guarded.calls()) == sent


def test_D2_an_enrolment_that_began_on_an_empty_account_is_worth_nothing_once_it_has_a_factor(world: World) -> None:
    thief = Tab(world)
    asked = asks_to_enrol(thief, OTHER_PHONE)
    grant(world, Login("alice", "owner"))
    before = numbers(world)
    Shut(world)(proves(thief, asked, OTHER_PHONE), 409, 422)
    assert numbers(world) == before


def test_D2_of_enrolments_proved_at_once_one_is_kept() -> None:
    world = World(limits=UNLIMITED)
    tabs = [Tab(world) for _ in range(8)]
    wanted = [f"+140855553{number:02d}" for number in range(8)]
    forms = []
    for tab, number in zip(tabs, wanted, strict=True):
        answer = asks_to_enrol(tab, number)
        forms.append(hidden(tab.visit(answer.header("Location") or ""), "/code"))
    answers = together(8, lambda n: tabs[n].enter(forms[n], right(world, number=wanted[n])))
    assert len([answer for answer in answers if granted(answer)]) == 1
    assert len(numbers(world)) == 1


@pytest.mark.parametrize("age", [601, 3600])
def test_D2_a_pass_that_is_not_fresh_changes_no_factor(age: int) -> None:
    world = World()
    tab = Tab(world)
    tab.cookies[PASS] = grant(world, tab.login)
    world.clock.advance(age)
    before, sent = numbers(world), len(world.calls())
    Shut(world)(asks_to_enrol(tab, OTHER_PHONE, hidden(tab.visit(f"{PREFIX}/"), "/logout")["csrf"]), 303)
    assert numbers(world) == before
    assert len(world.calls()) == sent


@pytest.mark.parametrize("mode", ["invited", "known", "none"])
def test_D3_a_stolen_password_enrols_nothing_where_the_site_says_who_may(mode: str) -> None:
    world = World(enrolment=mode, profile=lambda _user: Profile(phone=PHONE, email="alice@example.com") if mode == "known" else None)
    thief = Tab(world)
    page = thief.visit()
    answer = asks_to_enrol(thief, OTHER_PHONE, hidden(page, "/logout")["csrf"])
    shut = Shut(world)
    shut(answer, 303 if mode == "known" else 422, 403)
    assert {phone.number for phone in world.emulator.phones} == ({PHONE} if mode == "known" else set())
    shut(thief.get(), 303)
    assert numbers(world) == []


@pytest.mark.parametrize(
    "spelling", **named(["phone", "cellphone", "address", "to", "number", "country", "email", "phone[]", "user[cellphone]", "authy_id", "factor", "candidate"])
)
def test_D3_in_mode_known_no_field_leads_the_code_elsewhere(spelling: str) -> None:
    world = World(enrolment="known", profile=lambda _user: Profile(phone=PHONE, email="alice@example.com"))
    thief = Tab(world)
    csrf = hidden(thief.visit(), "/enrol")["csrf"]
    Shut(world)(thief.post(f"{PREFIX}/enrol", {"csrf": csrf, spelling: OTHER_PHONE}, query=f"{spelling}={OTHER_PHONE}"), 303)
    assert [phone.number for phone in world.emulator.phones] == [PHONE]
    assert [call.parameters["user"]["email"] for call in world.calls("users/new")] == ["alice@example.com"]


def test_D3_the_owner_is_told_and_every_earlier_pass_is_dead(world: World) -> None:
    grant(world, Login("alice", "owner"))
    told = [event for event in world.events if event.kind == "enrolled"]
    assert [(event.user_id, event.channel) for event in told] == [("alice", "sms")]


def test_D4_an_invitation_is_good_once_and_for_its_user_and_time() -> None:
    world = World(enrolment="invited")
    token = world.backend.invite("alice")
    shut = Shut(world)
    for user in ("mallory", "Alice2", "alice2"):
        assert shut(Tab(world, user).visit(f"{PREFIX}/enrol?invite={token}"), 403)
        tab = Tab(world, user)
        shut(asks_to_enrol(tab, OTHER_PHONE, invite=token), 403, 422)
    first, second = Tab(world), Tab(world)
    pages = [tab.visit(f"{PREFIX}/enrol?invite={token}") for tab in (first, second)]
    asked = [
        asks_to_enrol(tab, number, hidden(page, "/enrol")["csrf"], invite=token)
        for tab, page, number in zip((first, second), pages, (PHONE, OTHER_PHONE), strict=True)
    ]
    assert granted(proves(first, asked[0], PHONE))
    world.clock.advance(1)
    shut(proves(second, asked[1], OTHER_PHONE), 409, 422)
    world.backend.reset("alice")
    again = Tab(world)
    shut(again.visit(f"{PREFIX}/enrol?invite={token}"), 403)
    shut(asks_to_enrol(again, OTHER_PHONE, invite=token), 403, 422)
    assert numbers(world) == []


@pytest.mark.parametrize("seconds", [7 * 86400, 8 * 86400, 10**9])
def test_D4_an_invitation_ends(seconds: int) -> None:
    world = World(enrolment="invited")
    token = world.backend.invite("alice")
    world.clock.advance(seconds)
    shut = Shut(world)
    shut(Tab(world).visit(f"{PREFIX}/enrol?invite={token}"), 403)
    shut(asks_to_enrol(Tab(world), PHONE, invite=token), 403, 422)
    assert world.calls() == []


ENDINGS: dict[str, Callable[[World], object]] = {
    "a reset": lambda world: world.backend.reset("alice"),
    "a revocation": lambda world: world.backend.revoke("alice"),
    "a deletion": lambda world: world.settings["users"].delete("alice"),
    "an enrolment by another one": lambda world: _use(world, world.backend.invite("alice")),
}


def _use(world: World, token: str) -> None:
    tab = Tab(world)
    page = tab.visit(f"{PREFIX}/enrol?invite={token}")
    assert granted(proves(tab, asks_to_enrol(tab, PHONE, hidden(page, "/enrol")["csrf"], invite=token), PHONE))
    world.backend.reset("alice")


@pytest.mark.parametrize("ending", **named(ENDINGS))
def test_D4_an_invitation_dies_with(ending: Callable[[World], object]) -> None:
    world = World(enrolment="invited", limits=UNLIMITED)
    token = world.backend.invite("alice")
    ending(world)
    shut = Shut(world)
    shut(Tab(world).visit(f"{PREFIX}/enrol?invite={token}"), 403)
    shut(asks_to_enrol(Tab(world), OTHER_PHONE, invite=token), 403, 422)


def test_D4_no_change_of_an_invitation_is_accepted() -> None:
    world = World(enrolment="invited")
    token = world.backend.invite("alice")
    payload, _, signature = token.partition(".")
    forged = [
        token[:-2],
        token + "A",
        token.upper(),
        f"{payload}.",
        f".{signature}",
        payload,
        f"{signature}.{payload}",
        token * 2,
        "",
        "null",
        "0",
        "%00",
        "../" + token,
    ]
    forged += [token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :] for place in range(0, len(token) - 2, 3)]
    shut = Shut(world)
    tab = Tab(world)
    tab.visit()
    for each in forged:
        shut(tab.get(f"{PREFIX}/enrol?invite={each}"), 403, what=each)
    assert tab.get(f"{PREFIX}/enrol?invite={token}").status_int == 200


def test_D5_an_abandoned_enrolment_leaves_the_account_as_it_was(world: World) -> None:
    grant(world, Login("bob", "e"), OTHER_PHONE)
    tab = Tab(world)
    asks_to_enrol(tab, PHONE)
    assert numbers(world) == []
    world.clock.advance(3600)
    fresh = Tab(world)
    assert "Add your phone" in fresh.visit().text
    texts = len(world.phone().messages)
    Shut(world)(fresh.get(), 303)
    assert len(world.phone().messages) == texts


def test_D5_a_second_number_that_was_not_proved_takes_no_part(world: World) -> None:
    tab = Tab(world)
    first = asks_to_enrol(tab, OTHER_PHONE)
    form = hidden(tab.visit(first.header("Location") or ""), "/code")
    old = right(world, number=OTHER_PHONE)
    second = asks_to_enrol(tab, PHONE, form["csrf"])
    Shut(world)(tab.enter(form, old), 422)
    assert granted(proves(tab, second, PHONE))
    assert [label for _, label, _ in numbers(world)] == ["+1 ••• ••• 70"]
    world.clock.advance(3600)
    texts = len(world.phone(OTHER_PHONE).messages)
    Tab(world).to_code("sms")
    assert len(world.phone(OTHER_PHONE).messages) == texts


def test_D5_after_the_proof_of_another_number_failed_the_old_factor_is_the_one_that_is_asked(guarded: World) -> None:
    thief = Tab(guarded)
    asks_to_enrol(thief, OTHER_PHONE)
    guarded.clock.advance(31)
    owner = Tab(guarded)
    assert granted(owner.enter(owner.to_code("sms"), right(guarded)))


UNKNOWN_PAGES = (
    *(
        "/recovery",
        "/rescue",
        "/rescue/email",
        "/email",
        "/lost",
        "/forgot",
        "/reset",
        "/disable",
        "/backup",
        "/codes",
        "/passkey",
        "/totp",
        "/setup",
        "/qr",
        "/secret",
    ),
    *(
        "/admin",
        "/debug",
        "/api",
        "/status",
        "/static/../enrol",
        "/static/",
        "/static/..%2f..%2fsettings.py",
        "/callback",
        "/callback/",
        "/callback/none",
        "/.env",
        "/%2e%2e/",
    ),
)


@pytest.mark.parametrize("page", **named(UNKNOWN_PAGES))
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_D6_no_page_can_be_guessed_that_goes_round_the_factor(guarded: World, page: str, method: str) -> None:
    sent, thief = len(guarded.calls()), Tab(guarded)
    csrf = hidden(thief.visit(), "/logout")["csrf"].encode()
    Shut(guarded)(
        ask(guarded, PREFIX + page, method=method, body=b"csrf=" + csrf if method == "POST" else b"", login=thief.login, cookie=thief.cookie), 403, 404, 405
    )
    assert len(guarded.calls()) == sent


def test_D6_email_is_off_by_default_and_too_weak_where_a_rule_asks_for_the_phone() -> None:
    assert "email" not in {way.channel for way in _ways(World())}
    assert "email" not in {way.channel for way in _ways(World(channels=("push", "app", "sms", "email")), Need(strength=Strength.PHONE))}


def _ways(world: World, need: Need = Need()) -> Any:
    enrolled(world)
    return world.backend.ways_of(world.settings["users"].get("alice"), need)


CHANNELS = ("push", "app", "sms", "call", "email", "whatsapp", "voice", "SMS", "sms ", "", "totp", "passkey", "none", "recovery", "rc", "rb", "*")


@pytest.mark.parametrize("offered", [("app",), ("push", "app"), ("sms",), ("push",), ("app", "sms")], ids="-".join)
def test_D7_a_way_that_is_switched_off_cannot_be_asked_for_and_sends_nothing(offered: tuple[str, ...]) -> None:
    world = World(enrolment="none", channels=offered)
    seed = World(users=world.settings["users"], clients=world.client, clock=world.clock)
    seed.emulator = world.emulator
    enrolled(seed)
    world.phone().install_app()
    tab = Tab(world)
    fields = hidden(tab.visit(), "/start")
    shut, sent = Shut(world), len(world.calls())
    for channel in set(CHANNELS) - set(offered):
        for place in ({"channel": channel}, {"channel": channel, "kind": "code", "strength": "50"}, {"channel": channel, "insist": "1"}):
            shut(tab.post(f"{PREFIX}/start", {**fields, **place}), 422, what=channel)
        shut(tab.post(f"{PREFIX}/start", {**fields, "channel": channel}, query=f"channel={offered[0]}&method={channel}"), 422)
        shut(tab.get(f"{PREFIX}/start?method={channel}&channel={channel}&factor={fields['factor']}"), 303)
    assert len(world.calls()) == sent


def _by_need() -> Any:
    needs = {"/code": Need(strength=Strength.CODE), "/approve": Need(strength=Strength.APPROVE), "/hard": Need(strength=Strength.PHISHING_RESISTANT)}
    return lambda environ, _login: needs.get(environ["PATH_INFO"], Need())


@pytest.mark.parametrize(
    ("path", "weak"), [("/code", "sms"), ("/code", "push"), ("/code", "call"), ("/approve", "sms"), ("/hard", "app"), ("/hard", "push"), ("/hard", "sms")]
)
def test_D7_a_way_that_is_too_weak_for_the_page_cannot_be_asked_for_and_opens_nothing_there(path: str, weak: str) -> None:
    world = World(policy=_by_need(), channels=("push", "app", "sms", "call"), limits=UNLIMITED)
    enrolled(world)
    world.phone().install_app()
    tab = Tab(world)
    page = tab.visit(path)
    fields = {"csrf": hidden(page, "/logout")["csrf"], "client": "authy", "channel": weak, "factor": numbers(world)[0][0]}
    signed = _next(tab, path)
    shut, sent = Shut(world), len(world.calls())
    shut(tab.post(f"{PREFIX}/start", {**fields, "next": signed}), 422)
    assert len(world.calls()) == sent
    # Without `next`, or with that of a lesser page, the weak way is open; the page itself then still asks.
    for target in ("", _next(tab, "/members")):
        world.clock.advance(31)
        tab.post(f"{PREFIX}/start", {**fields, "next": target, "insist": "1"})
    if weak == "sms":
        answer = tab.enter({"csrf": fields["csrf"], "next": signed}, right(world))
        assert granted(answer)
        shut(tab.get(path), 303)
        assert tab.get("/members").status_int == 200


def _next(tab: Tab, path: str) -> str:
    return (tab.get(path).header("Location") or "").partition("next=")[2]


def test_D7_two_weak_proofs_are_no_strong_one() -> None:
    world = World(policy=_by_need(), limits=UNLIMITED)
    tab = Tab(world)
    tab.cookies[PASS] = grant(world, tab.login)
    for _ in range(3):
        Shut(world)(tab.get("/approve"), 303)
        world.clock.advance(601)
        form = hidden(tab.visit("/approve"), "/logout")
        tab.post(f"{PREFIX}/start", {"csrf": form["csrf"], "client": "authy", "channel": "sms", "factor": numbers(world)[0][0]})
        tab.enter({"csrf": form["csrf"]}, right(world))
    Shut(world)(tab.get("/approve"), 303)


def test_D7_a_step_up_that_only_asks_those_who_have_a_factor_cannot_be_met_by_having_none() -> None:
    world = World(policy=lambda _environ, _login: NOT_NEEDED)
    login = Login("alice", "s")
    tab = Tab(world, *login)
    assert tab.get().status_int == 200
    assert world.gate.require(environ_of("/pay", login=login), login) is not None


@pytest.mark.parametrize(("thief", "owner"), list(permutations(["alice", "bob"])))
def test_D8_somebody_elses_factor_in_the_form_is_refused(thief: str, owner: str) -> None:
    world = World(limits=UNLIMITED)
    for user, number in (("alice", PHONE), ("bob", OTHER_PHONE)):
        enrolled(world, user, number)
        world.phone(number).install_app()
    theirs, mine = numbers(world, owner), numbers(world, thief)
    tab = Tab(world, thief)
    fields = hidden(tab.visit(), "/start")
    assert fields["factor"] == mine[0][0]
    shut, sent = Shut(world), len(world.calls())
    for factor in (theirs[0][0], str(theirs[0][2]["authy_id"]), "", "*", "0", mine[0][0] + " ", mine[0][0].swapcase(), theirs[0][0][:-1], "x" * 300):
        for channel in ("push", "app", "sms"):
            shut(tab.post(f"{PREFIX}/start", {**fields, "channel": channel, "factor": factor}), 422, what=(factor, channel))
    for client in ("", "verify", "Authy", "authy "):
        shut(tab.post(f"{PREFIX}/start", {**fields, "client": client}), 422)
    assert len(world.calls()) == sent
    assert (numbers(world, owner), numbers(world, thief)) == (theirs, mine)
    backend = world.backend
    attempt = backend.begin(tab.login, context=backend.context())
    with pytest.raises(SecondFactorError):
        backend.remove(attempt, theirs[0][0], backend.context())
    assert numbers(world, owner) == theirs


def test_D8_a_kept_form_and_a_waiting_push_are_their_own_persons(world: World) -> None:
    for user, number in (("alice", PHONE), ("bob", OTHER_PHONE)):
        enrolled(world, user, number)
        world.phone(number).install_app()
    alice, bob = Tab(world), Tab(world, "bob")
    answer = alice.post("/pay", {"to": "canary"}, headers={**HTML, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_int == 401
    assert "We keep your form" in answer.text
    kept = _kept_id(alice)
    bob.enter(bob.to_code("app"), right(world, "app", OTHER_PHONE))
    assert bob.get().status_int == 200
    shut = Shut(world)
    page = bob.get(f"{PREFIX}/kept?of={kept}")
    shut(page, 404)
    assert "canary" not in page.text
    answer = shut(bob.post(f"{PREFIX}/kept", {"csrf": hidden(page, "/logout")["csrf"], "of": kept}), 404)
    assert "canary" not in answer.text
    code = alice.to_code("app")
    assert granted(alice.enter(code, right(world, "app")))
    page = alice.get(f"{PREFIX}/kept?of={kept}")
    assert "Your form waits" in page.text


def _kept_id(tab: Tab) -> str:
    payload = tab.cookies[ATTEMPT].partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[1])


def test_D9_a_site_can_keep_accounts_that_it_has_not_verified_from_enrolling() -> None:
    verified = {"alice"}
    world = World(enrolment="known", profile=lambda user: Profile(phone=PHONE, email="a@example.com") if user in verified else None)
    shut = Shut(world)
    mallory = Tab(world, "mallory")
    shut(mallory.visit(), 403)
    shut(asks_to_enrol(mallory, OTHER_PHONE), 403, 422)
    assert world.calls() == []
    assert "We send a code to the number that it has for you" in Tab(world).visit().text


def test_D9_a_users_own_enrolment_mode_counts_before_the_sites() -> None:
    store = MemoryStore()
    store.save(User(id="mallory", enrolment="none"))
    world = World(users=store)
    mallory = Tab(world, "mallory")
    shut = Shut(world)
    shut(mallory.visit(), 403)
    shut(asks_to_enrol(mallory, OTHER_PHONE), 403, 422)
    assert world.calls() == []


def test_D3_a_site_that_forgets_to_say_who_may_enrol_does_not_start() -> None:
    with pytest.raises(Misconfigured, match="enrolment is missing"):
        World(enrolment=None)
