"""That the suites for plug-ins bite: plug-ins that are wrong in one way each, and the tests that have to find it. One that is right beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest

pytest_plugins = ("pytester",)

pytestmark = pytest.mark.slow

STORES = """
import time
from dataclasses import replace

import pytest
from authy_wsgi import Conflict, MemoryStore
from authy_wsgi.documents import dump_user, fold, load_user
from authy_wsgi.testing.contracts import UserStoreContract

class Right(MemoryStore):
    pass

class BringsBack(MemoryStore):
    def delete(self, user_id):
        self.erase(user_id)

class EmptiesOnly(MemoryStore):
    def delete(self, user_id):
        if user := self.get(user_id):
            self.save(replace(user, factors=(), invitations=(), extra={}, enrolment="invited"))

class Counts(MemoryStore):
    def save(self, user):
        with self._lock:
            row = self._row(user.id)
            if (row[1] if row else 0) != user.version:
                raise Conflict("another version")
            saved = replace(user, version=user.version + 1)
            self._rows[fold(user.id)] = (user.id, saved.version, dump_user(saved))
        return saved

class ForgetsToCompare(MemoryStore):
    def save(self, user):
        stored = self.get(user.id)
        return super().save(replace(user, version=stored.version if stored else 0))

class LooksThenWrites(MemoryStore):
    def save(self, user):
        row = self._row(user.id)
        if (row[1] if row else 0) != user.version:
            raise Conflict("another version")
        time.sleep(0.002)
        with self._lock:
            self._rows[fold(user.id)] = (user.id, user.version + 2, dump_user(user))
        return replace(user, version=user.version + 2)

class KnowsNoSpellings(MemoryStore):
    def _row(self, user_id):
        return self._rows.get(user_id)
    def save(self, user):
        saved = super().save(user)
        self._rows[user.id] = self._rows[fold(user.id)]
        return saved

class TakesThemForOne(MemoryStore):
    def _row(self, user_id):
        return self._rows.get(fold(user_id))

class CutsIds(MemoryStore):
    def get(self, user_id):
        return super().get(user_id[:40])
    def save(self, user):
        return super().save(replace(user, id=user.id[:40]))

class AlwaysConflicts(MemoryStore):
    def save(self, user):
        if user.version:
            raise Conflict("busy")
        return super().save(user)

class SortsOtherwise(MemoryStore):
    def ids(self, after="", limit=1000):
        return sorted((row[0] for row in self._rows.values() if row[0] > after), key=str.casefold)[:limit]

class DropsWhatItDoesNotKnow(MemoryStore):
    def save(self, user):
        return super().save(replace(user, extra={}))

class KeepsTheCallersObject(MemoryStore):
    def __init__(self):
        super().__init__()
        self.users = {}
    def save(self, user):
        self.users[user.id] = saved = super().save(user)
        return saved
    def get(self, user_id):
        found = super().get(user_id)
        return found and self.users.get(user_id, found)
"""

READ_ONLY = """
import secrets

import pytest
from authy_wsgi.contracts import Factor, User
from authy_wsgi.testing.contracts import ReadOnlyUserStoreContract

class Right:
    def get(self, user_id):
        return self.user(user_id) if user_id == "alice" else None
    def user(self, user_id, **more):
        phone = Factor(id="phone", client="authy", label="+1 ... 70", added=1, data={"authy_id": 1635})
        return User(id=user_id, **{"factors": (phone,), "generation": "g", "version": 1, **more})

class NoGeneration(Right):
    def user(self, user_id):
        return super().user(user_id, generation="")

class AnotherGenerationEachTime(Right):
    def user(self, user_id):
        return super().user(user_id, generation=secrets.token_hex(8))

class NoFactor(Right):
    def user(self, user_id):
        return super().user(user_id, factors=())

class IgnoresCase(Right):
    def get(self, user_id):
        return self.user("alice") if user_id.lower() == "alice" else None

class IgnoresCaseAndPlaysAlong(Right):
    def get(self, user_id):
        return self.user(user_id) if user_id.strip().lower() == "alice" else None

class KnowsEverybody(Right):
    def get(self, user_id):
        return self.user(user_id)

class Writes(Right):
    def save(self, user):
        return user
"""

LEDGERS = """
import time
from dataclasses import replace

import pytest
from authy_wsgi import MemoryLedger
from authy_wsgi.testing.contracts import LedgerContract

class Right(MemoryLedger):
    pass

class ClaimOverwrites(MemoryLedger):
    def claim(self, key, value, ttl, *, now):
        self.put(key, value, ttl, now=now)
        return value

class ClaimLies(MemoryLedger):
    def claim(self, key, value, ttl, *, now):
        super().claim(key, value, ttl, now=now)
        return value

class LooksThenClaims(MemoryLedger):
    def claim(self, key, value, ttl, *, now):
        found = self.get(key, now=now)
        if found is None:
            time.sleep(0.002)
            self.put(key, value, ttl, now=now)
        return value if found is None else found

class OneMore(MemoryLedger):
    def spend(self, budgets, *, now):
        return super().spend([replace(each, limit=each.limit + 1) for each in budgets], now=now)

class OneAfterTheOther(MemoryLedger):
    def spend(self, budgets, *, now):
        answer = super().spend([], now=now)
        for each in budgets:
            answer = super().spend([each], now=now)
            if not answer:
                break
        return answer

class CountsInFixedWindows(MemoryLedger):
    def spend(self, budgets, *, now):
        return super().spend(budgets, now=now - now % 60)

class RefusalsCount(MemoryLedger):
    def spend(self, budgets, *, now):
        answer = super().spend(budgets, now=now)
        if not answer:
            super().spend([replace(each, limit=10**9) for each in budgets], now=now)
        return answer

class GivesNothingBack(MemoryLedger):
    def give_back(self, receipt):
        pass

class GivesBackTwice(MemoryLedger):
    def give_back(self, receipt):
        for tries in self._tries.values():
            for each in [receipt, *tries][:1] if receipt in tries else list(tries)[:1]:
                tries.pop(each, None)

class PopLeavesIt(MemoryLedger):
    def pop(self, key, *, now):
        return self.get(key, now=now)

class NeverEnds(MemoryLedger):
    def get(self, key, *, now):
        return self._values.get(key, (None, 0))[0]

class EndsAMomentLate(MemoryLedger):
    def put(self, key, value, ttl, *, now):
        super().put(key, value, ttl + 1, now=now)

class IgnoresCase(MemoryLedger):
    def claim(self, key, value, ttl, *, now):
        return super().claim(key.lower(), value, ttl, now=now)
    def get(self, key, *, now):
        return super().get(key.lower(), now=now)
"""

CLIENTS = """
import secrets
from collections import defaultdict
from dataclasses import replace

import pytest
from authy_wsgi import Profile, Refused, Strength, Unavailable
from authy_wsgi.contracts import Candidate, Challenge, Context, Factor, Outcome, User, Verdict, Way
from authy_wsgi.phones import mask, read_number
from authy_wsgi.testing.contracts import ClientContract

class Right:
    name = "right"
    unbound_validity = 0

    def __init__(self):
        self.sent = defaultdict(list)
        self.down = False

    def ways(self, user):
        return [Way(client=self.name, channel="sms", kind="code", strength=Strength.PHONE, factor=each.id) for each in user.factors if each.client == self.name]

    def reference(self, factor):
        return factor.data["number"]

    def make(self):
        return f"{secrets.randbelow(10**6):06}"

    def failed(self, number, code):
        return Unavailable("provider", "Timeout")

    def start(self, user, way, context):
        code, number = self.make(), self.mine(user, way).data["number"]
        if self.down:
            raise self.failed(number, code)
        self.sent[number].append(code)
        return Challenge(id=secrets.token_hex(8), way=way, ends=context.ends, bound=True, hidden={"code": code})

    def mine(self, user, way):
        if (factor := user.factor(way.factor)) is None:
            raise Refused("This phone is not yours any more.")
        return factor

    def check(self, user, challenge, answer, context):
        self.mine(user, challenge.way)
        right = self.accepts(user, challenge, answer.get("code", ""))
        return Verdict(outcome=Outcome.APPROVED if right else Outcome.WRONG, channel="sms")

    def accepts(self, user, challenge, code):
        return code == challenge.hidden["code"]

    def read(self, fields, profile):
        number = read_number(fields.get("phone", ""))
        return Candidate(address=number, label=mask(number))

    def enrol(self, user, candidate, context):
        return Factor(id=secrets.token_hex(8), client=self.name, label=candidate.label, added=context.at, data={"number": candidate.address})

    def proved(self, user, factor, context):
        return {}

class RightAndGivesUp(Right):
    def check(self, user, challenge, answer, context):
        wrong = self.sent[challenge.id]
        if len(wrong) == 3:
            return Verdict(outcome=Outcome.THROTTLED, channel="sms")
        verdict = super().check(user, challenge, answer, context)
        if not verdict:
            wrong.append(answer)
        return verdict

class RightAndRefuses(RightAndGivesUp):
    def check(self, user, challenge, answer, context):
        verdict = super().check(user, challenge, answer, context)
        if verdict.outcome is Outcome.THROTTLED:
            raise Refused("Too many wrong codes. Ask for another one.")
        return verdict

class ApprovesSixDigits(Right):
    def accepts(self, user, challenge, code):
        return len(code) == 6 and code.isdigit()

class TakesTheStartOfACode(Right):
    def accepts(self, user, challenge, code):
        return challenge.hidden["code"].startswith(code)

class ShowsTheCode(Right):
    def start(self, user, way, context):
        challenge = super().start(user, way, context)
        return replace(challenge, shown=challenge.hidden)

class NamesItAfterTheCode(Right):
    def start(self, user, way, context):
        challenge = super().start(user, way, context)
        return replace(challenge, id=challenge.hidden["code"])

class TellsTheCode(Right):
    def failed(self, number, code):
        return Unavailable("provider", f"could not send {code}")

class TellsTheNumber(Right):
    def failed(self, number, code):
        return Unavailable("provider", f"could not reach {number}")

class TellsTheNumberByTheWay(Right):
    def failed(self, number, code):
        error = Unavailable("provider", "Timeout")
        error.__cause__ = TimeoutError(f"POST /messages?to={number}")
        return error

class NeverEnds(Right):
    def start(self, user, way, context):
        return replace(super().start(user, way, context), ends=context.at + 10**9)

class HasEndedAlready(Right):
    def start(self, user, way, context):
        return replace(super().start(user, way, context), ends=context.at)

class TakesEveryCodeThatWasSent(Right):
    def accepts(self, user, challenge, code):
        return code in self.sent[user.factors[0].data["number"]]

class TakesTheCodesOfAll(Right):
    def accepts(self, user, challenge, code):
        return any(code in codes for codes in self.sent.values())

class HasOneCodeForAll(Right):
    def make(self):
        return "493817"

class HasOneCodeForEach(Right):
    def start(self, user, way, context):
        challenge = super().start(user, way, context)
        number = self.mine(user, way).data["number"]
        self.sent[number] = [number[-6:]]
        return replace(challenge, hidden={"code": number[-6:]})

class OpensWhenItIsDown(Right):
    def accepts(self, user, challenge, code):
        return self.down or super().accepts(user, challenge, code)

class CallsItWrongWhenItIsDown(Right):
    def accepts(self, user, challenge, code):
        return not self.down and super().accepts(user, challenge, code)

class DoesNotSayThatItIsDown(Right):
    def start(self, user, way, context):
        down, self.down = self.down, False
        try:
            return super().start(user, way, context)
        finally:
            self.down = down

class Overpromises(Right):
    def ways(self, user):
        return [replace(way, strength=Strength.CODE) for way in super().ways(user)]

class HasWaysForAll(Right):
    def ways(self, user):
        return [Way(client=self.name, channel="sms", kind="code", strength=Strength.PHONE, factor="f")]

class ShowsTheNumber(Right):
    def ways(self, user):
        return [replace(way, hint=user.factor(way.factor).data["number"]) for way in super().ways(user)]

class CountsAllTogether(Right):
    def reference(self, factor):
        return "everybody"

class IsSpentByATypo(Right):
    def accepts(self, user, challenge, code):
        right = super().accepts(user, challenge, code) and challenge.id not in self.sent
        self.sent[challenge.id].append(code)
        return right

class TakesTheFactorForGranted(Right):
    def mine(self, user, way):
        return user.factors[0] if user.factors else Factor(id="f", client=self.name, label="", added=1, data={"number": "+14085555270"})

class TakesAnyNumber(Right):
    def read(self, fields, profile):
        number = fields.get("phone", "")
        return Candidate(address=number, label="a phone")

class PrintsTheNumber(Right):
    def read(self, fields, profile):
        number = read_number(fields.get("phone", ""))
        return Candidate(address=number, label=number)
"""

GIVE = """
    @pytest.fixture
    def {fixture}(self):
        return {name}()
"""

GIVE_A_CLIENT = """
    @pytest.fixture
    def client(self):
        return {name}()
    @pytest.fixture
    def user(self, client):
        return self.holder(client, "alice", "+14085555270")
    @pytest.fixture
    def other_user(self, client):
        return self.holder(client, "bob", "+14085555271")
    def holder(self, client, name, number):
        user = User(id=name)
        candidate = Candidate(address=number, label="+1 ... 70")
        return replace(user, factors=(client.enrol(user, candidate, Context(at=1, site="Acorn Ledger")),))
    @pytest.fixture
    def answer(self, client):
        return lambda user, challenge: {{"code": client.sent[user.factors[0].data["number"]][-1]}}
    @pytest.fixture
    def fields(self):
        return {{"phone": "+14085555272"}}
    @pytest.fixture
    def provider_down(self, client):
        return lambda: setattr(client, "down", True)
"""


def bites(pytester: pytest.Pytester, plugins: str, contract: str, given: str, faults: Mapping[str, str], right: Sequence[str] = ("Right",)) -> None:
    """The plug-ins that are right pass all of the suite, and each of the others fails the test that is named beside it."""
    names = [*right, *faults]
    tests = "".join(f"\nclass Test{name}({contract}):{given.format(fixture='store' if 'Store' in contract else 'ledger', name=name)}" for name in names)
    path = pytester.makepyfile(plugins + tests)
    chosen = [*(f"{path}::Test{name}" for name in right), *(f"{path}::Test{name}::{test}" for name, test in faults.items())]
    reports = pytester.inline_run("-q", "--tb=no", "-p", "no:xdist", "-p", "no:cacheprovider", *chosen).getreports("pytest_runtest_logreport")
    failed: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        _, test_class, test = report.nodeid.split("::")
        if report.failed:
            failed[test_class.removeprefix("Test")].add(test.partition("[")[0])
    assert sum(report.when == "call" and "TestRight" in report.nodeid for report in reports) > 20
    assert failed == {name: {test} for name, test in faults.items()}


STORE_FAULTS = {
    "BringsBack": "test_a_save_from_before_a_deletion_brings_nobody_back",
    "EmptiesOnly": "test_each_deletion_has_a_generation_of_its_own",
    "Counts": "test_no_version_is_used_twice_for_an_id",
    "ForgetsToCompare": "test_a_stale_version_is_a_conflict_and_changes_nothing",
    "LooksThenWrites": "test_of_twenty_saves_of_one_version_exactly_one_wins",
    "KnowsNoSpellings": "test_another_spelling_of_an_id_is_nobody_of_its_own",
    "TakesThemForOne": "test_another_spelling_of_an_id_is_nobody_of_its_own",
    "CutsIds": "test_an_id_that_cannot_be_kept_is_refused_and_never_cut",
    "AlwaysConflicts": "test_no_change_is_lost_between_threads_that_read_and_save",
    "SortsOtherwise": "test_ids_come_in_pages_each_once",
    "DropsWhatItDoesNotKnow": "test_members_that_this_version_does_not_know_survive_a_save",
    "KeepsTheCallersObject": "test_what_the_caller_does_with_a_user_later_is_not_stored",
}

READ_ONLY_FAULTS = {
    "NoGeneration": "test_a_user_has_a_generation_that_stays",
    "AnotherGenerationEachTime": "test_a_user_has_a_generation_that_stays",
    "NoFactor": "test_a_user_has_factors_of_the_client",
    "IgnoresCase": "test_another_spelling_is_never_the_same_person",
    "IgnoresCaseAndPlaysAlong": "test_another_spelling_is_never_the_same_person",
    "KnowsEverybody": "test_nobody_is_none",
    "Writes": "test_it_only_reads",
}

LEDGER_FAULTS = {
    "ClaimOverwrites": "test_the_first_claim_is_what_everybody_gets",
    "ClaimLies": "test_the_first_claim_is_what_everybody_gets",
    "LooksThenClaims": "test_of_fifty_claims_at_once_one_wins_and_all_see_it",
    "OneMore": "test_as_many_tries_as_the_limit_and_no_more",
    "OneAfterTheOther": "test_all_budgets_or_none",
    "CountsInFixedWindows": "test_a_try_counts_until_its_window_ends",
    "RefusalsCount": "test_a_refused_try_costs_nothing",
    "GivesNothingBack": "test_a_try_that_is_given_back_counts_no_more_in_any_of_its_windows",
    "GivesBackTwice": "test_giving_back_twice_gives_back_once",
    "PopLeavesIt": "test_pop_takes_it_away",
    "NeverEnds": "test_a_claim_ends_with_the_ttl_it_was_made_with",
    "EndsAMomentLate": "test_put_replaces_value_and_end",
    "IgnoresCase": "test_keys_are_compared_exactly",
}

CLIENT_FAULTS = {
    "ApprovesSixDigits": "test_a_wrong_code_is_a_result_and_not_an_approval",
    "TakesTheStartOfACode": "test_what_never_reaches_a_client_would_not_be_approved_either",
    "ShowsTheCode": "test_what_may_reach_the_browser_does_not_hold_the_code",
    "NamesItAfterTheCode": "test_what_may_reach_the_browser_does_not_hold_the_code",
    "TellsTheCode": "test_a_provider_that_is_down_is_said_and_approves_no_guess",
    "TellsTheNumber": "test_the_error_of_a_broken_world_does_not_hold_the_address",
    "TellsTheNumberByTheWay": "test_the_error_of_a_broken_world_does_not_hold_the_address",
    "NeverEnds": "test_a_challenge_says_when_it_ends_and_can_be_kept",
    "HasEndedAlready": "test_a_challenge_says_when_it_ends_and_can_be_kept",
    "TakesEveryCodeThatWasSent": "test_a_code_that_is_bound_counts_in_its_own_attempt_only",
    "TakesTheCodesOfAll": "test_a_code_of_somebody_else_is_wrong",
    "HasOneCodeForAll": "test_a_code_of_somebody_else_is_wrong",
    "HasOneCodeForEach": "test_a_code_that_is_bound_counts_in_its_own_attempt_only",
    "OpensWhenItIsDown": "test_a_provider_that_is_down_is_said_and_approves_no_guess",
    "CallsItWrongWhenItIsDown": "test_a_provider_that_is_down_is_said_and_approves_no_guess",
    "DoesNotSayThatItIsDown": "test_a_provider_that_is_down_is_said_and_approves_no_guess",
    "Overpromises": "test_each_way_is_one_of_a_factor_of_the_user",
    "HasWaysForAll": "test_whoever_holds_nothing_of_it_has_no_way",
    "ShowsTheNumber": "test_a_hint_does_not_show_all_of_an_address",
    "CountsAllTogether": "test_reference_says_whose_tries_are_counted_together",
    "IsSpentByATypo": "test_a_wrong_code_is_a_result_and_not_an_approval",
    "TakesTheFactorForGranted": "test_a_factor_that_is_gone_approves_nothing",
    "TakesAnyNumber": "test_an_empty_form_is_refused_with_a_sentence_and_a_field",
    "PrintsTheNumber": "test_an_enrolment_is_read_told_and_proved",
}


def test_the_suite_for_user_stores(pytester: pytest.Pytester) -> None:
    bites(pytester, STORES, "UserStoreContract", GIVE, STORE_FAULTS)


def test_the_suite_for_stores_that_are_only_read(pytester: pytest.Pytester) -> None:
    bites(pytester, READ_ONLY, "ReadOnlyUserStoreContract", GIVE, READ_ONLY_FAULTS)


def test_the_suite_for_ledgers(pytester: pytest.Pytester) -> None:
    bites(pytester, LEDGERS, "LedgerContract", GIVE, LEDGER_FAULTS)


def test_the_suite_for_clients(pytester: pytest.Pytester) -> None:
    bites(pytester, CLIENTS, "ClientContract", GIVE_A_CLIENT, CLIENT_FAULTS, ["Right", "RightAndGivesUp", "RightAndRefuses"])
