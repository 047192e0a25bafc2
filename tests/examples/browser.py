"""A browser without a window: WebTest with lint, and the few things that people do on the second factor's pages."""

from __future__ import annotations

from typing import Any

from webtest import TestApp, TestResponse

SECRET = "a secret of thirty-two characters or more"


class Clock:
    """Unix seconds that move when they are told to; the site and the Authy service go by the same."""

    def __init__(self, now: int = 1_790_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: int) -> None:
        self.now += seconds


class Browser:
    """One browser: cookies, and the Accept header by which the gate knows a person from a program."""

    def __init__(self, app: Any) -> None:
        self.http = TestApp(app, lint=True, extra_environ={"HTTP_ACCEPT": "text/html,application/xhtml+xml", "HTTP_HOST": "site.example"})

    def open(self, path: str, status: Any = 200) -> TestResponse:
        """The page at that address, wherever it leads."""
        return self._arrive(self.http.get(path, status="*"), status)

    def send(self, page: TestResponse, to: str, status: Any = 200, **fields: str) -> TestResponse:
        """Fill in the form whose action ends so, send it, and follow."""
        form = form_to(page, to)
        for name, value in fields.items():
            form[name] = value
        return self._arrive(form.submit(status="*"), status)

    def choose(self, page: TestResponse, channel: str, status: Any = 200) -> TestResponse:
        """Press one of the ways on the choose page."""
        form = next(form for form in page.forms.values() if form.action.endswith("/start") and form["channel"].value == channel)
        return self._arrive(form.submit(status="*"), status)

    def poll(self, page: TestResponse) -> TestResponse:
        """Look after the request on the phone, as a browser without script does."""
        return self.send(page, "/poll", status="*")

    @staticmethod
    def _arrive(response: TestResponse, status: Any) -> TestResponse:
        for _ in range(10):
            if response.status_int != 303:
                break
            response = response.follow(status="*")
        assert status in ("*", response.status_int), f"{response.status} at {response.request.path}: {words(response)}"
        return response


def form_to(page: TestResponse, end: str) -> Any:
    """The page's form whose action ends so."""
    found = [form for form in page.forms.values() if form.action.endswith(end)]
    assert found, f"there is no form to {end} here: {words(page)}"
    return found[0]


def heading(page: TestResponse) -> str:
    return str(page.html.find("h1").get_text(strip=True))


def words(page: TestResponse) -> str:
    """What a person reads on the page."""
    return " ".join((page.html.find("main") or page.html).get_text(" ").split())
