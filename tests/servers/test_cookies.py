"""Cookie headers of every odd shape: a value that we did not sign is never used, ours is found beside all that is harmless, and none is a 500 of ours."""

from __future__ import annotations

import time
from random import Random

from authy_wsgi import Login

from .wire import COOKIE, HTML, Probe, Site, Visitor, request, told

N = COOKIE

# Beside these our own cookie, behind a "; ", is still found: attacks.md C10.
HARMLESS = [
    b"a=b", b"a", b"=", b"=b", b"=; =", b";", b";;;;", b"; ", b" ; ;", b"a=", b"a=b=c==", b"a==", b'a="b"', b'a="b; c="d', b'a="\\"b"', b"a='b",
    b"a={\"b\": [1, 2]}", b"a=%", b"a=%zz%00", b"a=b,c=d", b"a=b, c=d", b"$Version=1", b"$Version=1; $Path=/; a=b; $Path=/x", b"a b=c d", b"a:b=c", b"a/b=c",
    b"[a]=b", b"(a)=b", b"a=b\tc", b"@=1", b"\"a\"=b", b"Path=/; Secure; HttpOnly", b"expires=Thu, 01 Jan 1970 00:00:00 GMT", b"__proto__=x; constructor=y",
    b"csrftoken=\"a;b\"; sessionid=x", N[:-1] + b"=x", N + b"x=x", b"x" + N + b"=x", N.lower() + b"=x", N.upper() + b"=x", N.removeprefix(b"__Host-") + b"=x",
    b"__Secure-" + N[7:] + b"=x", N + b"=", N + b"=x", N + b"=.", N + b"=a.b", N + b"=" + b"A" * 300, N + b"=" + b"A" * 3000,
    N + b"=" + b"A" * 60 + b"." + b"B" * 43, b"; ".join([N + b"=" + b"A" * 60 + b"." + b"B" * 43] * 7), N + b"_attempt=x", N, b"x=" + N, b"x=" + N + b"=y",
    b"a=b; " * 200 + b"c=d", b"".join(b"c%d=%d; " % (at, at) for at in range(300)) + b"z=z", b"a=" + b"b" * 3000, b"a" * 3000 + b"=b",
]  # fmt: skip
# Of these a server may make what it likes.
RAW = [
    b"a=\xff", b"\xff=a", b"a=\xc3\xa9", b"\xc3\xa9=a", b"a=\xed\xa0\x80", b"a=\xe2\x80\xa8b", b"a=b\x00c", b"\x00", b"a=b\x01", b"a=\x7f", b"a=b\rc=d",
    b"a=b\nc=d", b"a=b\r\n c=d", b"a=b\x0bc", b"a=b\x0cc", b"a=b\x85c", b"\xa0" + N + b"=x", b"a=b; " * 3000,
    b"".join(b"c%d=%d; " % (at, at) for at in range(20_000)), b"a=" + b"b" * 100_000, b"a=" + b"b" * 2_000_000, b";" * 50_000, b"=" * 50_000, b'"' * 50_000,
    (N + b"=") * 3000, (N + b"=x; ") * 3000, b"; ".join([N + b"=" + b"A" * 60 + b"." + b"B" * 43] * 60), b"\\" * 20_000, b" " * 2000, b"a=" + b"\xff" * 7000,
]  # fmt: skip


def _asked(probe: Probe) -> bool:
    return not probe.calls and [note["status"] for note in probe.gate] == [303]


def test_C10_no_odd_cookie_gets_to_the_app(site: Site) -> None:
    wrong = []
    for odd in [*HARMLESS, *RAW]:
        for data in (request(b"/admin", HTML, b"Cookie: " + odd), request(b"/second-factor/code", HTML, b"Cookie:" + odd)):
            probe = site.probe(data)
            wrong.append((data, probe.faults()))
            if odd in HARMLESS and b"/admin" in data:
                assert _asked(probe), data
    assert told(wrong) == ""


def test_C10_a_pass_is_found_beside_every_harmless_cookie(site: Site) -> None:
    good = site.cookie_of()
    lost = []
    for odd in HARMLESS:
        for cookie in (odd + b"; " + good, good + b"; " + odd, odd + b";" + good):
            data = request(b"/admin", HTML, b"Cookie: " + cookie)
            probe = site.probe(data)
            if [(call["user"], call["proofs"]) for call in probe.calls] != [("alice", ["sms"])]:
                lost.append(cookie)
    assert lost == []


def test_C10_beside_a_cookie_that_is_no_text_the_pass_is_found_or_asked_for(site: Site) -> None:
    good = site.cookie_of()
    wrong, called = [], 0
    for odd in RAW:
        for cookie in (odd + b"; " + good, good + b"; " + odd):
            data = request(b"/admin", HTML, b"Cookie: " + cookie)
            probe = site.probe(data)
            wrong.append((data, probe.faults(calls=lambda call: (call["user"], call["proofs"]) == ("alice", ["sms"]))))
            called += len(probe.calls)
    assert told(wrong) == ""
    assert called > 0


def test_C10_a_cookie_header_of_megabytes_keeps_no_server_busy(site: Site) -> None:
    for odd in (b"x" + N + b"=", N + b"=", b"x" + b" " * 40 + N + b"="):
        data = request(b"/admin", HTML, b"Cookie: " + odd * (3_000_000 // len(odd)))
        began = time.monotonic()
        probe = site.probe(data, patience=60)
        assert time.monotonic() - began < 4
        assert told([(odd, probe.faults())]) == ""


def test_C10_of_two_cookie_headers_neither_makes_a_500_nor_another_user(site: Site) -> None:
    good = b"Cookie: " + site.cookie_of()
    wrong = []
    for other in (
        b"Cookie: a=b",
        b"Cookie: " + N + b"=x",
        b"COOKIE: a=b",
        b"cookie: " + N + b"=x",
        b"Cookie:",
        b"Cookie: ;",
        b"Cookie2: $Version=1",
        b"Cookie_: a=b",
        b"Http-Cookie: a=b",
        b"HTTP_COOKIE: a=b",
        good,
    ):
        for pair in ((other, good), (good, other), (other, other, good, other)):
            data = request(b"/admin", HTML, *pair)
            wrong.append((data, site.probe(data).faults(calls=lambda call: (call["user"], call["proofs"]) == ("alice", ["sms"]))))
        data = request(b"/admin", HTML, other.replace(good, b"Cookie: a=b"), other.replace(good, b"Cookie: a=b"))
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""


OTHER_NAMES = [
    b"second_factor", b"__host-second_factor", b"__HOST-SECOND_FACTOR", b"__Secure-second_factor", b"__Host-second_factor_attempt", b"__Host-second-factor",
    b"x__Host-second_factor", b"__Host-second_factorx", b"=__Host-second_factor", b"a=__Host-second_factor", b"a=b __Host-second_factor",
    b"a=b,__Host-second_factor", b"a=b, __Host-second_factor", b'a="b __Host-second_factor', b"__Host-second%5ffactor", b"__Host-second_factor ",
    b"__Host-second_factor\t", b"[__Host-second_factor", b"__Host-second_factor;", b"__Host-second_factor[", b"$__Host-second_factor",
    b".__Host-second_factor", b"\xff__Host-second_factor",
]  # fmt: skip


def _changed(token: bytes, random: Random) -> list[bytes]:
    """What a pass becomes by a slip or on purpose. But for its last character: of that a few bits mean nothing, and it has more than one spelling."""
    payload, _, signature = token.rpartition(b".")
    at = [random.randrange(len(token) - 1) for _ in range(25)]
    flipped = [token[:each] + bytes([65 + (token[each] + 1) % 26]) + token[each + 1 :] for each in at if token[each : each + 1] != b"."]
    return [
        *(each for each in flipped if each != token), *(token[: len(token) * part // 12] for part in range(12)), *(token[each:] for each in (1, 2, 10, 100)),
        token + b"A", token + b".", token + token, b"A" + token, b"." + token, payload, signature, payload + b".", b"." + signature,
        payload + b"." + b"A" * 43, payload + b"=." + signature, payload + b"A." + signature, payload + b".." + signature, token.swapcase(), token.lower(),
        token.upper(), token[::-1], token.replace(b".", b"%2E"), token.replace(b".", b","), token[:30] + b" " + token[30:], token[:30] + b"%" + token[30:],
        token[:30] + b"\xff" + token[30:], token[:30] + b"\x00" + token[30:], token[:30] + b";" + token[30:], token[:30] + b'"' + token[30:],
        b"{" + token + b"}", b"Bearer " + token,
    ]  # fmt: skip


def test_C16_a_pass_that_is_changed_anywhere_gets_nobody_to_the_app(site: Site) -> None:
    name, _, token = site.cookie_of().partition(b"=")
    wrong = []
    for changed in _changed(token, Random(site.name)):
        data = request(b"/admin", HTML, b"Cookie: " + name + b"=" + changed)
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""


def test_C10_under_another_name_a_pass_is_none(site: Site) -> None:
    _, _, token = site.cookie_of().partition(b"=")
    wrong = []
    for name in OTHER_NAMES:
        data = request(b"/admin", HTML, b"Cookie: " + name + b"=" + token)
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""


def test_C11_what_else_we_sign_is_no_pass(site: Site) -> None:
    visitor = Visitor(site)
    page = visitor.arrive()
    action, fields = visitor.form(page, "/start")
    signed = {
        "attempt": visitor.cookies[N.decode() + "_attempt"],
        "csrf": fields["csrf"],
        "next": fields.get("next", "") or action.partition("next=")[2].partition("&")[0],
    }
    assert all(signed.values())
    wrong = []
    for value in signed.values():
        data = request(b"/admin", HTML, b"Cookie: " + N + b"=" + value.encode())
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""
    # Nor is a pass an attempt, a CSRF token or a target.
    earned = site.earned()
    for cookies, changed in (
        ({N.decode() + "_attempt": earned}, {}),
        (visitor.cookies, {"csrf": earned}),
        (visitor.cookies, {"csrf": signed["next"]}),
        (visitor.cookies, {"csrf": signed["attempt"]}),
    ):
        assert site.ask("/second-factor/start", cookies=cookies, fields={**fields, **changed}).status in (400, 403)
    for target in (earned, signed["csrf"], signed["attempt"]):
        answer = site.ask(f"/second-factor/?next={target}", cookies={N.decode(): earned})
        assert answer.status == 200


def test_C1_the_pass_of_another_login_gets_nobody_to_the_app(site: Site) -> None:
    wrong = []
    for login in (Login("alice", "s2"), Login("alice", ""), Login("bob", "s1"), Login("alices", "1"), Login("ALICE", "s1")):
        data = request(b"/admin", HTML, b"Cookie: " + site.cookie_of(login))
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""
    # The same words for alice's own login are her pass.
    assert [call["user"] for call in site.probe(request(b"/admin", HTML, b"Cookie: " + site.cookie_of(Login("alice", "s1")))).calls] == ["alice"]
