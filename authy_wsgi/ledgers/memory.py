"""A ledger in this process's memory: for tests, demos and sites with one process."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from authy_wsgi.contracts import Allowance, Budget
from authy_wsgi.tickets import new_id

_SWEEP_EVERY = 512


class MemoryLedger:
    """Exact among the threads of one process, unknown to all others: a request seen under `wsgi.multiprocess` is answered 503 unless `single_process=True`."""

    single_process = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, tuple[bytes, int]] = {}
        self._tries: dict[tuple[str, str, int], dict[str, int]] = {}
        self._receipts: dict[str, tuple[Budget, ...]] = {}
        self._calls = 0

    def spend(self, budgets: Sequence[Budget], *, now: int) -> Allowance:
        with self._lock:
            self._sweep(now)
            left, full = [], []
            for budget in budgets:
                live = self._live(budget, now)
                if len(live) >= budget.limit:
                    full.append((sorted(live.values())[len(live) - budget.limit] + budget.window, budget))
                left.append(budget.limit - len(live) - 1)
            if full:
                again_at, refused = max(full, key=lambda each: each[0])
                return Allowance(ok=False, refused=refused, again_at=again_at)
            receipt = new_id()
            self._receipts[receipt] = tuple(budgets)
            for budget in budgets:
                self._tries[budget.rule, budget.subject, budget.window][receipt] = now
            return Allowance(ok=True, receipt=receipt, left=tuple(left))

    def _live(self, budget: Budget, now: int) -> dict[str, int]:
        tries = self._tries.setdefault((budget.rule, budget.subject, budget.window), {})
        for receipt in [receipt for receipt, at in tries.items() if at + budget.window <= now]:
            del tries[receipt]
        return tries

    def give_back(self, receipt: str) -> None:
        with self._lock:
            for budget in self._receipts.pop(receipt, ()):
                self._tries.get((budget.rule, budget.subject, budget.window), {}).pop(receipt, None)

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        with self._lock:
            self._sweep(now)
            stored, ends = self._values.get(key, (b"", now))
            if ends > now:
                return stored
            self._values[key] = (value, now + ttl)
            return value

    def put(self, key: str, value: bytes, ttl: int, *, now: int) -> None:
        with self._lock:
            self._sweep(now)
            self._values[key] = (value, now + ttl)

    def get(self, key: str, *, now: int) -> bytes | None:
        with self._lock:
            value, ends = self._values.get(key, (None, now))
            return value if ends > now else None

    def get_many(self, keys: Sequence[str], *, now: int) -> list[bytes | None]:
        """What is under each of these keys, at one moment."""
        with self._lock:
            found = [self._values.get(key, (None, now)) for key in keys]
        return [value if ends > now else None for value, ends in found]

    def pop(self, key: str, *, now: int) -> bytes | None:
        with self._lock:
            value, ends = self._values.pop(key, (None, now))
            return value if ends > now else None

    def _sweep(self, now: int) -> None:
        self._calls += 1
        if self._calls % _SWEEP_EVERY:
            return
        self._values = {key: (value, ends) for key, (value, ends) in self._values.items() if ends > now}
        for key, tries in list(self._tries.items()):
            if all(at + key[2] <= now for at in tries.values()):
                del self._tries[key]
        kept = {receipt for tries in self._tries.values() for receipt in tries}
        self._receipts = {receipt: budgets for receipt, budgets in self._receipts.items() if receipt in kept}
