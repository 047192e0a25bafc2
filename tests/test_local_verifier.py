"""A client that is its own verifier: what an answer uses up is saved, by version, before it grants. The shape that authenticator apps will have."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from authy_wsgi import Login, MemoryLedger, MemoryStore, Unavailable
from authy_wsgi.backend import Answer, Backend
from authy_wsgi.contracts import Challenge, Context, Factor, Outcome, Strength, User, Verdict, Way
from authy_wsgi.errors import AttemptEnded
from authy_wsgi.tickets import new_id
from tests.support import World

ALICE = Login("alice", "s1")


class Counter:
    """A made-up token: its codes are 100001, 100002, ..., each good once and none before an accepted one."""

    name = "counter"
    unbound_validity = 0

    def ways(self, user: User) -> Sequence[Way]:
        return [Way(client=self.name, channel="app", kind="code", strength=Strength.CODE, factor=each.id) for each in user.factors if each.client == self.name]

    def reference(self, factor: Factor) -> str:
        return ""

    def start(self, user: User, way: Way, context: Context) -> Challenge:
        return Challenge(id=new_id(), way=way, ends=context.at + 600)

    def check(self, user: User, challenge: Challenge, answer: Mapping[str, str], context: Context) -> Verdict:
        factor = user.factor(challenge.way.factor)
        assert factor is not None
        step = int(answer["code"]) - 100_000
        if step <= factor.data["step"] or step > factor.data["step"] + 5:
            return Verdict(outcome=Outcome.WRONG)
        return Verdict(outcome=Outcome.APPROVED, channel="app", factor=replace(factor, data={**factor.data, "step": step}))


@pytest.fixture
def world() -> World:
    world = World(clients=Counter(), enrolment="none", users=MemoryStore())
    world.gate.settings.users.save(User(id="alice", generation="g", factors=(Factor(id="f", client="counter", label="token", added=1, data={"step": 0}),)))
    return world


def answer(world: World, code: str, backend: Backend | None = None, login: Login = ALICE, attempt_id: str = "") -> Answer:
    backend = backend or world.backend
    attempt = backend.begin(login, context=backend.context(), attempt_id=attempt_id)
    if backend.waiting(attempt, world.clock()) is None:
        backend.start(attempt, backend.ways(attempt)[0], backend.context())
    return backend.check(attempt, {"code": code}, backend.context())


def data(world: World) -> Mapping[str, Any]:
    user = world.gate.settings.users.get("alice")
    assert user is not None
    return user.factors[0].data


def test_a_step_is_burnt_in_the_store_and_good_once(world: World) -> None:
    assert answer(world, "100002")
    assert data(world)["step"] == 2
    for code in ("100002", "100001"):
        refused = answer(world, code, login=Login("alice", "s2"))
        assert not refused
        assert refused.verdict.outcome is Outcome.WRONG
    assert answer(world, "100003", login=Login("alice", "s3"))


def test_a_ledger_that_was_lost_gives_no_step_a_second_life(world: World) -> None:
    assert answer(world, "100002")
    after = World(clients=Counter(), enrolment="none", users=world.gate.settings.users, ledger=MemoryLedger())
    assert not answer(after, "100002", login=Login("alice", "s2"))


def test_of_many_attempts_with_one_code_one_wins(world: World) -> None:
    won: list[Answer] = []
    start = threading.Barrier(12)

    def one(number: int) -> None:
        start.wait()
        found = answer(world, "100001", login=Login("alice", f"s{number}"))
        if found:
            won.append(found)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert data(world)["step"] == 1


class DiesAfter(MemoryLedger):
    """A ledger whose process dies right after the n-th claim."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        found = super().claim(key, value, ttl, now=now)
        self.left -= 1
        if self.left == 0:
            raise Unavailable("ledger", "dead")
        return found


@pytest.mark.parametrize("calls", range(1, 9))
def test_a_crash_at_any_claim_ends_in_one_pass(world: World, calls: int) -> None:
    ledger = DiesAfter(calls)
    site = World(clients=Counter(), enrolment="none", users=world.gate.settings.users, ledger=ledger)
    attempt_id = "a" * 22
    try:
        first = answer(site, "100001", attempt_id=attempt_id)
    except Unavailable:
        site.clock.advance(16)
        first = answer(site, "100001", attempt_id=attempt_id)
    assert first.grant is not None or site.backend.resume(attempt_id, ALICE, site.clock())
    assert data(site)["step"] == 1
    ledger.left = -1
    assert not answer(site, "100001", login=Login("alice", "s2"))


def test_a_revocation_while_a_code_is_judged_ends_the_attempt(world: World) -> None:
    class Revoking(Counter):
        done = False

        def check(self, user: User, challenge: Challenge, answer: Mapping[str, str], context: Context) -> Verdict:
            verdict = super().check(user, challenge, answer, context)
            if not self.done:
                self.done = True
                site.backend.revoke("alice")
            return verdict

    site = World(clients=Revoking(), enrolment="none", users=world.gate.settings.users)
    with pytest.raises(AttemptEnded):
        answer(site, "100001")
    assert data(site)["step"] == 0
