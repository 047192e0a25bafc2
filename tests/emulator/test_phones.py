from __future__ import annotations

import base64
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import requests
from webtest import TestApp
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import authy_wsgi.emulator
from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.api import ROUTE_NAMES
from authy_wsgi.emulator.guard import POLICY
from authy_wsgi.emulator.numbering import read_number
from authy_wsgi.emulator.picture import key_uri

from .service import KEY, START, Service

PAGE = {"Accept": "text/html,application/xhtml+xml"}
STRIP = "Simulator. No real messages are sent, no real phone is asked."


def ask(service: Service, who: int, **body: Any) -> str:
    service.emulator.phone(who).install_app()
    body = {"message": "Log in?", "details": {"User": "alice"}, **body}
    uuid: str = service.post_json(f"onetouch/users/{who}/approval_requests", body)["approval_request"]["uuid"]
    return uuid


@pytest.fixture
def bob(service: Service) -> int:
    return service.register("405-342-5699", email="bob@example.com")


def codes(page: Any) -> list[str]:
    """The codes that a page shows, newest message first, then those of the dock."""
    return [code.text.strip() for code in page.html.select(".code")]


def test_a_phone_as_programs_read_it(service: Service, alice: int) -> None:
    assert service.phone(alice) == {
        "authy_id": alice,
        "phone_number": "+14085555270",
        "app_installed": False,
        "app_code": None,
        "messages": [],
        "approvals": [],
    }
    first = service.sms(alice)
    service.emulator.advance(700)
    second = service.sms(alice)
    ask(service, alice)
    phone = service.phone(alice)
    assert service.phone("+14085555270") == phone
    assert [(it["code"], it["at"]) for it in phone["messages"]] == [(first, START), (second, START + 700)]
    assert phone["app_installed"] is True
    service.verify(alice, phone["app_code"])
    service.post(f"users/{alice}/secret")
    service.emulator.phone(alice).suspend()
    assert {name: type(value) for name, value in service.phone(alice).items()} == {name: type(value) for name, value in phone.items()}
    assert set(phone["messages"][0]) == {"kind", "code", "text", "at"}
    assert set(phone["approvals"][0]) == {"uuid", "message", "details", "status", "at"}


@pytest.mark.parametrize("who", ["99", "+1", "tony", "", "%2B14085555270x", "9" * 50])
def test_unknown_phones_are_404(service: Service, alice: int, who: str) -> None:
    assert service.app.get(f"/phone/{who}.json", status=404).json["success"] is False
    if who:
        page = service.app.get(f"/phone/{who}", status=404, headers=PAGE)
        page.mustcontain(STRIP, "All phones")
    service.app.post(f"/phone/{who}/app", {"installed": "true"}, status=404)


def test_every_page_is_strict_and_says_that_it_is_a_simulator(service: Service, alice: int) -> None:
    service.sms(alice)
    ask(service, alice, message="<script>alert(1)</script>")
    service.emulator.add_fault(route="verify", kind="status")
    service.post(f"users/{alice}/secret")
    service.register("405-342-5699")
    for path in ("/phone/", "/phone/?with=1635", f"/phone/{alice}", "/phone/+14085555270", "/phone/1635,1636", "/phone/nobody"):
        page = service.app.get(path, headers=PAGE, expect_errors=True)
        page.mustcontain(STRIP, no=["<script>alert", "style=", "onclick", "http://example", "<style"])
        assert page.headers["Content-Security-Policy"] == POLICY
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["X-Authy-Simulator"] == "1"
        for link in page.html.find_all(["link", "script"]):
            service.app.get(link.get("href") or link.get("src"))
    service.app.get("/phone/static/nothing.css", status=404)


def test_the_overview_says_what_to_do_first(service: Service) -> None:
    service.app.get("/phone/").mustcontain("No phones yet", "/protected/json/users/new", no=KEY)
    alice = service.register()
    page = service.app.get("/phone/")
    page.mustcontain("+1 408-555-5270", f"Authy {alice}", no="No phones yet")
    assert page.click("408-555-5270").request.path == f"/phone/{alice}"
    service.post("phones/verification/start", {"country_code": "1", "phone_number": "201-555-0123", "via": "call"})
    service.app.get("/phone/").click("201-555-0123").mustcontain("A voice says: “Your Authy Demo verification code is")


def test_the_start_leads_to_the_phones(service: Service) -> None:
    for path in ("/", "/phone"):
        assert service.app.get(path, status=303).headers["Location"] == "/phone/"
    mounted = service.app.get("/sim/", status=303, extra_environ={"SCRIPT_NAME": "/sim"})
    assert mounted.headers["Location"] == "/sim/phone/"


def test_a_person_installs_the_app_and_answers(service: Service, alice: int) -> None:
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    page.mustcontain("Nothing yet", "No Authy app")
    page = page.forms["switch"].submit("installed", headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("Authy app installed", "new in")
    uuid = ask(service, alice)
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    page.mustcontain("Log in?", "alice")
    service.app.get("/phone/").mustcontain("1 to answer")
    page = page.forms[0].submit("status", value="approved", headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("Approved")
    assert service.get(f"onetouch/approval_requests/{uuid}")["approval_request"]["status"] == "approved"
    page = page.forms["switch"].submit("installed", headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("No Authy app")


def test_messages_are_shown_newest_first(service: Service, alice: int) -> None:
    first = service.sms(alice)
    service.emulator.advance(700)
    service.post(f"email/{alice}")
    second = service.emulator.phone(alice).code
    text = service.app.get(f"/phone/{alice}").text
    assert text.index(second) < text.index(first)
    assert "To alice@example.com" in text


def test_programs_press_the_buttons(service: Service, alice: int) -> None:
    assert service.app.post(f"/phone/{alice}/app", {"installed": "true"}).json["app_installed"] is True
    uuid = ask(service, alice)
    answer = service.app.post(f"/phone/{alice}/approvals/{uuid}", {"status": "denied"}).json
    assert answer["approvals"][0]["status"] == "denied"
    assert "denied already" in service.app.post(f"/phone/{alice}/approvals/{uuid}", {"status": "approved"}, status=409).json["message"]
    service.app.post(f"/phone/{alice}/approvals/{uuid}", {"status": "maybe"}, status=400)
    service.app.post(f"/phone/{alice}/approvals/none", {"status": "denied"}, status=404)
    service.app.post(f"/phone/{alice}/app", {"installed": "perhaps"}, status=400)
    service.app.post_json(f"/phone/{alice}/app", {"installed": True}, status=400)
    assert service.app.post(f"/phone/{alice}/app", {"installed": "false"}).json["app_code"] is None
    late = service.register("405-342-5699", email="bob@example.com")
    old = ask(service, late, seconds_to_expire=60)
    service.emulator.advance(60)
    service.app.post(f"/phone/{late}/approvals/{old}", {"status": "approved"}, status=409)
    service.app.post(f"/phone/{alice}/approvals/{old}", {"status": "approved"}, status=404)
    service.app.get(f"/phone/{late}").mustcontain("Expired")


def test_the_clock_moves(service: Service, alice: int) -> None:
    assert service.app.post("/phone/clock", {"advance": "600"}).json == {"now": START + 600}
    assert service.app.post("/phone/clock", {"at": "1800000000"}).json == {"now": 1_800_000_000}
    assert service.app.post("/phone/clock", {"advance": "-5"}).json == {"now": 1_799_999_995}
    assert service.emulator.set_clock(START) == service.emulator.now == START
    for bad in ({}, {"at": "x"}, {"at": "-1"}, {"advance": "1", "at": "1"}, {"advance": "9" * 20}, {"advance": "1.5"}):
        service.app.post("/phone/clock", bad, status=400)
    assert service.app.post("/phone/clock", {"advance": "60"}, headers=PAGE, status=303).headers["Location"] == "/phone/"


def test_the_end_of_time_is_survived(service: Service, alice: int) -> None:
    ask(service, alice)
    for at in ("0", "253370764800"):
        service.app.post("/phone/clock", {"at": at})
        service.app.post("/phone/clock", {"advance": "253370764800"})
        service.sms(alice)
        service.app.get("/phone/")
        service.app.get(f"/phone/{alice}")
        service.get("app/stats")
        uuid = service.phone(alice)["approvals"][0]["uuid"]
        service.get(f"onetouch/approval_requests/{uuid}")


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_other_sites_cannot_press_buttons(service: Service, alice: int, headers: dict[str, str]) -> None:
    uuid = ask(service, alice)
    for path, form in (
        (f"/phone/{alice}/app", {"installed": "false"}),
        (f"/phone/{alice}/approvals/{uuid}", {"status": "approved"}),
        ("/phone/clock", {"advance": "1"}),
        ("/phone/faults", {"route": "*", "kind": "drop"}),
        ("/phone/faults/clear", {}),
        (f"/phone/{alice}/suspended", {"suspended": "true"}),
        ("/phone/callback", {"url": "http://evil.example/", "method": "POST"}),
        ("/phone/state", {}),
    ):
        service.app.post(path, form, status=403, headers=headers)
    assert service.phone(alice)["approvals"][0]["status"] == "pending"
    assert (service.emulator.callbacks.url, service.emulator.faults) == ("", [])
    service.get(f"verify/{service.phone(alice)['app_code']}/{alice}")
    service.app.post(f"/phone/{alice}/app", {"installed": "true"}, headers={"Origin": "http://localhost:80", "Sec-Fetch-Site": "same-origin"})


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "a b", "localhost:x", "@localhost"])
def test_other_names_are_not_answered(service: Service, alice: int, host: str) -> None:
    for path in ("/phone/", f"/phone/{alice}.json", "/", "/qr/x.png", f"/protected/json/users/{alice}/status?api_key={KEY}"):
        assert service.app.get(path, status=403, headers={"Host": host}).json["success"] is False
    service.app.get("/phone/", status=403, headers={"Host": host, **PAGE}).mustcontain(STRIP)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:80", "sim.test", "[fd00::1]:80"])
def test_our_names_are_answered(host: str) -> None:
    service = Service(hosts=("sim.test", "fd00::1"))
    service.app.get("/phone/", headers={"Host": host}).mustcontain(host)


def test_methods_are_named(service: Service, alice: int) -> None:
    assert service.app.get("/phone/clock/", status=404, headers=PAGE)
    assert "GET" in service.app.delete(f"/phone/{alice}", status=405).headers["Allow"]


def test_the_phone_in_hand(service: Service, alice: int) -> None:
    emulator: Emulator = service.emulator
    (phone,) = emulator.phones
    assert (phone.number, phone.authy_id, phone.app_installed) == ("+14085555270", alice, False)
    assert repr(phone) == f"<Handset +14085555270 authy_id={alice}>"
    with pytest.raises(LookupError):
        _ = phone.code
    with pytest.raises(LookupError, match="known"):
        emulator.phone("+10")
    service.post("phones/verification/start", {"country_code": "1", "phone_number": "201-555-0123", "via": "sms"})
    with pytest.raises(LookupError):
        emulator.phone("+12015550123").suspend()
    service.sms(alice)
    assert phone.messages[-1].kind == "sms"
    assert phone.as_json() == service.phone(alice)


# -- side by side


def test_several_phones_are_side_by_side_on_one_page(service: Service, alice: int, bob: int) -> None:
    service.post("phones/verification/start", {"country_code": "1", "phone_number": "201-555-0123", "via": "sms"})
    service.sms(alice)
    ask(service, bob, message="Log in, Bob?")
    page = service.app.get(f"/phone/{bob},{alice},+12015550123", headers=PAGE)
    assert [phone.find("h2").text for phone in page.html.select(".phone")] == [
        f"+1 405-342-5699Authy {bob}",
        f"+1 408-555-5270Authy {alice}",
        "+1 201-555-0123Phone verification only",
    ]
    assert page.html.title.text == "(1) 3 phones · Simulator"
    ids = [node["id"] for node in page.html.select("[id]")]
    assert len(set(ids)) == len(ids)
    one, two = (page.html.select_one(f"#phone-{who}") for who in (bob, alice))
    assert "Log in, Bob?" in one.text
    assert "Log in, Bob?" not in two.text
    assert service.emulator.phone(alice).code in two.text
    page.click(description="✕", index=1).mustcontain("+1 405-342-5699", "+1 201-555-0123", no="+1 408-555-5270")


def test_a_phone_that_is_asked_for_twice_is_there_once(service: Service, alice: int, bob: int) -> None:
    page = service.app.get(f"/phone/+14085555270,{alice}, {bob},,", headers=PAGE)
    assert len(page.html.select(".phone")) == 2
    assert len(service.app.get(f"/phone/{alice},+14085555270", headers=PAGE).html.select(".phone")) == 1


def test_unknown_phones_of_a_row_are_named(service: Service, alice: int) -> None:
    page = service.app.get(f"/phone/{alice},99,+1999", status=404, headers=PAGE)
    page.mustcontain(STRIP, "These phones are not here: 99, +1999.")
    service.app.get(f"/phone/{alice},99", status=404, headers=PAGE).mustcontain("There is no phone 99 here.")
    service.app.get("/phone/,", status=404, headers=PAGE)
    assert service.app.get(f"/phone/{alice},99", status=404).json["success"] is False
    # Programs read one phone at a time.
    service.app.get(f"/phone/{alice},{alice}.json", status=404)


def test_six_phones_fit_and_seven_do_not(service: Service) -> None:
    ids = [str(service.register(f"408-555-{number}")) for number in range(5270, 5277)]
    six = service.app.get(f"/phone/{','.join(ids[:6])}", headers=PAGE)
    assert len(six.html.select(".phone")) == 6
    assert "Add a phone" not in six.text
    service.app.get(f"/phone/{','.join(ids)}", status=400, headers=PAGE).mustcontain("No more than 6 phones fit side by side")
    service.app.get(f"/phone/?with={','.join(ids[:6])}", status=400, headers=PAGE).mustcontain("Close one first")


def test_ticks_on_the_overview_lead_to_the_phones_side_by_side(service: Service, alice: int, bob: int) -> None:
    service.post("phones/verification/start", {"country_code": "1", "phone_number": "201-555-0123", "via": "sms"})
    form = service.app.get("/phone/", headers=PAGE).forms["side"]
    for box in form.fields["who"]:
        box.checked = box._value in (str(alice), "+12015550123")
    page = form.submit(headers=PAGE, status=303)
    assert page.headers["Location"] == f"/phone/+12015550123,{alice}"
    assert len(page.follow(headers=PAGE).html.select(".phone")) == 2
    service.app.get("/phone/side", status=400, headers=PAGE).mustcontain("Tick the phones first")
    service.app.get("/phone/side?who=1&who=99", status=404, headers=PAGE).mustcontain("1, 99")
    service.app.get("/phone/side?who=%ff", status=404)


def test_a_phone_is_added_beside_the_others(service: Service, alice: int, bob: int) -> None:
    page = service.app.get(f"/phone/{alice}", headers=PAGE).click("Add a phone")
    page.mustcontain("+1 405-342-5699", "Back to the phone", no=["+1 408-555-5270", "Clock"])
    assert page.click("Back to the phone").request.path == f"/phone/{alice}"
    assert page.click("405-342-5699").request.path == f"/phone/{alice},{bob}"
    form = page.forms[0]
    form["q"] = "bob@"
    found = form.submit(headers=PAGE)
    assert found.click("405-342-5699").request.path == f"/phone/{alice},{bob}"
    service.app.get("/phone/?with=99", status=404, headers=PAGE).mustcontain("no phone 99")


def test_a_button_leads_back_to_the_phones_beside_it(service: Service, alice: int, bob: int) -> None:
    uuid = ask(service, alice)
    here = f"/phone/{bob},{alice}"
    page = service.app.get(here, headers=PAGE)
    answered = page.forms[f"switch-{bob}"].submit("installed", headers=PAGE, status=303)
    assert answered.headers["Location"] == here
    page = answered.follow(headers=PAGE)
    request = next(form for form in page.forms.values() if form.action.endswith(uuid))
    assert request.submit("status", value="denied", headers=PAGE, status=303).headers["Location"] == here
    assert page.forms[f"suspend-{alice}"].submit("suspended", headers=PAGE, status=303).headers["Location"] == here
    # Wherever the field says, it is a page of ours.
    away = service.app.post(f"/phone/{alice}/app", {"installed": "true", "page": "//evil.example/"}, headers=PAGE, status=303)
    assert away.headers["Location"].startswith("/phone/")


def test_the_title_counts_what_waits(service: Service, alice: int, bob: int) -> None:
    def titles() -> list[str]:
        return [service.app.get(path, headers=PAGE).html.title.text for path in ("/phone/", f"/phone/{alice}", f"/phone/{bob}", f"/phone/{alice},{bob}")]

    assert titles() == ["Phones · Simulator", "+1 408-555-5270 · Simulator", "+1 405-342-5699 · Simulator", "2 phones · Simulator"]
    uuid = ask(service, alice)
    assert titles() == ["(1) Phones · Simulator", "(1) +1 408-555-5270 · Simulator", "+1 405-342-5699 · Simulator", "(1) 2 phones · Simulator"]
    service.emulator.phone(alice).approve(uuid)
    assert titles()[0] == "Phones · Simulator"


# -- the overview


def shown(page: Any) -> list[str]:
    return [row.text for row in page.html.select(".phones b")]


def test_the_overview_has_what_waits_first_and_then_the_most_active(service: Service, alice: int, bob: int) -> None:
    carol, dan = service.register("408-555-5271"), service.register("408-555-5272")
    service.emulator.advance(10)
    service.sms(carol)
    service.emulator.advance(10)
    service.sms(bob)
    assert shown(service.app.get("/phone/")) == ["+1 405-342-5699", "+1 408-555-5271", "+1 408-555-5272", "+1 408-555-5270"]
    service.emulator.set_clock(START)
    ask(service, dan, seconds_to_expire=30)
    assert shown(service.app.get("/phone/"))[0] == "+1 408-555-5272"
    service.emulator.set_clock(START + 30)
    assert shown(service.app.get("/phone/"))[0] == "+1 405-342-5699"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("5270", ["+1 408-555-5270"]),
        ("408 555-52", ["+1 408-555-5270"]),
        ("+1 (405)", ["+1 405-342-5699"]),
        ("+408", []),
        ("1636", ["+1 405-342-5699"]),
        ("163", []),
        ("Alice@", ["+1 408-555-5270"]),
        ("EXAMPLE.com", ["+1 405-342-5699", "+1 408-555-5270"]),
        ("%", []),
        ("  ", ["+1 405-342-5699", "+1 408-555-5270"]),
    ],
)
def test_phones_are_found_by_number_id_and_address(service: Service, alice: int, bob: int, query: str, numbers: list[str]) -> None:
    form = service.app.get("/phone/", headers=PAGE).forms[0]
    form["q"] = query
    page = form.submit(headers=PAGE)
    assert shown(page) == numbers
    if query.strip():
        page.mustcontain(f"{len(numbers)} of 2 phones match")
        assert len(shown(page.click("Show all"))) == 2


@pytest.mark.slow
def test_ten_thousand_phones_are_fifty_at_a_time(service: Service) -> None:
    for number in range(10_000):
        service.emulator.state.register(read_number("1", f"408{2_000_000 + number}"), f"user{number}@example.com")
    page = service.app.get("/phone/", headers=PAGE)
    assert len(shown(page)) == 50
    page.mustcontain("Page 1 of 200")
    following = page.click("Less active")
    assert len(shown(following)) == 50
    assert not set(shown(page)) & set(shown(following))
    assert shown(following.click("More active")) == shown(page)
    assert shown(service.app.get("/phone/?page=200"))[-1] == "+1 408-200-0000"
    for odd in ("201", "99999999999", "0", "-1", "x"):
        assert len(shown(service.app.get(f"/phone/?page={odd}"))) == 50
    assert shown(service.app.get("/phone/?q=user777@")) == ["+1 408-200-0777"]
    found = service.app.get("/phone/?q=user77")
    found.mustcontain("111 of 10,000 phones match", "Page 1 of 3")
    assert len(shown(found.click("Less active").click("Less active"))) == 11


def test_odd_queries_are_refused_with_a_sentence(service: Service, alice: int) -> None:
    for query in ("q=1&q=2", "q=%ff"):
        service.app.get(f"/phone/?{query}", status=400, headers=PAGE).mustcontain("That did not work")


def test_a_page_that_knows_everything_is_told_so(service: Service, alice: int, bob: int) -> None:
    def changes(*paths: str) -> list[bool]:
        """Whether anything on these pages is news to whoever saw them before."""
        return [service.app.get(path, headers={**PAGE, "If-None-Match": marks[path]}).status_int == 200 for path in paths]

    pages = "/phone/", f"/phone/{alice}", f"/phone/{bob}", f"/phone/{alice},{bob}"
    marks: dict[str, str] = {}

    def read() -> None:
        marks.update({path: service.app.get(path, headers=PAGE).headers["ETag"] for path in pages})

    read()
    assert changes(*pages) == [False, False, False, False]
    assert service.app.get(pages[1], headers={**PAGE, "If-None-Match": marks[pages[1]]}).body == b""
    service.sms(alice)
    assert changes(*pages) == [True, True, False, True]
    read()
    service.emulator.phone(alice).install_app()
    assert changes(*pages) == [True, True, False, True]
    read()
    service.emulator.phone(bob).suspend()
    assert changes(*pages) == [True, False, True, True]
    read()
    service.emulator.add_fault(route="sms", kind="drop")
    assert changes(*pages) == [True, False, False, False]
    read()
    service.emulator.advance(60)
    assert changes(*pages) == [True, True, True, True]


# -- what a phone shows


def test_nothing_in_the_pages_makes_a_sound() -> None:
    folder = Path(authy_wsgi.emulator.__file__).parent
    written = [path.read_text("utf-8") for path in (*folder.glob("templates/*"), *folder.glob("static/*"))]
    assert len(written) >= 9
    assert re.search(r"<audio|<video|\bAudio|speech|vibrate|\.play\(|media-src", "".join(written) + POLICY) is None


def test_a_code_is_copied_without_the_gap_in_it(service: Service, alice: int) -> None:
    sent = service.sms(alice)
    service.emulator.phone(alice).install_app()
    service.get(f"call/{alice}", {"force": "true"})
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    assert codes(page) == [sent, sent, service.phone(alice)["app_code"]]
    assert "user-select: all" in service.app.get("/phone/static/phone.css").text


def test_another_authenticator_shows_its_code_and_its_key(service: Service, alice: int, bob: int) -> None:
    assert "Another authenticator" not in service.app.get(f"/phone/{alice}", headers=PAGE)
    service.post(f"users/{alice}/secret")
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    page.mustcontain("Another authenticator", "new in")
    (code,) = codes(page)
    assert code == service.emulator.phone(alice).authenticator_code
    assert service.verify(alice, code)["success"] == "true"
    groups = page.html.select_one("details code").text.split()
    assert {len(group) for group in groups} == {4}
    assert base64.b32decode("".join(groups)) == service.emulator.state.phones["+14085555270"].authenticator_key
    left = int(page.html.select_one("#key small [data-left]").text)
    service.emulator.advance(left)
    assert codes(service.app.get(f"/phone/{alice}", headers=PAGE)) != [code]
    assert "Another authenticator" not in service.app.get(f"/phone/{bob}", headers=PAGE)


def test_hidden_details_and_logos_are_not_on_the_phone(service: Service, alice: int) -> None:
    ask(service, alice, hidden_details={"ip": "192.0.2.7"}, logos=[{"res": "default", "url": "https://logos.example/one.png"}])
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    page.mustcontain("Log in?", no=["192.0.2.7", "logos.example"])
    service.emulator.phone(alice).approve()
    service.app.get(f"/phone/{alice}", headers=PAGE).mustcontain("Log in?", no=["192.0.2.7", "logos.example"])


def test_a_request_says_how_long_it_can_be_answered(service: Service, alice: int) -> None:
    ask(service, alice, seconds_to_expire=252)
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    assert page.html.select_one(".request .stamp [data-left]").text == "4:12"
    service.emulator.advance(243)
    assert service.app.get(f"/phone/{alice}", headers=PAGE).html.select_one(".request .stamp [data-left]").text == "0:09"
    service.emulator.advance(9)
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    assert page.html.select_one(".outcome").text == "Expired"
    assert page.html.select(".request") == []
    ask(service, alice, seconds_to_expire=0)
    stamp = service.app.get(f"/phone/{alice}", headers=PAGE).html.select_one(".request .stamp").text
    assert re.fullmatch(r"\d\d:\d\d", stamp)
    service.emulator.phone(alice).deny()
    ask(service, alice, seconds_to_expire=86400)
    assert re.search(r"answer by \d\d:\d\d, \d+ \w{3}$", service.app.get(f"/phone/{alice}", headers=PAGE).html.select_one(".request .stamp").text)


def test_messages_look_like_what_they_are(service: Service, alice: int) -> None:
    service.get(f"call/{alice}", {"force": "true"})
    service.post(f"email/{alice}", {"force": "true"})
    service.sms(alice, action_message="Pay <b>12</b> EUR")
    sms, email, call = service.app.get(f"/phone/{alice}", headers=PAGE).html.select("article")
    assert [node["class"][1] for node in (sms, email, call)] == ["sms", "email", "call"]
    assert sms.p.text == f"Pay <b>12</b> EUR: Your Authy Demo code is {service.emulator.phone(alice).code}"
    assert email.h4.text == "Your Authy Demo code"
    assert call.select("p")[1].text.startswith("A voice says: “Your Authy Demo code is ")


def test_a_message_without_a_code_is_shown_as_it_is() -> None:
    service = Service(rules=Rules(install_links=True, custom_messages=True))
    alice = service.register()
    fields = {"country_code": "1", "phone_number": "408-555-5270", "via": "call"}
    service.post("phones/verification/start", {**fields, "custom_message": "No code today"})
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    page.mustcontain("Install the Authy app", "“No code today")
    assert codes(page) == []


def test_days_are_told_apart_when_the_clock_was_moved(service: Service, alice: int) -> None:
    def days() -> list[str]:
        return [it.text for it in service.app.get(f"/phone/{alice}", headers=PAGE).html.select("#feed > *") if it.name == "h3"]

    service.sms(alice)
    assert days() == []
    service.emulator.advance(86400)
    assert days() == ["Yesterday"]
    service.sms(alice)
    service.emulator.advance(5 * 86400)
    old = days()
    assert [re.sub(r"\d+", "#", day) for day in old] == ["# November #"] * 2
    service.sms(alice)
    assert days() == old
    service.emulator.set_clock(START)
    assert days()[-1] == "Today"


def test_a_user_is_suspended_and_restored(service: Service, alice: int) -> None:
    page = service.app.get(f"/phone/{alice}", headers=PAGE)
    assert "60017" not in page
    page = page.forms["suspend"].submit("suspended", headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("Suspended.", "60017")
    assert service.verify(alice, "1234567", status=503)["error_code"] == "60017"
    service.app.get("/phone/").mustcontain("suspended")
    page = page.forms["note"].submit("suspended", headers=PAGE, status=303).follow(headers=PAGE)
    assert "60017" not in page
    service.verify(alice, service.sms(alice))


def test_programs_suspend_and_restore(service: Service, alice: int) -> None:
    assert service.app.post(f"/phone/{alice}/suspended", {"suspended": "true"}).json == service.phone(alice)
    assert service.verify(alice, "1234567", status=503)["error_code"] == "60017"
    service.app.post("/phone/+14085555270/suspended", {"suspended": "False"})
    assert service.verify(alice, "1234567", status=401)["error_code"] == "60020"
    service.app.post(f"/phone/{alice}/suspended", {"suspended": "perhaps"}, status=400)
    service.app.post(f"/phone/{alice}/suspended", {}, status=400)
    service.app.post("/phone/99/suspended", {"suspended": "true"}, status=404)
    service.post("phones/verification/start", {"country_code": "1", "phone_number": "201-555-0123", "via": "sms"})
    assert "no user" in service.app.post("/phone/+12015550123/suspended", {"suspended": "true"}, status=409).json["message"]
    assert "Suspend" not in service.app.get("/phone/+12015550123", headers=PAGE)


def test_restoring_forgets_the_wrong_codes() -> None:
    service = Service(rules=Rules(wrong_codes=2))
    alice = service.register()
    for _ in range(2):
        service.verify(alice, "1234567", status=401)
    service.app.get(f"/phone/{alice}", headers=PAGE).mustcontain("Suspended.")
    service.app.post(f"/phone/{alice}/suspended", {"suspended": "false"})
    assert service.verify(alice, "1234567", status=401)["error_code"] == "60020"
    assert "Suspended." not in service.app.get(f"/phone/{alice}", headers=PAGE)


def test_a_removed_user_is_marked(service: Service, alice: int) -> None:
    service.post(f"users/{alice}/remove")
    service.app.get(f"/phone/{alice}", headers=PAGE).mustcontain("Removed by the application at")
    service.app.get("/phone/").mustcontain("removed")


# -- the controls


def test_a_fault_is_added_and_cleared_by_hand(service: Service, alice: int) -> None:
    form = service.app.get("/phone/", headers=PAGE).forms["fault"]
    assert [value for value, *_ in form["route"].options] == ["*", *ROUTE_NAMES]
    form["route"], form["code"], form["count"] = "verify", "60017", "2"
    page = form.submit(headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("error 60017, 2 times")
    assert service.verify(alice, "1234567", status=503)["error_code"] == "60017"
    form = page.forms["fault"]
    form["kind"], form["seconds"], form["count"] = "delay", "1.5", "0"
    page = form.submit(headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("error 60017, once", "late by 1.5 s, until cleared")
    service.get(f"users/{alice}/status")
    assert service.slept == [1.5]
    form["status"] = "99"
    form.submit(headers=PAGE, status=400).mustcontain("That fault cannot be")
    page = page.forms["faults-clear"].submit(headers=PAGE, status=303).follow(headers=PAGE)
    page.mustcontain("None: every call is answered as it should be.")


@pytest.mark.parametrize("kind", ["status", "body", "delay", "drop", "trickle"])
def test_every_kind_of_fault_is_put_into_words(service: Service, kind: str) -> None:
    service.emulator.add_fault(route="sms", kind=kind, status=418, body="{}")
    said = service.app.get("/phone/").html.select_one("#faults-waiting li").text
    assert re.fullmatch(r"sms: .{5,50}, once", said)


def test_callbacks_are_set_and_followed_on_the_overview() -> None:
    heard: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        heard.append(environ["REQUEST_METHOD"])
        start_response("200 OK" if environ["REQUEST_METHOD"] == "POST" else "500 No", [("Content-Type", "text/plain")])
        return [b"yes"]

    session = requests.Session()
    session.mount("http://app.test", WSGIAdapter(application))
    service = Service(callback_session=session, rules=Rules(callback_retries=1))
    alice = service.register()
    page = service.app.get("/phone/", headers=PAGE)
    page.mustcontain("Off. With an address")
    form = page.forms["callback-form"]
    form["url"] = "http://app.test/callback"
    form.submit(headers=PAGE, status=303)
    service.emulator.callbacks.wait()
    uuid = ask(service, alice)
    service.emulator.phone(alice).deny()
    service.emulator.callbacks.wait()
    page = service.app.get("/phone/", headers=PAGE)
    rows = [[cell.text.strip() for cell in row.select("td")][1:] for row in page.html.select("#deliveries tbody tr")]
    assert rows == [[f"denied {uuid[:8]}", "✓ 200"], ["test", "✓ 200"]]
    form = page.forms["callback-form"]
    form["method"] = "GET"
    form.submit(headers=PAGE, status=303)
    service.emulator.callbacks.wait()
    page = service.app.get("/phone/", headers=PAGE)
    assert page.html.select_one("#deliveries tbody tr").select("td")[2].text == "✕ 5002 tries"
    assert heard == ["POST", "POST", "GET", "GET"]
    form = page.forms["callback-form"]
    assert (form["url"].value, form["method"].value) == ("http://app.test/callback", "GET")
    form["url"] = "ftp://app.test/"
    form.submit(headers=PAGE, status=400).mustcontain("The callback URL must be a whole one")
    form["url"] = ""
    form.submit(headers=PAGE, status=303).follow(headers=PAGE).mustcontain("Off. With an address")
    ask(service, alice)
    service.emulator.phone(alice).approve()
    service.emulator.callbacks.wait()
    assert len(heard) == 4


def test_a_moved_clock_is_named_and_taken_back(service: Service) -> None:
    page = service.app.get("/phone/", headers=PAGE)
    assert "moved" not in page.html.select_one("#clock").text
    service.app.post("/phone/clock", {"advance": "90060"})
    page = service.app.get("/phone/", headers=PAGE)
    assert page.html.select_one("#clock").text.endswith("It was moved ahead by 1 day 1 h.")
    form = next(form for form in page.forms.values() if form.action.endswith("/clock"))
    form.submit("advance", index=3, headers=PAGE, status=303)
    assert service.emulator.now == START
    service.app.post("/phone/clock", {"advance": "-120"})
    service.app.get("/phone/").mustcontain("moved back by 2 min")


def test_the_state_is_there_to_download(service: Service, alice: int) -> None:
    link = service.app.get("/phone/", headers=PAGE).html.select_one("a[download]")
    assert service.app.get(link["href"]).json["users"][0]["authy_id"] == alice


# -- below a prefix


def test_everything_stays_below_the_prefix() -> None:
    service = Service()
    app = TestApp(DispatcherMiddleware(lambda environ, start_response: 1 / 0, {"/sim": service.emulator}), lint=True)
    alice, bob = service.register(), service.register("405-342-5699")
    ask(service, alice)
    service.emulator.add_fault(route="sms", kind="drop")
    service.emulator.phone(bob).suspend()
    service.post(f"users/{alice}/secret")
    for path in ("/sim/phone/", f"/sim/phone/?with={alice}", f"/sim/phone/{alice}", f"/sim/phone/{alice},{bob}", "/sim/phone/nobody"):
        page = app.get(path, headers=PAGE, expect_errors=True)
        addresses = [node.get(name) for name in ("href", "src", "action") for node in page.html.select(f"[{name}]")]
        assert [it for it in addresses if it and not it.startswith("/sim/phone/")] == []
        assert len(addresses) >= 4
    page = app.get(f"/sim/phone/{alice},{bob}", headers=PAGE)
    assert page.forms[f"note-{bob}"].submit("suspended", headers=PAGE, status=303).headers["Location"] == f"/sim/phone/{alice},{bob}"
    assert app.get(f"/sim/phone/side?who={alice}&who={bob}", status=303).headers["Location"] == f"/sim/phone/{alice},{bob}"
    assert app.get("/sim/phone/", headers=PAGE).forms["faults-clear"].submit(headers=PAGE, status=303).headers["Location"] == "/sim/phone/"


# -- the picture


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize(("wanted", "most"), [("", 300), ("512", 512), ("1", 100)])
def test_the_secret_is_a_picture_to_scan(service: Service, alice: int, wanted: str, most: int) -> None:
    secret = service.post(f"users/{alice}/secret", {"qr_size": wanted} if wanted else "")
    picture = service.app.get(secret["qr_code"].removeprefix("http://localhost:80"))
    assert secret["qr_code"].endswith(".png")
    assert picture.content_type == "image/png"
    assert picture.headers["Content-Security-Policy"] == POLICY
    width, height = size_of(picture.body)
    assert width == height
    assert most / 2 < width <= most


def test_the_key_uri_is_what_authenticators_read() -> None:
    key = b"12345678901234567890"
    assert key_uri(key, "Acorn: alice@example.com", "Acorn") == (
        "otpauth://totp/Acorn:alice%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acorn"
    )
    assert key_uri(key, "a b&c?d=e/f:g", "A: B").startswith("otpauth://totp/A%20%20B:a%20b%26c%3Fd%3De%2Ff%20g?secret=")


def test_the_longest_label_still_fits_into_a_picture(service: Service, alice: int) -> None:
    for label in ("é" * 200, "😀" * 200, "\t" * 200):
        url = service.post_json(f"users/{alice}/secret", {"label": label})["qr_code"]
        size_of(service.app.get(url.removeprefix("http://localhost:80")).body)
