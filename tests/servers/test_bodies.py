"""Bodies that are cut off, too slow, counted wrongly or in broken chunks: the app is not called, no 500 is ours, and the server goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack

from .wire import FORM, HTML, Site, Visitor, request, told

FIELDS = b"csrf=x&code=1234567&channel=sms&client=authy"
OURS = b"Origin: http://site.example\r\nSec-Fetch-Site: same-origin"
# To our own page, to the callback, and to a page of the app behind the wall, which keeps forms.
TARGETS = [b"/second-factor/code", b"/second-factor/callback/authy", b"/admin"]


def head(target: bytes, *headers: bytes, method: bytes = b"POST", version: bytes = b"HTTP/1.1") -> bytes:
    """All of a request but its body and what the body's headers are."""
    return b"\r\n".join([method + b" " + target + b" " + version, b"Host: site.example", HTML, FORM, OURS, *headers, b"Connection: close", b"", b""])


def _assert_held(site: Site, requests: Iterable[bytes], *, end: bool = True) -> None:
    """None of these gets to the app or makes a 500 of ours; enough of them get as far as the gate, so that it is the gate that is tried."""
    wrong, reached = [], []
    for data in requests:
        probe = site.probe(data, end=end)
        wrong.append((data, probe.faults(answered=not end)))
        reached.append(probe.reached_gate)
    assert told(wrong) == ""
    assert sum(reached) > len(reached) / 6


LENGTHS = [
    b"Content-Length: 0", b"Content-Length:", b"Content-Length: -1", b"Content-Length: +44", b"Content-Length: 0x2c", b"Content-Length: 44.0",
    b"Content-Length: 4 4", b"Content-Length: 44, 44", b"Content-Length: 44,45", b"Content-Length: 1", b"Content-Length: 43", b"Content-Length: 65536",
    b"Content-Length: 65537", b"Content-Length: 99999999999", b"Content-Length: 9" + b"9" * 40, b"Content-Length: 1" + b"0" * 5000, b"Content-Length: \xb2",
    b"Content-Length: \xff", b"Content-Length: x", b"Content-Length: 44\r\nContent-Length: 44", b"Content-Length: 44\r\nContent-Length: 45",
    b"Content-Length: 44\r\nContent-Length: 0", b"Content_Length: 44", b"CONTENT_LENGTH: 44", b"Content-Length: 44\r\nContent_Length: 99999",
    b"Content_Length: 99999\r\nContent-Length: 44", b"Content_Length: -5", b"Content-Length : 44", b"Content-Length: 44\r\nX: y\r\nContent-Length:",
    b"Content-Length:\t44\t", b"Content-Length: 044", b"Content-Length: 1_0", "Content-Length: ٤".encode(), b"Content-Length: 44;x",
    b"Content-Length: 44\x00", b"HTTP_CONTENT_LENGTH: 44",
]  # fmt: skip


def test_no_odd_content_length_gets_to_the_app(site: Site) -> None:
    _assert_held(site, [head(target, length) + FIELDS for length in LENGTHS for target in TARGETS])


CODINGS = [
    b"Transfer-Encoding: chunked", b"transfer-encoding: Chunked", b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: x",
    b"Transfer-Encoding: chunked\r\nContent-Length: 44", b"Content-Length: 44\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"Transfer-Encoding: x\r\nContent-Length: 44", b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"Transfer_Encoding: chunked",
    b"Transfer-Encoding : chunked", b"Transfer-Encoding: \"chunked\"", b" Transfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding: chunked;a=b", b"Transfer-Encoding: \xff", b"X: y\nTransfer-Encoding: chunked", b"Transfer_Encoding: chunked\r\nContent-Length: 44",
    b"TE: chunked\r\nContent-Length: 44",
]  # fmt: skip
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(FIELDS), FIELDS)


def test_no_odd_transfer_coding_gets_to_the_app(site: Site) -> None:
    versions = (b"HTTP/1.1", b"HTTP/1.0")
    _assert_held(site, [head(target, coding, version=version) + WHOLE for coding in CODINGS for target in TARGETS for version in versions])


CHUNKS = [
    b"", b"2", b"2c", b"2c\r", b"2c\r\n", b"2c\r\ncsrf=x", b"2c\r\n" + FIELDS, b"2c\r\n" + FIELDS + b"\r", b"2c\r\n" + FIELDS + b"\r\n",
    b"2c\r\n" + FIELDS + b"\r\n0", b"2c\r\n" + FIELDS + b"\r\n0\r\n", b"2c\n" + FIELDS + b"\n0\n\n", b"2c" + FIELDS + b"0", b"zz\r\n" + FIELDS,
    b"-2c\r\n" + FIELDS, b"+2c\r\n" + FIELDS, b"0x2c\r\n" + FIELDS, b" 2c \r\n" + FIELDS + b"\r\n0\r\n\r\n", b"\r\n", b"\r\n\r\n", b"\x00", b"\xff\r\n",
    b"2c;a=b\r\n" + FIELDS + b"\r\n0\r\n\r\n", b"2c;" + b"a" * 20_000 + b"\r\n" + FIELDS + b"\r\n0\r\n\r\n", b"2c;\xff\r\n" + FIELDS + b"\r\n0\r\n\r\n",
    b"2c;a=\nb\r\n" + FIELDS + b"\r\n0\r\n\r\n", b"ffffffff\r\n" + FIELDS, b"ffffffffffffffff\r\n" + FIELDS, b"f" * 400 + b"\r\n" + FIELDS,
    b"8000000000000000\r\n" + FIELDS, b"0" * 5000 + b"2c\r\n" + FIELDS + b"\r\n0\r\n\r\n", b"1\r\nc\r\n" * 2000 + b"zz", b"1\r\nc\r\n" * 2000 + b"0\r\n\r\n",
    b"2b\r\n" + FIELDS + b"\r\n0\r\n\r\n", b"2d\r\n" + FIELDS + b"\r\n0\r\n\r\n", b"0\r\n\r\n", b"0\r\nCookie: a=b\r\n\r\n",
    b"0\r\nRemote-User: mallory\r\n\r\n", b"0\r\nX: " + b"y" * 70_000, b"0\r\n" + b"X: y\r\n" * 3000 + b"\r\n", b"0\r\nno colon\r\n\r\n",
    b"2_c\r\n" + FIELDS + b"\r\n0\r\n\r\n", "４\r\ncsrf\r\n0\r\n\r\n".encode(), b"11170\r\n" + b"a" * 70_000 + b"\r\n0\r\n\r\n",
]  # fmt: skip


def test_no_broken_chunk_gets_to_the_app(site: Site) -> None:
    _assert_held(site, [head(target, b"Transfer-Encoding: chunked") + chunks for chunks in CHUNKS for target in TARGETS])


def test_a_body_that_is_cut_off_anywhere_gets_nothing_to_the_app(site: Site) -> None:
    whole = head(b"/second-factor/code", b"Content-Length: %d" % len(FIELDS)) + FIELDS
    start = whole.index(b"\r\n\r\n") + 4
    wrong = []
    for cut in sorted({1, 5, 20, 40, start - 30, start - 4, start - 2, *range(start, len(whole), 8)}):
        for how in ({"end": True}, {"reset": True}):
            wrong.append((whole[:cut], site.probe(whole[:cut], **how).faults(answered=False)))
        other = whole[:cut].replace(b"/second-factor/code", b"/admin")
        wrong.append((other, site.probe(other, end=True).faults(answered=False)))
    assert told(wrong) == ""


def test_a_body_that_comes_byte_by_byte_is_read_whole(site: Site) -> None:
    visitor = Visitor(site)
    action, fields = visitor.form(visitor.arrive(), "/start")
    fields["channel"] = "app"
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items()).encode()
    lines = head(action.encode(), b"Cookie: " + cookie, b"Content-Length: %d" % len(body))
    probe = site.probe(lines, *(body[at : at + 1] for at in range(40)), body[40:], pause=0.002)
    assert probe.statuses == [303]
    assert "/second-factor/code" in probe.answers[0].header("Location")


KINDS = [
    b"Content-Type: multipart/form-data", b"Content-Type: multipart/form-data; boundary=" + b"x" * 3000, b"Content-Type: multipart/form-data; boundary=b",
    b"Content-Type: application/json", b"Content-Type: text/plain", b"Content-Type:", b"Content-Type: application/x-www-form-urlencoded; charset=utf-16",
    b"Content-Type: APPLICATION/X-WWW-FORM-URLENCODED", b"Content-Type: application/x-www-form-urlencoded, text/plain", b"Content-Type: \xff/\xff",
    b"Content_Type: text/plain",
]  # fmt: skip
BODIES = [
    b"", b"\x00", b"\xff" * 100, b"code=\xff", b"code=%ff", b"code=%ed%a0%80", b"code=%00", b"code=" + b"1" * 70_000, b"code=" + b"%31" * 20_000,
    b"&" * 60_000, b"=" * 60_000, b"a=b&" * 5000, b"code=1&code=2", b"code[]=1", b"csrf", b"--b\r\n\r\n--b--", b'{"code": "1"}',
    b"code=%E2%91%A0%E2%91%A1%E2%91%A2%E2%91%A3%E2%91%A4%E2%91%A5", b"code=%uFFFF", b"code=+", b"csrf=" + b"A" * 60 + b"." + b"B" * 43,
    b"next=" + b"A" * 5000, b"next=//evil.example&code=1", b";" * 1000,
]  # fmt: skip


def test_B21_no_odd_body_gets_to_the_app(site: Site) -> None:
    bodies = [request(target, HTML, FORM, OURS, method=b"POST", body=body) for body in BODIES for target in TARGETS]
    kinds = [request(target, HTML, kind, OURS, method=b"POST", body=FIELDS) for kind in KINDS for target in TARGETS]
    _assert_held(site, [*bodies, *kinds], end=False)


def test_a_body_where_none_belongs_gets_nothing_to_the_app(site: Site) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n"
    framed = [
        (b"Content-Length: %d" % len(smuggled), smuggled),
        (b"Content-Length: 70000", smuggled),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(smuggled), smuggled)),
        (b"Expect: 100-continue\r\nContent-Length: %d" % len(smuggled), smuggled),
    ]
    methods = (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT")
    _assert_held(site, [head(target, frame, method=method) + body for method in methods for target in TARGETS for frame, body in framed])


def test_requests_that_do_not_end_hold_no_more_than_their_own_threads(site: Site) -> None:
    for begun in (b"", b"GET /admin", head(b"/admin")[:-40], *(head(target, b"Content-Length: 1000") + b"csrf=" for target in TARGETS)):
        with ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
                connection.sendall(begun)
            # One thread of four is left, and whoever comes meanwhile is served by it.
            assert [site.probe_beside(request(b"/admin", HTML)) for _ in range(2)] == [[303]] * 2
        # They were given up, so their threads are free.
        site.assert_answers()
