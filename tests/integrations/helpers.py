"""What several frameworks' tests do in the same way."""

from __future__ import annotations

from typing import Any

from tests.support import HTML, Browser, form_to


def sent_on(browser: Browser, path: str, fields: dict[str, str]) -> Any:
    """Send a form that meets the wall, confirm by a text message, and have it sent on: the app's answer."""
    answer = browser.http.post(path, fields, headers={**HTML, "Sec-Fetch-Site": "same-origin"}, status=401)
    page = browser.http.get(answer.html.find("main").find("a")["href"], headers=HTML, status="*")
    page = browser.choose(browser.follow(page), "sms")
    sending = browser.submit(form_to(browser.follow(browser.enter(page, browser.world.phone().code)), "/kept"))
    return form_to(sending, path).submit(status=200)
