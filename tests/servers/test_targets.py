"""What a request line may hold: under every server the app is not called without the factor, and no answer of ours is a 500."""

from __future__ import annotations

from random import Random

import pytest

from .wire import FORM, HTML, Probe, Site, is_exempt, request, told

# attacks.md E1, E4, E5, F1.
ODD = [
    b"", b" ", b"*", b"/", b"//", b"///", b"/%", b"/%z", b"/%zz", b"/%4", b"/%%", b"/%u0061", b"/\xff", b"/%ff", b"/\x00", b"/%00", b"/a%00b", b"/a b",
    b"/a\tb", b"/ /", b"/\x0b", b"/\x7f", b"/\x80", b"/\xc3\xa9", b"/%c3%a9", b"/\xed\xa0\x80", b"/%ed%a0%80", b"/%c0%ae", b"/%c0%af", b"/\\", b"\\",
    b"\\\\evil.example\\", b"/\\evil.example", b"//evil.example", b"//evil.example/", b"///evil.example/%2e%2e", b"/%2fevil.example", b"/%5cevil.example",
    b"/%09/evil.example", b"/\t/evil.example", b"/.", b"/..", b"/../..", b"/./admin", b"/%2e%2e/", b"/%252e%252e/", b"/;", b"/%3b", b"/;a=b/..",
    b"/%0d%0aX-Injected:%20y", b"/%0aX-Injected:%20y", b"/\rX-Injected: y", b"/\nX-Injected: y", b"/?%0d%0aX-Injected:%20y", b"/?a=\rb",
    b"/x%E5%98%8A%E5%98%8DX-Injected:y", b"http://127.0.0.1/", b"http://evil.example/admin", b"HTTP://EVIL.EXAMPLE/", b"http://", b"http:///",
    b"http:///admin", b"http:", b"http:admin", b"http://[::1", b"http://[::1]/", b"http://[::1]:99999/", b"http://a:b@evil.example:x/",
    b"https://evil.example//evil.example/", b"http://evil.example?x", b"http://evil.example#/x", b"http://\xff/", b"http://%00/", b"ftp://evil.example/",
    b"javascript:alert(1)", b"data:,x", b"file:///etc/passwd", b"evil.example:443", b"evil.example", b":80", b"@", b"admin", b"admin/", b"?", b"?x", b"#",
    b"#/health", b"/#/health", b"/admin#/health", b"/admin%23/health", b"/admin?#/health", b"/admin?x=/health", b"/admin;/health", b"/?\xff", b"/?%",
    b"/?%ff", b"/?\x00", b"/?next=//evil.example", b"/?a=1&a=2", b"/?" + b"&" * 3000, b"/?" + b"a=b&" * 1500, b"/" + b"a" * 2000, b"/" + b"a" * 5000,
    b"/" + b"a" * 20_000, b"/" + b"%41" * 1200, b"/" + b"%ff" * 1200, b"/" + b"a/" * 2500, b"/" + b"../" * 1200, b"/" + b"\xff" * 2500, b"/" + b"a" * 300_000,
    b"/?" + b"q" * 1600, b"/?" + b"q" * 7000, b"/?" + b"q" * 100_000,
]  # fmt: skip

OURS = [
    b"", b"/", b"//", b"/..", b"/../admin", b"/%2e%2e/admin", b"/.", b"/code", b"/CODE", b"/code/", b"/code;x", b"/code%00", b"/code%ff", b"/\xff", b"/%",
    b"/start", b"/poll", b"/push", b"/continue", b"/enrol", b"/logout", b"/kept", b"/kept?of=", b"/kept?of=%00", b"/kept?of=" + b"a" * 4000,
    b"/kept?of=%ed%a0%80", b"/static/", b"/static/style.css", b"/static//style.css", b"/static/../../admin", b"/static/%2e%2e/%2e%2e/admin",
    b"/static/..%2f..%2fadmin", b"/static/style.css%00", b"/static/%ff", b"/static/style.css/../../admin", b"/callback/", b"/callback/authy",
    b"/callback/%ff", b"/callback/..", b"/callback/authy/x", b"/callback/authy?\xff", b"/callback/" + b"a" * 4000, b"/?next=", b"/?next=%ff", b"/?next=%00",
    b"/?next=a.b", b"/?next=" + b"a" * 6000, b"/?next=" + b"a" * 20_000, b"/?a=1&a=2", b"/?\xff", b"/?%ff", b"/?invite=%f0%9f%98%80", b"/?" + b"&" * 500,
    b"/?" + b"a" * 9000, b"x", b"%2f", b"%", b"\\", b";/admin", b"#/admin", b"/#", b"?",
]  # fmt: skip


def _requests(target: bytes) -> list[bytes]:
    return [request(target, HTML), request(target, HTML, FORM, b"Origin: http://site.example", method=b"POST", body=b"code=1234567")]


def _faults(site: Site, data: bytes) -> tuple[bytes, list[str]]:
    return data, site.probe(data).faults()


def test_E5_no_odd_target_gets_to_the_app(site: Site) -> None:
    assert told(_faults(site, data) for target in ODD for data in _requests(target)) == ""


def test_E5_no_odd_target_near_our_own_pages_gets_to_the_app(site: Site) -> None:
    assert told(_faults(site, data) for rest in OURS for data in _requests(b"/second-factor" + rest)) == ""


LINES = [
    b"GET /admin\r\n\r\n",
    b"GET /admin HTTP/0.9\r\n\r\n",
    b"GET /admin HTTP/1.2\r\nHost: x\r\n\r\n",
    b"GET /admin HTTP/2.0\r\nHost: x\r\n\r\n",
    b"GET /admin HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /health /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET  /admin  HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET\t/admin\tHTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /admin http/1.1\r\nHost: x\r\n\r\n",
    b"GET /admin HTTP/1.1\nHost: x\n\n",
    b"GET /admin HTTP/1.1\rHost: x\r\r",
    b" GET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /admin HTTP/1.1\r\n\r\n",
    b"GET /admin HTTP/1.1\r\n Host: x\r\n\r\n",
    b"GET /admin HTTP/1.1\r\n: x\r\n\r\n",
    b"GET /admin HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /admin",
    b"\r\n",
    b"\x00",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"TRACE /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"\xff\xfe\xfd /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\x00T /admin HTTP/1.1\r\nHost: x\r\n\r\n",
    b"get /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"_METHOD /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"M" * 5000 + b" /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b" /admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\nGET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]


def test_E5_no_odd_request_line_gets_to_the_app(site: Site) -> None:
    assert told((data, site.probe(data, end=True).faults(answered=False)) for data in LINES) == ""


HOSTS = [
    b"", b"Host:", b"Host: a\r\nHost: b", b"Host: \xff", b"Host: evil.example/x", b"Host: //evil.example", b"Host: a b", b"Host: [::1",
    b"Host: site.example:99999", b"Host: " + b"a" * 5000,
]  # fmt: skip


def test_F3_no_odd_host_gets_to_the_app_or_into_an_address_of_ours(site: Site) -> None:
    wrong = []
    for host in HOSTS:
        for target in (b"/admin", b"/second-factor/", b"http://evil.example/admin"):
            for data in (request(target, HTML, host=host), request(target, HTML, FORM, b"Origin: //evil.example", method=b"POST", body=b"a=b", host=host)):
                probe = site.probe(data)
                wrong.append((data, probe.faults()))
                assert not any(b"//evil.example" in answer.body for answer in probe.answers if answer.passed_us)
    assert told(wrong) == ""


# With exemptions for /static and /health: attacks.md E1, E2, E6, E8.
AROUND = [
    b"/static/../admin", b"/static/./../admin", b"/static/..", b"/static/.", b"/static/./x", b"/static/x/../../admin", b"/static/%2e%2e/admin",
    b"/static/%2e./admin", b"/static/.%2e/admin", b"/static/%2E%2E%2Fadmin", b"/static/%252e%252e/admin", b"/static/%25252e%25252e/admin",
    b"/static/%2f..%2fadmin", b"/static/..%2fadmin", b"/static/..\\admin", b"/static/..%5cadmin", b"/static\\..\\admin", b"/static%5c..%5cadmin",
    b"/static/%5c../admin", b"/static\\", b"/static%5cx", b"/static//", b"/static//admin", b"//static/x", b"/static%2f%2fx", b"/static/x//../..",
    b"/static;/../admin", b"/static;x", b"/static/;x=/../admin", b"/static/..;/admin", b"/static/%3b", b"/static/x;y", b"/static/x%00", b"/static%00/",
    b"/static/\x00", b"/static%", b"/static/%zz", b"/static/%25", b"/static/%25%32%65", b"/staticadmin", b"/static-x", b"/static.x", b"/static%20",
    b"/static x", b"/STATIC/x", b"/Static/x", b"/%53tatic/x", b"/stati", b"/static/\xff", b"/static/%ff", b"/static/%c0%ae%c0%ae/admin",
    b"/static/%ef%bc%8e%ef%bc%8e/admin", b"/static/%e2%80%a5/admin", b"/static/\xe2\x80\xa5/admin", b"/%ef%bd%93tatic/x", b"/static/%c3%a9",
    b"/static/%u002e%u002e/admin", b"/admin#/static/x", b"/admin?/static/x", b"/admin?x=/static/x", b"/admin;/static/x", b"/admin;/../static/x",
    b"/admin%23/../static/x", b"/admin/%2e%2e/static/x", b"/admin/..%2fstatic/x", b"static/x", b"static", b"?/static/x", b"#/static/x", b"/#/static/x",
    b"http://h/admin?http://h/static/x", b"http://h/static/../admin", b"http://static/x", b"http:///admin/static", b"//h/static/x", b"/health/../admin",
    b"/healthz", b"/health%2f..%2fadmin", b"/health;a", b"/health.", b"/health%00", b"/HEALTH", b"/admin/static/x", b"/admin/health",
    b"/static/health/../../admin", b"/second-factor/../static/../admin", b"/\\static/x", b"/ /static/x", b"/static/.%0a./admin", b"/static/.%09./admin",
    b"/static/%0d../admin", b"/static/..%0b/admin", b"/static/..%20/admin", b"/static/%20../admin", b"/static/.%20./admin", b"/static/..%7f/admin",
    b"/static/.../admin", b"/static/%09//admin", b"/static/%20/admin", b"/static/x%1f/admin", b"/static%09/admin", b"/static/x%0a",
]  # fmt: skip
THERE = [b"/static", b"/static/", b"/static/x", b"/static/a/b.css", b"/static/x?../../admin", b"/health", b"/health/live", b"/%73tatic/x", b"/static/a%2eb"]


def test_E6_with_exempt_paths_no_path_around_them_gets_to_the_app(site: Site) -> None:
    site.set_mode("exempt")
    wrong = []
    for target in AROUND:
        for data in (request(target, HTML), request(target, method=b"OPTIONS", version=b" HTTP/1.0")):
            probe = site.probe(data)
            # A server that resolves such a path by itself hands over another one; if that is plainly exempt, it may be called.
            wrong.append((data, probe.faults(calls=is_exempt)))
    assert told(wrong) == ""


def test_E6_a_path_that_is_exempt_gets_to_the_app_and_proves_nothing(site: Site) -> None:
    site.set_mode("exempt")
    for target in THERE:
        probe = site.probe(request(target))
        assert probe.statuses == [200], target
        assert [(call["user"], call["proofs"], call["enforced"]) for call in probe.calls] == [("alice", [], True)], target


PIECES = [
    b"/", b"/", b"/", b"//", b"static", b"static", b"static", b"health", b"admin", b"..", b".", b"%2e", b"%2E%2e", b"%252e", b"%2f", b"%252f", b"%5c", b"\\",
    b";", b"%3b", b";a=b", b"%00", b"\x00", b"?", b"#", b"%23", b"%", b"%zz", b"%ff", b"\xff", b"\xc3\xa9", b"%ef%bc%8e", b"%ef%bc%8f", b" ", b"%20", b"\t",
    b"%09", b"%0a", b"STATIC", b"%73", b"x", b"http://h", b"h:80", b"@", b"*", b"~", b"&", b"=",
]  # fmt: skip


def _generated(seed: str, count: int) -> list[bytes]:
    random = Random(seed)
    return [b"/static"[: random.choice((0, 1, 7, 7, 7))] + b"".join(random.choices(PIECES, k=random.randint(1, 7))) for _ in range(count)]


def _look_around(site: Site, seed: str, count: int) -> None:
    site.set_mode("exempt")
    wrong = []
    called = 0
    for target in _generated(seed, count):
        data = request(target, HTML)
        probe = site.probe(data)
        called += len(probe.calls)
        wrong.append((data, probe.faults(calls=is_exempt)))
    assert told(wrong) == ""
    # Some of them are plainly exempt, so that this can be seen to tell the one from the other.
    assert 0 < called < count / 2


def test_E6_of_generated_paths_only_plainly_exempt_ones_get_to_the_app(site: Site) -> None:
    _look_around(site, "around", 250)


@pytest.mark.slow
def test_E6_of_thousands_of_generated_paths_only_plainly_exempt_ones_get_to_the_app(site: Site) -> None:
    _look_around(site, "far around", 2000)


SAID = [
    b"X-Forwarded-Uri", b"X-Forwarded-Path", b"X-Forwarded-Prefix", b"X-Original-URL", b"X-Original-Uri", b"X-Rewrite-URL", b"X-Request-Uri", b"Request-Uri",
    b"X-Script-Name", b"Script-Name", b"SCRIPT_NAME", b"Script_Name", b"PATH_INFO", b"Path-Info", b"X-Accel-Redirect", b"X-Sendfile", b"Content-Location",
    b"Referer", b"Destination", b"Base-Url",
]  # fmt: skip


SPLITS = [
    (b"/admin", b"/static/x"), (b"/admin", b"/static"), (b"/admin", b"/admin"), (b"/staticadmin", b"/static"), (b"/static/../admin", b"/static/"),
    (b"/static/admin", b"/static"), (b"/static/admin", b"/static/"), (b"/static/admin", b"/sta"), (b"/static/admin", b"/"), (b"/static", b"/static"),
    (b"/static/admin", b"/static/admin"), (b"/health/admin", b"/health"), (b"/static%2fadmin", b"/static"), (b"/static//admin", b"/static"),
    (b"/static/static/admin", b"/static/static"),
]  # fmt: skip


def test_E2_E8_no_header_makes_a_path_exempt_that_is_not(site: Site) -> None:
    site.set_mode("exempt")
    wrong = []
    for name in SAID:
        for target, value in SPLITS if b"cript" in name.lower() or b"Prefix" in name else SPLITS[:5]:
            data = request(target, HTML, name + b": " + value)
            wrong.append((data, site.probe(data).faults(calls=is_exempt)))
    forwarded = request(b"/admin", HTML, b"Forwarded: for=1.2.3.4;host=site.example;proto=https;path=/static/x")
    wrong.append((forwarded, site.probe(forwarded).faults()))
    assert told(wrong) == ""


AGENTS = [b"kube-probe/1.30", b"GoogleHC/1.0", b"ELB-HealthChecker/2.0", b"Consul Health Check", b"Mozilla/5.0 (compatible; Googlebot/2.1)", b"", b"\xff"]


def test_E3_no_user_agent_is_let_in(site: Site) -> None:
    wrong = []
    for agent in AGENTS:
        data = request(b"/admin", HTML, b"User-Agent: " + agent)
        wrong.append((data, site.probe(data).faults()))
    assert told(wrong) == ""


MOUNTED = [
    b"/mount", b"/mount/", b"/mount//", b"/mount/admin", b"/mount/static/../admin", b"/mount/static/%2e%2e/admin", b"/mount/static%2f..%2fadmin",
    b"/mount//static/x", b"/mount/staticadmin", b"/mount;/static/x", b"/mount/mount/static/x", b"/mount%2f", b"/mount%2fadmin", b"/mount/%2e/admin",
    b"/mount?x", b"/mount#/static/x", b"/mount/static;x", b"/mount/STATIC/x",
]  # fmt: skip


def test_E7_E8_a_mounted_app_is_behind_the_gate_with_every_split_of_the_path(site: Site) -> None:
    site.set_mode("mounted")
    wrong = []
    for target in MOUNTED:
        for split in (
            [],
            [b"SCRIPT_NAME: /mount"],
            [b"SCRIPT_NAME: /mount/static"],
            [b"Script-Name: /mount/static"],
            [b"X-Forwarded-Prefix: /mount/static"],
            [b"SCRIPT_NAME: /"],
        ):
            data = request(target, HTML, *split)
            wrong.append((data, site.probe(data).faults(calls=is_exempt)))
    assert told(wrong) == ""
    assert [call["proofs"] for call in site.probe(request(b"/mount/static/x")).calls] == [[]]


def _asked(probe: Probe) -> bool:
    return not probe.calls and [note["status"] for note in probe.gate] in ([303], [401])


METHODS = [b"HEAD", b"OPTIONS", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"PROPFIND", b"QUERY", b"FOO", b"BAR-BAZ"]


def test_E14_no_method_gets_to_the_app(site: Site) -> None:
    wrong = []
    for method in METHODS:
        for over in ([], [b"X-HTTP-Method-Override: GET"], [b"Access-Control-Request-Method: GET", b"Origin: https://evil.example"]):
            data = request(b"/admin?_method=OPTIONS", HTML, *over, method=method)
            probe = site.probe(data)
            wrong.append((data, probe.faults()))
            assert _asked(probe) or not probe.reached_gate
    assert told(wrong) == ""


def test_E18_an_upgrade_is_refused_with_401(site: Site) -> None:
    names = [
        b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
    ]  # fmt: skip
    for upgrade in (b"websocket", b"h2c", b"TLS/1.0", b"foo"):
        data = request(b"/admin", HTML, b"Upgrade: " + upgrade, *names)
        probe = site.probe(data, end=True)
        assert told([(data, probe.faults())]) == ""
        assert [note["status"] for note in probe.gate] in ([401], [])
