"""B. Guessing and replaying codes: each right code once, and few wrong ones."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import MemoryLedger, MemoryStore, Need, Profile, SQLLedger, SQLStore
from authy_wsgi.clients.authy import APP_SECONDS
from authy_wsgi.ledgers.redis import RedisLedger
from tests.attacks.helpers import (
    OTHER_PHONE,
    PREFIX,
    UNLIMITED,
    ZEROS,
    Shut,
    Tab,
    asked_for_code,
    digits_of,
    enrolled,
    fields_of,
    granted,
    hidden,
    is_in,
    lying_world,
    named,
    post,
    right,
    signed_in,
    together,
    wrong,
)
from tests.support import PHONE, Browser, World, form_to, words

pytest_plugins = ("tests.redis_server",)

YES = {"message": "Token is valid.", "token": "is valid", "success": "true", "device": {"id": 1, "os_type": "android"}}
LEDGERS = ("memory", "sqlite", "redis")


@pytest.fixture
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """One of every kind, by `indirect`."""
    if request.param == "memory":
        yield MemoryLedger()
        return
    made: Any = SQLLedger(f"sqlite:///{tmp_path}/ledger.db") if request.param == "sqlite" else RedisLedger(request.getfixturevalue("redis_url"))
    yield made
    (made.database if request.param == "sqlite" else made).close()


every_ledger = pytest.mark.parametrize("ledger", LEDGERS, indirect=True)
threads_here = pytest.mark.parametrize("ledger", [LEDGERS[0], pytest.param(LEDGERS[1], marks=pytest.mark.slow)], indirect=True)


def believing(**settings: Any) -> World:
    """A provider that says yes to everything: whatever is refused, we refuse it."""
    world, liar = lying_world(**settings)
    enrolled(world)
    world.phone().install_app()
    liar.lies["verify"] = lambda *_: YES
    return world


def typed(world: World, code: str, *, user: str = "alice", channel: str = "app") -> Any:
    """A fresh browser of the user types this code: the answer."""
    tab = Tab(world, user)
    return tab.enter(tab.to_code(channel), code)


def verified(world: World) -> int:
    return len(world.calls("verify"))


# Once only


@every_ledger
def test_B1_B5_a_code_is_good_once_with_every_store_whatever_the_provider_says(ledger: Any) -> None:
    world = believing(ledger=ledger)
    browser, page = asked_for_code(world, channel="app")
    assert granted(browser.enter(page, "1234567"))
    shut = Shut(world)
    shut(typed(world, "1234567"), 422)
    browser.http.reset()
    browser.sign_in("alice")
    page = browser.choose(browser.visit(), "app")
    shut(browser.enter(page, "1234567"), 422)
    assert granted(browser.enter(page, "1234568"))


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_B5_the_defaults_remember_codes(store: str, tmp_path: Path) -> None:
    users = MemoryStore() if store == "memory" else SQLStore(f"sqlite:///{tmp_path}/site.db")
    world = believing(users=users)
    assert granted(typed(world, "1234567"))
    Shut(world)(typed(world, "1234567"), 422)
    if store == "sqlite":
        world.backend.ledger.database.close()  # type: ignore[attr-defined]
        users.database.close()  # type: ignore[union-attr]


def test_B1_the_same_code_in_a_second_tab_and_by_a_second_user_of_the_phone_is_refused(world: World) -> None:
    enrolled(world)
    enrolled(world, "carol", PHONE)
    world.phone().install_app()
    code = right(world, "app")
    assert granted(typed(world, code))
    shut = Shut(world)
    shut(typed(world, code), 422)
    shut(typed(world, code, user="carol"), 422)


@pytest.mark.parametrize("at", [1, 10, 18, 19])
def test_B2_a_code_used_at_the_end_of_its_step_is_not_good_in_the_next_one(at: int) -> None:
    world = believing()
    step = world.emulator.state.rules.app_code_step
    world.clock.advance(step - world.clock() % step + at)
    code = right(world, "app")
    assert granted(typed(world, code))
    shut = Shut(world)
    for _ in range(3):
        world.clock.advance(step - at + 1)
        shut(typed(world, code), 422)


def test_B3_a_code_stays_refused_for_longer_than_any_step_that_would_take_it() -> None:
    world = believing(limits=UNLIMITED)
    assert granted(typed(world, "1234567"))
    shut = Shut(world)
    tab = Tab(world)
    fields = tab.to_code()
    for _ in range(121):
        shut(tab.enter(fields, "1234567"), 422)
        world.clock.advance(1)
    for seconds in (APP_SECONDS, 600, 1200, 1400):
        world.clock.advance(seconds)
        shut(typed(world, "1234567"), 422)


@pytest.mark.parametrize("channel", ["sms", "call", "email"])
def test_B4_a_sent_code_is_good_once_and_dies_with_its_time(channel: str) -> None:
    world, liar = lying_world(channels=("app", "sms", "call", "email"), profile=lambda user: Profile(email=f"{user}@example.com"))
    enrolled(world)
    browser, page = asked_for_code(world, channel=channel)
    liar.lies["verify"] = lambda *_: YES
    code = right(world)
    assert granted(browser.enter(page, code))
    shut = Shut(world)
    world.clock.advance(31)
    second, again = asked_for_code(world, channel=channel)
    shut(second.enter(again, code), 422)
    other = next(wrong(world))
    world.clock.advance(600)
    for code in (other, right(world)):
        shut(second.enter(again, code), 409, 422)
        shut(second.get(f"{PREFIX}/code"), 303)
    assert not is_in(second)


def test_B4_a_code_that_was_not_used_is_dead_after_ten_minutes_at_the_provider_too(world: World) -> None:
    enrolled(world)
    browser, page = asked_for_code(world)
    code = right(world)
    world.clock.advance(600)
    shut = Shut(world)
    shut(browser.enter(page, code), 409, 422)
    second, again = asked_for_code(world)
    if right(world) != code:
        shut(second.enter(again, code), 422)


SPELLINGS = {
    "as it is": "{}",
    "spaces around": "  {}  ",
    "a space inside": "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}{0[6]}",
    "spaces everywhere": "{0[0]} {0[1]} {0[2]} {0[3]} {0[4]} {0[5]} {0[6]}",
    "hyphens": "{0[0]}{0[1]}{0[2]}-{0[3]}{0[4]}{0[5]}{0[6]}",
    "dots": "{0[0]}{0[1]}{0[2]}.{0[3]}{0[4]}{0[5]}{0[6]}",
    "no-break spaces": "{0[0]}{0[1]}{0[2]}\u00a0{0[3]}{0[4]}{0[5]}{0[6]}\u00a0",
    "all of them": " -.\u00a0{}\u00a0.- ",
}


@pytest.mark.parametrize("spelling", **named(SPELLINGS))
def test_B6_another_spelling_of_a_used_code_is_the_same_code(spelling: str) -> None:
    world = believing(limits=UNLIMITED)
    code = "1234567"
    assert granted(typed(world, spelling.format(code)))
    shut = Shut(world)
    tab = Tab(world)
    fields = tab.to_code()
    others = [other.format(code) for other in SPELLINGS.values()]
    others += [digits_of(zero, code) for zero in ZEROS] + [
        "１２３４５６７",
        "+1234567",
        "1234567\u200b",
        "\u20601234567",
        unicodedata.normalize("NFKC", "①②③④⑤⑥⑦"),
    ]
    for other in others:
        shut(tab.enter(fields, other), 422, what=other)


@threads_here
def test_B7_of_fifty_parallel_uses_of_one_right_code_exactly_one_wins(ledger: Any) -> None:
    world = believing(ledger=ledger, limits=UNLIMITED)
    tabs = [Tab(world) for _ in range(50)]
    fields = [tab.to_code() for tab in tabs]
    answers = together(50, lambda number: tabs[number].enter(fields[number], "1234567"))
    winners = [granted(answer) for answer in answers]
    assert len([one for one in winners if one]) == 1
    assert Counter(answer.status_int for answer in answers if not granted(answer)) == {422: 49}
    assert [event.kind for event in world.events].count("approved") == 2  # the enrolment's, and one


@threads_here
def test_B7_fifty_clicks_of_one_browser_get_the_same_pass(ledger: Any) -> None:
    world = believing(ledger=ledger, limits=UNLIMITED)
    tab = Tab(world)
    fields = tab.to_code()
    answers = together(50, lambda _: post(world, f"{PREFIX}/code", {**fields, "code": "1234567"}, tab))
    passes = {value.partition(";")[0] for answer in answers for value in granted(answer)}
    assert len(passes) <= 1
    assert {answer.status_int for answer in answers} == {303}
    assert [event.kind for event in world.events].count("approved") == 2
    resumed = tab.post(f"{PREFIX}/continue", {"csrf": fields["csrf"]})
    assert {value.partition(";")[0] for value in granted(resumed)} | passes == {granted(resumed)[0].partition(";")[0]}


# Limits


def _guess(world: World, browser: Browser | Tab, fields: dict[str, Any], codes: Iterator[str], tries: int, **request: Any) -> Counter[int]:
    """Wrong codes, one after the other: how often each status came."""
    shut = Shut(world)
    return Counter(shut(post(world, f"{PREFIX}/code", {**fields, "code": next(codes)}, browser, **request), 422, 429, 303).status_int for _ in range(tries))


@pytest.mark.parametrize("tries", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_B8_of_a_thousand_wrong_codes_five_reach_the_provider_and_the_right_one_is_refused_meanwhile(world: World, tries: int) -> None:
    enrolled(world)
    browser, page = asked_for_code(world)
    asked = verified(world)
    found = _guess(world, browser, fields_of(page, "/code"), wrong(world), tries)
    assert verified(world) - asked == 5
    assert found == {422: 4, 429: tries - 4}
    Shut(world)(browser.enter(page, right(world)), 429)
    assert verified(world) - asked == 5
    world.clock.advance(900)
    second, again = asked_for_code(world)
    assert granted(second.enter(again, right(world)))


@pytest.mark.parametrize("sessions", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_B9_many_sessions_from_many_addresses_share_one_limit_and_the_owner_is_told(world: World, sessions: int) -> None:
    enrolled(world)
    world.phone().install_app()
    asked, told, codes = verified(world), len(world.events), wrong(world)
    for number in range(sessions):
        address = f"203.{number % 100 + 1}.113.{number // 100 + 7}"
        tab = Tab(world, REMOTE_ADDR=address)
        _guess(world, tab, tab.to_code(), codes, 5)
    assert verified(world) - asked == 5
    kinds = Counter(event.kind for event in world.events[told:])
    assert kinds["wrong"] == 5
    assert kinds["challenged"] == sessions
    shut = Shut(world)
    shut(typed(world, right(world, "app")), 429)


def test_B9_at_most_a_hundred_tries_without_success_however_patient_the_attacker(world: World) -> None:
    enrolled(world)
    world.phone().install_app()
    asked, codes = verified(world), wrong(world)
    for _ in range(60):
        for _ in range(5):
            tab = Tab(world)
            if "Codes are closed" in tab.visit().text:
                break
            _guess(world, tab, tab.to_code(), codes, 6)
            world.clock.advance(901)
        world.clock.advance(86400 - 5 * 901)
    assert verified(world) - asked == 100
    assert world.kinds().count("closed") >= 1
    assert "Codes are closed" in words(world.browser("alice").visit())
    world.backend.open("alice")
    assert granted(typed(world, right(world, "app")))


@threads_here
def test_B10_of_a_hundred_parallel_wrong_tries_at_most_five_are_evaluated(ledger: Any) -> None:
    world = World(ledger=ledger)
    enrolled(world)
    world.phone().install_app()
    codes, tabs = wrong(world), [Tab(world) for _ in range(25)]
    fields, guesses = [tab.to_code() for tab in tabs], [next(codes) for _ in range(100)]
    asked = verified(world)
    answers = together(100, lambda number: tabs[number % 25].enter(fields[number % 25], guesses[number]))
    assert verified(world) - asked <= 5
    assert {answer.status_int for answer in answers} <= {422, 429, 303}
    assert not any(granted(answer) for answer in answers)
    # Whatever came first has used it up.
    tab = Tab(world)
    last = tab.to_code()
    for _ in range(5):
        tab.enter(last, next(codes))
    assert verified(world) - asked == 5
    Shut(world)(tab.enter(last, right(world, "app")), 429)


@every_ledger
def test_B11_the_long_window_of_a_rule_bites_where_the_short_one_does_not(ledger: Any) -> None:
    windows = [(5, 60), (20, 86400)]
    world = World(ledger=ledger, limits={**UNLIMITED, "code.user": windows, "code.reference": windows})
    enrolled(world)
    world.phone().install_app()
    asked, codes = verified(world), wrong(world)
    statuses = []
    for _ in range(25):
        statuses.append(typed(world, next(codes)).status_int)
        world.clock.advance(3300)
    assert statuses == [422] * 19 + [429] * 6
    assert verified(world) - asked == 20


ALIKE = {
    "capitals": ("john", "JOHN", "John", "jOhN"),
    "spaces": ("john", " john", "john ", "\u00a0john", "john\u3000"),
    "full width": ("john", "ｊｏｈｎ", "ＪＯＨＮ"),
    "ligatures": ("office", "ofﬁce", "OFFICE", "oﬃce"),
    "sharp s": ("strasse", "STRASSE", "straße"),
    "composed": ("jos\u00e9", "jose\u0301", "JOS\u00c9"),
    "kelvin": ("kelvin", "\u212aelvin", "KELVIN"),
    "greek": ("σοφος", "ΣΟΦΟΣ", "σοφοσ", "σοφος"),
    "superscript": ("user2", "user²", "USER2"),
    "e-mail": ("a@example.com", "A@Example.COM", "a@EXAMPLE.com "),
}


STORED = {
    **{f"{name}, memory": (spellings, "memory") for name, spellings in ALIKE.items()},
    "capitals, sqlite": (ALIKE["capitals"], "sqlite"),
    "greek, sqlite": (ALIKE["greek"], "sqlite"),
}


@pytest.mark.parametrize(("spellings", "store"), **named(STORED))
def test_B12_another_spelling_of_an_enrolled_user_is_never_a_fresh_one(spellings: tuple[str, ...], store: str, tmp_path: Path) -> None:
    users: Any = MemoryStore() if store == "memory" else SQLStore(f"sqlite:///{tmp_path}/site.db")
    world = World(users=users)
    enrolled(world, spellings[0])
    shut, sent = Shut(world), len(world.calls())
    for spelling in spellings[1:]:
        if spelling == spellings[0]:
            continue
        thief = Tab(world, spelling)
        shut(thief.get("/members"), 303, what=spelling)
        for page in ("/", "/enrol", "/code", "/push", "/continue"):
            answer = shut(thief.get(PREFIX + page), 200 if page == "/continue" else 303, 303, 503, what=spelling)
            assert "Add your phone" not in answer.text
        shut(thief.visit(), 503)
    assert len(world.calls()) == sent
    if store == "sqlite":
        world.backend.ledger.database.close()  # type: ignore[attr-defined]
        users.database.close()


@pytest.mark.parametrize("spellings", **named(ALIKE))
def test_B12_of_two_spellings_that_enrol_at_once_one_gets_a_factor(spellings: tuple[str, ...]) -> None:
    world = World()
    first, second = (Tab(world, spelling) for spelling in (spellings[0], spellings[1]))
    pages = [_enrol(first, 1), _enrol(second, 2)]
    assert granted(first.enter(hidden(pages[0], "/code"), right(world, number=_number(1))))
    Shut(world)(second.enter(hidden(pages[1], "/code"), right(world, number=_number(2))), 503)
    assert [user for user in (spellings[0], spellings[1]) if _has_factor(world, user)] == [spellings[0]]


def _has_factor(world: World, user: str) -> bool:
    return any(row[0] == user and '"authy_id"' in row[2] for row in world.settings["users"]._rows.values())


@pytest.mark.parametrize("spellings", **named(ALIKE))
def test_B12_the_tries_of_all_spellings_are_counted_together(spellings: tuple[str, ...]) -> None:
    world = World(limits={**UNLIMITED, "code.new.user": [(5, 900)]})
    asked, codes = verified(world), Counter[int]()
    for number in range(8):
        tab = Tab(world, spellings[number % len(spellings)])
        page = _enrol(tab, number)
        codes[tab.enter(hidden(page, "/code"), next(wrong(world, _number(number)))).status_int] += 1
    assert verified(world) - asked == 5
    assert codes[429] == 4


def test_B12_canonical_makes_one_user_of_what_the_site_knows_to_be_one() -> None:
    def canonical(user: str) -> str:
        plain = unicodedata.normalize("NFKD", user).casefold()
        return "".join(letter for letter in plain if not unicodedata.combining(letter)).partition("@")[0].strip()

    world = World(canonical=canonical)
    enrolled(world, "admin")
    codes, asked = wrong(world), verified(world)
    for spelling in ("ádmin", "ADMIN", "admin@example.com", " Àdmin", "admin", "ÁDMIN@EXAMPLE.COM"):
        page = (browser := world.browser(spelling)).visit()
        assert "Confirm it is you" in words(page), spelling
        browser.choose(page, "app")
        _guess(world, browser, fields_of(browser.choose(browser.visit(), "app"), "/code"), codes, 2)
    assert verified(world) - asked == 5


FORWARDED = ("X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Cluster-Client-IP", "Via")


@pytest.mark.parametrize("header", FORWARDED)
def test_B13_a_header_of_the_clients_makes_no_new_network(header: str) -> None:
    world = World(limits={**UNLIMITED, "send.new.network": [(5, 3600)]})
    statuses = []
    for number in range(8):
        claimed = f"198.51.100.{number + 1}"
        value = f"for={claimed}" if header == "Forwarded" else claimed
        statuses.append(_enrol(Tab(world, f"user{number}", REMOTE_ADDR="8.8.4.4", **{_key(header): value}), number).status_int)
    assert statuses == [200] * 5 + [429] * 3


def _key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _number(number: int) -> str:
    return f"+140855553{number:02d}"


def _enrol(tab: Tab, number: int) -> Any:
    """Ask to add a number; the page that follows."""
    answer = tab.post(f"{PREFIX}/enrol", {**hidden(tab.visit(), "/enrol"), "phone": _number(number), "email": "a@example.com"})
    return tab.visit(answer.header("Location") or "") if answer.status_int == 303 else answer


ONE_NETWORK = {
    "one address": ["8.8.4.4"],
    "one /64": [f"2001:4860:4860:1:{number:x}:{number * 7:x}::{number:x}" for number in range(1, 9)],
    "other spellings": ["2001:4860:4860:1::8", "2001:4860:4860:0001:0000:0000:0000:0008", "2001:4860:4860:1:0::8", "2001:4860:4860:1::0.0.0.8"],
    "mapped": ["8.8.4.4", "::ffff:8.8.4.4", "::ffff:808:404", "0:0:0:0:0:ffff:8.8.4.4"],
}


@pytest.mark.parametrize("addresses", **named(ONE_NETWORK))
def test_B13_one_network_is_one_bucket_however_it_is_spelled(addresses: list[str]) -> None:
    world = World(limits={**UNLIMITED, "send.new.network": [(5, 3600)]})
    statuses = [_enrol(Tab(world, f"user{number}", REMOTE_ADDR=addresses[number % len(addresses)]), number).status_int for number in range(8)]
    assert statuses == [200] * 5 + [429] * 3


def test_B14_a_success_of_ones_own_gives_back_no_try_on_somebody_else(world: World) -> None:
    enrolled(world)
    enrolled(world, "mallory", OTHER_PHONE)
    for number in (PHONE, OTHER_PHONE):
        world.phone(number).install_app()
    codes, asked, statuses = wrong(world), 0, list[int]()
    for _ in range(3):
        browser, page = asked_for_code(world, channel="app", REMOTE_ADDR="8.8.4.4")
        for _ in range(4):
            before = verified(world)
            statuses.append(browser.enter(page, next(codes)).status_int)
            asked += verified(world) - before
        own, page = asked_for_code(world, "mallory", "app", REMOTE_ADDR="8.8.4.4")
        assert granted(own.enter(page, right(world, "app", OTHER_PHONE)))
        world.clock.advance(21)
    assert statuses == [422] * 4 + [429] * 8
    assert asked == 5


def test_B14_the_owners_own_success_gives_back_one_try_only(world: World) -> None:
    enrolled(world)
    world.phone().install_app()
    codes, asked = wrong(world), verified(world)
    for _ in range(4):
        browser, page = asked_for_code(world, channel="app")
        for _ in range(2):
            browser.enter(page, next(codes))
        browser.enter(page, right(world, "app"))
        world.clock.advance(21)
    # Two wrong and one right, given back; two wrong and one right; then one is left.
    assert verified(world) - asked == 7


# B15: every other place where a code is checked


def test_B15_the_code_of_an_enrolment_is_limited_too(world: World) -> None:
    browser = world.browser("alice")
    page = browser.enrol()
    found = _guess(world, browser, fields_of(page, "/code"), wrong(world), 20)
    assert verified(world) == 5
    assert found == {422: 4, 429: 16}
    Shut(world)(browser.enter(page, right(world)), 429)
    assert world.settings["users"].get("alice") is None


def test_B15_a_new_number_for_each_few_tries_is_limited_too(world: World) -> None:
    codes, statuses = wrong(world, "+14085555300"), list[int]()
    for number in range(3):
        browser = world.browser("alice")
        page = browser.enrol(_number(number))
        for _ in range(4):
            statuses.append(browser.enter(page, next(codes)).status_int)
        world.clock.advance(31)
    assert verified(world) == 5
    assert statuses == [422] * 4 + [429] * 8


def test_B15_a_step_up_is_limited_with_the_sign_in() -> None:
    world = World(policy=lambda environ, _login: Need(max_age=60) if environ["PATH_INFO"] == "/pay" else Need())
    alice = signed_in(world)
    world.clock.advance(3600)
    page = alice.choose(alice.visit("/pay"), "sms")
    found = _guess(world, alice, fields_of(page, "/code"), wrong(world), 20)
    assert found == {422: 4, 429: 16}
    shut = Shut(world)
    shut(alice.enter(page, right(world)), 429)
    other, again = asked_for_code(world, channel="app")
    shut(other.enter(again, right(world)), 429)
    assert is_in(alice)
    assert not is_in(alice, "/pay")


def test_B16_a_new_message_gives_no_new_tries(world: World) -> None:
    enrolled(world)
    tab = Tab(world)
    start = hidden(tab.visit(), "/start", "sms")
    fields = tab.to_code("sms")
    codes, asked, statuses = wrong(world), verified(world), list[int]()
    for _ in range(4):
        statuses += [tab.enter(fields, next(codes)).status_int for _ in range(4)]
        world.clock.advance(31)
        assert tab.post(f"{PREFIX}/start", start).status_int == 303
    assert verified(world) - asked == 5
    assert statuses == [422] * 4 + [429] * 12


@pytest.mark.parametrize("channels", [("sms", "app"), ("app", "sms"), ("sms", "call"), ("call", "app")], ids="-".join)
def test_B16_another_way_gives_no_new_tries(channels: tuple[str, str]) -> None:
    world = World(channels=("push", "app", "sms", "call"), limits={"code.attempt": [(1000, 600)]})
    enrolled(world)
    codes, asked = wrong(world), verified(world)
    for number in range(4):
        tab = Tab(world)
        fields = tab.to_code(channels[number % 2])
        for _ in range(4):
            tab.enter(fields, next(codes))
        world.clock.advance(31)
    assert verified(world) - asked == 5


def test_B17_a_stranger_cannot_touch_a_users_limits(world: World) -> None:
    enrolled(world)
    enrolled(world, "mallory", OTHER_PHONE)
    alice, page = asked_for_code(world)
    fields, codes, seen = fields_of(page, "/code"), wrong(world), len(world.calls())
    others = [world.browser("mallory"), world.browser("mallory", ""), world.browser("Mallory2")]
    strangers = [None, *(browser.http.extra_environ["site.login"] for browser in others)]
    shut = Shut(world)
    for login in strangers:
        for path in ("/code", "/start", "/poll", "/enrol", "/continue", "/logout", "/kept"):
            for _ in range(8):
                said = {**fields, "code": next(codes), "client": "authy", "channel": "sms", "factor": _factor(world)}
                shut(post(world, PREFIX + path, said, alice, login=login), 403)
    assert len(world.calls()) == seen
    # All five tries are still there, and the right one after them is the fifth.
    for _ in range(4):
        assert alice.enter(page, next(codes)).status_int == 422
    assert granted(alice.enter(page, right(world)))


def _factor(world: World) -> str:
    user = world.settings["users"].get("alice")
    return str(user.factors[0].id)


def test_B17_with_the_password_stolen_every_lock_has_an_end_and_push_stays_open(world: World) -> None:
    enrolled(world)
    world.phone().install_app()
    thief, page = asked_for_code(world, channel="app")
    _guess(world, thief, fields_of(page, "/code"), wrong(world), 50)
    owner = world.browser("alice")
    page = owner.choose(owner.visit(), "push")
    world.phone().approve()
    world.clock.advance(1)
    assert owner.poll(page)["state"] == "approved"
    assert is_in(owner)
    world.clock.advance(900)
    assert granted(typed(world, right(world, "app")))


def test_B17_a_closed_account_ends_no_live_pass_and_is_opened_by_an_administrator() -> None:
    world = World(limits={"code.user": [(5, 604800)]})
    owner = signed_in(world)
    world.phone().install_app()
    thief, page = asked_for_code(world, channel="app")
    _guess(world, thief, fields_of(page, "/code"), wrong(world), 20)
    assert "closed" in world.kinds()
    assert is_in(owner)
    Shut(world)(thief.enter(page, right(world, "app")), 429)
    world.backend.reset("alice")
    world.backend.open("alice")
    token = world.backend.invite("alice")
    fresh = world.browser("alice")
    page = fresh.visit(f"{PREFIX}/enrol?invite={token}")
    page = fresh.follow(fresh.submit(form_to(page, "/enrol"), phone=OTHER_PHONE, email="a@example.com"))
    assert granted(fresh.enter(page, right(world, number=OTHER_PHONE)))


# B20 and B21


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_B20_a_sent_code_is_good_in_its_own_sign_in_only(channel: str) -> None:
    world = World(channels=("push", "app", "sms", "call"), limits=UNLIMITED)
    enrolled(world)
    codes, browsers = list[str](), list[tuple[Browser, Any]]()
    for _ in range(3):
        browsers.append(asked_for_code(world, channel=channel))
        codes.append(right(world))
        world.clock.advance(31)
    shut = Shut(world)
    for mine, (browser, page) in enumerate(browsers):
        for other, code in enumerate(codes):
            if other != mine and codes[other] != codes[mine]:
                shut(browser.enter(page, code), 422, what=(mine, other))
    assert granted(browsers[2][0].enter(browsers[2][1], codes[2]))


def test_B20_an_enrolments_code_signs_nobody_in_and_the_other_way_round(world: World) -> None:
    enrolled(world)
    alice, sign_in = asked_for_code(world)
    code = right(world)
    world.clock.advance(31)
    thief = world.browser("mallory")
    enrolment = thief.enrol(PHONE)
    other = right(world)
    shut = Shut(world)
    if code != other:
        shut(alice.enter(sign_in, other), 422)
        shut(thief.enter(enrolment, code), 422)
    assert world.settings["users"].get("mallory") is None


NO_TEXT = {
    "circled": "①②③④⑤⑥⑦".encode(),
    "circled, quoted": b"%E2%91%A0%E2%91%A1%E2%91%A2",
    "surrogate": b"%ED%A0%80",
    "surrogates": b"%ED%A0%80%ED%B0%80",
    "latin": b"%E9%E9%E9%E9%E9%E9",
    "bare bytes": b"\xff\xfe\x00\x01",
    "overlong": b"%C0%B1%C0%B2",
    "NUL": b"1234567%00",
    "bare NUL": b"1234567\x00",
    "bad quoting": b"%zz%1%",
    "percent": b"%",
    "utf-16": "1234567".encode("utf-16"),
    "megabyte": b"1" * 1_000_000,
    "64 KiB": b"1" * 65_000,
    "ampersands": b"&" * 500,
    "equals": b"=" * 500,
    "fields": b"&".join(b"x%d=1" % number for number in range(200)),
    "plus": b"+" * 50,
    "line breaks": b"%0d%0aX: y",
    "right-to-left": b"%E2%80%AE1234567",
    "emoji": "\U0001f511".encode(),
    "private use": b"%F4%8F%BF%BF",
    "beyond Unicode": b"%F4%90%80%80",
}


@pytest.fixture(scope="module")
def waiting() -> tuple[World, Browser, Any]:
    world = World(limits=UNLIMITED)
    enrolled(world)
    return (world, *asked_for_code(world))


@pytest.mark.parametrize("raw", **named(NO_TEXT))
def test_B21_a_code_that_is_no_text_is_a_clean_4xx(waiting: tuple[World, Browser, Any], raw: bytes) -> None:
    world, browser, page = waiting
    shut, asked = Shut(world), len(world.calls())
    kept = b"&".join(f"{name}={value}".encode() for name, value in fields_of(page, "/code").items() if name != "code")
    for body in (kept + b"&code=" + raw, b"code=" + raw + b"&" + kept, raw, raw + b"&" + kept, kept.replace(b"next=", b"next=" + raw)):
        shut(post(world, f"{PREFIX}/code", body, browser), 400, 403, 413, 422)
    assert len(world.calls()) == asked


BODIES: dict[str, tuple[bytes, str]] = {
    "no field": (b"", "application/x-www-form-urlencoded"),
    "the field twice": (b"code=1234567&code=1234567", "application/x-www-form-urlencoded"),
    "an array": (b"code[]=1234567", "application/x-www-form-urlencoded"),
    "JSON": (b'{"code": "1234567"}', "application/json"),
    "JSON number": (b'{"code": 1234567}', "application/json"),
    "text": (b"code=1234567", "text/plain"),
    "another charset": (b"code=1234567", "application/x-www-form-urlencoded; charset=utf-16"),
    "an unknown charset": (b"code=1234567", "application/x-www-form-urlencoded; charset=x"),
    "utf-7": (b"code=+ADE-", "application/x-www-form-urlencoded; charset=utf-7"),
    "no type": (b"code=1234567", ""),
    "a file": (
        b'--b\r\nContent-Disposition: form-data; name="code"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n1234567\r\n--b--\r\n',
        "multipart/form-data; boundary=b",
    ),
    "multipart": (b'--b\r\nContent-Disposition: form-data; name="code"\r\n\r\n1234567\r\n--b--\r\n', "multipart/form-data; boundary=b"),
    "multipart without boundary": (b"x", "multipart/form-data"),
}


@pytest.mark.parametrize("body", **named(BODIES))
@pytest.mark.parametrize("page", ["/code", "/start", "/poll", "/enrol", "/continue", "/logout", "/kept"])
def test_B21_a_body_of_another_kind_is_a_clean_4xx(waiting: tuple[World, Browser, Any], page: str, body: tuple[bytes, str]) -> None:
    world, browser, at = waiting
    asked = len(world.calls())
    data, content_type = body
    if content_type.startswith("application/x-www-form-urlencoded"):
        data += b"&" + b"&".join(f"{name}={value}".encode() for name, value in fields_of(at, "/code").items() if name in ("csrf", "next"))
    answer = Shut(world)(post(world, PREFIX + page, data, browser, content_type=content_type), 400, 403, 422, 303, 404)
    assert answer.status_int != 303 or page in ("/start", "/poll", "/continue", "/logout", "/enrol")
    assert len(world.calls()) == asked


@pytest.mark.parametrize("length", **named(["-1", "+5", "5 5", "x", "1e3", "0x10", "٣", "99999999999999999999", "1.0", " ", "65537", "\x00"]))
def test_B21_a_length_that_is_none_is_a_clean_4xx(waiting: tuple[World, Browser, Any], length: str) -> None:
    world, browser, page = waiting
    Shut(world)(post(world, f"{PREFIX}/code", fields_of(page, "/code", code="1234567"), browser, CONTENT_LENGTH=length), 400, 403, 413)
