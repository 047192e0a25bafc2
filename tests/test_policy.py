"""Which request needs what."""

from __future__ import annotations

from typing import Any

import pytest

from authy_wsgi import NOT_NEEDED, Login, Need, Strength, by_path, for_users, where_enrolled
from authy_wsgi.policy import Exemptions
from tests.support import Browser, World


@pytest.mark.parametrize("path", ["/static", "/static/", "/static/a/b.css", "/health"])
def test_exempt_by_whole_segments(path: str) -> None:
    assert Exemptions(["/static", "/health"]).match(path)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/statics", "/static.css", "/Static", "/static/../admin", "/static/./x", "/static//x", "/static\\x", "/static/\\..\\admin", "/static/x;y"]
    + ["/static/%2e%2e/admin", "/static/\x00", "//static/x", "/x/static", "/health/..", "/static/.."],
)
def test_what_is_ambiguous_or_only_similar_is_not_exempt(path: str) -> None:
    assert not Exemptions(["/static", "/health"]).match(path)


def test_rules_are_judged_on_script_name_and_path_info() -> None:
    world = World(exempt=["/mount/static"])
    browser = world.browser("alice")
    for script_name, path_info in (("/mount", "/static/x"), ("", "/mount/static/x")):
        assert browser.http.get("/", extra_environ={"SCRIPT_NAME": script_name, "PATH_INFO": path_info}).status_int == 200
    # What the app routes on is PATH_INFO: a rule has to say something about that.
    for script_name, path_info in (("/mount/static", "/x"), ("/mount/static", ""), ("/mount/sta", "tic/x")):
        environ = {"SCRIPT_NAME": script_name, "PATH_INFO": path_info, "wsgi.url_scheme": "https"}
        assert b"".join(world.gate({**browser.http.extra_environ, "REQUEST_METHOD": "GET", **environ}, lambda *_: None)).startswith(b'{"type"')
    assert browser.http.get("/static/x", status="*").status_int == 401


def test_for_users_asks_those_only() -> None:
    world = World(policy=for_users(["admin"]))
    assert world.browser("alice").get().status_int == 200
    assert world.browser("admin").get().status_int == 303
    world = World(policy=for_users(lambda user: user.startswith("a"), otherwise=Need(if_enrolled=True)))
    assert world.browser("bob").get().status_int == 200
    assert world.browser("ann").get().status_int == 303


def test_where_enrolled_asks_those_who_have_a_factor() -> None:
    world = World(policy=where_enrolled)
    browser = world.browser("alice")
    assert browser.get().status_int == 200
    page = browser.get("/second-factor/enrol")
    assert page.status_int == 200
    browser.enrolled(path="/second-factor/")
    world.clock.advance(61)
    assert world.browser("alice").get().status_int == 303


def test_whoever_is_switched_off_is_refused_with_or_without_a_factor() -> None:
    world = World(policy=where_enrolled)
    assert world.browser("alice").get().status_int == 200
    world.backend.disable("alice")
    assert world.browser("alice").get().status_int == 303
    assert world.browser("alice").visit().status_int == 403


@pytest.mark.parametrize("answer", [None, True, False, "", "no", 0, NOT_NEEDED.value, Need])
def test_a_policy_that_answers_something_else_is_required(answer: Any) -> None:
    world = World(policy=lambda _environ, _login: answer)
    assert world.browser("alice").get().status_int == 303
    assert world.app_calls == 0


def test_a_policy_that_raises_lets_nobody_in() -> None:
    def policy(_environ: Any, _login: Any) -> Need:
        raise RuntimeError("canary")

    world = World(policy=policy)
    assert world.browser("alice").get().status_int == 503
    assert world.app_calls == 0


def test_a_stronger_rule_asks_a_verified_user_again_and_offers_only_what_is_strong_enough() -> None:
    world = World(policy=lambda environ, _login: Need(strength=Strength.CODE) if environ["PATH_INFO"].startswith("/admin") else Need())
    browser = world.browser("alice")
    browser.enrolled()
    world.phone().install_app()
    world.clock.advance(60)
    page = browser.visit("/admin")
    channels = {form["channel"].value for form in page.forms.values() if "channel" in form.fields}
    assert channels == {"app"}
    page = browser.choose(page, "app")
    held = browser.cookie()
    assert "['app', 'sms']" in browser.follow(browser.enter(page, world.phone().app_code or "")).text
    assert browser.cookie() != held
    assert browser.get("/admin/x").status_int == 200


def test_a_policys_max_age_asks_again() -> None:
    world = World(policy=lambda environ, _login: Need(max_age=60) if environ["PATH_INFO"] == "/pay" else Need())
    browser = world.browser("alice")
    browser.enrolled()
    assert browser.get("/pay").status_int == 200
    world.clock.advance(61)
    assert browser.get("/members").status_int == 200
    assert browser.get("/pay").status_int == 303


def test_enforce_false_only_reports() -> None:
    world = World(enforce=False)
    browser = world.browser("alice")
    assert browser.get().status_int == 200
    assert world.app.calls[-1]["authy_wsgi.proven"].enforced is False
    assert world.kinds() == ["not_enforced"]
    assert browser.http.get("/second-factor/code", status="*").status_int in (200, 303)


def demand(browser: Browser, **need: Any) -> Any:
    """A view's own demand, on the environ that the gate let through."""
    environ = browser.world.app.calls[-1]
    return browser.world.gate.require(environ, browser.http.extra_environ["site.login"], **need)


def test_require_is_lessened_by_nothing() -> None:
    for settings in ({"policy": lambda _environ, _login: NOT_NEEDED}, {"exempt": ["/members"]}, {"enforce": False}):
        world = World(**settings)
        browser = world.browser("alice")
        assert browser.get("/members").status_int == 200
        assert demand(browser) is not None


def test_require_judges_age_strength_and_the_store_as_it_is_now() -> None:
    world = World()
    browser = world.browser("alice")
    browser.enrolled()
    browser.get("/members")
    assert demand(browser) is None
    assert demand(browser, max_age=0) is None
    assert demand(browser, strength=Strength.CODE) is not None
    world.clock.advance(61)
    browser.get("/members")
    assert demand(browser, max_age=60) is not None
    assert demand(browser, max_age=61) is None
    # Revoked by another worker: plain pages may take a minute, a demand does not.
    user = world.gate.settings.users.get("alice")
    world.gate.settings.users.save(type(user)(**{**{name: getattr(user, name) for name in user.__slots__}, "generation": "another"}))
    assert browser.get("/members").status_int == 200
    assert demand(browser) is not None
    world.clock.advance(60)
    assert browser.get("/members").status_int == 303


def test_idle_ends_a_pass_that_nobody_uses() -> None:
    world = World(idle=600)
    browser = world.browser("alice")
    browser.enrolled()
    for _ in range(5):
        world.clock.advance(500)
        assert browser.get("/members").status_int == 200
    world.clock.advance(661)
    assert browser.get("/members").status_int == 303


@pytest.mark.parametrize("spelling", ["john", "JOHN", "John ", "\uff4aohn"])
def test_for_users_knows_every_spelling_of_those_it_names(spelling: str) -> None:
    for policy in (for_users({"john"}), for_users(["JOHN"]), for_users("john")):
        assert policy({}, Login(spelling)) == Need()
        assert policy({}, Login("jane")) is NOT_NEEDED
        assert policy({}, Login("j")) is NOT_NEEDED


def test_a_very_long_path_is_judged_like_a_short_one() -> None:
    policy = by_path({"/pay": Need(max_age=60), "/pay/back/office": Need(max_age=5)})
    assert policy({"SCRIPT_NAME": "", "PATH_INFO": "/pay" + "/x" * 30_000}, Login("alice")) == Need(max_age=60)
    assert policy({"SCRIPT_NAME": "", "PATH_INFO": "/pay/back/office" + "/x" * 30_000}, Login("alice")) == Need(max_age=5)


def test_a_need_that_can_never_be_met_is_refused() -> None:
    with pytest.raises(ValueError, match="never be met"):
        Need(max_age=-1)
