"""Several requests at once, one thread running at a time: the order of their steps is drawn, so that it can be drawn again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence


class Killed(BaseException):
    """The worker dies here: nothing that it would still do has any effect, `finally` and `except Exception` included."""


class _Turn:
    def __init__(self, turns: Turns, job: Callable[[], None]) -> None:
        self._turns = turns
        self._job = job
        self.go, self.back = threading.Semaphore(0), threading.Semaphore(0)
        self.done = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.go.acquire()
        self._turns.here.turn = self
        try:
            self._job()
        except BaseException as failure:  # noqa: BLE001 - handed to the one who waits
            self.failure = failure
        self.done = True
        self.back.release()

    def on(self) -> None:
        """Let it run to its next pause, or to its end."""
        self.go.release()
        self.back.acquire()
        if self.done:
            self._thread.join()


class Turns:
    """`run` starts the jobs, and lets one of them go on at a time; they hand over wherever they call `pause`."""

    def __init__(self) -> None:
        self.here = threading.local()

    def pause(self) -> None:
        """Hand over, in a job; nothing elsewhere."""
        turn: _Turn | None = getattr(self.here, "turn", None)
        if turn is not None:
            turn.back.release()
            turn.go.acquire()

    def run(self, jobs: Sequence[Callable[[], None]], order: Sequence[int]) -> None:
        """All jobs to their end. `order`: which of the live ones goes on, drawn before; where it ends, the first one does."""
        turns = [_Turn(self, job) for job in jobs]
        live, drawn = list(turns), _then_zeros(order)
        while live:
            turn = live[next(drawn) % len(live)]
            turn.on()
            if turn.done:
                live.remove(turn)
        for turn in turns:
            if turn.failure is not None:
                raise turn.failure


def _then_zeros(order: Sequence[int]) -> Iterator[int]:
    yield from order
    while True:
        yield 0
