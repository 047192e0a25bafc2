from __future__ import annotations

from typing import Any

import pytest

from authy_wsgi.emulator import Emulator

from .service import KEY, START, Service

PAGE = {"Accept": "text/html,application/xhtml+xml"}
STRIP = "Simulator. No real messages are sent, no real phone is asked."


def ask(service: Service, who: int, **body: Any) -> str:
    service.emulator.phone(who).install_app()
    body = {"message": "Log in?", "details": {"User": "alice"}, **body}
    uuid: str = service.post_json(f"onetouch/users/{who}/approval_requests", body)["approval_request"]["uuid"]
    return uuid


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
    for path in ("/phone/", f"/phone/{alice}", "/phone/+14085555270", "/phone/nobody"):
        page = service.app.get(path, headers=PAGE, expect_errors=True)
        page.mustcontain(STRIP, no=["<script>alert", "style=", "onclick", "http://example", "<style"])
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
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
    service.app.get("/phone/").click("201-555-0123").mustcontain("A voice says: Your Authy Demo verification code is")


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
    assert "E-mail to alice@example.com" in text


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
    ):
        service.app.post(path, form, status=403, headers=headers)
    assert service.phone(alice)["approvals"][0]["status"] == "pending"
    service.app.post(f"/phone/{alice}/app", {"installed": "true"}, headers={"Origin": "http://localhost:80", "Sec-Fetch-Site": "same-origin"})


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "a b", "localhost:x", "@localhost"])
def test_other_names_are_not_answered(service: Service, alice: int, host: str) -> None:
    for path in ("/phone/", f"/phone/{alice}.json", "/", "/qr/x.svg", f"/protected/json/users/{alice}/status?api_key={KEY}"):
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
