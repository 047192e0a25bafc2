"""Rules and exemptions by path: whole segments of SCRIPT_NAME + PATH_INFO, nothing else of a request, and no spelling that asks for less."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote

import pytest
import webob
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authy_wsgi import NOT_NEEDED, Login, Misconfigured, Need, Strength, by_path
from authy_wsgi.contracts import NotNeeded
from authy_wsgi.explain import explain
from tests.support import HTML, Browser, World

PAY, ADMIN = Need(max_age=60), Need(strength=Strength.CODE)
BOTH = Need(max_age=60, strength=Strength.CODE)
RULES = {"/pay": PAY, "/admin": ADMIN, "/admin/pay/now": BOTH}
LOGIN = Login("alice", "s")


def wsgi(text: str) -> str:
    """Text as a WSGI server hands it over: its bytes, as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def asked(policy: Any, path: str, script: str = "") -> Need | NotNeeded:
    """What a policy asks for at a path."""
    answer: Need | NotNeeded = policy({"SCRIPT_NAME": wsgi(script), "PATH_INFO": wsgi(path), "REQUEST_METHOD": "GET", "QUERY_STRING": ""}, LOGIN)
    return answer


def at_least(need: Need | NotNeeded, other: Need | NotNeeded) -> bool:
    """Whether one answer asks for all that the other asks for."""
    if not isinstance(other, Need):
        return True
    if not isinstance(need, Need) or need.strength < other.strength or (need.if_enrolled and not other.if_enrolled):
        return False
    return other.max_age is None or (need.max_age is not None and need.max_age <= other.max_age)


def by_the_book(rules: dict[str, Need], otherwise: Need | NotNeeded, path: str) -> Need | NotNeeded:
    """The longest rule by whole segments, of a path as it is written."""
    parts = path.split("/")
    return next((rules[head] for length in range(len(parts), 0, -1) if (head := "/".join(parts[:length])) in rules), otherwise)


class Door:
    """Requests as a server would hand them over, however odd; in front of a browser in which alice has confirmed a while ago."""

    def __init__(self, **settings: Any) -> None:
        self.world = World(validate=False, **settings)
        self.browser: Browser = self.world.browser()
        self.browser.enrolled(path="/second-factor/enrol")
        self.world.clock.advance(100)

    def ask(self, path: str, script: str = "", **environ: Any) -> webob.Response:
        """The answer to a program's request; `path` is PATH_INFO, decoded."""
        said = {
            **webob.Request.blank("/", base_url="https://site.example").environ,
            "HTTP_ACCEPT": "application/json",
            "HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in self.browser.http.cookies.items()),
            **self.browser.http.extra_environ,
            "SCRIPT_NAME": wsgi(script),
            "PATH_INFO": wsgi(path),
            **environ,
        }
        return webob.Request(said).send(self.world.wsgi)

    def passes(self, path: str, script: str = "", **environ: Any) -> bool:
        """Whether the request reaches the app."""
        before = self.world.app_calls
        status = self.ask(path, script, **environ).status_int
        assert status in (200, 401)
        assert self.world.app_calls == before + (status == 200)
        return status == 200

    def need(self, path: str, script: str = "", **environ: Any) -> tuple[int | None, str]:
        """What the refusal says is asked for."""
        answer = self.ask(path, script, **environ)
        assert answer.status_int == 401, answer.status
        return answer.json["max_age"], answer.json["strength"]


@pytest.fixture(scope="module")
def door() -> Door:
    """Rules for some paths, nothing for the rest."""
    return Door(policy=by_path(RULES, otherwise=NOT_NEEDED))


@pytest.fixture(scope="module")
def exempting() -> Door:
    """The second factor everywhere, of the last minute, but for two exempt paths."""
    return Door(policy=by_path({}, otherwise=PAY), exempt=["/static", "/open/health"])


# By whole segments


@pytest.mark.parametrize(
    ("path", "need"),
    [
        ("/pay", (60, "remembered")),
        ("/pay/", (60, "remembered")),
        ("/pay/now/1.html", (60, "remembered")),
        ("/admin", (None, "code")),
        ("/admin/pay", (None, "code")),
        ("/admin/pay/now", (60, "code")),
        ("/admin/pay/now/x", (60, "code")),
        ("/admin/pay/nowhere", (None, "code")),
    ],
)
def test_the_longest_rule_by_whole_segments_counts(door: Door, path: str, need: tuple[int | None, str]) -> None:
    assert door.need(path) == need


@pytest.mark.parametrize(
    "path", ["", "/", "/payment", "/pay.html", "/pay-now", "/paym", "/x/pay", "/x/admin/", "/pa", "/p/ay", "/administration", "/pay,", "/pay=1"]
)
def test_what_is_only_similar_is_another_path(door: Door, path: str) -> None:
    assert door.passes(path)


@pytest.mark.parametrize("path", ["/static", "/static/", "/static/a/b.css", "/open/health", "/open/health/x"])
def test_an_exempt_path_and_all_below_it_pass(exempting: Door, path: str) -> None:
    assert exempting.passes(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/statics", "/static.css", "/sta", "/open", "/open/healthy", "/x/static", "/open/health.txt", "/static,x", "/static:x"]
)
def test_what_is_only_similar_to_an_exempt_path_is_asked(exempting: Door, path: str) -> None:
    assert exempting.need(path) == (60, "remembered")


def splits(path: str) -> list[tuple[str, str]]:
    """Every place where a path could be split in two, between segments."""
    return [(path[:at], path[at:]) for at in range(len(path) + 1) if path[at : at + 1] in ("/", "")]


@pytest.mark.parametrize(("script", "path"), splits("/admin/pay/now/x"))
def test_a_rule_counts_wherever_the_split_is(door: Door, script: str, path: str) -> None:
    max_age, strength = door.need(path, script)
    assert (max_age, strength) == (60, "code")


@pytest.mark.parametrize(("script", "path"), [(p[:n], p[n:]) for p in ["/pay/x"] for n in range(len(p) + 1)])
def test_a_split_in_the_middle_of_a_segment_lessens_nothing(script: str, path: str) -> None:
    assert at_least(asked(by_path(RULES, NOT_NEEDED), path, script), PAY)


@pytest.mark.parametrize("script", ["/app", "/deep/down", "/pa"])
def test_a_rule_counts_for_what_a_mounted_app_routes_on(door: Door, script: str) -> None:
    """A client's header may have moved the split: the app routes on PATH_INFO alone."""
    assert door.need("/pay", script) == (60, "remembered")


@pytest.mark.parametrize("path", ["/static/x", "/static"])
def test_an_exemption_is_of_the_whole_path_and_reaches_beyond_the_mount(exempting: Door, path: str) -> None:
    for script in ("/app", "/x/y", "/sta", "/st"):
        assert not exempting.passes(path, script)
    for script, rest in splits(path)[1:]:
        assert not exempting.passes(rest, script)
    mounted = Door(policy=by_path({}, otherwise=PAY), exempt=["/app/static"])
    assert mounted.passes(path, "/app")
    assert not mounted.passes(path, "/other")
    assert not mounted.passes(path)


# Nothing else of a request

ELSEWHERE = [
    {"QUERY_STRING": "path=/static/x&/static"},
    {"QUERY_STRING": "/static/"},
    {"HTTP_X_ORIGINAL_URL": "/static/x"},
    {"HTTP_X_REWRITE_URL": "/static/x"},
    {"HTTP_X_FORWARDED_URI": "/static/x"},
    {"HTTP_X_FORWARDED_PATH": "/static/x"},
    {"HTTP_X_FORWARDED_PREFIX": "/static"},
    {"HTTP_X_SCRIPT_NAME": "/static"},
    {"HTTP_SCRIPT_NAME": "/static"},
    {"HTTP_PATH_INFO": "/static/x"},
    {"HTTP_FORWARDED": "for=1.1.1.1;path=/static/x"},
    {"HTTP_REFERER": "https://site.example/static/x"},
    {"HTTP_USER_AGENT": "kube-probe/1.30"},
    {"HTTP_USER_AGENT": "GoogleHC/1.0"},
    {"HTTP_USER_AGENT": "ELB-HealthChecker/2.0"},
    {"HTTP_X_HTTP_METHOD_OVERRIDE": "OPTIONS"},
    {"HTTP_HOST": "site.example/static/x?"},
    {"REQUEST_URI": "/static/x"},
    {"RAW_URI": "/static/x"},
    {"SCRIPT_URL": "/static/x"},
    {"REDIRECT_URL": "/static/x"},
    {"REQUEST_METHOD": "OPTIONS"},
    {"REQUEST_METHOD": "TRACE"},
    {"REQUEST_METHOD": "PROPFIND"},
]


@pytest.mark.parametrize("environ", ELSEWHERE, ids=lambda environ: "{} {}".format(*next(iter(environ.items()))))
def test_nothing_but_the_path_exempts_or_frees(exempting: Door, door: Door, environ: dict[str, str]) -> None:
    assert exempting.need("/members", **environ) == (60, "remembered")
    assert exempting.passes("/static/x", **environ)
    free = {name: value.replace("static", "free") for name, value in environ.items()}
    assert door.need("/pay", **free) == (60, "remembered")
    paid = {name: value.replace("static", "pay") for name, value in environ.items()}
    assert door.passes("/free", **paid)


@pytest.mark.parametrize("path", ["/members#/static/x", "/members?/static/x", "/#/static", "/?/static", "/members#", "*"])
def test_a_fragment_or_query_left_in_the_path_is_part_of_its_segment(exempting: Door, path: str) -> None:
    assert not exempting.passes(path)


# What can be read in two ways

AMBIGUOUS = [
    "/static/../members",
    "/static/./x",
    "/static/..",
    "/static/.",
    "/static/x/../../members",
    "/..",
    "/.",
    "/../static/x",
    "/static//x",
    "//static/x",
    "//",
    "/static\\x",
    "/static/..\\members",
    "/static/x;y",
    "/static;/x",
    "/;/static/x",
    "/static/%2e%2e/members",
    "/static/%2E%2E%2fmembers",
    "/static%2fx",
    "/static/x%00",
    "/static/%",
    "/static/100%",
    "/static/\x00",
    "/static\x00/x",
    "http://site.example/static/x",
    "//site.example/static/x",
    "static/x",
    "static",
    "*",
    "/static/‥/members",
    "/static/．．/members",
    "/static／x",
    "/static/；x",
    "/static＼x",
    "/static/％2e",
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_an_ambiguous_path_is_never_exempt(exempting: Door, path: str) -> None:
    assert not exempting.passes(path)


def whole_and_split() -> list[tuple[str, str]]:
    """Each as it is, and with its first segment as SCRIPT_NAME where it has one."""
    found = [("", path) for path in AMBIGUOUS if path != "/static／x"]  # which is plain, folded
    return found + [(path[:at], path[at:]) for _, path in found if (at := path.find("/", 1)) > 1 and path[0] == "/"]


@pytest.mark.parametrize(("script", "path"), whole_and_split())
def test_an_ambiguous_path_needs_all_that_any_rule_asks_for(door: Door, script: str, path: str) -> None:
    assert door.need(path, script) == (60, "code")


def test_compatibility_forms_of_dots_are_dots() -> None:
    policy = by_path(RULES, NOT_NEEDED)
    for path in ("/x/．．/pay", "/x/‥/pay", "/x/．/pay", "/x／．．／pay"):
        assert asked(policy, path) == BOTH


def test_an_ambiguous_path_gets_what_the_rest_of_the_site_asks_too() -> None:
    strict = by_path({"/reports": Need(max_age=3600)}, otherwise=BOTH)
    for path in ("/x//y", "/reports/../x", "/reports;a", "x"):
        assert asked(strict, path) == BOTH
    called = by_path({"/reports": Need(max_age=3600)}, otherwise=lambda _environ, _login: BOTH)
    assert asked(called, "//") == BOTH
    free = by_path({"/reports": Need(max_age=3600)}, otherwise=NOT_NEEDED)
    assert asked(free, "//") == Need(max_age=3600)


def test_an_ambiguous_path_is_asked_even_where_no_rule_is() -> None:
    assert asked(by_path({}, otherwise=NOT_NEEDED), "/x//y") == Need()


def test_bytes_that_are_no_utf_8_are_no_way_round() -> None:
    policy = by_path(RULES, NOT_NEEDED)
    for raw in ("/pay/\xff", "/pay/\xc3", "/admin/pay/now/\xed\xa0\x80"):
        answer = policy({"SCRIPT_NAME": "", "PATH_INFO": raw}, LOGIN)
        assert at_least(answer, by_the_book(RULES, NOT_NEEDED, raw))


# Folding


@pytest.mark.parametrize("path", ["/PAY", "/Pay/now", "/pAY/", "/ｐａｙ", "/ｐａｙ/x", "/ℙay", "/ᵖᵃʸ", "/PAY/ﬁ", "/pay／x"])
def test_case_and_compatibility_forms_are_asked_as_well(door: Door, path: str) -> None:
    assert door.need(path) == (60, "remembered")


@pytest.mark.parametrize("path", ["/STATIC/x", "/Static", "/ｓtatic/x", "/ﬆatic/x", "/static/é", "/static/ｘ", "/static/\u200b"])
def test_case_and_compatibility_forms_are_not_exempt(exempting: Door, path: str) -> None:
    assert exempting.need(path) == (60, "remembered")


def test_a_rule_may_be_written_in_capitals() -> None:
    policy = by_path({"/Account/Delete": PAY}, otherwise=NOT_NEEDED)
    for path in ("/account/delete", "/Account/Delete/1", "/ACCOUNT/DELETE"):
        assert asked(policy, path) == PAY
    assert asked(policy, "/account") is NOT_NEEDED


def test_folding_never_lessens() -> None:
    """An app that tells capitals from small letters serves /admin/<name> where a rule for /admin/help asks for less."""
    policy = by_path({"/admin": ADMIN, "/admin/help": Need(), "/help": Need()}, otherwise=PAY)
    assert asked(policy, "/admin/help") == Need()
    assert asked(policy, "/admin/HELP") == ADMIN
    assert asked(policy, "/ADMIN/HELP") == PAY
    assert asked(policy, "/help") == Need()
    assert asked(policy, "/HELP") == PAY
    assert asked(policy, "/ｈelp/x") == PAY


def test_moving_the_split_never_lessens() -> None:
    policy = by_path({"/help": Need()}, otherwise=ADMIN)
    assert asked(policy, "/help") == Need()
    assert asked(policy, "/help", "/admin") == ADMIN
    assert asked(policy, "/admin", "/help") == ADMIN


def test_rules_that_fold_alike_are_asked_together() -> None:
    policy = by_path({"/Pay": Need(max_age=600, strength=Strength.CODE), "/pay": Need(max_age=60)}, otherwise=NOT_NEEDED)
    for path in ("/pay", "/Pay", "/PAY", "/pay/x"):
        assert asked(policy, path) == BOTH


def test_those_who_have_a_factor_only_is_kept_where_every_reading_says_so() -> None:
    gentle = Need(if_enrolled=True)
    policy = by_path({"/a": gentle, "/b": gentle}, otherwise=gentle)
    for path in ("/a", "/A", "/b/x", "/c", "//"):
        assert asked(policy, path) == gentle
    mixed = by_path({"/a": gentle, "/b": PAY}, otherwise=gentle)
    assert asked(mixed, "//") == Need(max_age=60)


# Spellings that nobody has thought of

SEGMENTS = [
    "pay",
    "Pay",
    "PAY",
    "ｐａｙ",
    "admin",
    "ADMIN",
    "now",
    "pays",
    "pa",
    "x",
    "é",
    "ﬁ",
    "ſ",
    "İ",
    "ı",
    "K",
    "ß",
    "ẞ",
    "",
    ".",
    "..",
    "...",
    "pay.",
    " pay",
    "pay ",
    "~",
]
ODD = ["/", "//", "\\", ";", "%", "%2f", "%2e", "\x00", "\n", "?", "#", "／", "．", "‥", "＼", "；", "％", "\u200b", "\u202e", "\u0301", "\udc80", "\udcff"]
paths = st.lists(st.sampled_from(SEGMENTS) | st.sampled_from(ODD) | st.text(max_size=3), max_size=6).flatmap(
    lambda parts: st.sampled_from(["/" + "/".join(parts), "".join(parts), "/" + "".join(parts)])
)
needs = st.builds(Need, max_age=st.none() | st.integers(0, 100), strength=st.sampled_from(Strength), if_enrolled=st.booleans())
rule_paths = st.lists(st.sampled_from(["pay", "Pay", "PAY", "admin", "now", "x", "k", "s"]), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@settings(max_examples=600, deadline=None)
@given(rules=st.dictionaries(rule_paths, needs, max_size=5), otherwise=needs | st.just(NOT_NEEDED), path=paths, cut=st.integers(0, 20))
@example(rules={"/pay": PAY}, otherwise=NOT_NEEDED, path="/pay", cut=2)
@example(rules={"/s": Need()}, otherwise=PAY, path="/ſ", cut=0)
def test_no_spelling_of_a_path_asks_for_less_than_the_path_itself(rules: dict[str, Need], otherwise: Need | NotNeeded, path: str, cut: int) -> None:
    policy = by_path(rules, otherwise=otherwise)
    answer = asked(policy, path[cut:], path[:cut])
    assert isinstance(answer, Need | NotNeeded)
    assert at_least(answer, by_the_book(rules, otherwise, path))


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(list(RULES)),
    below=st.sampled_from(["", "/", "/x", "/é/y", "/x/"]),
    spelling=st.lists(st.sampled_from(["upper", "title", "wide", "double", "dot", "slash", "pct", "param", "bare"]), max_size=4),
)
def test_no_respelling_of_a_ruled_path_is_free(path: str, below: str, spelling: list[str]) -> None:
    """What a lenient app, server or proxy would take for the same path is asked for at least the same."""
    wanted = by_the_book(RULES, NOT_NEEDED, path + below)
    text = path + below
    wide = {code: chr(code + 0xFEE0) for code in range(ord("a"), ord("z") + 1)}
    for how in sorted(spelling, key=lambda how: how == "bare"):
        text = {
            "upper": str.upper,
            "title": str.title,
            "wide": lambda text: text.translate(wide),
            "double": lambda text: text.replace("/", "//", 1),
            "dot": lambda text: "/." + text,
            "slash": lambda text: text.replace("/", "\\", 1),
            "pct": lambda text: "/" + quote(quote(text[1:2], safe=""), safe="") + "%70" + text[2:],
            "param": lambda text: text + ";jsessionid=1",
            "bare": lambda text: text.removeprefix("/"),
        }[how](text)
    assert at_least(asked(by_path(RULES, NOT_NEEDED), text), wanted)


@settings(max_examples=300, deadline=None)
@given(path=paths, cut=st.integers(0, 20))
@example(path="/static/a", cut=0)
def test_what_is_exempt_is_plain_and_below_the_exempt_path(exempting: Door, path: str, cut: int) -> None:
    path = path.replace("pay", "static")
    script, rest = path[:cut], path[cut:]
    if exempting.passes(rest, script):
        parts = (script + rest).split("/")
        assert (script, parts[:2]) == ("", ["", "static"])
        assert path.isascii()
        assert all(part not in (".", "..", "") for part in parts[1:-1])
        assert not set(path) & set("\\;%\x00")


# Rules that cannot be meant


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "pay",
        "/pay/",
        "//pay",
        "/a//b",
        "/a/../b",
        "/a/.",
        "/a\\b",
        "/a;b",
        "/a%20b",
        "/a\x00",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\n",
        "/<x>",
        " /pay",
        "*",
        "^/pay",
        "/é",
        1,
        None,
    ],
    ids=repr,
)
def test_bad_rules_are_misconfigured(path: Any) -> None:
    with pytest.raises(Misconfigured, match="by_path"):
        by_path({path: PAY})
    with pytest.raises(Misconfigured, match="by_path"):
        by_path({"/good": PAY, path: PAY})


@pytest.mark.parametrize("need", [None, 60, "code", Strength.CODE, {"max_age": 60}, Need, NOT_NEEDED, True], ids=repr)
def test_a_rule_without_a_need_is_misconfigured(need: Any) -> None:
    with pytest.raises(Misconfigured, match="by_path"):
        by_path({"/pay": need})


@pytest.mark.parametrize("rules", [None, [("/pay", PAY)], "/pay", ("/pay",), PAY, 1], ids=repr)
def test_rules_that_are_no_mapping_are_misconfigured(rules: Any) -> None:
    with pytest.raises(Misconfigured, match="by_path"):
        by_path(rules)


@pytest.mark.parametrize("otherwise", [None, 60, "code", True, {}], ids=repr)
def test_an_otherwise_that_is_no_answer_is_misconfigured(otherwise: Any) -> None:
    with pytest.raises(Misconfigured, match="otherwise"):
        by_path({"/pay": PAY}, otherwise=otherwise)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "static",
        "//static",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/a\\b",
        "/a;b",
        "/a%2fb",
        "/a\x00",
        "/a?b",
        "/a#b",
        "/a b",
        "/a\n",
        " ",
        "\n",
        "# comment",
        "/é",
        "^/a",
    ],
    ids=repr,
)
def test_bad_exemptions_are_misconfigured(path: str) -> None:
    with pytest.raises(Misconfigured, match="exempt"):
        World(exempt=[path])


def test_a_rule_that_is_changed_afterwards_changes_nothing() -> None:
    rules = dict(RULES)
    policy = by_path(rules, otherwise=NOT_NEEDED)
    rules.clear()
    assert asked(policy, "/pay") == PAY


# Together with the rest


def test_an_exemption_comes_before_a_rule_and_a_rule_before_otherwise() -> None:
    door = Door(policy=by_path({"/api": ADMIN}, otherwise=PAY), exempt=["/api/open"])
    assert door.passes("/api/open/x")
    assert door.need("/api/openly") == (None, "code")
    assert door.need("/api") == (None, "code")
    assert door.need("/") == (60, "remembered")


def test_policies_may_stand_in_one_another() -> None:
    inner = by_path({"/pay/small": Need(max_age=600)}, otherwise=NOT_NEEDED)
    policy = by_path({"/admin": ADMIN}, otherwise=inner)
    assert asked(policy, "/pay/small/1") == Need(max_age=600)
    assert asked(policy, "/admin") == ADMIN
    assert asked(policy, "/pay") is NOT_NEEDED
    assert asked(policy, "/x//y") == Need(max_age=600, strength=Strength.CODE)


def test_an_otherwise_that_answers_nonsense_is_required(door: Door) -> None:
    strange = Door(policy=by_path({"/pay": PAY}, otherwise=lambda _environ, _login: None))  # type: ignore[arg-type,return-value]
    strange.world.clock.advance(43200)
    assert strange.need("/members") == (None, "remembered")
    assert strange.need("//") == (60, "remembered")


def test_our_own_pages_are_never_ruled_or_exempt() -> None:
    door = Door(policy=by_path({"/second-factor": ADMIN}, otherwise=NOT_NEEDED))
    assert "You are signed in" in door.browser.get("/second-factor/").text
    assert door.browser.http.get("/second-factor/nowhere", headers=HTML, status="*").status_int == 404


def test_check_lists_what_is_asked_where() -> None:
    lines = by_path(RULES, otherwise=NOT_NEEDED).described()
    assert len(lines) == len(RULES) + 1
    for (path, _need), line in itertools.zip_longest(RULES.items(), lines[:-1]):
        assert line.startswith(f"{path}, and all that is below it")
    assert "at most 60 seconds old" in lines[0]
    assert "as strong as code" in lines[1]
    assert lines[-1].startswith("everything else: no second factor")


def test_what_is_explained_is_what_happens() -> None:
    world = World(exempt="/static", enforce=False)
    world.browser("alice").enrolled(path="/second-factor/enrol")
    world.backend.disable("alice")
    assert "it goes through all the same" in " ".join(explain(world.gate, "/members", "alice"))
    assert world.browser("alice").get("/members").status_int == 200
    assert "it goes through all the same" in " ".join(explain(world.gate, "/members", "bob"))
    assert world.browser("bob").get("/members").status_int == 200
    asked = World(exempt="/static")
    for target in ("//admin/static/x", "//static/x"):
        assert "is exempt, with all" not in " ".join(explain(asked.gate, target, "alice"))
