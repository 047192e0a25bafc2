"""The way through our pages, for every kind of test client: what a person in a browser would do, with the phone in the other hand.

A test client of the kit is the framework's own with `WalksSecondFactor` in front. It says how a request is made (`_ask`) and how a cookie is kept (`_keep`);
all else is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag

from authy_wsgi import phones
from authy_wsgi.contracts import PROVEN_KEY, Environ, Login
from authy_wsgi.emulator import Handset
from authy_wsgi.middleware import SecondFactor
from authy_wsgi.testing.authy import Authy, authy_of
from authy_wsgi.testing.passes import enrol, mail_for, mint, number_for

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
REDIRECTS = (301, 302, 303, 307, 308)
_BY_THE_APP = ("app", "push")
_STEPS = 8


class Answer(NamedTuple):
    """One answer: the client's own `response`, and of it what the walk reads. `environ` is what the app was given, with what it wrote into it."""

    url: str
    status: int
    headers: Mapping[str, str]
    text: str
    environ: Environ
    response: Any


class Page:
    """An HTML page of ours: its forms, and its words."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self._soup = BeautifulSoup(answer.text, "html.parser")

    @cached_property
    def words(self) -> str:
        """What a person reads."""
        return " ".join((self._soup.find("main") or self._soup).get_text(" ").split())

    def form(self, end: str, **fields: str) -> Form | None:
        """The form whose action ends so and whose fields say so."""
        found = [Form(self.answer.url, form) for form in self._soup.find_all("form") if str(form.get("action")).endswith(end)]
        return next((form for form in found if all(form.fields.get(name) == value for name, value in fields.items())), None)


class Form:
    """A form: where it goes, and what it holds."""

    def __init__(self, page: str, form: Tag) -> None:
        self.target = urljoin(page, str(form["action"]))
        self.fields = {str(field["name"]): str(field.get("value", "")) for field in form.find_all("input") if field.get("name")}
        self.fields |= {str(choice["name"]): "" for choice in form.find_all("select")}


class WalksSecondFactor:
    """What a test client can do with the second factor around its app. `second_factor` guards it, `authy` is the service that its client speaks to."""

    second_factor: SecondFactor
    authy: Authy | None = None

    def _ask(self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]) -> Answer:
        """Make a request for a path, with its query, and do not follow where it leads."""
        raise NotImplementedError

    def _keep(self, name: str, value: str) -> None:
        """Put a cookie of the whole site into the client's jar."""
        raise NotImplementedError

    def pass_second_factor(self, user_id: str = "", channel: str = "sms", *, path: str = "/", phone: str = "") -> Any:
        """Go to `path`, meet the second factor and give it; the app's answer at the end.

        The app's own login comes before; `user_id` says whose it has to be. Who has no phone yet enrols one on the way, `phone` or a made-up number. The app
        is put on the phone where `channel` is "app" or "push". `AssertionError` with what the page says where it goes wrong, and where nobody is asked.
        """
        return Walk(self, channel, phone).go(user_id, path)

    def expect_second_factor(self, path: str = "/", *, method: str = "GET", fields: Mapping[str, str] | None = None) -> Any:
        """Ask for `path` as a browser does, and find the second factor in the way; its answer, not followed. `AssertionError` says why it was not."""
        answer = self._ask(method, path, fields, BROWSER)
        if not _is_wall(self.second_factor, answer):
            raise AssertionError(f"{method} {path} was answered {answer.status}, and nobody asked for a second factor: {_why_not(answer)}")
        return answer.response

    def grant_second_factor(self, user_id: str = "", channel: str = "sms", *, age: int = 0, path: str = "/") -> None:
        """Be verified, in a test that is about something else: a real pass, proved by `channel` so many seconds ago. Asks for `path` once to see the login.

        Who has no factor yet is given one.
        """
        login = self._who(self._ask("GET", path, None, BROWSER), user_id)
        if not (user := self.second_factor.backend.accounts.read(login.user_id)) or not user.factors:
            enrol(self.second_factor, login.user_id)
        for _, cookie in mint(self.second_factor, login, channel, age=age):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._keep(name, value)

    def _who(self, answer: Answer, user_id: str) -> Login:
        login = self.second_factor.login_of(answer.environ)
        if login is None and _is_wall(self.second_factor, answer):
            # Only middleware that hands a copy on hides what the gate wrote.
            raise AssertionError("The login cannot be seen from here: something in front of the gate copies the environ. Say whose it is, or use mint().")
        if login is None:
            raise AssertionError(f"The app says that nobody is signed in (GET {answer.url} was answered {answer.status}): pass the app's own login first.")
        if user_id and login.user_id != user_id:
            raise AssertionError(f"The app says that {login.user_id!r} is signed in, not {user_id!r}.")
        return login

    def _service(self) -> Authy:
        found = self.authy or next((authy for client in self.second_factor.settings.clients if (authy := authy_of(client))), None)
        if found is None:
            raise TypeError("No client of this SecondFactor speaks to a service of this process: use clients=authy.client(), or say authy=...")
        return found


class Walk:
    """One way through the pages."""

    def __init__(self, client: WalksSecondFactor, channel: str, phone: str) -> None:
        self._client = client
        self._core = client.second_factor
        self._authy = client._service()  # noqa: SLF001 - the walk is the client's other half
        self._channel = channel
        self._phone = phone
        self._enrolling = False
        self._user_id = ""

    def go(self, user_id: str, path: str) -> Any:
        answer = self._request("GET", path)
        if not _is_wall(self._core, answer):
            raise AssertionError(f"GET {path} was answered {answer.status}, and nobody asked for a second factor: {_why_not(answer)}")
        unseen = user_id and self._core.login_of(answer.environ) is None
        self._user_id = user_id if unseen else self._client._who(answer, user_id).user_id  # noqa: SLF001
        if self._channel in _BY_THE_APP and self._enrolled():
            self._handset().install_app()
        for _ in range(_STEPS):
            answer = self._follow(answer)
            if not _is_ours(self._core, answer.url):
                return answer.response
            answer = self._step(Page(answer))
        raise AssertionError(f"The pages lead nowhere; the last one says: {Page(answer).words}")

    def _step(self, page: Page) -> Answer:
        """What a person does on this page."""
        for end, act in (("/enrol", self._enrol), ("/poll", self._submit), ("/continue", self._submit), ("/code", self._code)):
            form = page.form(end)
            if form is not None:
                return act(form, page)
        form = page.form("/start", channel=self._channel)
        if form is None:
            raise AssertionError(f"There is no way {self._channel!r} for {self._user_id}. The page says: {page.words}")
        answer = self._submit(form, page)
        if self._channel == "push" and answer.status in REDIRECTS:
            # Before the page is looked at: it asks the provider at most once a second.
            self._handset().approve()
        return answer

    def _enrol(self, form: Form, page: Page) -> Answer:
        if self._channel != "sms":
            raise AssertionError(f"{self._user_id} has no phone yet, and a new one is proved by sms first: enrol(second_factor, {self._user_id!r}) before.")
        self._enrolling = True
        if "phone" in form.fields:
            self._phone = self._phone or number_for(self._user_id)
            form.fields["phone"] = self._phone
        else:
            profile = self._core.backend.profile(self._user_id)
            self._phone = phones.read_number(profile.phone, profile.country)
        if "email" in form.fields and not form.fields["email"]:
            form.fields["email"] = mail_for(self._user_id)
        return self._submit(form, page)

    def _code(self, form: Form, page: Page) -> Answer:
        if self._channel in ("sms", "call") and (anyway := page.form("/start", insist="1")):
            return self._submit(anyway, page)
        phone = self._handset()
        form.fields["code"] = (phone.app_code if self._channel == "app" else phone.code) or ""
        return self._submit(form, page)

    def _submit(self, form: Form, page: Page) -> Answer:
        answer = self._client._ask("POST", _path(form.target), form.fields, {**BROWSER, "Referer": page.answer.url})  # noqa: SLF001
        if answer.status >= 400:
            raise AssertionError(f"The second factor said no ({answer.status}): {Page(answer).words}")
        return answer

    def _follow(self, answer: Answer) -> Answer:
        """To the page behind redirects, the app's own included, for as long as they stay on this site."""
        for _ in range(_STEPS):
            target = urljoin(answer.url, answer.headers.get("Location", ""))
            if answer.status not in REDIRECTS or urlsplit(target).netloc != urlsplit(answer.url).netloc:
                return answer
            answer = self._request("GET", _path(target))
        raise AssertionError(f"Redirects without end, the last one to {answer.url}.")

    def _request(self, method: str, path: str) -> Answer:
        return self._client._ask(method, path, None, BROWSER)  # noqa: SLF001

    def _enrolled(self) -> bool:
        user = self._core.backend.accounts.read(self._user_id)
        return bool(user and user.factors)

    def _handset(self) -> Handset:
        if self._enrolling:
            return self._authy.phone(phones.read_number(self._phone, ""))
        return self._authy.phone_of(self._core.backend.accounts.read(self._user_id))


def _path(url: str) -> str:
    """What a test client is asked for: the URL without scheme and host, which it has of its own."""
    address = urlsplit(url)
    return f"{address.path}?{address.query}" if address.query else address.path


def _is_ours(core: SecondFactor, url: str) -> bool:
    return f"{core.settings.prefix}/" in f"{urlsplit(url).path}/"


def _is_wall(core: SecondFactor, answer: Answer) -> bool:
    if answer.status == 401:
        return answer.headers.get("WWW-Authenticate", "").startswith("SecondFactor ")
    return answer.status == 303 and _is_ours(core, answer.headers.get("Location", ""))


def _why_not(answer: Answer) -> str:
    seen = answer.environ.get(PROVEN_KEY)
    if seen is None:
        return "the gate did not see this request. Does it stand around the app that is tested here?"
    if seen.user_id is None:
        return "the app says that nobody is signed in. Pass the app's own login first."
    if not seen.enforced:
        return "enforce=False only logs who would have been asked."
    if seen.proofs:
        return f"{seen.user_id} has given it already, by {', '.join(proof.channel for proof in seen.proofs)}."
    return f"{seen.user_id} goes through here without, by the policy, `exempt` or `logout_url`; 'authy-wsgi check --path' says which."
