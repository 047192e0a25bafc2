"""Who is out when: revocations of every kind, keys that rotate with workers mixed, and the moments in which store or ledger are down."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import MemoryLedger, MemoryStore, Misconfigured, Need, SQLStore, by_path
from authy_wsgi.contracts import User
from authy_wsgi.ledgers.redis import RedisLedger
from tests.support import Browser, World, form_to, way_form, words

pytest_plugins = ("tests.postgres", "tests.redis_server")

OLD, NEW = "old-secret-old-secret-old-secret-old1", "new-secret-new-secret-new-secret-new1"
PAY = by_path({"/pay": Need(max_age=600)})


def twin(world: World, **settings: Any) -> World:
    """Another worker of the same site: its own memory, the same store, ledger, provider and clock."""
    other = World(**{**world.settings, "ledger": world.backend.ledger, **settings})
    other.clock, other.emulator, other.client = world.clock, world.emulator, world.client
    return other


def into(browser: Browser, world: World) -> Browser:
    """The same browser, its next requests served by another worker."""
    other = world.browser(None)
    other.http.cookiejar = browser.http.cookiejar
    other.http.extra_environ = {**other.http.extra_environ, "site.login": browser.http.extra_environ["site.login"]}
    return other


def is_in(browser: Browser, path: str = "/members") -> bool:
    return browser.get(path).status_int == 200


# Revocation

STAMPS = {"stamp": "one"}
REVOCATIONS: dict[str, Callable[[World, Browser], object]] = {
    "backend.revoke": lambda world, _browser: world.backend.revoke("alice"),
    "a new password": lambda world, _browser: STAMPS.update(stamp="two"),
    "users reset": lambda world, _browser: world.backend.reset("alice"),
    "users disable": lambda world, _browser: world.backend.disable("alice"),
    "our log-out": lambda world, browser: browser.submit(form_to(browser.get("/second-factor/"), "/logout")),
    "the app's log-out": lambda world, browser: browser.get("/logout"),
    "forget": lambda world, browser: world.gate.forget(world.app.calls[-1]),
    "a deletion": lambda world, _browser: world.settings["users"].delete("alice"),
}


@pytest.mark.parametrize("name", REVOCATIONS)
def test_out_within_the_minute_on_plain_pages_and_at_once_where_it_matters(name: str) -> None:
    STAMPS["stamp"] = "one"
    world = World(policy=PAY, logout_url="/logout", password_stamp=lambda _user: STAMPS["stamp"])
    other = twin(world)
    alice = world.browser("alice")
    alice.enrolled()
    # A copy of the cookies, used with another worker, which remembers how alice stood.
    copy = into(alice, other)
    copy.http.cookiejar = alice.http.cookiejar.__class__()
    for cookie in alice.http.cookiejar:
        copy.http.cookiejar.set_cookie(cookie)
    assert is_in(copy)
    assert is_in(copy, "/pay")
    REVOCATIONS[name](world, alice)
    login = copy.http.extra_environ["site.login"]
    require = other.gate.require({**other.app.calls[-1], "HTTP_ACCEPT": "text/html"}, login, max_age=600)
    assert require is not None, "a view's own demand reads the store"
    assert copy.get("/pay").status_int in (303, 403), "and so does a rule that asks for more than a pass"
    assert copy.get("/second-factor/").status_int in (200, 303, 403)
    assert "Your second step is done" not in copy.visit("/second-factor/").text
    world.clock.advance(61)
    before = other.app_calls
    for path in ("/members", "/pay"):
        assert copy.get(path).status_int in (303, 403), path
    assert other.app_calls == before


def test_a_revoked_pass_does_not_come_back_with_the_clock_or_another_worker() -> None:
    world = World()
    alice = world.browser("alice")
    alice.enrolled()
    world.backend.revoke("alice")
    for worker in (world, twin(world), twin(world)):
        for seconds in (61, -120, 3600):
            worker.clock.advance(seconds)
            assert not is_in(into(alice, worker))


# Rotation


def test_keys_rotate_forwards_and_back_with_workers_mixed_and_nobody_is_signed_out() -> None:
    """The three steps of a rotation, with a worker of the step before and one of the step after at each moment."""
    steps = [(OLD, []), (OLD, [NEW]), (NEW, [OLD]), (NEW, [])]
    world = World(secret=OLD)
    workers = [twin(world, secret=secret, other_secrets=others) for secret, others in steps]
    people = []
    for number, (before, after) in enumerate([*itertools.pairwise(workers), *itertools.pairwise(reversed(workers))]):
        person = f"user{number}"
        browser = before.browser(person)
        browser.enrolled(number=f"+1408555{5300 + number}")
        people.append(browser)
        for worker in (before, after):
            assert is_in(into(browser, worker)), (number, person)
    # What the first key alone has signed is dead once it is retired, what both have known is not.
    assert not is_in(into(people[0], workers[3]))
    assert is_in(into(people[2], workers[3]))


def test_a_sign_in_under_way_goes_on_with_a_worker_of_the_next_step() -> None:
    world = World(secret=OLD, other_secrets=[NEW])
    after = twin(world, secret=NEW, other_secrets=[OLD])
    alice = world.browser("alice")
    page = alice.enrol()
    form = form_to(page, "/code")
    elsewhere = into(alice, after)
    answer = elsewhere.post(form.action, {**dict(form.submit_fields()), "code": world.phone().code})
    assert answer.status_int == 303
    assert is_in(elsewhere)
    assert is_in(into(elsewhere, world))


@pytest.mark.parametrize("others", [[], ["x" * 40], [NEW + "1"]], ids=["none", "another", "nearly the same"])
def test_a_retired_key_is_dead(others: list[str]) -> None:
    world = World(secret=OLD)
    alice = world.browser("alice")
    alice.enrolled()
    assert not is_in(into(alice, twin(world, secret=NEW, other_secrets=others)))


# Store and ledger that are down


def is_closed(answer: Any) -> bool:
    return answer.status_int == 503 and "nobody is let in" in words(answer) and "Retry-After" in answer.headers


def test_a_redis_that_is_down_closes_what_needs_it_and_opens_by_itself(new_redis: Any) -> None:
    server = new_redis()
    with closing(RedisLedger(server.url, timeout=0.5)) as ledger:
        world = World(ledger=ledger, users=MemoryStore(), single_process=True)
        alice, bob = world.browser("alice"), world.browser("bob")
        alice.enrolled()
        page = bob.enrol("+14085555299")
        server.stop()
        # A pass needs no ledger; everything that spends, burns or grants does.
        assert is_in(alice)
        answer = bob.enter(page, world.phone("+14085555299").code)
        assert answer.status_int == 503
        assert world.backend.accounts.user("bob").factors == ()
        assert bob.get("/second-factor/enrol").status_int in (200, 503)
        server.start()
        # It has lost its data: the attempt under way is over, and the next one works.
        bob.follow(bob.enter(page, world.phone("+14085555299").code))
        assert not is_in(bob)
        page = bob.enrol("+14085555299")
        world.clock.advance(31)
        bob.follow(bob.enter(page, world.phone("+14085555299").code))
        assert is_in(bob)


class Switch:
    """A store that can be unplugged: the real one behind a plug."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.out = False

    def __getattr__(self, name: str) -> Any:
        if self.out:
            raise OSError("unplugged")
        return getattr(self._store, name)

    def get(self, user_id: str) -> Any:
        return self.__getattr__("get")(user_id)

    def save(self, user: Any) -> Any:
        return self.__getattr__("save")(user)


def test_a_store_that_is_down_lets_nobody_in_after_the_recheck_and_opens_by_itself(tmp_path: Path) -> None:
    store = SQLStore(f"sqlite:///{tmp_path}/second-factor.db")
    plug = Switch(store)
    world = World(users=plug, ledger=MemoryLedger(), policy=PAY)
    alice = world.browser("alice")
    alice.enrolled()
    assert is_in(alice)
    plug.out = True
    assert is_in(alice), "a worker may rely on what it read for a minute"
    world.clock.advance(61)
    calls = world.app_calls
    assert is_closed(alice.get("/members"))
    assert alice.http.get("/members", headers={"Accept": "application/json"}, status=503).json["status"] == 503
    assert alice.get("/second-factor/").status_int == 503
    assert world.app_calls == calls
    plug.out = False
    assert is_in(alice)
    store.database.close()


def test_a_postgresql_that_ended_every_session_is_noticed_and_asked_anew(postgres: Any) -> None:
    store = SQLStore(postgres.new_url())
    world = World(users=store, recheck=0)
    alice = world.browser("alice")
    alice.enrolled()
    with postgres.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
    assert is_in(alice)
    store.database.close()


def test_a_memory_ledger_under_several_processes_is_refused() -> None:
    world = World(single_process=False)
    alice = world.browser("alice", **{"wsgi.multiprocess": True})
    assert is_closed(alice.get("/members"))
    with pytest.raises(Misconfigured):
        World(ledger=object())


def test_a_push_page_left_open_over_an_outage_goes_on(new_redis: Any) -> None:
    server = new_redis()
    with closing(RedisLedger(server.url, timeout=0.5)) as ledger:
        world = World(ledger=ledger)
        alice = world.browser("alice")
        alice.enrolled()
        alice.sign_in("alice")
        world.phone().install_app()
        page = alice.follow(alice.submit(way_form(alice.visit(), "push")))
        server.signal(signal.SIGSTOP)
        form = form_to(page, "/poll")
        alice.http.post(form.action, form.submit_fields(), headers={"Accept": "application/json"}, status=503)
        server.signal(signal.SIGCONT)
        world.phone().approve()
        world.clock.advance(2)
        assert alice.poll(page)["state"] == "approved"
        assert is_in(alice)


class Slow(MemoryStore):
    """A store that lets go of one reading when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.go_on = threading.Event(), threading.Event()
        self.slow: threading.Thread | None = None

    def get(self, user_id: str) -> User | None:
        found = super().get(user_id)
        if threading.current_thread() is self.slow:
            self.read.set()
            assert self.go_on.wait(10)
        return found


def test_a_reading_that_began_before_a_revocation_is_not_remembered_after_it() -> None:
    store = Slow()
    world = World(users=store, validate=False)
    alice = world.browser("alice")
    alice.enrolled()
    world.clock.advance(61)
    store.slow = threading.Thread(target=lambda: alice.get("/members"))
    store.slow.start()
    assert store.read.wait(10)
    world.backend.revoke("alice")
    store.go_on.set()
    store.slow.join()
    assert alice.get("/members").status_int == 303
