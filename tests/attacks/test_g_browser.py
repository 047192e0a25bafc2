"""G. In the browser: frames, foreign pages, prefetching, caches, scripts, and background requests."""

from __future__ import annotations

import base64
import json
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from authy_wsgi import Login, Profile
from authy_wsgi.emulator.rules import Rules
from tests.attacks.helpers import (
    ATTEMPT,
    OTHER_PHONE,
    PASS,
    PREFIX,
    UNLIMITED,
    Answer,
    Shut,
    Tab,
    ask,
    calling_back,
    deliver,
    enrolled,
    grant,
    granted,
    hidden,
    named,
    post,
    right,
    wrong,
)
from tests.support import HTML, CountingApp, World

SAME = {**HTML, "Sec-Fetch-Site": "same-origin"}
JSON = {"Accept": "application/json"}


def sends(world: World) -> int:
    """How many requests the provider got that send something or register somebody."""
    return len([call for call in world.calls() if call.method == "POST" or call.route.startswith(("sms", "call", "email", "verify"))])


# Every answer that we have


def _gather() -> dict[str, Answer]:
    """One answer of every kind: pages, redirects, refusals, JSON, files, faults."""
    world = World(limits=UNLIMITED, login_url="/login")
    found: dict[str, Answer] = {}
    found["anonymous"] = ask(world, f"{PREFIX}/")
    found["anonymous script"] = ask(world, f"{PREFIX}/poll", headers=JSON)
    new = Tab(world, "new")
    found["wall redirect"] = new.get()
    found["wall problem"] = new.get(headers={})
    found["wall upgrade"] = new.get(headers={**HTML, "Upgrade": "websocket"})
    found["enrol redirect"] = new.get(f"{PREFIX}/")
    found["enrol"] = new.visit()
    form = hidden(found["enrol"], "/enrol")
    found["enrol bad number"] = new.post(f"{PREFIX}/enrol", {**form, "phone": "1", "email": "a@example.com"})
    found["enrol sent"] = new.post(f"{PREFIX}/enrol", {**form, "phone": OTHER_PHONE, "email": "a@example.com"})
    found["prove"] = new.get(f"{PREFIX}/code")
    grant(world, Login("alice", "e"))
    world.phone().install_app()
    world.clock.advance(3600)
    tab = Tab(world)
    found["kept form"] = tab.post("/pay?x=1", {"a": "b"}, headers=SAME)
    found["replaced form"] = tab.post("/pay?x=2", {"a": "b"}, headers=SAME)
    found["not sent"] = tab.post("/pay", {"a": "b"})
    found["choose"] = tab.visit()
    fields = hidden(found["choose"], "/start", "app")
    found["start"] = tab.post(f"{PREFIX}/start", fields)
    found["code"] = tab.get(f"{PREFIX}/code")
    found["no code"] = tab.enter(fields, "x")
    found["wrong code"] = tab.enter(fields, next(wrong(world)))
    found["bad way"] = tab.post(f"{PREFIX}/start", {**fields, "channel": "x"})
    found["untrusted"] = tab.post(f"{PREFIX}/start", {"csrf": "x"})
    found["foreign"] = tab.post(f"{PREFIX}/start", fields, headers={**HTML, "Origin": "https://evil.example"})
    found["stale"] = tab.post(f"{PREFIX}/code", {**fields, "csrf": _other_csrf(world, tab)})
    found["no cookie"] = post(world, f"{PREFIX}/start", fields, tab, cookie="")
    found["bad type"] = tab.post(f"{PREFIX}/start", b"x", content_type="text/plain")
    found["too large"] = tab.post(f"{PREFIX}/start", b"x" * 70_000)
    found["bad path"] = tab.get(f"{PREFIX}/\xff")
    found["no page"] = tab.get(f"{PREFIX}/nothing")
    found["bad method"] = tab.get(f"{PREFIX}/code", method="DELETE")
    found["head"] = tab.get(f"{PREFIX}/code", method="HEAD")
    found["logout page"] = tab.get(f"{PREFIX}/logout")
    found["pushed"] = tab.start("push")
    found["push"] = tab.get(f"{PREFIX}/push")
    world.clock.advance(1)
    found["poll"] = tab.post(f"{PREFIX}/poll", fields, headers=JSON)
    world.phone().deny()
    world.clock.advance(1)
    found["denied"] = tab.post(f"{PREFIX}/poll", fields, headers=JSON)
    found["denied page"] = tab.get(f"{PREFIX}/push")
    tab = Tab(world)
    tab.post("/pay?x=1", {"a": "b"}, headers=SAME)
    form = tab.to_code()
    found["in"] = tab.enter(form, right(world, "app"))
    held = dict(tab.cookies)
    found["signed in"] = tab.get(f"{PREFIX}/")
    found["send"] = tab.get(f"{PREFIX}/kept?of={_attempt_id(tab)}")
    found["sending"] = tab.post(f"{PREFIX}/kept", {**form, "of": _attempt_id(tab)})
    found["nothing to send"] = tab.get(f"{PREFIX}/kept?of=x")
    del tab.cookies[PASS]
    found["one more press"] = tab.get(f"{PREFIX}/continue")
    found["lost cookie"] = ask(world, f"{PREFIX}/", login=tab.login)
    tab.cookies = held
    found["signed out"] = tab.post(f"{PREFIX}/logout", form)
    found["ended"] = tab.get(f"{PREFIX}/continue")
    world.backend.disable("alice")
    found["switched off"] = tab.get(f"{PREFIX}/")
    found["fault"] = ask(world, login=5)
    found["fault for a program"] = ask(world, login=5, headers={})
    found["file"] = tab.get(f"{PREFIX}/static/style.css")
    found["script"] = tab.get(f"{PREFIX}/static/script.js")
    found["no file"] = tab.get(f"{PREFIX}/static/x")
    found["closed"] = ask(World(enrolment="none"), f"{PREFIX}/enrol", login=Login("x", "s"))
    listening, _ = calling_back(rules=Rules())
    found["callback refused"] = deliver(listening, {"method": "POST", "query": "", "headers": {}, "body": b"{}"})
    return found


def _other_csrf(world: World, tab: Tab) -> str:
    other = Tab(world, session=tab.login.session)
    return hidden(other.visit(), "/logout")["csrf"]


def _attempt_id(tab: Tab) -> str:
    payload = tab.cookies[ATTEMPT].partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[1])


answers = cache(_gather)
KINDS: dict[int, tuple[str, ...]] = {
    200: (
        *("enrol", "prove", "choose", "code", "head", "logout page", "push", "poll", "denied", "signed in", "send", "sending", "one more press", "lost cookie"),
        *("ended", "file", "script"),
    ),
    303: ("wall redirect", "enrol redirect", "enrol sent", "start", "pushed", "in", "signed out"),
    400: ("no cookie", "bad type", "bad path"),
    401: ("wall problem", "wall upgrade", "kept form", "replaced form", "not sent"),
    403: ("anonymous", "anonymous script", "untrusted", "foreign", "denied page", "switched off", "closed", "callback refused"),
    404: ("no page", "nothing to send", "no file"),
    405: ("bad method",),
    409: ("stale",),
    413: ("too large",),
    422: ("enrol bad number", "no code", "wrong code", "bad way"),
    503: ("fault", "fault for a program"),
}


def test_the_collection_has_answers_of_every_kind() -> None:
    found: dict[int, set[str]] = {}
    for name, answer in answers().items():
        found.setdefault(answer.status_int, set()).add(name)
    assert found == {status: set(names) for status, names in KINDS.items()}


every_answer = pytest.mark.parametrize("name", [name for names in KINDS.values() for name in names])


@every_answer
def test_G1_no_answer_of_ours_can_be_framed(name: str) -> None:
    answer = answers()[name]
    policy = {part.strip().partition(" ")[0]: part.strip().partition(" ")[2] for part in (answer.header("Content-Security-Policy") or "").split(";")}
    assert policy["frame-ancestors"] == "'none'"
    assert answer.header("X-Frame-Options") == "DENY"


@every_answer
def test_G4_no_answer_of_ours_is_kept_by_a_cache_but_the_files(name: str) -> None:
    cached = answers()[name].header("Cache-Control") or ""
    assert cached == ("public, max-age=86400" if name in ("file", "script") else "no-store")
    if name.startswith("wall"):
        assert "Cookie" in (answers()[name].header("Vary") or "")


class Headed(CountingApp):
    """An app with headers of its own."""

    headers = (
        ("Cache-Control", "public, max-age=3600"),
        ("X-Frame-Options", "SAMEORIGIN"),
        ("Content-Type", "text/html"),
        ("Set-Cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("Vary", "X"),
    )

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.calls.append(environ)
        start_response("200 OK", list(self.headers))
        return [b"<script>1</script>"]


def test_G4_the_apps_own_headers_are_untouched() -> None:
    world = World(app=Headed())
    tab = Tab(world)
    tab.cookies[PASS] = grant(world, tab.login)
    for cookie, login in ((tab.cookie, tab.login), ("", None)):
        answer = ask(world, login=login, cookie=cookie)
        assert answer.headerlist == list(Headed.headers)
        assert answer.body == b"<script>1</script>"


class Reader(HTMLParser):
    """Everything in a page that could lead elsewhere or run."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def urls(self) -> list[str]:
        names = (
            "href",
            "src",
            "action",
            "formaction",
            "data",
            "poster",
            "srcset",
            "background",
            "data-poll",
            "ping",
            "xlink:href",
            "manifest",
            "cite",
            "longdesc",
        )
        return [value or "" for _, attributes in self.tags for name, value in attributes.items() if name in names]


def harmless(page: str) -> Reader:
    """The page, read: no script but ours, no event handlers, no styles inside, no address of another origin."""
    read = Reader(page)
    for tag, attributes in read.tags:
        assert tag not in ("iframe", "object", "embed", "base", "style", "math", "foreignobject", "animate", "set", "video", "audio", "template", "applet")
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcdoc", "formaction")], (tag, attributes)
        assert tag != "script" or (attributes.get("src") or "").startswith(f"{PREFIX}/static/script.js")
        assert tag != "meta" or set(attributes) <= {"charset", "name", "content"} or attributes.get("http-equiv") == "refresh"
    assert len([tag for tag, _ in read.tags if tag == "script"]) <= 1
    for url in read.urls:
        assert url.startswith("/"), url
        assert not url.startswith(("//", "/\\")), url
        assert urlsplit(url).netloc == ""
    return read


@every_answer
def test_G5_nothing_of_ours_reaches_another_origin(name: str) -> None:
    answer = answers()[name]
    assert answer.header("Referrer-Policy") in ("same-origin", "no-referrer")
    if (answer.header("Content-Type") or "").startswith("text/html"):
        harmless(answer.text)
    if name in ("file", "script"):
        assert "http" not in answer.text.replace("http-equiv", "")


@every_answer
def test_G6_every_answer_has_a_policy_without_inline_scripts_and_no_sniffing(name: str) -> None:
    answer = answers()[name]
    policy = answer.header("Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none'")
    for word in ("unsafe", "data:", "*", "blob:", "nonce-", "http:"):
        assert word not in policy
    assert "base-uri 'none'" in policy
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("Content-Type")


@every_answer
def test_G7_no_page_of_ours_shares_its_window(name: str) -> None:
    assert answers()[name].header("Cross-Origin-Opener-Policy") == "same-origin"


# G2


POSTS = ("/start", "/code", "/poll", "/continue", "/enrol", "/kept", "/logout")
ORIGINS: dict[str, dict[str, str]] = {
    "null": {"Origin": "null"},
    "another": {"Origin": "https://evil.example"},
    "a subdomain": {"Origin": "https://x.site.example"},
    "a longer host": {"Origin": "https://site.example.evil.example"},
    "a shorter host": {"Origin": "https://example"},
    "another port": {"Origin": "https://site.example:8443"},
    "userinfo": {"Origin": "https://site.example@evil.example"},
    "no scheme": {"Origin": "site.example"},
    "two": {"Origin": "https://site.example https://evil.example"},
    "two with a comma": {"Origin": "https://site.example, https://evil.example"},
    "a file": {"Origin": "file://"},
    "an extension": {"Origin": "chrome-extension://abcdef"},
    "a trailing dot": {"Origin": "https://site.example."},
    "a path": {"Origin": "https://site.example/x"},
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "cross-site with our origin": {"Sec-Fetch-Site": "cross-site", "Origin": "https://site.example"},
    "our word with another origin": {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    "an unknown word": {"Sec-Fetch-Site": "x"},
    "other capitals": {"Sec-Fetch-Site": "Cross-Site"},
}


@pytest.fixture(scope="module")
def waiting() -> tuple[World, Tab, dict[str, str]]:
    """Alice, with the form that her page has."""
    world = World(limits=UNLIMITED)
    enrolled(world)
    grant(world, Login("mallory", "m"), OTHER_PHONE)
    world.clock.advance(3600)
    tab = Tab(world)
    fields = {**hidden(tab.visit(), "/start", "sms"), "code": "1111111", "phone": OTHER_PHONE, "email": "a@example.com", "of": "x"}
    return world, tab, fields


@pytest.mark.parametrize("origin", **named(ORIGINS))
@pytest.mark.parametrize("page", POSTS)
def test_G2_a_foreign_page_does_nothing_even_with_a_genuine_token(waiting: tuple[World, Tab, dict[str, str]], page: str, origin: dict[str, str]) -> None:
    world, tab, fields = waiting
    sent, told = len(world.calls()), len(world.events)
    answer = ask(world, PREFIX + page, method="POST", body=_body(fields), login=tab.login, cookie=tab.cookie, headers={**HTML, **origin})
    Shut(world)(answer, 403)
    assert len(world.calls()) == sent
    assert len(world.events) == told


def _body(fields: dict[str, str]) -> bytes:
    return urlencode(fields).encode()


def _tokens(world: World, tab: Tab, fields: dict[str, str]) -> dict[str, str | None]:
    good = fields["csrf"]
    return {
        "none": None,
        "empty": "",
        "junk": "x",
        "cut": good[:-1],
        "turned": good[::-1],
        "twice": good * 2,
        "the attempt": tab.cookies[ATTEMPT],
        "next": fields["next"],
        "another user's": hidden(Tab(world, "mallory").visit(), "/logout")["csrf"],
        "another session's": hidden(Tab(world, "alice", "elsewhere").visit(), "/logout")["csrf"],
        "an unbound session's": hidden(Tab(world, "alice", "").visit(), "/logout")["csrf"],
    }


@pytest.mark.parametrize("page", POSTS)
def test_G2_without_the_persons_own_token_nothing_is_done(waiting: tuple[World, Tab, dict[str, str]], page: str) -> None:
    world, tab, fields = waiting
    for what, token in _tokens(world, tab, fields).items():
        sent = len(world.calls())
        said = {name: value for name, value in fields.items() if name != "csrf"} | ({} if token is None else {"csrf": token})
        for headers in (HTML, SAME, JSON, {**HTML, "X-CSRF-Token": fields["csrf"]}):
            Shut(world)(tab.post(PREFIX + page, said, headers=headers), 403, what=(page, what))
            Shut(world)(tab.post(PREFIX + page, said, headers=headers, query=f"csrf={fields['csrf']}"), 403, what=(page, what))
        assert len(world.calls()) == sent


@pytest.mark.parametrize("page", POSTS)
def test_G2_what_a_foreign_page_can_send_without_asking_first_is_no_form_of_ours(waiting: tuple[World, Tab, dict[str, str]], page: str) -> None:
    world, tab, fields = waiting
    sent = len(world.calls())
    for content_type in (
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json",
        "",
        "text/plain;application/x-www-form-urlencoded",
        "application/octet-stream",
    ):
        Shut(world)(tab.post(PREFIX + page, _body(fields), content_type=content_type), 400, 403)
    assert len(world.calls()) == sent


def test_G2_a_token_is_dead_after_a_day_and_with_another_attempt(waiting: tuple[World, Tab, dict[str, str]]) -> None:
    world, tab, fields = waiting
    sent = len(world.calls())
    other = Tab(world, session=tab.login.session)
    other.visit()
    Shut(world)(other.post(f"{PREFIX}/start", fields), 409)
    world.clock.advance(86401)
    Shut(world)(tab.post(f"{PREFIX}/start", fields), 403)
    assert len(world.calls()) == sent


@pytest.mark.parametrize("origin", **named({name: headers for name, headers in ORIGINS.items() if name != "our word with another origin"}))
def test_G2_a_form_that_a_foreign_page_sends_to_the_app_is_not_kept_and_sent_again_in_the_persons_name(origin: dict[str, str]) -> None:
    world = World(limits=UNLIMITED)
    enrolled(world)
    tab = Tab(world)
    for headers in ({**HTML, **origin}, {**HTML, **origin, "Referer": "https://site.example/pay"}):
        answer = Shut(world)(tab.post("/pay", {"to": "mallory"}, headers=headers), 401)
        assert "We keep your form" not in answer.text
    answer = tab.enter(tab.to_code("sms"), right(world))
    assert granted(answer)
    assert answer.status_int == 303
    assert "mallory" not in answer.text


def test_G2_with_public_url_the_scheme_counts_too() -> None:
    world = World(public_url="https://site.example")
    enrolled(world)
    tab = Tab(world)
    fields = hidden(tab.visit(), "/start", "sms")
    for origin in ("http://site.example", "https://SITE.example.evil", "https://site.example:444", "http://site.example:443"):
        Shut(world)(tab.post(f"{PREFIX}/start", fields, headers={**HTML, "Origin": origin, "Host": origin.partition("://")[2]}), 403)
    assert tab.post(f"{PREFIX}/start", fields, headers={**HTML, "Origin": "https://site.example", "Host": "inner:8000"}).status_int == 303


# G3


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("state", ["nothing yet", "a code awaited", "a push awaited", "in", "not enrolled"])
def test_G3_looking_at_every_page_ten_times_sends_counts_and_grants_nothing(state: str, method: str) -> None:
    world = World(
        channels=("push", "app", "sms", "call", "email"), profile=lambda _user: Profile(email="a@example.com"), enrolment="known" if state == "x" else "open"
    )
    tab = Tab(world)
    fields: dict[str, str] = {}
    if state != "not enrolled":
        enrolled(world)
        world.phone().install_app()
    if state == "a code awaited":
        fields = tab.to_code("app")
    if state == "a push awaited":
        fields = hidden(tab.visit(), "/start", "push")
        assert tab.post(f"{PREFIX}/start", fields).status_int == 303
    if state == "in":
        tab.enter(tab.to_code("app"), right(world, "app"))
    held, before = dict(tab.cookies), sends(world)
    fields = fields or hidden(tab.get(f"{PREFIX}/logout"), "/logout")
    query = "&".join(
        f"{name}={value}" for name, value in {**fields, "channel": "sms", "code": "1111111", "phone": OTHER_PHONE, "insist": "1", "again": "1"}.items()
    )
    told = len(world.events)
    paths = ("/", "/start", "/code", "/push", "/poll", "/continue", "/enrol", "/kept", "/logout", "/static/script.js", "/callback/authy", "/nothing")
    for path in paths:
        for said in ("", query):
            for _ in range(3 if said else 10):
                world.clock.advance(1)
                tab.cookies = dict(held)
                answer = tab.get(f"{PREFIX}{path}?{said}", method=method, headers={**HTML, "Purpose": "prefetch", "Sec-Purpose": "prefetch"})
                assert answer.status_int in (200, 303, 400, 403, 404)
                assert not granted(answer)
                assert method == "GET" or answer.body == b""
    assert sends(world) == before
    assert [event.kind for event in world.events[told:] if event.kind != "expired"] == []
    tab.cookies = held
    assert (tab.get().status_int == 200) == (state == "in")


# G6

PAYLOADS = (
    '"><svg onload=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "<!--<script>",
    "javascript:alert(1)",
    '" autofocus onfocus="alert(1)',
    "' onmouseover='alert(1)",
    "{{ 61*61 }}{% raw %}",
    "${61*61}<%= 61*61 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#x22;&#x3e;<svg/onload=alert(1)>",
    "\u2028<svg onload=alert(1)>",
    "<svg><animate onbegin=alert(1)>",
    '"><base href=//evil.example>',
    '"><meta http-equiv=refresh content="0;url=//evil.example">',
    '"><form action=//evil.example>',
    "\ufeff\u202e<b>",
)


@pytest.mark.parametrize("payload", **named(PAYLOADS))
def test_G6_nothing_that_is_echoed_becomes_a_tag(payload: str) -> None:
    world = World(
        limits=UNLIMITED,
        site_name=payload[:60] if payload.isprintable() else "x",
        profile=lambda _user: Profile(name=payload, email="", phone="", locale=payload),
        validate=False,
    )
    pages: list[Answer] = []
    user = payload if payload.isprintable() else "alice"
    tab = Tab(world, user)
    pages += [tab.get("/" + _raw(payload)), tab.visit("/" + _raw(payload) + "?x=" + _raw(payload))]
    form = hidden(pages[-1], "/enrol")
    for name in ("phone", "country", "email", "invite"):
        pages.append(tab.post(f"{PREFIX}/enrol", {**form, "phone": "1", "email": "x", name: payload}))
        pages.append(tab.get(f"{PREFIX}/enrol?{name}={_quoted(payload)}"))
    grant(world, Login(user, "e"))
    world.clock.advance(3600)
    pages.append(tab.visit())
    pages.append(tab.get(f"{PREFIX}/kept?of={_quoted(payload)}"))
    fields = hidden(pages[-1] if "csrf" in pages[-1].text else tab.visit(), "/logout")
    form = tab.to_code("app")
    for name in ("code", "channel", "client", "factor", "next", "from", "of"):
        for page in ("/code", "/start", "/kept", "/continue"):
            pages.append(tab.post(PREFIX + page, {**form, **fields, name: payload}))
    pages.append(tab.post("/" + _raw(payload), {payload: payload, "submit": payload}, headers=SAME))
    pages.append(tab.post("/x", {"a": payload}, headers={**HTML, "Referer": f"https://site.example/{_raw(payload)}"}))
    form = tab.to_code("sms")
    pages.append(tab.get(f"{PREFIX}/code"))
    done = tab.enter(form, right(world))
    assert granted(done)
    pages += [done, tab.get(f"{PREFIX}/"), tab.get(f"{PREFIX}/kept?of={_attempt_id(tab)}")]
    pages.append(tab.post(f"{PREFIX}/kept", {**form, "of": _attempt_id(tab)}))
    assert 'name="submit"' in pages[-1].text
    pages.append(tab.get(f"{PREFIX}/nothing/{_raw(payload)}"))
    read = 0
    for page in pages:
        assert page.status_int in (200, 303, 400, 401, 403, 404, 409, 422, 429, 503)
        if (page.header("Content-Type") or "").startswith("text/html") and page.body:
            harmless(page.text)
            assert "3721" not in page.text
            read += 1
    assert read > 20


def _raw(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _quoted(text: str) -> str:
    return quote(text, safe="")


@pytest.mark.parametrize("payload", **named(PAYLOADS[:6]))
def test_G6_what_the_provider_says_becomes_no_tag(payload: str) -> None:
    world = World(limits=UNLIMITED)
    enrolled(world)
    world.phone().install_app()
    fields = Tab(world)
    form = fields.to_code()
    said = {
        "success": False,
        "message": payload,
        "error_code": payload,
        "token": payload,
        "errors": {payload: payload},
        "cellphone": payload,
        "device": payload,
    }
    for status in (200, 400, 401, 403, 404, 429, 500, 503):
        for route in ("verify", "sms", "approval_requests", "users/new"):
            world.emulator.clear_faults()
            world.emulator.add_fault(route=route, kind="status", status=status, body=json.dumps(said), count=0)
            for answer in (
                fields.enter(form, "1234567"),
                fields.post(f"{PREFIX}/start", {**form, **_way(world, "sms")}),
                fields.post(f"{PREFIX}/start", {**form, **_way(world, "push")}),
            ):
                Shut(world)(answer, 303, 422, 429, 503)
                harmless(answer.text)
                assert payload not in answer.text


def _way(world: World, channel: str) -> dict[str, str]:
    return {"client": "authy", "channel": channel, "factor": world.settings["users"].get("alice").factors[0].id, "insist": "1"}


def test_G6_json_answers_cannot_be_read_as_a_page_or_script(waiting: tuple[World, Tab, dict[str, str]]) -> None:
    for name in ("wall problem", "poll", "denied", "fault for a program", "anonymous script"):
        answer = answers()[name]
        assert (answer.header("Content-Type") or "").startswith(("application/json", "application/problem+json"))
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert isinstance(answer.json, dict)
    world, tab, _ = waiting
    answer = ask(world, "/</script><svg onload=alert(1)>", login=tab.login, headers={})
    assert "<" not in answer.text


# G8


@pytest.mark.parametrize("kind", ["XMLHttpRequest", "fetch", "image", "script", "preflight", "beacon"])
def test_G8_a_hundred_background_requests_start_nothing(kind: str) -> None:
    kinds: dict[str, tuple[str, dict[str, str]]] = {
        "XMLHttpRequest": ("GET", {**HTML, "X-Requested-With": "XMLHttpRequest"}),
        "fetch": ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
        "image": ("GET", {"Accept": "image/avif,image/*,*/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
        "script": ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors"}),
        "preflight": ("OPTIONS", {"Access-Control-Request-Method": "POST", "Origin": "https://evil.example"}),
        "beacon": ("POST", {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors"}),
    }
    method, headers = kinds[kind]
    world = World()
    enrolled(world)
    tab = Tab(world)
    fields = tab.to_code("sms")
    shut, sent, kept = Shut(world), len(world.calls()), len(world.settings["ledger"]._values)
    for number in range(100):
        answer = shut(tab.get(f"/api/{number}", method=method, headers=headers), 401)
        assert answer.header("Set-Cookie") is None
        assert answer.header("Location") is None
    assert len(world.calls()) == sent
    assert len(world.settings["ledger"]._values) == kept
    assert granted(tab.enter(fields, right(world)))


def test_G8_the_waiting_page_asks_the_provider_once_a_second_however_many_tabs_ask(world: World) -> None:
    enrolled(world)
    world.phone().install_app()
    tab = Tab(world)
    fields = hidden(tab.visit(), "/start", "push")
    tab.post(f"{PREFIX}/start", fields)
    before = len(world.calls("approval_requests/status"))
    for _ in range(5):
        world.clock.advance(1)
        for _ in range(20):
            answer = Shut(world)(tab.post(f"{PREFIX}/poll", fields, headers=JSON), 200)
            assert answer.json == {"state": "pending"}
    assert len(world.calls("approval_requests/status")) - before == 5
