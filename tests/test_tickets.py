"""What we sign, and what a value is worth where it does not belong."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_wsgi.contracts import Login, Proof
from authy_wsgi.tickets import LABELS, Pass, Tickets, cookie_values, delete_cookie, derive, digest, first_cookie_value, read_pass, set_cookie

OLD, NEW = "o" * 40, "n" * 40
NAME = "__Host-second_factor"


@pytest.fixture
def tickets() -> Tickets:
    return Tickets([NEW], "second_factor")


def a_pass(tickets: Tickets, login: Login = Login("alice", "s1")) -> Pass:
    return Pass("id", tickets.holder(login), "epoch", (Proof("sms", 1_700_000_000),))


def test_keys_differ_by_label_instance_and_secret() -> None:
    keys = {derive(secret, instance, label) for secret in (OLD, NEW) for instance in ("a", "b") for label in LABELS}
    assert len(keys) == 4 * len(LABELS)
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize(("minted", "presented"), list(itertools.permutations(LABELS, 2)))
def test_a_value_of_one_purpose_is_noise_for_every_other(tickets: Tickets, minted: str, presented: str) -> None:
    assert tickets.read(presented, tickets.sign(minted, [1, "x"])) is None


def test_a_pass_comes_back_as_it_was(tickets: Tickets) -> None:
    held = a_pass(tickets)
    assert tickets.read_pass(tickets.sign("pass", held.payload())) == held


def test_rotation_logs_nobody_out_and_a_retired_key_is_dead() -> None:
    before, both, after = Tickets([OLD], "i"), Tickets([NEW, OLD], "i"), Tickets([NEW], "i")
    login = Login("alice", "s1")
    token = before.sign("pass", a_pass(before).payload())
    assert both.read_pass(token) is not None
    assert before.holder(login) in both.holders(login)
    assert both.unseal(before.seal(b"x")) == b"x"
    # A worker that is not rotated yet must take what a rotated one mints, once it knows the next key.
    knows_next = Tickets([OLD, NEW], "i")
    assert knows_next.read_pass(both.sign("pass", a_pass(both).payload())) is not None
    assert after.read_pass(token) is None
    assert before.holder(login) not in after.holders(login)
    assert after.unseal(before.seal(b"x")) is None


def test_another_instance_under_the_same_secret_accepts_nothing() -> None:
    one, two = Tickets([NEW], "one"), Tickets([NEW], "two")
    assert two.read_pass(one.sign("pass", a_pass(one).payload())) is None
    assert one.holder(Login("alice")) != two.holder(Login("alice"))


@given(cut=st.integers(0, 300), put=st.sampled_from(["", "A", ".", "-", "=", " ", "\n", "\x00", "é"]))
def test_a_token_that_was_touched_says_nothing(cut: int, put: str) -> None:
    tickets = Tickets([NEW], "i")
    token = tickets.sign("pass", a_pass(tickets).payload())
    at = cut % len(token)
    touched = token[:at] + put + token[at + 1 :]
    found = tickets.read_pass(touched)
    # Base64 has spare bits in its last character: another spelling may say the same, never anything else.
    assert found is None or (found == a_pass(tickets) and touched != "")


@given(st.text(max_size=600))
def test_junk_says_nothing_and_raises_nothing(text: str) -> None:
    tickets = Tickets([NEW], "i")
    assert tickets.read_pass(text) is None
    assert tickets.read_long("next", text) is None


@pytest.mark.parametrize(
    "payload",
    [None, [], {}, "x", 1, [1], [2, "i", "h", "e", [["sms", 1]]], [1, 1, "h", "e", [["sms", 1]]], [1, "i", "h", "e", []], [1, "i", "h", "e", [["sms"]]]]
    + [[1, "i", "h", "e", [["sms", "1"]]], [1, "i", "h", "e", [["sms", True]]], [1, "i", "h", "e", [["sms", 1]] * 4], [1, "i", "h", "e", [[1, 1]]]],
)
def test_a_pass_of_another_shape_is_none(tickets: Tickets, payload: object) -> None:
    assert tickets.read_pass(tickets.sign("pass", payload)) is None
    assert read_pass(payload) is None


@given(st.lists(st.text(max_size=8), max_size=4), st.lists(st.text(max_size=8), max_size=4))
def test_two_lists_of_texts_never_share_a_digest(one: list[str], two: list[str]) -> None:
    assert (digest(*one) == digest(*two)) == (one == two)


@given(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)), st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)))
def test_two_logins_never_share_a_holder(one: tuple[str, str], two: tuple[str, str]) -> None:
    tickets = Tickets([NEW], "i")
    assert (tickets.holder(Login(*one)) == tickets.holder(Login(*two))) == (one == two)


def test_neither_secrets_nor_keys_are_in_a_repr(tickets: Tickets) -> None:
    assert NEW not in repr(tickets) + repr(vars(tickets))


# Cookies


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (f"{NAME}=a.b", ["a.b"]),
        (f"x=1; {NAME}=a.b; y=2", ["a.b"]),
        (f'prefs={{"a": [1, 2]}}; {NAME}=a.b', ["a.b"]),
        (f"bad[name]=1; {NAME}=a.b", ["a.b"]),
        (f"caf\xe9=\xff; {NAME}=a.b", ["a.b"]),
        (f"{NAME}=one; {NAME}=two", ["one", "two"]),
        (f'{NAME}="quoted"', ["quoted"]),
        (f"x{NAME}=other; {NAME}=mine", ["mine"]),
        (f"a={NAME}=inside", []),
        (f"={NAME}=nameless", []),
        (f"$Version=1; {NAME}=a.b; $Path=/", ["a.b"]),
        (f"{NAME}=", [""]),
        (f"x=1;{NAME}=a.b", ["a.b"]),
        (f"{NAME}_attempt=other", []),
        (f"{NAME} =a.b", []),
        ("", []),
    ],
)
def test_cookies_are_found_by_exactly_their_name(header: str, values: list[str]) -> None:
    assert list(cookie_values({"HTTP_COOKIE": header}, NAME)) == values


def test_a_flood_of_our_cookies_costs_eight_looks() -> None:
    assert len(list(cookie_values({"HTTP_COOKIE": f"{NAME}=x; " * 5000}, NAME))) == 8


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_no_cookie_header_raises(header: str) -> None:
    list(cookie_values({"HTTP_COOKIE": header}, NAME))
    first_cookie_value({"HTTP_COOKIE": header}, NAME + "=")


def test_cookies_are_for_our_origin_only() -> None:
    name, value = set_cookie(NAME, "a.b", secure=True, max_age=60)
    attributes = {part.strip().lower() for part in value.split(";")}
    assert name == "Set-Cookie"
    assert {"secure", "httponly", "samesite=lax", "path=/", "max-age=60"} <= attributes
    assert "domain" not in value.lower()
    assert "secure" not in set_cookie("second_factor", "a.b", secure=False)[1].lower()
    assert "max-age=0" in delete_cookie(NAME, secure=True)[1].lower()
