"""What every user store must do. Write a class of your own under one of the two suites, give its fixtures, and pytest runs all of it:

    class TestMyStore(UserStoreContract):
        @pytest.fixture
        def store(self):
            return MyStore()

`UserStoreContract` is for a store that is written to: `store` is a new, empty one. `case_sensitive` is the same for a site where `John` and `john` are two
people; leave it out where yours has no such thing. `ReadOnlyUserStoreContract` is for a store with `get` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authy_wsgi.contracts import Factor, User, UserStore, WritableUserStore
from authy_wsgi.documents import dump_user, load_user
from authy_wsgi.errors import AmbiguousUser, Conflict, SecondFactorError
from authy_wsgi.testing.contracts.threads import at_once

# Text as a database may meet it: every character that is one, so no lone surrogates; NUL is a case of its own.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
TIMES = st.integers(0, 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | ANY_TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)

FACTORS = st.builds(
    Factor,
    id=TEXT.filter(bool),
    client=NAMES,
    label=ANY_TEXT,
    added=TIMES,
    added_by=st.sampled_from(["enrolment", "factor", "recovery", "administrator"]),
    used=st.none() | TIMES,
    data=st.dictionaries(NAMES, JSON, max_size=4),
    secret=st.binary(max_size=60),
)
USERS = st.builds(
    User,
    id=st.just("alice"),
    factors=st.lists(FACTORS, max_size=3).map(tuple),
    generation=ANY_TEXT,
    ended=st.dictionaries(TEXT, TIMES, max_size=4),
    closed=st.frozensets(st.sampled_from(["code", "push"])),
    disabled=st.booleans(),
    enrolment=st.sampled_from(["", "invited"]),
    invitations=st.lists(TEXT, max_size=3).map(tuple),
    prefers=st.sampled_from(["", "sms", "push"]),
)

ODD_IDS = [
    "a",
    "user@example.com",
    "DOMAIN\\user",
    "a:b|c,d;e=f&g",
    'quote\'s "and" `more`',
    "'; DROP TABLE second_factor_users; --",
    "%_*?",
    "../../etc/passwd",
    "name with  spaces",
    "😀🏳️‍🌈",
    "Ångström",
    "ÅNGSTRÖM-2",
    "ΑΒΓ",
    "مستخدم",
    "用户",
    "ﬁ",
    "x" * 255,
    "ü" * 255,
    "😀" * 255,
]


def factor(number: int = 1, **more: Any) -> Factor:
    return Factor(id=f"factor{number}", client="authy", label="+1 ••• ••• 70", added=1_700_000_000, data={"authy_id": 1635}, **more)


class ReadOnlyUserStoreContract:
    """The suite for a store with `get` alone, over what the site keeps already. `store` holds a user `known`, who has a factor, and none of `strangers`."""

    @pytest.fixture
    def store(self) -> UserStore:
        raise NotImplementedError("give a store fixture: a store that holds the user of the fixture `known`")

    @pytest.fixture
    def known(self) -> str:
        return "alice"

    @pytest.fixture
    def client_name(self) -> str:
        """Which client its factors are for."""
        return "authy"

    def test_it_only_reads(self, store: UserStore) -> None:
        assert callable(store.get)
        assert not hasattr(store, "save"), "with a `save` it is a writable store: UserStoreContract is for those"

    def test_a_user_has_factors_of_the_client(self, store: UserStore, known: str, client_name: str) -> None:
        user = store.get(known)
        assert user is not None
        assert user.id == known
        assert isinstance(user.factors, tuple)
        assert user.factors
        assert {each.client for each in user.factors} == {client_name}
        assert len({each.id for each in user.factors}) == len(user.factors)
        assert all(each.id and each.label for each in user.factors)

    def test_a_user_has_a_generation_that_stays(self, store: UserStore, known: str) -> None:
        first, second = store.get(known), store.get(known)
        assert first is not None
        assert first == second
        # SECURITY: the generation is what a pass is compared by; a new one is how this site revokes.
        assert first.generation

    def test_its_data_can_be_kept_as_json(self, store: UserStore, known: str) -> None:
        user = store.get(known)
        assert user is not None
        assert load_user(user.id, user.version, dump_user(user)) == user

    def test_nobody_is_none(self, store: UserStore) -> None:
        assert store.get("nobody-of-this-name") is None

    @pytest.mark.parametrize("user_id", ["", *ODD_IDS], ids=range(len(ODD_IDS) + 1))
    def test_an_odd_id_is_nobody(self, store: UserStore, user_id: str) -> None:
        assert store.get(user_id) is None

    @pytest.mark.parametrize("user_id", ["nul\0byte", "\ud800lone", "x" * 100_000], ids=["NUL", "lone surrogate", "long"])
    def test_an_id_that_nobody_can_have_finds_nobody(self, store: UserStore, user_id: str) -> None:
        with suppress(SecondFactorError, ValueError):
            assert store.get(user_id) is None

    @pytest.mark.parametrize(
        "change", [str.upper, str.title, lambda text: f" {text}", lambda text: f"{text} "], ids=["upper", "title", "blank before", "blank after"]
    )
    def test_another_spelling_is_never_the_same_person(self, store: UserStore, known: str, change: Callable[[str], str]) -> None:
        spelling = change(known)
        if spelling == known:
            pytest.skip("spelled alike")
        try:
            found = store.get(spelling)
        except AmbiguousUser:
            return
        # SECURITY: two ids that read one record would have two budgets for one phone.
        assert found is None or found.id == spelling, "answer None, or raise AmbiguousUser"
        owner = store.get(known)
        assert owner is not None
        shared = [each for each in owner.factors if found and any(each.data == other.data for other in found.factors)]
        assert not shared, "the phone of another spelling: answer None, or raise AmbiguousUser"

    def test_many_threads_read_at_once(self, store: UserStore, known: str) -> None:
        assert len({user.generation if user else "" for user in at_once(8, lambda _: store.get(known))}) == 1


class UserStoreContract:
    """The suite for a store that is written to."""

    @pytest.fixture
    def store(self) -> WritableUserStore:
        raise NotImplementedError("give a store fixture: a new, empty store")

    @pytest.fixture
    def case_sensitive(self) -> WritableUserStore | None:
        return None

    def test_it_has_the_shape_of_a_writable_store(self, store: WritableUserStore) -> None:
        assert isinstance(store, WritableUserStore)

    # get and save

    def test_nobody_is_none(self, store: WritableUserStore) -> None:
        assert store.get("alice") is None

    def test_what_was_saved_is_got(self, store: WritableUserStore) -> None:
        saved = store.save(User(id="alice", factors=(factor(secret=b"\x00\xff"),), generation="g"))
        assert store.get("alice") == saved
        assert saved.version != 0
        assert saved.factors[0].secret == b"\x00\xff"
        assert store.get("bob") is None

    def test_version_0_only_inserts(self, store: WritableUserStore) -> None:
        first = store.save(User(id="alice", prefers="sms"))
        with pytest.raises(Conflict):
            store.save(User(id="alice", prefers="push"))
        assert store.get("alice") == first

    def test_each_save_has_a_new_version(self, store: WritableUserStore) -> None:
        user = store.save(User(id="alice"))
        versions = [user.version]
        for _ in range(5):
            user = store.save(user)
            versions.append(user.version)
        assert len(set(versions)) == 6
        assert store.get("alice") == user

    def test_a_stale_version_is_a_conflict_and_changes_nothing(self, store: WritableUserStore) -> None:
        first = store.save(User(id="alice"))
        second = store.save(replace(first, prefers="sms"))
        for stale in (first.version, first.version + 1, 1, -1):
            with pytest.raises(Conflict):
                store.save(replace(second, prefers="push", version=stale))
        assert store.get("alice") == second

    def test_a_version_of_nobody_is_a_conflict(self, store: WritableUserStore) -> None:
        with pytest.raises(Conflict):
            store.save(User(id="alice", version=7))
        assert store.get("alice") is None

    def test_a_change_of_one_user_leaves_the_others_alone(self, store: WritableUserStore) -> None:
        bob = store.save(User(id="bob", prefers="sms"))
        alice = store.save(User(id="alice"))
        store.save(replace(alice, factors=(factor(),)))
        store.delete("alice")
        store.erase("alice")
        assert store.get("bob") == bob

    def test_what_the_caller_does_with_a_user_later_is_not_stored(self, store: WritableUserStore) -> None:
        data: dict[str, Any] = {"app": "no"}
        saved = store.save(User(id="alice", factors=(replace(factor(), data=data),)))
        data["app"] = "yes"
        got = store.get("alice")
        assert got is not None
        assert got.factors[0].data == {"app": "no"}
        assert got.version == saved.version

    def test_of_twenty_saves_of_one_version_exactly_one_wins(self, store: WritableUserStore) -> None:
        user = store.save(User(id="alice"))
        for _ in range(3):
            saved = [each for each in at_once(20, lambda number: tried(store, replace(user, prefers=str(number)))) if each]  # noqa: B023 - called at once
            assert len(saved) == 1
            assert store.get("alice") == saved[0]
            user = saved[0]

    def test_of_twenty_first_saves_exactly_one_wins(self, store: WritableUserStore) -> None:
        saved = [each for each in at_once(20, lambda number: tried(store, User(id="alice", prefers=str(number)))) if each]
        assert len(saved) == 1
        assert store.get("alice") == saved[0]

    def test_no_change_is_lost_between_threads_that_read_and_save(self, store: WritableUserStore) -> None:
        store.save(User(id="alice"))

        def add(number: int) -> None:
            # A save is in vain only where another one was not: seven times at most.
            for _ in range(100):
                user = store.get("alice")
                assert user is not None
                if tried(store, replace(user, ended={**user.ended, f"pass{number}": number})):
                    return
            pytest.fail("of a hundred saves of what was just read every one was a Conflict")

        at_once(8, add)
        user = store.get("alice")
        assert user is not None
        assert user.ended == {f"pass{number}": number for number in range(8)}

    # Round trips

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(user=USERS)
    def test_every_member_comes_back_exactly(self, store: WritableUserStore, user: User) -> None:
        stored = store.get("alice")
        saved = store.save(replace(user, version=stored.version if stored else 0))
        got = store.get("alice")
        assert got == saved == replace(user, version=saved.version)
        assert got is not None
        assert [type(each) for each in (got.factors, got.closed, got.invitations)] == [tuple, frozenset, tuple]

    @pytest.mark.parametrize("user_id", ODD_IDS, ids=range(len(ODD_IDS)))
    def test_an_odd_id_is_kept_exactly(self, store: WritableUserStore, user_id: str) -> None:
        saved = store.save(User(id=user_id, prefers="sms"))
        assert saved.id == user_id
        assert store.get(user_id) == saved
        again = store.save(replace(saved, prefers="push"))
        assert store.get(user_id) == again
        assert list(store.ids()) == [user_id]
        store.delete(user_id)
        left = store.get(user_id)
        assert left is not None
        assert left.id == user_id

    def test_odd_ids_are_never_each_other(self, store: WritableUserStore) -> None:
        for user_id in ODD_IDS:
            store.save(User(id=user_id, prefers=user_id[:5]))
        for user_id in ODD_IDS:
            user = store.get(user_id)
            assert user is not None
            assert user.id == user_id
        assert sorted(store.ids()) == sorted(ODD_IDS)

    @pytest.mark.parametrize("user_id", ["nul\0byte", "\ud800lone", "ﷺ" * 255], ids=["NUL", "lone surrogate", "very long when folded"])
    def test_an_id_that_cannot_be_kept_is_refused_and_never_cut(self, store: WritableUserStore, user_id: str) -> None:
        try:
            saved = store.save(User(id=user_id))
        except (SecondFactorError, ValueError):
            assert list(store.ids()) == []
        else:
            assert store.get(user_id) == saved
            assert list(store.ids()) == [user_id]
        assert store.get("nul") is None

    # One id per person

    @pytest.mark.parametrize("spelling", ["JOHN", "John", "ｊｏｈｎ", " john ", "john\u00a0", "jоhn".replace("о", "ｏ")])
    def test_another_spelling_of_an_id_is_nobody_of_its_own(self, store: WritableUserStore, spelling: str) -> None:
        john = store.save(User(id="john", factors=(factor(),)))
        with pytest.raises(AmbiguousUser):
            store.get(spelling)
        with pytest.raises(AmbiguousUser):
            store.save(User(id=spelling))
        with pytest.raises((AmbiguousUser, Conflict)):
            store.save(User(id=spelling, version=john.version))
        assert store.get("john") == john
        assert list(store.ids()) == ["john"]

    @pytest.mark.parametrize("call", ["delete", "erase"])
    def test_an_administrator_who_mistypes_an_id_is_told(self, store: WritableUserStore, call: str) -> None:
        john = store.save(User(id="john", factors=(factor(),)))
        with pytest.raises(AmbiguousUser):
            getattr(store, call)("JOHN")
        assert store.get("john") == john

    def test_the_spelling_that_was_first_is_the_person(self, store: WritableUserStore) -> None:
        saved = store.save(User(id=" Straße "))
        assert store.get(" Straße ") == saved
        for other in ("Straße", "STRASSE", "strasse"):
            with pytest.raises(AmbiguousUser):
                store.get(other)

    def test_of_first_saves_of_many_spellings_at_once_exactly_one_wins(self, store: WritableUserStore) -> None:
        spellings = ["john", "JOHN", "John", "jOHN", "joHN", "johN", "JoHn", "jOhN"]
        saved = [each for each in at_once(8, lambda number: tried(store, User(id=spellings[number]))) if each]
        assert len(saved) == 1
        assert list(store.ids()) == [saved[0].id]

    def test_an_erased_id_is_free_for_another_spelling(self, store: WritableUserStore) -> None:
        store.save(User(id="john"))
        store.erase("john")
        assert store.save(User(id="JOHN"))

    def test_a_site_with_case_sensitive_ids_keeps_them_apart(self, case_sensitive: WritableUserStore | None) -> None:
        if case_sensitive is None:
            pytest.skip("this store has no case-sensitive ids")
        spellings = ["john", "JOHN", "ｊｏｈｎ", " john "]
        saved = [case_sensitive.save(User(id=spelling, prefers=str(number))) for number, spelling in enumerate(spellings)]
        assert [case_sensitive.get(spelling) for spelling in spellings] == saved
        case_sensitive.delete("JOHN")
        case_sensitive.erase(" john ")
        assert case_sensitive.get("john") == saved[0]
        assert sorted(case_sensitive.ids()) == sorted(["john", "JOHN", "ｊｏｈｎ"])

    # delete and erase

    def test_delete_leaves_a_tombstone(self, store: WritableUserStore) -> None:
        members = User(id="alice", factors=(factor(),), generation="g", closed=frozenset({"code"}), invitations=("one",), prefers="sms", extra={"new": 1})
        saved = store.save(members)
        store.delete("alice")
        left = store.get("alice")
        assert left is not None
        assert left.factors == ()
        assert left.invitations == ()
        assert left.extra == {}
        assert left.enrolment == "invited"
        assert left.generation not in ("", "g")
        assert left.version not in (0, saved.version)
        assert list(store.ids()) == ["alice"]

    def test_each_deletion_has_a_generation_of_its_own(self, store: WritableUserStore) -> None:
        generations = set()
        user = store.save(User(id="alice"))
        for _ in range(3):
            store.delete("alice")
            left = store.get("alice")
            assert left is not None
            generations.add(left.generation)
            user = store.save(replace(left, factors=(factor(),)))
        assert len(generations) == 3
        assert store.get("alice") == user

    def test_a_save_from_before_a_deletion_brings_nobody_back(self, store: WritableUserStore) -> None:
        before = store.save(User(id="alice", factors=(factor(),)))
        store.delete("alice")
        for stale in (before, User(id="alice", factors=(factor(),))):
            with pytest.raises(Conflict):
                store.save(stale)
        left = store.get("alice")
        assert left is not None
        assert left.factors == ()

    def test_erase_leaves_nothing(self, store: WritableUserStore) -> None:
        store.save(User(id="alice", factors=(factor(),)))
        store.erase("alice")
        assert store.get("alice") is None
        assert list(store.ids()) == []

    def test_no_version_is_used_twice_for_an_id(self, store: WritableUserStore) -> None:
        versions = []
        for _ in range(10):
            first = store.save(User(id="alice"))
            second = store.save(first)
            store.delete("alice")
            third = store.get("alice")
            assert third is not None
            versions += [first.version, second.version, third.version]
            store.erase("alice")
            with pytest.raises(Conflict):
                store.save(replace(second, prefers="sms"))
        assert len(set(versions)) == 30

    def test_deleting_and_erasing_nobody_changes_nothing(self, store: WritableUserStore) -> None:
        store.delete("alice")
        store.erase("alice")
        assert store.get("alice") is None
        assert list(store.ids()) == []

    # ids

    def test_ids_come_in_pages_each_once(self, store: WritableUserStore) -> None:
        names = {f"user{number:03}" for number in range(25)} | {"Zoe", "ärger", "_x", "~y", "😀", "Ärger2", "zoe2", "-", "user 1", "user.1"}
        for name in names:
            store.save(User(id=name))
        pages: list[str] = []
        after = ""
        while page := store.ids(after, 4):
            assert len(page) <= 4
            pages += page
            after = page[-1]
        assert len(pages) == len(names)
        assert set(pages) == names
        assert list(store.ids()) == pages

    def test_ids_go_on_after_one_that_is_gone(self, store: WritableUserStore) -> None:
        for name in ("alice", "bob", "carol"):
            store.save(User(id=name))
        store.erase("bob")
        assert list(store.ids("bob")) == ["carol"]
        assert list(store.ids("alice", 1)) == ["carol"]
        assert list(store.ids("carol")) == []

    # What a newer version wrote

    def test_members_that_this_version_does_not_know_survive_a_save(self, store: WritableUserStore) -> None:
        saved = store.save(User(id="alice", factors=(factor(),), extra={"nickname": "Al", "nested": {"list": [1, None, "ä"]}}))
        assert saved.extra == {"nickname": "Al", "nested": {"list": [1, None, "ä"]}}
        store.save(replace(saved, prefers="sms"))
        got = store.get("alice")
        assert got is not None
        assert got.extra == saved.extra


def tried(store: WritableUserStore, user: User) -> User | None:
    """The saved user, None where another save was faster."""
    try:
        return store.save(user)
    except (Conflict, AmbiguousUser):
        return None
