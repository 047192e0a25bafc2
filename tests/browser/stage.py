"""What the browser tests and the screenshots stand on: Chromium, the running demo, and people with phones."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import requests

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE = 30
PASSWORD = "correct horse battery"

_lines = itertools.count(1000)


def fresh_number() -> str:
    """A mobile number of the United States that nobody has had before in this process."""
    return f"408-555-{next(_lines):04}"


def e164(number: str) -> str:
    return "+1" + re.sub(r"\D", "", number)


def until(look: Callable[[], Any], what: str = "it", patience: float = PATIENCE) -> Any:
    """The first true answer of `look`."""
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end, f"waited {patience} s for {what}"
        time.sleep(0.02)
    return found


@contextmanager
def launched(playwright: Any, *flags: str) -> Iterator[Any]:
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    try:
        yield chromium
    finally:
        chromium.close()


class Simulator:
    """The phones of a running emulator, as programs reach them."""

    def __init__(self, phones: str) -> None:
        self.phones = phones

    def read(self, number: str) -> dict[str, Any]:
        with urlopen(f"{self.phones}{e164(number)}.json", timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def send(self, to: str, **fields: Any) -> None:
        with urlopen(Request(self.phones + to, urlencode(fields).encode()), timeout=PATIENCE) as answer:
            answer.read()


class Demo:
    """`make demo` as a process of its own in a folder of its own."""

    def __init__(self, site: str, folder: Path) -> None:
        self.log = folder / "printed"
        settings = {**os.environ, "SITE": site, "PORT": "0", "EMULATOR_PORT": "0", "PYTHONPATH": str(ROOT)}
        with self.log.open("wb") as printed:
            self.process = subprocess.Popen([sys.executable, "-m", "examples.demo"], cwd=folder, env=settings, stdout=printed, stderr=subprocess.STDOUT)
        try:
            self.url, phones = until(self._addresses, "the demo's addresses")
        except BaseException:
            self.end()
            raise
        self.simulator = Simulator(phones)

    def _addresses(self) -> list[str]:
        assert self.process.poll() is None, self.printed()
        found = re.findall(r"http://127\.0\.0\.1:\d+/\S*", self.printed())
        return found if "The steps of each sign-in" in self.printed() else []

    def printed(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Watch:
    """Everything that a browser complains of, and every host that it asks. The status of a page that says no is no complaint."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.expected: list[str] = []
        self._watched: list[tuple[Any, str, Any]] = []

    def over(self, context: Any) -> None:
        """Watch every page of this context, until `end`."""
        for kind, handler in (("console", self._console), ("weberror", self._fault), ("request", self._request)):
            context.on(kind, handler)
            self._watched.append((context, kind, handler))

    def end(self) -> None:
        while self._watched:
            context, kind, handler = self._watched.pop()
            context.remove_listener(kind, handler)

    def _fault(self, fault: Any) -> None:
        self.complaints.append(str(fault.error))

    def _console(self, message: Any) -> None:
        if message.type not in ("error", "warning"):
            return
        if str(message.location.get("url")).endswith("/favicon.ico"):
            return  # Browsers ask for it on their own where a page names no icon.
        if re.match(r"Failed to load resource: the server responded with a status of (400|401|403|404|409|422|429|503) ", message.text):
            return
        self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            self.complaints.append(f"asked for {request.url}")

    def unexpected(self) -> list[str]:
        return [complaint for complaint in self.complaints if not any(part in complaint for part in self.expected)]


class Person:
    """Somebody at a computer (`page`), with a phone (`phone`, its page at the simulator) on the table."""

    def __init__(self, demo: Demo, context: Any, handsets: Any, name: str, number: str, password: str = PASSWORD) -> None:
        self.demo = demo
        self.context = context
        self.page = context.new_page()
        self.name, self.number, self.password = name, number, password
        self._handsets = handsets
        self._phone: Any = None

    # At the computer

    @property
    def heading(self) -> str:
        return str(self.page.inner_text("h1"))

    def go(self, path: str = "") -> None:
        self.page.goto(self.demo.url + path)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def arrives(self, heading: str, page: Any = None) -> None:
        """Wait until a page with this heading is there."""
        (page or self.page).get_by_role("heading", level=1, name=heading).wait_for()

    def says(self, words: str) -> None:
        """Wait until the page says so."""
        self.page.get_by_text(words).first.wait_for()

    def join(self) -> None:
        """Register at the Bottle site, through its form."""
        self.go("register")
        self.page.fill("[name=name]", self.name)
        self.page.fill("[name=password]", self.password)
        self.page.fill("[name=email]", f"{self.name}@example.com")
        self.page.select_option("[name=country]", "US")
        self.page.fill("[name=phone]", self.number)
        self.press("Join")
        self.arrives("Sign in")

    def log_in(self) -> None:
        """The first factor: name and password."""
        if not self.page.url.startswith(self.demo.url + "login"):
            self.go("login")
        self.page.fill("[name=name]", self.name)
        self.page.fill("[name=password]", self.password)
        self.page.get_by_role("main").get_by_role("button", name="Sign in").click()

    def log_out(self) -> None:
        self.press("Sign out")
        self.says("You are signed out")

    def enter(self, code: str) -> None:
        self.page.get_by_label("Code").fill(code)
        self.press("Continue")

    def wrong(self) -> str:
        """A code that is not the right one."""
        right = {message["code"] for message in self.demo.simulator.read(self.number)["messages"]}
        return next(code for code in ("1111111", "2222222", "3333333") if code not in right)

    def become_member(self, *, app: bool = False) -> None:
        """Join the Bottle site and enrol without a browser, with or without the Authy app on the phone; another test does the same by hand."""
        http = requests.Session()
        http.trust_env = False
        http.headers["Accept"] = "text/html"

        def send(path: str, **fields: str) -> None:
            """Open a page of the site and send the form on it that leads back to it."""
            html = http.get(self.demo.url + path, timeout=PATIENCE).text
            hidden = dict(re.findall(r'<input type="hidden" name="(csrf|next)" value="([^"]*)"', html.partition(f'action="/{path}"')[2]))
            http.post(self.demo.url + path, {**hidden, **fields}, timeout=PATIENCE)

        send("register", name=self.name, password=self.password, email=f"{self.name}@example.com", country="US", phone=self.number)
        send("login", name=self.name, password=self.password)
        send("second-factor/enrol")
        phone = self.demo.simulator.read(self.number)
        if app:
            self.demo.simulator.send(f"{phone['authy_id']}/app", installed="true")
        send("second-factor/code", code=phone["messages"][-1]["code"])
        assert "How you proved it is you" in http.get(self.demo.url + "members", timeout=PATIENCE).text
        http.close()

    def inside(self, page: Any = None) -> None:
        self.arrives(f"Good to see you, {self.name}", page)

    def come_back(self) -> None:
        """Sign in at the site, up to our first page."""
        self.log_in()
        self.arrives("Confirm it is you")

    def listen(self) -> list[str]:
        """What the live region of the page says from now on, change by change."""
        heard: list[str] = []
        self.page.expose_function("heard", lambda text: heard.append(text))
        self.page.evaluate(
            "const region = document.querySelector('[role=status] #state');"
            "new MutationObserver(() => heard(region.textContent)).observe(region, {childList: true, characterData: true, subtree: true})"
        )
        return heard

    def ask_phone(self) -> None:
        """Choose to approve on the phone."""
        self.press("Approve on my phone")
        self.arrives("Approve on your phone")

    # On the phone

    @property
    def phone(self) -> Any:
        """The phone's page, open."""
        if self._phone is None:
            self._phone = self._handsets.new_page()
            self._phone.goto(self.demo.simulator.phones + e164(self.number))
        return self._phone

    def put_away(self) -> None:
        """Close the phone's page."""
        if self._phone is not None:
            self._phone.close()

    def read_code(self, newest: Callable[[str], bool] = bool) -> str:
        """The code of the newest message, read from the phone's screen."""
        bubble = self.phone.locator("#feed .bubble:not(.done) .code").first
        bubble.wait_for()
        return until(lambda: found if newest(found := bubble.inner_text().replace(" ", "")) else "", "a code on the phone")

    def install_app(self) -> None:
        self.phone.get_by_role("button", name="Install").click()
        self.phone.get_by_text("Authy app installed").wait_for()

    def answer(self, name: str) -> None:
        """Press Approve or Deny on the phone."""
        self.phone.locator("#pending").get_by_role("button", name=name).click()
        self.phone.locator(".outcome").first.wait_for()
