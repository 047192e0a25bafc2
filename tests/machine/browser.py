"""A browser: cookies, whoever the site's own login says is there, and the page that it shows. Its hands press what is on the page."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from authy_wsgi import Login
from tests.machine.world import ATTEMPT, PASS, PREFIX, SITE, Mishap, Seen, World

_FORM = re.compile(r'<form method="post" action="([^"]*)"([^>]*)>(.*?)</form>', re.DOTALL)
_FIELD = re.compile(r"<(?:input|select)\b([^>]*)>")
_ATTRIBUTE = re.compile(r'\b(name|value)="([^"]*)"')
_TITLE = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)
_LINK = re.compile(r'<a [^>]*href="([^"]*)"')
NAMES = {"": PASS, "_attempt": ATTEMPT}


@dataclass(slots=True)
class Form:
    """A form of a page."""

    action: str
    fields: dict[str, str]
    pressed: bool  # by script, as soon as the page is there


@dataclass(slots=True)
class Page:
    """What a browser shows."""

    seen: Seen
    target: str  # what was asked for
    jar: dict[str, str]  # the cookies right after it came
    forms: list[Form] = field(default_factory=list)

    @classmethod
    def of(cls, seen: Seen, target: str, jar: Mapping[str, str]) -> Page:
        forms = []
        if seen.content.startswith(b"<!doctype"):
            for action, attributes, inner in _FORM.findall(seen.text):
                fields = {}
                for written in _FIELD.findall(inner):
                    pairs = dict(_ATTRIBUTE.findall(written))
                    if "name" in pairs:
                        fields[html.unescape(pairs["name"])] = html.unescape(pairs.get("value", ""))
                forms.append(Form(html.unescape(action), fields, "data-press" in attributes))
        return cls(seen, target, dict(jar), forms)

    @property
    def title(self) -> str:
        found = _TITLE.search(self.seen.text)
        return " ".join(html.unescape(found[1]).split()) if found else ""

    @property
    def links(self) -> list[str]:
        return [html.unescape(each) for each in _LINK.findall(self.seen.text)]

    def form(self, end: str, **fields: str) -> Form | None:
        """The first form whose action ends so, with those fields."""
        for each in self.forms:
            if each.action.partition("?")[0].endswith(end) and fields.items() <= each.fields.items():
                return each
        return None

    @property
    def in_app(self) -> bool:
        """Whether this is the app's own page."""
        return bool(self.seen.entries) and self.seen.content == b"the app"


class Browser:
    """One browser. `lose`: the next answer does not arrive."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.jar: dict[str, str] = {}
        self.login: Login | None = None
        self.page: Page | None = None
        self.tabs: list[Page] = []

    def cookies(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.jar.items())

    def ready(self, method: str, target: str, *, worker: int = 0, login: Any = None, **more: Any) -> Seen:
        """A request of this browser, not yet sent."""
        more.setdefault("cookies", self.cookies())
        return self.world.request(self.world.workers[worker], self.login if login is None else login, method, target, **more)

    def take(self, seen: Seen, target: str, *, lost: bool = False) -> Page:
        """The answer arrives, unless it is lost."""
        if not lost:
            for name, value, gone in seen.set_cookies:
                if gone:
                    self.jar.pop(name, None)
                else:
                    self.jar[name] = value
        page = Page.of(seen, target, self.jar)
        if not lost and seen.status:
            self.page = page
            if page.forms:
                self.tabs = [*self.tabs[-3:], page]
        return page

    def get(self, target: str, *, worker: int = 0, lost: bool = False, **more: Any) -> Page:
        """Go there."""
        seen = self.ready("GET", target, worker=worker, **more)
        self.world.send(seen)
        return self.take(seen, target, lost=lost)

    def press(self, page: Page, form: Form, *, worker: int = 0, lost: bool = False, plan: Mapping[int, Mishap] | None = None, **fields: str) -> Page:
        """Press the form's button, with those fields filled in."""
        seen = self.pressing(page, form, worker=worker, plan=plan, **fields)
        self.world.send(seen)
        return self.take(seen, form.action, lost=lost)

    def pressing(self, page: Page, form: Form, *, worker: int = 0, plan: Mapping[int, Mishap] | None = None, **fields: str) -> Seen:
        """The same, not yet sent."""
        headers = {"Accept": "application/json"} if form.action.endswith("/poll") else {}
        filled = {**form.fields, **fields}
        honest = page.jar.get(ATTEMPT) == self.jar.get(ATTEMPT)
        return self.ready("POST", form.action, worker=worker, plan=plan, fields=filled, headers=headers, honest=honest, what="press")

    def post(self, target: str, fields: Mapping[str, str], *, worker: int = 0, lost: bool = False, **more: Any) -> Page:
        """Send a form of the app's."""
        more.setdefault("headers", {"Origin": SITE})
        seen = self.ready("POST", target, worker=worker, fields=fields, **more)
        self.world.send(seen)
        return self.take(seen, target, lost=lost)


def is_ours(target: str) -> bool:
    """Whether a path is one of the gate's own pages."""
    path = target.partition("?")[0]
    return path == PREFIX or path.startswith(PREFIX + "/")


def query_of(target: str) -> dict[str, str]:
    return dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
