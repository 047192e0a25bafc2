"""The machine, long: `python -m tests.machine.soak [--steps 200000] [--seed N]`. Ends with 1 and the shortest failing sequence where an invariant breaks."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import Machine

_EXAMPLES = 100  # of one round; each round has a seed of its own


class _Progress:
    def __init__(self, wanted: int) -> None:
        self.totals: Counter[str] = Counter()
        self._wanted = wanted
        self._began = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tell(self) -> None:
        now = time.monotonic()
        if now - self._told >= 15:
            self._told = now
            steps = self.totals["steps"]
            print(f"{steps:>9,} of {self._wanted:,} steps, {self.totals['requests']:,} requests, {steps / self.seconds:.0f} steps/s", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until there have been enough steps, or one too many."""
    parser = argparse.ArgumentParser(prog="python -m tests.machine.soak", description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000, help="how many steps at least (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="the same runs again; a new one where none is given")
    parser.add_argument("--length", type=int, default=60, help="steps of one run (default: %(default)s)")
    asked = parser.parse_args(arguments)
    logging.getLogger("authy_wsgi").setLevel(logging.CRITICAL)
    first = random.randrange(10**9) if asked.seed is None else asked.seed
    progress = _Progress(asked.steps)

    def teardown(self: Any) -> None:
        Machine.teardown(self)
        progress.tell()

    print(f"seed {first}", flush=True)
    number = first
    while progress.totals["steps"] < asked.steps:
        machine = type("SoakMachine", (Machine,), {"totals": progress.totals, "teardown": teardown})
        try:
            run_state_machine_as_test(seed(number)(machine), settings=_settings(asked.length))
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            print(f"\nBroken after {progress.totals['steps']:,} steps and {progress.seconds:.0f} s (with shrinking); --seed {number} begins here.\n")
            traceback.print_exc(limit=-4, file=sys.stdout)
            return 1
        number += 1
    _report(progress)
    return 0


def _settings(length: int) -> settings:
    return settings(
        max_examples=_EXAMPLES,
        stateful_step_count=length,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def _report(progress: _Progress) -> None:
    totals = progress.totals
    print(f"\n{totals['steps']:,} steps in {totals['runs']:,} runs, {totals['requests']:,} requests, {progress.seconds:.0f} s: every invariant holds.\n")
    for what, count in sorted(totals.items()):
        print(f"{count:>10,}  {what}")


if __name__ == "__main__":
    sys.exit(main())
