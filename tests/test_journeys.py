"""What people do, from the app's page through ours and back, at the root and below a prefix."""

from __future__ import annotations

import pytest

from authy_wsgi import Profile
from tests.support import HTML, PHONE, Browser, World, form_to, way_form, words


@pytest.fixture(params=["", "/app"], ids=["root", "below a prefix"])
def world(request: pytest.FixtureRequest) -> World:
    return World(below=request.param)


def test_anonymous_requests_pass_untouched(world: World) -> None:
    response = world.browser(None).get("/public?x=1")
    assert response.text.startswith("app GET")
    assert "None []" in response.text


def test_first_sign_in_enrols_and_goes_on_to_the_page_that_was_asked_for(world: World) -> None:
    browser = world.browser("alice")
    first = browser.get("/members?tab=2&q=%C3%A9")
    assert first.status_int == 303
    assert first.headers["Location"].startswith(world.below + "/second-factor/?next=")
    page = browser.follow(first)
    assert "Add your phone" in words(page)
    page = browser.submit(form_to(page, "/enrol"), phone="408-555-5270", country="US", email="alice@example.com").follow()
    assert "Prove your phone" in words(page)
    assert "+1 ••• ••• 70" in words(page)
    done = browser.enter(page, world.phone().code)
    assert done.status_int == 303
    assert done.headers["Location"] == world.below + "/members?tab=2&q=%C3%A9"
    assert world.app_calls == 0
    members = done.follow()
    assert members.text == f"app GET {world.below}/members alice ['sms']"
    assert world.kinds() == ["sent", "enrolled", "approved"]


def test_sign_in_by_text_message_costs_two_calls(world: World, alice: Browser) -> None:
    world.emulator.calls.clear()
    page = alice.visit()
    assert "Confirm it is you" in words(page)
    page = alice.choose(page, "sms")
    assert "by text message to +1 ••• ••• 70" in words(page)
    assert alice.follow(alice.enter(page, world.phone().code)).text.endswith("alice ['sms']")
    assert [call.route for call in world.calls()] == ["sms", "verify"]


@pytest.mark.parametrize("spelling", ["{} ", " {}", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}{0[6]}", "{0[0]}{0[1]}{0[2]}-{0[3]}{0[4]}{0[5]}{0[6]}"])
def test_spaces_and_hyphens_in_a_code_are_welcome(world: World, alice: Browser, spelling: str) -> None:
    page = alice.choose(alice.visit(), "sms")
    assert alice.enter(page, spelling.format(world.phone().code)).status_int == 303


def test_wrong_code_says_so_and_counts(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    for left in (4, 3, 2):
        page = alice.enter(page, "1111111")
        assert page.status_int == 422
        assert f"{left} tries left" in words(page)
    page = alice.enter(page, "1111111")
    assert "1 try left" in words(page)
    page = alice.enter(page, "1111111")
    assert page.status_int == 429
    verified = len(world.calls("verify"))
    page = alice.enter(page, world.phone().code)
    assert page.status_int == 429
    assert len(world.calls("verify")) == verified
    assert world.app_calls == 1


def test_what_is_not_a_code_is_never_sent(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    world.emulator.calls.clear()
    for text in ("", "12345", "12345678901", "../sms", "٣٣٣٣٣٣٣", "1234567#", "1e6", "0x12345"):
        page = alice.enter(page, text)
        assert page.status_int == 422
        assert "A code has 6 to 10 digits" in words(page)
    assert world.calls() == []
    assert alice.enter(page, world.phone().code).status_int == 303


def test_push_approved(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    assert "Approve on your phone" in words(page)
    asked = world.phone().approvals[-1]
    assert asked["details"] == {"Site": "Acorn Ledger", "User": "alice", "From": "a browser", "At": "23:13 UTC, 14 November"}
    assert "Acorn Ledger" in words(page)
    assert alice.poll(page) == {"state": "pending"}
    world.phone().approve()
    world.clock.advance(1)
    answer = alice.poll(page)
    assert answer == {"state": "approved", "url": world.below + "/members"}
    assert alice.get().text.endswith("alice ['push']")


def test_push_denied_ends_the_attempt_and_pauses_pushes(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.phone().deny()
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "denied"
    assert world.kinds()[-1] == "denied"
    denied = alice.get("/second-factor/push")
    page = alice.visit()
    assert "Confirm it is you" in words(page)
    page = alice.choose(page, "push")
    assert page.status_int == 429
    assert "denied on your phone" in words(page)
    assert denied.status_int in (303, 403)
    # The code of the same sign-in cannot get in any more, a new one can.
    page = alice.choose(alice.visit(), "app")
    assert alice.follow(alice.enter(page, world.phone().app_code or "")).text.endswith("['app']")


def test_push_expired(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.clock.advance(125)
    assert alice.poll(page)["state"] == "expired"
    page = alice.get("/second-factor/push")
    assert "ran out" in words(alice.follow(page))
    again = alice.choose(alice.visit(), "push")
    assert "Approve on your phone" in words(again)


def test_push_without_script(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    assert page.html.find("noscript").find("meta")["http-equiv"] == "refresh"
    world.phone().approve()
    world.clock.advance(1)
    page = alice.get("/second-factor/push")
    assert world.app_calls == 1
    assert "Approved" in words(page)
    done = alice.submit(form_to(page, "/poll"))
    assert done.status_int == 303
    assert alice.get().text.endswith("['push']")


def test_looking_at_an_approved_push_grants_nothing(world: World, alice: Browser) -> None:
    world.phone().install_app()
    alice.choose(alice.visit(), "push")
    world.phone().approve()
    for _ in range(3):
        alice.get("/second-factor/push")
    assert alice.get("/members").status_int == 303
    assert "approved" not in world.kinds()[3:]


def test_code_from_the_app(world: World, alice: Browser) -> None:
    world.phone().install_app()
    world.emulator.calls.clear()
    page = alice.choose(alice.visit(), "app")
    assert world.calls() == []
    code = world.phone().app_code
    assert code is not None
    assert alice.follow(alice.enter(page, code)).text.endswith("['app']")
    assert [call.route for call in world.calls()] == ["verify"]


def test_text_message_that_is_not_needed_can_be_sent_anyway(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "sms")
    assert "You have the Authy app" in words(page)
    sent = len(world.phone().messages)
    page = alice.choose(page, "sms")
    assert len(world.phone().messages) == sent + 1
    assert "by text message" in words(page)
    assert alice.follow(alice.enter(page, world.phone().code)).text.endswith("['sms']")


def test_ignored_message_takes_the_apps_code(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "sms")
    code = world.phone().app_code
    assert code is not None
    assert alice.follow(alice.enter(page, code)).text.endswith("['app']")


def test_a_person_without_the_app_finds_it_under_i_have_it_now(world: World, alice: Browser) -> None:
    page = alice.visit()
    more = page.html.find("details")
    assert "I have the Authy app now" in more.get_text()
    assert {field["value"] for field in more.find_all("input", {"name": "channel"})} == {"push", "app"}
    page = alice.choose(page, "push")
    assert page.status_int == 422
    assert "not set up for your number" in words(page)
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.phone().approve()
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "approved"
    alice.sign_in("alice")
    assert alice.visit().html.find("details") is None


def test_a_wrong_number_is_corrected(world: World) -> None:
    browser = world.browser("alice")
    page = browser.visit()
    page = browser.submit(form_to(page, "/enrol"), phone="12", country="US", email="alice@example.com")
    assert page.status_int == 422
    assert "too short" in words(page)
    form = form_to(page, "/enrol")
    assert form["email"].value == "alice@example.com"
    assert form["country"].value == "US"
    page = browser.follow(browser.submit(form, phone="408-555-5271"))
    assert "71" in words(page)
    page = page.click("Wrong number")
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone="408-555-5270", country="US", email="alice@example.com"))
    assert "70" in words(page)
    wrong = world.phone("+14085555271").code
    assert browser.enter(page, wrong).status_int == 422
    assert browser.enter(page, world.phone().code).status_int == 303
    user = world.gate.settings.users.get("alice")
    assert user is not None
    assert [factor.label for factor in user.factors] == ["+1 ••• ••• 70"]


def test_abandoned_enrolment_stores_nothing(world: World) -> None:
    world.browser("alice").enrol()
    assert world.gate.settings.users.get("alice") is None
    assert "Add your phone" in words(world.browser("alice").visit())


def test_two_users_in_one_browser(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    assert alice.enter(page, world.phone().code).status_int == 303
    alice.sign_in("bob")
    assert "Add your phone" in words(alice.visit())
    assert world.app_calls == 1
    alice.enrolled("+14085555299")
    assert "bob" in alice.get().text
    alice.sign_in("alice")
    assert "Confirm it is you" in words(alice.visit())


def test_two_tabs_share_one_sign_in(world: World, alice: Browser) -> None:
    first, second = alice.visit("/one"), alice.visit("/two")
    first = alice.choose(first, "sms")
    second = alice.choose(second, "sms")
    assert second.status_int == 429
    code = world.phone().code
    done = alice.enter(second, code)
    assert done.headers["Location"].partition("?")[0].endswith("/second-factor/continue") is False
    assert "/members" not in done.headers["Location"]
    assert "/one alice" in alice.follow(alice.enter(first, code)).text
    assert [event.kind for event in world.events].count("approved") == 2


def test_two_tabs_opened_at_once_lose_nothing(world: World, alice: Browser) -> None:
    first = alice.visit()
    alice.http.reset()
    alice.visit()
    page = alice.submit(way_form(first, "sms"))
    assert page.status_int == 409
    assert "Nothing was lost" in words(page)
    page = alice.choose(page, "sms")
    assert alice.enter(page, world.phone().code).status_int == 303


def test_double_click_and_lost_answer_end_in_the_same_pass(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    code = world.phone().code
    assert alice.enter(page, code).status_int == 303
    first = alice.cookie()
    alice.forget_cookie()
    again = alice.enter(page, code)
    assert again.headers["Location"].partition("?")[0].endswith("/continue")
    page = again.follow(headers=HTML, status="*")
    assert "One more press" in words(page)
    done = alice.submit(form_to(page, "/continue"))
    assert alice.cookie() == first
    assert done.headers["Location"].endswith("/members")


def test_the_lost_answer_comes_again_for_half_a_minute_only(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    assert alice.enter(page, world.phone().code).status_int == 303
    alice.forget_cookie()
    world.clock.advance(31)
    page = alice.visit("/second-factor/continue")
    assert "This sign-in has ended" in words(page)
    assert alice.cookie() is None


def test_back_button_to_a_page_that_is_done(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    assert alice.enter(page, world.phone().code).status_int == 303
    assert alice.follow(alice.get("/second-factor/code")).status_int == 200
    again = alice.get(page.request.path_qs.removeprefix(world.below))
    assert alice.follow(again).text.endswith("alice ['sms']")


def test_sign_out_on_our_page_ends_every_copy(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, world.phone().code)
    stolen = alice.cookie()
    page = alice.get("/second-factor/")
    assert "You are signed in" in words(page)
    assert alice.submit(form_to(page, "/logout")).status_int == 303
    assert alice.cookie() is None
    alice.http.set_cookie("__Host-second_factor", stolen or "")
    assert alice.get("/members").status_int == 303


def test_lifetime_ends_the_pass(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, world.phone().code)
    world.clock.advance(43200)
    assert alice.get().status_int == 200
    world.clock.advance(1)
    assert alice.get().status_int == 303


def test_resend_has_a_countdown_and_then_works(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    assert "Send again in 0:30" in words(page)
    early = alice.choose(page, "sms")
    assert early.status_int == 429
    assert "just now" in words(early)
    assert form_to(early, "/code")
    world.clock.advance(30)
    late = alice.choose(page, "sms")
    assert late.status_int == 200
    messages = world.phone().messages
    assert messages[-1].code == messages[-2].code


def test_known_enrolment_shows_the_masked_number_and_takes_no_other() -> None:
    world = World(enrolment="known", profile=lambda _user: Profile(phone=PHONE, email="a@example.com"))
    browser = world.browser()
    page = browser.visit()
    assert "+1 ••• ••• 70" in words(page)
    form = form_to(page, "/enrol")
    assert "phone" not in form.fields
    fields = dict(form.submit_fields()) | {"phone": "+14085555299", "country": "US"}
    browser.follow(browser.http.post(form.action, fields, headers=HTML))
    assert [phone.number for phone in world.emulator.phones] == [PHONE]


def test_known_enrolment_without_a_number_says_whom_to_ask() -> None:
    page = World(enrolment="known", profile=lambda _user: None).browser().visit()
    assert page.status_int == 403
    assert "no mobile number for you" in words(page)


def test_no_enrolment_says_whom_to_ask() -> None:
    page = World(enrolment="none").browser().visit()
    assert page.status_int == 403
    assert "Ask them" in words(page)


def test_invited_enrolment_takes_one_invitation_once() -> None:
    world = World(enrolment="invited")
    token = world.backend.accounts.invite("alice", world.clock())
    assert "You need an invitation" in words(world.browser("alice").visit())
    mallory = world.browser("mallory")
    assert mallory.visit(f"/second-factor/enrol?invite={token}").status_int == 403
    browser = world.browser("alice")
    page = browser.visit(f"/second-factor/enrol?invite={token}")
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone=PHONE, email="a@example.com"))
    assert browser.enter(page, world.phone().code).status_int == 303
    world.backend.reset("alice")
    again = world.browser("alice").visit(f"/second-factor/enrol?invite={token}")
    assert again.status_int == 403


def test_logout_of_the_app_ends_the_pass() -> None:
    world = World(logout_url="/logout")
    browser = world.browser("alice", session="")
    browser.enrolled()
    held = browser.cookie() or ""
    assert browser.get("/logout").text.startswith("app GET /logout")
    assert browser.get("/members").status_int == 303
    stranger = world.browser("alice", session="")
    stranger.http.set_cookie("__Host-second_factor", held)
    assert stranger.get("/members").status_int == 303


def test_a_browser_that_keeps_no_cookies_gets_an_explanation() -> None:
    world = World()
    world.browser().enrolled()
    browser = world.browser()
    page = browser.visit()
    form = way_form(page, "sms")
    browser.http.reset()
    page = browser.submit(form)
    assert page.status_int == 400
    assert "does not keep our cookie" in words(page)


def test_a_pass_that_does_not_come_back_is_explained_instead_of_looping() -> None:
    world = World()
    browser = world.browser("alice", session="same")
    browser.enrolled()
    browser.http.reset()
    page = browser.visit()
    assert "does not keep our cookie" in words(page)
    page = page.click("Try again")
    assert "Confirm it is you" in words(page)
