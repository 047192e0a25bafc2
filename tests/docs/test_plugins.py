"""The page on stores and clients of one's own: every block is a module, and the tests in it are run as they are written."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from authy_wsgi import MemoryLedger, Misconfigured, Refused, Unavailable
from authy_wsgi.contracts import Context
from authy_wsgi.testing.contracts.users import at_once
from authy_wsgi.testing.webtest import TestApp
from tests.docs.blocks import BLOCKS, ROOT
from tests.support import World

PAGE = "docs/plugins.md"
FILES = ("people_store", "test_people_store", "factor_store", "test_factor_store", "pigeon", "test_pigeon", "mysite", "test_mysite")


def module(name: str) -> ModuleType:
    """The block as the module that the page calls it; its lines in a traceback are those of the page."""
    block = next(each for each in BLOCKS if each[:3] == (PAGE, "python", FILES.index(name)))
    made = sys.modules[name] = ModuleType(name)
    exec(compile("\n" * block.line + block.text, str(ROOT / PAGE), "exec"), vars(made))
    return made


MODULES: dict[str, Any] = {}
for file in FILES:
    if file in sys.modules:
        raise RuntimeError(f"{file} is a module of somebody else: the page needs another name")
    MODULES[file] = module(file)
    # Its tests, and the fixtures of those outside of a class, are collected here.
    globals().update({name: thing for name, thing in vars(MODULES[file]).items() if name.startswith(("Test", "test_")) or name in ("loft", "application")})
for file in FILES:
    del sys.modules[file]


def test_every_block_of_the_page_is_run_here() -> None:
    text = (ROOT / PAGE).read_text()
    blocks = [block for block in BLOCKS if block[:2] == (PAGE, "python")]
    assert len(blocks) == len(FILES)
    for name, before, after in zip(FILES, ["", *blocks], blocks, strict=False):
        said = text[text.index(before.text) + len(before.text) if before else 0 : text.index(after.text)]
        assert f"`{name}.py`" in said, "the page names the file before it shows it"
    collected = [name for name in globals() if name in ("TestPeopleStore", "TestFactorStore", "TestPigeonPost", "test_alice_adds_her_phone_and_comes_back")]
    assert len(collected) == 4


# What the sentences beside the blocks say


@pytest.fixture
def people(tmp_path: Path) -> Any:
    path = tmp_path / "site.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(MODULES["people_store"].TABLE)
        database.execute("INSERT INTO people (name) VALUES ('bob')")
    return MODULES["people_store"].PeopleStore(path)


def with_a_phone(people: Any, **settings: Any) -> World:
    world = World(users=people, ledger=MemoryLedger(), enrolment="none", **settings)
    authy_id = world.client.api.register_user("alice@example.com", "4085555270", 1)
    with closing(sqlite3.connect(people.path)) as database, database:
        database.execute("INSERT INTO people (name, phone, authy_id) VALUES ('alice', '+14085555270', ?)", (authy_id,))
    return world


def test_people_of_the_sites_own_table_sign_in_until_the_site_revokes(people: Any) -> None:
    world = with_a_phone(people)
    alice = world.browser("alice")
    page = alice.choose(alice.visit(), "sms")
    assert alice.follow(alice.enter(page, world.phone().code)).text.endswith("alice ['sms']")
    MODULES["people_store"].revoke(people.path, "bob")
    world.clock.advance(61)
    assert alice.get().status_int == 200
    MODULES["people_store"].revoke(people.path, "alice")
    world.clock.advance(61)
    assert alice.get().status_int == 303


def test_what_a_store_with_get_alone_cannot_do_says_so(people: Any) -> None:
    world = with_a_phone(people)
    assert people.get("bob").factors == ()
    assert world.browser("bob").visit().status_int == 403
    for call in (world.backend.revoke, world.backend.reset, world.backend.invite, world.backend.disable):
        with pytest.raises(Misconfigured, match="no save"):
            call("alice")
    with pytest.raises(Misconfigured, match="enrolment"):
        World(users=people, ledger=MemoryLedger(), enrolment="open")


def test_a_database_that_is_away_is_not_nobody(tmp_path: Path) -> None:
    for store in (MODULES["people_store"].PeopleStore(tmp_path / "no" / "such.db"), MODULES["people_store"].PeopleStore(tmp_path / "empty.db")):
        with pytest.raises(Unavailable, match="OperationalError"):
            store.get("alice")
    with pytest.raises(Unavailable):
        MODULES["factor_store"].FactorStore(tmp_path / "no" / "such.db")


def test_stores_on_one_file_are_one_store(tmp_path: Path) -> None:
    store = MODULES["factor_store"].FactorStore
    users = at_once(8, lambda number: store(tmp_path / "factors.db").save(MODULES["test_pigeon"].User(id=f"user{number}")))
    assert list(store(tmp_path / "factors.db").ids()) == sorted(user.id for user in users)


def test_a_pass_is_granted_with_a_client_of_ones_own(tmp_path: Path) -> None:
    pigeon = MODULES["test_pigeon"]
    loft = pigeon.Loft()
    gate = MODULES["mysite"].make_application(tmp_path, "only for tests " * 3, pigeon.pigeon_to(loft))
    alice = TestApp(gate, extra_environ={"REMOTE_USER": "alice"})
    alice.expect_second_factor("/members")
    alice.grant_second_factor()
    assert alice.get("/members").text == "members only"
    assert loft.messages == []
    gate.backend.ledger.database.close()


def test_a_number_that_the_gateway_does_not_serve_is_refused() -> None:
    loft = MODULES["test_pigeon"].Loft()
    client = MODULES["test_pigeon"].pigeon_to(loft)
    user = MODULES["test_pigeon"].holder(client, "alice", "+447400123456")
    with pytest.raises(Refused, match="cannot be sent to this number"):
        client.start(user, client.ways(user)[0], Context(at=1, site="Acorn Ledger", ends=601))
    assert loft.messages == []
