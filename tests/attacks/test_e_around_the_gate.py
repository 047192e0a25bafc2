"""E. Getting around the gate: paths, headers, methods, odd identities, plug-ins that fail, and two gates around one app."""

from __future__ import annotations

import io
import logging
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from authy_wsgi import (
    NOT_NEEDED,
    Login,
    MemoryLedger,
    MemoryStore,
    Misconfigured,
    Need,
    SecondFactor,
    SQLLedger,
    SQLStore,
    basic_auth,
    by_path,
    environ_key,
    for_users,
    proven,
    remote_user,
    where_enrolled,
)
from tests.attacks.helpers import (
    OTHER_PHONE,
    PASS,
    PREFIX,
    Answer,
    Shut,
    Tab,
    ask,
    call,
    enrolled,
    environ_of,
    grant,
    hidden,
    named,
    right,
)
from tests.support import HTML, CountingApp, World

ALICE = Login("alice", "s")
EXEMPT = ("/health", "/api/public/status", "/static")
CANARY = "canary-of-the-plug-in"


@pytest.fixture(scope="module")
def site() -> World:
    """With some paths exempt. The app behind it takes whatever it is given."""
    world = World(exempt=EXEMPT, validate=False)
    enrolled(world)
    return world


def asked(world: World, path: str = "/admin", **request: Any) -> Answer:
    """Alice has the password only: she must be asked."""
    answer = ask(world, path, **{"login": ALICE, **request})
    Shut(world)(answer, 303, 400, 401)
    return answer


def test_what_is_exempt_goes_through_and_all_else_does_not(site: World) -> None:
    before = site.app_calls
    for path in ("/health", "/health/", "/health/live", "/api/public/status", "/static/a.css"):
        assert ask(site, path, login=ALICE).status_int == 200
    assert site.app_calls == before + 5
    shut = Shut(site)
    shut(ask(site, "/admin", login=ALICE), 303)


@pytest.mark.parametrize("path", ["/admin", "/api/private", "/", "/api", "/members"])
@pytest.mark.parametrize(
    "query",
    **named(
        ["x=/health", "/health", "/../health", "x=/static/a.css", "?/health", "&/health", "%2Fhealth", "path=/health#", "x=/api/public/status", ";/health"]
    ),
)
def test_E1_nothing_in_the_query_makes_a_path_exempt(site: World, path: str, query: str) -> None:
    asked(site, path, query=query)
    asked(site, path, query=query, headers={"Accept": "application/json"})


PATH_HEADERS = (
    *("X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Url", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Original-Path"),
    *(
        "Forwarded",
        "X-Script-Name",
        "Script-Name",
        "X-Path-Info",
        "Path-Info",
        "X-Envoy-Original-Path",
        "X-Accel-Redirect",
        "X-Sendfile",
        "Request-Uri",
        "X-Request-Uri",
    ),
    *(
        "X-Auth-Request-Redirect",
        "X-Original-Method",
        "X-Forwarded-Method",
        "Referer",
        "Origin",
        "Host",
        "X-Forwarded-Host",
        "Destination",
        "Content-Location",
        "Via",
        "X-Exempt",
    ),
)


@pytest.mark.parametrize("header", PATH_HEADERS)
def test_E2_no_header_makes_a_path_exempt(site: World, header: str) -> None:
    for value in (
        "/health",
        "/static/",
        "https://site.example/health",
        "path=/health",
        "for=127.0.0.1;path=/health",
        "/health?x",
        "GET /health",
        "site.example/health",
    ):
        asked(site, headers={**HTML, header: value})
        asked(site, headers={header: value})


AGENTS = (
    *(
        "kube-probe/1.29",
        "GoogleHC/1.0",
        "ELB-HealthChecker/2.0",
        "Amazon-Route53-Health-Check-Service",
        "Consul Health Check",
        "Prometheus/2.5",
        "HealthChecker",
        "Zabbix",
    ),
    *(
        "UptimeRobot/2.0",
        "Googlebot/2.1",
        "curl/8",
        "Wget",
        "python-requests/2",
        "",
        "-",
        "Mozilla/5.0",
        "internal",
        "authy-wsgi",
        "x" * 20_000,
        "\xff\xfe",
        "check_http/v2",
    ),
)


@pytest.mark.parametrize("agent", **named(AGENTS))
def test_E3_no_user_agent_is_let_through(site: World, agent: str) -> None:
    for headers in (HTML, {}, {"Accept": "*/*"}):
        for path in ("/admin", "/", "/healthz", "/ping"):
            asked(site, path, headers={**headers, "User-Agent": agent})


FRAGMENTS = (
    "/admin#/health",
    "/admin#",
    "/#/health",
    "/admin#/../health",
    "/admin%23/health",
    "#/health",
    "/admin#/static/a.css",
    "/admin#?/health",
    "/#health",
    "/health#",
    "/health#/admin",
    "/static#/x",
)


@pytest.mark.parametrize("path", **named(FRAGMENTS))
def test_E4_a_fragment_in_the_request_line_does_not_count(site: World, path: str) -> None:
    asked(site, path)
    before, _, after = path.partition("#")
    asked(site, before if before not in EXEMPT and before else "/admin", query=f"#{after}")


MALFORMED = (
    *(
        "/%",
        "/%zz",
        "/%2",
        "/%%",
        "/\xff",
        "/\xc0\xaf",
        "//",
        "///",
        "/a b",
        "*",
        "http://site.example/admin",
        "https://evil.example/health",
        "",
        "/admin\x00",
        "/\x00",
        "/\t",
        "/\r\nX: y",
    ),
    *(
        "admin",
        "?",
        "#",
        ".",
        "..",
        "/.",
        "/..",
        "/\x7f",
        "/\u0100",
        "/" + "a" * 100_000,
        "/" + "a/" * 20_000,
        "/\xed\xa0\x80",
        ":80",
        "site.example:443",
        "[::1]",
        "\\",
        "/\\",
        " /admin",
        "\n/health",
    ),
)


@pytest.mark.parametrize("path", **named(MALFORMED))
def test_E5_a_malformed_target_is_asked_or_refused(site: World, path: str) -> None:
    for method, headers in product(("GET", "POST", "HEAD"), (HTML, {})):
        asked(site, path, method=method, headers=headers)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(path=st.one_of(st.text(st.characters(max_codepoint=255), max_size=30), st.text(max_size=12)))
def test_E5_no_path_is_a_fault(path: str) -> None:
    world = _PLAIN.setdefault("world", World(validate=False))
    shut = Shut(world)
    shut(ask(world, path, login=ALICE), 303, 403, 404)
    shut(ask(world, path, login=ALICE, headers={}), 401, 403, 404)
    for below in (PREFIX, PREFIX + "/"):
        shut(ask(world, below + path, login=ALICE), 200, 303, 400, 403, 404)


_PLAIN: dict[str, World] = {}


# E6

SEPARATORS = (
    "/",
    "//",
    "\\",
    "/./",
    "/../",
    "%2f",
    "%2F",
    "%5c",
    ";/",
    "/;x/",
    "/%2e%2e/",
    "/%252e%252e/",
    "/.%2e/",
    "\x00/",
    "/\x00",
    "/..;/",
    "/%00/",
    "%",
    "/..\\",
    "/\xc0\xae\xc0\xae/",
    "/．．/",
    "\u2215",
)
UNLIKE = (
    *(
        "/HEALTH",
        "/Health",
        "/healt",
        "/healthz",
        "/health.html",
        "/health-x",
        "/health ",
        "/health\t",
        "/health\r",
        "/health%20",
        "/health\x00",
        "/health?",
        "/health&",
        "/health,x",
        "/ health",
    ),
    *(
        "//health",
        "/./health",
        "/x/../health",
        "/%68ealth",
        "/health%2f..%2fadmin",
        "/ｈealth",
        "/hea\u200blth",
        "/hea\u0300lth",
        "health",
        "/health;",
        "/health;x=y",
        "/health/../admin",
        "/health/./x",
    ),
    *(
        "/health//admin",
        "/health/%2e%2e/admin",
        "/health/..;/admin",
        "/health\\admin",
        "/health/..",
        "/health/.",
        "/admin/health",
        "/api/health",
        "/api/public",
        "/api/public/",
        "/api/public/statuses",
    ),
    *(
        "/api/public//status",
        "/api/PUBLIC/status",
        "/static..",
        "/static../admin",
        "/static/..",
        "/static/../../admin",
        "/static/%2e%2e/%2e%2e/admin",
        "/static/..%2fadmin",
        "/static/\xff",
    ),
)


@pytest.mark.parametrize("path", **named(UNLIKE))
def test_E6_what_only_looks_like_an_exempt_path_is_asked(site: World, path: str) -> None:
    for spelling in (path, path.encode().decode("latin-1")):
        asked(site, spelling)


@pytest.mark.parametrize("separator", **named(SEPARATORS[1:]))
def test_E6_no_separator_leads_from_an_exempt_path_to_another(site: World, separator: str) -> None:
    for exempt, target in product(EXEMPT, ("admin", "", "admin/x")):
        for path in (
            f"{exempt}{separator}{target}",
            f"{exempt}/x{separator}{target}",
            f"{exempt}/x/y{separator}..{separator}{target}",
            f"/{separator}{exempt[1:]}",
            f"{separator}{exempt}",
        ):
            asked(site, path.encode().decode("latin-1"))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    pieces=st.lists(
        st.sampled_from(
            ["health", "static", "admin", "api", "public", "status", "", ".", "..", "%2e", "..;", ";x", "\\", "\x00", "%", "#", "?", " ", "HEALTH", "\xff"]
        ),
        min_size=1,
        max_size=6,
    )
)
def test_E6_whatever_is_exempt_is_below_a_rule_for_every_reader(pieces: list[str]) -> None:
    world = _EXEMPT.setdefault("world", World(exempt=EXEMPT, validate=False))
    path = "/" + "/".join(pieces)
    before = world.app_calls
    ask(world, path, login=ALICE)
    if world.app_calls == before:
        return
    # What went through must be below a rule as it stands, and leave no reader anything to resolve, decode or cut.
    assert any(path == rule or path.startswith(rule + "/") for rule in EXEMPT), path
    assert path.isascii()
    assert not {"", ".", ".."} & set(path[1:].split("/")[:-1]), path
    assert not any(mark in path for mark in ("\\", "\x00", ";", "%", "//", "/.."))


_EXEMPT: dict[str, World] = {}


RULES = {"/admin": Need(max_age=60), "/admin/open": Need(), "/pay": Need(max_age=5)}
SAME_RULE = (
    "/admin",
    "/admin/",
    "/admin/x",
    "/ADMIN",
    "/Admin/X",
    "//admin",
    "/./admin",
    "/x/../admin",
    "/admin;x",
    "/%61dmin",
    "/ａdmin",
    "/admin//x",
    "\\admin",
    "/admin\x00",
    "/admin/../x",
    "/\u212aelvin/../admin",
)


@pytest.mark.parametrize("path", **named(SAME_RULE))
def test_E6_a_rule_by_path_is_met_by_every_spelling_of_it(path: str) -> None:
    world = World(policy=by_path(RULES, otherwise=NOT_NEEDED), validate=False)
    cookie = f"{PASS}={grant(world, ALICE)}"
    world.clock.advance(61)
    asked(world, path.encode().decode("latin-1"), cookie=cookie)
    asked(world, path.encode().decode("latin-1"))
    assert ask(world, "/other", login=ALICE).status_int == 200


# E7 and E8


@pytest.mark.parametrize("path", ["", "/", "/admin", "//"])
@pytest.mark.parametrize("mount", ["/mount", "/a/b"])
def test_E7_the_root_of_a_mounted_app_is_asked(path: str, mount: str) -> None:
    world = World(validate=False, exempt="/static")
    enrolled(world)
    mounted = DispatcherMiddleware(world.app, {mount: world.gate})
    for headers in (HTML, {}):
        answer = Shut(world)(call(mounted, environ_of(mount + path, login=ALICE, headers=headers)), 303, 401)
        if headers:
            assert (answer.header("Location") or "").startswith(mount + PREFIX + "/?next=")


@pytest.mark.parametrize(
    "line",
    **named(
        [
            "",
            " ",
            "\t",
            "#",
            "# comment",
            "/ ",
            " /health",
            "health",
            "*",
            ".*",
            "^/",
            "/health\n",
            "/health/../x",
            "//",
            "/",
            "/a//b",
            "/a;b",
            "/%2f",
            "/a?b",
            "/a#b",
            "\x00",
            None,
            5,
            b"/x",
        ]
    ),
)
def test_E7_an_empty_or_odd_line_in_a_list_of_exemptions_does_not_start(line: Any) -> None:
    with pytest.raises(Misconfigured, match="exempt"):
        World(exempt=["/health", line])
    if isinstance(line, str) and line:
        with pytest.raises(Misconfigured, match="exempt"):
            World(exempt=line)


def test_E7_no_exemption_is_none() -> None:
    for empty in ((), [], frozenset()):
        world = World(exempt=empty, validate=False)
        for path in ("", "/", " ", "/x"):
            asked(world, path)


SPLITS = (
    ("/static", "/admin"),
    ("/static", ""),
    ("/static/", "admin"),
    ("/sta", "tic/admin"),
    ("/static/x", "/admin"),
    ("/health", "/admin"),
    ("/api/public/status", "/admin"),
    ("/health", "/"),
)


@pytest.mark.parametrize(("script_name", "path"), [pytest.param(*split, id=" + ".join(split)) for split in SPLITS])
def test_E8_a_header_that_moves_the_split_makes_nothing_exempt(site: World, script_name: str, path: str) -> None:
    """The app finds its page by PATH_INFO: what stands in SCRIPT_NAME must not count as the exempt part."""
    asked(site, path, SCRIPT_NAME=script_name)


@pytest.mark.parametrize("script_name", ["/x", "/admin", "/admin/open", "/pay", "/static"])
def test_E8_a_header_that_moves_the_split_lessens_no_rule(script_name: str) -> None:
    world = World(policy=by_path(RULES, otherwise=NOT_NEEDED), validate=False)
    enrolled(world)
    for path in ("/admin", "/pay", "/admin/x"):
        asked(world, path, SCRIPT_NAME=script_name)


def test_E8_the_same_path_is_judged_alike_wherever_it_is_split(site: World) -> None:
    for whole in ("/admin/x", "/x/health", "/admin/static/a.css"):
        for at in (place for place, character in enumerate(whole) if character == "/"):
            asked(site, whole[at:], SCRIPT_NAME=whole[:at])


@pytest.mark.parametrize(
    ("script_name", "path"), [("/logout", ""), ("/log", "out"), ("/logout", "/"), ("/account", "/logout")], ids=["all", "half", "slash", "elsewhere"]
)
def test_E8_a_header_that_moves_the_split_makes_no_other_page_the_logout(script_name: str, path: str) -> None:
    """ "/logout" + "" is the app's first page, not its logout."""
    world = World(logout_url="/logout", validate=False)
    enrolled(world)
    asked(world, path, SCRIPT_NAME=script_name)


# E9, E10, E11, E13


def _spellings(name: str) -> list[str]:
    """What a server makes of a header in any of its spellings: one key, and the same with `x`."""
    return ["HTTP_" + name.upper().replace("-", "_"), "HTTP_X_" + name.upper().replace("-", "_"), "HTTP_" + name]


IDENTITY_HEADERS = (
    "Remote-User",
    "Remote_User",
    "X-Remote-User",
    "X-Forwarded-User",
    "X_Forwarded_User",
    "X-User",
    "Auth-User",
    "X-Auth-Request-User",
    "Remote-Ident",
    "Auth-Type",
    "Logname",
    "X-Ssl-User",
    "Ssl-Client-S-Dn",
)
READERS: dict[str, Any] = {"REMOTE_USER": remote_user, "an environ key": environ_key("site.login"), "HTTP Basic": basic_auth}


@pytest.mark.parametrize("reader", **named(READERS))
def test_E9_E10_no_header_makes_anybody(reader: Any) -> None:
    world = World(identity=reader, validate=False)
    enrolled(world, "admin")
    headers = {key: "admin" for name in IDENTITY_HEADERS for key in _spellings(name)}
    credentials = b64encode(b"admin:admin").decode()
    for extra in (
        headers,
        {"HTTP_AUTHORIZATION": f"Basic {credentials}"},
        {"HTTP_AUTHORIZATION": "Bearer admin"},
        {"HTTP_SITE_LOGIN": "admin", "HTTP_SITE.LOGIN": "admin"},
        {"HTTP_AUTH_TYPE": "Basic"},
    ):
        before = world.app_calls
        assert ask(world, "/admin", **extra).status_int == 200
        assert world.app_calls == before + 1
        assert world.app.calls[-1]["authy_wsgi.proven"].user_id is None
        Shut(world)(ask(world, f"{PREFIX}/", **extra), 403)


@pytest.mark.parametrize("name", IDENTITY_HEADERS)
def test_E9_E10_no_header_changes_who_the_server_says_is_there(name: str) -> None:
    world = World(identity=remote_user, validate=False)
    cookie = f"{PASS}={grant(world, Login('bob'), OTHER_PHONE)}"
    before = world.app_calls
    extra = dict.fromkeys(_spellings(name), "admin")
    assert ask(world, "/x", cookie=cookie, REMOTE_USER="bob", **extra).status_int == 200
    assert world.app_calls == before + 1
    assert world.app.calls[-1]["authy_wsgi.proven"].user_id == "bob"
    Shut(world)(ask(world, "/x", cookie=cookie, REMOTE_USER="admin", **dict.fromkeys(_spellings(name), "bob")), 303)


def test_E10_basic_credentials_that_name_another_user_than_the_server_does_are_a_fault() -> None:
    world = World(identity=basic_auth, validate=False)
    for credentials in ("bob:x", "admin", "", "ádmin:x", ":x", "admin :x", "ADMIN:x"):
        header = f"Basic {b64encode(credentials.encode()).decode()}"
        if credentials == "admin":
            continue
        Shut(world)(ask(world, REMOTE_USER="admin", AUTH_TYPE="Basic", HTTP_AUTHORIZATION=header), 503)
    for header in ("Basic", "Basic !!", "Bearer x", "", "Basic " + b64encode(b"\xff\xfe:x").decode()):
        Shut(world)(ask(world, REMOTE_USER="admin", AUTH_TYPE="Basic", HTTP_AUTHORIZATION=header), 503)


def test_E10_a_key_that_clients_can_send_is_no_identity() -> None:
    for key in ("HTTP_REMOTE_USER", "HTTP_X_FORWARDED_USER", "HTTP_"):
        with pytest.raises(ValueError, match="any client can send"):
            environ_key(key)


OURS = (
    "authy_wsgi",
    "authy_wsgi.proven",
    "authy_wsgi.base",
    "authy_wsgi.login",
    "authy-wsgi.proven",
    "AUTHY_WSGI",
    "AUTHY_WSGI_PROVEN",
    "authy_wsgi_login",
    "X-Authy-Wsgi",
    "second_factor",
    "X-Middleware-Subrequest",
)


@pytest.mark.parametrize("name", OURS)
def test_E11_E13_what_we_tell_the_app_comes_from_nobody_else(site: World, name: str) -> None:
    claimed = "Proven(user_id='admin', proofs=(('app', 1),))"
    extra: dict[str, Any] = dict.fromkeys(_spellings(name), claimed)
    # As wsgiref copies the operating system's variables into each request.
    extra[name] = claimed
    for path, login, user in (("/health", ALICE, "alice"), ("/static/x", ALICE, "alice"), ("/x", None, None), ("/health", None, None)):
        assert ask(site, path, login=login, **extra).status_int == 200
        told = proven(site.app.calls[-1])
        assert (told.user_id, told.proofs) == (user, ())
    asked(site, **extra)
    for value in ("1", "true", "yes", "skip", "middleware:middleware:middleware"):
        asked(site, **dict.fromkeys(_spellings(name), value))


HOSTS = (
    "ADMIN.Example.COM",
    "admin.example.com.",
    "admin.example.com:443",
    "admin.example.com:8443",
    "xn--bcher-kva.example",
    "bücher.example",
    "evil.example",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "",
    "a b",
    "a,b",
    "a" * 5000,
)


@pytest.mark.parametrize("host", **named(HOSTS))
def test_E12_no_host_is_let_through(site: World, host: str) -> None:
    raw = host.encode().decode("latin-1")
    for headers in ({**HTML, "Host": raw}, {"Host": raw}, {**HTML, "X-Forwarded-Host": raw}):
        answer = asked(site, headers=headers, SERVER_NAME=raw or "x")
        assert not raw or len(raw) < 5 or raw not in str(answer.headerlist) + answer.text


# E14


def test_E14_no_method_goes_round(site: World) -> None:
    for method in (
        "OPTIONS",
        "HEAD",
        "TRACE",
        "PUT",
        "PATCH",
        "DELETE",
        "CONNECT",
        "PROPFIND",
        "MKCOL",
        "LOCK",
        "SEARCH",
        "QUERY",
        "get",
        "GeT",
        "",
        "X",
        "HEAD ",
        "GET\r\n",
        "\u0130",
        "x" * 5000,
    ):
        for headers in ({}, HTML, {"Access-Control-Request-Method": "GET", "Origin": "https://evil.example"}):
            asked(site, method=method, headers=headers)


@pytest.mark.parametrize("override", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override", "HTTP-Method-Override"])
def test_E14_no_override_goes_round(site: World, override: str) -> None:
    for method, other in product(("GET", "POST", "OPTIONS"), ("OPTIONS", "HEAD", "GET", "POST", "TRACE", "X")):
        for body in (b"", f"_method={other}".encode()):
            asked(site, method=method, headers={**HTML, override: other}, body=body, query=f"_method={other}")


def test_E14_an_override_does_not_turn_a_look_into_a_deed_on_our_pages(world: World) -> None:
    enrolled(world)
    tab = Tab(world)
    fields = hidden(tab.visit(), "/start")
    sent = len(world.calls())
    query = "&".join(f"{name}={value}" for name, value in fields.items()) + "&_method=POST"
    for page in ("/start", "/enrol", "/poll", "/logout", "/continue", "/code"):
        Shut(world)(tab.get(f"{PREFIX}{page}?{query}", headers={**HTML, "X-HTTP-Method-Override": "POST"}), 200, 303)
    assert len(world.calls()) == sent


# E15 and E16


class Odd(str):
    __slots__ = ()


STRANGERS: dict[str, Any] = {
    "empty": "",
    "a space": " ",
    "spaces": " \t ",
    "a no-break space": "\u00a0",
    "zero": 0,
    "one": 1,
    "false": False,
    "true": True,
    "bytes": b"alice",
    "no bytes": b"",
    "a list": ["alice"],
    "no list": [],
    "an empty tuple": (),
    "a tuple of one": ("alice",),
    "a tuple of three": ("alice", "s", "x"),
    "a tuple of bytes": (b"alice", "s"),
    "no session": ("alice", None),
    "nobody with a session": ("", "s"),
    "None with a session": (None, "s"),
    "a dict": {"user": "alice"},
    "a set": {"alice"},
    "an object": object(),
    "a callable": lambda: "alice",
    "an exception": ValueError("alice"),
    "a float": float("nan"),
    "a NUL": "alice\x00",
    "a line break": "alice\nadmin",
    "a return": "alice\radmin",
    "a tab": "alice\tadmin",
    "an escape": "alice\x1b[0m",
    "a delete": "alice\x7f",
    "C1": "alice\x85",
    "a surrogate": "alice\ud800",
    "a session with a line break": ("alice", "s\n"),
    "too long": "a" * 256,
    "very long": "a" * 1_000_000,
    "a long session": ("alice", "s" * 1025),
}


@pytest.mark.parametrize("stranger", **named(STRANGERS))
@pytest.mark.parametrize("policy", **named({"required": None, "where enrolled": where_enrolled, "for some": for_users(["admin"])}))
def test_E15_an_identity_that_is_neither_nobody_nor_somebody_shuts_the_gate(stranger: Any, policy: Any) -> None:
    world = World(identity=lambda _environ: stranger, policy=policy, validate=False, exempt="/health")
    for headers in (HTML, {}):
        for path in ("/", "/health", f"{PREFIX}/", f"{PREFIX}/enrol"):
            answer = Shut(world)(ask(world, path, headers=headers), 503)
            assert "alice" not in answer.text
    assert world.calls() == []


@pytest.mark.parametrize(
    "user",
    **named(
        ["a@b@c", "a@b", "@", "alice admin", "' OR 1=1 --", "../admin", "<b>", "a" * 255, "日本", "\U0001f600", "%00", "\u202eecila", "null", "{}", "a\u2028b"]
    ),
)
def test_E15_an_odd_name_is_somebody_of_its_own_and_asked(user: str) -> None:
    world = World(validate=False)
    enrolled(world, "alice")
    asked(world, login=Login(user, "s"))
    answer = Shut(world)(ask(world, f"{PREFIX}/enrol", login=Login(user, "s")), 200)
    assert "Add your phone" in answer.text


def test_E15_only_none_is_nobody_and_the_empty_text_for_remote_user_only() -> None:
    world = World(identity=lambda _environ: None, validate=False)
    assert ask(world).status_int == 200
    world = World(identity=remote_user, validate=False)
    assert ask(world, REMOTE_USER="").status_int == 200
    assert proven(world.app.calls[-1]).user_id is None
    Shut(world)(ask(world, REMOTE_USER=" "), 503)


class Breaking:
    """A store or a ledger, the methods named in `broken` of which raise `error`."""

    single_process = True
    methods: tuple[str, ...] = ()

    def __init__(self, inner: Any) -> None:
        self.broken: set[str] = set()
        self.error: BaseException = RuntimeError(CANARY)
        for name in self.methods:
            setattr(self, name, self._breakable(name, getattr(inner, name)))

    def _breakable(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def method(*arguments: Any, **more: Any) -> Any:
            if name in self.broken:
                raise self.error
            return real(*arguments, **more)

        return method


class BreakingStore(Breaking):
    methods = ("get", "save", "delete", "erase", "ids")


class BreakingLedger(Breaking):
    methods = ("spend", "give_back", "claim", "put", "get", "pop")


def _raising(*_: Any) -> Any:
    raise RuntimeError(CANARY)


PLUGINS: dict[str, dict[str, Any]] = {
    "identity": {"identity": _raising},
    "policy": {"policy": _raising},
    "canonical": {"canonical": _raising},
    "clock": {"clock": _raising},
}
ERRORS: dict[str, Callable[[], BaseException]] = {
    "RuntimeError": lambda: RuntimeError(CANARY),
    "KeyError": lambda: KeyError(CANARY),
    "OSError": lambda: OSError(28, CANARY),
    "RecursionError": lambda: RecursionError(CANARY),
    "AssertionError": lambda: AssertionError(CANARY),
    "UnicodeError": lambda: UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
    "StopIteration": lambda: StopIteration(CANARY),
    "nameless": lambda: Exception(),
}


def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What was logged has the fault, and none of its words."""
    formatter = logging.Formatter()
    records = [record for record in caplog.records if record.name.startswith("authy_wsgi")]
    assert [record for record in records if record.levelno >= logging.WARNING]
    for record in records:
        assert CANARY not in formatter.format(record) + repr(record.args)


@pytest.mark.parametrize("plugin", **named(PLUGINS))
def test_E16_a_plug_in_that_raises_shuts_the_gate(plugin: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    world = World(validate=False, **plugin)
    for path, headers in product(("/", "/members", f"{PREFIX}/", f"{PREFIX}/enrol"), (HTML, {})):
        if "policy" in plugin and path.startswith(PREFIX):
            continue
        answer = Shut(world)(ask(world, path, login=ALICE, headers=headers), 503)
        assert CANARY not in answer.text + str(answer.headerlist)
    quiet(caplog)


@pytest.mark.parametrize("setting", ["profile", "password_stamp"])
def test_E16_a_function_of_the_site_that_raises_lets_nobody_in_and_sends_nothing(setting: str, caplog: pytest.LogCaptureFixture) -> None:
    good = World(validate=False)
    enrolled(good)
    tab = Tab(good)
    fields = hidden(tab.visit(), "/start", "sms")
    tab.world = World(users=good.settings["users"], clients=good.client, clock=good.clock, validate=False, **{setting: _raising})
    sent = len(good.calls())
    answer = Shut(tab.world)(tab.post(f"{PREFIX}/start", fields), 503)
    assert CANARY not in answer.text
    assert len(good.calls()) == sent
    pass_of_before = grant(good, Login("bob", "s"), OTHER_PHONE)
    if setting == "password_stamp":
        Shut(tab.world)(ask(tab.world, login=Login("bob", "s"), cookie=f"{PASS}={pass_of_before}"), 503)
    quiet(caplog)


STEPS = ("the gate", "the first page", "start", "code", "continue", "logout", "a kept form")


def _steps(world: World, tab: Tab, step: str) -> Callable[[], Answer]:
    """What is about to be done, with everything before it done."""
    if step == "the gate":
        return tab.get
    if step == "the first page":
        return lambda: tab.get(f"{PREFIX}/")
    if step == "start":
        fields = hidden(tab.visit(), "/start", "sms")
        return lambda: tab.post(f"{PREFIX}/start", fields)
    if step == "a kept form":
        return lambda: tab.post("/pay", {"a": "b"}, headers={**HTML, "Sec-Fetch-Site": "same-origin"})
    fields = tab.to_code("sms")
    if step == "code":
        return lambda: tab.enter(fields, right(world))
    if step == "continue":
        return lambda: tab.post(f"{PREFIX}/continue", fields)
    return lambda: tab.post(f"{PREFIX}/logout", fields)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("method", ["spend", "claim", "put", "get", "pop"])
def test_E16_a_ledger_that_raises_at_any_step_lets_nobody_in(step: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    ledger: Any = BreakingLedger(MemoryLedger())
    world = World(ledger=ledger, validate=False)
    enrolled(world)
    tab = Tab(world)
    do = _steps(world, tab, step)
    shut = Shut(world)
    for error in ERRORS.values():
        ledger.broken, ledger.error = {method}, error()
        if step == "code" and method in ("pop", "put"):
            # After the grant: what only makes things easier later, and must not take back what was earned.
            break
        answer = shut(do(), 200, 303, 400, 401, 409, 422, 429, 503)
        assert CANARY not in answer.text + str(answer.headerlist)
        ledger.broken = set()
        shut(tab.get(), 303)
    assert all(CANARY not in logging.Formatter().format(record) for record in caplog.records if record.name.startswith("authy_wsgi"))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", **named(ERRORS))
def test_E16_a_store_that_raises_at_any_step_lets_nobody_in(step: str, error: Callable[[], BaseException], caplog: pytest.LogCaptureFixture) -> None:
    users: Any = BreakingStore(MemoryStore())
    world = World(users=users, validate=False)
    enrolled(world)
    tab = Tab(world)
    do = _steps(world, tab, step)
    users.broken, users.error = {"get"}, error()
    # Steps that need nothing of the user's record go on; they grant nothing.
    answer = Shut(world)(do(), *((303, 401, 503) if step in ("the gate", "a kept form", "continue", "logout") else (503,)))
    assert CANARY not in answer.text
    users.broken = set()
    Shut(world)(tab.get(), 303)
    assert all(CANARY not in logging.Formatter().format(record) for record in caplog.records if record.name.startswith("authy_wsgi"))


def test_E16_a_store_that_is_down_when_a_read_is_due_shuts_the_gate_and_opens_again_by_itself() -> None:
    users: Any = BreakingStore(MemoryStore())
    world = World(users=users, validate=False)
    tab = Tab(world)
    tab.cookies[PASS] = grant(world, tab.login)
    assert tab.get().status_int == 200
    users.broken = {"get"}
    assert tab.get().status_int == 200  # read less than a minute ago
    world.clock.advance(60)
    answer = Shut(world)(tab.get(), 503)
    assert answer.header("Set-Cookie") is None
    assert answer.header("Retry-After")
    users.broken = set()
    assert tab.get().status_int == 200


def test_E16_where_only_the_enrolled_are_asked_a_store_that_is_down_lets_nobody_in_as_not_enrolled() -> None:
    users: Any = BreakingStore(MemoryStore())
    world = World(users=users, policy=where_enrolled, validate=False)
    enrolled(world)
    users.broken = {"get"}
    Shut(world)(ask(world, login=ALICE), 503)
    Shut(world)(ask(world, login=Login("nobody-yet", "s")), 503)


@pytest.mark.parametrize(
    "answer", **named([None, True, False, 0, "NOT_NEEDED", "no second factor here", NOT_NEEDED.value, Need, object, (), {}, [NOT_NEEDED], float("nan")])
)
def test_E16_a_policy_that_forgets_its_answer_means_required(answer: Any) -> None:
    world = World(policy=lambda _environ, _login: answer, validate=False)
    enrolled(world)
    asked(world)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_E16_a_worker_that_is_told_to_stop_calls_no_app(kind: type[BaseException]) -> None:
    def stop(_environ: Any) -> Any:
        raise kind

    world = World(identity=stop, validate=False)
    with pytest.raises(kind):
        ask(world)
    assert world.app_calls == 0


# E17


class Inside:
    """A gate inside another one, as a World's app."""

    def __init__(self, inner: Any, counting: CountingApp) -> None:
        self.inner, self.counting = inner, counting

    @property
    def calls(self) -> list[Any]:
        return self.counting.calls

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        result: Iterable[bytes] = self.inner(environ, start_response)
        return result


def nested(app: Any = None, *, mount: str = "", **inner: Any) -> tuple[World, SecondFactor]:
    """Two gates around one app: the outer one asks whoever `site.login` names, the inner one whoever `inner.login` does."""
    counting = app or CountingApp()
    made: list[Any] = []
    outer = World(app=Inside(lambda environ, start: made[0](environ, start), counting))
    own: dict[str, Any] = {"cookie_name": "inner", "prefix": "/inner-factor", "identity": environ_key("inner.login"), **inner}
    gate = SecondFactor(validator(counting), **{**outer.settings, "users": MemoryStore(), "ledger": MemoryLedger(), **own})
    made.append(DispatcherMiddleware(counting, {mount: gate}) if mount else gate)
    return outer, gate


INNER = "__Host-inner"


def _inner_pass(outer: World, gate: SecondFactor, login: Login, number: str) -> str:
    backend = gate.backend
    attempt = backend.begin(login, purpose="enrol", context=backend.context())
    backend.enrol(attempt, "authy", {"phone": number, "email": "a@example.com"}, backend.context())
    answer = backend.check(attempt, {"code": outer.phone(number).code}, backend.context())
    assert answer.grant is not None
    return gate.remember({}, answer.grant)[0][1].partition("=")[2].partition(";")[0]


def test_E17_of_two_gates_each_asks_for_its_own_factor() -> None:
    outer, gate = nested()
    login = Login("alice", "s")
    mine, theirs = grant(outer, login), _inner_pass(outer, gate, login, OTHER_PHONE)
    both = {"login": login, "inner.login": login}
    shut = Shut(outer)
    shut(ask(outer, **both), 303)
    shut(ask(outer, **both, cookie=f"{PASS}={mine}"), 303)
    shut(ask(outer, **both, cookie=f"{INNER}={theirs}"), 303)
    shut(ask(outer, **both, cookie=f"{PASS}={theirs}; {INNER}={mine}"), 303)
    shut(ask(outer, **both, cookie=f"{PASS}={mine}; {INNER}={mine}"), 303)
    assert ask(outer, **both, cookie=f"{PASS}={mine}; {INNER}={theirs}").status_int == 200
    # The app hears the inner gate; with nobody there for it, it hears of nobody.
    assert ask(outer, login=login, cookie=f"{PASS}={mine}").status_int == 200
    assert proven(outer.app.calls[-1]).user_id is None


def test_E17_each_of_two_gates_serves_its_own_pages() -> None:
    outer, gate = nested()
    login = Login("alice", "s")
    mine = grant(outer, login)
    both = {"login": login, "inner.login": login}
    answer = ask(outer, **both, cookie=f"{PASS}={mine}")
    assert (answer.header("Location") or "").startswith("/inner-factor/?next=")
    assert ask(outer, "/inner-factor/enrol", **both, cookie=f"{PASS}={mine}").status_int == 200
    # The inner gate's pages are behind the outer gate.
    assert (ask(outer, "/inner-factor/enrol", **both).header("Location") or "").startswith(f"{PREFIX}/")
    assert gate.settings.prefix == "/inner-factor"


@pytest.mark.parametrize("mount", ["", "/sub"])
def test_E17_a_demand_of_the_outer_gate_leads_to_its_own_pages_from_inside_the_inner_one(mount: str) -> None:
    answers: list[Any] = []

    class View(CountingApp):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            self.calls.append(environ)
            answers.append(world.gate.require(environ, Login("alice", "s"), max_age=5))
            return answers[-1](environ, start_response)  # type: ignore[no-any-return]

    world, _ = nested(View(), mount=mount)
    login = Login("alice", "s")
    mine = grant(world, login)
    world.clock.advance(60)
    answer = ask(world, f"{mount}/pay", login=login, cookie=f"{PASS}={mine}")
    assert (answer.header("Location") or "").startswith(f"{PREFIX}/?next=")


def test_E17_forgetting_at_the_outer_gate_ends_the_outer_pass_where_the_inner_one_knows_somebody_else() -> None:
    class View(CountingApp):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            self.calls.append(environ)
            if environ["PATH_INFO"] == "/bye":
                start_response("200 OK", [*world.gate.forget(environ), ("Content-Type", "text/plain")])
                return [b"bye"]
            return super().__call__(environ, start_response)

    world, gate = nested(View())
    alice, bob = Login("alice", "s"), Login("bob", "t")
    cookie = f"{PASS}={grant(world, alice)}; {INNER}={_inner_pass(world, gate, bob, OTHER_PHONE)}"
    both = {"login": alice, "inner.login": bob, "cookie": cookie}
    assert ask(world, **both).status_int == 200
    assert ask(world, "/bye", **both).status_int == 200
    Shut(world)(ask(world, **both), 303)


def test_E17_two_gates_of_one_cookie_name_do_not_start() -> None:
    world = World(validate=False)
    inner = SecondFactor(world.app, **world.settings)
    with pytest.raises(Misconfigured, match="same cookie_name"):
        SecondFactor(inner, **world.settings)

    class Framework:
        wsgi_app = inner

    with pytest.raises(Misconfigured, match="same cookie_name"):
        SecondFactor(Framework(), **world.settings)  # type: ignore[arg-type]


class Strict(CountingApp):
    """An app that uses all that WSGI allows. `closed` counts calls of close()."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ)
        how = environ["PATH_INFO"]
        if how == "/write":
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"written ")
            return [b"and returned"]
        if how == "/exc_info":
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                raise ValueError("late")
            except ValueError:
                start_response("500 Oh", [("Content-Type", "text/plain"), ("X-App", "1")], sys.exc_info())
            return [b"sorry"]
        return self._generated(start_response)

    def _generated(self, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            yield b"one"
            yield b"two"
        finally:
            self.closed += 1


@pytest.mark.parametrize(("path", "status", "body"), [("/write", 200, b"written and returned"), ("/exc_info", 500, b"sorry"), ("/generator", 200, b"onetwo")])
def test_E17_through_two_gates_an_app_may_do_all_that_the_protocol_allows(path: str, status: int, body: bytes) -> None:
    app = Strict()
    world, gate = nested(app)
    login = Login("alice", "s")
    cookie = f"{PASS}={grant(world, login)}; {INNER}={_inner_pass(world, gate, login, OTHER_PHONE)}"
    answer = call(world.wsgi, environ_of(path, login=login, cookie=cookie, **{"inner.login": login}))
    assert (answer.status_int, answer.body) == (status, body)
    assert [name for name, _ in answer.headerlist] == (["Content-Type", "X-App"] if status == 500 else ["Content-Type"])
    assert app.closed == (1 if path == "/generator" else 0)


def test_E17_an_environ_that_is_used_again_keeps_nothing_of_the_one_before(site: World) -> None:
    environ = environ_of("/health", login=ALICE)
    assert call(site.gate, environ).status_int == 200
    environ |= {"PATH_INFO": "/admin", "wsgi.input": io.BytesIO()}
    Shut(site)(call(site.gate, environ), 303)
    environ |= {"site.login": None, "PATH_INFO": "/admin"}
    assert call(site.gate, environ).status_int == 200
    assert proven(site.app.calls[-1]).user_id is None
    del environ["site.login"]
    environ |= {"PATH_INFO": f"{PREFIX}/"}
    Shut(site)(call(site.gate, environ), 403)


def test_E17_forgetting_in_an_environ_where_nobody_is_ends_nobodys_pass(site: World) -> None:
    tab = Tab(site, "carol")
    tab.cookies[PASS] = grant(site, tab.login, OTHER_PHONE)
    environ = environ_of("/x", login=tab.login, cookie=tab.cookie)
    assert call(site.gate, environ).status_int == 200
    environ.pop("site.login")
    assert call(site.gate, environ).status_int == 200
    site.gate.forget(environ)
    assert tab.get().status_int == 200


@pytest.mark.parametrize("in_memory", ["both", "users", "ledger"])
def test_E17_memory_under_several_processes_is_refused(in_memory: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/site.db"
    users: Any = MemoryStore() if in_memory in ("both", "users") else SQLStore(database)
    ledger: Any = MemoryLedger() if in_memory in ("both", "ledger") else SQLLedger(database)
    world = World(users=users, ledger=ledger, single_process=False, validate=False)
    for path in ("/members", f"{PREFIX}/", f"{PREFIX}/enrol"):
        Shut(world)(ask(world, path, login=ALICE, **{"wsgi.multiprocess": True}), 503)
    for part in (users, ledger):
        if hasattr(part, "database"):
            part.database.close()


# E18


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "h2c", "TLS/1.0", "x"])
@pytest.mark.parametrize("method", ["GET", "POST", "CONNECT"])
def test_E18_an_upgrade_without_the_factor_is_a_401(site: World, upgrade: str, method: str) -> None:
    for headers in (HTML, {}, {**HTML, "Sec-Fetch-Mode": "websocket"}, {**HTML, "Sec-Fetch-Mode": "navigate"}):
        said = {
            **headers,
            "Upgrade": upgrade,
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "x",
            "Sec-WebSocket-Version": "13",
            "Origin": "https://site.example",
        }
        answer = Shut(site)(ask(site, "/socket", method=method, login=ALICE, headers=said), 401)
        assert answer.header("Set-Cookie") is None
        assert answer.header("WWW-Authenticate")
