"""The bundled user stores under the contract, the schema of those in a database, and a site's own store that can only be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select, update

from authy_wsgi import AmbiguousUser, MemoryLedger, MemoryStore, Misconfigured, SQLLedger, SQLStore, Unavailable
from authy_wsgi.contracts import Factor, User
from authy_wsgi.database import SCHEMA, SCHEMA_VERSION, USERS, Database
from authy_wsgi.testing.contracts.users import UserStoreContract, factor
from tests.ledgers.processes import race
from tests.support import PHONE, World, form_to, way_form, words

pytest_plugins = ("tests.postgres",)

PROCESSES = 4


def close(store: SQLStore) -> None:
    if store.database._engine is not None:
        store.database._engine.dispose()


@contextmanager
def opened(url: str, **options: bool) -> Iterator[SQLStore]:
    store = SQLStore(url, **options)
    try:
        yield store
    finally:
        close(store)


class TestMemoryStore(UserStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def case_sensitive(self) -> MemoryStore:
        return MemoryStore(case_sensitive_ids=True)

    def test_it_says_that_it_is_for_one_process(self, store: MemoryStore) -> None:
        assert store.single_process


class SQLContract(UserStoreContract):
    """What a store in a database has to do beyond that."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self, url: str) -> Iterator[SQLStore]:
        with opened(url) as store:
            yield store

    @pytest.fixture
    def case_sensitive(self, url: str) -> Iterator[SQLStore]:
        with opened(url, case_sensitive_ids=True) as store:
            yield store

    def test_it_is_there_after_a_restart(self, store: SQLStore, url: str) -> None:
        saved = store.save(User(id="alice", factors=(factor(secret=bytes(range(256))),)))
        again = SQLStore(url)
        assert again.get("alice") == saved
        close(again)

    def test_what_a_newer_version_wrote_into_the_row_survives_a_save(self, store: SQLStore) -> None:
        store.save(User(id="alice", factors=(factor(1), factor(2))))
        document = read_document(store)
        document["nickname"] = {"given": "Al", "at": 1}
        document["factors"][0]["trusted_until"] = 1_800_000_000
        document["factors"][1]["marks"] = ["a", {"b": None}]
        write_document(store, document)
        user = store.get("alice")
        assert user is not None
        assert user.extra == {"nickname": {"given": "Al", "at": 1}}
        learnt = tuple(replace(each, data={**each.data, "app": "yes"}, used=1_700_000_001) for each in user.factors)
        store.save(replace(user, prefers="sms", factors=learnt, closed=frozenset({"code"})))
        document["factors"][0] |= {"data": {"authy_id": 1635, "app": "yes"}, "used": 1_700_000_001}
        document["factors"][1] |= {"data": {"authy_id": 1635, "app": "yes"}, "used": 1_700_000_001}
        assert read_document(store) == {**document, "prefers": "sms", "closed": ["code"]}

    def test_a_row_that_an_older_version_wrote_is_read_with_the_defaults(self, store: SQLStore) -> None:
        store.save(User(id="alice", prefers="sms", factors=(factor(),)))
        document = read_document(store)
        write_document(store, {"generation": document["generation"], "factors": [{"id": "f", "client": "authy", "label": "", "added": 1}]})
        user = store.get("alice")
        assert user is not None
        assert user.factors == (Factor(id="f", client="authy", label="", added=1),)
        assert user.prefers == ""
        assert user.closed == frozenset()

    def test_the_row_holds_id_folded_id_and_version_beside_the_document(self, store: SQLStore) -> None:
        saved = store.save(User(id=" JOHN ", generation="g"))
        with store.database.transaction() as connection:
            row = connection.execute(select(USERS)).one()
        assert (row.id, row.folded, row.version) == (" JOHN ", "john", saved.version)
        assert json.loads(row.document)["generation"] == "g"
        assert not {"id", "version", "extra"} & json.loads(row.document).keys()

    @pytest.mark.parametrize("first", [False, True], ids=["to case-sensitive", "back"])
    def test_a_change_of_case_sensitive_ids_forgets_nobody(self, url: str, first: bool) -> None:
        with opened(url, case_sensitive_ids=first) as before, opened(url, case_sensitive_ids=not first) as after:
            saved = before.save(User(id="John", factors=(factor(),)))
            # Nobody who is enrolled may look as if they were not: that would let them in, or let a stranger enrol.
            assert after.get("John") == saved
            again = after.save(replace(saved, prefers="sms"))
            assert before.get("John") == again

    # Schema

    def test_migrate_does_nothing_where_there_is_nothing_to_do(self, store: SQLStore) -> None:
        saved = store.save(User(id="alice"))
        assert store.database.version() == SCHEMA_VERSION
        for _ in range(2):
            assert store.database.migrate() == SCHEMA_VERSION
        with store.database.transaction() as connection:
            assert connection.execute(select(SCHEMA.c.version)).scalars().all() == [SCHEMA_VERSION]
        assert store.get("alice") == saved

    def test_migrate_makes_the_tables_of_an_empty_database(self, url: str) -> None:
        database = Database(url)
        assert database.version() is None
        assert database.migrate() is None
        assert database.version() == SCHEMA_VERSION
        store = SQLStore(database)
        assert store.save(User(id="alice")).version
        close(store)

    @pytest.mark.parametrize("part", [SQLStore, SQLLedger])
    def test_older_tables_are_refused_with_the_command_that_helps_and_migrate_helps(self, store: SQLStore, url: str, part: type) -> None:
        saved = store.save(User(id="alice"))
        stamp(store, SCHEMA_VERSION - 1)
        database = Database(url)
        with pytest.raises(Misconfigured, match="users migrate"):
            part(database)
        assert database.migrate() == SCHEMA_VERSION - 1
        again = SQLStore(database)
        assert again.get("alice") == saved
        close(again)

    @pytest.mark.parametrize("part", [SQLStore, SQLLedger])
    def test_newer_tables_are_refused_and_left_alone(self, store: SQLStore, part: type) -> None:
        stamp(store, SCHEMA_VERSION + 1)
        for call in (lambda: part(store.database), store.database.migrate):
            with pytest.raises(Misconfigured, match="newer authy_wsgi"):
                call()
        assert store.database.version() == SCHEMA_VERSION + 1

    def test_processes_that_start_at_once_on_an_empty_database_all_come_up(self, url: str) -> None:
        users = [f"user{number}" for number in range(PROCESSES)]
        assert race("from authy_wsgi import SQLStore; from authy_wsgi.contracts import User", FIRST_START, *([url, user] for user in users)) == users
        store = SQLStore(url)
        assert list(store.ids()) == users
        with store.database.transaction() as connection:
            assert connection.execute(select(SCHEMA.c.version)).scalars().all() == [SCHEMA_VERSION]
            assert {"second_factor_users", "second_factor_ledger", "second_factor_tries"} <= set(inspect(connection).get_table_names())
        close(store)

    def test_the_text_of_a_drivers_error_is_not_repeated(self, store: SQLStore) -> None:
        with store.database.transaction() as connection:
            USERS.drop(connection)
        for call in (lambda: store.get("secret-id"), lambda: store.save(User(id="secret-id")), lambda: store.delete("secret-id"), store.ids):
            with pytest.raises(Unavailable) as caught:
                call()
            assert caught.value.what == "store"
            assert "secret" not in str(caught.value)


FIRST_START = """
store = SQLStore(sys.argv[1])
print(store.save(User(id=sys.argv[2])).id)
store.database._engine.dispose()
"""


def stamp(store: SQLStore, version: int) -> None:
    with store.database.transaction() as connection:
        connection.execute(update(SCHEMA).values(version=version))


def read_document(store: SQLStore, user_id: str = "alice") -> dict[str, Any]:
    with store.database.transaction() as connection:
        document: dict[str, Any] = json.loads(connection.execute(select(USERS.c.document).where(USERS.c.id == user_id)).scalar_one())
    return document


def write_document(store: SQLStore, document: dict[str, Any], user_id: str = "alice") -> None:
    with store.database.transaction() as connection:
        connection.execute(update(USERS).where(USERS.c.id == user_id).values(document=json.dumps(document)))


class TestSQLStoreOnSQLite(SQLContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/second-factor.db"

    def test_it_writes_ahead(self, store: SQLStore) -> None:
        with store.database.transaction() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"

    def test_a_database_in_memory_is_refused(self) -> None:
        with pytest.raises(Misconfigured, match="MemoryStore"):
            SQLStore("sqlite://")

    @pytest.mark.parametrize("url", ["", "nonsense", "nosuchdatabase://x/y", "sqlite+nosuchdriver:///x"])
    def test_a_url_that_cannot_be_is_a_fault_that_says_what_to_write(self, url: str) -> None:
        with pytest.raises(Misconfigured, match=r"sqlite:///second-factor\.db"):
            SQLStore(url)

    def test_a_folder_that_is_not_there_is_unavailable(self, tmp_path: Path) -> None:
        with pytest.raises((Unavailable, Misconfigured)):
            SQLStore(f"sqlite:///{tmp_path}/no/such/folder/x.db")


class TestSQLStoreOnPostgreSQL(SQLContract):
    @pytest.fixture
    def url(self, postgres_url: str) -> str:
        return postgres_url

    def test_an_id_that_folds_to_many_characters_fits(self, store: SQLStore) -> None:
        long = "\ufdfa" * 100
        saved = store.save(User(id=long))
        assert store.get(long) == saved
        with pytest.raises(AmbiguousUser):
            store.get(long + " ")

    def test_a_password_in_the_url_is_shown_nowhere(self) -> None:
        assert "hunter2" not in repr(Database("postgresql+psycopg://someone:hunter2@db.example/x"))


# A store of the site's own


class Phones:
    """A site that keeps its people's Authy ids itself: get, and nothing else."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.generations: dict[str, str] = {}

    def get(self, user_id: str) -> User | None:
        if user_id not in self.ids:
            return None
        owned = Factor(id="phone", client="authy", label="+1 ••• ••• 70", added=1_690_000_000, data={"authy_id": self.ids[user_id]})
        return User(id=user_id, factors=(owned,), generation=self.generations.get(user_id, "first"), version=1)


@pytest.fixture
def own() -> World:
    """A site with such a store; alice has a phone."""
    phones = Phones()
    world = World(users=phones, ledger=MemoryLedger(), enrolment="none", logout_url="/logout")
    phones.ids["alice"] = world.client.api.register_user("alice@example.com", "4085555270", 1)
    world.emulator.calls.clear()
    return world


def test_a_store_that_can_only_be_read_signs_in_by_text_message(own: World) -> None:
    alice = own.browser("alice")
    page = alice.choose(alice.visit(), "sms")
    assert alice.enter(page, "1111111").status_int == 422
    assert alice.follow(alice.enter(page, own.phone().code)).text.endswith("alice ['sms']")
    assert own.kinds() == ["sent", "wrong", "approved"]


def test_a_store_that_can_only_be_read_signs_in_by_push_and_app(own: World) -> None:
    own.phone().install_app()
    alice = own.browser("alice")
    page = alice.choose(alice.visit(), "push")
    own.phone().approve()
    own.clock.advance(1)
    assert alice.poll(page)["state"] == "approved"
    assert alice.get().text.endswith("['push']")
    alice.sign_in("alice")
    own.clock.advance(3600)
    page = alice.choose(alice.visit(), "app")
    # A ledger that has just begun does not know which codes of the app are used.
    assert alice.enter(page, own.phone().app_code or "").status_int in (303, 503)
    own.clock.advance(180)
    assert alice.follow(alice.enter(page, own.phone().app_code or "")).text.endswith("['app']")


def test_a_store_that_can_only_be_read_takes_no_enrolment(own: World) -> None:
    page = own.browser("bob").visit()
    assert page.status_int == 403
    assert "Ask them" in words(page)
    with pytest.raises(Misconfigured, match="enrolment"):
        World(users=Phones(), ledger=MemoryLedger(), enrolment="open")


def test_logout_ends_every_copy_of_a_pass_over_a_store_that_can_only_be_read(own: World) -> None:
    alice = own.browser("alice", session="same")
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, own.phone().code)
    stolen = alice.cookie() or ""
    assert alice.get().status_int == 200
    assert alice.get("/logout").text.startswith("app GET /logout")
    thief = own.browser("alice", session="same")
    thief.http.set_cookie("__Host-second_factor", stolen)
    own.clock.advance(61)
    assert thief.get().status_int == 303


def test_a_new_generation_revokes_over_a_store_that_can_only_be_read(own: World) -> None:
    alice = own.browser("alice")
    page = alice.choose(alice.visit(), "sms")
    alice.enter(page, own.phone().code)
    own.settings["users"].generations["alice"] = "second"
    own.clock.advance(61)
    assert alice.get().status_int == 303
    with pytest.raises(Misconfigured, match="no save"):
        own.backend.revoke("alice")


def test_guessing_closes_codes_over_a_store_that_can_only_be_read_until_they_are_opened() -> None:
    phones = Phones()
    world = World(users=phones, ledger=MemoryLedger(), enrolment="none", limits={"code.user": [(2, 7 * 86400)]})
    phones.ids["alice"] = world.client.api.register_user("alice@example.com", "4085555270", 1)
    alice = world.browser("alice")
    page = alice.choose(alice.visit(), "sms")
    for _ in range(2):
        page = alice.enter(page, "1111111")
    assert world.kinds()[-1] == "closed"
    world.clock.advance(40 * 86400)
    channels = {form["channel"].value for form in alice.visit().forms.values() if "channel" in form.fields}
    assert channels == {"push"}
    world.backend.open("alice")
    page = alice.visit()
    assert way_form(page, "sms")
    page = alice.choose(page, "sms")
    assert form_to(page, "/code")
    assert alice.follow(alice.enter(page, world.phone(PHONE).code)).text.endswith("['sms']")
