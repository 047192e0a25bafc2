"""A form that met the wall, in Chromium: what the person sees and presses, and what the app gets in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Error
from waitress import create_server

from authy_wsgi import NOT_NEEDED, Login, Need, by_path
from tests.support import PHONE, World

from .conftest import MILLISECONDS
from .stage import PATIENCE, Watch, until

pytestmark = pytest.mark.browser

# Names that mean something to a form, to us, or to HTML; texts that an attribute or a newline could change.
PAGE = """<!doctype html><html lang="en"><title>Order</title><h1>Order</h1>
<form method="post" action="/pay/caf%C3%A9?order=1&amp;order=2">
<label>Amount <input name="amount" value="100.50"></label>
<label>Note <textarea name="note"></textarea></label>
<select name="to" multiple><option selected>Zoë &amp; Søn &lt;ß&gt;</option><option selected>日本 😀</option></select>
<input type="hidden" name="csrf" value="the app's own"><input type="hidden" name="next" value="//elsewhere.example"><input type="hidden" name="of" value="x">
<input type="hidden" name="action" value="/evil"><input type="hidden" name="method" value="get"><input type="hidden" name="_charset_">
<input type="hidden" name="empty" value=""><input type="hidden" name='&quot;><b>' value="  spaces  "><input type="checkbox" name="agreed" checked>
<button name="submit" value="now">Pay</button></form>"""
NOTE = "line one\nline two \t é\n\n<last> \"quoted\" & 'so'"

# Somebody who presses what is there to press, a moment after the script has, and then says so.
IMPATIENT = """setTimeout(() => {
  const button = document.querySelector("form[data-press] button");
  if (button) { button.click(); setTimeout(() => fetch("/pressed"), 300); }
}, 100)"""


class Shop:
    """An app with a form, which notes what arrives; `answers` is where it leads on, `hold` makes it take its time."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, bytes]] = []
        self.answers = ""
        self.arrived, self.pressed, self.free = threading.Event(), threading.Event(), threading.Event()
        self.free.set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        page = PAGE
        if environ["PATH_INFO"] == "/pressed":
            self.pressed.set()
        if environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            self.sent.append((environ["PATH_INFO"] + "?" + environ["QUERY_STRING"], environ["CONTENT_TYPE"], body))
            self.arrived.set()
            assert self.free.wait(PATIENCE)
            if self.answers:
                start_response("303 See Other", [("Location", self.answers)])
                return [b""]
            page = "<!doctype html><html lang=en><title>Paid</title><h1>Paid</h1>"
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [page.encode()]


class Site:
    """The shop behind the gate, on a port."""

    def __init__(self) -> None:
        self.shop = Shop()
        policy = by_path({"/pay": Need(max_age=60)}, otherwise=NOT_NEEDED)
        self.world = World(app=self.shop, validate=False, https=False, policy=policy)
        self._server = create_server(self._signed_in, host="127.0.0.1", port=0, threads=4)
        self.url = f"http://127.0.0.1:{self._server.effective_port}/"
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    def _signed_in(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["site.login"] = Login("alice", "login")
        answer: Iterable[bytes] = self.world.wsgi(environ, start_response)
        return answer

    def close(self) -> None:
        self.shop.free.set()
        self._server.close()
        self._thread.join(PATIENCE)


@pytest.fixture
def site() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


@pytest.fixture
def elsewhere() -> Iterator[Site]:
    opened = Site()
    yield opened
    opened.close()


@pytest.fixture
def open_page(chromium: Any, watch: Watch) -> Iterator[Callable[..., Any]]:
    contexts = []

    def open_it(**about: Any) -> Any:
        context = chromium.new_context(**about)
        context.set_default_timeout(MILLISECONDS)
        watch.over(context)
        contexts.append(context)
        return context.new_page()

    yield open_it
    watch.end()
    for context in contexts:
        context.close()


def arrives(page: Any, heading: str) -> None:
    page.get_by_role("heading", level=1, name=heading).wait_for()


def order(site: Site, page: Any) -> None:
    """Fill in the shop's form, and send it."""
    page.goto(site.url)
    page.get_by_label("Note").fill(NOTE)
    page.get_by_role("button", name="Pay").click()


def stopped(page: Any) -> None:
    """Read that the form is kept, and go on."""
    arrives(page, "One more step before it is sent")
    assert "/pay/caf%C3%A9" in page.inner_text("main")
    page.get_by_role("link", name="Confirm it is you").click()


def enrol(site: Site, page: Any) -> None:
    arrives(page, "Add your phone")
    page.select_option("[name=country]", "US")
    page.fill("[name=phone]", PHONE)
    page.fill("[name=email]", "alice@example.com")
    page.locator("main form button").click()
    arrives(page, "Prove your phone")
    enter(site, page)


def by_message(site: Site, page: Any) -> None:
    arrives(page, "Confirm it is you")
    page.get_by_role("button", name="Text message").click()
    arrives(page, "Enter your code")
    enter(site, page)


def enter(site: Site, page: Any) -> None:
    page.get_by_label("Code").fill(site.world.phone().code)
    page.get_by_role("button", name="Continue").click(no_wait_after=True)


def press_until_sent(site: Site, page: Any, count: int) -> None:
    """Press "Send it now" on the page that says that the form waits, if there is one, and on the page that has it."""
    for _ in range(2):
        if len(site.shop.sent) < count:
            page.get_by_role("button", name="Send it now").click()
            page.wait_for_load_state()
    assert len(site.shop.sent) == count


def test_with_script_the_person_types_a_code_and_the_form_arrives_by_itself(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    order(site, page)
    stopped(page)
    enrol(site, page)
    arrives(page, "Paid")
    assert page.url == f"{site.url}pay/caf%C3%A9?order=1&order=2"
    assert len(site.shop.sent) == 1
    # Sent again now, nothing is in its way: what arrived before is byte for byte what arrives so.
    order(site, page)
    arrives(page, "Paid")
    assert len(site.shop.sent) == 2
    assert site.shop.sent[0] == site.shop.sent[1]
    assert b"note=line+one%0D%0Aline+two" in site.shop.sent[0][2]


def test_an_approval_on_the_phone_sends_it_on_too(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    order(site, page)
    stopped(page)
    enrol(site, page)
    arrives(page, "Paid")
    site.world.phone().install_app()
    site.world.clock.advance(3600)
    order(site, page)
    stopped(page)
    page.get_by_text("I have the Authy app now").click()
    page.get_by_role("button", name="Approve on my phone").click()
    arrives(page, "Approve on your phone")
    site.world.phone().approve()
    site.world.clock.advance(1)
    arrives(page, "Paid")
    assert len(site.shop.sent) == 2
    assert site.shop.sent[0] == site.shop.sent[1]


def test_without_script_the_person_presses_and_the_same_arrives(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page(java_script_enabled=False)
    order(site, page)
    stopped(page)
    enrol(site, page)
    press_until_sent(site, page, 1)
    arrives(page, "Paid")
    site.world.clock.advance(3600)
    order(site, page)
    stopped(page)
    by_message(site, page)
    press_until_sent(site, page, 2)
    arrives(page, "Paid")
    order(site, page)
    arrives(page, "Paid")
    assert len(site.shop.sent) == 3
    assert site.shop.sent[0] == site.shop.sent[1] == site.shop.sent[2]


@pytest.mark.slow
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_an_app_may_lead_on_to_another_origin(site: Site, elsewhere: Site, open_page: Callable[..., Any], script: bool) -> None:
    site.shop.answers = elsewhere.url + "thanks"
    page = open_page(java_script_enabled=script)
    order(site, page)
    stopped(page)
    enrol(site, page)
    if not script:
        press_until_sent(site, page, 1)
    page.wait_for_url(site.shop.answers)
    assert len(site.shop.sent) == 1


@pytest.mark.slow
def test_going_back_and_reloading_send_nothing_twice(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    order(site, page)
    stopped(page)
    enrol(site, page)
    arrives(page, "Paid")
    for _ in range(4):
        with suppress(Error):  # where the browser asks whether to send a form again
            page.go_back()
            page.wait_for_load_state()
        assert len(site.shop.sent) == 1
    again = page.context.new_page()
    again.goto(site.url)
    arrives(again, "Order")
    assert len(site.shop.sent) == 1


@pytest.mark.slow
def test_while_the_app_takes_its_time_a_second_press_sends_nothing(site: Site, open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.add_init_script(IMPATIENT)
    order(site, page)
    stopped(page)
    site.shop.free.clear()
    enrol(site, page)
    until(site.shop.arrived.is_set, "the form at the app")
    until(site.shop.pressed.is_set, "the second press")
    site.shop.free.set()
    arrives(page, "Paid")
    assert len(site.shop.sent) == 1
