"""One right code wins once, and wrong ones reach the provider as often as the limit says: over threads, processes and every ledger there is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from authy_wsgi import AuthyClient, Login, MemoryLedger, MemoryStore, SecondFactor, SQLLedger, SQLStore
from authy_wsgi.contracts import Factor, User
from authy_wsgi.errors import Unavailable
from authy_wsgi.ledgers.redis import RedisLedger
from authy_wsgi.testing.contracts.threads import at_once
from tests.ledgers.processes import race
from tests.support import API_KEY, SECRET, START

pytest_plugins = ("tests.postgres", "tests.redis_server")

CODE = "7350912"
MANY = [(10_000, 60)]
FREELY = dict.fromkeys(("code.user", "code.reference", "code.attempt"), MANY)


class Provider:
    """An Authy service that takes any code, again and again, or none: what it answers is no help against guessing twice."""

    def __init__(self) -> None:
        self.valid = True
        self.verified = 0
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with self._lock:
            self.verified += "/verify/" in environ["PATH_INFO"]
        good = {"message": "Token is valid.", "token": "is valid", "success": "true", "device": {"id": 1, "os_type": "android"}}
        bad = {"message": "Token is invalid", "token": "is invalid", "success": False, "errors": {"message": "x"}, "error_code": "60020"}
        body = json.dumps(good if self.valid else bad, separators=(",", ":")).encode()
        start_response("200 OK" if self.valid else "401 Unauthorized", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def running() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def provider(running: Provider) -> Provider:
    running.valid, running.verified = True, 0
    return running


def gate(store: Any, ledger: Any, url: str, limits: Any = None) -> SecondFactor:
    return SecondFactor(
        identity=lambda _environ: None,
        secret=SECRET,
        users=store,
        ledger=ledger,
        single_process=isinstance(ledger, MemoryLedger),
        clients=AuthyClient(API_KEY, base_url=url),
        enrolment="none",
        limits=limits,
        clock=lambda: START,
    )


def try_code(gate: SecondFactor, session: str, code: str = CODE) -> str:
    """Sign in with an app's code in a login session of its own: what came of it."""
    backend = gate.backend
    try:
        attempt = backend.begin(Login("alice", session), context=backend.context())
        way = next(way for way in backend.ways(attempt) if way.channel == "app")
        backend.start(attempt, way, backend.context())
    except Unavailable:
        return "unavailable"
    try:
        answer = backend.check(attempt, {"code": code}, backend.context())
    except Unavailable:
        return "unavailable"  # SQLite on a busy machine: closed, and that is all it may be
    return "in" if answer else answer.verdict.reason or answer.verdict.outcome.value


def alice() -> User:
    factor = Factor(id="f1", client="authy", label="+1 ••• ••• 70", added=START, data={"authy_id": 1635, "app": "yes"})
    return User(id="alice", factors=(factor,), generation="g1")


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def places(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The URLs of store and ledger."""
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_url")
        return url, url
    sqlite = f"sqlite:///{tmp_path}/second-factor.db"
    return sqlite, request.getfixturevalue("redis_url") if kind == "redis" else sqlite


@pytest.fixture
def parts(kind: str, places: tuple[str, str]) -> Iterator[tuple[Any, Any]]:
    """A store with alice, and a ledger."""
    if kind == "memory":
        memory = MemoryStore()
        memory.save(alice())
        yield memory, MemoryLedger()
        return
    store = SQLStore(places[0])
    store.save(alice())
    ledger = RedisLedger(places[1]) if kind == "redis" else SQLLedger(store.database)
    yield store, ledger
    store.database.close()
    if isinstance(ledger, RedisLedger):
        ledger.close()


def test_of_fifty_uses_of_one_right_code_at_once_one_wins(provider: Provider, parts: tuple[Any, Any]) -> None:
    second_factor = gate(*parts, provider.url, FREELY)
    ends = at_once(50, lambda number: try_code(second_factor, f"s{number}"))
    assert set(ends) <= {"in", "used", "unavailable"}
    assert ends.count("in") == 1 or "unavailable" in ends
    assert ends.count("in") <= 1


def test_of_a_hundred_wrong_codes_at_once_five_reach_the_provider(provider: Provider, parts: tuple[Any, Any]) -> None:
    provider.valid = False
    second_factor = gate(*parts, provider.url)
    ends = at_once(100, lambda number: try_code(second_factor, f"s{number % 40}-{number}", f"{number:07}"))
    assert provider.verified == 5 or ("unavailable" in ends and provider.verified < 5)
    assert ends.count("wrong") <= 5
    assert set(ends) <= {"wrong", "code.user", "unavailable"}


def test_the_long_window_bites_where_the_short_one_does_not(provider: Provider, parts: tuple[Any, Any]) -> None:
    provider.valid = False
    second_factor = gate(*parts, provider.url, {"code.user": [(3, 1), (7, 86400)], "code.reference": MANY})
    ends = [try_code(gate_at(second_factor, START + 10 * number), f"s{number}", f"{number:07}") for number in range(9)]
    assert ends == ["wrong"] * 7 + ["code.user"] * 2


def gate_at(second_factor: SecondFactor, now: int) -> SecondFactor:
    object.__setattr__(second_factor.settings, "clock", lambda: now)
    return second_factor


IMPORTS = """
sys.path.insert(0, sys.argv[1])
from tests.test_exactness import at_once, gate, try_code, FREELY, RedisLedger, SQLLedger, SQLStore
"""
PROGRAM = """
_, _root, store_url, ledger_url, provider_url, name, wrong = sys.argv
store = SQLStore(store_url)
ledger = RedisLedger(ledger_url) if ledger_url.startswith("redis") else SQLLedger(store.database)
second_factor = gate(store, ledger, provider_url, None if wrong else FREELY)
print(*at_once(25, lambda number: try_code(second_factor, name + str(number), f"{number:07}" if wrong else "7350912")), sep=",")
store.database.close()
"""


def in_processes(places: tuple[str, str], provider: Provider, count: int, wrong: str = "") -> list[str]:
    root = str(Path(__file__).parents[1])
    printed = race(IMPORTS, PROGRAM, *([root, *places, provider.url, f"p{number}-", wrong] for number in range(count)))
    return [end for line in printed for end in line.split(",")]


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.slow), pytest.param("postgresql", marks=pytest.mark.slow), "redis"], indirect=True)
def test_of_fifty_uses_in_two_processes_one_wins(provider: Provider, places: tuple[str, str]) -> None:
    store = SQLStore(places[0])
    store.save(alice())
    ends = in_processes(places, provider, 2)
    store.database.close()
    assert ends.count("in") == 1 or ("unavailable" in ends and "in" not in ends)
    assert set(ends) <= {"in", "used", "unavailable"}


@pytest.mark.parametrize("kind", [pytest.param("sqlite", marks=pytest.mark.slow), pytest.param("postgresql", marks=pytest.mark.slow), "redis"], indirect=True)
def test_of_a_hundred_wrong_codes_in_four_processes_five_reach_the_provider(provider: Provider, places: tuple[str, str]) -> None:
    provider.valid = False
    store = SQLStore(places[0])
    store.save(alice())
    ends = in_processes(places, provider, 4, "wrong")
    store.database.close()
    assert len(ends) == 100
    assert provider.verified == 5 or ("unavailable" in ends and provider.verified < 5)


def test_a_ledger_that_was_lost_costs_a_window_and_no_burnt_code(provider: Provider, new_redis: Any, tmp_path: Path) -> None:
    """The Redis server comes back empty: tries begin anew, but no app code is good until the used ones are dead."""
    server = new_redis()
    with closing(RedisLedger(server.url)) as ledger:
        store = SQLStore(f"sqlite:///{tmp_path}/second-factor.db")
        store.save(alice())
        second_factor = gate(store, ledger, provider.url)
        assert try_code(second_factor, "s1") == "in"
        server.stop()
        server.start()
        later = gate_at(second_factor, START + 60)
        assert try_code(later, "s2") == "unavailable"
        later = gate_at(second_factor, START + 60 + 181)
        assert try_code(later, "s3", "1234567") == "in"
        store.database.close()
