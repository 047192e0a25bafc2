"""What every client must do. Write a class of your own under the suite, give its fixtures, and pytest runs all of it:

    class TestMyClient(ClientContract):
        @pytest.fixture
        def client(self): ...                         # a client whose provider is a double of yours, or a test account
        @pytest.fixture
        def user(self, client): ...                   # somebody who holds one factor of it
        @pytest.fixture
        def other_user(self, client): ...             # somebody else, with a factor of their own
        @pytest.fixture
        def answer(self, client): ...                 # a function of user and challenge: what that person types now, as {"code": ...}

`fields` are what an enrolment form would hold, for a client that enrols; `approve` and `deny` are functions of user and challenge that press a button, for one
that polls; `provider_down` is a function that makes the provider unreachable from then on. Leave out what yours has not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from authy_wsgi.contracts import CHANNEL_STRENGTH, Candidate, Challenge, Context, Enrols, Factor, Outcome, Polls, Profile, Strength, User, Verdict, Way
from authy_wsgi.documents import dump_challenge, dump_factor, load_challenge, load_factor
from authy_wsgi.errors import Misconfigured, Refused, SecondFactorError, Unavailable

AT = 1_700_000_000
ENDS = AT + 600
_BY_CHANCE = 4  # so often two codes of six digits may be the same before it is no chance
_CODE_OR_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{6,15}(?![0-9A-Za-z])", re.ASCII)

Answer = Callable[[User, Challenge], Mapping[str, str]]
Press = Callable[[User, Challenge], object]

# The backend hands on 6 to 10 ASCII digits and nothing else.
NO_CODES: Sequence[str] = ("000000", "0000000", "00000000", "9999999999", "123456", "1234567")
RUBBISH: Sequence[str] = (
    *("", " ", "abc", "-1", "12345", "9" * 300, "\0", "../../x", "?force=true", "' OR 1=1 --"),
    *("\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "\ud800"),
)


class ClientContract:
    """The suite. `Context.at` is the one clock: `now` says where it begins."""

    @pytest.fixture
    def client(self) -> Any:
        raise NotImplementedError("give a client fixture: a client whose provider answers in this test")

    @pytest.fixture
    def user(self) -> User:
        raise NotImplementedError("give a user fixture: somebody who holds one factor of the client")

    @pytest.fixture
    def other_user(self) -> User:
        raise NotImplementedError("give an other_user fixture: somebody else, with a factor of their own")

    @pytest.fixture
    def answer(self) -> Answer:
        raise NotImplementedError("give an answer fixture: a function of user and challenge that answers what the person types, as a mapping")

    @pytest.fixture
    def fields(self) -> Mapping[str, str] | None:
        return None

    @pytest.fixture
    def approve(self) -> Press | None:
        return None

    @pytest.fixture
    def deny(self) -> Press | None:
        return None

    @pytest.fixture
    def provider_down(self) -> Callable[[], object] | None:
        return None

    @pytest.fixture
    def now(self) -> int:
        return AT

    @pytest.fixture
    def context(self, now: int) -> Context:
        return Context(at=now, site="Acorn Ledger", attempt="attempt-1", ends=now + 600, user_name="Alice", browser="Firefox")

    # Ways

    def test_it_has_the_shape_of_a_client(self, client: Any) -> None:
        assert isinstance(client.name, str)
        assert client.name.isidentifier(), "the name is part of an address and of stored records: letters, digits, underscores"
        assert isinstance(client.unbound_validity, int)
        assert client.unbound_validity >= 0
        assert all(callable(getattr(client, name)) for name in ("ways", "reference", "start", "check"))
        assert isinstance(client, Enrols) == hasattr(client, "enrol"), "a client that enrols has read, enrol and proved"

    def test_each_way_is_one_of_a_factor_of_the_user(self, client: Any, user: User) -> None:
        ways = client.ways(user)
        assert ways
        assert len({(way.factor, way.channel) for way in ways}) == len(ways)
        for way in ways:
            assert way.client == client.name
            assert user.factor(way.factor) is not None
            assert way.kind in ("code", "wait", "script")
            assert isinstance(way.strength, Strength)
            assert way.channel in CHANNEL_STRENGTH, "a pass of another channel is worth nothing to a rule that asks for strength"
            assert way.strength <= CHANNEL_STRENGTH[way.channel], "a way promises no more than its channel's proof will be worth"
            assert 6 <= way.digits <= 10, "our pages take 6 to 10 digits"
        assert isinstance(client, Polls) or all(way.kind != "wait" for way in ways)

    def test_whoever_holds_nothing_of_it_has_no_way(self, client: Any, user: User) -> None:
        assert list(client.ways(User(id="bob"))) == []
        foreign = tuple(replace(factor, client="another") for factor in user.factors)
        assert list(client.ways(replace(user, factors=foreign))) == []

    def test_a_hint_does_not_show_all_of_an_address(self, client: Any, user: User, fields: Mapping[str, str] | None) -> None:
        hints = [way.hint for way in client.ways(user)] + [factor.label for factor in user.factors]
        for hint in hints:
            assert sum(letter.isdigit() for letter in hint) <= 6, f"{hint!r} shows too much of a number to whoever looks"
            assert not fields or not {value for value in fields.values() if len(value) > 5} & set(hints)

    def test_reference_says_whose_tries_are_counted_together(self, client: Any, user: User, other_user: User) -> None:
        for factor in user.factors:
            reference = client.reference(factor)
            assert isinstance(reference, str)
            assert client.reference(factor) == reference
            assert not reference or reference not in [client.reference(other) for other in other_user.factors]

    def test_ways_and_reference_use_no_network(self, client: Any, user: User, provider_down: Callable[[], object] | None) -> None:
        before = list(client.ways(user))
        _down(provider_down)
        assert list(client.ways(user)) == before
        assert all(isinstance(client.reference(factor), str) for factor in user.factors)

    def test_a_factor_survives_being_stored(self, client: Any, user: User) -> None:
        stored = tuple(load_factor(json.loads(json.dumps(dump_factor(factor)))) for factor in user.factors)
        assert stored == user.factors
        assert list(client.ways(replace(user, factors=stored))) == list(client.ways(user))

    # Codes

    def test_the_right_code_is_approved(self, client: Any, user: User, context: Context, answer: Answer) -> None:
        for way in _coded(client, user):
            challenge = _started(client, user, way, context)
            verdict = client.check(user, challenge, answer(user, challenge), context)
            assert verdict, way
            assert verdict.outcome is Outcome.APPROVED
            assert verdict.channel in CHANNEL_STRENGTH
            assert CHANNEL_STRENGTH[verdict.channel] <= way.strength or verdict.channel == challenge.way.channel

    def test_a_challenge_says_when_it_ends_and_can_be_kept(self, client: Any, user: User, context: Context) -> None:
        for way in client.ways(user):
            challenge = client.start(user, way, context)
            assert challenge.id
            assert context.at < challenge.ends <= context.ends, "a challenge ends, and never after the attempt"
            assert challenge.way.client == client.name
            kept = load_challenge(json.loads(json.dumps(dump_challenge(challenge))))
            assert kept == replace(challenge, learnt={})
            assert isinstance(challenge.learnt, Mapping)

    def test_what_may_reach_the_browser_does_not_hold_the_code(self, client: Any, user: User, context: Context, answer: Answer) -> None:
        for way in _coded(client, user):
            challenge = _started(client, user, way, context)
            for code in (value for value in answer(user, challenge).values() if value):
                assert code not in json.dumps(dict(challenge.shown)), "`shown` may reach the browser: put it into `hidden`"
                assert code not in f"{challenge!r} {client!r}", "a repr ends in a log"
                assert code != challenge.id

    def test_a_wrong_code_is_a_result_and_not_an_approval(self, client: Any, user: User, context: Context, answer: Answer) -> None:
        for way in _coded(client, user):
            challenge = _started(client, user, way, context)
            for name, code in answer(user, challenge).items():
                verdict = client.check(user, challenge, {name: _other(code)}, context)
                assert not verdict
                assert verdict.outcome is Outcome.WRONG
            assert client.check(user, challenge, answer(user, challenge), context), "a typo must not spend the code"

    def test_guesses_are_wrong(self, client: Any, user: User, context: Context, answer: Answer) -> None:
        challenge = _started(client, user, _coded(client, user)[0], context)
        right = set(answer(user, challenge).values())
        guesses = [typed for typed in NO_CODES if typed not in right]
        assert client.check(user, challenge, {"code": guesses[0]}, context).outcome is Outcome.WRONG
        for typed in guesses[1:]:
            # A provider may give up on a challenge after a few of them; what it says then is no approval either.
            assert not _judged(client, user, challenge, {"code": typed}, context)

    @pytest.mark.parametrize("typed", [{}, {"unknown": "1"}, *({"code": text} for text in RUBBISH)], ids=range(len(RUBBISH) + 2))
    def test_what_never_reaches_a_client_would_not_be_approved_either(self, client: Any, user: User, context: Context, typed: Mapping[str, str]) -> None:
        challenge = _started(client, user, _coded(client, user)[0], context)
        with suppress(SecondFactorError, ValueError, LookupError):
            assert not client.check(user, challenge, typed, context)

    def test_a_code_of_somebody_else_is_wrong(self, client: Any, user: User, other_user: User, context: Context, answer: Answer) -> None:
        for _ in range(_BY_CHANCE):
            mine = _started(client, user, _coded(client, user)[0], context)
            theirs = _started(client, other_user, _coded(client, other_user)[0], replace(context, attempt="attempt-2"))
            typed = answer(other_user, theirs)
            if typed != answer(user, mine):
                assert not _judged(client, user, mine, typed, context)
                return
        pytest.fail("two people always have the same code")

    def test_a_code_that_is_bound_counts_in_its_own_attempt_only(self, client: Any, user: User, context: Context, answer: Answer) -> None:
        for way in _coded(client, user):
            first = _started(client, user, way, context)
            if not first.bound:
                continue
            # SECURITY: "bound" is a promise that the backend builds on: a code read aloud to a stranger must not serve the stranger's attempt.
            typed = answer(user, first)
            for number in range(_BY_CHANCE):
                elsewhere = replace(context, attempt=f"attempt-{2 + number}")
                second = _started(client, user, way, elsewhere)
                if typed != answer(user, second):
                    assert not _judged(client, user, second, typed, elsewhere)
                    break
            else:
                pytest.fail("`bound` is not true: every attempt has the same code")

    def test_a_factor_that_is_gone_approves_nothing(self, client: Any, user: User, context: Context, answer: Answer) -> None:
        challenge = _started(client, user, _coded(client, user)[0], context)
        typed = answer(user, challenge)
        assert not _judged(client, replace(user, factors=()), challenge, typed, context)
        with pytest.raises((Refused, Unavailable, Misconfigured)):
            client.start(replace(user, factors=()), challenge.way, context)

    # A broken world

    def test_a_provider_that_is_down_is_said_and_approves_no_guess(
        self, client: Any, user: User, context: Context, answer: Answer, provider_down: Callable[[], object] | None
    ) -> None:
        way = _coded(client, user)[0]
        challenge = _started(client, user, way, context)
        typed = answer(user, challenge)
        _down(provider_down)
        wrong = {name: _other(code) for name, code in typed.items()}
        errors = [_broken(client.start, user, way, replace(context, insist=True))]
        errors += [_broken(client.check, user, challenge, given, context) for given in (typed, wrong)]
        assert any(errors), "where neither start nor check can reach the provider, one of them says Unavailable"
        # A client that has made the code itself can judge it without its provider: the right one is right, and a wrong one is as wrong as ever.
        assert errors[1] or client.check(user, challenge, typed, context), "nobody has judged this code, and it was called wrong"
        assert not _judged(client, user, challenge, wrong, context)
        for error in filter(None, errors):
            _tells_no_secret(error, *typed.values())

    def test_the_error_of_a_broken_world_does_not_hold_the_address(
        self, client: Any, context: Context, fields: Mapping[str, str] | None, provider_down: Callable[[], object] | None
    ) -> None:
        fields = _enrols(client, fields)
        candidate = client.read(fields, Profile())
        factor: Factor = client.enrol(User(id="carol"), candidate, context)
        held = User(id="carol", factors=(factor,))
        ways = client.ways(held)
        _down(provider_down)
        errors = [_broken(client.enrol, User(id="dave"), candidate, context)]
        errors += [_broken(client.start, held, way, context) for way in ways]
        for error in filter(None, errors):
            _tells_no_secret(error, candidate.address)

    # Waiting for a button

    def test_an_approval_approves_and_a_denial_denies(self, client: Any, user: User, context: Context, approve: Press | None, deny: Press | None) -> None:
        ways = [way for way in client.ways(user) if way.kind == "wait"]
        if not ways:
            pytest.skip("this client has no way to wait for")
        assert approve is not None, "give the fixtures approve and deny: functions of user and challenge that press the button"
        assert deny is not None
        for press, outcome in ((approve, Outcome.APPROVED), (deny, Outcome.DENIED)):
            challenge = client.start(user, ways[0], context)
            assert client.poll(user, challenge, context).outcome is Outcome.PENDING
            press(user, challenge)
            verdict: Verdict = client.poll(user, challenge, context)
            assert verdict.outcome is outcome
            assert bool(verdict) == (outcome is Outcome.APPROVED)
            assert verdict.channel in CHANNEL_STRENGTH

    def test_an_approval_of_somebody_else_is_not_mine(self, client: Any, user: User, other_user: User, context: Context, approve: Press | None) -> None:
        ways = [way for way in client.ways(user) if way.kind == "wait"]
        if not ways or approve is None:
            pytest.skip("this client has no way to wait for")
        mine = client.start(user, ways[0], context)
        theirs = client.start(other_user, next(way for way in client.ways(other_user) if way.kind == "wait"), context)
        approve(other_user, theirs)
        assert client.poll(user, mine, context).outcome is Outcome.PENDING
        with suppress(Refused, Unavailable):
            assert not client.poll(user, replace(theirs, way=mine.way), context)

    # Enrolment

    def test_an_enrolment_is_read_told_and_proved(
        self, client: Any, context: Context, fields: Mapping[str, str] | None, answer: Answer, provider_down: Callable[[], object] | None
    ) -> None:
        fields = _enrols(client, fields)
        candidate = client.read(fields, Profile())
        assert isinstance(candidate, Candidate)
        assert candidate.address != candidate.label or not candidate.address
        assert candidate.address not in repr(candidate) or not candidate.address
        carol = User(id="carol")
        factor: Factor = client.enrol(carol, candidate, context)
        assert factor.client == client.name
        assert factor.added == context.at
        held = replace(carol, factors=(factor,))
        way = _coded(client, held)[0]
        challenge = _started(client, held, way, context)
        assert client.check(held, challenge, answer(held, challenge), context)
        assert isinstance(client.proved(held, factor, context), Mapping)

    def test_an_empty_form_is_refused_with_a_sentence_and_a_field(self, client: Any, fields: Mapping[str, str] | None) -> None:
        fields = _enrols(client, fields)
        for given in ({}, dict.fromkeys(fields, ""), dict.fromkeys(fields, "\0"), dict.fromkeys(fields, "x" * 5000)):
            with pytest.raises(Refused) as caught:
                client.read(given, Profile())
            assert caught.value.sentence
            assert caught.value.field, "say which field to mend"


def _coded(client: Any, user: User) -> list[Way]:
    ways = [way for way in client.ways(user) if way.kind == "code"]
    if not ways:
        pytest.skip("this client has no way that ends with a code")
    return ways


def _started(client: Any, user: User, way: Way, context: Context) -> Challenge:
    """A challenge as the backend has it after the ledger kept it."""
    started: Challenge = client.start(user, way, replace(context, insist=True))
    return load_challenge(json.loads(json.dumps(dump_challenge(started))))


def _judged(client: Any, user: User, challenge: Challenge, typed: Mapping[str, str], context: Context) -> bool:
    """Whether it was approved; what it may raise for such an answer is a refusal."""
    try:
        return bool(client.check(user, challenge, typed, context))
    except (Refused, Unavailable):
        return False


def _broken(call: Callable[..., object], *given: Any) -> SecondFactorError | None:
    """How a call fails where the provider cannot be reached; None where it needs no provider. Whatever else it raises is a fault of the client."""
    try:
        call(*given)
    except (Refused, Unavailable, Misconfigured) as error:
        return error
    return None


def _tells_no_secret(error: BaseException, *secrets: str) -> None:
    """A log has the text of an error, and that of each error which is shown along with it."""
    told = ""
    shown: BaseException | None = error
    while shown is not None:
        told += f"{shown} "
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    for secret in secrets:
        assert len(secret) <= 3 or secret not in told, "the text of an error ends in a log"
    assert not _CODE_OR_NUMBER.search(told), "a code or a phone number: the text of an error ends in a log. `from None` keeps out that of another error"


def _other(code: str) -> str:
    return "".join(str((int(digit) + 1) % 10) if digit.isdecimal() else digit for digit in code)


def _down(provider_down: Callable[[], object] | None) -> None:
    if provider_down is None:
        pytest.skip("give a provider_down fixture to see what happens then")
    provider_down()


def _enrols(client: Any, fields: Mapping[str, str] | None) -> Mapping[str, str]:
    if not isinstance(client, Enrols):
        pytest.skip("this client adds no factors")
    assert fields, "give a fields fixture: what the enrolment form of this client holds"
    return fields
