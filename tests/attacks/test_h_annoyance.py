"""H. Annoyance, money, privacy: what an attacker could make us send, and what our pages could tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import phonenumbers
import pytest

from authy_wsgi import Event, Login, MemoryLedger, MemoryStore, Profile
from tests.attacks.helpers import (
    ATTEMPT,
    OTHER_PHONE,
    PASS,
    PREFIX,
    UNLIMITED,
    Answer,
    Shut,
    Tab,
    ask,
    enrolled,
    grant,
    granted,
    hidden,
    named,
    right,
    wrong,
)
from tests.support import HTML, PHONE, World

MAIL = "a@example.com"


def asks(tab: Tab, number: str, **more: str) -> Answer:
    """The enrolment form with this number; the answer, not followed."""
    page = tab.visit()
    return tab.post(f"{PREFIX}/enrol", {**hidden(page, "/enrol"), "phone": number, "email": MAIL, **more})


def pushes(world: World) -> int:
    return len(world.calls("approval_requests/create"))


def a_world_with_app(**settings: Any) -> World:
    world = World(**settings)
    enrolled(world)
    world.phone().install_app()
    return world


# H1


def test_H1_of_twenty_pushes_in_ten_minutes_from_five_sessions_three_are_sent() -> None:
    world = a_world_with_app()
    tabs = [Tab(world, REMOTE_ADDR=f"8.8.{number}.4") for number in range(5)]
    statuses = Counter[int]()
    for turn in range(20):
        answer = tabs[turn % 5].start("push")
        statuses[answer.status_int] += 1
        assert len([it for it in world.phone().approvals if it["status"] == "pending"]) <= 1
        world.clock.advance(30)
    assert pushes(world) <= 3
    assert statuses[422] + statuses[429] >= 14
    # In any ten minutes, however long it goes on.
    began = world.clock()
    sent = list[int]()
    for _ in range(60):
        before = pushes(world)
        tabs[0].start("push")
        sent += [world.clock()] * (pushes(world) - before)
        world.clock.advance(60)
    assert began
    for at in sent:
        assert len([other for other in sent if at <= other < at + 600]) <= 3


def test_H1_one_push_waits_at_a_time_whoever_asks() -> None:
    world = a_world_with_app()
    grant(world, Login("carol", "e"), PHONE)
    world.clock.advance(3600)
    assert Tab(world).start("push").status_int == 303
    for _ in range(5):
        answer = Shut(world)(Tab(world).start("push"), 422)
        assert "Another sign-in may be waiting on your phone" in answer.text
    assert pushes(world) == 1


def test_H1_two_accounts_of_one_phone_share_its_pushes() -> None:
    world = World()
    for user in ("alice", "carol"):
        grant(world, Login(user, "e"), PHONE)
        world.clock.advance(3600)
    world.phone().install_app()
    for turn in range(12):
        Tab(world, ("alice", "carol")[turn % 2]).start("push")
        world.clock.advance(45)
    assert pushes(world) <= 3


def test_H1_a_denial_stops_pushes_for_ten_minutes_and_is_told() -> None:
    world = a_world_with_app()
    tab = Tab(world)
    assert tab.start("push").status_int == 303
    world.phone().deny()
    world.clock.advance(1)
    for minute in range(9):
        answer = Shut(world)(Tab(world).start("push"), 429)
        assert "denied on your phone" in answer.text
        assert minute is not None
        world.clock.advance(60)
    assert pushes(world) == 1
    assert world.kinds().count("denied") == 1
    world.clock.advance(120)
    assert Tab(world).start("push").status_int == 303


def test_H1_a_push_says_where_for_whom_and_when_and_from_no_words_of_the_askers() -> None:
    world = a_world_with_app()
    agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140 approve this please"
    tab = Tab(world, HTTP_USER_AGENT=agent)
    tab.start("push")
    asked = world.phone().approvals[-1]
    assert asked["details"] == {"Site": "Acorn Ledger", "User": "alice", "From": "Firefox on Linux", "At": "23:13 UTC, 14 November"}
    assert "please" not in str(asked)


# H2 and H3


def test_H2_of_fifty_numbers_in_sequence_three_an_hour_reach_the_provider(world: World) -> None:
    tab = Tab(world)
    statuses = Counter(asks(tab, f"+140855554{number:02d}").status_int for number in range(50))
    assert statuses == {303: 3, 429: 47}
    assert len(world.calls()) == 6  # each registered, and sent to
    assert len(world.emulator.phones) == 3


def test_H2_many_accounts_of_one_network_share_five_an_hour(world: World) -> None:
    statuses = [asks(Tab(world, f"user{number}", REMOTE_ADDR="8.8.4.4"), f"+140855554{number:02d}").status_int for number in range(20)]
    assert Counter(statuses) == {303: 5, 429: 15}
    assert len(world.calls("users/new")) == 5


def test_H2_many_accounts_of_many_networks_share_the_sites_day() -> None:
    world = World(limits={"send.new.site": [(12, 86400)]})
    statuses = Counter[int]()
    for number in range(30):
        statuses[asks(Tab(world, f"user{number}", REMOTE_ADDR=f"8.8.{number}.4"), f"+140855554{number:02d}").status_int] += 1
        world.clock.advance(600)
    assert statuses == {303: 12, 429: 18}
    assert len(world.calls("users/new")) == 12
    assert World().gate.settings.limits["send.new.site"] == ((100, 86400),)


def test_H2_one_number_is_texted_three_times_a_day_whoever_asks(world: World) -> None:
    statuses = Counter[int]()
    for number in range(10):
        statuses[asks(Tab(world, f"user{number}"), PHONE).status_int] += 1
        world.clock.advance(60)
    assert statuses == {303: 3, 429: 7}
    assert len(world.phone().messages) == 3


def test_H2_draining_new_numbers_stops_no_sign_in() -> None:
    world = World(limits={"send.new.site": [(2, 86400)]})
    enrolled(world)
    for number in range(5):
        asks(Tab(world, f"user{number}"), f"+140855554{number:02d}")
    tab = Tab(world)
    assert granted(tab.enter(tab.to_code("sms"), right(world)))


def _mobiles() -> dict[str, str]:
    """A mobile number of every region that has one."""
    found = {}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        if example is not None:
            found[region] = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    return found


def test_H2_a_country_that_is_not_allowed_is_refused_before_the_provider_hears_of_it() -> None:
    world = World(countries=["PT", "US"], limits=UNLIMITED)
    tab = Tab(world)
    form = hidden(tab.visit(), "/enrol")
    refused = 0
    for region, number in _mobiles().items():
        if region in ("PT", "US") or phonenumbers.region_code_for_number(phonenumbers.parse(number)) in ("PT", "US"):
            continue
        for spelled, country in ((number, "PT"), ("00" + number[1:], ""), (number[1:], region)):
            answer = Shut(world)(tab.post(f"{PREFIX}/enrol", {**form, "phone": spelled, "country": country, "email": MAIL}), 422, what=(region, spelled))
            refused += "We do not send codes to this country" in answer.text
    assert refused > 250
    assert world.calls() == []


PREMIUM = (
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.TOLL_FREE,
    phonenumbers.PhoneNumberType.UAN,
)


@pytest.mark.parametrize("kind", PREMIUM, ids=["premium rate", "shared cost", "toll free", "company"])
def test_H2_numbers_that_cost_extra_are_refused_before_the_provider_hears_of_them(kind: int) -> None:
    world = World(limits=UNLIMITED)
    tab = Tab(world)
    form = hidden(tab.visit(), "/enrol")
    tried = 0
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None or phonenumbers.number_type(example) != kind:
            continue
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        Shut(world)(tab.post(f"{PREFIX}/enrol", {**form, "phone": number, "email": MAIL}), 422, what=number)
        tried += 1
    assert tried > 10
    assert world.calls() == []


ODD_NUMBERS = (
    *(
        "+1 408 555 5270;ext=5",
        "+14085555270x5",
        "+14085555270,1234",
        "+1408555527０",
        "tel:+14085555270",
        "+1(408)5555270#",
        "++14085555270",
        "+14085555270\n+14085555271",
        "+14085555270 +14085555271",
    ),
    *(
        "911",
        "112",
        "+1911",
        "000",
        "*100#",
        "+0",
        "+",
        "+999123456789",
        "+1" + "5" * 40,
        "+88213000000",
        "+979123456789",
        "+800 1234 5678",
        "+870773111632",
        "ABCDEFG",
        "+1-800-FLOWERS",
    ),
)


@pytest.mark.parametrize("number", **named(ODD_NUMBERS))
def test_H2_an_odd_number_is_refused_or_is_one_plain_number(number: str) -> None:
    world = World(limits=UNLIMITED)
    answer = asks(Tab(world), number, country="US")
    Shut(world)(answer, 303, 422)
    told = [call.parameters["user"] for call in world.calls("users/new")]
    if answer.status_int == 422:
        assert told == []
    for user in told:
        assert re.fullmatch(r"[0-9]{5,14}", user["cellphone"])
        assert re.fullmatch(r"[0-9]{1,3}", user["country_code"])


def test_H3_calls_are_off_by_default_and_have_a_lower_cap_of_their_own() -> None:
    world = World()
    enrolled(world)
    tab = Tab(world)
    fields = hidden(tab.visit(), "/start", "sms")
    sent = len(world.calls())
    Shut(world)(tab.post(f"{PREFIX}/start", {**fields, "channel": "call"}), 422)
    assert len(world.calls()) == sent
    world = World(channels=("sms", "call"))
    enrolled(world)
    statuses = Counter[int]()
    for _ in range(6):
        statuses[Tab(world).start("call").status_int] += 1
        world.clock.advance(60)
    assert statuses == {303: 2, 429: 4}
    assert len(world.calls("call")) == 2
    assert Tab(world).start("sms").status_int == 303


def test_H3_an_enrolment_calls_nobody_by_default(world: World) -> None:
    tab = Tab(world)
    page = tab.visit(asks(tab, PHONE).header("Location") or "")
    fields = hidden(page, "/code")
    Shut(world)(tab.post(f"{PREFIX}/start", {**fields, "client": "authy", "channel": "call", "factor": "x"}), 422)
    assert world.calls("call") == []


# H4


def plain(answer: Answer) -> str:
    """A page without what differs between any two visits: tokens, attempts, the last two digits of the number typed."""
    text = re.sub(r'(name="(csrf|next|factor)" value=")[^"]*', r"\1", answer.text)
    text = re.sub(r"next=[A-Za-z0-9._%-]*", "next=", text)
    return re.sub(r"••• ••• \d\d", "•", re.sub(r'value="\+1[0-9]*"', 'value="+1"', text))


def test_H4_no_page_of_an_enrolment_tells_whether_a_number_is_known_elsewhere() -> None:
    world = World(limits=UNLIMITED)
    enrolled(world, "bob", OTHER_PHONE)
    world.phone(OTHER_PHONE).install_app()
    grant(world, Login("carol", "e"), "+14085555272")
    world.clock.advance(3600)
    seen = []
    for number in (OTHER_PHONE, "+14085555272", "+14085555273"):
        tab = Tab(world, "mallory")
        answers = [asks(tab, number)]
        answers.append(tab.visit(answers[0].header("Location") or ""))
        fields = hidden(answers[1], "/code")
        answers += [tab.enter(fields, "1111111"), tab.enter(fields, "x"), tab.get(f"{PREFIX}/enrol"), tab.get(f"{PREFIX}/"), tab.get(f"{PREFIX}/push")]
        seen.append([(answer.status_int, sorted(name for name, _ in answer.headerlist), plain(answer)) for answer in answers])
        world.clock.advance(86400)
    assert seen[0] == seen[1] == seen[2]
    assert {call.route for call in world.calls()} <= {"users/new", "sms", "verify", "users/status"}


def test_H4_the_code_of_somebody_elses_number_asks_the_provider_nothing_about_it_before_it_is_proved(world: World) -> None:
    enrolled(world, "bob", OTHER_PHONE)
    asked = len(world.calls("users/status"))
    tab = Tab(world, "mallory")
    fields = hidden(tab.visit(asks(tab, OTHER_PHONE).header("Location") or ""), "/code")
    tab.enter(fields, next(wrong(world, OTHER_PHONE)))
    assert len(world.calls("users/status")) == asked


def test_H4_a_number_is_shown_by_its_last_two_digits_and_a_mailbox_by_its_first_letter() -> None:
    profile = Profile(phone=PHONE, email="alice.canary@example.com")
    world = World(enrolment="known", profile=lambda _user: profile, channels=("push", "app", "sms", "call", "email"), limits=UNLIMITED)
    tab = Tab(world)
    pages = [tab.visit()]
    answer = tab.post(f"{PREFIX}/enrol", hidden(pages[0], "/enrol"))
    pages.append(tab.visit(answer.header("Location") or ""))
    assert granted(tab.enter(hidden(pages[1], "/code"), right(world)))
    world.clock.advance(3600)
    for channel in ("sms", "call", "email"):
        fresh = Tab(world)
        pages.append(fresh.visit())
        pages.append(fresh.visit(fresh.start(channel).header("Location") or ""))
        world.clock.advance(61)
    for page in pages:
        assert not re.search(r"(?<!\d)(?:408|555|5270|4085555270)(?!\d)", re.sub(r'value="[^"]*"|\(\+\d+\)', "", page.text))
        assert "canary" not in page.text
    assert "+1 ••• ••• 70" in pages[-2].text + pages[0].text
    assert "a•••@example.com" in pages[-1].text


# H5


class Counting:
    """A store, ledger or client that counts what it is asked."""

    single_process = True

    def __init__(self, inner: Any, names: tuple[str, ...], calls: Counter[str]) -> None:
        for name in names:
            setattr(self, name, self._counted(name, getattr(inner, name), calls))

    def _counted(self, name: str, real: Callable[..., Any], calls: Counter[str]) -> Callable[..., Any]:
        def method(*arguments: Any, **more: Any) -> Any:
            calls[f"{type(self).__name__}.{name}"] += 1
            return real(*arguments, **more)

        return method


class CountingStore(Counting):
    pass


class CountingLedger(Counting):
    pass


def test_H5_without_the_first_factor_all_users_look_alike_and_nothing_is_looked_up() -> None:
    calls = Counter[str]()
    users = CountingStore(MemoryStore(), ("get", "save", "delete", "erase", "ids"), calls)
    ledger = CountingLedger(MemoryLedger(), ("spend", "give_back", "claim", "put", "get", "pop"), calls)
    world = World(users=users, ledger=ledger, login_url="/login", exempt="/health", logout_url="/logout")
    jars: dict[str, dict[str, str]] = {}
    for user, number in (("enrolled", PHONE), ("in", OTHER_PHONE)):
        login = Login(user, "s")
        token = grant(world, login, number)
        tab = Tab(world, user, "s")
        world.clock.advance(31)
        tab.to_code("sms")
        jars[user] = {**tab.cookies, **({PASS: token} if user == "in" else {})}
    world.backend.disable("enrolled")
    unknown = Tab(world, "unknown")
    unknown.visit()
    jars |= {"unknown": unknown.cookies, "nobody": {}, "junk": {PASS: "x.y", ATTEMPT: "x.y"}}
    tokens = {user: world.backend.invite(user) if user in ("enrolled", "in") else "x" for user in jars}
    sent, told = len(world.calls()), len(world.events)
    calls.clear()
    seen: dict[str, list[Any]] = {}
    for user, jar in jars.items():
        cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
        answers = []
        for path in (
            "/members",
            "/health",
            "/logout",
            *(PREFIX + page for page in ("/", "/enrol", "/code", "/push", "/poll", "/continue", "/kept", "/logout", "/static/x")),
        ):
            for method, headers in (("GET", HTML), ("GET", {}), ("POST", HTML), ("POST", {"Accept": "application/json"})):
                query = f"user={user}&u={user}" if PREFIX not in path else "user=xxxxxxxx"
                extra = {"HTTP_REMOTE_USER": user, "HTTP_X_USER": user}
                answers.append(
                    ask(world, path, method=method, headers=headers, cookie=cookie, query=query, body=b"user=x" if method == "POST" else b"", **extra)
                )
        answers.append(ask(world, f"{PREFIX}/enrol", query=f"invite={tokens[user]}", cookie=cookie))
        seen[user] = [(answer.status_int, answer.headerlist, len(answer.body), answer.body) for answer in answers]
    assert len({repr(answers) for answers in seen.values()}) == 1
    assert calls == {}
    assert (len(world.calls()), len(world.events)) == (sent, told)


# H6


def test_H6_somebody_who_knocks_a_thousand_times_is_told_of_once_in_ten_minutes(world: World) -> None:
    enrolled(world)
    told = len(world.events)
    for number in range(1000):
        ask(world, f"/members/{number}", login=Login("alice", "thief"), headers=HTML if number % 2 else {})
    assert [event.kind for event in world.events[told:]] == ["challenged"]
    world.clock.advance(601)
    ask(world, login=Login("alice", "thief"))
    assert [event.kind for event in world.events[told:]] == ["challenged"] * 2


def test_H6_the_documented_way_of_telling_the_owner_tells_three_times_an_hour() -> None:
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    source = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Notices" in block)
    namespace: dict[str, Any] = {}
    exec(compile(source, "events.md", "exec"), namespace)
    mails: list[tuple[str, str]] = []
    ledger = MemoryLedger()
    notices = namespace["Notices"](ledger, lambda user, text: mails.append((user, text)))
    told: list[Event] = []

    def tell(event: Event) -> None:
        told.append(event)
        notices(event)

    world = World(ledger=ledger, events=tell, limits=UNLIMITED)
    enrolled(world)
    world.phone().install_app()
    mails.clear()
    codes = wrong(world)
    for _ in range(10):
        tab = Tab(world)
        fields = tab.to_code()
        for _ in range(10):
            tab.enter(fields, next(codes))
        world.clock.advance(60)
    assert len([event for event in told if event.kind == "wrong"]) == 100
    assert Counter(mails) == {("alice", "Somebody typed a wrong code for your account."): 3}
