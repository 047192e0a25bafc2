"""F. Redirects and hosts: wherever we send a browser, it stays on our origin, read as a browser reads it."""

from __future__ import annotations

import re
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authy_wsgi import Login, Misconfigured, Profile
from tests.attacks.helpers import PASS, PREFIX, UNLIMITED, Answer, Shut, Tab, ask, enrolled, grant, granted, hidden, named, right, where
from tests.support import HTML, PHONE, World

HOME = ("https", "site.example")
EVIL = "evil.example"
# What a browser could read as another origin, or as no page of ours.
TARGETS = (
    *(
        f"//{EVIL}",
        f"///{EVIL}",
        f"////{EVIL}",
        f"/\\{EVIL}",
        f"\\\\{EVIL}",
        f"\\/{EVIL}",
        f"/\\/{EVIL}",
        f"//\\{EVIL}",
        f"/\t/{EVIL}",
        f"/\n/{EVIL}",
        f"/\r/{EVIL}",
        f"\t//{EVIL}",
    ),
    *(
        f" //{EVIL}",
        f"\x00//{EVIL}",
        f"\x01//{EVIL}",
        f"\x1f//{EVIL}",
        f"/\x00/{EVIL}",
        f"//{EVIL}/..",
        f"/.//{EVIL}",
        f"/..//{EVIL}",
        f"/./\\{EVIL}",
        f"/x/..//{EVIL}",
        f"/%2f{EVIL}",
        f"/%2f%2f{EVIL}",
    ),
    *(
        f"/%5c{EVIL}",
        f"/%09/{EVIL}",
        f"/%0a/{EVIL}",
        f"/%0d/{EVIL}",
        f"%2f%2f{EVIL}",
        f"/%252f{EVIL}",
        f"https://{EVIL}",
        f"HTTPS://{EVIL}",
        f"https:/{EVIL}",
        f"https:{EVIL}",
        f"https:\\\\{EVIL}",
    ),
    *(
        f"http://{EVIL}",
        f"http:{EVIL}",
        f"ht\ttps://{EVIL}",
        f"https\n://{EVIL}",
        f" https://{EVIL}",
        f"\x0bhttps://{EVIL}",
        f"//site.example@{EVIL}",
        f"//site.example:443@{EVIL}",
        f"https://site.example@{EVIL}",
    ),
    *(
        f"https://site.example.{EVIL}",
        f"https://site.example%2f@{EVIL}",
        f"https://{EVIL}#site.example",
        f"https://{EVIL}?site.example",
        f"https://{EVIL}\\@site.example",
        f"//{EVIL}:443",
        "//[::1]",
        "//0x7f000001",
    ),
    *(
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "\x01javascript:alert(1)",
        "javascript://%0aalert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:x",
        "about:blank",
    ),
    *(
        "view-source:x",
        f"ftp://{EVIL}",
        f"ws://{EVIL}",
        f"//{EVIL}%00.site.example",
        "//evil。example",
        "//ｅvil.example",
        f"///{EVIL}/%2e%2e",
        f"/{chr(0x2044)}{EVIL}",
        f"/{chr(0xFF0F)}{EVIL}",
        f"//{EVIL}\\.site.example",
    ),
    *(
        "\u2028//evil.example",
        f"/\u00a0/{EVIL}",
        f"/\xad/{EVIL}",
        f";//{EVIL}",
        f"?//{EVIL}",
        f"#//{EVIL}",
        f"@{EVIL}",
        f":{EVIL}",
        f".{EVIL}",
        f"..//{EVIL}",
        "",
        "/",
        "//",
        "///",
        "\\",
        "/\\",
        "http:",
        "https://",
        "://",
    ),
)


def stays(answer: Answer, what: object = "") -> str:
    """The answer's Location: an absolute path of ours, for a browser as for a server."""
    location = answer.header("Location")
    assert location is not None, what
    assert where(location) == HOME, (what, location)
    assert re.fullmatch(r"/([!-\[\]-~][!-~]*)?", location), (what, location)
    assert not location.startswith(("//", "/\\")), (what, location)
    return location


@pytest.fixture(scope="module")
def site() -> World:
    world = World(limits=UNLIMITED, validate=False)
    enrolled(world)
    return world


@pytest.fixture(scope="module")
def there(site: World) -> Tab:
    """Somebody who is in."""
    tab = Tab(site, "bob")
    tab.cookies[PASS] = grant(site, tab.login, "+14085555272")
    return tab


def raw(text: str) -> str:
    """Text as a server hands it over."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


@pytest.mark.parametrize("target", **named(TARGETS))
def test_F1_F2_the_page_that_was_asked_for_leads_back_to_our_origin_only(site: World, there: Tab, target: str) -> None:
    for path in {raw(target), raw("/" + target.lstrip("/")), raw(target) + "/x"}:
        for query in ("", raw(f"next={target}&{target}")):
            first = ask(site, path, query=query, login=there.login)
            Shut(site)(first, 303)
            ours = stays(first, path)
            assert ours.startswith(f"{PREFIX}/")
            page, _, query_of_ours = ours.partition("?")
            for step in ("/", "/continue"):
                stays(ask(site, PREFIX + step, query=query_of_ours, login=there.login, cookie=there.cookie), path)
            assert page == f"{PREFIX}/"


@pytest.mark.parametrize("target", **named(TARGETS))
def test_F1_next_in_any_spelling_that_we_did_not_sign_leads_to_the_root(site: World, there: Tab, target: str) -> None:
    fields = hidden(there.get(f"{PREFIX}/"), "/logout")
    first = quote(raw(target), safe="")
    for spelled in (first, quote(quote(raw(target), safe=""), safe=""), quote(raw(target), safe="/:\\@?=;")):
        query = f"next={spelled}"
        answer = there.get(f"{PREFIX}/continue?{query}")
        assert answer.status_int == 400 or stays(answer, target) == "/"
        for page in ("/start", "/continue", "/code", "/poll", "/enrol", "/kept")[: 6 if spelled == first else 2]:
            for where_to in ({"query": query}, {}):
                answer = there.post(PREFIX + page, {"csrf": fields["csrf"], "next": target.encode("utf-8", "surrogatepass")}, **where_to)
                if answer.status_int == 303:
                    assert EVIL not in stays(answer, (page, target))
    for name in ("return_to", "redirect", "redirect_uri", "url", "came_from", "continue", "rd", "to", "goto", "Location"):
        answer = there.get(f"{PREFIX}/continue?{name}={quote(raw(target), safe='')}")
        assert answer.status_int == 400 or stays(answer) == "/"


@pytest.mark.parametrize("target", **named(TARGETS))
def test_F1_the_page_that_a_form_came_from_is_ours_or_the_root(site: World, target: str) -> None:
    referers = {target, f"https://site.example{target}", f"https://site.example/{target}", f"//site.example/{target}", f"https://site.example:443{target}"}
    for referer in referers:
        answer = ask(site, "/pay", method="POST", body=b"a=b", login=("alice", "s"), headers={**HTML, "Referer": raw(referer)})
        Shut(site)(answer, 401)
        links = re.findall(r'href="([^"]*)"', answer.text)
        assert links
        for link in links:
            assert where(link) == HOME
            assert link.startswith("/")
            assert not link.startswith(("//", "/\\"))
        link = next(link for link in links if "next=" in link)
        query = link.partition("?")[2]
        assert stays(ask(site, f"{PREFIX}/start", query=query, login=("alice", "s")))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    path=st.one_of(st.text(alphabet="/\\.:@%?#;2f5c09evil\t\r\n \x00", max_size=14), st.text(max_size=8)),
    query=st.text(alphabet="/\\:%&=#\r\n\t \x00a\xff", max_size=8),
)
def test_F1_F2_no_path_and_query_lead_elsewhere(path: str, query: str) -> None:
    world = _SITES.setdefault("world", World(validate=False))
    login = Login("alice", "s")
    cookie = _PASSES.get("cookie") or _PASSES.setdefault("cookie", f"{PASS}={grant(world, login)}")
    first = ask(world, raw("/" + path), query=raw(query), login=login)
    if first.status_int == 303:
        ours = stays(first)
        stays(ask(world, f"{PREFIX}/continue", query=ours.partition("?")[2], login=login, cookie=cookie))


_SITES: dict[str, World] = {}
_PASSES: dict[str, str] = {}


@pytest.mark.parametrize("setting", ["login_url", "logout_url", "prefix"])
@pytest.mark.parametrize(
    "value", **named([target for target in TARGETS if target not in ("", "/") and not target.startswith(("/%", "/.//", "/x/", "/..//", "/./"))])
)
def test_F1_a_setting_that_leads_elsewhere_does_not_start(setting: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=setting):
        World(**{setting: value})


def test_F1_our_sign_out_leads_to_the_sites_own_page(site: World) -> None:
    tab = Tab(site)
    fields = hidden(tab.visit(), "/logout")
    answer = tab.post(f"{PREFIX}/logout", {**fields, "next": f"//{EVIL}", "to": f"//{EVIL}"}, query=f"next=//{EVIL}")
    assert stays(answer) == "/"


# F3

HOSTS = (
    EVIL,
    f"site.example, {EVIL}",
    f"site.example:80@{EVIL}",
    f"{EVIL}:443",
    f"site.example#{EVIL}",
    f"site.example/{EVIL}",
    "javascript:",
    "",
    "[::1",
    'x"onload="y',
    "a b",
    f"{EVIL}\x00",
    "x" * 3000,
)


def _no_host(answer: Answer, said: str) -> None:
    for place in (str(answer.headerlist), answer.text):
        assert EVIL not in place
        assert "javascript" not in place
        assert 'x"onload' not in place
        assert not re.search(r"https?://(?!127\.0\.0\.1:8999|www\.w3\.org)", place), place
    location = answer.header("Location")
    assert location is None or location.startswith("/"), said


@pytest.mark.parametrize("host", **named(HOSTS))
def test_F3_no_address_of_ours_comes_from_the_hosts_name(site: World, host: str) -> None:
    variants: list[dict[str, Any]] = [
        {"Host": host},
        {"X-Forwarded-Host": host},
        {"Forwarded": f"host={host};proto=https"},
        {"X-Forwarded-Server": host},
        {"X-Original-Host": host},
        {"X-Host": host},
    ]
    for headers in variants:
        for extra in ({}, {"SERVER_NAME": host or "x"}):
            said = {**HTML, **headers}
            _no_host(Shut(site)(ask(site, login=("alice", "s"), headers=said, **extra), 303), host)
            _no_host(Shut(site)(ask(site, login=("alice", "s"), headers=headers, **extra), 401), host)
            for page in ("/", "/enrol", "/continue", "/logout", "/code"):
                _no_host(Shut(site)(ask(site, PREFIX + page, login=("alice", "s"), headers=said, **extra), 200, 303), host)
            _no_host(Shut(site)(ask(site, "/pay", method="POST", body=b"a=b", login=("alice", "s"), headers=said, **extra), 401), host)
            _no_host(Shut(site)(ask(site, f"{PREFIX}/", headers=said, **extra), 403), host)


@pytest.mark.parametrize("proto", ["javascript", "http", "HTTPS", "data:text/html,", "https,http", "", "x"])
def test_F3_no_address_of_ours_comes_from_a_forwarded_scheme(site: World, proto: str) -> None:
    for headers in (
        {"X-Forwarded-Proto": proto},
        {"X-Forwarded-Scheme": proto},
        {"X-Scheme": proto},
        {"Forwarded": f"proto={proto}"},
        {"Front-End-Https": "off"},
    ):
        answer = Shut(site)(ask(site, login=("alice", "s"), headers={**HTML, **headers}), 303)
        stays(answer)
        page = ask(site, f"{PREFIX}/", login=("alice", "s"), headers={**HTML, **headers})
        cookies = [value for name, value in page.headerlist if name == "Set-Cookie"]
        assert cookies
        assert all(cookie.startswith("__Host-") and "; secure" in cookie.lower() and "; HttpOnly" in cookie for cookie in cookies)


def test_F3_a_name_of_the_site_comes_from_the_settings(site: World) -> None:
    for settings_of_it, name in (({}, "This site"), ({"public_url": "https://shop.example"}, "shop.example"), ({"site_name": "Shop"}, "Shop")):
        world = World(**{"site_name": "", **settings_of_it})
        answer = ask(world, f"{PREFIX}/enrol", login=("alice", "s"), headers={**HTML, "Host": EVIL})
        assert f'<span class="site-name">{name}</span>' in answer.text
        assert EVIL not in answer.text


# F4

BREAKS = (
    "\r\nSet-Cookie: x=y",
    "\nSet-Cookie: x=y",
    "\rSet-Cookie: x=y",
    "%0d%0aSet-Cookie:x=y",
    "%0aSet-Cookie:x=y",
    "%250d%250aSet-Cookie:x=y",
    "\u560d\u560aSet-Cookie:x=y",
    "\u2028Set-Cookie:x=y",
    "\x85Set-Cookie: x=y",
    "\\r\\nSet-Cookie: x=y",
    "\r\n\r\n<html>",
    "\x00\r\nX: y",
)


def clean(answer: Answer) -> None:
    for name, value in answer.headerlist:
        assert re.fullmatch(r"[A-Za-z0-9-]+", name)
        assert re.fullmatch(r"[\x20-\x7e]*", value), (name, value)
        assert name != "Set-Cookie" or value.startswith("__Host-second_factor")
    assert {name for name, _ in answer.headerlist} <= {
        *(
            "Content-Length",
            "Content-Type",
            "Cache-Control",
            "Content-Security-Policy",
            "Cross-Origin-Opener-Policy",
            "Cross-Origin-Resource-Policy",
            "Permissions-Policy",
        ),
        *("Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options", "Location", "Set-Cookie", "Vary", "WWW-Authenticate", "Retry-After", "Allow"),
    }


@pytest.mark.parametrize("broken", **named(BREAKS))
def test_F4_a_line_break_makes_no_header_wherever_it_is_put(broken: str) -> None:
    world = World(validate=False, limits=UNLIMITED)
    login, text = ("alice", "s"), raw(broken)
    for path, query in product(
        ("/x" + text, text, f"{PREFIX}{text}", f"{PREFIX}/{text}", f"{PREFIX}/static/{text}", "/x"), ("", f"a={text}", f"next={text}", text)
    ):
        clean(Shut(world)(ask(world, path, query=query, login=login), 303, 400, 404, 200))
        clean(Shut(world)(ask(world, path, query=query, login=login, method="POST", headers={}), 400, 401, 403, 404, 405))
    for header in ("Referer", "Host", "Origin", "User-Agent", "Accept", "Cookie", "Sec-Fetch-Site", "X-Requested-With", "Accept-Language", "Upgrade"):
        clean(ask(world, login=login, headers={**HTML, header: text}))
        clean(ask(world, "/x", login=login, method="POST", body=b"a=b", headers={**HTML, header: f"https://site.example/{text}"}))
    tab = Tab(world)
    form = hidden(tab.visit(), "/enrol")
    for name in ("phone", "country", "email", "invite", "next", "code", "csrf", "channel", "factor", "client", "from", "of", "insist"):
        for page in ("/enrol", "/code", "/start", "/poll", "/continue", "/logout", "/kept"):
            answer = tab.post(PREFIX + page, {**form, "phone": "1", name: broken})
            clean(answer)
            assert not granted(answer)
    for user in (f"alice{broken}", broken):
        answer = Shut(world)(ask(world, f"{PREFIX}/enrol", login=(user, "s")), 200, 503)
        clean(answer)


def test_F4_a_line_break_in_what_the_site_says_of_a_person_or_itself_makes_no_header() -> None:
    for text in BREAKS:
        world = World(
            profile=lambda _user, text=text: Profile(name=text, email=f"a{text}@example.com", phone=PHONE + text, locale=text, country=text), validate=False
        )
        clean(ask(world, f"{PREFIX}/enrol", login=("alice", "s")))
    for text in ("a\r\nb", "a\nb", "a\x00b"):
        with pytest.raises(Misconfigured, match="site_name"):
            World(site_name=text)


# F5


@pytest.mark.parametrize("enrolled_already", [True, False])
def test_F5_a_browser_that_keeps_no_cookies_is_told_so_after_two_rounds(enrolled_already: bool) -> None:
    world = World(limits=UNLIMITED)
    if enrolled_already:
        enrolled(world)
    tab, sent = Tab(world), len(world.calls())
    redirects = 0
    answer = tab.get(cookie="")
    while answer.status_int == 303:
        redirects += 1
        assert redirects <= 2
        answer = ask(world, *_split(answer.header("Location") or ""), login=tab.login)
    form = hidden(answer, "/start" if enrolled_already else "/enrol", "sms" if enrolled_already else "")
    body = {**form, "phone": PHONE, "email": "a@example.com"}
    answer = Shut(world)(tab.post(f"{PREFIX}/start" if enrolled_already else f"{PREFIX}/enrol", body, cookie=""), 400)
    assert "does not keep our cookie" in answer.text
    assert len(world.calls()) == sent


def test_F5_a_browser_that_loses_the_pass_gets_a_page_and_no_third_redirect() -> None:
    world = World(limits=UNLIMITED)
    enrolled(world)
    tab = Tab(world)
    assert granted(tab.enter(tab.to_code("sms"), right(world)))
    redirects, answer = 0, ask(world, login=tab.login)
    while answer.status_int == 303:
        redirects += 1
        assert redirects <= 2
        answer = ask(world, *_split(answer.header("Location") or ""), login=tab.login)
    assert "does not keep our cookie" in answer.text
    assert not granted(answer)


def _split(location: str) -> list[str]:
    """The path of a Location; its query does not matter here."""
    return [location.partition("?")[0]]
