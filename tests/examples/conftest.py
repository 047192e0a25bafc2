"""What the suites of the example sites share: a secret, and one browser for each person. All else is the test kit's own."""

from __future__ import annotations

from typing import Any

import pytest

from authy_wsgi.testing.webtest import TestApp

SECRET = "a secret of thirty-two characters or more"


@pytest.fixture
def secret() -> str:
    return SECRET


class Browser(TestApp):
    """A person's browser: says that it wants pages, and can fill in a form."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, {"HTTP_ACCEPT": "text/html,application/xhtml+xml", "HTTP_HOST": "site.example", "HTTP_SEC_FETCH_SITE": "same-origin"}, **options)

    def open(self, path: str, status: Any = 200) -> Any:
        """The page at that address, wherever it leads."""
        return self._arrive(self.get(path, status="*"), status)

    def send(self, page: Any, to: str, status: Any = 200, **fields: str) -> Any:
        """Fill in the form whose action ends so, send it, and follow."""
        form = form_to(page, to)
        for name, value in fields.items():
            form[name] = value
        return self._arrive(form.submit(status="*"), status)

    def choose(self, page: Any, channel: str, status: Any = 200) -> Any:
        """Press one of the ways on the page that offers them."""
        form = next(form for form in page.forms.values() if form.action.endswith("/start") and form["channel"].value == channel)
        return self._arrive(form.submit(status="*"), status)

    def poll(self, page: Any) -> Any:
        """Look after the request on the phone, as a browser without script does."""
        return self.send(page, "/poll", status="*")

    @staticmethod
    def _arrive(response: Any, status: Any) -> Any:
        for _ in range(10):
            if response.status_int not in (302, 303):
                break
            response = response.follow(status="*")
        assert status in ("*", response.status_int), f"{response.status} at {response.request.path}: {words(response)}"
        return response


def form_to(page: Any, end: str) -> Any:
    """The page's form whose action ends so."""
    found = [form for form in page.forms.values() if form.action.endswith(end)]
    assert found, f"there is no form to {end} here: {words(page)}"
    return found[0]


def heading(page: Any) -> str:
    return str(page.html.find("h1").get_text(strip=True))


def words(page: Any) -> str:
    """What a person reads on the page."""
    return " ".join((page.html.find("main") or page.html).get_text(" ").split())
