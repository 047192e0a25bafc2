"""C. Session, cookies, who is who: a pass is one person's, of one login, for its time, and cannot be made or changed."""

from __future__ import annotations

import base64
import json
import logging
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authy_wsgi import Login, MemoryLedger, Misconfigured, SQLLedger, SQLStore, basic_auth
from tests.attacks.helpers import (
    ATTEMPT,
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
)
from tests.support import HTML, PHONE, SECRET, World

SECOND = "second-secret-second-secret-second-2"


def a_tab(world: World, user: str = "alice", session: str | None = None, number: str = PHONE) -> Tab:
    """A tab of a user who is in; enrolled where they were not."""
    tab = Tab(world, user, session)
    if world.settings["users"].get(user) is None:
        tab.cookies[PASS] = grant(world, tab.login, number)
    else:
        world.clock.advance(31)
        assert granted(tab.enter(tab.to_code("sms"), right(world, number=number)))
    return tab


def goes_in(tab: Tab, path: str = "/members", **request: Any) -> bool:
    before = tab.world.app_calls
    answer = tab.get(path, **request)
    assert answer.status_int in (200, 303, 401, 503)
    return tab.world.app_calls > before


def test_C1_what_one_user_left_in_a_browser_lets_no_other_in(world: World) -> None:
    alice = a_tab(world)
    grant(world, Login("bob", "e"), OTHER_PHONE)
    shut = Shut(world)
    for session in ("", alice.login.session, "another"):
        bob = Tab(world, "bob", session)
        bob.cookies = dict(alice.cookies)
        shut(bob.get(), 303)
        assert "Confirm it is you" in bob.visit().text
    copied = Tab(world, "bob")
    copied.cookies = {PASS: alice.cookies[PASS]}
    shut(copied.get(), 303)
    shut(copied.get(f"{PREFIX}/continue"), 200)
    assert goes_in(alice)


def test_C2_the_password_alone_lets_nobody_in_beside_the_owner(world: World) -> None:
    alice = a_tab(world)
    shut = Shut(world)
    for session in ("", "thief"):
        thief = Tab(world, "alice", session)
        for path in ("/members", "/", "/second-factor2", "/static/../members"):
            shut(thief.get(path), 303)
        shut(thief.get(f"{PREFIX}/continue"), 200)
        shut(thief.post(f"{PREFIX}/continue", {}), 403)
    assert goes_in(alice)


def test_C3_a_pass_is_unusable_while_the_browser_is_another_users_and_after_a_new_login(world: World) -> None:
    alice = a_tab(world)
    grant(world, Login("bob", "e"), OTHER_PHONE)
    own = alice.login
    shut = Shut(world)
    # In the middle of the session, at bob's own login, and when alice has signed in again.
    for login in (Login("bob", own.session), Login("bob", "b2"), Login("bob", ""), Login("alice", "a2"), Login("alice", "")):
        alice.login = login
        shut(alice.get(), 303)
        assert "You are signed in" not in shut(alice.get(f"{PREFIX}/"), 200, 303).text


def test_C3_an_enrolment_or_sign_in_that_was_left_serves_nobody_else(world: World) -> None:
    alice = Tab(world, "alice", "s")
    fields = hidden(alice.visit(), "/enrol")
    answer = alice.post(f"{PREFIX}/enrol", {**fields, "phone": PHONE, "email": "a@example.com"})
    code_form = hidden(alice.visit(answer.header("Location") or ""), "/code")
    code = right(world)
    shut = Shut(world)
    for login in (Login("bob", "s"), Login("bob", ""), Login("alice", "t"), Login("alice", "")):
        thief = Tab(world, login.user_id, login.session)
        thief.cookies = dict(alice.cookies)
        shut(thief.enter(code_form, code), 403)
        own = hidden(thief.visit(), "/enrol")
        shut(thief.enter(own, code), 409, 422)
        shut(thief.get(f"{PREFIX}/code"), 303)
        assert world.settings["users"].get(login.user_id) is None
    assert granted(alice.enter(code_form, code))


def test_C3_an_inactive_users_login_leaves_nothing_that_serves_the_next_one(world: World) -> None:
    alice = a_tab(world)
    grant(world, Login("bob", "e"), OTHER_PHONE)
    world.backend.disable("alice")
    shut = Shut(world)
    shut(alice.get(), 303)
    assert "switched off" in shut(alice.visit(), 403).text
    alice.login = Login("bob", alice.login.session)
    shut(alice.get(), 303)


def test_C4_a_sign_in_that_was_not_finished_is_dead_after_ten_minutes(world: World) -> None:
    enrolled(world)
    tab = Tab(world)
    fields = tab.to_code("sms")
    code = right(world)
    world.clock.advance(660)
    shut = Shut(world)
    shut(tab.enter(fields, code), 409, 422)
    shut(tab.get(f"{PREFIX}/code"), 303)
    fresh = tab.to_code("sms")
    if right(world) != code:
        shut(tab.enter(fresh, code), 422)
    # The cookie itself, given back to a server that would have forgotten everything, is too old as well.
    other = World(ledger=MemoryLedger(), users=world.settings["users"], clients=world.client, clock=world.clock)
    tab.world = other
    Shut(other)(tab.enter(fields, code), 409, 422)


def test_C5_two_tabs_that_wait_let_nothing_through(world: World) -> None:
    enrolled(world)
    first = Tab(world)
    first.visit()
    second = Tab(world, session=first.login.session)
    second.cookies = first.cookies
    one, two = first.to_code("sms"), second.to_code("app")
    shut = Shut(world)
    for tab in (first, second):
        for path in ("/members", "/", "/other"):
            shut(tab.get(path), 303)
        for page in ("/", "/code", "/push", "/continue", "/enrol", "/kept?of=x", "/logout"):
            shut(tab.get(PREFIX + page), 200, 303, 404)
        shut(tab.post(f"{PREFIX}/continue", one), 303)
        shut(tab.post(f"{PREFIX}/poll", two), 303, 422)
        shut(tab.get(), 303)


@pytest.mark.parametrize("way", ["our page", "the app's"])
def test_C6_a_logout_while_the_code_is_awaited_kills_the_sign_in_on_the_server(way: str) -> None:
    world = World(logout_url="/logout")
    enrolled(world)
    tab = Tab(world)
    fields = tab.to_code("sms")
    kept = dict(tab.cookies)
    if way == "our page":
        assert tab.post(f"{PREFIX}/logout", hidden(tab.get(f"{PREFIX}/logout"), "/logout")).status_int == 303
    else:
        assert tab.get("/logout").status_int == 200
    tab.cookies = kept
    shut = Shut(world)
    shut(tab.enter(fields, right(world)), 422, 409)
    shut(tab.get(), 303)
    assert world.kinds() == ["sent", "enrolled", "approved", "sent"]


@pytest.mark.parametrize("way", ["logout_url", "forget", "our page"])
def test_C6_an_unbound_login_ends_with_every_logout_that_we_see(way: str) -> None:
    world = World(logout_url="/logout", validate=False)
    alice = a_tab(world, session="")
    kept = dict(alice.cookies)
    assert goes_in(alice)
    if way == "logout_url":
        assert alice.get("/logout").status_int == 200
    elif way == "our page":
        assert alice.post(f"{PREFIX}/logout", hidden(alice.get(f"{PREFIX}/logout"), "/logout")).status_int == 303
    else:
        alice.get()
        world.gate.forget(world.app.calls[-1])
    alice.cookies = kept
    Shut(world)(alice.get(), 303)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
def test_C6_the_apps_logout_ends_the_pass_by_any_method_and_a_foreign_page_cannot(method: str) -> None:
    world = World(logout_url="/logout")
    alice = a_tab(world)
    kept = dict(alice.cookies)
    assert goes_in(alice)
    answer = alice.get("/logout", method=method, headers={**HTML, "Sec-Fetch-Site": "cross-site"})
    assert answer.status_int == 200
    assert goes_in(alice)
    alice.get("/logout", method=method)
    alice.cookies = kept
    Shut(world)(alice.get(), 303)


def _changes() -> dict[str, Callable[[World], object]]:
    def remove(world: World) -> None:
        users = world.settings["users"]
        users.save(replace(users.get("alice"), factors=(), generation="another"))

    def add(world: World) -> None:
        users, user = world.settings["users"], world.settings["users"].get("alice")
        users.save(replace(user, factors=(*user.factors, replace(user.factors[0], id="second")), generation="another"))

    return {
        "reset": lambda world: world.backend.reset("alice"),
        "revoked": lambda world: world.backend.revoke("alice"),
        "disabled": lambda world: world.backend.disable("alice"),
        "deleted": lambda world: world.settings["users"].delete("alice"),
        "erased": lambda world: world.settings["users"].erase("alice"),
        "factor removed elsewhere": remove,
        "factor added elsewhere": add,
    }


@pytest.mark.parametrize("change", **named(_changes()))
def test_C7_a_change_of_the_factors_ends_every_pass_and_every_sign_in(world: World, change: Callable[[World], object]) -> None:
    first, second = a_tab(world), a_tab(world)
    assert goes_in(first)
    assert goes_in(second)
    third = Tab(world)
    fields = third.to_code("app")
    change(world)
    world.clock.advance(61)
    shut = Shut(world)
    for tab in (first, second):
        shut(tab.get(), 303)
        for page in ("/", "/continue", "/enrol"):
            shut(tab.get(PREFIX + page), 200, 303, 403)
    shut(third.enter(fields, right(world)), 403, 409, 422)


def test_C7_an_administrators_word_in_this_process_counts_at_once(world: World) -> None:
    alice = a_tab(world)
    assert goes_in(alice)
    world.backend.revoke("alice")
    Shut(world)(alice.get(), 303)


def test_C7_a_step_up_page_and_our_own_see_a_change_elsewhere_at_once() -> None:
    world = World(recheck=3600)
    alice = a_tab(world)
    assert goes_in(alice)
    users = world.settings["users"]
    users.save(replace(users.get("alice"), generation="another"))
    assert goes_in(alice)  # plain pages may lag by `recheck`
    assert "You are signed in" not in alice.get(f"{PREFIX}/").text
    environ = environ_of("/pay", login=alice.login, cookie=alice.cookie)
    assert world.gate.require(environ, alice.login) is not None


@pytest.mark.parametrize("stamps", **named([("1", "2"), ("", "x"), ("a", "A"), ("1", "1 "), ("é", "e\u0301")]))
def test_C8_a_new_password_ends_every_pass(stamps: tuple[str, str]) -> None:
    stamp = [stamps[0]]
    world = World(password_stamp=lambda _user: stamp[0])
    alice = a_tab(world)
    assert goes_in(alice)
    stamp[0] = stamps[1]
    world.clock.advance(61)
    Shut(world)(alice.get(), 303)
    fresh = Tab(world)
    fresh.cookies = {PASS: alice.cookies[PASS]}
    Shut(world)(fresh.get(), 303)


@pytest.mark.parametrize("lifetime", [60, 3600, 43200, 30 * 86400])
def test_C9_the_server_ends_a_pass_whatever_the_browser_keeps(lifetime: int) -> None:
    world = World(lifetime=lifetime)
    alice = a_tab(world)
    began = world.clock()
    for seconds in (0, lifetime - 1, lifetime):
        world.clock.now = began + seconds
        assert goes_in(alice)
    shut = Shut(world)
    for seconds in (lifetime + 1, 2 * lifetime, 10 * 365 * 86400):
        world.clock.now = began + seconds
        shut(alice.get(), 303)
        shut(alice.get(f"{PREFIX}/continue"), 200)
    # Nor is it good for a clock that has been put back further than clocks differ.
    world.clock.now = began - 31
    shut(alice.get(), 303)


def test_C9_a_shorter_lifetime_counts_for_the_passes_of_before() -> None:
    world = World()
    alice = a_tab(world)
    world.clock.advance(3601)
    shorter = World(users=world.settings["users"], ledger=world.settings["ledger"], clients=world.client, clock=world.clock, lifetime=3600)
    alice.world = shorter
    Shut(shorter)(alice.get(), 303)


# C10


FALSE = "WzEsIkFBQUFBQUFBQUFBQUFBQUFBQUFBQUEiLCJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCIiwiQ0NDQ0NDQ0NDQ0MiLFtbImFwcCIsMTcwMDAwMDAwMF1dXQ." + "A" * 43
ODD_COOKIES = {
    "theirs first": "{name}={false}; {name}={good}",
    "theirs last": "{name}={good}; {name}={false}",
    "seven of theirs": "; ".join(["{name}={false}"] * 7) + "; {name}={good}",
    "empty first": "{name}=; {name}={good}",
    "quoted": '{name}="{good}"',
    "spaces": "{name}={good}  ",
    "spaces before": "   {name}={good}",
    "no space": "a=b;{name}={good};c=d",
    "tabs": "a=b;\t{name}={good}\t;c=d",
    "semicolons": ";;; ;{name}={good};;;",
    "version": '$Version="1"; {name}={good}; $Path="/"',
    "nameless": "={name}={false}; {name}={good}",
    "nameless, bare": "{name}; =; ; {name}={good}",
    "JSON": 'prefs={{"a":"b","c":[1,2]}}; {name}={good}',
    "bracket": "a[b]=c; {name}={good}",
    "bytes": "a=\xff\xfe; {name}={good}",
    "control": "a=\x01\x02; {name}={good}",
    "our name inside another": "a={name}={false}; {name}={good}",
    "longer names": "x{name}={false}; {name}x={false}; {name}_attempt={false}; {name}={good}",
    "other capitals": "{lower}={false}; {upper}={false}; {name}={good}",
    "without the prefix": "second_factor={false}; {name}={good}",
    "look-alike prefixes": "__host-second_factor={false}; __Host_second_factor={false}; __Secure-second_factor={false}; {name}={good}",
    "encoded name": "%5F%5FHost-second_factor={false}; {name}={good}",
    "many others": "; ".join(f"c{number}=v{number}" for number in range(800)) + "; {name}={good}",
    "a large other": "big=" + "x" * 60_000 + "; {name}={good}",
    "open quote": 'a="b; {name}={good}',
    "unicode escape": "a=\\u0022; {name}={good}",
}
FALSE_ONLY = {
    **{name: header.replace("{name}={good}", "z=z").replace('{name}="{good}"', "z=z") for name, header in ODD_COOKIES.items()},
    "cut": "{name}={cut}",
    "comma": "a=b,{name}={good}",
    "after a nameless": "={name}={good}",
    "as another name": "x{name}={good}",
    "small letters": "{lower}={good}",
    "big letters": "{upper}={good}",
    "no prefix": "second_factor={good}",
    "another prefix": "__Secure-second_factor={good}",
    "as a value": "a={name}={good}",
    "in brackets": "[{name}]={good}",
    "space in the name": "{name} ={good}",
    "encoded name only": "%5F%5FHost-second_factor={good}",
    "encoded value": "{name}={encoded}",
    "after eight others": "; ".join(["{name}={false}"] * 8) + "; {name}={good}",
    "too many": "; ".join(["{name}={false}"] * 3000),
    "large": "{name}=" + "A" * 60_000,
    "large and dotted": "{name}=" + "A" * 30_000 + "." + "A" * 43,
    "colons": "{name}: {good}",
}


@cache
def _someone() -> tuple[World, Tab]:
    world = World()
    return world, a_tab(world)


@pytest.fixture
def someone() -> tuple[World, Tab]:
    return _someone()


def _filled(header: str, good: str) -> str:
    return header.format(name=PASS, good=good, false=FALSE, cut=good[:-1], encoded=good.replace(".", "%2E"), lower=PASS.lower(), upper=PASS.upper())


@pytest.mark.parametrize("header", **named(ODD_COOKIES))
def test_C10_our_cookie_is_found_among_odd_neighbours(someone: tuple[World, Tab], header: str) -> None:
    world, tab = someone
    before = world.app_calls
    assert ask(world, login=tab.login, cookie=_filled(header, tab.cookies[PASS])).status_int == 200
    assert world.app_calls == before + 1


@pytest.mark.parametrize("header", **named(FALSE_ONLY))
def test_C10_no_shape_of_a_header_makes_another_value_ours(someone: tuple[World, Tab], header: str) -> None:
    world, tab = someone
    cookie = _filled(header, tab.cookies[PASS])
    shut = Shut(world)
    shut(ask(world, login=tab.login, cookie=cookie), 303)
    shut(ask(world, f"{PREFIX}/", login=tab.login, cookie=cookie), 200, 303)
    shut(ask(world, login=tab.login, cookie=cookie, headers={}), 401)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([PASS, PASS + "=", "=", ";", "; ", '"', "\t", "$Version=1", ",", FALSE]), st.text(st.characters(max_codepoint=255), max_size=12)
        )
    )
)
def test_C10_no_header_is_a_fault_or_lets_anybody_in(parts: list[str]) -> None:
    world, tab = _someone()
    Shut(world)(ask(world, login=tab.login, cookie="".join(parts)), 303)


# C11


@pytest.fixture(scope="module")
def minted() -> tuple[World, Login, dict[str, str]]:
    """One genuine value of every kind that we sign, all of them of one login of alice's."""
    world = World(limits=UNLIMITED)
    tab = a_tab(world)
    token = tab.cookies.pop(PASS)
    world.clock.advance(3600)
    fields = hidden(tab.visit("/members?x=1"), "/start")
    found = {"pass": token, "attempt": tab.cookies[ATTEMPT], "next": fields["next"], "csrf": fields["csrf"], "invite": world.backend.invite("alice")}
    return world, tab.login, found


KINDS = ("pass", "attempt", "next", "csrf", "invite")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_C11_what_was_signed_for_something_else_is_no_pass(minted: tuple[World, Login, dict[str, str]], kind: str) -> None:
    world, login, found = minted
    Shut(world)(ask(world, login=login, cookie=f"{PASS}={found[kind]}"), 303)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "csrf"])
@pytest.mark.parametrize("page", ["/start", "/code", "/poll", "/enrol", "/continue", "/logout", "/kept"])
def test_C11_what_was_signed_for_something_else_is_no_csrf_token(minted: tuple[World, Login, dict[str, str]], page: str, kind: str) -> None:
    world, login, found = minted
    sent = len(world.calls())
    body = f"csrf={found[kind]}&next={found['next']}&client=authy&channel=sms&code=1234567".encode()
    cookie = f"{ATTEMPT}={found['attempt']}; {PASS}={found['pass']}"
    Shut(world)(ask(world, PREFIX + page, method="POST", body=body, login=login, cookie=cookie), 403)
    assert len(world.calls()) == sent


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "attempt"])
def test_C11_what_was_signed_for_something_else_is_no_attempt(minted: tuple[World, Login, dict[str, str]], kind: str) -> None:
    world, login, found = minted
    body = f"csrf={found['csrf']}&client=authy&channel=sms&factor=x".encode()
    answer = ask(world, f"{PREFIX}/start", method="POST", body=body, login=login, cookie=f"{ATTEMPT}={found[kind]}")
    Shut(world)(answer, 400)
    assert "does not keep our cookie" in answer.text


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "next"])
def test_C11_what_was_signed_for_something_else_is_no_target(minted: tuple[World, Login, dict[str, str]], kind: str) -> None:
    world, login, found = minted
    answer = ask(world, f"{PREFIX}/continue", query=f"next={found[kind]}", login=login, cookie=f"{PASS}={found['pass']}")
    assert (answer.status_int, answer.header("Location")) == (303, "/")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "invite"])
def test_C11_what_was_signed_for_something_else_is_no_invitation(kind: str) -> None:
    world = World(enrolment="invited")
    tab = Tab(world, "bob")
    fields = hidden(tab.visit(), "/logout")
    value = {"csrf": fields["csrf"], "attempt": tab.cookies[ATTEMPT], "next": _next_of(tab), "pass": grant(World(), tab.login)}[kind]
    Shut(world)(tab.visit(f"{PREFIX}/enrol?invite={value}"), 403)


def _next_of(tab: Tab) -> str:
    return parse_qs(urlsplit(tab.get().header("Location") or "").query)["next"][0]


def test_C11_another_instance_under_the_same_secret_takes_nothing() -> None:
    world = World(limits=UNLIMITED)
    tab = a_tab(world)
    same = {"users": world.settings["users"], "ledger": world.settings["ledger"], "clients": world.client, "clock": world.clock}
    for settings_of_it in ({"instance": "another"}, {"cookie_name": "other"}):
        other = World(**same, **settings_of_it)
        name = "__Host-" + other.gate.settings.cookie_name
        Shut(other)(ask(other, login=tab.login, cookie=f"{name}={tab.cookies[PASS]}; {PASS}={tab.cookies[PASS]}"), 303)


# C12


IDS = st.one_of(
    st.text(min_size=1, max_size=60),
    st.text("ab!|:;,\x1f\"'\\{}[]=&%/#?@. \u2028\u2029\u00e9e\u0301\u0130iIıßſKK\u200b\u200d\ufeffﬁ\U0001f469", min_size=1, max_size=8),
    st.text("a", min_size=250, max_size=260),
    st.sampled_from(
        [
            "alice!bob",
            "alice:bob",
            "alice|s1",
            '["alice","s1"]',
            "alice\n",
            "\ralice",
            "a\x00b",
            "\ud800",
            "%00",
            "null",
            "None",
            "0",
            "\U0001f469\u200d\U0001f4bb" * 20,
        ]
    ),
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(user=IDS)
@example("x" * 255)
@example("x" * 256)
def test_C12_any_user_id_comes_back_exactly_or_is_refused(user: str) -> None:
    world = World(validate=False)
    login = Login(user, "s")
    answer = ask(world, login=login)
    if answer.status_int == 503:
        Shut(world)(answer)
        return
    cookie = f"{PASS}={grant(world, login)}"
    assert ask(world, login=login, cookie=cookie).status_int == 200
    assert world.app.calls[-1]["authy_wsgi.proven"].user_id == user
    shut = Shut(world)
    for other in {user + "x", "x" + user, user[:-1], user[::-1], user.swapcase(), user + " ", user + "\u200b"} - {user, ""}:
        shut(ask(world, login=Login(other, "s"), cookie=cookie), 303, 503, what=(user, other))
    shut(ask(world, login=Login(user + "s", ""), cookie=cookie), 303, 503)
    shut(ask(world, login=Login(user, "s2"), cookie=cookie), 303, 503)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(one=st.tuples(st.text('ab,;:|"[]', min_size=1, max_size=6), st.text('ab,;:|"[]', max_size=6)), cut=st.integers(0, 12))
def test_C12_user_and_session_never_shift_into_each_other(one: tuple[str, str], cut: int) -> None:
    joined = "".join(one)
    two = (joined[:cut], joined[cut:])
    if two in (one, ("", joined)) or not two[0]:
        return
    world, cookie = _SHIFTING.setdefault(one, _pass_of(one))
    Shut(world)(ask(world, login=Login(*two), cookie=cookie), 303)


_SHIFTING: dict[tuple[str, str], tuple[World, str]] = {}


def _pass_of(login: tuple[str, str]) -> tuple[World, str]:
    world = World(validate=False)
    return world, f"{PASS}={grant(world, Login(*login))}"


# C13


def test_C13_a_pass_or_sign_in_that_was_planted_before_the_login_is_not_taken_over(world: World) -> None:
    mallory = a_tab(world, "mallory", number=OTHER_PHONE)
    world.clock.advance(3600)
    thief = Tab(world, "mallory", mallory.login.session)
    planted_form = thief.to_code("app")
    planted = {PASS: mallory.cookies[PASS], ATTEMPT: thief.cookies[ATTEMPT]}
    grant(world, Login("alice", "e"))
    world.clock.advance(3600)
    alice = Tab(world)
    alice.cookies = dict(planted)
    shut = Shut(world)
    shut(alice.get(), 303)
    assert granted(alice.enter(alice.to_code("sms"), right(world)))
    assert alice.cookies[PASS] != planted[PASS]
    assert alice.cookies[ATTEMPT] != planted[ATTEMPT]
    # What was planted serves neither of the two in the other's place.
    for login in (alice.login, Login("alice", "thief"), Login("alice", mallory.login.session)):
        fresh = Tab(world, *login)
        fresh.cookies = dict(planted)
        shut(fresh.get(), 303)
        shut(fresh.post(f"{PREFIX}/continue", planted_form), 403)
        assert "You are in" not in fresh.get(f"{PREFIX}/continue").text
    assert goes_in(alice)


def test_C13_the_cookie_of_a_sign_in_that_somebody_else_watches_gives_them_nothing(world: World) -> None:
    enrolled(world)
    thief = Tab(world)
    form = thief.to_code("app")
    alice = Tab(world)
    alice.cookies = dict(thief.cookies)
    assert granted(alice.enter(alice.to_code("sms"), right(world)))
    shut = Shut(world)
    shut(thief.post(f"{PREFIX}/continue", form), 303)
    shut(thief.get(f"{PREFIX}/continue"), 200, 303)
    shut(thief.get(), 303)


def test_C13_an_anonymous_visitor_is_given_no_cookie(world: World) -> None:
    for page in ("/", "/enrol", "/code", "/continue", "/logout", "/start", "/kept?of=x"):
        path, _, query = page.partition("?")
        answer = Shut(world)(ask(world, PREFIX + path, query=query), 403)
        assert answer.header("Set-Cookie") is None


def test_C13_each_sign_in_gives_a_new_pass(world: World) -> None:
    first = a_tab(world)
    values = {first.cookies[PASS]}
    for _ in range(3):
        tab = Tab(world, session=first.login.session)
        world.clock.advance(31)
        tab.enter(tab.to_code("sms"), right(world))
        values.add(tab.cookies[PASS])
    assert len(values) == 4


# C14 and C15 (the large search is that of I1)


def test_C14_a_password_of_the_first_factor_is_kept_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("authy_wsgi", "authy_wsgi.events"):
        caplog.set_level(logging.DEBUG, name)
    password = "canary-Pa55word-of-alice"
    users, ledger = SQLStore(f"sqlite:///{tmp_path}/s.db"), SQLLedger(f"sqlite:///{tmp_path}/l.db")
    world = World(identity=basic_auth, users=users, ledger=ledger)
    credentials = b64encode(f"alice:{password}".encode()).decode()
    tab = Tab(world, "alice", "")
    tab.environ = {"REMOTE_USER": "alice", "AUTH_TYPE": "Basic", "HTTP_AUTHORIZATION": f"Basic {credentials}"}
    answers = [tab.get("/members"), tab.visit("/members")]
    form = hidden(answers[-1], "/enrol")
    answers.append(tab.post(f"{PREFIX}/enrol", {**form, "phone": PHONE, "email": "a@example.com"}))
    answers.append(tab.visit(answers[-1].header("Location") or ""))
    answers.append(tab.enter(hidden(answers[-1], "/code"), right(world)))
    assert granted(answers[-1])
    assert goes_in(tab)
    answers.append(tab.post("/members", {"a": "1"}, cookie="", headers={**HTML, "Sec-Fetch-Site": "same-origin"}))
    ledger.database.close()
    users.database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("latin-1")
    said = "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    seen = "\n".join(f"{answer.headerlist} {answer.text}" for answer in answers) + _unpacked(tab.cookies)
    for canary in (password, credentials, b64encode(password.encode()).decode()[:-2]):
        for place in (kept, said, seen, repr(world.events), repr(world.gate), repr(world.backend)):
            assert canary not in place


def _unpacked(cookies: dict[str, str]) -> str:
    """What a cookie says to whoever decodes it."""
    said = []
    for value in cookies.values():
        payload = value.partition(".")[0]
        said.append(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("latin-1"))
    return " ".join(said)


def test_C14_no_cookie_names_the_user(world: World) -> None:
    tab = a_tab(world, "alice-the-canary")
    tab.visit(f"{PREFIX}/enrol")
    assert "canary" not in _unpacked(tab.cookies) + str(tab.cookies)


def test_C15_no_url_of_ours_holds_a_code_a_number_or_a_token_that_opens(world: World) -> None:
    tab = Tab(world)
    pages = [tab.visit("/members?q=1")]
    answer = tab.post(f"{PREFIX}/enrol", {**hidden(pages[-1], "/enrol"), "phone": PHONE, "email": "canary@example.com"})
    pages.append(tab.visit(answer.header("Location") or ""))
    code = right(world)
    answers = [answer, *pages, tab.enter(hidden(pages[-1], "/code"), "1111111"), tab.enter(hidden(pages[-1], "/code"), code)]
    answers += [tab.get(PREFIX + page) for page in ("/", "/continue", "/logout", "/code", "/push")]
    urls = [value for each in answers for name, value in each.headerlist if name == "Location"]
    for each in answers:
        urls += [part.split('"')[0] for mark in ('href="', 'action="', 'src="', 'data-poll="') for part in each.text.split(mark)[1:]]
        assert each.header("Referrer-Policy") == "same-origin"
    assert len(urls) > 30
    secret = [code, PHONE[1:], PHONE[2:], "canary", tab.cookies[PASS], tab.cookies[ATTEMPT], "csrf"]
    for url in urls:
        said = unquote(url) + "".join(_unpacked({"": value}) for value in parse_qs(urlsplit(url).query).get("next", []))
        assert not [each for each in secret if each in said], url


# C16


def rotated(world: World, secret: str, *others: str) -> World:
    return World(secret=secret, other_secrets=others, users=world.settings["users"], ledger=world.settings["ledger"], clients=world.client, clock=world.clock)


def test_C16_a_new_key_logs_nobody_out_and_a_retired_one_is_dead(world: World) -> None:
    alice = a_tab(world)
    during, after = rotated(world, SECOND, SECRET), rotated(world, SECOND)
    alice.world = during
    assert goes_in(alice)
    alice.world = after
    Shut(after)(alice.get(), 303)
    alice.world = rotated(world, SECRET, SECOND)
    assert goes_in(alice)


def test_C16_workers_with_keys_in_either_order_accept_each_others_sign_ins(world: World) -> None:
    enrolled(world)
    first, second = rotated(world, SECRET, SECOND), rotated(world, SECOND, SECRET)
    for other in (first, second):
        other.emulator = world.emulator
    tab = Tab(first)
    page = tab.visit()
    tab.world = second
    answer = tab.post(f"{PREFIX}/start", hidden(page, "/start", "sms"))
    tab.world = first
    form = hidden(tab.get(answer.header("Location") or ""), "/code")
    tab.world = second
    assert granted(tab.enter(form, right(world)))
    tab.world = first
    assert goes_in(tab)


@pytest.mark.parametrize("secret", **named(["", " ", "0" * 31, None, b"x" * 40, 5, "short"]))
def test_C16_a_key_that_is_none_does_not_start(secret: Any) -> None:
    with pytest.raises(Misconfigured, match="secret"):
        World(secret=secret)
    if secret is not None:
        with pytest.raises(Misconfigured, match="other_secrets"):
            World(other_secrets=[secret])


def _forgeries(token: str) -> Iterator[str]:
    payload, _, signature = token.partition(".")
    said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    def packed(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")

    yield from (payload, payload + ".", "." + signature, signature, f"{payload}.{'A' * 43}", f"{payload}.{signature[:-1]}", f"{payload}.{signature}A")
    yield from (f"{payload}..{signature}", f".{payload}.{signature}", f"{payload}.{signature}.{signature}", token.upper(), token.swapcase(), token[::-1])
    for header in ({"alg": "none"}, {"alg": "HS256", "kid": "0"}, {"alg": "HS256", "kid": "/dev/null"}):
        yield from (f"{packed(header)}.{payload}.{signature}", f"{packed(header)}.{payload}.")
    for index, other in ((0, 2), (0, True), (1, "A" * 22), (2, "B" * 22), (3, "C" * 11), (4, [["app", 2**31]]), (4, []), (4, [["app", 1]] * 4)):
        changed = list(said)
        changed[index] = other
        yield f"{packed(changed)}.{signature}"
    for value in (said[:-1], [*said, 1], {"id": said[1]}, None, 0, "x"):
        yield f"{packed(value)}.{signature}"
    for place in range(0, len(token), 7):
        yield token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def test_C16_no_change_of_a_pass_is_accepted(world: World) -> None:
    alice = a_tab(world)
    token = alice.cookies[PASS]
    forged = [each for each in _forgeries(token) if each != token]
    assert len(forged) > 50
    shut = Shut(world)
    for each in forged:
        answer = ask(world, login=alice.login, cookie=f"{PASS}={each}")
        # The last character of base64 has spare bits: another spelling of the very same signature is the very same value.
        if answer.status_int == 200:
            assert each[:-1] == token[:-1]
            shut = Shut(world)
            continue
        shut(answer, 303, what=each)


def test_C16_a_swapped_user_under_the_old_signature_is_nobody(world: World) -> None:
    alice = a_tab(world)
    bob = a_tab(world, "bob", number=OTHER_PHONE)
    mine, theirs = (tab.cookies[PASS].partition(".") for tab in (alice, bob))
    shut = Shut(world)
    for cookie, login in ((f"{mine[0]}.{theirs[2]}", bob.login), (f"{theirs[0]}.{mine[2]}", bob.login), (f"{theirs[0]}.{mine[2]}", alice.login)):
        shut(ask(world, login=login, cookie=f"{PASS}={cookie}"), 303)
