"""`AuthyClient`: what is offered, what a code proves, what is learnt, and which sentence a person reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from authy_wsgi import AuthyClient
from authy_wsgi.clients.authy_api import PRODUCTION, AuthyError
from authy_wsgi.contracts import Candidate, Challenge, Context, Enrols, Factor, Outcome, Polls, Profile, Strength, User, Way
from authy_wsgi.emulator import Emulator
from authy_wsgi.errors import Misconfigured, Refused, Unavailable
from tests.support import API_KEY, PHONE, START, Clock

from .conftest import Transport
from .lab import VALID

CONTEXT = Context(at=START, site="Acorn Ledger", attempt="attempt-1", ends=START + 600, user_name="alice", browser="Firefox")


class Provider:
    """The client and the emulator it speaks to, over a socket or in this process, with one user registered there."""

    def __init__(self, transport: Transport, **options: Any) -> None:
        self.clock = Clock()
        self.emulator = Emulator(API_KEY, clock=self.clock, seed=1)
        self.client = AuthyClient(API_KEY, **transport.to(self.emulator), **options)
        self.authy_id = self.client.api.register_user("alice@example.com", "4085555270", 1)
        self.emulator.calls.clear()

    @property
    def phone(self) -> Any:
        return self.emulator.phone(PHONE)

    def user(self, **data: Any) -> User:
        factor = Factor(id="f1", client="authy", label="+1 ••• ••• 70", added=START, data={"authy_id": self.authy_id, **data})
        return User(id="alice", factors=(factor,))

    def way(self, channel: str, user: User | None = None) -> Way:
        found = [way for way in self.client.ways(user or self.user(email="a•••@example.com")) if way.channel == channel]
        assert len(found) == 1
        return found[0]

    def start(self, channel: str, context: Context = CONTEXT, **data: Any) -> Challenge:
        user = self.user(email="a•••@example.com", **data)
        return self.client.start(user, self.way(channel, user), context)

    def check(self, challenge: Challenge, code: str, context: Context = CONTEXT, **data: Any) -> Any:
        return self.client.check(self.user(**data), challenge, {"code": code}, context)

    def says(self, route: str, body: object, status: int = 200) -> None:
        self.emulator.add_fault(route=route, kind="status", status=status, body=json.dumps(body))

    def refuses(self, route: str, code: str, status: int = 403, **more: Any) -> None:
        self.says(route, {"message": f"provider's words {code}", "success": False, "errors": {}, "error_code": code, **more}, status)

    @property
    def routes(self) -> list[str]:
        return [call.route for call in self.emulator.calls]


@pytest.fixture
def provider(transport: Transport) -> Provider:
    return Provider(transport)


def test_it_has_the_shapes_of_a_client(provider: Provider) -> None:
    assert isinstance(provider.client, Polls)
    assert isinstance(provider.client, Enrols)
    assert (provider.client.name, provider.client.needs_email) == ("authy", True)


# Ways


@pytest.mark.parametrize(
    ("app", "unlikely"),
    [({"app": "yes"}, set()), ({}, set()), ({"app": "unknown"}, set()), ({"app": "no"}, {"push", "app"})],
    ids=lambda value: str(sorted(value)),
)
def test_push_and_app_are_offered_unless_the_person_is_known_to_have_no_app(provider: Provider, app: Mapping[str, str], unlikely: set[str]) -> None:
    ways = provider.client.ways(provider.user(**app))
    assert {way.channel for way in ways} == {"push", "app", "sms", "call"}
    assert {way.channel for way in ways if way.unlikely} == unlikely
    assert provider.routes == []


def test_each_way_says_how_strong_it_is_and_which_page_serves_it(provider: Provider) -> None:
    ways = {way.channel: way for way in provider.client.ways(provider.user(email="a•••@example.com"))}
    assert {name: (way.kind, way.strength) for name, way in ways.items()} == {
        "push": ("wait", Strength.APPROVE),
        "app": ("code", Strength.CODE),
        "sms": ("code", Strength.PHONE),
        "call": ("code", Strength.PHONE),
        "email": ("code", Strength.EMAIL),
    }
    assert {way.digits for way in ways.values()} == {7}
    assert {way.factor for way in ways.values()} == {"f1"}
    assert (ways["sms"].hint, ways["call"].hint, ways["email"].hint) == ("+1 ••• ••• 70", "+1 ••• ••• 70", "a•••@example.com")


def test_email_is_offered_only_where_an_address_is_known(provider: Provider) -> None:
    assert "email" not in {way.channel for way in provider.client.ways(provider.user())}


def test_the_factors_of_another_client_are_not_its_own(provider: Provider) -> None:
    user = provider.user()
    other = replace(user.factors[0], client="totp")
    assert provider.client.ways(replace(user, factors=(other,))) == []


def test_two_users_of_one_authy_id_are_counted_together(provider: Provider) -> None:
    one, two = provider.user().factors[0], replace(provider.user(), id="bob").factors[0]
    assert provider.client.reference(one) == provider.client.reference(replace(two, id="f2")) == f"authy:{provider.authy_id}"


# Enrolment


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({}, "phone", "Type your phone number"),
        ({"phone": "   "}, "phone", "Type your phone number"),
        ({"phone": "408-555-5270"}, "country", "Choose the country"),
        ({"phone": "408-555-5270", "country": "XX"}, "", "."),
        ({"phone": "12", "country": "US"}, "phone", "too short"),
        ({"phone": "408-555-5270-1234-567", "country": "US"}, "phone", "too long"),
        ({"phone": "9" * 50, "country": "US"}, "phone", "too long"),
        ({"phone": "call me", "country": "US"}, "phone", "does not look like a phone number"),
        ({"phone": "+999 123 456 789"}, "phone", "country code does not exist"),
        ({"phone": "+44 20 7946 0958"}, "phone", "landline"),
        ({"phone": "+1 800 555 0199"}, "phone", "landline or a service number"),
        ({"phone": "408-555-5270 ext. 12", "country": "US"}, "phone", "no such number"),
    ],
    ids=str,
)
def test_a_number_that_cannot_be_is_named_with_what_to_do(provider: Provider, fields: dict[str, str], field: str, sentence: str) -> None:
    with pytest.raises(Refused) as caught:
        provider.client.read({"email": "alice@example.com", **fields}, Profile())
    assert sentence in caught.value.sentence
    assert caught.value.field == field or not field
    assert caught.value.field in ("phone", "country")
    assert provider.routes == []


@pytest.mark.parametrize(
    "email",
    [
        "",
        "  ",
        "alice",
        "alice@",
        "@example.com",
        "alice@example",
        "a b@example.com",
        "a@b@example.com",
        "alice@example.c",
        "a\n@example.com",
        "x" * 65 + "@example.com",
    ],
    ids=ascii,
)
def test_an_email_address_that_cannot_be_is_asked_for(provider: Provider, email: str) -> None:
    with pytest.raises(Refused, match="e-mail address") as caught:
        provider.client.read({"phone": PHONE, "email": email}, Profile())
    assert caught.value.field == "email"


@pytest.mark.parametrize(
    "written", ["+14085555270", "001 408 555 5270", "(408) 555-5270", "408.555.5270", " 4085555270 ", "1-408-555-5270", "٤٠٨٥٥٥٥٢٧٠"], ids=ascii
)
def test_any_spelling_of_a_number_is_the_same_candidate(provider: Provider, written: str) -> None:
    candidate = provider.client.read({"phone": written, "country": "US", "email": " alice@example.com "}, Profile())
    assert candidate == Candidate(address=PHONE, label="+1 ••• ••• 70", data={"email": "alice@example.com"})
    assert "alice" not in repr(candidate)


def test_the_sites_own_address_is_taken_before_a_typed_one(provider: Provider) -> None:
    candidate = provider.client.read({"phone": PHONE, "email": "mallory@example.com"}, Profile(email="alice@example.com"))
    assert candidate.data["email"] == "alice@example.com"


def test_enrolling_registers_the_number_and_keeps_no_address_in_clear(provider: Provider) -> None:
    candidate = provider.client.read({"phone": PHONE, "email": "alice@example.com"}, Profile())
    factor = provider.client.enrol(User(id="alice"), candidate, CONTEXT)
    assert {name: factor.data[name] for name in ("authy_id", "email")} == {"authy_id": provider.authy_id, "email": "a•••@example.com"}
    assert "alice" not in str(factor.data)
    assert (factor.client, factor.label, factor.added) == ("authy", "+1 ••• ••• 70", START)
    assert "5555270" not in repr(factor)
    assert "alice@example.com" not in repr(factor)
    assert provider.routes == ["users/new"]
    assert provider.phone.messages == []


@pytest.mark.parametrize(
    ("errors", "field"),
    [({"email": "is invalid"}, "email"), ({"country_code": "is not supported"}, "country"), ({"cellphone": "is invalid"}, "phone"), ({}, "phone")],
    ids=str,
)
def test_what_the_provider_does_not_take_is_said_at_its_field(provider: Provider, errors: dict[str, str], field: str) -> None:
    provider.refuses("users/new", "60027", 400, errors={**errors, "message": "User was not valid"})
    candidate = provider.client.read({"phone": PHONE, "email": "alice@example.com"}, Profile())
    with pytest.raises(Refused) as caught:
        provider.client.enrol(User(id="alice"), candidate, CONTEXT)
    assert type(caught.value) is Refused
    assert (caught.value.field, caught.value.code) == (field, "60027")
    assert "provider's words" not in caught.value.sentence


@pytest.mark.parametrize("installed", [True, False])
def test_a_proved_number_is_asked_once_whether_it_has_the_app(provider: Provider, installed: bool) -> None:
    if installed:
        provider.phone.install_app()
    user = provider.user()
    assert provider.client.proved(user, user.factors[0], CONTEXT) == {"app": "yes" if installed else "no"}
    assert provider.routes == ["users/status"]


# Sending


def test_a_message_is_bound_to_its_attempt_and_its_code_good_for_no_other(provider: Provider) -> None:
    challenge = provider.start("sms")
    assert challenge.bound
    assert challenge.way.channel == "sms"
    code = provider.phone.code
    other = replace(CONTEXT, attempt="attempt-2")
    assert provider.check(challenge, code, other).outcome is Outcome.WRONG
    assert provider.check(challenge, code).outcome is Outcome.APPROVED
    assert [call.parameters.get("action") for call in provider.emulator.calls] == ["attempt-1", "attempt-2", "attempt-1"]


def test_binding_can_be_switched_off(transport: Transport) -> None:
    provider = Provider(transport, bind_action=False)
    challenge = provider.start("sms")
    assert not challenge.bound
    assert provider.check(challenge, provider.phone.code)
    assert all("action" not in call.parameters for call in provider.emulator.calls)


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_an_ignored_message_becomes_a_question_for_the_apps_code(provider: Provider, channel: str) -> None:
    provider.phone.install_app()
    challenge = provider.start(channel)
    assert (challenge.way.channel, challenge.way.strength, challenge.bound) == ("app", Strength.CODE, False)
    assert challenge.shown == {"ignored": True, "instead_of": channel}
    assert challenge.learnt == {"app": "yes"}
    assert provider.phone.messages == []
    verdict = provider.check(challenge, provider.phone.app_code)
    assert (verdict.outcome, verdict.channel) == (Outcome.APPROVED, "app")


@pytest.mark.parametrize("channel", ["sms", "call"])
def test_insisting_sends_although_there_is_the_app(provider: Provider, channel: str) -> None:
    provider.phone.install_app()
    challenge = provider.start(channel, replace(CONTEXT, insist=True))
    assert (challenge.way.channel, challenge.bound, challenge.learnt) == (channel, True, {})
    assert provider.emulator.calls[-1].parameters["force"] == "true"
    assert [message.kind for message in provider.phone.messages] == [channel]


def test_the_apps_code_needs_no_question_to_the_provider(provider: Provider) -> None:
    challenge = provider.start("app")
    assert (challenge.bound, challenge.hidden, provider.routes) == (False, {}, [])


@pytest.mark.parametrize("channel", ["sms", "app", "push"])
def test_a_challenge_ends_no_later_than_its_attempt(provider: Provider, channel: str) -> None:
    provider.phone.install_app()
    challenge = provider.start(channel, replace(CONTEXT, ends=START + 30, insist=True))
    assert challenge.ends == START + 30
    if channel == "push":
        assert provider.emulator.calls[-1].parameters["seconds_to_expire"] == "30"


def test_a_factor_that_is_gone_is_refused_and_one_without_its_id_is_a_misconfiguration(provider: Provider) -> None:
    way = provider.way("sms")
    with pytest.raises(Refused, match="not yours any more") as caught:
        provider.client.start(User(id="alice"), way, CONTEXT)
    assert "not yours any more" in caught.value.sentence
    for odd in ({}, {"authy_id": "1635"}, {"authy_id": True}, {"authy_id": None}):
        factor = Factor(id="f1", client="authy", label="", added=START, data=odd)
        with pytest.raises(Misconfigured, match="authy_id"):
            provider.client.start(User(id="alice", factors=(factor,)), way, CONTEXT)
    assert provider.routes == []


# What a code proves

ABSENT = "<absent>"


@pytest.mark.parametrize(
    ("device", "asked", "proves"),
    [
        ({"os_type": "sms"}, "sms", "sms"),
        ({"os_type": "sms"}, "call", "call"),
        ({"os_type": "sms"}, "app", "sms"),
        ({"os_type": "android"}, "sms", "app"),
        ({"os_type": "android"}, "app", "app"),
        ({"os_type": "iphone"}, "app", "app"),
        ({"os_type": "ios"}, "call", "app"),
        ({"os_type": "authy_chrome"}, "app", "app"),
        ({"os_type": "android_tablet"}, "app", "app"),
        ({"os_type": "unknown"}, "app", "sms"),
        ({"os_type": "unknown"}, "sms", "sms"),
        ({"os_type": ""}, "app", "sms"),
        ({"os_type": None}, "app", "sms"),
        ({"os_type": ["android"]}, "app", "sms"),
        ({"os_type": True}, "app", "sms"),
        ({}, "app", "sms"),
        (None, "app", "sms"),
        ("android", "app", "sms"),
        ([], "call", "call"),
        (ABSENT, "app", "sms"),
        (ABSENT, "sms", "sms"),
        (ABSENT, "call", "call"),
        (ABSENT, "email", "email"),
        ({"os_type": "sms"}, "email", "email"),
        ({"os_type": "android"}, "email", "email"),
    ],
    ids=lambda value: "absent" if value is ABSENT else str(value),
)
def test_the_channel_is_what_the_evidence_says_and_the_weakest_where_it_says_nothing(provider: Provider, device: Any, asked: str, proves: str) -> None:
    challenge = replace(provider.start("app"), way=provider.way(asked))
    body = {name: value for name, value in VALID.items() if name != "device"}
    provider.says("verify", body if device is ABSENT else {**body, "device": device})
    verdict = provider.check(challenge, "7350912", app="no")
    assert (verdict.outcome, verdict.channel) == (Outcome.APPROVED, proves)
    assert verdict.learnt == ({"app": "yes"} if proves == "app" else {})


def test_what_is_known_already_is_not_learnt_again(provider: Provider) -> None:
    provider.phone.install_app()
    challenge = provider.start("app")
    assert provider.check(challenge, provider.phone.app_code, app="yes").learnt == {}


def test_a_wrong_code_is_a_result_with_the_providers_words_as_evidence(provider: Provider) -> None:
    verdict = provider.check(provider.start("sms"), "1234567")
    assert not verdict
    assert (verdict.outcome, verdict.reason) == (Outcome.WRONG, "")
    assert verdict.evidence == {"message": "Token is invalid", "error_code": "60020", "token": "is invalid"}


def test_a_used_code_is_wrong_and_says_so(provider: Provider) -> None:
    challenge = provider.start("sms")
    code = provider.phone.code
    assert provider.check(challenge, code)
    verdict = provider.check(challenge, code)
    assert (verdict.outcome, verdict.reason, verdict.evidence["error_code"]) == (Outcome.WRONG, "used", "60019")


def test_an_old_servers_error_without_a_code_is_a_wrong_code_too(provider: Provider) -> None:
    challenge = provider.start("sms")
    provider.says("verify", {"message": "Token is invalid.", "token": "is invalid", "success": False, "errors": {"message": "Token is invalid."}}, 401)
    assert provider.check(challenge, "1234567").outcome is Outcome.WRONG


@pytest.mark.parametrize(("code", "status"), [("60016", 404), ("60026", 404), ("60017", 503)])
def test_a_user_whom_the_provider_does_not_know_or_has_suspended_is_told_whom_to_ask(provider: Provider, code: str, status: int) -> None:
    challenge = provider.start("sms")
    provider.refuses("verify", code, status)
    with pytest.raises(Refused) as caught:
        provider.check(challenge, "1234567")
    assert "Ask the people who run this site" in caught.value.sentence
    assert (caught.value.code, type(caught.value)) == (code, Refused)


# Push


def test_a_push_shows_what_is_asked_and_keeps_its_uuid_to_itself(provider: Provider) -> None:
    provider.phone.install_app()
    challenge = provider.start("push")
    shown = provider.phone.approvals[-1]
    assert shown["message"] == challenge.shown["message"] == "Sign in to Acorn Ledger?"
    assert shown["details"] == challenge.shown["details"] == {"Site": "Acorn Ledger", "User": "alice", "From": "Firefox", "At": "22:13 UTC, 14 November"}
    assert challenge.hidden == {"uuid": shown["uuid"]}
    assert shown["uuid"] not in repr(challenge)
    assert challenge.ends == START + 120


@pytest.mark.parametrize(("press", "outcome"), [("approve", Outcome.APPROVED), ("deny", Outcome.DENIED), ("", Outcome.PENDING)])
def test_a_push_is_what_the_person_pressed(provider: Provider, press: str, outcome: Outcome) -> None:
    provider.phone.install_app()
    challenge = provider.start("push")
    if press:
        getattr(provider.phone, press)()
    verdict = provider.client.poll(provider.user(), challenge, CONTEXT)
    assert (verdict.outcome, verdict.channel, bool(verdict)) == (outcome, "push", outcome is Outcome.APPROVED)


def test_a_push_runs_out(provider: Provider) -> None:
    provider.phone.install_app()
    challenge = provider.start("push")
    provider.clock.advance(121)
    assert provider.client.poll(provider.user(), challenge, CONTEXT).outcome is Outcome.EXPIRED


def test_the_approval_of_another_phone_is_none(provider: Provider) -> None:
    provider.phone.install_app()
    challenge = provider.start("push")
    provider.phone.approve()
    bob = provider.client.api.register_user("bob@example.com", "4085555299", 1)
    assert bob != provider.authy_id
    with pytest.raises(Unavailable, match="another user"):
        provider.client.poll(provider.user(authy_id=bob), challenge, CONTEXT)


@pytest.mark.parametrize("code", ["60050", "60051"])
def test_a_push_to_a_phone_without_the_app_teaches_that_there_is_none(provider: Provider, code: str) -> None:
    provider.refuses("approval_requests/create", code, 400)
    with pytest.raises(Refused) as caught:
        provider.start("push")
    assert "not set up for your number" in caught.value.sentence
    assert caught.value.learnt == {"app": "no"}


def test_a_request_that_the_provider_has_lost_is_a_broken_world_and_no_answer(provider: Provider) -> None:
    provider.phone.install_app()
    challenge = provider.start("push")
    lost = replace(challenge, hidden={"uuid": "550e8400-e29b-41d4-a716-446655440000"})
    with pytest.raises(Unavailable):
        provider.client.poll(provider.user(), lost, CONTEXT)


# Errors

SENTENCES = {
    "60006": "Phone calls are switched off",
    "60007": "Text messages are switched off",
    "60009": "used up its text messages",
    "60010": "used up its text messages",
    "60011": "used up its phone calls",
    "60012": "used up its phone calls",
    "60013": "Codes cannot be sent to this country",
    "60014": "The call could not be started",
    "60015": "The text message could not be sent",
    "60016": "does not know your phone any more",
    "60017": "Your phone is suspended",
    "60026": "does not know your phone any more",
    "60078": "Codes cannot be sent to this country",
    "60082": "This number is a landline",
    "60083": "No carrier serves this number",
}


@pytest.mark.parametrize("status", [400, 403, 404, 503])
@pytest.mark.parametrize("code", SENTENCES)
def test_a_code_of_the_provider_is_a_sentence_for_the_person_and_its_words_are_kept_apart(provider: Provider, code: str, status: int) -> None:
    provider.refuses("sms", code, status)
    with pytest.raises(Refused) as caught:
        provider.start("sms")
    error = caught.value
    assert type(error) is Refused
    assert SENTENCES[code] in error.sentence
    assert "provider's words" not in error.sentence
    assert (error.code, error.text) == (code, f"provider's words {code}")


@pytest.mark.parametrize("code", ["60001", "60047", "60056", "60061", "60063", "60073"])
def test_a_key_that_the_provider_refuses_is_a_misconfiguration(provider: Provider, code: str) -> None:
    for route, call in (("sms", lambda: provider.start("sms")), ("verify", lambda: provider.check(provider.start("app"), "1234567"))):
        provider.refuses(route, code, 401)
        with pytest.raises(Misconfigured, match=code):
            call()


@pytest.mark.parametrize("code", ["60000", "60003", "60008", "60057", "60060", "60002", "69999", ""])
def test_what_nobody_can_do_anything_about_is_a_broken_world(provider: Provider, code: str) -> None:
    for status in (400, 403, 503):
        provider.refuses("sms", code, status)
        with pytest.raises(Unavailable):
            provider.start("sms")
        provider.refuses("verify", code, status)
        with pytest.raises(Unavailable):
            provider.check(provider.start("app"), "1234567")


def test_no_error_of_the_api_gets_past_the_client(provider: Provider) -> None:
    for route, channel in (("sms", "sms"), ("call", "call"), ("email", "email"), ("approval_requests/create", "push")):
        for code in ("60004", "60020", "60026", "60049", "60065", "60082"):
            provider.refuses(route, code)
            with pytest.raises((Refused, Unavailable)) as caught:
                provider.start(channel)
            assert not isinstance(caught.value, AuthyError)


# Small things


def test_what_is_not_the_real_service_says_so(provider: Provider) -> None:
    assert provider.client.notice == f"Codes come from a simulator at {provider.client.api.wire.base_url}."
    assert AuthyClient(API_KEY).notice == ""
    assert AuthyClient(API_KEY).api.wire.base_url == PRODUCTION
    assert AuthyClient(API_KEY, base_url="https://proxy.example/").notice == "Codes come from https://proxy.example."


def test_the_key_can_be_checked(provider: Provider) -> None:
    assert provider.client.reach() == "Authy Demo (sandbox), text messages on"
    provider.refuses("app/details", "60001", 401)
    with pytest.raises(Misconfigured):
        provider.client.reach()


def test_its_repr_holds_no_key(provider: Provider) -> None:
    assert API_KEY not in repr(provider.client)


@pytest.mark.parametrize(
    "logos", [[{"res": "low", "url": "https://x.example/"}], [{"url": "https://x.example/"}], [{"res": "default"}], [{"res": "default", "url": "u", "x": "y"}]]
)
def test_logos_that_the_provider_would_refuse_are_refused_at_once(logos: Any) -> None:
    with pytest.raises(Misconfigured, match="logos"):
        AuthyClient(API_KEY, logos=logos)


def test_logos_travel_with_a_push(transport: Transport) -> None:
    provider = Provider(transport, logos=[{"res": "default", "url": "https://x.example/y.png"}])
    provider.phone.install_app()
    provider.start("push")
    assert "https://x.example/y.png" in str(provider.emulator.calls[-1].parameters["logos"])
