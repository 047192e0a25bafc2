"""The bundled ledgers under the contract, across processes, and one against the other."""

from __future__ import annotations

import signal
import sqlite3
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy import event, func, select

from authy_wsgi import MemoryLedger, Misconfigured, SQLLedger, SQLStore, Unavailable
from authy_wsgi.contracts import Allowance, Budget
from authy_wsgi.database import TRIES, VALUES
from authy_wsgi.ledgers.redis import RedisLedger
from authy_wsgi.testing.contracts.ledgers import NOW, LedgerContract, budget
from authy_wsgi.testing.contracts.threads import at_once
from tests.ledgers.processes import race

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

pytest_plugins = ("tests.postgres", "tests.redis_server")

PROCESSES = 3


def rows(ledger: SQLLedger) -> int:
    with ledger.database.transaction() as connection:
        return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in (VALUES, TRIES))


def close(ledger: SQLLedger) -> None:
    if ledger.database._engine is not None:
        ledger.database._engine.dispose()


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    @pytest.fixture
    def size(self) -> Callable[[Any], int]:
        return lambda ledger: len(ledger._values) + sum(1 + len(tries) for tries in ledger._tries.values()) + len(ledger._receipts)

    def test_it_says_that_it_is_for_one_process(self, ledger: MemoryLedger) -> None:
        assert ledger.single_process


class SQLContract(LedgerContract):
    """What a ledger in a database has to do beyond that."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def ledger(self, url: str) -> Iterator[SQLLedger]:
        ledger = SQLLedger(url)
        yield ledger
        close(ledger)

    @pytest.fixture
    def size(self) -> Callable[[Any], int]:
        return rows

    def test_what_one_ledger_wrote_another_one_on_the_database_reads(self, ledger: SQLLedger, url: str) -> None:
        ledger.put("key", b"value", 60, now=NOW)
        receipt = ledger.spend([budget()], now=NOW).receipt
        other = SQLLedger(url)
        assert other.get("key", now=NOW) == b"value"
        assert other.spend([budget()], now=NOW).left == (1,)
        other.give_back(receipt)
        assert ledger.spend([budget()], now=NOW).left == (1,)
        close(other)

    def test_it_shares_the_database_of_a_store(self, url: str) -> None:
        store = SQLStore(url)
        ledger = SQLLedger(store.database)
        ledger.put("key", b"value", 60, now=NOW)
        assert store.get("key") is None
        assert ledger.get("key", now=NOW) == b"value"
        close(ledger)

    def test_of_many_tries_in_several_processes_exactly_the_limit_are_allowed(self, ledger: SQLLedger, url: str) -> None:
        rule = [budget(limit=5), budget(limit=50, window=86400)]
        ledger.put("pop", b"value", 600, now=NOW)
        imports = f"from authy_wsgi import SQLLedger; from authy_wsgi.contracts import Budget; NOW = {NOW}"
        ends = [literal_eval(line) for line in race(imports, IN_A_PROCESS, *([url, str(number)] for number in range(PROCESSES)))]
        assert sum(allowed for allowed, _claimed, _popped in ends) == 5
        assert not ledger.spend(rule, now=NOW)
        assert {claimed for _allowed, claimed, _popped in ends} == {ledger.get("claim", now=NOW)}
        assert sorted([popped for _allowed, _claimed, popped in ends], key=bool) == [None] * (PROCESSES - 1) + [b"value"]

    def test_the_text_of_a_drivers_error_is_not_repeated(self, ledger: SQLLedger) -> None:
        with ledger.database.transaction() as connection:
            VALUES.drop(connection)
        with pytest.raises(Unavailable) as caught:
            ledger.claim("secret-key", b"secret-value", 60, now=NOW)
        assert caught.value.what == "ledger"
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


IN_A_PROCESS = """
ledger = SQLLedger(sys.argv[1])
rule = [Budget("code.user", "alice", 5, 60), Budget("code.user", "alice", 50, 86400)]
allowed = [bool(ledger.spend(rule, now=NOW)) for _ in range(30)].count(True)
claimed = ledger.claim("claim", sys.argv[2].encode(), 600, now=NOW)
popped = ledger.pop("pop", now=NOW)
print([allowed, claimed, popped])
ledger.database._engine.dispose()
"""


class TestSQLLedgerOnSQLite(SQLContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/ledger.db"

    @pytest.mark.slow
    def test_a_database_that_stays_busy_is_unavailable_and_nothing_is_spent(self, ledger: SQLLedger, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable) as caught:
                ledger.spend([budget()], now=NOW)
            other.rollback()
        assert caught.value.what == "ledger"
        assert ledger.spend([budget()], now=NOW).left == (2,)

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
    def test_a_database_in_memory_is_refused(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="MemoryLedger"):
            SQLLedger(url)


class TestSQLLedgerOnPostgreSQL(SQLContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def test_tries_that_are_given_back_while_they_are_counted_leave_it_an_answer(self, ledger: SQLLedger) -> None:
        receipts = [ledger.spend([budget()], now=NOW).receipt for _ in range(3)]

        def give_back(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            while "count(" in statement and receipts:
                ledger.give_back(receipts.pop())

        event.listen(ledger.database._open(), "after_cursor_execute", give_back)
        refused = ledger.spend([budget()], now=NOW)
        assert (refused.ok, refused.again_at) == (False, NOW + budget().window)
        assert ledger.spend([budget()], now=NOW).left == (2,)

    def test_limits_are_exact_whatever_isolation_the_server_gives_by_default(self, postgres_url: str) -> None:
        # A snapshot that was taken while waiting for the lock would not hold what was spent before it.
        ledger = SQLLedger(f"{postgres_url}%20-cdefault_transaction_isolation%3Dserializable")  # the URL ends in the server's options
        with ledger.database.reading() as connection:
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"
        allowed = at_once(12, lambda _number: bool(ledger.spend([budget(limit=3)], now=NOW)))
        assert sum(allowed) == 3
        ledger.database.close()

    def test_a_subject_of_others_may_be_long(self, ledger: SQLLedger) -> None:
        long = budget(subject="x" * 400, limit=2)
        assert [bool(ledger.spend([long], now=NOW)) for _ in range(3)] == [True, True, False]


class TestRedisLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, redis_url: str) -> Iterator[RedisLedger]:
        ledger = RedisLedger(redis_url)
        yield ledger
        ledger.close()

    def test_what_one_ledger_wrote_another_one_on_the_server_reads(self, ledger: RedisLedger, redis_url: str) -> None:
        ledger.put("key", b"value", 60, now=NOW)
        receipt = ledger.spend([budget()], now=NOW).receipt
        with closing(RedisLedger(redis_url)) as other, closing(RedisLedger(redis_url, prefix="else")) as apart:
            assert other.get("key", now=NOW) == b"value"
            assert other.spend([budget()], now=NOW).left == (1,)
            other.give_back(receipt)
            assert ledger.spend([budget()], now=NOW).left == (1,)
            assert apart.get("key", now=NOW) is None
            assert apart.spend([budget()], now=NOW).left == (2,)

    def test_of_many_tries_in_several_processes_exactly_the_limit_are_allowed(self, ledger: RedisLedger, redis_url: str) -> None:
        ledger.put("pop", b"value", 600, now=NOW)
        imports = f"from authy_wsgi.ledgers.redis import RedisLedger; from authy_wsgi.contracts import Budget; NOW = {NOW}"
        code = IN_A_PROCESS.replace("SQLLedger", "RedisLedger").replace("ledger.database._engine.dispose()", "ledger.close()")
        ends = [literal_eval(line) for line in race(imports, code, *([redis_url, str(number)] for number in range(PROCESSES)))]
        assert sum(allowed for allowed, _claimed, _popped in ends) == 5
        assert {claimed for _allowed, claimed, _popped in ends} == {ledger.get("claim", now=NOW)}
        assert sorted([popped for _allowed, _claimed, popped in ends], key=bool) == [None] * (PROCESSES - 1) + [b"value"]

    def test_what_has_ended_does_not_stay(self, ledger: RedisLedger, redis_server: RedisServer) -> None:  # type: ignore[override]
        # The server itself forgets, by its own clock.
        ledger.claim("claimed", b"value", 60, now=NOW)
        ledger.put("put", b"value", 60, now=NOW)
        ledger.give_back(ledger.spend([budget()], now=NOW).receipt)
        ledger.spend([budget(), budget(window=600)], now=NOW)
        with redis_server.client() as client:
            ends = [client.ttl(key) for key in client.scan_iter()]
        assert len(ends) == 5
        assert all(60 < end <= 600 + 3600 for end in ends)

    def test_a_subject_that_is_tried_for_ever_does_not_grow(self, ledger: RedisLedger, redis_server: RedisServer) -> None:
        for number in range(50):
            assert ledger.spend([budget()], now=NOW + 4000 * number)
        with redis_server.client() as client:
            assert sum(client.zcard(key) for key in client.scan_iter("*:tries:*")) == 1

    def test_commands_that_are_sent_twice_do_their_work_once(self, ledger: RedisLedger) -> None:
        keys, arguments = [ledger._key("receipt", "r"), ledger._key("tries", "code.user:60:alice")], ["r", NOW, 3600, 3, 60]
        assert [ledger._run(ledger._spend, keys, arguments) for _ in range(4)] == [[1, 2]] * 4
        assert ledger.spend([budget()], now=NOW).left == (1,)
        assert ledger.claim("key", b"mine", 60, now=NOW) == ledger.claim("key", b"mine", 60, now=NOW) == b"mine"

    @pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
    def test_a_server_that_may_forget_is_refused(self, new_redis: Any, policy: str) -> None:
        server = new_redis(**{"maxmemory": "100mb", "maxmemory-policy": policy})
        with pytest.raises(Misconfigured, match="noeviction"):
            RedisLedger(server.url)

    def test_a_server_that_is_full_is_unavailable_and_forgets_nothing(self, new_redis: Any) -> None:
        server = new_redis(**{"maxmemory-policy": "noeviction"})
        with closing(RedisLedger(server.url)) as ledger, server.client() as client:
            ledger.claim("key", b"value", 60, now=NOW)
            client.config_set("maxmemory", "1")
            with pytest.raises(Unavailable):
                ledger.spend([budget()], now=NOW)
            assert ledger.get("key", now=NOW) == b"value"
            client.config_set("maxmemory", "0")
            assert ledger.spend([budget()], now=NOW).left == (2,)

    def test_a_server_that_is_gone_is_unavailable_and_its_return_is_noticed(self, new_redis: Any) -> None:
        server = new_redis()
        with closing(RedisLedger(server.url)) as ledger:
            ledger.put("key", b"value", 60, now=NOW)
            server.stop()
            for call in (lambda: ledger.get("key", now=NOW), lambda: ledger.spend([budget()], now=NOW), lambda: ledger.pop("key", now=NOW)):
                with pytest.raises(Unavailable) as caught:
                    call()
                assert caught.value.what == "ledger"
            server.start()
            assert ledger.spend([budget()], now=NOW).left == (2,)
            server.stop()
            server.start()
            # The connection in the pool is dead, which is no reason to fail.
            assert ledger.claim("key", b"value", 60, now=NOW) == b"value"

    def test_a_server_that_hangs_is_unavailable_within_the_timeout(self, new_redis: Any) -> None:
        server = new_redis()
        with closing(RedisLedger(server.url, timeout=0.2)) as ledger:
            server.signal(signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(Unavailable):
                ledger.spend([budget()], now=NOW)
            assert time.monotonic() - began < 2
            server.signal(signal.SIGCONT)
            assert ledger.spend([budget()], now=NOW).ok

    def test_a_server_that_is_down_at_start_is_looked_at_when_it_comes(self, new_redis: Any, caplog: pytest.LogCaptureFixture) -> None:
        server = new_redis(**{"maxmemory-policy": "allkeys-lru"})
        server.stop()
        with closing(RedisLedger(server.url.replace("redis://", "redis://:secret-password@"))) as ledger:
            assert "does not answer yet" in caplog.text
            assert "secret-password" not in caplog.text + repr(ledger)
            with pytest.raises(Unavailable):
                ledger.get("key", now=NOW)
            server.start()
            with pytest.raises((Misconfigured, Unavailable)):
                ledger.get("key", now=NOW)

    def test_the_text_of_a_servers_error_is_not_repeated(self, ledger: RedisLedger, redis_server: RedisServer) -> None:
        with redis_server.client() as client:
            client.set("{authy_wsgi}:tries:code.user:60:alice", "no sorted set")
        with pytest.raises(Unavailable) as caught:
            ledger.spend([budget()], now=NOW)
        assert "alice" not in str(caught.value)
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("url", ["", "localhost", "http://127.0.0.1", "redis://127.0.0.1:port"])
    def test_what_is_no_url_of_redis_is_refused(self, url: str) -> None:
        with pytest.raises(Misconfigured, match="redis://"):
            RedisLedger(url)


# One against the other

BUDGETS = [budget("a", "x", 2, 10), budget("a", "x", 3, 100), budget("a", "y", 1, 10), budget("b", "x", 2, 30)]
KEYS = st.sampled_from(["one", "two", "three"])
TTLS = st.integers(1, 40)


class SameAnswers(RuleBasedStateMachine):
    """Whatever is asked, memory and SQL answer alike."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.memory, self.sql = MemoryLedger(), SQLLedger(f"sqlite:///{self.folder.name}/ledger.db")
        self.now = NOW
        self.receipts: list[tuple[str, str]] = []

    def both(self, name: str, *arguments: Any, **options: Any) -> None:
        assert getattr(self.memory, name)(*arguments, **options) == getattr(self.sql, name)(*arguments, **options)

    @rule(budgets=st.lists(st.sampled_from(BUDGETS), unique=True))
    def spend(self, budgets: list[Budget]) -> None:
        ours, theirs = self.memory.spend(budgets, now=self.now), self.sql.spend(budgets, now=self.now)
        assert told(ours) == told(theirs)
        if ours:
            self.receipts.append((ours.receipt, theirs.receipt))

    @precondition(lambda self: self.receipts)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        ours, theirs = data.draw(st.sampled_from(self.receipts))
        self.memory.give_back(ours)
        self.sql.give_back(theirs)

    @rule(key=KEYS, value=st.binary(max_size=3), ttl=TTLS)
    def claim(self, key: str, value: bytes, ttl: int) -> None:
        self.both("claim", key, value, ttl, now=self.now)

    @rule(key=KEYS, value=st.binary(max_size=3), ttl=TTLS)
    def put(self, key: str, value: bytes, ttl: int) -> None:
        self.both("put", key, value, ttl, now=self.now)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        self.both("get", key, now=self.now)

    @rule(key=KEYS)
    def pop(self, key: str) -> None:
        self.both("pop", key, now=self.now)

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    def teardown(self) -> None:
        for each in BUDGETS:
            assert told(self.memory.spend([each], now=self.now)) == told(self.sql.spend([each], now=self.now))
        close(self.sql)
        self.folder.cleanup()


def told(allowance: Allowance) -> tuple[Any, ...]:
    return allowance.ok, allowance.left, allowance.refused, allowance.again_at


TestMemoryAndSQLAnswerAlike = SameAnswers.TestCase
TestMemoryAndSQLAnswerAlike.settings = settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
