"""What the attacks stand on: raw requests, a judge of refusals, providers that lie, and how a browser reads an address.

The rows that the tests are named after are those of the catalogue in `docs/security.md`. Wherever a row does not say otherwise, the app inside must not have
been called, nothing that grants may have been set, and the status must be one of a refusal: `Shut` asks for all three.
"""

from __future__ import annotations

import html
import io
import itertools
import json
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from authy_wsgi import AuthyClient, Login
from authy_wsgi.emulator import Emulator
from tests.support import API_KEY, HTML, PHONE, Browser, Clock, World, form_to, session_for

REFUSALS = frozenset({303, 400, 401, 403, 404, 409, 413, 422, 429, 503})
PASS = "__Host-second_factor"
ATTEMPT = "__Host-second_factor_attempt"
FORM = "application/x-www-form-urlencoded"
PREFIX = "/second-factor"
OTHER_PHONE = "+14085555271"
BASE_URL = "http://127.0.0.1:8999"
# Budgets that never bite, for tests of what a single answer is worth.
UNLIMITED: Mapping[str, Any] = {
    rule: [(10**9, 600)]
    for rule in (
        *("code.attempt", "code.user", "code.reference", "code.new.user", "code.new.reference", "push.user", "kept.user"),
        *("send.user", "send.number", "send.network", "send.site", "send.voice"),
        *("send.new.user", "send.new.number", "send.new.network", "send.new.site"),
    )
}


# Requests


class Answer(NamedTuple):
    """What came back for a raw request."""

    status_int: int
    headerlist: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = [value for each, value in self.headerlist if each.lower() == name.lower()]
        assert len(found) < 2, f"{name} is there {len(found)} times"
        return found[0] if found else None


def environ_of(
    path: str = "/",
    *,
    method: str = "GET",
    query: str = "",
    login: Any = None,
    cookie: str = "",
    headers: Mapping[str, str] = HTML,
    body: bytes = b"",
    content_type: str = FORM,
    **more: Any,
) -> dict[str, Any]:
    """A request as a server hands it over. `path` is PATH_INFO as it is, `login` whoever the site's own login says is there."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "site.example",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "site.example",
        "REMOTE_ADDR": "10.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if method not in ("GET", "HEAD", "OPTIONS") or body:
        environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": content_type}
    if login is not None:
        environ["site.login"] = login
    if cookie:
        environ["HTTP_COOKIE"] = cookie
    environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    return {**environ, **more}


def call(app: Any, environ: dict[str, Any]) -> Answer:
    """The answer of a WSGI app, read to its end."""
    started: list[Any] = []
    chunks: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        started[:] = [status, list(headers)]
        return chunks.append

    result = app(environ, start_response)
    try:
        chunks.extend(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    status, headers = started
    return Answer(int(status[:3]), headers, b"".join(chunks))


def ask(world: World, path: str = "/members", **request: Any) -> Answer:
    """A raw request to the gate, past the validators: servers hand over odder things than those allow."""
    return call(world.gate, environ_of(path, **request))


def of(browser: Browser | Tab, **more: Any) -> dict[str, Any]:
    """What a raw request needs in order to come from this browser."""
    if isinstance(browser, Tab):
        return {"login": browser.login, "cookie": browser.cookie, **browser.environ, **more}
    return {"login": browser.http.extra_environ.get("site.login"), "cookie": cookies_of(browser), **more}


def cookies_of(browser: Browser) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookiejar)


def fields_of(page: Any, end: str, **more: Any) -> dict[str, Any]:
    """What the page's form would send."""
    return {**dict(form_to(page, end).submit_fields()), **more}


def post(world: World, path: str, fields: Any, browser: Browser | Tab, **request: Any) -> Answer:
    """A raw POST of a form from a browser. `fields` are pairs, a mapping, or the body."""
    body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    return ask(world, path, method="POST", body=body, **{**of(browser), **request})


class Tab:
    """A browser without WebTest's reading of the whole page: for tests that need hundreds. Cookies, and the hidden fields of forms."""

    def __init__(self, world: World, user: str = "alice", session: str | None = None, **environ: Any) -> None:
        self.world = world
        self.login = Login(user, f"t{next(_tabs)}" if session is None else session)
        self.cookies: dict[str, str] = {}
        self.environ = environ

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _kept(self, answer: Answer) -> Answer:
        for header, value in answer.headerlist:
            if header.lower() == "set-cookie":
                name, _, rest = value.partition("=")
                self.cookies[name] = rest.partition(";")[0]
                if not self.cookies[name]:
                    del self.cookies[name]
        return answer

    def get(self, path: str = "/members", **request: Any) -> Answer:
        path, _, query = path.partition("?")
        return self._kept(ask(self.world, path, **{"query": query, **of(self), **request}))

    def visit(self, path: str = "/members") -> Answer:
        """The page that a request leads to."""
        answer = self.get(path)
        while answer.status_int == 303:
            answer = self.get(answer.header("Location") or "")
        return answer

    def post(self, path: str, fields: Any, **request: Any) -> Answer:
        path, _, query = path.partition("?")
        return self._kept(post(self.world, path, fields, self, **{"query": query, **request}))

    def start(self, channel: str, path: str = "/members") -> Answer:
        """Choose a way; the answer, not followed."""
        return self.post(f"{PREFIX}/start", hidden(self.visit(path), "/start", channel))

    def to_code(self, channel: str = "app") -> dict[str, str]:
        """Go to the page that asks for a code: the fields of its form."""
        answer = self.start(channel)
        assert answer.status_int == 303, answer.text
        return hidden(self.get(answer.header("Location") or ""), "/code")

    def enter(self, fields: Mapping[str, str], code: str, **request: Any) -> Answer:
        return self.post(f"{PREFIX}/code", {**fields, "code": code}, **request)


_tabs = itertools.count(1)
_FORM = re.compile(r'<form method="post" action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def hidden(page: Answer, end: str, channel: str = "") -> dict[str, str]:
    """The hidden fields of the form whose action ends so, the one of a channel where there are several."""
    for action, inside in _FORM.findall(page.text):
        fields = {html.unescape(name): html.unescape(value) for name, value in _HIDDEN.findall(inside)}
        if action.endswith(end) and channel in ("", fields.get("channel")):
            return fields
    raise AssertionError(f"no form to {end} {channel} on: {page.status_int} {page.text}")


# Who is refused, and how


def granted(answer: Any, name: str = PASS) -> list[str]:
    """The passes that an answer sets; taking one back sets none."""
    found = []
    for header, value in answer.headerlist:
        if header.lower() == "set-cookie" and value.startswith(name + "=") and value.partition(";")[0] != name + "=":
            found.append(value)
    return found


class Shut:
    """`shut(answer)` holds when the app was not called since `Shut` was made, the answer grants nothing, and its status is one of a refusal."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.calls = world.app_calls

    def __call__(self, answer: Any, *statuses: int, what: object = "") -> Any:
        said = f"{what!r}: {answer.status_int} {answer.text[:300]!r}"
        assert answer.status_int in (statuses or REFUSALS), said
        assert self.world.app_calls == self.calls, said
        assert not granted(answer), said
        return answer


# People


def grant(world: World, login: Login, number: str = PHONE) -> str:
    """Enrol a number by the backend's own calls, as an app without our pages does: the pass, as a cookie's value."""
    backend = world.backend
    attempt = backend.begin(login, purpose="enrol", context=backend.context())
    backend.enrol(attempt, "authy", {"phone": number, "email": f"{len(login.user_id)}@example.com"}, backend.context())
    answer = backend.check(attempt, {"code": world.phone(number).code}, backend.context())
    assert answer.grant is not None
    header = world.gate.remember({}, answer.grant)[0][1]
    return header.partition("=")[2].partition(";")[0]


def signed_in(world: World, user: str = "alice", number: str = PHONE, *, session: str | None = None) -> Browser:
    """A browser in which this user has just enrolled, and so is in."""
    browser = world.browser(user, session)
    browser.http.set_cookie(PASS, grant(world, browser.http.extra_environ["site.login"], number))
    return browser


def enrolled(world: World, user: str = "alice", number: str = PHONE) -> None:
    """The user has a factor; no browser of theirs is in. An hour passes."""
    grant(world, Login(user, f"enrolment of {user}"), number)
    world.clock.advance(3600)


def asked_for_code(world: World, user: str = "alice", channel: str = "sms", **environ: Any) -> tuple[Browser, Any]:
    """A fresh browser of an enrolled user, at the page that asks for the code."""
    browser = world.browser(user, None, **environ)
    page = browser.choose(browser.visit(), channel)
    assert page.status_int == 200, page.text
    return browser, page


def right(world: World, channel: str = "sms", number: str = PHONE) -> str:
    """The code that the phone shows."""
    code = world.phone(number).app_code if channel == "app" else world.phone(number).code
    assert code
    return code


def wrong(world: World, number: str = PHONE) -> Iterator[str]:
    """Codes that are not the right one, without end."""
    handset = world.phone(number)
    for guess in range(10**6):
        code = f"{guess:07d}"
        if code not in {handset.app_code, *(message.code for message in handset.messages)}:
            yield code


def is_in(browser: Browser, path: str = "/members") -> bool:
    """Whether the app answers this browser."""
    before = browser.world.app_calls
    browser.get(path)
    return browser.world.app_calls > before


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` answers in that many threads, which begin at once."""
    answers: list[Any] = [None] * count
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        begin.wait(30)
        answers[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return answers


# Providers


class Liar:
    """The emulator, but for what it is told to say: `lies[route] = (environ, truth) -> None (the truth), a body, or (status, body, headers)`.

    `truth()` asks the emulator.

    `seen` holds every request as it came: method, target and headers.
    """

    def __init__(self) -> None:
        self.emulator: Any = None
        self.lies: dict[str, Callable[..., Any]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        heard = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
        self.seen.append((environ["REQUEST_METHOD"], environ["REQUEST_URI"], heard))
        route = next((route for route in self.lies if f"/{route}" in environ["PATH_INFO"]), None)
        if route is None:
            return list(self.emulator(environ, start_response))
        told = self.lies[route](environ, lambda: call(self.emulator, environ))
        if told is None:
            return list(self.emulator(environ, start_response))
        status, body, headers = told if isinstance(told, tuple) else (200, told, {})
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        kept = {"Content-Type": "application/json", "X-Authy-Simulator": "1", **headers, "Content-Length": str(len(body))}
        start_response(f"{status} Said", list(kept.items()))
        return [body]


def lying_world(client: Mapping[str, Any] | None = None, **settings: Any) -> tuple[World, Liar]:
    """A world whose provider can be made to lie."""
    liar = Liar()
    world = World(clients=AuthyClient(API_KEY, base_url=BASE_URL, session=session_for(liar), **(client or {})), **settings)
    liar.emulator = world.emulator
    return world, liar


CALLBACK = "https://site.example/second-factor/callback/authy"


class Outbox:
    """Where the provider's callbacks go in place of the site: each is kept as it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {
            "X-Authy-Signature": environ["HTTP_X_AUTHY_SIGNATURE"],
            "X-Authy-Signature-Nonce": environ["HTTP_X_AUTHY_SIGNATURE_NONCE"],
        }
        self.sent.append({"method": environ["REQUEST_METHOD"], "query": environ["QUERY_STRING"], "headers": headers, "body": body})
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]


def calling_back(method: str = "POST", rules: Any = None, client: Mapping[str, Any] | None = None, **settings: Any) -> tuple[World, Outbox]:
    """A world whose provider calls back, into an outbox from which a test delivers what it likes."""
    clock, outbox = Clock(), Outbox()
    emulator = Emulator(API_KEY, clock=clock, seed=1, rules=rules, callback_url=CALLBACK, callback_method=method, callback_session=session_for(outbox))
    made = AuthyClient(API_KEY, base_url=BASE_URL, session=session_for(emulator), callback_url=CALLBACK, callback_method=method, **(client or {}))
    world = World(clients=made, clock=clock, **settings)
    world.clock, world.emulator, world.client = clock, emulator, made
    emulator.callbacks.wait()
    outbox.sent.clear()
    return world, outbox


def deliver(world: World, sent: Mapping[str, Any], **other: Any) -> Answer:
    """Hand a callback to the site: as it was sent, but for what is said otherwise."""
    said = {**sent, **other}
    return ask(
        world,
        said.get("path", urlsplit(CALLBACK).path),
        method=said["method"],
        query=said["query"],
        headers=said["headers"],
        body=said["body"],
        content_type="application/json",
    )


# Spellings

# The zero of every script that has digits of its own, ASCII's left out.
ZEROS = tuple(chr(point) for point in range(0x80, 0x20000) if unicodedata.decimal(chr(point), None) == 0)


def digits_of(zero: str, code: str) -> str:
    """A code in the digits of another script."""
    return "".join(chr(ord(zero) + int(digit)) for digit in code)


def percent(text: str, every: bool = False) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode()) if every else quote(text, safe="")


def named(cases: Sequence[Any] | Mapping[str, Any]) -> dict[str, Any]:
    """`parametrize` arguments whose ids are plain ASCII and the same in every process."""
    if isinstance(cases, Mapping):
        return {"argvalues": list(cases.values()), "ids": [str(name) for name in cases]}
    return {"argvalues": list(cases), "ids": [f"{number:02d}-{ascii(str(case))[1:-1][:40]}" for number, case in enumerate(cases)]}


def where(location: str, base: str = "https://site.example/members") -> tuple[str, str]:
    """(scheme, host) that a browser goes to for a Location: by the URL standard's rules, which are laxer than RFC 3986's.

    C0 controls and spaces around it go, tabs and line breaks inside it go, `\\` is `/`, and of `scheme:` with any number of slashes a host follows.
    """
    text = location.strip("".join(map(chr, range(0x21))))
    text = text.translate({0x09: None, 0x0A: None, 0x0D: None}).replace("\\", "/")
    scheme, colon, rest = text.partition(":")
    own = urlsplit(base)
    if colon and scheme[:1].isalpha() and all(letter.isascii() and (letter.isalnum() or letter in "+-.") for letter in scheme):
        if scheme.lower() not in ("http", "https", "ftp", "ws", "wss", "file"):
            return scheme.lower(), ""
        if scheme.lower() == own.scheme and not rest.startswith("/"):
            return own.scheme, own.netloc  # "https:path" is a path
        return scheme.lower(), _host(rest.lstrip("/"))
    if text.startswith("//"):
        return own.scheme, _host(text.lstrip("/"))
    return own.scheme, own.netloc


def _host(rest: str) -> str:
    for end in "/?#":
        rest = rest.partition(end)[0]
    return rest.rpartition("@")[2].lower()
