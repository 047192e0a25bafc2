"""People at the running demo, in Chromium: what they press, what the phone says, where they end."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from .stage import Demo, Person, Watch, until

pytestmark = pytest.mark.browser

People = Callable[..., Person]


def steps_of(person: Person) -> list[str]:
    """What the demo printed of this person's sign-ins."""
    return re.findall(rf"^\d\d:\d\d:\d\d {person.name}  (.*)$", person.demo.printed(), re.MULTILINE)


def test_joining_enrolling_and_signing_in_by_text_message(people: People) -> None:
    alice = people()
    alice.join()
    alice.says(f"Welcome, {alice.name}. Your account is ready")
    alice.log_in()
    alice.arrives("Confirm your phone")
    alice.says(f"+1 ••• ••• {alice.number[-2:]}")
    alice.press("Send me a code")
    alice.arrives("Prove your phone")
    assert alice.page.evaluate("document.activeElement.id") == "code"
    alice.enter(alice.wrong())
    alice.says("That code is not right. Check it and try again. 4 tries left.")
    assert alice.page.get_by_label("Code").input_value() == ""
    code = alice.read_code()
    alice.enter(f"{code[:3]} {code[3:]}")
    alice.inside()
    alice.says("A code by text message")
    alice.log_out()
    alice.come_back()
    alice.press("Text message")
    alice.arrives("Enter your code")
    alice.enter(alice.read_code(lambda newest: newest != code))
    alice.inside()
    asked = "asked for the second step"
    first, second = [asked, "sent sms", "wrong code by sms", "enrolled by sms", "approved by sms"], [asked, "sent sms", "approved by sms"]
    assert until(lambda: len(steps_of(alice)) == 8, "the demo's lines")
    assert steps_of(alice) == first + second


def test_an_approval_moves_the_waiting_page_on_by_itself(people: People) -> None:
    alice = people()
    alice.become_member(app=True)
    alice.come_back()
    alice.ask_phone()
    asked = alice.page.locator(".asked dl")
    alice.phone.locator("#pending .request").wait_for()
    assert asked.inner_text().split() == alice.phone.locator("#pending dl").inner_text().split()
    assert {"Site", "User", "From", "At"} <= set(asked.locator("dt").all_inner_texts())
    heard = alice.listen()
    alice.answer("Approve")
    alice.inside()
    assert heard == ["Approved. Taking you on…"]
    alice.says("An approval on your phone")


def test_a_denial_lets_nobody_in_and_another_way_stays_open(people: People) -> None:
    alice = people()
    alice.become_member(app=True)
    alice.come_back()
    alice.ask_phone()
    heard = alice.listen()
    alice.answer("Deny")
    alice.arrives("Denied on your phone")
    assert heard == ["Denied on your phone."]
    alice.says("somebody knows your password")
    alice.go("members")
    alice.arrives("Confirm it is you")
    alice.press("Approve on my phone")
    alice.says("A request was denied on your phone, so we do not send more for now.")
    alice.press("Code from my app")
    alice.arrives("Enter your code")
    alice.enter(alice.demo.simulator.read(alice.number)["app_code"])
    alice.inside()


@pytest.mark.slow
def test_an_expired_request_leads_back_to_the_choice(people: People) -> None:
    alice = people()
    alice.become_member(app=True)
    alice.come_back()
    alice.ask_phone()
    heard = alice.listen()
    alice.demo.simulator.send("clock", advance=300)
    alice.says("The request ran out before you answered it. Nobody got in.")
    assert heard == ["The request has run out."]
    assert alice.heading == "Confirm it is you"
    alice.ask_phone()
    alice.answer("Approve")
    alice.inside()


@pytest.mark.slow
def test_with_the_app_a_text_message_is_ignored_and_then_sent_anyway(people: People) -> None:
    alice = people()
    alice.become_member()
    alice.install_app()
    alice.come_back()
    alice.press("Text message")
    alice.says("You have the Authy app, so no message was needed.")
    before = len(alice.demo.simulator.read(alice.number)["messages"])
    alice.press("Send the text message anyway")
    alice.says("by text message to")
    until(lambda: len(alice.demo.simulator.read(alice.number)["messages"]) == before + 1, "the message")
    newest = alice.demo.simulator.read(alice.number)["messages"][-1]["code"]
    alice.enter(alice.read_code(lambda shown: shown == newest))
    alice.inside()
    # The site has learnt of the app meanwhile: nothing hides its ways any more.
    alice.log_out()
    alice.come_back()
    assert alice.page.get_by_role("button", name="Approve on my phone").is_visible()


@pytest.mark.slow
def test_the_app_is_offered_to_those_who_have_got_it_since(people: People) -> None:
    alice = people()
    alice.become_member()
    alice.come_back()
    way = alice.page.get_by_role("button", name="Approve on my phone")
    assert not way.is_visible()
    alice.page.get_by_text("I have the Authy app now").click()
    way.click()
    alice.says("app")
    assert alice.heading == "Confirm it is you"
    alice.install_app()
    alice.page.get_by_text("I have the Authy app now").click()
    alice.ask_phone()
    alice.answer("Approve")
    alice.inside()


@pytest.mark.slow
def test_a_wrong_number_is_corrected_before_it_counts(people: People, flask: Demo) -> None:
    alice = people(demo=flask, name="alice", password="needle and thread")
    alice.log_in()
    alice.arrives("Add your phone")
    alice.page.select_option("[name=country]", "US")
    alice.page.get_by_label("E-mail").fill("alice@example.com")
    alice.page.get_by_label("Mobile number").fill("408-555")
    alice.press("Send me a code")
    alice.says("This number is too short.")
    assert alice.page.get_by_label("Mobile number").get_attribute("aria-invalid") == "true"
    assert alice.page.get_by_label("Mobile number").input_value() == "408-555"
    for number in ("408-555-9998", alice.number):
        alice.page.get_by_label("Mobile number").fill(number)
        alice.press("Send me a code")
        alice.arrives("Prove your phone")
        alice.says(f"+1 ••• ••• {number[-2:]}")
        if number != alice.number:
            alice.page.get_by_role("link", name="Wrong number? Change it").click()
            alice.arrives("Add your phone")
            alice.page.select_option("[name=country]", "US")
            alice.page.get_by_label("E-mail").fill("alice@example.com")
    alice.enter(alice.demo.simulator.read("408-555-9998")["messages"][-1]["code"])
    alice.says("That code is not right.")
    alice.enter(alice.read_code())
    alice.inside()


def test_the_second_user_of_a_browser_gets_nothing_of_the_first(people: People, bottle: Demo) -> None:
    alice = people()
    bob = people(context=alice.context)
    alice.become_member(app=True)
    bob.become_member()
    alice.come_back()
    alice.press("Code from my app")
    alice.enter(bottle.simulator.read(alice.number)["app_code"])
    alice.inside()
    alice.log_out()
    bob.come_back()
    bob.says(f"Signed in as {bob.name}")
    assert alice.number[-2:] == bob.number[-2:] or alice.number[-2:] not in bob.page.inner_text("main")
    bob.press("Text message")
    bob.arrives("Enter your code")
    bob.enter(bottle.simulator.read(alice.number)["app_code"])
    bob.says("That code is not right.")
    bob.enter(bottle.simulator.read(bob.number)["messages"][-1]["code"])
    bob.inside()


@pytest.mark.slow
def test_of_two_tabs_the_slower_one_arrives_too(people: People) -> None:
    alice = people()
    alice.become_member()
    alice.come_back()
    other = alice.context.new_page()
    other.goto(alice.demo.url + "members")
    alice.press("Text message")
    alice.arrives("Enter your code")
    # The second tab asks again at once: it gets the field for the code that is on its way, and is told why no second message came.
    other.get_by_role("button", name="Text message").click()
    other.get_by_text("Wait a moment before you ask for another one.").wait_for()
    code = alice.read_code()
    other.get_by_label("Code").fill(code)
    other.get_by_role("button", name="Continue").click()
    alice.inside(other)
    alice.enter(code)
    alice.inside()
    assert steps_of(alice).count("approved by sms") == 2


def test_the_back_button_after_the_sign_in_does_no_harm(people: People) -> None:
    alice = people()
    alice.become_member()
    alice.come_back()
    alice.press("Text message")
    alice.arrives("Enter your code")
    code = alice.demo.simulator.read(alice.number)["messages"][-1]["code"]
    alice.enter(code)
    alice.inside()
    alice.page.go_back()
    alice.page.wait_for_load_state()
    if alice.page.get_by_label("Code").is_visible():
        alice.enter(code)
    alice.inside()
    assert not [step for step in steps_of(alice) if step.startswith("wrong")]


@pytest.mark.slow
def test_a_double_click_on_continue_counts_once(people: People) -> None:
    alice = people()
    alice.become_member()
    alice.come_back()
    alice.page.get_by_role("button", name="Text message").dblclick()
    alice.arrives("Enter your code")
    alice.page.get_by_label("Code").fill(alice.demo.simulator.read(alice.number)["messages"][-1]["code"])
    alice.page.get_by_role("button", name="Continue").dblclick()
    alice.inside()
    assert steps_of(alice)[4:] == ["asked for the second step", "sent sms", "approved by sms"]


def test_without_script_both_ways_in_work(people: People, chromium: Any) -> None:
    alice = people(context=chromium.new_context(java_script_enabled=False))
    alice.join()
    alice.log_in()
    alice.press("Send me a code")
    alice.arrives("Prove your phone")
    alice.install_app()
    alice.enter(alice.read_code())
    alice.inside()
    alice.log_out()
    alice.come_back()
    alice.ask_phone()
    # Playwright finds no text in noscript, but a person reads it.
    assert "This page looks for your answer every three seconds." in alice.page.inner_text("#push")
    alice.answer("Approve")
    # It reloads itself until the answer is there, and then waits for a press.
    alice.page.get_by_role("button", name="Continue").click()
    alice.inside()
    alice.says("An approval on your phone")


@pytest.mark.slow
def test_the_waiting_page_carries_on_while_nothing_answers(people: People, watch: Watch) -> None:
    watch.expected += ["ERR_INTERNET_DISCONNECTED"]
    alice = people()
    alice.become_member(app=True)
    alice.come_back()
    alice.ask_phone()
    heard = alice.listen()
    alice.demo.simulator.send("faults", route="approval_requests/status", kind="drop", count=0)
    alice.says("The phone service does not answer just now. We keep trying…")
    alice.context.set_offline(True)
    alice.says("The connection is gone. We keep trying…")
    alice.context.set_offline(False)
    alice.demo.simulator.send("faults/clear")
    alice.says("Waiting for your answer…")
    alice.answer("Approve")
    alice.inside()
    assert heard[:2] == ["The phone service does not answer just now. We keep trying…", "The connection is gone. We keep trying…"]
    assert heard[-1] == "Approved. Taking you on…"


@pytest.mark.slow
def test_the_keyboard_is_enough(people: People) -> None:
    alice = people()
    alice.become_member()
    page, press = alice.page, alice.page.keyboard.press

    def tab_to(name: str) -> None:
        """Press Tab until the focus is on what is called so, and see that it shows."""
        for _ in range(20):
            press("Tab")
            focused = page.locator(":focus")
            if focused.count() and name in (focused.inner_text() or focused.get_attribute("name") or ""):
                assert float(focused.evaluate("(node) => parseFloat(getComputedStyle(node).outlineWidth)")) >= 2
                return
        raise AssertionError(f"Tab does not lead to {name}")

    alice.go("login")
    tab_to("name")
    page.keyboard.type(alice.name)
    tab_to("password")
    page.keyboard.type(alice.password)
    press("Enter")
    alice.arrives("Confirm it is you")
    tab_to("Text message")
    press("Enter")
    alice.arrives("Enter your code")
    # The field has the focus already.
    page.keyboard.type(alice.demo.simulator.read(alice.number)["messages"][-1]["code"])
    press("Enter")
    alice.inside()
