"""What every ledger must do. Write a class of your own under it that has a `ledger` fixture, and pytest runs all of it:

    class TestMyLedger(LedgerContract):
        @pytest.fixture
        def ledger(self):
            return MyLedger()

`size`, where it can be counted, is a function of the ledger: how many things it holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from authy_wsgi.contracts import Budget, Ledger, ReadsMany
from authy_wsgi.testing.contracts.threads import at_once

NOW = 1_700_000_000


def budget(rule: str = "code.user", subject: str = "alice", limit: int = 3, window: int = 60) -> Budget:
    return Budget(rule, subject, limit, window)


class LedgerContract:
    """The suite. `now` is given to each call: no test waits for time to pass."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError("give a ledger fixture: a new, empty ledger")

    @pytest.fixture
    def size(self) -> Callable[[Any], int] | None:
        return None

    def test_it_has_the_shape_of_a_ledger(self, ledger: Ledger) -> None:
        assert isinstance(ledger, Ledger)

    # spend

    def test_as_many_tries_as_the_limit_and_no_more(self, ledger: Ledger) -> None:
        allowed = [ledger.spend([budget()], now=NOW) for _ in range(5)]
        assert [bool(allowance) for allowance in allowed] == [True, True, True, False, False]
        assert [allowance.left for allowance in allowed[:3]] == [(2,), (1,), (0,)]
        assert len({allowance.receipt for allowance in allowed[:3]}) == 3
        assert allowed[3].refused == budget()
        assert allowed[3].again_at == NOW + 60
        assert not allowed[3].receipt

    def test_a_try_counts_until_its_window_ends(self, ledger: Ledger) -> None:
        for at in (NOW, NOW + 10, NOW + 20):
            assert ledger.spend([budget()], now=at)
        assert ledger.spend([budget()], now=NOW + 59).again_at == NOW + 60
        assert ledger.spend([budget()], now=NOW + 60).left == (0,)
        refused = ledger.spend([budget()], now=NOW + 60)
        assert not refused
        assert refused.again_at == NOW + 70
        assert ledger.spend([budget()], now=NOW + 200).left == (2,)

    def test_a_refused_try_costs_nothing(self, ledger: Ledger) -> None:
        for _ in range(3):
            ledger.spend([budget()], now=NOW)
        for at in range(NOW, NOW + 60):
            assert not ledger.spend([budget()], now=at)
        assert ledger.spend([budget()], now=NOW + 60).left == (2,)

    def test_all_budgets_or_none(self, ledger: Ledger) -> None:
        wide, narrow = budget("send.user", limit=10), budget("send.number", "+1", limit=1)
        assert ledger.spend([wide, narrow], now=NOW).left == (9, 0)
        for order in ([wide, narrow], [narrow, wide]):
            refused = ledger.spend(order, now=NOW)
            assert not refused
            assert refused.refused == narrow
        assert ledger.spend([wide], now=NOW).left == (8,)

    def test_the_long_window_bites_where_the_short_one_does_not(self, ledger: Ledger) -> None:
        rule = [budget(limit=5, window=60), budget(limit=20, window=86400)]
        for number in range(20):
            assert ledger.spend(rule, now=NOW + number * 100), number
        refused = ledger.spend(rule, now=NOW + 2000)
        assert not refused
        assert refused.refused == rule[1]
        assert refused.again_at == NOW + 86400
        assert not ledger.spend(rule, now=NOW + 86399)
        assert ledger.spend(rule, now=NOW + 86400).left == (4, 0)

    def test_rules_subjects_and_windows_are_apart(self, ledger: Ledger) -> None:
        for other in (budget(), budget(rule="code.reference"), budget(subject="bob"), budget(window=61), budget(rule="code", subject="user:alice")):
            assert [ledger.spend([other], now=NOW).ok for _ in range(4)] == [True, True, True, False]

    def test_again_at_is_when_there_is_room_also_for_a_limit_that_was_lowered(self, ledger: Ledger) -> None:
        for at in range(4):
            ledger.spend([budget(limit=4)], now=NOW + at)
        refused = ledger.spend([budget(limit=2)], now=NOW + 10)
        assert refused.again_at == NOW + 2 + 60
        assert not ledger.spend([budget(limit=2)], now=NOW + 61)
        assert ledger.spend([budget(limit=2)], now=NOW + 62)

    def test_nothing_to_spend_is_allowed(self, ledger: Ledger) -> None:
        allowance = ledger.spend([], now=NOW)
        assert allowance
        assert allowance.left == ()
        ledger.give_back(allowance.receipt)

    # give_back

    def test_a_try_that_is_given_back_counts_no_more_in_any_of_its_windows(self, ledger: Ledger) -> None:
        rule = [budget(limit=2), budget(limit=2, window=600), budget("other", limit=2)]
        ledger.spend(rule, now=NOW)
        second = ledger.spend(rule, now=NOW)
        assert second.left == (0, 0, 0)
        ledger.give_back(second.receipt)
        assert ledger.spend(rule, now=NOW).left == (0, 0, 0)
        assert not ledger.spend(rule, now=NOW)

    def test_giving_back_twice_gives_back_once(self, ledger: Ledger) -> None:
        receipts = [ledger.spend([budget()], now=NOW).receipt for _ in range(3)]
        for _ in range(3):
            ledger.give_back(receipts[1])
        assert ledger.spend([budget()], now=NOW).left == (0,)
        ledger.give_back(receipts[1])
        assert not ledger.spend([budget()], now=NOW)

    def test_giving_back_leaves_the_older_tries_their_times(self, ledger: Ledger) -> None:
        ledger.spend([budget()], now=NOW)
        middle = ledger.spend([budget()], now=NOW + 10)
        ledger.spend([budget()], now=NOW + 20)
        ledger.give_back(middle.receipt)
        assert ledger.spend([budget()], now=NOW + 30)
        assert ledger.spend([budget()], now=NOW + 30).again_at == NOW + 60
        assert ledger.spend([budget()], now=NOW + 60)
        assert ledger.spend([budget()], now=NOW + 60).again_at == NOW + 80

    def test_a_receipt_that_nobody_wrote_gives_back_nothing(self, ledger: Ledger) -> None:
        for _ in range(3):
            ledger.spend([budget()], now=NOW)
        for receipt in ("", "nonsense", "%", "a" * 300):
            ledger.give_back(receipt)
        assert not ledger.spend([budget()], now=NOW)

    def test_a_receipt_after_its_windows_gives_back_nothing(self, ledger: Ledger) -> None:
        old = ledger.spend([budget()], now=NOW)
        for _ in range(3):
            assert ledger.spend([budget()], now=NOW + 60)
        ledger.give_back(old.receipt)
        assert not ledger.spend([budget()], now=NOW + 60)

    # claim, put, get, pop

    def test_the_first_claim_is_what_everybody_gets(self, ledger: Ledger) -> None:
        assert ledger.claim("key", b"first", 60, now=NOW) == b"first"
        assert ledger.claim("key", b"second", 600, now=NOW + 1) == b"first"
        assert ledger.get("key", now=NOW + 1) == b"first"

    def test_a_claim_ends_with_the_ttl_it_was_made_with(self, ledger: Ledger) -> None:
        ledger.claim("key", b"first", 60, now=NOW)
        assert ledger.claim("key", b"second", 600, now=NOW + 59) == b"first"
        assert ledger.get("key", now=NOW + 59) == b"first"
        assert ledger.get("key", now=NOW + 60) is None
        assert ledger.claim("key", b"third", 10, now=NOW + 60) == b"third"
        assert ledger.get("key", now=NOW + 69) == b"third"
        assert ledger.get("key", now=NOW + 70) is None

    def test_put_replaces_value_and_end(self, ledger: Ledger) -> None:
        ledger.claim("key", b"first", 600, now=NOW)
        ledger.put("key", b"second", 10, now=NOW)
        assert ledger.get("key", now=NOW + 9) == b"second"
        assert ledger.get("key", now=NOW + 10) is None
        ledger.put("key", b"third", 60, now=NOW + 20)
        assert ledger.claim("key", b"fourth", 60, now=NOW + 79) == b"third"

    def test_pop_takes_it_away(self, ledger: Ledger) -> None:
        assert ledger.pop("key", now=NOW) is None
        ledger.put("key", b"value", 60, now=NOW)
        assert ledger.pop("key", now=NOW) == b"value"
        assert ledger.pop("key", now=NOW) is None
        assert ledger.get("key", now=NOW) is None
        assert ledger.claim("key", b"other", 60, now=NOW) == b"other"

    def test_what_has_ended_is_popped_by_nobody(self, ledger: Ledger) -> None:
        ledger.put("key", b"value", 60, now=NOW)
        assert ledger.pop("key", now=NOW + 60) is None

    def test_a_key_that_nobody_wrote_holds_nothing(self, ledger: Ledger) -> None:
        assert ledger.get("key", now=NOW) is None

    @pytest.mark.parametrize("value", [b"", b"\x00", bytes(range(256)) * 40, "ä€😀".encode()], ids=["empty", "NUL", "every byte", "text"])
    def test_values_are_kept_to_the_byte(self, ledger: Ledger, value: bytes) -> None:
        assert ledger.claim("claimed", value, 60, now=NOW) == value
        assert ledger.claim("claimed", b"other", 60, now=NOW) == value
        ledger.put("put", value, 60, now=NOW)
        for key in ("claimed", "put"):
            got = ledger.get(key, now=NOW)
            assert got == value
            assert isinstance(got, bytes)
            assert ledger.pop(key, now=NOW) == value

    def test_keys_are_compared_exactly(self, ledger: Ledger) -> None:
        keys = ["k", "K", " k", "k ", "k%", "k_", "ｋ", "k:", "k" * 255, "k" * 254, "ä€😀"]
        for number, key in enumerate(keys):
            assert ledger.claim(key, str(number).encode(), 60, now=NOW) == str(number).encode()
        assert [ledger.get(key, now=NOW) for key in keys] == [str(number).encode() for number in range(len(keys))]

    def test_many_keys_are_read_at_once_and_in_their_order(self, ledger: Ledger) -> None:
        if not isinstance(ledger, ReadsMany):
            pytest.skip("this ledger reads one key at a time")
        ledger.put("a", b"1", 60, now=NOW)
        ledger.put("b", b"", 10, now=NOW)
        assert list(ledger.get_many(["b", "none", "a", "a"], now=NOW)) == [b"", None, b"1", b"1"]
        assert list(ledger.get_many(["b", "a"], now=NOW + 10)) == [None, b"1"]

    def test_budgets_and_values_of_one_name_are_apart(self, ledger: Ledger) -> None:
        ledger.put("code.user:60:alice", b"value", 60, now=NOW)
        assert ledger.spend([budget()], now=NOW).left == (2,)
        assert ledger.get("code.user:60:alice", now=NOW) == b"value"

    # At once

    def test_of_a_hundred_tries_at_once_exactly_the_limit_are_allowed(self, ledger: Ledger) -> None:
        rule = [budget(limit=5), budget(limit=50, window=86400)]
        allowed = at_once(100, lambda _: ledger.spend(rule, now=NOW))
        assert sum(map(bool, allowed)) == 5
        assert sorted(allowance.left for allowance in allowed if allowance) == [(left, left + 45) for left in range(5)]
        assert {allowance.refused for allowance in allowed if not allowance} == {rule[0]}

    def test_tries_that_share_budgets_in_any_order_all_get_their_answer(self, ledger: Ledger) -> None:
        budgets = [budget(f"rule{number}", limit=20) for number in range(4)]

        def spend(number: int) -> bool:
            turned = budgets[number % 4 :] + budgets[: number % 4]
            return bool(ledger.spend(turned if number % 2 else turned[::-1], now=NOW))

        assert sum(at_once(40, spend)) == 20
        assert [ledger.spend([each], now=NOW).ok for each in budgets] == [False] * 4

    def test_of_fifty_claims_at_once_one_wins_and_all_see_it(self, ledger: Ledger) -> None:
        for round_ in range(3):
            stored = at_once(50, lambda number: ledger.claim(f"key{round_}", b"%d" % number, 60, now=NOW))  # noqa: B023 - called at once
            assert len(set(stored)) == 1
            assert ledger.get(f"key{round_}", now=NOW) == stored[0]

    def test_claims_at_once_after_an_end_have_one_winner_too(self, ledger: Ledger) -> None:
        ledger.claim("key", b"old", 60, now=NOW)
        stored = set(at_once(30, lambda number: ledger.claim("key", b"%d" % number, 60, now=NOW + 60)))
        assert len(stored) == 1
        assert stored != {b"old"}

    def test_pop_gives_the_value_to_one_caller(self, ledger: Ledger) -> None:
        ledger.put("key", b"value", 60, now=NOW)
        popped = at_once(20, lambda _: ledger.pop("key", now=NOW))
        assert sorted(popped, key=bool) == [None] * 19 + [b"value"]

    def test_puts_at_once_leave_one_of_their_values(self, ledger: Ledger) -> None:
        at_once(20, lambda number: ledger.put("key", b"%d" % number, 60, now=NOW))
        assert ledger.get("key", now=NOW) in [b"%d" % number for number in range(20)]

    def test_giving_back_at_once_gives_back_once(self, ledger: Ledger) -> None:
        receipts = [ledger.spend([budget()], now=NOW).receipt for _ in range(3)]
        at_once(20, lambda _: ledger.give_back(receipts[0]))
        assert ledger.spend([budget()], now=NOW)
        assert not ledger.spend([budget()], now=NOW)

    def test_tries_given_back_and_spent_at_once_never_exceed_the_limit(self, ledger: Ledger) -> None:
        under_way, most, lock = 0, 0, threading.Lock()

        def try_often(_: int) -> None:
            nonlocal under_way, most
            for _round in range(5):
                allowance = ledger.spend([budget()], now=NOW)
                if not allowance:
                    continue
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                with lock:
                    under_way -= 1
                ledger.give_back(allowance.receipt)

        at_once(12, try_often)
        assert 1 <= most <= 3
        assert ledger.spend([budget()], now=NOW).left == (2,)

    # For ever

    def test_what_has_ended_does_not_stay(self, ledger: Ledger, size: Callable[[Any], int] | None) -> None:
        if size is None:
            pytest.skip("this ledger's size cannot be counted: give a size fixture")
        for number in range(60):
            ledger.claim(f"claimed{number}", b"value", 60, now=NOW)
            ledger.put(f"put{number}", b"value", 60, now=NOW)
            ledger.give_back(ledger.spend([budget(subject=f"back{number}")], now=NOW).receipt)
            ledger.spend([budget(subject=f"kept{number}"), budget(subject=f"kept{number}", window=90)], now=NOW)
        ledger.claim("longer", b"value", 6000, now=NOW)
        ledger.spend([budget(subject="longer", window=6000)], now=NOW)
        assert size(ledger) >= 180
        # It is cleaned up by the way: at each so-many-th call, or at random.
        for number in range(4000):
            ledger.put("now", b"value", 60, now=NOW + 4000)
            if number % 50 == 0 and size(ledger) < 10:
                break
        assert size(ledger) < 10
        assert ledger.get("longer", now=NOW + 4000) == b"value"
        assert ledger.spend([budget(subject="longer", window=6000)], now=NOW + 4000).left == (1,)
