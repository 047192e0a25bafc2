"""Every header and environ key that we read or write, in every spelling that a server may fold into it: nobody gets another identity or a proof by one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from authy_wsgi import Login
from authy_wsgi.emulator import signing
from tests.support import API_KEY

from .wire import CALLBACK, FORM, HTML, Probe, Site, Visitor, request, told

# What we read, what we write, and what others have been led astray by: attacks.md E9, E10, E11, E13.
KEYS = [
    b"authy_wsgi.proven", b"authy_wsgi.base", b"authy_wsgi.login", b"site.login", b"test.mode", b"REMOTE_USER", b"X-Remote-User", b"X-Forwarded-User",
    b"X-Authenticated-User", b"AUTH_TYPE", b"X-WebAuth-User", b"REQUEST_METHOD", b"QUERY_STRING", b"CONTENT_TYPE", b"HTTP_COOKIE", b"wsgi.url_scheme",
    b"wsgi.input", b"wsgi.multiprocess", b"REMOTE_ADDR", b"SERVER_NAME", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port",
    b"Forwarded", b"X-Real-Ip", b"Upgrade-Insecure-Requests", b"Sec-Fetch-Site", b"Sec-Fetch-Mode", b"Origin", b"Referer", b"X-Requested-With",
    b"X-Authy-Signature", b"X-Authy-Signature-Nonce", b"X-Second-Factor", b"X-Middleware-Subrequest", b"Proxy", b"SSL_CLIENT_VERIFY", b"WWW-Authenticate",
    b"Set-Cookie", b"X-Gate",
]  # fmt: skip
VALUES = [b"mallory", b"{'user_id': 'mallory', 'proofs': [['push', 9999999999]], 'enforced': false}"]


def _spellings(key: bytes) -> list[bytes]:
    plain = key.replace(b".", b"-").replace(b"_", b"-")
    return list(
        dict.fromkeys(
            [
                key,
                plain,
                plain.replace(b"-", b"_"),
                plain.upper().replace(b"-", b"_"),
                plain.lower(),
                b"HTTP_" + plain.upper().replace(b"-", b"_"),
                plain.replace(b"-", b"."),
            ]
        )
    )


def _headers(keys: list[bytes] = KEYS) -> list[tuple[bytes, bytes]]:
    """Each of them in every spelling, there twice with different values."""
    return [(name + b": " + VALUES[0], name + b": " + VALUES[1]) for key in keys for name in _spellings(key)]


# Those that say who is there and what is proved.
TELLING = [key for key in KEYS if key.startswith((b"authy", b"site", b"REMOTE_USER", b"X-Remote", b"AUTH", b"HTTP_COOKIE", b"X-Second"))]


def _as_alice(*proofs: str, enforced: bool = True) -> Any:
    """Whether a call of the app is one as alice with these proofs, whatever the headers said."""
    return lambda call: (call["user"], call["proofs"], call["enforced"]) == ("alice", list(proofs), enforced)


def test_E9_E13_no_header_gets_to_the_app(site: Site) -> None:
    assert told((b" ".join(pair), site.probe(request(b"/admin", HTML, *pair)).faults()) for pair in _headers()) == ""


def test_E11_E13_no_header_proves_anything_on_an_exempt_path(site: Site) -> None:
    site.set_mode("exempt")
    right = _as_alice()
    assert told((b" ".join(pair), site.probe(request(b"/static/x", HTML, *pair)).faults(calls=right)) for pair in _headers(TELLING)) == ""


def test_E9_no_header_changes_who_has_a_pass(site: Site) -> None:
    cookie = b"Cookie: " + site.cookie_of()
    wrong, called = [], 0
    for pair in _headers(TELLING):
        probe = site.probe(request(b"/admin", HTML, pair[0], cookie, pair[1]))
        wrong.append((b" ".join(pair), probe.faults(calls=_as_alice("sms"))))
        called += len(probe.calls)
    assert told(wrong) == ""
    # A server may refuse some of these names, and one that takes HTTP_COOKIE for Cookie drops the pass; most are nothing to it.
    assert called > len(wrong) / 3


USERS = [
    b"Remote-User", b"Remote_User", b"REMOTE_USER", b"remote-user", b"Remote.User", b"REMOTE-USER ", b"\tRemote-User", b"HTTP_REMOTE_USER", b"X-Remote-User",
    b"X_Remote_User", b"X-Forwarded-User", b"X_Forwarded_User", b"Remote-User\x00", b"Remote-User\xff", b"Remote\x0bUser", b"Logon-User", b"AUTH_USER",
    b"Auth-Type", b"AUTH_TYPE", b"X-User", b"From",
]  # fmt: skip
BASIC = [
    b"Authorization: Basic bWFsbG9yeTpzZWNyZXQ=",
    b"AUTHORIZATION: basic bWFsbG9yeTo=",
    b"Authorization: Basic",
    b"Authorization: Basic \xff",
    b"Proxy-Authorization: Basic bWFsbG9yeTp4",
    b"Authorization: Bearer x",
]
NAMED = [*(name + b": mallory" for name in USERS), *BASIC]


@pytest.mark.parametrize("mode", ["nobody", "basic"])
def test_E10_no_header_makes_somebody_of_nobody(site: Site, mode: str) -> None:
    site.set_mode(mode)
    wrong, called = [], 0
    for header in NAMED:
        for data in (request(b"/admin", HTML, header), request(b"/admin", HTML, header, b"Auth-Type: Basic", header)):
            probe = site.probe(data)
            # Anonymous requests are the app's own to refuse.
            wrong.append((data, probe.faults(calls=lambda call: (call["user"], call["proofs"], call["REMOTE_USER"] or None) == (None, [], None))))
            called += len(probe.calls)
    assert told(wrong) == ""
    assert called > len(NAMED)


def test_E10_no_header_makes_another_of_whom_the_server_names(site: Site) -> None:
    site.set_mode("remote")
    cookie = b"Cookie: " + site.cookie_of(Login("alice", ""))
    wrong, called = [], 0
    for header in NAMED:
        asked = request(b"/admin", HTML, header, header)
        wrong.append((asked, site.probe(asked).faults()))
        known = request(b"/admin", HTML, header, cookie)
        probe = site.probe(known)
        wrong.append((known, probe.faults(calls=_as_alice("sms"))))
        called += len(probe.calls)
    assert told(wrong) == ""
    assert called > len(NAMED) / 2


def test_E10_our_own_pages_show_nobody_who_is_named_by_a_header(site: Site) -> None:
    site.set_mode("nobody")
    for header in NAMED:
        probe = site.probe(request(b"/second-factor/", HTML, header))
        assert told([(header, probe.faults())]) == ""
        assert [answer.status for answer in probe.answers if answer.passed_us] in ([403], []), header
        assert not any(b"mallory" in answer.body for answer in probe.answers if answer.passed_us)


# What a request may say of its own shape.
LISTS = [
    b"Accept: text/html\r\nAccept: application/json", b"Accept: " + b"text/html," * 700, b"Accept: \xff\xfe", b"Accept:", b"Accept-Language: " + b"x," * 3000,
    b"User-Agent: \xff\x80\r\nUser-Agent: Firefox", b"Origin: null", b"Origin: \xff", b"Origin: http://[",
    b"Origin: http://site.example\r\nOrigin: http://evil.example", b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site", b"Sec-Fetch-Site: \xff",
    b"Sec_Fetch_Site: same-origin", b"Referer: http://[", b"Referer: http://site.example//evil.example", b"Referer: http://site.example/\\evil.example",
    b"Referer: \xff\r\nReferer: x", b"Referer: http://site.example:99999/", b"Referer: javascript:alert(1)",
    b"X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: \xff", b"X-Forwarded-Proto: javascript", b"X-Forwarded-Host: //evil.example", b"Content-Type: \xff",
    b"Content-Type: application/x-www-form-urlencoded; charset=utf-7", b"Content-Type: multipart/form-data",
    b"Content-Type: multipart/form-data; boundary=\xff", b"Content-Type: text/plain; \x80",
    b"Content-Type: application/json\r\nContent-Type: application/x-www-form-urlencoded", b"Upgrade: \xff", b"Connection: Cookie, close",
    b"Connection: Transfer-Encoding, close", b"If-None-Match: *", b"Range: bytes=0-0", b"Expect: 200-ok", b"TE: trailers\r\nTrailer: Cookie",
    b"Max-Forwards: 0", b"Content-Encoding: gzip", b"A:" + b"b" * 7000, b"X-Fold: a\r\n Remote-User: mallory", b"X-Bare: a\rRemote-User: mallory",
    b"X-Bare: a\nRemote-User: mallory", b"X-Nul: a\x00b", b"X-Space : a", b"Na me: a", b"(): a", b"\xc3\xa9: a", b"X\x7f: a", b"=: a",
]  # fmt: skip


def test_F3_G2_odd_headers_get_nothing_to_the_app_and_no_500_of_ours(site: Site) -> None:
    wrong = []
    for header in LISTS:
        for data in (request(b"/admin", header, FORM, HTML, method=b"POST", body=b"a=b"), request(b"/second-factor/", header, HTML)):
            wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""


def test_headers_by_the_hundred_get_nothing_to_the_app(site: Site) -> None:
    wrong = []
    for data in (
        request(b"/admin", HTML, *[b"X-%d: y" % number for number in range(95)]),
        request(b"/admin", HTML, *[b"X-%d: y" % number for number in range(2000)]),
        request(b"/admin", HTML, *[b"Remote-User: mallory"] * 90),
        request(b"/admin", HTML, b"X: " + b"y" * 200_000),
        request(b"/admin", HTML, b"X" * 100_000 + b": y"),
    ):
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""


# The CSRF guard's headers, at our own pages


def test_G2_a_form_that_another_site_sends_is_refused_whoever_the_other_headers_say_sent_it(site: Site) -> None:
    visitor = Visitor(site)
    action, fields = visitor.form(visitor.arrive(), "/start")
    before = len(site.emulator.calls)
    for said in (
        [b"Sec-Fetch-Site: cross-site"],
        [b"Sec-Fetch-Site: same-site"],
        [b"Origin: https://evil.example"],
        [b"Origin: null"],
        [b"Origin: http://site.example.evil.example"],
        [b"Sec-Fetch-Site: cross-site", b"X-Forwarded-Host: site.example", b"Origin: http://site.example"],
        [b"Origin: https://evil.example", b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example", b"X-Host: evil.example"],
    ):
        assert site.ask(action, *said, cookies=visitor.cookies, fields=fields).status == 403, said
    assert site.ask(action, cookies=visitor.cookies, fields={**fields, "csrf": "x"}).status == 403
    assert len(site.emulator.calls) == before
    # The very same form, sent by our own page, is taken.
    answer = site.ask(action, b"Sec-Fetch-Site: same-origin", b"Origin: http://site.example", cookies=visitor.cookies, fields={**fields, "channel": "app"})
    assert answer.status == 303
    assert "/second-factor/code" in answer.header("Location")


# The provider's callback


def _callback(*headers: bytes, body: bytes = b"{}") -> bytes:
    return request(b"/second-factor/callback/authy", b"Content-Type: application/json", *headers, method=b"POST", body=body)


UUID = "550e8400-e29b-41d4-a716-446655440000"
SAID = {
    "callback_action": "approval_request_status",
    "uuid": UUID,
    "status": "approved",
    "approval_request": {"transaction": {"uuid": UUID, "status": "approved"}},
}


def _statuses(probe: Probe) -> list[int]:
    return [answer.status for answer in probe.answers if answer.passed_us]


def test_A6_no_callback_without_the_signature_is_taken_for_one_and_none_is_a_500(site: Site) -> None:
    nonce = str(int(time.time()))
    body = json.dumps(SAID).encode()
    good = signing.signature(API_KEY, nonce, "POST", CALLBACK, SAID).encode()
    plain = [b"X-Authy-Signature: " + good, b"X-Authy-Signature-Nonce: " + nonce.encode()]
    genuine = site.probe(_callback(*plain, body=body))
    assert _statuses(genuine) == [200]
    forged = b"A" * 43 + b"="
    wrong = []
    signatures = (
        b"",
        b"\xff",
        forged,
        good[:-1],
        good[:-4],
        good.swapcase(),
        good + good,
        good + b", " + forged,
        b"%2B" + good,
        b"\x00",
        b"A" * 6000,
        "é".encode(),
    )
    numbers = (b"", b"\xff", b"0", b"9" * 5000, b"-1", b"1e9", "१२".encode(), nonce.encode() + b".0", nonce.encode() + b", " + nonce.encode())
    for signature, number in [*((each, nonce.encode()) for each in signatures), *((good, each) for each in numbers)]:
        for name in (b"X-Authy-Signature", b"X_Authy_Signature"):
            data = _callback(name + b": " + signature, b"X-Authy-Signature-Nonce: " + number, body=body)
            probe = site.probe(data)
            wrong.append((data, [*probe.faults(), *(["it was taken"] if 200 in _statuses(probe) else [])]))
    for odd in (
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 20_000,
        b"{" * 20_000,
        b'{"a":' * 5000,
        body[:-1],
        body.replace(b"approved", b"denied"),
        body + b" " * 70_000,
        b'{"uuid":"x","uuid":"y"}',
        b"1" * 5000,
    ):
        data = _callback(*plain, body=odd)
        probe = site.probe(data)
        wrong.append((data, [*probe.faults(), *(["it was taken"] if 200 in _statuses(probe) else [])]))
    for method in (b"GET", b"PUT", b"HEAD", b"OPTIONS", b"DELETE"):
        data = request(b"/second-factor/callback/authy?uuid=x", *plain, method=method)
        probe = site.probe(data)
        wrong.append((data, [*probe.faults(), *(["it was taken"] if 200 in _statuses(probe) else [])]))
    assert told(wrong) == ""


def test_a_refused_callback_says_nothing_of_whom_it_may_be_about(site: Site) -> None:
    probes = [site.probe(_callback(b"X-Authy-Signature: x", body=json.dumps({**SAID, "uuid": uuid}).encode())) for uuid in (UUID, "x", "")]
    assert {(probe.answers[0].status, probe.answers[0].body) for probe in probes} == {(403, b"")}
