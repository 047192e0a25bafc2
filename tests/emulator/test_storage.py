"""A state that was saved and loaded goes on exactly, and what is no state changes nothing."""

from __future__ import annotations

import copy
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webtest import TestApp

from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.emulator.storage import StateError

from .service import KEY, START

SAFE = "/?&=+%"
NUMBERS = ("408-555-5270", "405-342-5699", "7754615609")
RULES = Rules(wrong_codes=3, requests_per_minute=20, sms_per_day=9, sms_per_month=12, calls_per_day=5, calls_per_month=6, details_limit=5)


class Life:
    """An emulator, and things that can happen to it; each is told by what was answered, byte for byte."""

    def __init__(self, seed: int = 1) -> None:
        self.emulator = Emulator(KEY, clock=lambda: START, seed=seed, rules=RULES, sleep=lambda _: None)
        self.http = TestApp(self.emulator, lint=True)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        told = {"X-Authy-API-Key": KEY, **headers}
        data = b"" if body is None else json.dumps(body).encode()
        if method == "POST":
            told["Content-Type"] = "application/json"
        answer = self.http.request(quote(path, safe=SAFE), method=method, body=data, headers=told, status="*")
        return f"{method} {path} {answer.status}\n".encode() + answer.body

    def get(self, path: str) -> bytes:
        return self.ask("GET", "/protected/json/" + path)

    def post(self, path: str, body: Any = None) -> bytes:
        return self.ask("POST", "/protected/json/" + path, body)

    def press(self, path: str, fields: dict[str, str]) -> bytes:
        answer = self.http.post("/phone/" + quote(path, safe=SAFE), fields, status="*")
        return f"press {path} {answer.status}\n".encode() + answer.body

    @property
    def kept(self) -> Any:
        return self.http.get("/phone/state.json").json

    def messages(self, number: int) -> list[Any]:
        """What arrived on a phone."""
        return [message for phone in self.kept["phones"][number : number + 1] for message in phone["messages"]]

    def uuids(self) -> list[str]:
        """All approval requests and phone verifications."""
        phones = self.kept["phones"]
        found = [approval["uuid"] for phone in phones for approval in phone["approvals"]]
        return found + [phone["verification"]["uuid"] for phone in phones if phone["verification"]]

    def everything(self) -> list[bytes]:
        """All that can be looked at without changing anything but the counts."""
        whom = [str(1635 + number) for number in range(len(NUMBERS) + 1)]
        seen = [self.get(f"users/{who}/{what}") for who in whom for what in ("status", "secret/export", "phone_number")]
        seen += [self.ask("GET", path) for path in ("/phone/", *(f"/phone/{who}{end}" for who in whom for end in ("", ".json")))]
        seen += [self.ask("GET", f"/qr/{code}.png") for code in self.kept["pictures"]]
        for uuid in self.uuids():
            seen += [self.ask("GET", f"/onetouch/json/approval_requests/{uuid}"), self.get(f"phones/verification/status?uuid={uuid}")]
        return [*seen, self.get("app/stats"), self.get("app/details")]


def verify(life: Life, who: int, code: str, action: str = "") -> bytes:
    return life.get(f"verify/{code}/{1635 + who}?force=true&action={action}")


def handset(life: Life, who: int, what: str) -> str:
    """A code that a phone shows now; one that cannot be right where there is none."""
    try:
        return getattr(life.emulator.phone(1635 + who), what) or "0000000"
    except LookupError:
        return "0000000"


def suspended(life: Life, who: int, *, suspend: bool) -> bytes:
    try:
        phone = life.emulator.phone(1635 + who)
        (phone.suspend if suspend else phone.restore)()
    except LookupError as error:
        return str(error).encode()
    return b"done"


def moved(life: Life, seconds: int) -> bytes:
    return life.press("clock", {"advance": str(seconds)})


Happening = Callable[[Life, int, str], bytes]
ACTIONS = ("", "login")
HAPPENINGS: tuple[Happening, ...] = (
    lambda life, who, action: life.post("users/new", {"user": {"email": f"{who}{action}@example.com", "cellphone": NUMBERS[who], "country_code": 1}}),
    lambda life, who, _: life.press(f"{1635 + who}/app", {"installed": "true"}),
    lambda life, who, _: life.press(f"{1635 + who}/app", {"installed": "false"}),
    lambda life, who, action: life.get(f"sms/{1635 + who}?force=true&action={action}"),
    lambda life, who, action: life.get(f"call/{1635 + who}?force=true&action={action}&action_message=Hello&locale=es"),
    lambda life, who, action: life.post(f"email/{1635 + who}", {"force": "true", "action": action}),
    lambda life, who, action: verify(life, who, (life.messages(who) or [{"code": "0000000"}])[-1]["code"], action),
    lambda life, who, action: verify(life, who, (life.messages(who) or [{"code": "0000000"}])[0]["code"], action),
    lambda life, who, _: verify(life, who, "1111111"),
    lambda life, who, _: verify(life, who, handset(life, who, "app_code")),
    lambda life, who, _: verify(life, who, handset(life, who, "authenticator_code")),
    lambda life, who, action: life.post(f"users/{1635 + who}/secret", {"label": f"Acorn {action} é", "qr_size": 200}),
    lambda life, who, _: life.post(f"users/{1635 + who}/remove"),
    lambda life, who, _: life.post(f"users/{1635 + who}/update", {"email": "new@example.com"}),
    lambda life, who, _: suspended(life, who, suspend=True),
    lambda life, who, _: suspended(life, who, suspend=False),
    lambda life, who, action: life.ask(
        "POST",
        f"/onetouch/json/users/{1635 + who}/approval_requests",
        {
            "message": "Log in? é",
            "details": {"Ort": "Zürich", "n": 1},
            "hidden_details": {"ip": "10.0.0.1"},
            "logos": [{"res": "default", "url": "https://x/y"}] if action else [],
            "seconds_to_expire": 40 if action else 0,
        },
    ),
    lambda life, who, _: life.press(f"{1635 + who}/approvals/{(life.uuids() or ['x'])[-1]}", {"status": "approved"}),
    lambda life, who, _: life.press(f"{1635 + who}/approvals/{(life.uuids() or ['x'])[0]}", {"status": "denied"}),
    lambda life, who, action: life.post(
        "phones/verification/start", {"via": "call" if action else "sms", "country_code": "1", "phone_number": NUMBERS[who], "code_length": 6}
    ),
    lambda life, who, _: life.get(
        f"phones/verification/check?country_code=1&phone_number={NUMBERS[who]}&verification_code={(life.messages(who) or [{'code': '0000'}])[-1]['code']}"
    ),
    lambda life, who, action: moved(life, 7 if action else 61),
    lambda life, who, action: moved(life, -5 if action else 3600),
    lambda life, who, action: moved(life, 25 * 3600 if action else 31 * 86_400),
)

happening = st.tuples(st.sampled_from(HAPPENINGS), st.integers(0, len(NUMBERS) - 1), st.sampled_from(ACTIONS))


def lived(seed: int = 1) -> Life:
    """A life in which everything has happened: users, one removed and one suspended, spent and running codes, requests in all states."""
    life = Life(seed)
    for number in NUMBERS:
        life.post("users/new", {"user": {"email": "a@example.com", "cellphone": number, "country_code": 1}})
    for who in range(3):
        life.press(f"{1635 + who}/app", {"installed": "true"})
        life.get(f"sms/{1635 + who}?force=true&action=login")
        for _ in range(4):
            life.ask("POST", f"/onetouch/json/users/{1635 + who}/approval_requests", {"message": "Hm?", "details": {"a": "b"}, "seconds_to_expire": 60})
    life.get("sms/1635?force=true")
    verify(life, 0, life.messages(0)[-1]["code"])
    verify(life, 0, handset(life, 0, "app_code"))
    verify(life, 1, "1111111")
    life.post("users/1636/secret")
    life.post("users/1635/secret", {"label": "x"})
    verify(life, 0, handset(life, 0, "authenticator_code"))
    life.emulator.phone(1635).approve()
    life.emulator.phone(1635).deny()
    life.emulator.phone(1636).deny()
    life.press("clock", {"advance": "61"})
    life.ask("POST", "/onetouch/json/users/1635/approval_requests", {"message": "Now?", "logos": [{"res": "default", "url": "https://x/y"}]})
    life.post("phones/verification/start", {"via": "sms", "country_code": "1", "phone_number": NUMBERS[0]})
    life.post("phones/verification/start", {"via": "call", "country_code": "44", "phone_number": "7911 123456"})
    life.post("users/1637/remove")
    life.emulator.phone(1636).suspend()
    return life


# -- going on


@pytest.mark.parametrize("way", ["file", "HTTP"])
def test_after_loading_the_same_calls_have_the_same_answers(way: str, tmp_path: Path) -> None:
    one, other = lived(), Life(seed=2)
    other.post("users/new", {"user": {"email": "gone@example.com", "cellphone": "2015550123", "country_code": 1}})
    if way == "file":
        one.emulator.save(tmp_path / "state.json")
        other.emulator.load(str(tmp_path / "state.json"))
    else:
        assert other.http.post("/phone/state", one.http.get("/phone/state.json").body).json == {"now": START + 61}
    assert other.kept == one.kept
    assert other.everything() == one.everything()
    for happens in HAPPENINGS * 2:
        for who in range(len(NUMBERS)):
            for action in ACTIONS:
                assert happens(other, who, action) == happens(one, who, action)
    assert other.everything() == one.everything()
    assert other.kept == one.kept


@settings(max_examples=20, deadline=None)
@given(before=st.lists(happening, max_size=20), after=st.lists(happening, min_size=1, max_size=15))
def test_whatever_happened_and_happens_a_loaded_state_goes_on_alike(before: list[Any], after: list[Any]) -> None:
    one, other = Life(), Life(seed=2)
    for who, action in ((0, ""), (1, "login")):
        HAPPENINGS[0](one, who, action)
    for happens, who, action in before:
        happens(one, who, action)
    other.http.post("/phone/state", one.http.get("/phone/state.json").body)
    for happens, who, action in after:
        assert happens(other, who, action) == happens(one, who, action)
    assert other.everything() == one.everything()
    assert other.kept == one.kept


def test_spent_codes_stay_spent(tmp_path: Path) -> None:
    one, other = lived(), Life(seed=2)
    codes = [("sms", one.messages(0)[-2]["code"]), ("app", handset(one, 0, "app_code")), ("other", handset(one, 0, "authenticator_code"))]
    for _, code in codes:
        verify(one, 0, code)
    one.emulator.save(tmp_path / "state")
    other.emulator.load(tmp_path / "state")
    for _, code in codes:
        assert json.loads(verify(other, 0, code).partition(b"\n")[2])["error_code"] == "60019"


def test_the_clock_keeps_its_offset_not_its_time(tmp_path: Path) -> None:
    times = [START]
    one = Emulator(KEY, clock=lambda: times[0])
    one.advance(1000)
    one.save(tmp_path / "state")
    times[0] += 50
    other = Emulator(KEY, clock=lambda: times[0])
    other.load(tmp_path / "state")
    assert other.now == START + 1050


def test_chance_goes_on_where_it_was() -> None:
    """Without a seed too."""
    one, other = Emulator(KEY), Emulator(KEY)
    http = [TestApp(emulator) for emulator in (one, other)]
    http[1].post("/phone/state", http[0].get("/phone/state.json").body)
    told = [
        app.post(f"/protected/json/users/new?api_key={KEY}", {"user[email]": "a@x.com", "user[cellphone]": NUMBERS[0], "user[country_code]": "1"})
        for app in http
    ]
    assert told[0].json == told[1].json
    assert one.phone(1635).as_json() == other.phone(1635).as_json()
    for app in http:
        app.get(f"/protected/json/sms/1635?api_key={KEY}")
    assert one.phone(1635).code == other.phone(1635).code


def test_callbacks_of_loaded_requests_are_sent() -> None:
    one, other = lived(), Life(seed=2)
    other.http.post("/phone/state", one.http.get("/phone/state.json").body)
    other.press("callback", {"url": "http://127.0.0.1:9/"})
    other.emulator.phone(1635).approve()
    assert [it.status for it in other.emulator.callbacks.wait()] == ["test", "approved"]


# -- the file


def test_the_file_is_for_its_owner_and_holds_no_api_key(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    was = os.umask(0)
    try:
        lived().emulator.save(path)
    finally:
        os.umask(was)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KEY not in path.read_text("utf-8")
    assert KEY not in lived().http.get("/phone/state.json").text
    assert json.loads(path.read_text("utf-8")) == lived().kept


def test_saving_over_a_file_replaces_it_as_a_whole(tmp_path: Path) -> None:
    path, linked = tmp_path / "state.json", tmp_path / "other name"
    path.write_text("what was there before")
    path.chmod(0o644)
    linked.hardlink_to(path)
    lived().emulator.save(path)
    assert linked.read_text() == "what was there before"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["other name", "state.json"]


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.mkdir()
    (path / "in the way").write_text("x")
    with pytest.raises(OSError):
        lived().emulator.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
    with pytest.raises(OSError):
        lived().emulator.save(tmp_path / "nowhere" / "state.json")


# -- what is no state


FOREIGN = [
    *(
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b'"authy_wsgi emulator 1"',
        b"{}",
        b'{"format": null}',
        b'{"format": "authy_wsgi emulator 0"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ),
    *(b'{"format": "authy_wsgi emulator 1"}', b'{"format": ["authy_wsgi emulator 1"]}', b'{"a": ' + b"1" * 5000 + b"}"),
]


@pytest.mark.parametrize("body", FOREIGN, ids=lambda body: repr(body[:30]))
def test_a_foreign_file_is_refused_with_a_sentence_and_nothing_changes(body: bytes, tmp_path: Path) -> None:
    life = lived()
    before = life.kept
    path = tmp_path / "state.json"
    path.write_bytes(body)
    with pytest.raises(StateError) as caught:
        life.emulator.load(path)
    assert str(caught.value).endswith(".")
    answer = life.http.post("/phone/state", body, status=400)
    assert answer.json["message"].endswith(".")
    assert life.kept == before


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    life = lived()
    with pytest.raises(FileNotFoundError):
        life.emulator.load(tmp_path / "state.json")


def test_another_sites_page_cannot_load_a_state() -> None:
    life = lived()
    before, body = life.kept, Life().http.get("/phone/state.json").body
    assert life.http.post("/phone/state", body, headers={"Origin": "https://evil.example"}, status=403).json["message"].endswith(".")
    assert life.kept == before


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_half_a_file_is_refused(cut: float, tmp_path: Path) -> None:
    life, path = lived(), tmp_path / "state.json"
    life.emulator.save(path)
    before, whole = life.kept, path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(StateError, match="not JSON"):
        life.emulator.load(path)
    assert life.kept == before


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every member and item."""
    for at in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (*path, at)
        yield from places(node[at], (*path, at))


RICH = lived().kept
PLACES = list(places(RICH))
GONE = object()
ODD = [GONE, None, True, -1, 0, 5, 1.5, float("nan"), float("inf"), 10**30, -(10**30), "", "x", "1", "\ud800", "é" * 50, [], {}, [None], {"x": 1}, [[]], ["x"]]


def damaged(path: tuple[Any, ...], by: object) -> Any:
    """The rich state with one place of it something else."""
    kept = copy.deepcopy(RICH)
    node = kept
    for step in path[:-1]:
        node = node[step]
    if by is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = by
    return kept


def check_damage(path: tuple[Any, ...], by: object) -> None:
    """It is refused and changes nothing, or everything goes on working."""
    life = Life(seed=2)
    before = life.kept
    answer = life.http.post("/phone/state", json.dumps(damaged(path, by)).encode(), status="*")
    assert answer.status_int in (200, 400)
    if answer.status_int == 400:
        assert answer.json["message"].endswith(".")
        assert life.kept == before
        return
    seen = life.everything()
    for happens in HAPPENINGS:
        for who in range(len(NUMBERS)):
            seen.append(happens(life, who, ""))
    assert not [it for it in seen if b" 500 " in it.partition(b"\n")[0]]


@settings(max_examples=60, deadline=None)
@given(path=st.sampled_from(PLACES), by=st.sampled_from(ODD))
def test_damage_is_refused_or_does_no_harm(path: tuple[Any, ...], by: object) -> None:
    check_damage(path, by)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ODD)), ids=lambda number: "gone" if ODD[number] is GONE else repr(ODD[number])[:20])
def test_damage_anywhere_is_refused_or_does_no_harm(number: int) -> None:
    for path in PLACES[number % 7 :: 7]:
        check_damage(path, ODD[number])
