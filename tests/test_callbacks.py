"""OneTouch callbacks through the front door: genuine ones of every published shape hint, everything else is nothing, and nobody gets in by a callback."""

from __future__ import annotations

import base64
import copy
import hmac
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest
import requests
from webtest import TestApp, TestResponse

from authy_wsgi import AuthyClient, MemoryLedger, Misconfigured, SecondFactor, Unavailable
from authy_wsgi.emulator import Emulator, Rules, WSGIAdapter
from authy_wsgi.emulator.signing import escape, signature, to_query
from tests.support import API_KEY, PHONE, Browser, Clock, World, session_for, words

HERE = "/second-factor/callback/authy"
ORIGIN = "https://site.example"
OTHER_KEY = "fedcba9876543210fedcba9876543210"
STATUS = "approval_requests/status"
STRANGER = "00000000-1111-2222-3333-444444444444"


class Knock(NamedTuple):
    """A callback as it arrives: what a wire has of it."""

    method: str
    query: str
    body: bytes
    signature: str
    nonce: str

    def said(self) -> Any:
        return json.loads(self.body)


class Fragile(MemoryLedger):
    """A ledger that can be down."""

    down = False

    def get(self, key: str, *, now: int) -> bytes | None:
        if self.down:
            raise Unavailable("ledger", "down")
        return super().get(key, now=now)

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        if self.down:
            raise Unavailable("ledger", "down")
        return super().claim(key, value, ttl, now=now)


class CalledBack(World):
    """A world whose provider calls back, in this process; `held` keeps what it would have sent instead of delivering it."""

    def __init__(self, *, method: str = "POST", shape: str = "2019", below: str = "", held: bool = False, **settings: Any) -> None:
        clock = Clock()
        sender = requests.Session()
        sender.trust_env = False
        emulator = Emulator(API_KEY, clock=clock, seed=1, rules=Rules(callback_shape=shape), callback_session=sender)
        self.url = ORIGIN + below + HERE
        client = AuthyClient(
            API_KEY,
            base_url="http://127.0.0.1:8999",
            session=session_for(emulator),
            callback_url=self.url,
            callback_method=method,
            **settings.pop("client", {}),
        )
        super().__init__(below=below, clients=settings.pop("clients", [client]), clock=clock, **settings)
        self.clock, self.emulator, self.client = clock, emulator, client
        self.method, self.held, self.knocks = method, held, []
        sender.mount(ORIGIN, WSGIAdapter(self._post_office))
        emulator.callbacks.configure(self.url, method)
        assert [delivery.answer for delivery in emulator.callbacks.wait()] == ["200"]

    knocks: list[Knock]

    def _post_office(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Between the provider and the site: notes what comes by."""
        body = environ["wsgi.input"].read()
        signed = environ["HTTP_X_AUTHY_SIGNATURE"], environ["HTTP_X_AUTHY_SIGNATURE_NONCE"]
        self.knocks.append(Knock(environ["REQUEST_METHOD"], environ["QUERY_STRING"], body, *signed))
        answer = self.deliver(self.knocks[-1]) if not self.held else None
        start_response(answer.status if answer else "200 OK", [("Content-Type", "text/plain")])
        return [b""]

    def deliver(self, knock: Knock, path: str = "", **headers: str) -> TestResponse:
        """Knock at the site as the provider does: no login, no cookie."""
        site = TestApp(self.wsgi, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "site.example", "REMOTE_ADDR": "127.0.0.1"}, lint=True)
        head = {"X-Authy-Signature": knock.signature, "X-Authy-Signature-Nonce": knock.nonce, **headers}
        head = {name: value for name, value in head.items() if value != "-"}
        path = self.below + (path or HERE)
        if knock.method == "POST":
            return site.post(path, knock.body, headers=head, content_type="application/json", status="*")
        return site.request(path + (f"?{knock.query}" if knock.query else ""), base_url=ORIGIN, method=knock.method, headers=head, status="*")

    def sign(self, tree: Any, *, key: str = API_KEY, nonce: str = "", url: str = "", method: str = "") -> Knock:
        """What somebody sends who has the key: this tree, signed."""
        nonce, method = nonce or str(self.clock()), method or self.method
        signed = signature(key, nonce, method, url or self.url, tree)
        return Knock(method, to_query(tree) if method == "GET" else "", json.dumps(tree).encode() if method == "POST" else b"", signed, nonce)

    def sign_text(self, text: str, *, query: str | None = None, method: str = "GET") -> Knock:
        """The same for a parameter string."""
        nonce = str(self.clock())
        signed = base64.b64encode(hmac.digest(API_KEY.encode(), f"{nonce}|{method}|{self.url}|{text}".encode(), "sha256")).decode()
        return Knock(method, text if query is None else query, b"", signed, nonce)

    def settled(self) -> None:
        self.emulator.callbacks.wait()

    @property
    def asked(self) -> int:
        """How often the provider was asked what became of a request."""
        return len(self.calls(STATUS))


def waiting(world: World, user: str = "alice", number: str = PHONE) -> tuple[Browser, TestResponse]:
    """Somebody in front of "Approve on your phone", and that page."""
    browser = world.browser(user)
    browser.enrolled(number)
    world.phone(number).install_app()
    browser.sign_in(user)
    world.clock.advance(3600)
    page = browser.choose(browser.visit(), "push")
    assert "Approve on your phone" in words(page)
    return browser, page


def uuid_of(world: World, number: str = PHONE) -> str:
    return str(world.phone(number).approvals[-1]["uuid"])


def answer_of(uuid: str, status: str = "approved", **more: Any) -> dict[str, Any]:
    """The shortest tree that says what became of a request."""
    transaction = {"uuid": uuid, "status": status}
    return {"callback_action": "approval_request_status", "uuid": uuid, "status": status, "approval_request": {"transaction": transaction}, **more}


def leaves(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Where each leaf is: what holds it, and its name or place there."""
    for name, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        if isinstance(value, dict | list) and value:
            yield from leaves(value)
        else:
            yield tree, name


def refused(world: CalledBack, knock: Knock, *statuses: int, path: str = "", **headers: str) -> None:
    """It is refused, silently, costs no call, and is no hint to whoever waits."""
    calls = len(world.calls())
    answer = world.deliver(knock, path, **headers)
    assert answer.status_int in (statuses or (403,)), (answer.status, knock)
    assert "Set-Cookie" not in answer.headers
    assert len(world.calls()) == calls


def not_hinted(world: CalledBack, browser: Browser, page: TestResponse) -> None:
    before = world.asked
    assert browser.poll(page) == {"state": "pending"}
    assert world.asked == before


METHODS = pytest.mark.parametrize("method", ["POST", "GET"])


# What is genuine


@METHODS
@pytest.mark.parametrize(("shape", "below"), [("2016", ""), ("2017", ""), ("2019", ""), ("2023", ""), ("2019", "/app")])
def test_every_published_shape_is_genuine_and_the_next_poll_asks_once(shape: str, method: str, below: str) -> None:
    world = CalledBack(shape=shape, method=method, below=below)
    alice, page = waiting(world)
    not_hinted(world, alice, page)
    world.phone().approve()
    assert [(it.status, it.answer, it.method) for it in world.emulator.callbacks.wait()] == [("test", "200", method), ("approved", "200", method)]
    assert world.asked == 0
    assert alice.poll(page) == {"state": "approved", "url": below + "/members"}
    assert world.asked == 1
    assert alice.get().text.endswith("alice ['push']")


@pytest.mark.parametrize(("shape", "method"), [("2016", "POST"), ("2017", "GET"), ("2019", "POST"), ("2023", "GET")])
def test_a_denial_is_heard_at_once(shape: str, method: str) -> None:
    world = CalledBack(shape=shape, method=method)
    alice, page = waiting(world)
    world.phone().deny()
    world.settled()
    assert alice.poll(page)["state"] == "denied"
    assert world.asked == 1
    assert world.kinds()[-1] == "denied"
    assert alice.get().status_int == 303


@METHODS
def test_the_answer_to_a_genuine_one_is_200_and_empty_and_sets_no_cookie(method: str) -> None:
    world = CalledBack(method=method)
    for knock in (world.knocks[0], world.sign(answer_of(STRANGER))):
        answer = world.deliver(knock)
        assert (answer.status_int, answer.body) == (200, b"")
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
    assert world.calls() == []
    assert world.events == []


def test_the_consoles_test_callback_needs_no_user_of_ours() -> None:
    world = CalledBack()
    assert world.knocks[0].said()["authy_id"] == 1234
    assert [delivery.answer for delivery in world.emulator.callbacks.deliveries] == ["200"]


def test_nobody_need_be_signed_in_and_identity_is_not_asked() -> None:
    def identity(environ: dict[str, Any]) -> Any:
        if environ["PATH_INFO"] == HERE:
            raise RuntimeError("asked who that is")
        return environ.get("site.login")

    world = CalledBack(identity=identity)
    assert world.deliver(world.sign(answer_of(STRANGER))).status_int == 200


def test_details_of_any_language_and_two_logos_are_genuine() -> None:
    logos = [{"res": "default", "url": f"{ORIGIN}/a.png?x=1&y=2"}, {"res": "low", "url": f"{ORIGIN}/b (2).png"}]
    world = CalledBack(client={"logos": logos}, site_name="Ø & Söhne ~!'()* 日本", identity=lambda environ: environ.get("site.login"))
    alice, page = waiting(world, "a+b [c]%20=é")
    world.phone().approve()
    world.settled()
    said = world.knocks[-1].said()["approval_request"]
    assert len(said["logos"]) == 2
    assert said["transaction"]["details"]["User"] == "a+b [c]%20=é"
    assert alice.poll(page)["state"] == "approved"


def test_the_order_of_the_members_and_white_space_mean_nothing() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    tree = answer_of(uuid_of(world))
    knock = world.sign(tree)
    turned = json.dumps(dict(reversed(tree.items())), indent=4).encode() + b"\n"
    assert world.deliver(knock._replace(body=turned)).status_int == 200
    alice.poll(page)
    assert world.asked == 1


@pytest.mark.parametrize("off", [0, -300, 300])
def test_five_minutes_either_way_are_fresh(off: int) -> None:
    world = CalledBack()
    alice, page = waiting(world)
    assert world.deliver(world.sign(answer_of(uuid_of(world)), nonce=str(world.clock() + off))).status_int == 200
    alice.poll(page)
    assert world.asked == 1


def test_a_nonce_with_a_fraction_is_fresh_too() -> None:
    world = CalledBack()
    assert world.deliver(world.sign(answer_of(STRANGER), nonce=f"{world.clock()}.886085")).status_int == 200


# What is not


@METHODS
@pytest.mark.parametrize("shape", ["2019", "2023", "2016"])
def test_altered_in_any_leaf_it_is_refused(method: str, shape: str) -> None:
    world = CalledBack(shape=shape, method=method, held=True)
    alice, page = waiting(world)
    world.held = True
    world.phone().approve()
    world.settled()
    genuine = world.knocks[-1]
    if method == "GET":
        pairs = genuine.query.split("&")
        altered = [genuine._replace(query="&".join([*pairs[:at], pair + "x", *pairs[at + 1 :]])) for at, pair in enumerate(pairs)]
        altered += [genuine._replace(query="&".join(pairs[:at] + pairs[at + 1 :])) for at in range(len(pairs))]
        altered += [genuine._replace(query=genuine.query + "&x=1"), genuine._replace(query="&".join(reversed(pairs)))]
    else:
        altered = []
        for at in range(len(list(leaves(genuine.said())))):
            for change in (lambda value: f"{'' if value is None else value}x", lambda _value: {"x": "y"}):
                tree = copy.deepcopy(genuine.said())
                parent, name = list(leaves(tree))[at]
                parent[name] = change(parent[name])
                altered.append(genuine._replace(body=json.dumps(tree).encode()))
        for more in ({"x": 1}, {"approval_request": {}}, {"uuid": STRANGER}):
            altered.append(genuine._replace(body=json.dumps({**genuine.said(), **more}).encode()))
    assert len(altered) > 30
    for knock in altered:
        refused(world, knock)
    not_hinted(world, alice, page)
    assert world.deliver(genuine).status_int == 200
    assert alice.poll(page)["state"] == "approved"


def test_unsigned_or_signed_with_something_else_it_is_refused() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    tree = answer_of(uuid_of(world))
    good = world.sign(tree)
    refused(world, good, **{"X-Authy-Signature": "-"})
    refused(world, good, **{"X-Authy-Signature-Nonce": "-"})
    refused(world, good._replace(signature=""))
    refused(world, good._replace(nonce=""))
    refused(world, good._replace(nonce=str(world.clock() + 1)))
    refused(world, good._replace(nonce=good.nonce + ".0"))
    refused(world, world.sign(tree, key=OTHER_KEY))
    refused(world, world.sign(tree, url=world.url + "/"))
    refused(world, world.sign(tree, url="https://other.example" + HERE))
    refused(world, world.sign(tree, method="GET")._replace(method="POST", body=good.body))
    not_hinted(world, alice, page)


@pytest.mark.parametrize("off", [-301, 301, -86400, 86400, -(10**9)])
def test_stale_or_of_the_future_it_is_refused(off: int) -> None:
    world = CalledBack()
    alice, page = waiting(world)
    refused(world, world.sign(answer_of(uuid_of(world)), nonce=str(world.clock() + off)))
    not_hinted(world, alice, page)


@pytest.mark.parametrize(
    "nonce", ["{} ", " {}", "+{}", "{}.", "-{}", "0x{:x}", "{}e0", "{},0", "{}\x00", "०{}", "{0}{0}", "{}.1234567890", "1e9", "nan", "_{}"]
)
def test_a_nonce_that_is_no_time_is_refused(nonce: str) -> None:
    world = CalledBack()
    said = nonce.format(world.clock())
    knock = world.sign(answer_of(STRANGER), nonce=said)
    header = said.encode().decode("latin-1")
    if "\x00" in header:  # no server lets it through
        header = header.replace("\x00", "\x7f")
    refused(world, knock._replace(nonce=header))


def test_the_signature_has_one_spelling_of_base64() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    tree = answer_of(uuid_of(world))
    # Some second in which the signature has both of the characters that the URL-safe alphabet writes otherwise.
    nonces = (str(world.clock() + second) for second in range(-300, 300))
    good = next(knock for knock in (world.sign(tree, nonce=nonce) for nonce in nonces) if "+" in knock.signature and "/" in knock.signature)
    raw = base64.b64decode(good.signature)
    spellings = [
        good.signature.replace("+", "-").replace("/", "_"),
        good.signature.rstrip("="),
        good.signature + "=",
        good.signature + "A===",
        good.signature[:-1] + "\t=",
        good.signature[:10] + " " + good.signature[10:],
        good.signature.lower(),
        raw.hex(),
        base64.b32encode(raw).decode(),
        base64.b64encode(raw + b"\x00").decode(),
        base64.b64encode(raw[:-1]).decode(),
        base64.b64encode(raw[:16]).decode(),
        f'"{good.signature}"',
        f"sha256={good.signature}",
        f"{good.signature}, {good.signature}",
        "é" * 44,
        "A" * 43 + "=",
        "=" * 44,
        "A" * 100_000,
    ]
    for spelling in spellings:
        refused(world, good._replace(signature=spelling))
    not_hinted(world, alice, page)
    assert world.deliver(good).status_int == 200


def test_by_another_method_or_at_another_address_it_is_refused() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    tree = answer_of(uuid_of(world))
    good = world.sign(tree)
    refused(world, world.sign(tree, method="GET"))
    refused(world, world.sign(tree, method="GET")._replace(method="HEAD"))
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        refused(world, world.sign(tree, method="GET")._replace(method=method), 405)
    for name in ("Authy", "authy2", "authy%00", "authy%2F..", "%61uthy%20", "callback", "..", "."):
        refused(world, good, 403, 404, path=f"/second-factor/callback/{name}")
    for path in ("/second-factor/callback", "/second-factor/callback/", "/second-factor//callback/authy", "/second-factor/callback/authy/x", f"{HERE}/authy"):
        refused(world, good, 403, 404, path=path)
    not_hinted(world, alice, page)
    by_get = CalledBack(method="GET")
    refused(by_get, by_get.sign(tree, method="POST"))
    # The address is the path, not what a slash or a query makes of it.
    assert world.deliver(good, HERE + "?uuid=x&status=denied").status_int == 200


def test_a_name_that_is_there_twice_is_refused_at_any_depth() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    uuid = uuid_of(world)
    knock = world.sign(answer_of(uuid))
    text = knock.body.decode()
    doubled = [
        text.replace('"status": "approved"', '"status": "denied", "status": "approved"'),
        text.replace('"status": "approved"', '"status": "approved", "status": "approved"'),
        text.replace('"uuid"', f'"uuid": "{STRANGER}", "uuid"', 1),
        text.replace('{"transaction"', '{"transaction": {}, "transaction"'),
        text.replace('"callback_action"', '"signature": "", "signature": "", "callback_action"'),
        text.replace('"callback_action"', '"callback_act\\u0069on": "x", "callback_action"'),
    ]
    for body in doubled:
        assert body != text
        refused(world, knock._replace(body=body.encode()))
    not_hinted(world, alice, page)


def test_a_name_that_is_there_twice_in_a_query_is_refused() -> None:
    world = CalledBack(method="GET")
    alice, page = waiting(world)
    said = to_query(answer_of(uuid_of(world)))
    assert world.deliver(world.sign_text(said)).status_int == 200
    inner = escape("approval_request[transaction][status]")
    for text in (f"{said}&status=approved", f"status=denied&{said}", f"{inner}=denied&{said}", f"{said}&{inner}=approved"):
        refused(world, world.sign_text(text))
    alice.poll(page)
    assert world.asked == 1


def test_what_the_provider_does_not_say_is_refused_though_it_is_signed() -> None:
    """The signing key is the API key, which old clients put into URLs."""
    world = CalledBack()
    alice, page = waiting(world)
    uuid = uuid_of(world)
    good = answer_of(uuid)
    inner = good["approval_request"]["transaction"]

    def nested(**members: Any) -> dict[str, Any]:
        return {"approval_request": {"transaction": {**inner, **members}}}

    trees: list[Any] = [
        {**good, "status": "denied"},
        {**good, **nested(status="denied")},
        {**good, "uuid": STRANGER},
        {**good, **nested(uuid=STRANGER)},
        {**good, **nested(uuid=None)},
        {**good, **nested(uuid="")},
        {**good, **nested(uuid=[uuid])},
        {**good, **nested(uuid={"uuid": uuid})},
        {**good, "uuid": [uuid]},
        {**good, "uuid": uuid.upper()},
        {**good, "uuid": f" {uuid}"},
        {**good, "callback_action": "approval_request_created"},
        {**good, "callback_action": ""},
        {name: value for name, value in good.items() if name != "callback_action"},
        {name: value for name, value in good.items() if name != "status"},
        {name: value for name, value in good.items() if name != "uuid"},
        {name: value for name, value in good.items() if name != "approval_request"},
        {**good, "approval_request": None},
        {**good, "approval_request": []},
        {**good, "approval_request": {"transaction": [inner]}},
        *({**answer_of(uuid, status), "x": 1} for status in ("pending", "expired", "APPROVED", "Approved", "approved ", "true", "")),
        {**good, "status": True, **nested(status=True)},
        {**good, "status": None, **nested(status=None)},
        {**good, "status": 1, **nested(status=1)},
        {**answer_of("../../" + uuid)},
        {**answer_of("x" * 65)},
        {**answer_of("")},
        {},
    ]
    for tree in trees:
        refused(world, world.sign(tree))
    # Another outer uuid was there in 2016, and then the device went by a uuid as well.
    refused(world, world.sign({**good, "uuid": STRANGER, "device_uuid": 12345}))
    not_hinted(world, alice, page)
    assert world.deliver(world.sign({**good, "uuid": STRANGER, "device_uuid": STRANGER})).status_int == 200
    alice.poll(page)
    assert world.asked == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b'"x"', b"1", b"NaN", b"\xff\xfe{}", b"{}\x00", b"uuid=1&status=approved", b"<xml/>", b'{"a": NaN}', b'{"a": Infinity}']
    + [b"\xef\xbb\xbf{}", b'{"a": "\\ud800"}', b'{"\\ud800": 1}', b'{"a": 1e99999}', b'{"a": ' + b"9" * 60000 + b"}", b'{"": {"": [[[""]]]}}']
    + [b"[" * 60000, b'{"a":' * 10000, b'{"a":' * 500 + b"1" + b"}" * 500, b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", b'[{"a":1}]', b"{} {}", b"//"],
    ids=lambda body: body[:12].decode("latin-1").encode("unicode-escape").decode(),
)
def test_what_is_no_such_object_is_refused_without_a_fault(body: bytes) -> None:
    world = CalledBack()
    refused(world, world.sign(answer_of(STRANGER))._replace(body=body))
    refused(world, world.sign_text("", method="POST")._replace(body=body))


@pytest.mark.parametrize("depth", [13, 150])
def test_what_is_nested_deeply_is_refused_though_it_is_signed(depth: int) -> None:
    world = CalledBack()
    for wrapped in (lambda inner: {"a": inner}, lambda inner: [inner]):
        deep: Any = "x"
        for _ in range(depth):
            deep = wrapped(deep)
        refused(world, world.sign({**answer_of(STRANGER), "deep": deep}))


def test_64_kib_are_read_and_no_more() -> None:
    world = CalledBack()
    alice, page = waiting(world)

    def of_size(size: int) -> Knock:
        empty = len(json.dumps(answer_of(uuid_of(world), more="")))
        knock = world.sign(answer_of(uuid_of(world), more="x" * (size - empty)))
        assert len(knock.body) == size
        return knock

    refused(world, of_size(65537), 413)
    refused(world, of_size(3_000_000), 413)
    refused(world, of_size(700), 400, **{"Content-Length": "701"})
    refused(world, of_size(700), 403, **{"Content-Length": "699"})
    not_hinted(world, alice, page)
    assert world.deliver(of_size(65536)).status_int == 200


@pytest.mark.parametrize(
    "query", ["", "x", "=", "&&&", "a=%ff", "a=%zz&b", "uuid", "é=1", "a=1;b=2", "&".join(f"a{n}=1" for n in range(1001)), "a=" + "x" * 100_000]
)
def test_a_query_that_says_nothing_is_refused_without_a_fault(query: str) -> None:
    world = CalledBack(method="GET")
    query = query.encode().decode("latin-1")
    knock = world.sign(answer_of(STRANGER))
    for signed in (knock._replace(query=query), world.sign_text(query)):
        assert raw_get(world, signed).status_int == 403
    assert world.calls() == []


def raw_get(world: CalledBack, knock: Knock) -> TestResponse:
    """With the query as it stands, not as WebTest would write it."""
    site = TestApp(world.wsgi, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "site.example", "QUERY_STRING": knock.query}, lint=True)
    return site.get(world.below + HERE, headers={"X-Authy-Signature": knock.signature, "X-Authy-Signature-Nonce": knock.nonce}, status="*")


def test_without_a_callback_url_there_is_no_such_address() -> None:
    world = World()
    site = TestApp(world.wsgi, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "site.example"}, lint=True)
    knock = CalledBack().sign(answer_of(STRANGER))
    headers = {"X-Authy-Signature": knock.signature, "X-Authy-Signature-Nonce": knock.nonce}
    assert site.post(HERE, knock.body, headers=headers, status="*").status_int == 403


def test_each_client_hears_its_own_provider_only() -> None:
    clock = Clock()
    emulator = Emulator(OTHER_KEY, clock=clock)
    second = AuthyClient(
        OTHER_KEY, name="second", base_url="http://127.0.0.1:8998", session=session_for(emulator), callback_url=f"{ORIGIN}/second-factor/callback/second"
    )
    first = AuthyClient(API_KEY, base_url="http://127.0.0.1:8999", session=session_for(emulator), callback_url=ORIGIN + HERE)
    world = CalledBack(clients=[first, second])
    tree = answer_of(STRANGER)
    here = world.sign(tree)
    there = world.sign(tree, key=OTHER_KEY, url=second.callback_url)
    assert world.deliver(here).status_int == 200
    assert world.deliver(there, "/second-factor/callback/second").status_int == 200
    refused(world, there)
    refused(world, here, path="/second-factor/callback/second")
    refused(world, world.sign(tree, url=second.callback_url), path="/second-factor/callback/second")


# A hint and nothing more


@METHODS
@pytest.mark.parametrize("status", ["approved", "denied"])
def test_A6_a_forged_answer_that_is_signed_makes_us_ask_once_and_grants_and_denies_nothing(method: str, status: str) -> None:
    world = CalledBack(method=method)
    alice, page = waiting(world)
    assert world.deliver(world.sign(answer_of(uuid_of(world), status))).status_int == 200
    assert alice.poll(page) == {"state": "pending"}
    assert world.asked == 1
    assert alice.poll(page) == {"state": "pending"}
    assert world.asked == 1
    assert alice.get().status_int == 303
    assert world.kinds()[-1] == "sent"
    # And the person's own word still counts, by the net.
    (world.phone().deny if status == "approved" else world.phone().approve)()
    world.settled()
    world.clock.advance(10)
    assert alice.poll(page)["state"] == ("denied" if status == "approved" else "approved")
    assert (alice.get().status_int == 200) is (status == "denied")


@METHODS
def test_A6_a_replay_changes_nothing_and_costs_nothing(method: str) -> None:
    world = CalledBack(method=method)
    alice, page = waiting(world)
    world.phone().approve()
    world.settled()
    genuine = world.knocks[-1]
    assert world.deliver(genuine).status_int == 200
    assert alice.poll(page)["state"] == "approved"
    held, calls, events = alice.cookie(), len(world.calls()), len(world.events)
    for _ in range(5):
        assert world.deliver(genuine).status_int == 200
        assert alice.poll(page)["state"] == "approved"
    # In another sign-in it hints at nothing: it is about the request that it is about.
    alice.sign_in("alice")
    other = alice.choose(alice.visit(), "push")
    calls = len(world.calls())
    assert world.deliver(genuine).status_int == 200
    not_hinted(world, alice, other)
    assert len(world.calls()) == calls
    assert [event.kind for event in world.events[events:]] == ["challenged", "sent"]
    assert alice.cookie() == held
    assert alice.get().status_int == 303


def test_A6_replayed_hints_make_no_more_calls_than_one() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    for second in range(9):
        for _ in range(3):
            assert world.deliver(world.sign(answer_of(uuid_of(world)))).status_int == 200
            assert alice.poll(page) == {"state": "pending"}
        assert world.asked == 1, second
        world.clock.advance(1)


@METHODS
def test_A6_a_genuine_one_whose_word_the_provider_takes_back_is_not_believed(method: str) -> None:
    """The provider is asked, so what it says now is what counts."""
    world = CalledBack(method=method)
    alice, page = waiting(world)
    tree = answer_of(uuid_of(world))
    world.held = True
    world.phone().deny()
    world.settled()
    assert world.deliver(world.sign(tree)).status_int == 200
    assert alice.poll(page)["state"] == "denied"


def test_before_the_first_poll_it_waits_for_it() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    world.phone().approve()
    world.settled()
    world.clock.advance(100)
    assert world.asked == 0
    assert alice.poll(page)["state"] == "approved"
    assert world.asked == 1


@pytest.mark.parametrize("answer", ["approve", "deny"])
def test_after_the_answer_is_known_it_changes_nothing(answer: str) -> None:
    world = CalledBack(held=True)
    alice, page = waiting(world)
    world.held = True
    getattr(world.phone(), answer)()
    world.settled()
    world.clock.advance(10)
    state = alice.poll(page)["state"]
    calls, events = len(world.calls()), len(world.events)
    assert world.deliver(world.knocks[-1]).status_int == 200
    assert alice.poll(page)["state"] in (state, "ended", "denied")
    assert (len(world.calls()), len(world.events)) == (calls, events)
    assert alice.get().status_int == (200 if answer == "approve" else 303)


def test_for_a_request_that_nobody_made_it_hints_at_nothing() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    assert world.deliver(world.sign(answer_of(STRANGER))).status_int == 200
    not_hinted(world, alice, page)


def test_for_another_persons_request_it_hints_there_only() -> None:
    world = CalledBack()
    alice, alices = waiting(world)
    bob, bobs = waiting(world, "bob", "+14085555299")
    alices = alice.choose(alice.visit(), "push")
    not_hinted(world, bob, bobs)
    world.phone("+14085555299").approve()
    world.settled()
    before = world.asked
    assert alice.poll(alices)["state"] != "approved"
    between = world.asked
    assert bob.poll(bobs)["state"] == "approved"
    assert world.asked == between + 1
    assert between - before <= 1
    assert alice.get().status_int == 303
    assert bob.get().status_int == 200


def test_heard_by_one_worker_it_is_known_to_all() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    shared = {**world.settings, "ledger": world.gate.settings.ledger}
    neighbour = SecondFactor(world.app, **shared)
    here, world.wsgi = world.wsgi, neighbour
    world.phone().approve()
    world.settled()
    world.wsgi = here
    assert world.emulator.callbacks.deliveries[-1].answer == "200"
    assert alice.poll(page)["state"] == "approved"
    assert world.asked == 1


# What waiting costs


def wait_through(world: World, browser: Browser, page: TestResponse, seconds: int, tabs: int = 5) -> list[int]:
    """The calls of each second in which so many tabs ask."""
    calls = []
    for _ in range(seconds):
        before = len(world.calls(STATUS))
        for _ in range(tabs):
            assert browser.poll(page) == {"state": "pending"}
        calls.append(len(world.calls(STATUS)) - before)
        world.clock.advance(1)
    return calls


def test_waiting_costs_no_call_until_the_hint_and_then_exactly_one() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    assert sum(wait_through(world, alice, page, 9)) == 0
    world.phone().approve()
    world.settled()
    states = [alice.poll(page)["state"] for _ in range(10)]
    assert set(states) == {"approved"}
    assert world.asked == 1


def test_without_the_hint_the_net_asks_once_in_ten_seconds() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    calls = wait_through(world, alice, page, 60)
    assert sum(calls) == 5
    assert [second for second, count in enumerate(calls) if count] == [10, 20, 30, 40, 50]


def test_a_callback_that_is_lost_costs_ten_seconds_and_no_sign_in() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    world.held = True
    world.phone().approve()
    world.settled()
    assert sum(wait_through(world, alice, page, 10)) == 0
    assert alice.poll(page)["state"] == "approved"
    assert world.asked == 1


def test_an_expiry_sends_nothing_and_is_still_found_out() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    world.clock.advance(119)
    assert alice.poll(page)["state"] == "pending"
    world.clock.advance(10)
    assert alice.poll(page)["state"] == "expired"
    assert len(world.knocks) == 1


def test_without_callbacks_a_wait_costs_at_most_a_call_a_second_however_many_tabs() -> None:
    world = World()
    alice, page = waiting(world)
    # The page itself has asked when it was opened.
    assert [len(world.calls(STATUS)), *wait_through(world, alice, page, 20, tabs=10)] == [1, 0, *[1] * 19]


def test_pages_without_script_cost_no_more() -> None:
    world = CalledBack()
    alice, _page = waiting(world)
    for _ in range(9):
        for _ in range(3):
            assert "Waiting for your answer" in words(alice.get("/second-factor/push"))
        world.clock.advance(1)
    assert world.asked == 0
    world.phone().approve()
    world.settled()
    for _ in range(3):
        assert "Approved" in words(alice.get("/second-factor/push"))
    assert world.asked == 1
    assert alice.get("/members").status_int == 303


def test_two_people_who_wait_are_two_requests() -> None:
    world = CalledBack()
    alice, alices = waiting(world)
    bob, bobs = waiting(world, "bob", "+14085555299")
    alices = alice.choose(alice.visit(), "push")
    world.emulator.calls.clear()
    for number in (PHONE, "+14085555299"):
        world.phone(number).approve()
    world.settled()
    assert alice.poll(alices)["state"] == "approved"
    assert bob.poll(bobs)["state"] == "approved"
    assert world.asked == 2


# Faults


def test_a_ledger_that_is_down_answers_503_and_hears_the_next_one() -> None:
    ledger = Fragile()
    world = CalledBack(ledger=ledger)
    alice, page = waiting(world)
    knock = world.sign(answer_of(uuid_of(world)))
    ledger.down = True
    answer = world.deliver(knock)
    assert (answer.status_int, answer.body) == (503, b"")
    assert answer.headers["Retry-After"] == "10"
    # What is not signed is refused all the same.
    refused(world, knock._replace(signature="x"))
    ledger.down = False
    not_hinted(world, alice, page)
    assert world.deliver(knock).status_int == 200
    alice.poll(page)
    assert world.asked == 1


def test_a_provider_that_does_not_answer_after_the_hint_grants_nothing_and_is_asked_again() -> None:
    world = CalledBack()
    alice, page = waiting(world)
    world.emulator.add_fault(route=STATUS, kind="status", status=503, count=0)
    world.phone().approve()
    world.settled()
    assert alice.poll(page, status=503)["state"] == "unavailable"
    assert alice.get().status_int == 303
    world.emulator.clear_faults()
    world.clock.advance(10)
    assert alice.poll(page)["state"] == "approved"


@pytest.mark.parametrize(
    "url",
    [
        f"{ORIGIN}/callback",
        f"{ORIGIN}{HERE}2",
        f"{ORIGIN}/second-factor/callback/Authy",
        f"{ORIGIN}/second-factor/callback",
        f"{ORIGIN}{HERE}/x",
        f"{ORIGIN}/second-factor/callback/other",
        f"{ORIGIN}/x{HERE}/callback",
        f"{ORIGIN}{HERE}?a=1",
        f"http://site.example{HERE}",
        "site.example/second-factor/callback/authy",
        HERE,
    ],
)
def test_a_callback_url_that_does_not_lead_to_our_pages_is_a_fault_at_start(url: str) -> None:
    with pytest.raises(Misconfigured, match="callback_url"):
        World(client={"callback_url": url})


def test_the_callback_url_follows_prefix_and_name() -> None:
    World(prefix="/2fa", client={"callback_url": f"{ORIGIN}/deep/down/2fa/callback/authy"})
    World(client={"name": "phone", "callback_url": f"{ORIGIN}/second-factor/callback/phone"})
    for more in ({"prefix": "/2fa", "client": {"callback_url": ORIGIN + HERE}}, {"client": {"name": "phone", "callback_url": ORIGIN + HERE}}):
        with pytest.raises(Misconfigured, match="must end in"):
            World(**more)
    with pytest.raises(Misconfigured, match="callback_method"):
        World(client={"callback_url": ORIGIN + HERE, "callback_method": "PUT"})


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"!" * 30_000: [1] * 10_000}),
        json.dumps({"!" * 150: [1] * 20_000}),
        json.dumps({"a": {str(number): 1 for number in range(6_000)}}),
    ],
    ids=["a long name over many leaves", "many leaves", "many members"],
)
def test_what_would_be_long_work_before_the_signature_is_looked_at_is_refused(body: str) -> None:
    world = CalledBack()
    refused(world, world.sign({"status": "approved"})._replace(body=body.encode()), 403)
