"""The pages in a real browser: what is new appears by itself, in light and dark, without a sideways scroll, and nothing breaks the policy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server

from .service import KEY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

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
def running() -> Iterator[Server]:
    with Server(Emulator(KEY, app_name="Acorn Ledger")) as server:
        yield server


def ask(server: Server, path: str, body: dict[str, Any] | None = None) -> Any:
    return requests.request("GET" if body is None else "POST", server.url + path, json=body, headers={"X-Authy-API-Key": KEY}, timeout=5).json()


def register(server: Server) -> int:
    user = {"email": "alice@example.com", "cellphone": "408-555-5270", "country_code": 1}
    authy_id: int = ask(server, "/protected/json/users/new", {"user": user})["user"]["id"]
    return authy_id


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_what_is_new_appears_by_itself(browser: Any, running: Server, scheme: str, width: int) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(running.url + "/")
    alice = register(running)
    page.click("text=+1 408-555-5270")
    page.click("text=Install")
    ask(running, f"/protected/json/sms/{alice}?force=true")
    page.wait_for_selector(f"#feed >> text={running.emulator.phone(alice).code}")
    ask(running, f"/onetouch/json/users/{alice}/approval_requests", {"message": "Log in to Acorn Ledger?", "details": {"From": "Firefox on Linux"}})
    page.wait_for_selector("text=Log in to Acorn Ledger?")
    assert page.inner_text("#status") == "New: Log in to Acorn Ledger?"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    low = page.evaluate("[...document.querySelectorAll('button')].filter(button => button.offsetHeight < 48).length")
    page.click("text=Approve")
    page.wait_for_selector("text=✓ Approved")
    assert running.emulator.phone(alice).approvals[0]["status"] == "approved"
    assert (low, complaints) == (0, [])
    context.close()


def test_the_focus_stays_where_it_was(browser: Any, running: Server) -> None:
    alice = register(running)
    running.emulator.phone(alice).install_app()
    ask(running, f"/onetouch/json/users/{alice}/approval_requests", {"message": "First?"})
    page = browser.new_page()
    page.goto(f"{running.url}/phone/{alice}")
    page.focus("text=Deny")
    before = page.evaluate("document.activeElement.id")
    ask(running, f"/onetouch/json/users/{alice}/approval_requests", {"message": "Second?"})
    page.wait_for_selector("text=Second?")
    assert page.evaluate("document.activeElement.id") == before != ""
    page.close()


def test_the_pages_work_without_script(browser: Any, running: Server) -> None:
    alice = register(running)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{running.url}/phone/{alice}")
    page.click("text=Install")
    assert running.emulator.phone(alice).app_installed
    # Chromium keeps noscript as text when it is only told to run no script.
    assert '<meta http-equiv="refresh" content="5">' in page.content()
    assert "Reload" in page.content()
    context.close()
