"""The same journeys through the integrations of Pyramid, Flask, Bottle and Django, and through the plain middleware; in this process, and by other doors."""

from __future__ import annotations

from pathlib import Path

import pytest
from webtest import TestResponse

import authy_wsgi
from tests.support import HTML, form_to, way_form, words

from .doors import CLIENTS
from .support import SITES, SiteBrowser, SiteWorld, Town

XHR = {"Accept": "application/json", "X-Requested-With": "XMLHttpRequest"}
NAMES = ["/members/caf%C3%A9", "/members/%E6%97%A5%E6%9C%AC", "/members/50%25%20off", "/members/a%3Fb%23c", "/members/a;b=c,d(e)'?f=%2B+%26"]
FRAMEWORKS = [name for name in SITES if name != "plain"]
MOUNTS = {"root": "", "below a prefix": "/app"}

everywhere = pytest.mark.parametrize("below", MOUNTS.values(), ids=MOUNTS.keys())


def _by_every_door(mounts: list[str]) -> pytest.MarkDecorator:
    ways = [("inside", at) for at in MOUNTS] + [(door, at) for door in ("own client", "waitress", "gunicorn") for at in mounts]
    return pytest.mark.parametrize(
        ("site", "door", "below"),
        [
            # Ten servers, each with two workers, take too long to be started every time.
            pytest.param(
                site,
                door,
                MOUNTS[at],
                id=f"{site}-{door}-{at}",
                marks=[pytest.mark.slow] if door == "gunicorn" or (door == "waitress" and at != "root") else [],
            )
            for site in SITES
            for door, at in ways
            if door != "own client" or site in CLIENTS
        ],
    )


# The journeys that must be seen to work in every framework by every door: WebTest alone, the framework's own test client, and the two servers. All others,
# and the rest below a prefix, run in this process only.
journey = _by_every_door(["root"])
journey_at_both_mounts = _by_every_door(list(MOUNTS))


@pytest.fixture
def alice(world: Town) -> SiteBrowser:
    """A browser in which alice has enrolled, and then signed in anew at the site."""
    browser = world.browser(world.alice)
    browser.enrolled()
    browser.sign_in(world.alice)
    world.clock.advance(3600)
    return browser


def our_cookies(response: TestResponse) -> list[str]:
    """The names of ours among the cookies that an answer sets; what the framework says of its own session is its own affair."""
    names = [value.strip().partition("=")[0] for value in response.headers.getall("Set-Cookie")]
    return [name for name in names if "second_factor" in name]


@everywhere
def test_anonymous_requests_reach_the_app(world: Town) -> None:
    browser = world.browser(None)
    assert browser.get("/").text == "front: None []"
    assert browser.get("/members").text == "members: None []"
    assert browser.get("/nowhere").status_int == 404
    assert browser.http.cookies == {}
    assert world.calls() == []


@journey_at_both_mounts
def test_first_sign_in_enrols_by_text_message_and_returns_to_the_page_asked_for(world: Town) -> None:
    browser = world.browser(world.alice)
    first = browser.get("/members/a/b?tab=2&q=%C3%A9")
    assert first.status_int == 303
    assert first.headers.getall("Location")[0].startswith(world.below + "/second-factor/?next=")
    page = browser.follow(first)
    assert "Add your phone" in words(page)
    page = browser.submit(form_to(page, "/enrol"), phone=world.typed_number, country="US", email="alice@example.com").follow()
    assert "Prove your phone" in words(page)
    done = browser.enter(page, world.phone().code)
    assert (done.status_int, done.headers.getall("Location")) == (303, [world.below + "/members/a/b?tab=2&q=%C3%A9"])
    assert done.follow().text == f"members: {world.alice} ['sms']"
    assert world.kinds() == ["sent", "enrolled", "approved"]


@journey
def test_page_asked_for_may_have_any_name(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    held = alice.cookie() or ""
    for path in NAMES:
        alice.forget_cookie()
        asked = alice.get(path, status=303)
        alice.set_cookie("__Host-second_factor", held)
        assert alice.get(asked.headers["Location"].removeprefix(world.below), status=303).headers["Location"] == world.below + path
        assert alice.get(path).text == f"members: {world.alice} ['sms']"


@journey
def test_sign_in_by_text_message_costs_two_calls(world: Town, alice: SiteBrowser) -> None:
    world.emulator.calls.clear()
    assert alice.by_sms().text == f"members: {world.alice} ['sms']"
    assert [call.route for call in world.calls()] == ["sms", "verify"]


@journey
def test_wrong_code_does_not_get_in(world: Town, alice: SiteBrowser) -> None:
    page = alice.choose(alice.visit(), "sms")
    page = alice.enter(page, "1111111")
    assert page.status_int == 422
    assert "4 tries left" in words(page)
    assert alice.get("/members").status_int == 303


@journey
def test_push_approved_gets_in(world: Town, alice: SiteBrowser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit("/members/x"), "push")
    assert "Approve on your phone" in words(page)
    assert alice.poll(page) == {"state": "pending"}
    world.phone().approve()
    world.clock.advance(1)
    assert alice.poll(page) == {"state": "approved", "url": world.below + "/members/x"}
    assert alice.get("/members/x").text == f"members: {world.alice} ['push']"


@journey
def test_push_denied_does_not_get_in(world: Town, alice: SiteBrowser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.phone().deny()
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "denied"
    assert alice.get("/members").status_int == 303
    assert world.kinds()[-1] == "denied"


@journey
def test_program_gets_a_problem_and_no_cookie(world: Town, alice: SiteBrowser) -> None:
    world.emulator.calls.clear()
    for path in ("/members", "/nowhere"):
        response = alice.get(path, headers=XHR)
        assert response.status_int == 401
        assert response.content_type == "application/problem+json"
        assert response.headers.getall("WWW-Authenticate") == ['SecondFactor realm="Acorn Ledger", error="insufficient_user_authentication"']
        assert response.headers["Cache-Control"] == "no-store"
        assert our_cookies(response) == []
        assert (response.json["status"], response.json["url"], response.json["enrolled"]) == (401, world.below + "/second-factor/", True)
    assert world.calls() == []


def test_head_gets_the_problem_without_a_body(world: Town, alice: SiteBrowser) -> None:
    response = alice.http.head(world.below + "/members", status=401)
    assert response.body == b""
    assert response.content_type == "application/problem+json"


@journey
def test_form_on_its_way_meets_a_page_that_says_it_was_not_sent(world: Town, alice: SiteBrowser) -> None:
    came_from = {"Referer": f"https://site.example{world.below}/members/form?step=2"}
    response = alice.post("/members", {"amount": "100"}, headers={**HTML, **came_from})
    assert response.status_int == 401
    assert "Nothing of what you sent has arrived" in words(response)
    assert response.headers["WWW-Authenticate"].startswith("SecondFactor realm=")
    assert our_cookies(response) == []
    page = alice.http.get(response.html.find("a", string="Confirm it is you")["href"], headers=HTML)
    page = alice.choose(page, "sms")
    done = alice.enter(page, world.phone().code)
    assert done.headers["Location"] == world.below + "/members/form?step=2"
    assert alice.post("/members", {"amount": "100"}).text == f"saved: {world.alice} ['sms']"


@journey_at_both_mounts
def test_step_up_asks_again_after_a_minute_and_lets_in_after_a_fresh_proof(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    world.clock.advance(60)
    assert alice.get("/pay").text == f"paid: {world.alice} ['sms']"
    world.clock.advance(1)
    assert alice.get("/members").text == f"members: {world.alice} ['sms']"
    asked = alice.get("/pay?bill=7")
    assert asked.status_int == 303
    assert asked.headers.getall("Location")[0].startswith(world.below + "/second-factor/?next=")
    page = alice.follow(asked)
    assert "Confirm it is you" in words(page)
    done = alice.enter(alice.choose(page, "sms"), world.phone().code)
    assert done.headers["Location"] == world.below + "/pay?bill=7"
    assert done.follow().text == f"paid: {world.alice} ['sms', 'sms']"


@everywhere
def test_step_up_answers_programs_and_forms_as_the_gate_does(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    world.clock.advance(61)
    program = alice.get("/pay", headers=XHR)
    assert (program.status_int, program.content_type, program.json["max_age"]) == (401, "application/problem+json", 60)
    form = alice.post("/pay", {"amount": "100"})
    assert form.status_int == 401
    assert "Nothing of what you sent has arrived" in words(form)
    for response in (program, form):
        assert response.headers["WWW-Authenticate"].endswith('max_age="60"')
        assert our_cookies(response) == []


def test_step_up_of_an_anonymous_visitor_says_sign_in_first(world: Town) -> None:
    response = world.browser(None).get("/pay")
    assert response.status_int == 403
    assert "Sign in first" in response.html.find("title").get_text()


@journey_at_both_mounts
def test_sign_out_of_the_site_and_in_again_asks_again(world: Town, alice: SiteBrowser, door: str) -> None:
    alice.by_sms()
    before = dict(alice.http.cookies)
    alice.sign_out()
    assert alice.get("/").text == "front: None []"
    # The site's sessions live in their cookies, so a copy still says who is there; our pass is over in every copy.
    thief = world.browser(None)
    for name, value in before.items():
        thief.set_cookie(name, value.strip('"'))
    assert "__Host-second_factor" in before
    if door == "gunicorn":
        world.clock.advance(60)  # the other worker may remember how she stood
    assert thief.get("/members").text in ("", "members: None []")  # asked, or nobody where sessions live in a database
    alice.sign_in(world.alice)
    assert "Confirm it is you" in words(alice.visit())
    world.clock.advance(30)
    assert alice.by_sms().text == f"members: {world.alice} ['sms']"


def test_sign_out_is_open_to_whoever_lacks_the_factor(world: Town, alice: SiteBrowser) -> None:
    assert alice.get("/members").status_int == 303
    alice.sign_out()
    assert alice.get("/members").text == "members: None []"


def test_sign_out_on_our_page_deletes_both_cookies(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    response = alice.submit(form_to(alice.get("/second-factor/"), "/logout"))
    assert response.status_int == 303
    assert our_cookies(response) == ["__Host-second_factor", "__Host-second_factor_attempt"]
    assert all("Max-Age=0" in value for value in response.headers.getall("Set-Cookie") if "second_factor" in value)
    assert (alice.cookie(), alice.cookie("_attempt")) == (None, None)


@journey
def test_two_users_in_one_browser_do_not_share_a_pass(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    alice.sign_in(world.bob)
    assert "Add your phone" in words(alice.visit())
    alice.enrolled(world.other_number)
    assert alice.get("/members").text == f"members: {world.bob} ['sms']"
    alice.sign_in(world.alice)
    assert "Confirm it is you" in words(alice.visit())
    assert alice.get("/members").status_int == 303


@journey
def test_revoked_pass_is_over_within_a_minute_and_a_fresh_proof_gets_in(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    assert alice.get("/members").text == f"members: {world.alice} ['sms']"
    world.desk.revoke(world.alice)
    assert world.kinds()[-1] == "revoked"
    assert world.gate.settings.recheck == 60
    world.clock.advance(60)
    assert alice.get("/members").status_int == 303
    assert "Confirm it is you" in words(alice.visit())
    assert alice.by_sms().text == f"members: {world.alice} ['sms']"


@journey
def test_whoever_the_site_remembers_is_asked_when_they_come_back_and_gets_in(world: Town, site: str) -> None:
    browser = world.browser(None)
    browser.sign_in(world.alice, remember=True)
    browser.enrolled()
    assert browser.get("/members").text == f"members: {world.alice} ['sms']"
    browser.start_again()
    assert browser.cookie() is not None
    # Django remembers by a session that lasts: whoever comes back is in the same login. To all others it is a new one, and the old pass is not good there.
    assert browser.get("/members").status_int == (200 if site == "django" else 303)
    world.clock.advance(86_400)
    assert "Confirm it is you" in words(browser.visit())
    assert browser.by_sms().text == f"members: {world.alice} ['sms']"
    assert browser.get("/members").text == f"members: {world.alice} ['sms']"
    browser.sign_out()
    browser.start_again()
    assert browser.get("/members").text == "members: None []"


@journey
def test_whoever_the_site_does_not_remember_is_nobody_when_they_come_back(world: Town, alice: SiteBrowser) -> None:
    alice.by_sms()
    alice.start_again()
    assert alice.cookie() is not None
    assert alice.get("/members").text == "members: None []"


@everywhere
def test_our_static_file_is_served_as_it_is(world: Town) -> None:
    page = world.browser("alice").visit()
    address = page.html.find("link", rel="stylesheet")["href"]
    response = world.browser(None).http.get(address)
    assert response.content_type == "text/css"
    assert response.body == (Path(authy_wsgi.__file__).parent / "pages" / "static" / "style.css").read_bytes()
    assert response.headers["Content-Length"] == str(len(response.body))


@everywhere
def test_paths_that_the_app_does_not_know_are_gated_as_well(world: Town, alice: SiteBrowser) -> None:
    assert alice.get("/nowhere").status_int == 303
    alice.by_sms()
    assert alice.get("/nowhere").status_int == 404
    assert alice.get("/second-factor/nowhere").status_int == 404
    assert "There is no such page here" in words(alice.get("/second-factor/nowhere"))


def test_cookies_of_our_pages_arrive_with_all_that_they_say(world: Town, alice: SiteBrowser) -> None:
    page = alice.visit()
    attempt = [value.strip() for value in page.headers.getall("Set-Cookie") if "second_factor" in value]
    done = alice.enter(alice.choose(page, "sms"), world.phone().code)
    given = [value.strip() for value in done.headers.getall("Set-Cookie") if "second_factor" in value]
    for said, name, seconds in ((attempt, "__Host-second_factor_attempt", 86_400), (given, "__Host-second_factor", 43200)):
        assert len(said) == 1
        first, *attributes = said[0].split("; ")
        assert first.startswith(name + "=")
        kept = {part.partition("=")[0].lower(): part.partition("=")[2] for part in attributes}
        kept.pop("expires", None)  # some frameworks add it
        assert kept == {"max-age": str(seconds), "path": "/", "secure": "", "httponly": "", "samesite": "Lax"}


@everywhere
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_our_answers_arrive_with_status_headers_and_body_as_made(name: str, below: str) -> None:
    ours, plain = (SiteWorld(each, below) for each in (name, "plain"))
    answers = []
    for world in (ours, plain):
        browser = world.browser("alice")
        answers.append(
            [
                browser.get("/members"),
                browser.get("/members", headers=XHR),
                browser.post("/members", {"a": "b"}),
                browser.get("/second-factor/enrol"),
                browser.get("/second-factor/nowhere"),
                browser.get("/second-factor/static/script.js"),
                browser.get("/second-factor/static/theme.css"),
                browser.post("/second-factor/code", {"code": "1"}),
                browser.http.head(world.below + "/members", status=401),
                browser.http.delete(world.below + "/second-factor/", status=405),
            ]
        )
    for mine, other in zip(*answers, strict=True):
        assert mine.status_int == other.status_int
        fixed = {key.lower(): value for key, value in other.headers.items() if key not in ("Location", "Set-Cookie", "Content-Length")}
        got = {key.lower(): value for key, value in mine.headers.items()}
        # What a framework adds of its own is the note that its session was read.
        vary = got.pop("vary", "")
        assert {part.strip() for part in fixed.pop("vary", "").split(",")} - {""} <= {part.strip() for part in vary.split(",")}
        assert {key: value for key, value in got.items() if key not in ("location", "set-cookie", "content-length")} == fixed
        assert len(mine.headers.getall("Location")) == len(other.headers.getall("Location"))
        assert our_cookies(mine) == our_cookies(other)
        if "next=" not in other.text and "csrf" not in other.text:
            assert mine.body == other.body


@pytest.mark.parametrize("name", SITES)
def test_location_is_an_absolute_path_whatever_scheme_and_host_the_server_was_asked_by(name: str) -> None:
    browser = SiteWorld(name).browser("alice", **{"wsgi.url_scheme": "http"})
    assert browser.get("/members", status=303).headers["Location"].startswith("/second-factor/?next=")


def test_step_up_inside_a_mounted_app_leads_to_the_pages_of_the_gate() -> None:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from tests.support import World

    def inner(environ, start_response):  # type: ignore[no-untyped-def]
        assert environ["SCRIPT_NAME"] == "/app/deep"
        answer = world.gate.require(environ, world.settings["identity"], max_age=60)
        if answer is not None:
            return answer(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"paid"]

    world = World(below="/app", app=DispatcherMiddleware(lambda *_: [], {"/deep": inner}))
    browser = world.browser("alice")
    page = browser.enrol(path="/deep/pay?bill=7")
    assert browser.follow(browser.enter(page, world.phone().code)).text == "paid"
    world.clock.advance(61)
    asked = browser.get("/deep/pay?bill=7")
    assert asked.headers["Location"].startswith("/app/second-factor/?next=")
    page = browser.submit(way_form(browser.follow(asked), "sms")).follow()
    assert browser.enter(page, world.phone().code).headers["Location"] == "/app/deep/pay?bill=7"
    assert browser.get("/deep/pay", headers=XHR).text == "paid"
    browser.sign_in(None)
    assert browser.get("/deep/pay").status_int == 403
