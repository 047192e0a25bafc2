"""The pages in a real browser: what is new appears by itself and disturbs nobody, in light and dark, without a sideways scroll, within the policy."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import authy_wsgi.emulator
from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.emulator.server import Server
from authy_wsgi.settings import contrast
from tests.browser.test_pages import FAULTS, SIDEWAYS

from .service import KEY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
MILLISECONDS = 15_000
NARROW, WIDE = {"width": 360, "height": 640}, {"width": 1280, "height": 800}
STATIC = Path(authy_wsgi.emulator.__file__).parent / "static"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium here: these pages were looked at by nobody"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], Server]]:
    """Starts a server; it listens until every tab of the test is closed."""
    with ExitStack() as servers:
        yield lambda app: servers.enter_context(Server(app))


@pytest.fixture
def running(serve: Callable[[Any], Server]) -> Server:
    return serve(Emulator(KEY, app_name="Acorn Ledger"))


@pytest.fixture
def open_page(browser: Any, serve: Callable[[Any], Server]) -> Iterator[Callable[..., Any]]:
    """Opens an address in a tab of its own; nothing may have gone wrong in it in the end. The tabs go before the servers: what a page is loading, it gets."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def opened(url: str, **look: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": WIDE, **look}))
        contexts[-1].set_default_timeout(MILLISECONDS)
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(f"{message.text} ({message.location.get('url')})"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def ask(server: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    return requests.request("GET" if body is None else "POST", server.url + path, json=body, headers={"X-Authy-API-Key": KEY}, timeout=5).json()


def register(server: Server, number: str = "408-555-5270", email: str = "alice@example.com", below: str = "") -> int:
    authy_id: int = ask(server, below + "/protected/json/users/new", {"user": {"email": email, "cellphone": number, "country_code": 1}})["user"]["id"]
    return authy_id


def sms(server: Server, who: int) -> str:
    """Send an SMS; its code."""
    ask(server, f"/protected/json/sms/{who}?force=true")
    return server.emulator.phone(who).code


def request(server: Server, who: int, message: str, **more: Any) -> str:
    """Send an approval request; its uuid."""
    server.emulator.phone(who).install_app()
    uuid: str = ask(server, f"/onetouch/json/users/{who}/approval_requests", {"message": message, **more})["approval_request"]["uuid"]
    return uuid


def glance(page: Any) -> None:
    """Look at the tab again: then the page asks the simulator at once, not when its second is over; and wait until it has seen to the answer."""
    with page.expect_response(lambda answer: answer.request.method == "GET" and answer.status in (200, 304)) as heard:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    heard.value.finished()
    page.evaluate("() => new Promise((done) => setTimeout(done))")


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), pytest.param(1280, "light", marks=pytest.mark.slow)])
def test_what_is_new_appears_by_itself(open_page: Callable[..., Any], running: Server, width: int, scheme: str) -> None:
    page = open_page(running.url + "/", color_scheme=scheme, viewport={"width": width, "height": 800})
    alice = register(running)
    page.click("text=+1 408-555-5270")
    page.click("text=Install")
    page.wait_for_selector("text=Authy app installed")
    page.wait_for_selector(f"#feed >> text={sms(running, alice)}")
    request(running, alice, "Log in to Acorn Ledger?", details={"From": "Firefox on Linux"})
    page.wait_for_selector("text=Log in to Acorn Ledger?")
    assert page.inner_text("#status") == "New: Log in to Acorn Ledger?"
    assert page.title() == "(1) +1 408-555-5270 · Simulator"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.click("text=Approve")
    page.wait_for_selector("text=✓ Approved")
    assert running.emulator.phone(alice).approvals[0]["status"] == "approved"
    assert page.title() == "+1 408-555-5270 · Simulator"


def test_phones_side_by_side_live_on_one_page(open_page: Callable[..., Any], running: Server) -> None:
    alice, bob = register(running), register(running, "405-342-5699")
    page = open_page(running.url + "/phone/")
    page.check(f"#tick-{alice}")
    page.check(f"#tick-{bob}")
    page.click("text=Side by side")
    page.evaluate("window.stayed = true")
    request(running, alice, "Log in, Alice?")
    glance(page)
    page.wait_for_selector(f"#phone-{alice} >> text=Log in, Alice?")
    assert page.inner_text("#status") == "New: +1 408-555-5270: Log in, Alice?"
    code = sms(running, bob)
    glance(page)
    page.wait_for_selector(f"#phone-{bob} >> text={code}")
    assert page.inner_text("#status") == f"New: +1 405-342-5699: SMS: Your Acorn Ledger code is {code}"
    assert page.title() == "(1) 2 phones · Simulator"
    page.click(f"#phone-{alice} >> text=Approve")
    page.wait_for_selector(f"#phone-{alice} >> text=✓ Approved")
    assert page.inner_text("#status") == "New: +1 408-555-5270: Approved: Log in, Alice?"
    page.click(f"#phone-{bob} >> text=Install")
    page.wait_for_selector(f"#phone-{bob} >> text=Authy app installed")
    assert page.evaluate("window.stayed") is True
    page.click("text=Add a phone")
    page.click("text=Back to the phones")
    page.click(f"#phone-{bob} >> .close")
    page.wait_for_selector("#phone")
    assert page.url == f"{running.url}/phone/{alice}"


def test_they_stand_beside_each_other_where_there_is_room(open_page: Callable[..., Any], running: Server) -> None:
    whos = ",".join(str(register(running, f"408-555-527{number}")) for number in range(6))
    page = open_page(f"{running.url}/phone/{whos}")

    def corners() -> list[tuple[float, float]]:
        return [(box["x"], box["y"]) for box in (phone.bounding_box() for phone in page.query_selector_all(".phone"))]

    assert len({y for _, y in corners()}) == 2
    assert len({x for x, _ in corners()}) == 3
    page.set_viewport_size(NARROW)
    assert len({x for x, _ in corners()}) == 1
    assert len({y for _, y in corners()}) == 6


@pytest.mark.parametrize("viewport", [NARROW, WIDE, {"width": 320, "height": 480}], ids=lambda size: f"{size['width']} px")
def test_the_pages_fit_and_are_well_built(open_page: Callable[..., Any], running: Server, viewport: dict[str, int]) -> None:
    alice, bob = register(running, email="alice.featherstonehaugh@a-company-with-a-long-name.example.com"), register(running, "405-342-5699")
    page = open_page(running.url + "/phone/", viewport=viewport)
    request(running, alice, "A" * 150, details={"B" * 20: "C" * 150, "User": "alice"}, seconds_to_expire=300)
    ask(running, f"/protected/json/users/{alice}/secret", {})
    for kind in ("sms", "call"):
        ask(running, f"/protected/json/{kind}/{alice}?force=true")
    ask(running, f"/protected/json/email/{alice}", {"force": "true"})
    running.emulator.phone(bob).suspend()
    running.emulator.add_fault(route="approval_requests/create", kind="status", code=60017)
    running.emulator.callbacks.configure("http://127.0.0.1:9/a-very-long-callback-address/which-has-no-place-to-break", "GET")
    running.emulator.callbacks.wait()
    for path in ("/phone/", f"/phone/?with={alice}", "/phone/?q=alice", f"/phone/{alice}", f"/phone/{bob}", f"/phone/{alice},{bob}"):
        page.goto(running.url + path)
        for more in page.query_selector_all("summary"):
            more.click()
        assert (path, page.evaluate(FAULTS)) == (path, [])
        assert (path, page.evaluate(SIDEWAYS)) == (path, [])


def test_the_focus_stays_where_it_was(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    request(running, alice, "First?")
    page = open_page(f"{running.url}/phone/{alice}")
    page.focus("text=Deny")
    before = page.evaluate("document.activeElement.id")
    request(running, alice, "Second?")
    glance(page)
    page.wait_for_selector("text=Second?")
    assert page.evaluate("document.activeElement.id") == before != ""
    # What is answered is gone; the focus stays on that phone, and on no button that would answer the next request.
    page.keyboard.press("Enter")
    page.wait_for_selector("text=✕ Denied")
    page.wait_for_function("() => document.activeElement.id === 'screen'")
    page.keyboard.press("Enter")
    glance(page)
    assert [it["status"] for it in running.emulator.phone(alice).approvals] == ["denied", "pending"]


def test_older_requests_keep_their_place_and_newer_ones_come_below(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    first = request(running, alice, "First?")
    page = open_page(f"{running.url}/phone/{alice}")
    before = page.locator(f"#approve-{first}").bounding_box()
    sms(running, alice)
    second = request(running, alice, "Second?")
    glance(page)
    page.wait_for_selector(f"#approve-{second}")
    assert page.locator(f"#approve-{first}").bounding_box() == before


def test_a_press_that_has_begun_ends_on_the_same_button(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    first, second = request(running, alice, "First?"), request(running, alice, "Second?")
    page = open_page(f"{running.url}/phone/{alice}", viewport={"width": 1280, "height": 1000})
    box = page.locator(f"#approve-{second}").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    running.emulator.phone(alice).deny(first)
    glance(page)
    glance(page)
    assert page.locator(f"#approve-{second}").bounding_box() == box
    page.mouse.up()
    page.wait_for_selector("text=✓ Approved")
    page.wait_for_selector("text=✕ Denied")
    assert {it["uuid"]: it["status"] for it in running.emulator.phone(alice).approvals} == {first: "denied", second: "approved"}


def test_what_is_read_stays_where_it_is(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    for _ in range(20):
        sms(running, alice)
    page = open_page(f"{running.url}/phone/{alice}")
    page.evaluate("document.querySelector('.screen').scrollTop = 600")
    page.evaluate("getSelection().selectAllChildren(document.querySelectorAll('.bubble')[9].querySelector('p'))")
    before, selected = page.locator(".bubble").nth(9).bounding_box(), page.evaluate("getSelection().toString()")
    sms(running, alice)
    glance(page)
    page.wait_for_selector(".bubble >> nth=20", state="attached")
    assert page.locator(".bubble").nth(10).bounding_box()["y"] == pytest.approx(before["y"], abs=1)
    assert page.evaluate("getSelection().toString()") == selected != ""


def test_what_is_being_typed_and_ticked_stays(open_page: Callable[..., Any], running: Server) -> None:
    alice, bob = register(running), register(running, "405-342-5699")
    page = open_page(running.url + "/phone/")
    page.click("text=Have something go wrong")
    page.select_option("[name=route]", "verify")
    page.fill("[name=code]", "600")
    page.fill("[name=q]", "555")
    page.check(f"#tick-{alice}")
    page.fill("[name=url]", "http://127.0.0.1:9/half-")
    running.emulator.add_fault(route="sms", kind="drop")
    request(running, bob, "Log in?")
    register(running, "408-555-5299")
    glance(page)
    page.wait_for_selector("text=+1 408-555-5299")
    page.wait_for_selector("text=1 to answer")
    page.wait_for_selector("text=sms: connection dropped, once")
    page.keyboard.type("done")
    fields = {name: page.input_value(f"[name={name}]") for name in ("route", "code", "q", "url")}
    assert fields == {"route": "verify", "code": "600", "q": "555", "url": "http://127.0.0.1:9/half-done"}
    assert page.is_checked(f"#tick-{alice}")
    assert page.locator("#faults-more").get_attribute("open") is not None


def test_a_list_that_is_pointed_at_keeps_its_order(open_page: Callable[..., Any], running: Server) -> None:
    alice, bob = register(running), register(running, "405-342-5699")
    page = open_page(running.url + "/phone/")
    rows = page.locator(".phones b")
    before = rows.all_inner_texts()
    last = alice if before[-1] == "+1 408-555-5270" else bob
    page.hover(".phones li >> nth=1")
    request(running, last, "Log in?")
    register(running, "408-555-5299")
    glance(page)
    page.wait_for_selector("text=+1 408-555-5299")
    page.wait_for_selector("text=1 to answer")
    assert rows.all_inner_texts() == [*before, "+1 408-555-5299"]
    page.mouse.move(0, 0)
    running.emulator.advance(5)
    sms(running, last)
    glance(page)
    page.wait_for_selector("text=SMS at")
    assert rows.all_inner_texts()[0] == before[-1]


@pytest.mark.slow
def test_codes_count_down_and_change_by_themselves(open_page: Callable[..., Any], serve: Callable[[Any], Server]) -> None:
    running = serve(Emulator(KEY, rules=Rules(app_code_step=3)))
    alice = register(running)
    running.emulator.phone(alice).install_app()
    page = open_page(f"{running.url}/phone/{alice}")
    code = page.locator("#app .code")
    before = code.inner_text()
    lefts = page.evaluate(
        """() => new Promise((done) => {
          const seen = new Set(), span = document.querySelector("#app [data-left]"), hand = document.querySelector("#app .hand");
          const look = () => {
            seen.add(span.textContent + "/" + hand.getAttribute("stroke-dasharray"));
            if (seen.size < 3) requestAnimationFrame(look); else done([...seen]);
          };
          look();
        })"""
    )
    assert all(re.fullmatch(r"(\d)/\1 3", left) for left in lefts)
    page.wait_for_function("before => document.querySelector('#app .code').innerText !== before", arg=before)
    assert code.inner_text().replace(" ", "").isdigit()


@pytest.mark.slow
def test_the_last_minutes_of_a_request_tick_and_it_expires(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    request(running, alice, "Log in?", seconds_to_expire=3)
    page = open_page(f"{running.url}/phone/{alice}")
    page.wait_for_selector("text=/^0:0[12]$/")
    page.wait_for_selector(".outcome >> text=Expired")
    assert page.locator(".request").count() == 0
    assert page.inner_text("#status") == "New: Expired: Log in?"


def test_one_click_takes_a_whole_code_without_its_gap(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    running.emulator.phone(alice).install_app()
    ask(running, f"/protected/json/call/{alice}?force=true")
    page = open_page(f"{running.url}/phone/{alice}")
    page.click("#feed .code")
    assert page.evaluate("getSelection().toString()") == running.emulator.phone(alice).code
    page.click("#app .code")
    assert re.fullmatch(r"\d{7}", page.evaluate("getSelection().toString()"))


def test_the_callback_is_set_by_hand_and_its_deliveries_appear(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    page = open_page(running.url + "/phone/")
    # The simulator itself is not an application: it answers with a redirect, which is no 2xx.
    page.fill("[name=url]", running.url + "/")
    page.click("text=Save and test")
    page.wait_for_selector("#deliveries >> text=✕ 303")
    assert page.inner_text("#status") == "Saved."
    request(running, alice, "Log in?")
    running.emulator.phone(alice).approve()
    running.emulator.callbacks.wait()
    glance(page)
    page.wait_for_selector("#deliveries >> text=approved")
    page.fill("[name=url]", "")
    page.click("text=Save and test")
    page.wait_for_selector("text=Off. With an address")


def test_what_the_simulator_refuses_is_said(browser: Any, running: Server) -> None:
    page = browser.new_page()
    page.set_default_timeout(MILLISECONDS)
    page.goto(running.url + "/phone/")
    page.click("text=Have something go wrong")
    page.fill("[name=status]", "99")
    page.click("text=Add")
    page.wait_for_selector("#status >> text=That fault cannot be: status must be from 200 to 599.")
    assert page.input_value("[name=status]") == "99"
    page.close()


@pytest.mark.slow
def test_a_simulator_that_is_gone_is_missed(browser: Any, running: Server) -> None:
    alice = register(running)
    page = browser.new_page()
    page.set_default_timeout(MILLISECONDS)
    page.goto(f"{running.url}/phone/{alice}")
    with Server(Emulator(KEY)) as new:
        requests.post(running.url + "/phone/state", json=requests.get(new.url + "/phone/state.json", timeout=5).json(), timeout=5)
    page.wait_for_selector("#status >> text=This phone is gone. Was the simulator started anew?")
    register(running)
    page.wait_for_selector("#status:empty", state="attached")
    page.route("**/*", lambda route: route.abort())
    page.wait_for_selector("#status >> text=The simulator does not answer. Is it still running?")
    page.close()


@pytest.mark.slow
def test_nothing_moves_for_those_who_ask_for_that(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    moves = {}
    for wish in ("reduce", "no-preference"):
        page = open_page(f"{running.url}/phone/{alice}", reduced_motion=wish)
        request(running, alice, f"{wish}?")
        glance(page)
        page.wait_for_selector(".request.fresh")
        moves[wish] = page.evaluate("getComputedStyle(document.querySelector('.request.fresh')).animationName")
    assert moves == {"reduce": "none", "no-preference": "arrive, glow"}


def test_the_keyboard_reaches_everything(open_page: Callable[..., Any], running: Server) -> None:
    alice = register(running)
    request(running, alice, "Log in?")
    ask(running, f"/protected/json/users/{alice}/secret", {})
    page = open_page(f"{running.url}/phone/{alice}")
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.id || document.activeElement.innerText).trim().split('-')[0]"))
    assert reached == ["‹ All phones", "+ Add a phone", "screen", "deny", "approve", "Show key", "app", "suspend"]


def test_the_pages_work_without_script(open_page: Callable[..., Any], running: Server) -> None:
    alice, bob = register(running), register(running, "405-342-5699")
    page = open_page(f"{running.url}/phone/{alice}", java_script_enabled=False)
    page.click("text=Install")
    assert running.emulator.phone(alice).app_installed
    # Chromium keeps noscript as text when it is only told to run no script.
    assert '<meta http-equiv="refresh" content="5">' in page.content()
    assert "Reload" in page.content()
    request(running, bob, "Log in, Bob?")
    page.goto(running.url + "/phone/")
    assert "http-equiv" not in page.content()
    page.check(f"#tick-{alice}")
    page.check(f"#tick-{bob}")
    page.click("text=Side by side")
    page.click("text=Deny")
    assert page.locator(".phone").count() == 2
    assert page.inner_text(f"#phone-{bob} .outcome") == "✕ Denied"
    page.click(f"#phone-{alice} >> text=Suspend")
    page.click(f"#phone-{alice} >> text=Restore")
    page.click("text=All phones")
    page.click("text=Have something go wrong")
    page.select_option("[name=route]", "sms")
    page.click("text=Add")
    assert "sms: HTTP 503, once" in page.inner_text("#faults")


def test_below_a_prefix_everything_works_too(open_page: Callable[..., Any], serve: Callable[[Any], Server]) -> None:
    emulator = Emulator(KEY)
    server = serve(DispatcherMiddleware(NotFound(), {"/sim": emulator}))
    server.emulator = emulator
    alice, bob = register(server, below="/sim"), register(server, "405-342-5699", below="/sim")
    page = open_page(server.url + "/sim/phone/")
    page.check(f"#tick-{alice}")
    page.check(f"#tick-{bob}")
    page.click("text=Side by side")
    page.click(f"#phone-{bob} >> text=Install")
    page.wait_for_selector(f"#phone-{bob} >> text=Authy app installed")
    assert page.url in (f"{server.url}/sim/phone/{alice},{bob}", f"{server.url}/sim/phone/{bob},{alice}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(scheme: str) -> None:
    sheets = re.findall(r":root \{(.*?)\n\s*\}", (STATIC / "phone.css").read_text(encoding="utf-8"), re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+);", sheet)) for sheet in sheets)
    colours = {name: colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:]) for name, colour in light.items()}
    colours |= dark if scheme == "dark" else {}
    assert len(colours) >= 14
    pairs = [(text, on) for text in ("text", "quiet") for on in ("ground", "card", "soft")]
    pairs += [("accent", "ground"), ("accent", "card"), ("good", "card"), ("bad", "card"), ("on-accent", "accent"), ("on-strip", "strip"), ("ground", "text")]
    faint = {f"{text} on {on}": round(contrast(colours[text], colours[on]), 2) for text, on in pairs if contrast(colours[text], colours[on]) < 4.5}
    assert faint == {}
    assert contrast(colours["field"], colours["card"]) >= 3
