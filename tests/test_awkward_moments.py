"""What an attacker or bad luck would choose: odd moments, odd neighbours, odd cookies."""

from __future__ import annotations

from pathlib import Path

import pytest

from authy_wsgi import Login, MemoryStore, Misconfigured, Need, Profile, SQLStore, Strength, Unavailable, by_path
from authy_wsgi.contracts import User
from authy_wsgi.errors import Throttled
from tests.support import HTML, PHONE, Browser, World, form_to, way_form, words

OTHER_SECRET = "another-secret-another-secret-another-1"


def test_after_a_whole_rotation_everybody_can_still_sign_in_and_enrol(tmp_path: Path) -> None:
    users = SQLStore(f"sqlite:///{tmp_path}/site.db")
    before = World(users=users)
    before.browser("alice").enrolled()
    after = World(users=users, secret=OTHER_SECRET, clients=before.client)
    after.clock.advance(3600)
    browser = after.browser("alice")
    page = browser.choose(browser.visit(), "sms")
    assert browser.enter(page, before.phone().code).status_int == 303
    bob = after.browser("bob")
    page = bob.enrol("+14085555271")
    assert bob.enter(page, before.phone("+14085555271").code).status_int == 303
    for world in (before, after):
        world.backend.ledger.database.close()  # type: ignore[attr-defined]
    users.database.close()


def test_an_invitation_that_was_not_used_dies_with_the_enrolment_and_with_a_reset() -> None:
    world = World(enrolment="invited")
    first, second, third = (world.backend.invite("alice") for _ in range(3))

    def door(token: str) -> int:
        return world.browser("alice").get(f"/second-factor/enrol?invite={token}").status_int

    assert door(first) == 200
    world.backend.reset("alice")
    assert door(first) == 403
    used = world.backend.invite("alice")
    browser = world.browser("alice")
    page = browser.visit(f"/second-factor/enrol?invite={used}")
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone=PHONE, email="a@example.com"))
    assert browser.enter(page, world.phone().code).status_int == 303
    world.backend.reset("alice")
    assert {door(token) for token in (first, second, third, used)} == {403}


def test_an_invited_person_can_correct_a_wrong_number() -> None:
    world = World(enrolment="invited")
    browser = world.browser("alice")
    page = browser.visit(f"/second-factor/enrol?invite={world.backend.invite('alice')}")
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone="+14085555271", email="a@example.com"))
    page = page.click("Wrong number")
    page = browser.follow(browser.submit(form_to(page, "/enrol"), phone=PHONE, email="a@example.com"))
    assert browser.enter(page, world.phone().code).status_int == 303


def test_a_denial_that_nobody_waits_for_still_stops_pushes_and_the_attempt(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.phone().deny()
    # The one who asked never looks; the next push, from anywhere, meets the denial.
    thief = world.browser("alice")
    thief_page = thief.choose(thief.visit(), "push")
    assert thief_page.status_int == 429
    assert "denied on your phone" in words(thief_page)
    assert world.kinds()[-1] == "denied"
    page = alice.visit()
    assert "Confirm it is you" in words(page)


def test_a_code_of_an_attempt_whose_push_was_denied_unseen_is_worth_nothing(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.phone().deny()
    page = alice.choose(alice.visit(), "app")
    answer = alice.enter(page, world.phone().app_code or "")
    assert answer.status_int == 403
    assert "Denied on your phone" in words(answer)
    assert alice.get().status_int == 303


def test_a_dead_pass_is_not_offered_again(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, world.phone().code)
    world.backend.revoke("alice")
    assert "Confirm it is you" in words(alice.visit()) or "does not keep our cookie" in words(alice.visit())
    assert "You are in" not in words(alice.visit("/second-factor/continue"))


def test_a_script_that_waits_is_answered_in_its_own_language(world: World, alice: Browser) -> None:
    world.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    world.backend.revoke("alice")
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "ended"
    alice.sign_in("alice")
    assert alice.poll(page, status=403)["state"] == "ended"
    alice.sign_in(None)
    assert alice.poll(page, status=403)["state"] == "ended"


def test_a_tab_that_was_left_behind_sends_nothing(world: World, alice: Browser) -> None:
    left = alice.visit()
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, world.phone().code)
    world.clock.advance(120)
    sent = len(world.phone().messages)
    assert alice.follow(alice.submit(way_form(left, "sms"))).text.startswith("app GET")
    assert len(world.phone().messages) == sent


def test_the_attempts_cookie_outlives_the_attempt(world: World, alice: Browser) -> None:
    alice.visit()
    cookie = next(each for each in alice.http.cookiejar if each.name.endswith("_attempt"))
    made = alice.get("/second-factor/", headers={**HTML, "Cookie": ""}).headers["Set-Cookie"]
    assert "Max-Age=86400" in made
    assert cookie.value


def test_somebody_who_signs_out_ends_nobody_elses_attempt(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    login = alice.http.extra_environ["site.login"]
    alice.sign_in("bob")
    alice.submit(form_to(alice.get("/second-factor/logout"), "/logout"))
    alice.http.extra_environ["site.login"] = login
    again = World.browser(world, "alice")
    again.http.extra_environ["site.login"] = login
    waiting = world.backend.find(_attempt_of(world, page), login, world.clock())
    assert waiting is not None
    assert world.backend.check(waiting, {"code": world.phone().code}, world.backend.context())


def _attempt_of(world: World, page: object) -> str:
    token = form_to(page, "/code")["csrf"].value
    return str(world.gate._tickets.read("csrf", token)[1])


def test_a_switched_off_account_stays_so_through_a_reset_and_its_passes_do_not_come_back(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, world.phone().code)
    world.backend.disable("alice")
    assert alice.get().status_int == 303
    world.backend.disable("alice", disabled=False)
    assert alice.get().status_int == 303
    world.backend.disable("alice")
    world.backend.reset("alice")
    user = world.gate.settings.users.get("alice")
    assert user is not None
    assert user.disabled


def test_two_people_whose_ids_differ_in_case_do_not_share_their_tries() -> None:
    world = World(users=MemoryStore(case_sensitive_ids=True))
    for user, number in (("john", PHONE), ("John", "+14085555271")):
        world.browser(user).enrolled(number)
    world.clock.advance(3600)
    loud = world.browser("John")
    page = loud.choose(loud.visit(), "sms")
    for _ in range(5):
        page = loud.enter(page, "0000000")
    quiet = world.browser("john")
    page = quiet.choose(quiet.visit(), "sms")
    assert quiet.enter(page, world.phone().code).status_int == 303


@pytest.mark.parametrize("user", [" ", "\u3000", "\u00a0\u2003"])
def test_an_id_of_white_space_is_nobody_we_could_count(world: World, user: str) -> None:
    assert world.browser(user).get().status_int == 503


def test_eight_look_alikes_do_not_hide_our_cookie(world: World, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, world.phone().code)
    noise = "theme=" + "__Host-second_factor=" * 12 + "; " + "; ".join(f"x{n}__Host-second_factor=y" for n in range(12))
    response = alice.http.get("/members", headers={**HTML, "Cookie": f"{noise}; __Host-second_factor={alice.cookie()}"})
    assert response.text.startswith("app GET")


def with_email(**settings: object) -> World:
    return World(channels=("push", "app", "sms", "email"), profile=lambda user: Profile(email=f"{user}@example.com"), **settings)


def test_an_email_to_a_strangers_mailbox_is_no_challenge() -> None:
    world = with_email()
    thief = world.browser("thief")
    thief.enrol()  # names the owner's number first, with an address of their own, and goes away
    world.clock.advance(31)
    alice = world.browser("alice")
    alice.enrolled()
    world.clock.advance(3600)
    stolen = world.browser("alice")
    page = stolen.choose(stolen.visit(), "email")
    assert page.status_int == 503
    code = world.phone().code
    page = stolen.choose(stolen.visit(), "app")
    assert stolen.enter(page, code).status_int == 422
    world.clock.advance(31)
    page = stolen.choose(stolen.visit(), "sms")
    if world.phone().messages[-2].code != world.phone().code:
        assert stolen.enter(page, code).status_int == 422


def test_an_emailed_code_is_no_text_message() -> None:
    world = with_email(policy=lambda environ, _login: Need(strength=Strength.PHONE if environ["PATH_INFO"] == "/pay" else Strength.REMEMBERED))
    alice = world.browser("alice")
    alice.enrolled()
    alice.sign_in("alice")
    world.clock.advance(3600)
    page = alice.choose(alice.visit("/members"), "email")
    assert page.status_int == 200
    emailed = world.phone().code
    world.clock.advance(31)
    page = alice.choose(alice.visit("/pay"), "sms")
    assert alice.enter(page, emailed).status_int == 422
    assert alice.enter(page, world.phone().code).headers["Location"] == "/pay"


def test_one_message_in_thirty_seconds_whatever_the_channel() -> None:
    world = World(channels=("push", "app", "sms", "call"))
    world.browser("alice").enrolled()
    world.clock.advance(3600)
    attempt = world.backend.begin(Login("alice", "s"), context=world.backend.context())
    ways = {way.channel: way for way in world.backend.ways(attempt)}
    world.backend.start(attempt, ways["sms"], world.backend.context())
    for channel in ("call", "sms"):
        for insist in (False, True):
            with pytest.raises(Throttled):
                world.backend.start(attempt, ways[channel], world.backend.context(insist=insist))


@pytest.mark.parametrize("text", ['{"code.wrong": "Wrong, {left} left"}', '{"code.wrong": "{"}', '{"code.wrong": 5}'])
def test_a_text_with_places_that_nothing_fills_shows_at_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "texts.json").write_text(text)
    with pytest.raises(Misconfigured, match=r"code\.wrong"):
        World(templates=tmp_path)


def test_a_number_of_the_sites_own_spelling_is_known() -> None:
    world = World(enrolment="known", profile=lambda _user: Profile(phone="408-555-5270", country="US", email="a@example.com"))
    assert "+1 ••• ••• 70" in words(world.browser("alice").visit())


def test_what_holds_secrets_shows_none() -> None:
    shown = repr(Login("alice", "session-canary")) + repr(Profile(name="A", phone="+14085555270", email="a@canary.example"))
    assert "canary" not in shown
    assert "555" not in shown


def test_a_store_that_fails_while_a_step_up_waits_is_asked_again_by_the_page() -> None:
    class Failing(MemoryStore):
        down = False

        def get(self, user_id: str) -> User | None:
            if self.down:
                raise Unavailable("store", "down")
            return super().get(user_id)

    store = Failing()
    world = World(users=store, policy=by_path({"/pay": Need(max_age=60)}))
    alice = world.browser("alice")
    alice.enrolled()
    world.phone().install_app()
    world.clock.advance(61)
    page = alice.choose(alice.visit("/pay"), "push")
    store.down = True
    assert alice.poll(page, status=503)["state"] == "unavailable"
    store.down = False
    assert alice.poll(page)["state"] == "pending"


def test_pages_below_a_mount_that_is_not_ascii_link_to_where_they_are() -> None:
    world = World(below="/caf\u00e9".encode().decode("latin-1"))
    page = world.browser(None).http.get("/caf%C3%A9/second-factor/", headers={"Accept": "text/html"}, status=403)
    assert page.html.find("link", rel="stylesheet")["href"].startswith("/caf%C3%A9/second-factor/static/")
