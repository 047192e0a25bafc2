"""The second factor called with no HTTP: its limits from both sides, what ends an attempt, crashes at every step, a ledger that is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from authy_wsgi import AuthyClient, Login, MemoryLedger, MemoryStore, SecondFactor, SQLStore, Throttled, Unavailable
from authy_wsgi.attempts import Attempt, Grant
from authy_wsgi.backend import Answer, Backend
from authy_wsgi.contracts import Challenge, Outcome, Verdict
from authy_wsgi.errors import AttemptEnded, Refused
from authy_wsgi.settings import LIMITS
from authy_wsgi.site import client_network
from authy_wsgi.tickets import Pass
from tests.support import API_KEY, PHONE, START, World, session_for

OTHER_PHONE = "+14085555271"
WRONG = "1111111"
MINUTE, HOUR, DAY = 60, 3600, 86400

MakeWorld = Callable[..., World]


@pytest.fixture(params=["memory", "sqlite"])
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes a site: all in memory, or store and ledger in one SQLite file."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        if request.param == "sqlite":
            settings.setdefault("users", unhurried(SQLStore(f"sqlite:///{tmp_path}/{len(made)}.db")))
        made.append(World(**settings))
        return made[-1]

    yield make
    for world in made:
        close(world)


def unhurried(store: SQLStore) -> SQLStore:
    """The same store, which leaves writing to the disk to the operating system: no power is cut here."""
    engine = store.database._open()
    engine.dispose()
    event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF").close())
    return store


def close(world: World) -> None:
    database = getattr(world.settings["users"], "database", None)
    if database is not None:
        database.close()
    ledger = getattr(world.backend.ledger, "database", None)
    if ledger is not None:
        ledger.close()


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A site where alice has a phone with the app, enrolled two days ago."""
    world = make_world(channels=("push", "app", "sms", "call"))
    enrol(world)
    world.phone().install_app()
    world.clock.advance(2 * DAY)
    world.events.clear()
    return world


def begin(world: World, user: str = "alice", *, session: str = "s", backend: Backend | None = None, **about: Any) -> Attempt:
    backend = backend or world.backend
    return backend.begin(Login(user, session), context=backend.context(**about))


def send(world: World, attempt: Attempt, channel: str = "sms", *, insist: bool = True, backend: Backend | None = None, **about: Any) -> Challenge:
    backend = backend or world.backend
    way = next(way for way in backend.ways(attempt) if way.channel == channel)
    return backend.start(attempt, way, replace(backend.context(**about), insist=insist))


def check(world: World, attempt: Attempt, code: str | None, *, backend: Backend | None = None) -> Answer:
    assert code is not None
    backend = backend or world.backend
    return backend.check(attempt, {"code": code}, backend.context())


def poll(world: World, attempt: Attempt) -> Answer:
    return world.backend.poll(attempt, world.backend.context())


def begin_enrolment(world: World, user: str = "alice", number: str = PHONE, *, invitation: str = "", **about: Any) -> Attempt:
    """As far as the first code, which is on its way."""
    context = world.backend.context(**about)
    attempt = world.backend.begin(Login(user, "s"), context=context, purpose="enrol", invitation=invitation)
    world.backend.enrol(attempt, "authy", {"phone": number, "email": f"{user}@example.com"}, context)
    return attempt


def enrol(world: World, user: str = "alice", number: str = PHONE) -> Grant:
    installed = number in [phone.number for phone in world.emulator.phones] and world.phone(number).app_installed
    attempt = begin_enrolment(world, user, number)
    answer = check(world, attempt, world.phone(number).app_code if installed else world.phone(number).code)
    assert answer.grant is not None
    return answer.grant


def guess(world: World, user: str = "alice", code: str = WRONG, **about: Any) -> Answer:
    """One code of the app, in an attempt of its own."""
    attempt = begin(world, user, **about)
    send(world, attempt, "app")
    return check(world, attempt, code)


def next_app_code(world: World, number: str = PHONE) -> str:
    """The code of an app step that nobody has used."""
    world.clock.advance(40)
    code = world.phone(number).app_code
    assert code is not None
    return code


def refusal(call: Callable[[], object]) -> Throttled:
    with pytest.raises(Throttled) as caught:
        call()
    return caught.value


def verified(world: World) -> int:
    return len(world.calls("verify"))


# Wrong codes


def test_five_wrong_codes_end_an_attempt_and_the_sixth_is_not_asked(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    assert [check(world, attempt, WRONG).left for _ in range(5)] == [4, 3, 2, 1, 0]
    asked = verified(world)
    answer = check(world, attempt, world.phone().code)
    assert answer.verdict.outcome is Outcome.THROTTLED
    # Of the attempt's ten minutes and the user's fifteen, the later end is when to come back.
    assert answer.verdict.reason == "code.user"
    assert answer.again_at == world.clock() + 15 * MINUTE
    assert verified(world) == asked


def test_four_wrong_codes_and_then_the_right_one_get_in(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    for _ in range(4):
        assert not check(world, attempt, WRONG)
    assert check(world, attempt, world.phone().code).grant


def test_what_is_not_a_code_costs_no_try(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    for text in ("", "12345", "12345678901", "../sms", "١٢٣٤٥٦٧", "1234567\n", "+123456"):
        assert check(world, attempt, text).verdict.reason == "malformed"
    assert verified(world) == 1  # the enrolment's
    assert check(world, attempt, WRONG).left == 4


def test_five_in_a_quarter_of_an_hour_are_counted_over_all_attempts_of_a_user(world: World) -> None:
    first = world.clock()
    for _ in range(5):
        assert guess(world).verdict.outcome is Outcome.WRONG
    refused = guess(world, code=next_app_code(world))
    assert refused.verdict.outcome is Outcome.THROTTLED
    assert refused.verdict.reason == "code.user"
    assert refused.again_at == first + 15 * MINUTE
    world.clock.now = first + 15 * MINUTE - 1
    assert guess(world).verdict.outcome is Outcome.THROTTLED
    world.clock.now = first + 15 * MINUTE
    assert guess(world).verdict.outcome is Outcome.WRONG


def test_twenty_a_day_bite_where_five_in_a_quarter_of_an_hour_do_not(world: World) -> None:
    first = world.clock()
    for _ in range(20):
        assert guess(world).verdict.outcome is Outcome.WRONG
        world.clock.advance(10 * MINUTE)
    refused = guess(world)
    assert refused.verdict.reason == "code.user"
    assert refused.again_at == first + DAY
    world.clock.now = first + DAY - 1
    assert guess(world).verdict.outcome is Outcome.THROTTLED
    world.clock.now = first + DAY
    assert guess(world).verdict.outcome is Outcome.WRONG
    assert guess(world).verdict.outcome is Outcome.THROTTLED


def test_the_hundredth_wrong_code_in_thirty_days_closes_codes_until_an_administrator_opens_them(world: World) -> None:
    users = world.settings["users"]
    for number in range(100):
        assert users.get("alice").closed == frozenset()
        assert "closed" not in world.kinds()
        assert guess(world).verdict.outcome is Outcome.WRONG, number
        world.clock.advance(90 * MINUTE)
    assert users.get("alice").closed == {"code"}
    assert world.kinds()[-2:] == ["wrong", "closed"]
    # Not even the window's end opens it, nor a lost ledger.
    world.clock.advance(31 * DAY)
    attempt = begin(world)
    assert [way.channel for way in world.backend.ways(attempt)] == ["push"]
    sms = replace(world.client.ways(users.get("alice"))[2])
    assert sms.channel == "sms"
    with pytest.raises(Refused, match="not open to you"):
        world.backend.start(attempt, sms, world.backend.context())
    # Push has no codes to guess.
    send(world, attempt, "push")
    world.phone().approve()
    assert poll(world, attempt).grant
    world.backend.open("alice")
    assert users.get("alice").closed == frozenset()
    assert world.kinds()[-1] == "opened"
    assert guess(world, code=next_app_code(world)).grant


def test_opening_begins_a_fresh_count(world: World) -> None:
    for _ in range(5):
        guess(world)
    assert guess(world).verdict.outcome is Outcome.THROTTLED
    world.backend.open("alice")
    assert [guess(world).left for _ in range(5)] == [4, 3, 2, 1, 0]
    assert guess(world).verdict.outcome is Outcome.THROTTLED


def test_an_attempt_under_way_when_codes_are_closed_takes_none(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    world.backend.accounts.close("alice", "code", world.clock())
    asked = verified(world)
    answer = check(world, attempt, world.phone().code)
    assert answer.verdict.outcome is Outcome.THROTTLED
    assert answer.verdict.reason == "closed"
    assert verified(world) == asked


def test_the_closing_is_written_again_where_a_crash_lost_it(make_world: MakeWorld) -> None:
    world = make_world(limits={"code.user": [(3, 30 * DAY)]})
    enrol(world)
    for _ in range(3):
        guess(world)
    users = world.settings["users"]
    users.save(replace(users.get("alice"), closed=frozenset()))
    assert guess(world).verdict.reason == "closed"
    assert users.get("alice").closed == {"code"}


def test_two_users_with_one_authy_id_share_their_tries(world: World) -> None:
    enrol(world, "alan")
    assert {user.factors[0].data["authy_id"] for name in ("alice", "alan") if (user := world.settings["users"].get(name))} == {1635}
    for _ in range(3):
        guess(world, "alice")
    for _ in range(2):
        assert guess(world, "alan").verdict.outcome is Outcome.WRONG
    for name in ("alice", "alan"):
        refused = guess(world, name)
        assert refused.verdict.outcome is Outcome.THROTTLED
        assert refused.verdict.reason == "code.reference"
    world.clock.advance(15 * MINUTE)
    assert guess(world, "alan", code=next_app_code(world)).grant


def test_two_spellings_of_a_user_have_one_count(make_world: MakeWorld) -> None:
    world = make_world(canonical=str.lower)
    enrol(world)
    for _ in range(5):
        guess(world)
    assert world.browser("ALICE").visit().status_int == 200
    assert guess(world).verdict.reason == "code.user"


def test_guessing_while_enrolling_someones_number_leaves_the_owner_all_tries(world: World) -> None:
    world.phone().remove_app()
    attempt = begin_enrolment(world, "mallory")
    assert [check(world, attempt, WRONG).left for _ in range(5)] == [4, 3, 2, 1, 0]
    assert [guess(world).left for _ in range(5)] == [4, 3, 2, 1, 0]
    assert "closed" not in world.kinds()


def test_codes_for_a_number_that_nobody_proved_have_five_tries_a_day_over_all_who_enrol_it(world: World) -> None:
    world.phone().remove_app()
    first = world.clock()
    one, two = begin_enrolment(world, "mallory"), None
    for _ in range(3):
        check(world, one, WRONG)
    world.clock.advance(MINUTE)
    two = begin_enrolment(world, "mike")
    for _ in range(2):
        assert check(world, two, WRONG).verdict.outcome is Outcome.WRONG
    refused = check(world, two, WRONG)
    assert refused.verdict.reason == "code.new.reference"
    assert refused.again_at == first + DAY
    world.clock.now = first + DAY
    assert check(world, begin_enrolment(world, "mia"), world.phone().code).grant


def test_whoever_enrols_has_five_tries_in_a_quarter_of_an_hour_over_all_numbers(world: World) -> None:
    first = world.clock()
    one = begin_enrolment(world, "mallory", "+14085555281")
    for _ in range(3):
        check(world, one, WRONG)
    two = begin_enrolment(world, "mallory", "+14085555282")
    for _ in range(2):
        assert check(world, two, WRONG).verdict.outcome is Outcome.WRONG
    refused = check(world, two, world.phone("+14085555282").code)
    assert refused.verdict.reason == "code.new.user"
    assert refused.again_at == first + 15 * MINUTE
    world.clock.now = first + 15 * MINUTE
    third = begin_enrolment(world, "mallory", "+14085555283")
    assert check(world, third, world.phone("+14085555283").code).grant


def test_success_gives_back_its_own_try_only(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    for _ in range(3):
        check(world, attempt, WRONG)
    assert check(world, attempt, world.phone().code).grant
    assert guess(world, code=world.phone().app_code or "").grant
    assert [guess(world).left for _ in range(2)] == [1, 0]
    assert guess(world).verdict.outcome is Outcome.THROTTLED


def test_another_users_success_returns_nothing(world: World) -> None:
    enrol(world, "bob", OTHER_PHONE)
    for _ in range(5):
        guess(world)
    attempt = begin(world, "bob")
    send(world, attempt)
    assert check(world, attempt, world.phone(OTHER_PHONE).code).grant
    assert guess(world).verdict.outcome is Outcome.THROTTLED


def test_sending_again_or_another_way_returns_nothing(world: World) -> None:
    attempt = begin(world)
    lefts = []
    for channel in ("sms", "app", "sms", "app", "call"):
        world.clock.advance(30)
        send(world, attempt, channel)
        lefts.append(check(world, attempt, WRONG).left)
    assert lefts == [4, 3, 2, 1, 0]


def test_a_try_stays_spent_when_the_provider_fails(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    world.emulator.add_fault(route="verify", kind="status", status=500)
    with pytest.raises(Unavailable):
        check(world, attempt, world.phone().code)
    assert check(world, attempt, WRONG).left == 3


# Sending


def test_a_second_message_waits_half_a_minute(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    world.clock.advance(29)
    refused = refusal(lambda: send(world, attempt))
    assert refused.rule == "send.cooldown"
    assert refused.again_at == world.clock() + 1
    other = begin(world, session="another")
    assert refusal(lambda: send(world, other)).rule == "send.cooldown"
    world.clock.advance(1)
    send(world, attempt)
    assert len(world.phone().messages) == 3


def test_five_messages_an_hour_and_ten_a_day_for_a_user(world: World) -> None:
    first = world.clock()

    def sent(at: int) -> None:
        world.clock.now = at
        send(world, begin(world))

    for number in range(5):
        sent(first + number * MINUTE)
    hour = refusal(lambda: sent(first + HOUR - 1))
    assert (hour.rule, hour.again_at) == ("send.user", first + HOUR)
    for number in range(5):
        sent(first + HOUR + number * 10 * MINUTE)
    day = refusal(lambda: sent(first + 6 * HOUR))
    assert (day.rule, day.again_at) == ("send.user", first + DAY)
    refusal(lambda: sent(first + DAY - 1))
    sent(first + DAY)
    assert len(world.calls("sms")) == 1 + 11


def test_five_messages_an_hour_and_ten_a_day_to_a_number_whoever_asks(world: World) -> None:
    enrol(world, "alan")
    world.clock.advance(HOUR)
    first = world.clock()

    def sent(number: int, at: int) -> None:
        world.clock.now = at
        send(world, begin(world, ("alice", "alan")[number % 2]))

    for number in range(5):
        sent(number, first + number * MINUTE)
    hour = refusal(lambda: sent(1, first + HOUR - 1))
    assert (hour.rule, hour.again_at) == ("send.number", first + HOUR)
    for number in range(5):
        sent(number, first + HOUR + number * 10 * MINUTE)
    day = refusal(lambda: sent(0, first + 6 * HOUR))
    assert (day.rule, day.again_at) == ("send.number", first + DAY)
    sent(1, first + DAY)


def test_twenty_messages_an_hour_for_a_public_network(make_world: MakeWorld) -> None:
    wide = ((1000, HOUR),)
    world = make_world(limits={"send.user": wide, "send.number": wide})
    enrol(world)
    world.clock.advance(HOUR)
    first = world.clock()
    for _ in range(20):
        world.clock.advance(30)
        send(world, begin(world), network="203.0.113.7")
    world.clock.advance(30)
    refused = refusal(lambda: send(world, begin(world), network="203.0.113.7"))
    assert (refused.rule, refused.again_at) == ("send.network", first + 30 + HOUR)
    # Another one has its own; what is not public has none.
    send(world, begin(world), network="203.0.113.8")
    for _ in range(22):
        world.clock.advance(30)
        send(world, begin(world), network="")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("2a00:1450:4001:80b::200e", "2a00:1450:4001:80b::/64"),
        ("2a00:1450:4001:80b:ffff:ffff:ffff:ffff", "2a00:1450:4001:80b::/64"),
        ("2a00:1450:4001:80c::1", "2a00:1450:4001:80c::/64"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::ffff:10.0.0.1", ""),
        ("10.0.0.1", ""),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("fe80::1%eth0", ""),
        ("fd00::1", ""),
        ("unix:", ""),
        ("", ""),
    ],
)
def test_a_network_is_a_public_address_or_the_64_bits_of_one(address: str, network: str) -> None:
    assert client_network({"REMOTE_ADDR": address}) == network


def test_messages_of_all_users_are_counted_for_the_site(make_world: MakeWorld) -> None:
    assert LIMITS["send.site"] == ((1000, DAY),)
    world = make_world(limits={"send.site": [(3, DAY)]})
    enrol(world)
    enrol(world, "bob", OTHER_PHONE)
    first = world.clock()
    for user in ("alice", "bob", "alice"):
        send(world, begin(world, user))
        world.clock.advance(30)
    refused = refusal(lambda: send(world, begin(world, "bob")))
    assert (refused.rule, refused.again_at) == ("send.site", first + DAY)
    # The app costs the site nothing, and new numbers have a budget of their own.
    send(world, begin(world, "bob"), "app")
    begin_enrolment(world, "carol", "+14085555272")


def test_two_calls_an_hour_to_a_number(world: World) -> None:
    first = world.clock()
    for _ in range(2):
        send(world, begin(world), "call")
        world.clock.advance(MINUTE)
    refused = refusal(lambda: send(world, begin(world), "call"))
    assert (refused.rule, refused.again_at) == ("send.voice", first + HOUR)
    send(world, begin(world), "sms")
    world.clock.now = first + HOUR
    send(world, begin(world), "call")


def test_a_refused_message_costs_none_of_the_other_budgets(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    for _ in range(20):
        assert refusal(lambda: send(world, attempt)).rule == "send.cooldown"
    world.clock.advance(30)
    send(world, attempt)


def test_three_new_numbers_an_hour_for_a_user(world: World) -> None:
    first = world.clock()
    for last in (1, 2, 3):
        begin_enrolment(world, "bob", f"+1408555528{last}")
    refused = refusal(lambda: begin_enrolment(world, "bob", "+14085555284"))
    assert (refused.rule, refused.again_at) == ("send.new.user", first + HOUR)
    assert "+14085555284" not in [phone.number for phone in world.emulator.phones]
    world.clock.now = first + HOUR
    begin_enrolment(world, "bob", "+14085555284")


def test_three_messages_a_day_to_a_number_that_is_not_proved_and_its_owner_keeps_all_of_theirs(world: World) -> None:
    world.phone().remove_app()
    first = world.clock()
    for name in ("mallory", "mike", "mia"):
        begin_enrolment(world, name)
        world.clock.advance(30)
    refused = refusal(lambda: begin_enrolment(world, "max"))
    assert (refused.rule, refused.again_at) == ("send.new.number", first + DAY)
    for _ in range(5):
        send(world, begin(world))
        world.clock.advance(30)
    world.clock.now = first + DAY
    begin_enrolment(world, "max")


def test_five_new_numbers_an_hour_for_a_public_network(world: World) -> None:
    first = world.clock()
    for last in range(5):
        begin_enrolment(world, f"user{last}", f"+1408555528{last}", network="203.0.113.7")
    refused = refusal(lambda: begin_enrolment(world, "user5", "+14085555285", network="203.0.113.7"))
    assert (refused.rule, refused.again_at) == ("send.new.network", first + HOUR)
    begin_enrolment(world, "user5", "+14085555285", network="203.0.113.8")
    for last in range(6, 9):
        begin_enrolment(world, f"user{last}", f"+1408555528{last}")
    # Sign-ins from there go on.
    send(world, begin(world), network="203.0.113.7")


def test_new_numbers_are_counted_for_the_site(make_world: MakeWorld) -> None:
    assert LIMITS["send.new.site"] == ((100, DAY),)
    world = make_world(limits={"send.new.site": [(3, DAY)]})
    enrol(world)
    first = world.clock()
    for last in range(2):
        begin_enrolment(world, f"user{last}", f"+1408555528{last}")
    refused = refusal(lambda: begin_enrolment(world, "user3", "+14085555283"))
    assert (refused.rule, refused.again_at) == ("send.new.site", first + DAY)
    send(world, begin(world))


def test_sending_the_first_code_again_counts_as_new(world: World) -> None:
    attempt = begin_enrolment(world, "bob", OTHER_PHONE)
    for _ in range(2):
        world.clock.advance(30)
        send(world, attempt)
    world.clock.advance(30)
    assert refusal(lambda: send(world, attempt)).rule == "send.new.number"
    assert len(world.phone(OTHER_PHONE).messages) == 3


# Push


def approved_push(world: World) -> Answer:
    attempt = begin(world)
    send(world, attempt, "push")
    world.phone().approve()
    return poll(world, attempt)


def test_three_pushes_in_ten_minutes(world: World) -> None:
    first = world.clock()
    for _ in range(3):
        assert approved_push(world).grant
        world.clock.advance(2)
    refused = refusal(lambda: send(world, begin(world), "push"))
    assert (refused.rule, refused.again_at) == ("push.user", first + 10 * MINUTE)
    assert len(world.phone().approvals) == 3
    world.clock.now = first + 10 * MINUTE - 1
    refusal(lambda: send(world, begin(world), "push"))
    world.clock.now = first + 10 * MINUTE
    assert approved_push(world).grant


def test_one_push_waits_on_a_phone_at_a_time(world: World) -> None:
    one, two = begin(world, session="one"), begin(world, session="two")
    send(world, one, "push")
    with pytest.raises(Refused, match="Another sign-in"):
        send(world, two, "push")
    # The same attempt gets its own push again, and the other one another way.
    assert send(world, one, "push").id == world.backend.waiting(one, world.clock()).challenge.id
    assert len(world.phone().approvals) == 1
    send(world, two, "app")
    world.phone().approve()
    assert poll(world, one).grant
    send(world, two, "push")
    assert len(world.phone().approvals) == 2


def test_a_push_that_nobody_answers_blocks_the_next_one_for_its_time_only(world: World) -> None:
    send(world, begin(world, session="one"), "push")
    two = begin(world, session="two")
    world.clock.advance(119)
    with pytest.raises(Refused, match="Another sign-in"):
        send(world, two, "push")
    world.clock.advance(1)
    send(world, two, "push")


def test_an_approval_is_of_its_own_attempt_only(world: World) -> None:
    one = begin(world, session="one")
    send(world, one, "push")
    world.phone().approve()
    assert poll(world, one).grant
    two = begin(world, session="two")
    send(world, two, "push")
    assert poll(world, two).verdict.outcome is Outcome.PENDING


def test_a_denial_pauses_pushes_for_ten_minutes_and_no_other_way(world: World) -> None:
    attempt = begin(world)
    send(world, attempt, "push")
    world.phone().deny()
    assert poll(world, attempt).verdict.outcome is Outcome.DENIED
    denied = world.clock()
    assert world.kinds()[-1] == "denied"
    world.clock.advance(10 * MINUTE - 1)
    refused = refusal(lambda: send(world, begin(world), "push"))
    assert (refused.rule, refused.again_at) == ("push.pause", denied + 10 * MINUTE)
    send(world, begin(world), "sms")
    world.clock.advance(1)
    assert approved_push(world).grant


def test_a_denial_ends_the_attempt_for_codes_too(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    code = world.phone().code
    send(world, attempt, "push")
    world.phone().deny()
    poll(world, attempt)
    asked = verified(world)
    answer = check(world, attempt, code)
    assert answer.grant is None
    assert answer.verdict.reason == "denied"
    with pytest.raises(AttemptEnded):
        send(world, attempt, "app")
    assert verified(world) == asked


def test_an_expired_push_leaves_the_attempt_open_for_a_code(world: World) -> None:
    attempt = begin(world)
    send(world, attempt, "push")
    world.clock.advance(120)
    assert poll(world, attempt).verdict.outcome is Outcome.EXPIRED
    send(world, attempt)
    assert check(world, attempt, world.phone().code).grant


def test_the_provider_is_asked_once_a_second_however_many_tabs_wait(world: World) -> None:
    attempt = begin(world)
    send(world, attempt, "push")
    world.emulator.calls.clear()
    for _ in range(3):
        for _tab in range(5):
            assert poll(world, attempt).verdict.outcome is Outcome.PENDING
        world.clock.advance(1)
    assert len(world.calls()) == 3


# What a code is good for


def test_a_code_that_was_sent_is_good_in_its_own_attempt_only(world: World) -> None:
    one = begin(world, session="one")
    send(world, one)
    code = world.phone().code
    world.clock.advance(30)
    two = begin(world, session="two")
    send(world, two)
    other = world.phone().code
    assert code != other
    assert check(world, two, code).verdict.outcome is Outcome.WRONG
    assert check(world, one, other).verdict.outcome is Outcome.WRONG
    assert check(world, two, other).grant
    assert check(world, one, code).grant


def test_a_code_of_the_app_is_good_once_over_all_attempts(world: World) -> None:
    code = next_app_code(world)
    assert guess(world, code=code).grant
    asked = verified(world)
    for spelling in (code, f"{code[:3]} {code[3:]}", "-".join(code)):
        answer = guess(world, code=spelling)
        assert answer.verdict.outcome is Outcome.WRONG
        assert answer.verdict.reason == "used"
    assert verified(world) == asked


def test_a_code_is_good_once_even_if_the_provider_does_not_burn_it(world: World) -> None:
    one, two = begin(world, session="one"), begin(world, session="two")
    send(world, one, "app")
    send(world, two, "app")
    code = next_app_code(world)
    assert check(world, one, code).grant
    for user in world.emulator.state.users.values():
        user.spent.clear()
    assert check(world, two, code).verdict.reason == "used"


def test_of_two_users_with_one_authy_id_one_gets_in_by_one_code(world: World) -> None:
    enrol(world, "alan")
    world.clock.advance(HOUR)
    code = next_app_code(world)
    assert guess(world, "alan", code=code).grant
    assert guess(world, "alice", code=code).verdict.reason == "used"


def test_an_attempt_and_its_codes_end_after_ten_minutes(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    code = world.phone().code
    world.clock.advance(10 * MINUTE)
    assert world.backend.find(attempt.id, attempt.login, world.clock()) is None
    with pytest.raises(AttemptEnded):
        check(world, attempt, code)


def test_a_second_request_of_an_attempt_gets_the_same_pass_for_half_a_minute(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    grant = check(world, attempt, world.phone().code).grant
    again = check(world, attempt, world.phone().code)
    assert again.verdict.outcome is Outcome.PENDING
    assert again.verdict.reason == "continue"
    world.clock.advance(29)
    assert world.backend.resume(attempt.id, attempt.login, world.clock()) == grant
    assert world.backend.resume(attempt.id, Login("alice", "another"), world.clock()) is None
    assert world.backend.resume(attempt.id, Login("bob", "s"), world.clock()) is None
    world.clock.advance(1)
    assert world.backend.resume(attempt.id, attempt.login, world.clock()) is None


def test_an_attempt_of_another_login_is_as_none(world: World) -> None:
    attempt = begin(world)
    assert world.backend.find(attempt.id, attempt.login, world.clock()) == attempt
    for login in (Login("alice", "another"), Login("bob", "s"), Login("alice")):
        assert world.backend.find(attempt.id, login, world.clock()) is None
        other = world.backend.begin(login, context=world.backend.context(), attempt_id=attempt.id)
        assert (other.key != attempt.key, other.pass_id != attempt.pass_id) == (True, True)


# What ends an attempt


def revoke(world: World) -> None:
    world.backend.revoke("alice")


def new_password(world: World) -> None:
    world.stamps["alice"] = "new"  # type: ignore[attr-defined]


def disable(world: World) -> None:
    world.backend.accounts.disable("alice", disabled=True)


def reset(world: World) -> None:
    world.backend.reset("alice")


def delete(world: World) -> None:
    world.settings["users"].delete("alice")


ENDINGS = [revoke, new_password, disable, reset, delete]


@pytest.fixture
def stamped(make_world: MakeWorld) -> World:
    """A site whose users have passwords."""
    stamps: dict[str, str] = {}
    world = make_world(password_stamp=lambda user: stamps.get(user, "old"))
    world.stamps = stamps  # type: ignore[attr-defined]
    return world


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_change_of_the_account_ends_the_attempts_under_way(stamped: World, ending: Callable[[World], None]) -> None:
    enrol(stamped)
    stamped.phone().install_app()
    stamped.clock.advance(HOUR)
    coded, pushed, fresh = (begin(stamped, session=name) for name in ("coded", "pushed", "fresh"))
    send(stamped, coded)
    send(stamped, pushed, "push")
    stamped.phone().approve()
    way = stamped.backend.ways(fresh)[0]
    ending(stamped)
    asked = len(stamped.calls())
    with pytest.raises(AttemptEnded):
        check(stamped, coded, stamped.phone().code)
    with pytest.raises(AttemptEnded):
        poll(stamped, pushed)
    with pytest.raises(AttemptEnded):
        stamped.backend.start(fresh, way, stamped.backend.context())
    assert len(stamped.calls()) == asked
    assert stamped.kinds().count("approved") == 1  # the enrolment's


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_change_of_the_account_ends_an_enrolment_under_way(stamped: World, ending: Callable[[World], None]) -> None:
    if ending is delete:
        # A record that was deleted was there before.
        stamped.backend.accounts.revoke("alice")
    attempt = begin_enrolment(stamped)
    ending(stamped)
    with pytest.raises(AttemptEnded):
        check(stamped, attempt, stamped.phone().code)
    stored = stamped.settings["users"].get("alice")
    assert stored is None or stored.factors == ()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_change_of_the_account_while_the_provider_is_asked_leaves_no_live_pass(ending: Callable[[World], None]) -> None:
    stamps: dict[str, str] = {}
    world = Interrupted(password_stamp=lambda user: stamps.get(user, "old"))
    world.stamps = stamps  # type: ignore[attr-defined]
    enrol(world)
    attempt = begin(world)
    send(world, attempt)
    world.meanwhile = lambda: ending(world)
    try:
        grant = check(world, attempt, world.phone().code).grant
    except AttemptEnded:
        grant = None
    assert world.meanwhile is None
    browser = world.browser("alice", session="s")
    if grant is not None:
        name, _, value = world.gate.remember({}, grant)[0][1].partition(";")[0].partition("=")
        browser.http.set_cookie(name, value)
    assert browser.get().status_int == 303
    assert world.app_calls == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_change_of_the_account_while_the_provider_is_asked_ends_an_enrolment(ending: Callable[[World], None]) -> None:
    stamps: dict[str, str] = {}
    world = Interrupted(password_stamp=lambda user: stamps.get(user, "old"))
    world.stamps = stamps  # type: ignore[attr-defined]
    if ending is delete:
        world.backend.accounts.revoke("alice")
    attempt = begin_enrolment(world)
    world.meanwhile = lambda: ending(world)
    with pytest.raises(AttemptEnded):
        check(world, attempt, world.phone().code)
    stored = world.settings["users"].get("alice")
    assert stored is None or stored.factors == ()
    assert "enrolled" not in world.kinds()


def test_a_denial_while_a_code_is_checked_wins() -> None:
    world = Interrupted()
    enrol(world)
    world.phone().install_app()
    world.clock.advance(HOUR)
    attempt = begin(world)
    send(world, attempt)
    code = world.phone().code

    def deny() -> None:
        send(world, attempt, "push")
        world.phone().deny()
        assert poll(world, attempt).verdict.outcome is Outcome.DENIED

    world.meanwhile = deny
    answer = check(world, attempt, code)
    assert world.meanwhile is None
    assert answer.grant is None
    assert answer.verdict.outcome is Outcome.EXPIRED
    assert world.backend.resume(attempt.id, attempt.login, world.clock()) is None


def test_a_logout_while_a_code_is_checked_wins() -> None:
    world = Interrupted()
    enrol(world)
    world.clock.advance(HOUR)
    attempt = begin(world)
    send(world, attempt)
    world.meanwhile = lambda: world.backend.log_out(attempt.login, None, attempt.id, world.backend.context())
    assert check(world, attempt, world.phone().code).grant is None
    assert world.meanwhile is None


class Interrupted(World):
    """A site where something happens while the provider is asked about a code."""

    meanwhile: Callable[[], None] | None = None

    def __init__(self, **settings: Any) -> None:
        client = AuthyClient(API_KEY, base_url="http://127.0.0.1:8999", session=session_for(self._answer))
        super().__init__(clients=client, **settings)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        happening, about_a_code = self.meanwhile, "/verify/" in environ["PATH_INFO"]
        answer = self.emulator(environ, start_response)
        if happening and about_a_code:
            self.meanwhile = None
            happening()
        return answer


def test_a_disabled_user_begins_nothing(world: World) -> None:
    disable(world)
    with pytest.raises(AttemptEnded, match="disabled"):
        begin(world)
    world.backend.accounts.disable("alice", disabled=False)
    assert guess(world, code=next_app_code(world)).grant


def test_an_invitation_is_good_once_and_for_its_user(make_world: MakeWorld) -> None:
    world = make_world(enrolment="invited")
    token = world.backend.accounts.invite("alice", world.clock())
    invitation = world.backend.accounts.invitation(token, "alice", world.clock())
    assert invitation
    assert world.backend.accounts.invitation(token, "mallory", world.clock()) == ""
    with pytest.raises(Refused, match="need an invitation"):
        begin_enrolment(world, "alice")
    with pytest.raises(Refused, match="need an invitation"):
        begin_enrolment(world, "mallory", invitation=invitation)
    one = begin_enrolment(world, invitation=invitation)
    world.clock.advance(30)
    two = begin_enrolment(world, number=OTHER_PHONE, invitation=invitation)
    assert check(world, two, world.phone(OTHER_PHONE).code).grant
    with pytest.raises(AttemptEnded):
        check(world, one, world.phone().code)
    world.backend.reset("alice")
    with pytest.raises(Refused, match="need an invitation"):
        begin_enrolment(world, invitation=invitation)
    assert [factor.label for factor in world.settings["users"].get("alice").factors] == []


def test_an_invitation_is_good_for_seven_days(make_world: MakeWorld) -> None:
    world = make_world(enrolment="invited")
    token = world.backend.accounts.invite("alice", world.clock())
    world.clock.advance(7 * DAY - 1)
    assert world.backend.accounts.invitation(token, "alice", world.clock())
    world.clock.advance(1)
    assert world.backend.accounts.invitation(token, "alice", world.clock()) == ""


def test_of_two_enrolments_of_one_user_the_first_proof_wins(make_world: MakeWorld) -> None:
    world = make_world()
    one = begin_enrolment(world)
    two = begin_enrolment(world, number=OTHER_PHONE)
    assert check(world, one, world.phone().code).grant
    with pytest.raises(AttemptEnded):
        check(world, two, world.phone(OTHER_PHONE).code)
    assert len(world.settings["users"].get("alice").factors) == 1


# Crashes


class Crash(BaseException):
    """The process is gone."""


class Machine:
    """Counts the calls to store and ledger. After the n-th one nothing gets through any more, until `restart`; or, before it, something else happens."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.dead = False
        self.meanwhile: Callable[[], object] | None = None

    def restart(self) -> None:
        self.left, self.dead, self.meanwhile = None, False, None

    def part(self, thing: Any) -> Any:
        return Part(self, thing)

    def call(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if self.dead:
            raise Crash
        if self.left is not None:
            self.left -= 1
        if self.left == 0 and self.meanwhile:
            happening, self.left = self.meanwhile, None
            happening()
        result = method(*arguments, **options)
        if self.left == 0:
            self.dead = True
            raise Crash
        return result


class Part:
    """A store or ledger on that machine: every call goes through to the real one first."""

    def __init__(self, machine: Machine, thing: Any) -> None:
        self._machine = machine
        self._thing = thing
        if hasattr(thing, "single_process"):
            self.single_process = thing.single_process

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._thing, name)
        return lambda *arguments, **options: self._machine.call(method, *arguments, **options)

    # A Protocol with isinstance asks for the names.
    def spend(self, *arguments: Any, **options: Any) -> Any:
        return self._machine.call(self._thing.spend, *arguments, **options)

    def give_back(self, *arguments: Any, **options: Any) -> Any:
        return self._machine.call(self._thing.give_back, *arguments, **options)

    def claim(self, *arguments: Any, **options: Any) -> Any:
        return self._machine.call(self._thing.claim, *arguments, **options)

    def put(self, *arguments: Any, **options: Any) -> Any:
        return self._machine.call(self._thing.put, *arguments, **options)

    def get(self, *arguments: Any, **options: Any) -> Any:
        return self._machine.call(self._thing.get, *arguments, **options)

    def pop(self, *arguments: Any, **options: Any) -> Any:
        return self._machine.call(self._thing.pop, *arguments, **options)


def crashing() -> tuple[Machine, World]:
    machine = Machine()
    return machine, World(users=machine.part(MemoryStore()), ledger=machine.part(MemoryLedger()))


def survived(machine: Machine, step: Callable[[], Any]) -> bool:
    """Run a step on a machine that may crash; whether it came to its end."""
    try:
        step()
    except Crash:
        return False
    finally:
        machine.restart()
    return True


def grant_of(world: World, attempt: Attempt, answer: Answer) -> Grant | None:
    """What our pages would sign in after this answer."""
    if answer.verdict.outcome is Outcome.PENDING and answer.verdict.reason == "continue":
        return world.backend.resume(attempt.id, attempt.login, world.clock())
    return answer.grant


def at_each_step(world: World, machine: Machine, prepare: Callable[[str, str], Any], step: Callable[[Any], Any], *, at_least: int) -> Iterator[tuple[str, Any]]:
    """Crash after the first call of `step` to store or ledger, after the second, ..., for a new person each time: who, and what was prepared for them."""
    for number in range(1, 100):
        user, phone = f"user{number}", f"+1408555{5200 + number}"
        prepared = prepare(user, phone)
        machine.left = number
        if survived(machine, lambda: step(prepared)):  # noqa: B023 - called at once
            assert number > at_least
            return
        yield phone, prepared
        world.clock.advance(HOUR)
    pytest.fail("the step never came to its end")


def test_a_crash_after_any_step_of_a_sign_in_by_code_ends_in_the_same_pass() -> None:
    machine, world = crashing()

    def prepare(user: str, number: str) -> tuple[Attempt, str]:
        enrol(world, user, number)
        world.clock.advance(HOUR)
        attempt = begin(world, user)
        send(world, attempt)
        return attempt, world.phone(number).code

    for number, (attempt, code) in at_each_step(world, machine, prepare, lambda it: check(world, *it), at_least=6):
        world.clock.advance(16)  # by then nobody is thought to be checking the code
        grant = grant_of(world, attempt, check(world, attempt, code))
        assert grant is not None, number
        assert grant.pass_id == attempt.pass_id
        assert grant.proofs[0].channel == "sms"
        thief = begin(world, attempt.login.user_id, session="thief")
        world.clock.advance(30)
        send(world, thief)
        assert not check(world, thief, code)


def test_a_crash_after_any_step_of_an_enrolment_ends_in_the_same_pass() -> None:
    machine, world = crashing()
    lost = []

    def prepare(user: str, number: str) -> tuple[Attempt, str]:
        return begin_enrolment(world, user, number), world.phone(number).code

    for number, (attempt, code) in at_each_step(world, machine, prepare, lambda it: check(world, *it), at_least=6):
        world.clock.advance(16)
        try:
            grant = grant_of(world, attempt, check(world, attempt, code))
        except AttemptEnded:
            grant = None
        user = world.settings["users"].get(attempt.login.user_id)
        assert len(user.factors) == 1
        if grant is None:
            lost.append(number)
            continue
        assert grant.pass_id == attempt.pass_id
        assert grant.epoch == world.backend.accounts.epoch(user)
    # A right answer whose worker dies after the burn still ends in that same pass, also where the record was saved already.
    assert lost == []


def test_a_crash_between_the_providers_yes_and_the_burn_costs_the_code_and_no_more() -> None:
    machine = Machine()
    world = Interrupted(users=machine.part(MemoryStore()), ledger=machine.part(MemoryLedger()))
    enrol(world)
    world.clock.advance(HOUR)
    attempt = begin(world)
    send(world, attempt)
    code = world.phone().code

    def die() -> None:
        machine.dead = True
        raise Crash

    world.meanwhile = die
    assert not survived(machine, lambda: check(world, attempt, code))
    world.clock.advance(30)
    answer = check(world, attempt, code)
    assert answer.verdict.outcome is Outcome.WRONG
    assert answer.verdict.reason == "used"
    send(world, attempt)
    assert world.phone().code != code
    grant = check(world, attempt, world.phone().code).grant
    assert grant is not None
    assert grant.pass_id == attempt.pass_id


def with_app(world: World, user: str, number: str) -> Attempt:
    enrol(world, user, number)
    world.phone(number).install_app()
    world.clock.advance(HOUR)
    return begin(world, user)


def test_a_crash_after_any_step_of_an_approval_ends_in_the_same_pass() -> None:
    machine, world = crashing()

    def prepare(user: str, number: str) -> Attempt:
        attempt = with_app(world, user, number)
        send(world, attempt, "push")
        world.phone(number).approve()
        return attempt

    for number, attempt in at_each_step(world, machine, prepare, lambda it: poll(world, it), at_least=6):
        world.clock.advance(1)
        grant = grant_of(world, attempt, poll(world, attempt))
        assert grant is not None, number
        assert grant.pass_id == attempt.pass_id
        assert grant.proofs[0].channel == "push"


def test_a_crash_after_any_step_of_a_denial_never_ends_in_a_pass() -> None:
    machine, world = crashing()

    def prepare(user: str, number: str) -> tuple[Attempt, str]:
        attempt = with_app(world, user, number)
        send(world, attempt)
        code = world.phone(number).code
        send(world, attempt, "push")
        world.phone(number).deny()
        return attempt, code

    for _number, (attempt, code) in at_each_step(world, machine, prepare, lambda it: poll(world, it[0]), at_least=4):
        world.clock.advance(1)
        assert poll(world, attempt).grant is None
        assert check(world, attempt, code).grant is None
        with pytest.raises((AttemptEnded, Refused)):
            send(world, attempt, "push")


@pytest.mark.parametrize("channel", ["sms", "push"])
def test_a_crash_after_any_step_of_sending_leaves_a_way_to_go_on(channel: str) -> None:
    machine, world = crashing()
    for number, attempt in at_each_step(world, machine, lambda *who: with_app(world, *who), lambda it: send(world, it, channel), at_least=4):
        world.clock.advance(30)
        send(world, attempt)
        grant = check(world, attempt, world.phone(number).code).grant
        assert grant is not None
        assert grant.pass_id == attempt.pass_id


def test_a_crash_after_any_step_of_asking_for_the_first_code_leaves_nothing_and_a_way_to_go_on() -> None:
    machine, world = crashing()
    for number, who in at_each_step(world, machine, lambda *who: who, lambda it: begin_enrolment(world, *it), at_least=4):
        assert world.settings["users"].get(who[0]) is None
        world.clock.advance(30)
        enrol(world, who[0], number)


# Two requests at once


@pytest.mark.parametrize("purpose", ["sign_in", "enrol"])
def test_another_request_of_the_attempt_at_any_step_ends_in_the_same_pass_and_is_told_of_once(purpose: str) -> None:
    machine, world = crashing()
    for step in range(1, 100):
        user, number = f"user{step}", f"+1408555{5200 + step}"
        attempt = begin_enrolment(world, user, number)
        if purpose == "sign_in":
            check(world, attempt, world.phone(number).code)
            world.clock.advance(HOUR)
            attempt = begin(world, user)
            send(world, attempt)
        code, ended = world.phone(number).code, []
        world.events.clear()
        asked = verified(world)
        machine.left, machine.meanwhile = step, lambda: ended.append(answered(world, attempt, code))  # noqa: B023 - called at once
        ended.append(answered(world, attempt, code))
        if len(ended) == 1:
            assert step > 10
            return
        machine.restart()
        grants = {grant_of(world, attempt, answer) for answer in ended}
        assert len(grants) == 1, step
        assert {grant.pass_id for grant in grants if grant} == {attempt.pass_id}
        assert verified(world) == asked + 1
        assert world.kinds() == (["enrolled", "approved"] if purpose == "enrol" else ["approved"]), step
        world.clock.advance(HOUR)
    pytest.fail("the step never came to its end")


def answered(world: World, attempt: Attempt, code: str) -> Answer:
    """The answer to a request; one that finds the account changed by its own attempt's enrolment continues."""
    try:
        return check(world, attempt, code)
    except AttemptEnded:
        return Answer(verdict=Verdict(outcome=Outcome.PENDING, reason="continue"))


def test_of_two_attempts_with_one_code_of_the_app_one_gets_in_whatever_comes_between() -> None:
    machine, world = crashing()
    for step in range(1, 100):
        user, number = f"user{step}", f"+1408555{5200 + step}"
        one = with_app(world, user, number)
        two = begin(world, user, session="thief")
        send(world, one, "app")
        send(world, two, "app")
        code, ended = next_app_code(world, number), []
        machine.left, machine.meanwhile = step, lambda: ended.append(check(world, two, code))  # noqa: B023 - called at once
        ended.append(check(world, one, code))
        if len(ended) == 1:
            assert step > 10
            return
        machine.restart()
        assert [bool(answer) for answer in ended].count(True) == 1, step
        assert {answer.verdict.outcome for answer in ended} == {Outcome.APPROVED, Outcome.WRONG}
        world.clock.advance(HOUR)
    pytest.fail("the step never came to its end")


def test_a_right_and_a_wrong_code_at_once_leave_one_pass_and_one_try_spent() -> None:
    machine, world = crashing()
    for step in range(1, 100):
        user, number = f"user{step}", f"+1408555{5200 + step}"
        one = with_app(world, user, number)
        two = begin(world, user, session="other")
        send(world, one, "app")
        send(world, two, "app")
        code, ended = next_app_code(world, number), []
        machine.left, machine.meanwhile = step, lambda: ended.append(check(world, two, WRONG))  # noqa: B023 - called at once
        assert check(world, one, code).grant
        if not ended:
            assert step > 10
            return
        machine.restart()
        assert not ended[0]
        assert guess(world, user).left == 3
        world.clock.advance(HOUR)
    pytest.fail("the step never came to its end")


# A ledger that is lost


def with_new_ledger(world: World) -> Backend:
    """The same site after its ledger was lost: new memory under the old store."""
    return SecondFactor(world.app, **{**world.settings, "ledger": MemoryLedger()}).backend


def test_a_young_ledger_takes_no_code_that_is_not_bound_to_its_attempt(world: World) -> None:
    code = next_app_code(world)
    assert guess(world, code=code).grant
    for user in world.emulator.state.users.values():
        user.spent.clear()  # a provider that does not burn its codes
    lost, began = with_new_ledger(world), world.clock()
    attempt = begin(world, backend=lost)
    send(world, attempt, "app", backend=lost)
    asked = verified(world)
    for later in (0, 10, 179):
        world.clock.now = began + later
        with pytest.raises(Unavailable, match="too young"):
            check(world, attempt, code, backend=lost)
        with pytest.raises(Unavailable, match="too young"):
            check(world, attempt, world.phone().app_code, backend=lost)
    assert verified(world) == asked
    world.clock.now = began + 180
    assert not check(world, attempt, code, backend=lost)
    assert check(world, attempt, world.phone().app_code, backend=lost).grant


def test_a_young_ledger_takes_the_codes_that_are_bound(world: World) -> None:
    lost = with_new_ledger(world)
    attempt = begin(world, backend=lost)
    send(world, attempt, backend=lost)
    assert check(world, attempt, world.phone().code, backend=lost).grant


def test_codes_of_messages_that_are_not_bound_are_refused_for_as_long_as_they_live(make_world: MakeWorld) -> None:
    world = make_world(client={"bind_action": False})
    enrol(world)
    world.clock.advance(HOUR)
    attempt = begin(world)
    send(world, attempt)
    code = world.phone().code
    assert check(world, attempt, code).grant
    for user in world.emulator.state.users.values():
        user.spent.clear()
    lost, accepted = with_new_ledger(world), []
    for later in (0, 181, 400):
        world.clock.advance(later)
        thief = begin(world, session="thief", backend=lost)
        send(world, thief, "app", backend=lost)
        try:
            accepted.append(bool(check(world, thief, code, backend=lost)))
        except Unavailable:
            accepted.append(False)
    assert accepted == [False, False, False]


def test_a_lost_ledger_ends_attempts_and_nothing_of_them_counts(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    lost = with_new_ledger(world)
    assert lost.find(attempt.id, attempt.login, world.clock()) is None
    assert not check(world, attempt, world.phone().code, backend=lost)


def test_a_lost_ledger_cannot_make_two_passes_of_one_code(world: World) -> None:
    attempt = begin(world)
    send(world, attempt)
    code = world.phone().code
    first = check(world, attempt, code).grant
    for user in world.emulator.state.users.values():
        user.spent.clear()
    lost = with_new_ledger(world)
    again = lost.begin(attempt.login, context=lost.context(), attempt_id=attempt.id, minted=attempt.began)
    world.clock.advance(30)
    send(world, again, backend=lost)
    second = check(world, again, code, backend=lost).grant
    assert first is not None
    assert second is None or second.pass_id == first.pass_id


def test_a_closed_user_stays_closed_when_the_ledger_is_lost(world: World) -> None:
    world.backend.accounts.close("alice", "code", world.clock())
    lost = with_new_ledger(world)
    assert [way.channel for way in lost.ways(begin(world, backend=lost))] == ["push"]


# Events


def test_events_come_in_order_and_hold_nothing_secret(world: World) -> None:
    enrol(world, "bob", OTHER_PHONE)
    attempt = begin(world, "bob", network="203.0.113.7")
    send(world, attempt, network="203.0.113.7")
    check(world, attempt, WRONG)
    check(world, attempt, world.phone(OTHER_PHONE).code)
    assert approved_push(world).grant
    world.clock.advance(1)
    attempt = begin(world)
    send(world, attempt, "push")
    world.phone().deny()
    poll(world, attempt)
    world.backend.revoke("bob")
    world.backend.open("bob")
    world.backend.reset("bob")
    told = [(event.kind, event.user_id, event.channel) for event in world.events]
    assert told == [
        ("sent", "bob", "sms"),
        ("enrolled", "bob", "sms"),
        ("approved", "bob", "sms"),
        ("sent", "bob", "sms"),
        ("wrong", "bob", "sms"),
        ("approved", "bob", "sms"),
        ("sent", "alice", "push"),
        ("approved", "alice", "push"),
        ("sent", "alice", "push"),
        ("denied", "alice", "push"),
        ("revoked", "bob", ""),
        ("opened", "bob", ""),
        ("revoked", "bob", ""),
    ]
    text = repr(world.events)
    uuids = [approval["uuid"] for approval in world.phone().approvals]
    codes = [message.code for number in (PHONE, OTHER_PHONE) for message in world.phone(number).messages]
    for secret in (API_KEY, WRONG, PHONE[1:], OTHER_PHONE[1:], "4085555", "@example.com", attempt.id, attempt.pass_id, *uuids, *codes):
        assert secret not in text
    assert all(event.at >= START for event in world.events)
    assert [event.at for event in world.events] == sorted(event.at for event in world.events)


def test_an_event_is_told_after_its_step_is_durable(make_world: MakeWorld) -> None:
    seen: list[tuple[str, bool]] = []
    world = make_world(events=lambda event: seen.append((event.kind, bool(world.settings["users"].get("alice")))))
    enrol(world)
    assert seen == [("sent", False), ("enrolled", True), ("approved", True)]


def test_a_callable_that_raises_changes_nothing(make_world: MakeWorld, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_event: Any) -> None:
        raise RuntimeError("down")

    world = make_world(events=fail)
    assert enrol(world)
    assert "the events callable raised" in caplog.text


# What an adversary read in the code


@pytest.mark.parametrize("age", [0, 570])
def test_a_denial_that_nobody_polls_for_pauses_pushes_however_old_the_attempt_was(world: World, age: int) -> None:
    first = begin(world, session="thief")
    world.clock.advance(age)
    second = begin(world, session="thief")
    send(world, first, "push")
    world.phone().deny()
    world.clock.advance(155)
    assert refusal(lambda: send(world, second, "push")).rule == "push.pause"
    assert [event.kind for event in world.events].count("denied") == 1
    world.clock.advance(30)
    assert refusal(lambda: send(world, second, "push")).rule == "push.pause"
    assert [event.kind for event in world.events].count("denied") == 1
    world.clock.advance(600)
    send(world, begin(world, session="later"), "push")


class Losing(MemoryLedger):
    """A ledger whose next `pop` of a kind of record does not come back."""

    def __init__(self) -> None:
        super().__init__()
        self.loses = ""

    def pop(self, key: str, *, now: int) -> bytes | None:
        if self.loses and f":{self.loses}:" in key:
            self.loses = ""
            raise Unavailable("ledger", "ConnectionError")
        return super().pop(key, now=now)


def test_a_ledger_that_fails_while_tidying_takes_nothing_back() -> None:
    ledger = Losing()
    world = World(ledger=ledger)
    enrol(world)
    world.phone().install_app()
    world.clock.advance(2 * DAY)
    ledger.loses = "trying"
    attempt = begin(world)
    send(world, attempt, "app")
    assert check(world, attempt, world.phone().app_code).grant is not None
    ledger.loses = "inflight"
    attempt = begin(world)
    send(world, attempt, "push")
    world.phone().deny()
    world.clock.advance(1)
    assert poll(world, attempt).verdict.outcome is Outcome.DENIED
    assert world.kinds()[-1] == "denied"
    world.clock.advance(155)
    assert refusal(lambda: send(world, begin(world), "push")).rule == "push.pause"


def test_however_often_somebody_asks_the_provider_is_asked_about_a_push_once_a_second(world: World) -> None:
    attempt = begin(world)
    send(world, attempt, "push")
    other = begin(world, session="other")
    send(world, other, "app")
    before = len(world.calls("approval_requests/status"))
    for _ in range(20):
        with pytest.raises(Refused):
            send(world, other, "push")
        check(world, other, WRONG)
    assert len(world.calls("approval_requests/status")) - before <= 1
    world.clock.advance(1)
    world.phone().deny()
    with pytest.raises(Throttled):
        send(world, other, "push")


def test_the_last_try_says_when_there_will_be_another_one(world: World) -> None:
    for number in range(20):
        if number and number % 5 == 0:
            world.clock.advance(16 * MINUTE)
        answer = guess(world)
    assert answer.left == 0
    assert answer.again_at is not None
    assert answer.again_at - world.clock() == DAY - 3 * 16 * MINUTE
    world.clock.advance(16 * MINUTE)
    assert guess(world).again_at == answer.again_at


def test_a_pass_that_was_ended_takes_no_factor_away(world: World) -> None:
    grant = enrol(world, "bob", OTHER_PHONE)
    held = Pass(grant.pass_id, "", grant.epoch, grant.proofs)
    context = world.backend.context()
    attempt = world.backend.begin(Login("bob", "s"), context=context, purpose="change", presented=held)
    world.backend.log_out(Login("bob", "s"), held, "", world.backend.context())
    with pytest.raises(AttemptEnded):
        world.backend.remove(attempt, world.backend.accounts.user("bob").factors[0].id, world.backend.context())
    assert len(world.backend.accounts.user("bob").factors) == 1


def test_canonical_makes_one_login_of_what_an_app_hands_to_the_backend(make_world: MakeWorld) -> None:
    world = make_world(canonical=str.lower)
    enrol(world, "ALICE")
    assert world.backend.accounts.user("alice").factors
    attempt = begin(world, "Alice")
    assert attempt.login.user_id == "alice"
    found = world.backend.find(attempt.id, Login("aLICE", "s"), world.clock())
    assert found is not None


def test_what_an_administrator_opened_stays_open_for_as_long_as_the_longest_window(make_world: MakeWorld) -> None:
    world = make_world(limits={"code.user": [(3, 60 * DAY)], "code.reference": [(1000, DAY)], "code.attempt": [(1000, 600)]})
    enrol(world)
    world.phone().install_app()
    for _ in range(3):
        guess(world)
    world.backend.open("alice")
    world.clock.advance(33 * DAY)
    assert guess(world).left == 2
