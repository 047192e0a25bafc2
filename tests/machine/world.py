"""The system under test: workers around one store and ledger, a provider with phones, browsers, one clock, and a record of everything that crosses a border.

The gate, the bundled store and ledger, the Authy client and the emulator are the real ones. Between them stand recorders of the plug-in interfaces, which
also are where requests hand over to each other, where workers die, and where what they call fails.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from werkzeug.test import run_wsgi_app

from authy_wsgi import AuthyClient, Event, Login, MemoryLedger, MemoryStore, Need, Profile, Proven, SecondFactor, Strength, Unavailable, by_path, proven
from authy_wsgi.contracts import Allowance, Budget, Factor, User
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.signing import signature
from authy_wsgi.errors import SecondFactorError
from tests.machine.turns import Killed, Turns
from tests.support import API_KEY, START, session_for

SITE = "https://site.example"
PREFIX = "/second-factor"
PASS, ATTEMPT = "__Host-second_factor", "__Host-second_factor_attempt"
INSTANCE = "second_factor"
CALLBACK = f"{SITE}{PREFIX}/callback/authy"
LEEWAY = 30
RECHECK = 60
LIFETIME = 12 * 3600
SECRETS = tuple(f"machine-secret-{name}-machine-secret-{name}" for name in "abcdefgh")
PHONES = {"alice": "+14085555270", "bob": "+14085555271", "carol": "+14085555272", "dave": "+14085555270"}  # dave has the use of alice's phone
PEOPLE = tuple(PHONES)

# What the site asks for, by path. The oracle reads it by itself.
RULES = {
    "/pay": Need(max_age=60),
    "/admin": Need(strength=Strength.CODE),
    "/vault": Need(max_age=120, strength=Strength.APPROVE),
    "/soft": Need(if_enrolled=True),
}
EXEMPT = ("/static",)
LOGOUT = "/site-logout"
VIEWS = {"/view/fresh": Need(max_age=90), "/view/code": Need(strength=Strength.CODE), "/view/any": Need()}  # `require` inside the app
FACTORS = "/factors"  # the app's own page to change one's factors, by the backend
FORGET = "/forget"  # the app's own logout, which calls `forget`


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What kind of world it is."""

    enrolment: str = "open"
    callbacks: bool = False
    burns: bool = True  # whether the provider takes each code once
    tight: bool = False  # small limits, so that the long windows are met
    skew: bool = False  # the workers' clocks differ
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Mishap:
    """What goes wrong at one call of a request. `late`: after the call has done its work."""

    kind: str  # killed, raised, broken, stalled, lied
    late: bool = False
    seconds: int = 0


@dataclass(slots=True)
class Asked:
    """One call that reached the provider, and what it said."""

    seen: Seen
    order: int
    at: int
    kind: str
    authy_id: int = 0
    token: str = ""
    action: str = ""
    uuid: str = ""
    force: bool = False
    answer: Any = None
    status: int = 0
    delivered: bool = False
    honest: bool = True  # False where a fault put words into the provider's mouth


@dataclass(slots=True)
class Reading:
    """What a worker read of a user."""

    user_id: str
    order: int
    at: int  # by that worker's clock, before the read
    user: User | None


@dataclass(slots=True)
class Write:
    """One change of the ledger. `kind` is the kind of record, `key` its whole key."""

    op: str
    kind: str
    key: str
    order: int
    at: int
    mine: bool = True
    receipt: str = ""
    budgets: tuple[Budget, ...] = ()


@dataclass(slots=True)
class Entry:
    """One call of the app: it has let somebody in."""

    path: str
    method: str
    told: Proven
    order: int
    body: bytes = b""
    need: Need | None = None  # what a view has required, and got
    worker: int = 0


@dataclass(slots=True)
class Saved:
    """One change of a user's record."""

    seen: Seen
    order: int
    at: int
    user_id: str
    before: User | None
    after: User | None


@dataclass(slots=True)
class Version:
    """How a user stood from `order` on."""

    order: int
    at: int
    user: User | None
    stamp: str


@dataclass(slots=True)
class Seen:
    """One request, and everything that became of it."""

    number: int
    what: str
    worker: Worker | None = None
    login: Any = None
    method: str = "GET"
    path: str = ""
    query: str = ""
    cookies: str = ""
    fields: Mapping[str, str] | None = None
    body: bytes = b""
    environ: dict[str, Any] = field(default_factory=dict)
    policy: str = ""
    plan: dict[int | str, Mishap] = field(default_factory=dict)  # by the number of the call, or by its place (the first one there)
    alone: bool = True
    honest: bool = False  # sent by a page as it is, with the cookies that go with it
    began: int = 0
    began_at_worker: int = 0
    began_order: int = 0
    ended: int = 0
    ended_order: int = 0
    calls: int = 0
    dead: bool = False
    met: list[tuple[int, Mishap]] = field(default_factory=list)  # with its order
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    content: bytes = b""
    raised: BaseException | None = None
    entries: list[Entry] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    reads: list[Reading] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    saves: list[Saved] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    @property
    def location(self) -> str:
        return next((value for name, value in self.headers if name == "Location"), "")

    @property
    def set_cookies(self) -> list[tuple[str, str, bool]]:
        """(name, value, whether it is taken back)."""
        found = []
        for name, value in self.headers:
            if name == "Set-Cookie":
                pair, _, rest = value.partition(";")
                cookie, _, content = pair.partition("=")
                found.append((cookie, content, "Max-Age=0" in rest))
        return found

    @property
    def who(self) -> Login | None:
        """Who passed the first factor, where identity said so as it should."""
        said = Login(self.login) if isinstance(self.login, str) else self.login
        fits = isinstance(said, Login) and said.user_id.strip() and len(said.user_id) <= 255 and said.user_id.isprintable()
        return said if fits else None

    def __str__(self) -> str:
        who = tuple(self.login) if self.who else self.login
        return f"#{self.number} {self.what} {self.method} {self.path}{'?' if self.query else ''}{self.query[:60]} as {who!r}"


class Worker:
    """One process of the site: a SecondFactor with its own memory, secrets and clock."""

    def __init__(self, world: World, number: int, secrets: Sequence[str], skew: int) -> None:
        self.world = world
        self.number = number
        self.skew = skew
        self.start(secrets)

    def start(self, secrets: Sequence[str]) -> None:
        """Begin anew, with nothing remembered. The first secret signs."""
        self.secrets = tuple(secrets)
        self.readings: list[Reading] = []
        self.gate = self.world.make_gate(self)

    def clock(self) -> int:
        return self.world.now + self.skew

    def memories(self) -> list[dict[Any, Any]]:
        """What this process remembers of passes and users."""
        accounts: Any = self.gate._accounts
        return [self.gate._warm, self.gate._challenged, accounts.standings, accounts.asked]


class World:
    """Everything of one run."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.now = START
        self.order = 0
        self.turns = Turns()
        self.local = threading.local()
        self.requests: list[Seen] = []
        self.store, self.ledger = MemoryStore(), MemoryLedger()
        self.losses: list[int] = []  # when the ledger was lost, by order
        self.saves: list[Saved] = []
        self.asked: list[Asked] = []
        self.versions: dict[str, list[Version]] = {}
        self.changes: dict[Login, str] = {}  # the attempts of the app's own page
        self.stamps: dict[str, str] = {}
        self.phones_known: dict[str, str] = dict(PHONES)
        self.emulator = Emulator(API_KEY, clock=lambda: self.now, seed=1, sleep=lambda _seconds: None)
        self.client = AuthyClient(
            API_KEY, base_url="http://127.0.0.1:8999", session=session_for(self._provider), callback_url=CALLBACK if options.callbacks else ""
        )
        skews = (0, 7, -8) if options.skew else (0, 0, 0)
        first, second = SECRETS[:2]
        self.secrets = [(first, second), (first, second), (second, first)]
        self.retired_at = 0
        self.leaked: list[str] = []  # secrets that no worker accepts any more
        self.workers = [Worker(self, number, secrets, skews[number]) for number, secrets in enumerate(self.secrets)]

    # Settings

    def make_gate(self, worker: Worker) -> SecondFactor:
        options = self.options
        tight = {
            "code.attempt": ((3, 600),),
            "code.user": ((3, 900), (6, 86400), (10, 30 * 86400)),
            "code.reference": ((3, 900), (6, 86400), (10, 30 * 86400)),
            "code.new.user": ((3, 900),),
            "code.new.reference": ((4, 86400),),
            "send.user": ((4, 3600), (8, 86400)),
            "send.number": ((4, 3600), (8, 86400)),
        }
        return SecondFactor(
            App(self, worker),
            identity=self._identity,
            secret=worker.secrets[0],
            other_secrets=worker.secrets[1:],
            users=Store(self, worker),
            ledger=Ledger(self),
            single_process=True,
            clients=self.client,
            enrolment=options.enrolment,
            clock=worker.clock,
            events=self._event,
            policy=self._policy,
            exempt=EXEMPT,
            logout_url=LOGOUT,
            public_url=SITE,
            channels=("push", "app", "sms", "call"),
            countries={"US", "PT"},
            profile=lambda user_id: Profile(email=f"{user_id}@example.com", phone=self.phones_known.get(user_id, "")),
            password_stamp=lambda user_id: self.stamps.get(user_id, ""),
            limits=tight if options.tight else None,
            idle=1800 if options.idle else None,
            recheck=RECHECK,
            lifetime=LIFETIME,
        )

    def _identity(self, environ: dict[str, Any]) -> Any:
        who = environ.get("site.login")
        if isinstance(who, Exception):
            raise who
        return who

    _rules = by_path(RULES)

    def _policy(self, environ: dict[str, Any], login: Login) -> Any:
        odd = environ.get("site.policy")
        if odd == "raise":
            raise RuntimeError("the policy is broken")
        return {"forgot": None, "odd": True}[odd] if odd else self._rules(environ, login)

    def _event(self, event: Event) -> None:
        seen = self.seen
        if seen is not None and not seen.dead:
            seen.events.append(event)

    # Borders

    @property
    def seen(self) -> Seen | None:
        """The request that this thread is about."""
        return getattr(self.local, "seen", None)

    def tick(self) -> int:
        """The next number of the one order of everything."""
        self.order += 1
        return self.order

    def through(self, place: str, effect: Callable[[], Any], lie: Callable[[], Any] | None = None) -> Any:
        """A call across a border: here others get their turn, workers die and things break."""
        seen = self.seen
        if seen is None:
            return effect()
        if seen.dead:
            raise Killed
        self.turns.pause()
        mishap = seen.plan.get(seen.calls) or seen.plan.pop(place, None)
        seen.calls += 1
        if mishap is not None and mishap.kind == "lied" and lie is None:
            mishap = None
        if mishap is None:
            return effect()
        seen.met.append((self.tick(), mishap))
        if mishap.kind == "lied":
            assert lie is not None
            return lie()
        if not mishap.late:
            self._suffer(mishap, place)
            return effect()
        result = effect()
        self._suffer(mishap, place)
        return result

    def _suffer(self, mishap: Mishap, place: str) -> None:
        if mishap.kind == "stalled":
            self.now += mishap.seconds
            return
        if mishap.kind == "killed":
            seen = self.seen
            assert seen is not None
            seen.dead = True
            raise Killed
        if place.startswith("provider"):
            raise ConnectionResetError if mishap.kind == "raised" else TimeoutError
        raise Unavailable(place.partition(".")[0], "broken on purpose") if mishap.kind == "raised" else RuntimeError("broken on purpose")

    def saved(self, user_id: str, before: User | None, after: User | None) -> None:
        """Note a change of a user's record."""
        seen = self.seen
        assert seen is not None
        change = Saved(seen, self.tick(), self.now, user_id, before, after)
        self.versions.setdefault(user_id, []).append(Version(change.order, self.now, after, self.stamps.get(user_id, "")))
        self.saves.append(change)
        seen.saves.append(change)

    # The provider

    def _provider(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        call = self._call_of(environ)

        def work() -> tuple[int, list[tuple[str, str]], bytes]:
            call.order, call.at = self.tick(), self.now
            self.asked.append(call)
            if call.seen is not None:
                call.seen.asked.append(call)
            content, status, headers = run_wsgi_app(self.emulator, environ, buffered=True)
            body = b"".join(content)
            call.status, call.answer = int(status[:3]), json.loads(body)
            if not self.options.burns and call.kind == "verify" and call.status == 200:
                for user in self.emulator.state.users.values():
                    user.spent.clear()
            return call.status, list(headers), body

        def lie() -> tuple[int, list[tuple[str, str]], bytes]:
            call.honest = False
            call.order, call.at = self.tick(), self.now
            self.asked.append(call)
            call.seen.asked.append(call)
            status, said = _lie(call, call.seen.met[-1][1].seconds)
            body = (said if isinstance(said, str) else json.dumps(said)).encode()
            call.status = status
            return status, [("Content-Type", "application/json"), ("X-Authy-Simulator", "1")], body

        status, headers, body = self.through("provider", work, lie)
        call.delivered = True
        start_response(f"{status} Said", [(name, value) for name, value in headers if name.lower() != "content-length"])
        return [body]

    def _call_of(self, environ: dict[str, Any]) -> Asked:
        parts = environ["PATH_INFO"].strip("/").split("/")
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        call = Asked(self.seen, 0, 0, "?", action=query.get("action", ""), force=query.get("force") == "true")  # type: ignore[arg-type]
        match parts[2:]:
            case ["verify", token, authy_id]:
                call.kind, call.token, call.authy_id = "verify", token, int(authy_id)
            case [("sms" | "call") as kind, authy_id]:
                call.kind, call.authy_id = kind, int(authy_id)
            case ["users", "new"]:
                call.kind = "register"
            case ["users", authy_id, "status"]:
                call.kind, call.authy_id = "status", int(authy_id)
            case ["users", authy_id, "approval_requests"]:
                call.kind, call.authy_id = "push", int(authy_id)
            case ["approval_requests", uuid]:
                call.kind, call.uuid = "poll", uuid
        return call

    # Requests

    def request(
        self,
        worker: Worker,
        login: Any,
        method: str,
        target: str,
        *,
        cookies: str = "",
        fields: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        what: str = "",
        policy: str = "",
        plan: Mapping[int | str, Mishap] | None = None,
        honest: bool = False,
    ) -> Seen:
        """A request, made ready. `target` is path and query, as it stands in the request line."""
        path, _, query = target.partition("?")
        if body is None:
            body = b"" if fields is None else urlencode(fields).encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "site.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "93.184.216.34",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": "site.example",
            "HTTP_ACCEPT": "text/html,application/xhtml+xml",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if cookies:
            environ["HTTP_COOKIE"] = cookies
        if fields is not None:
            environ |= {"CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_ORIGIN": SITE}
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR") else f"HTTP_{key}"] = value
        if login is not None:
            environ["site.login"] = login
        if policy:
            environ["site.policy"] = policy
        seen = Seen(len(self.requests), what, worker, login, method, environ["PATH_INFO"], query, cookies, fields, body, environ)
        seen.plan, seen.honest, seen.policy = dict(plan or {}), honest, policy
        self.requests.append(seen)
        return seen

    def send(self, *jobs: Seen | Callable[[], None], order: Sequence[int] = ()) -> None:
        """Have them served: one, or several at once with their steps in that order. A job may be something else than a request."""
        for each in jobs:
            if isinstance(each, Seen):
                each.alone = len(jobs) == 1
        if len(jobs) == 1 and isinstance(jobs[0], Seen):
            self._serve(jobs[0])
        else:
            self.turns.run([(lambda seen=each: self._serve(seen)) if isinstance(each, Seen) else each for each in jobs], order)  # type: ignore[misc]

    def _serve(self, seen: Seen) -> None:
        worker = seen.worker
        assert worker is not None
        self.local.seen = seen
        seen.began, seen.began_at_worker, seen.began_order = self.now, worker.clock(), self.tick()

        def start_response(status: str, headers: list[tuple[str, str]], _info: object = None) -> None:
            seen.status, seen.headers = int(status[:3]), list(headers)

        try:
            seen.content = b"".join(worker.gate(seen.environ, start_response))
        except Killed:
            seen.status, seen.headers, seen.content = 0, [], b""
        except Exception as fault:  # noqa: BLE001 - the oracle says what it thinks of it
            seen.raised = fault
        finally:
            self.local.seen = None
            seen.ended, seen.ended_order = self.now, self.tick()

    def as_administrator(self, what: str, act: Callable[[SecondFactor], Any], worker: int = 0) -> tuple[Seen, Any]:
        """Something that the site does by itself, through some worker."""
        seen = Seen(len(self.requests), what, self.workers[worker], began=self.now, began_order=self.tick())
        self.requests.append(seen)
        self.local.seen = seen
        try:
            return seen, act(self.workers[worker].gate)
        finally:
            self.local.seen = None
            seen.ended, seen.ended_order = self.now, self.tick()

    # Twice the same

    def snapshot(self) -> Callable[[], None]:
        """A function that brings everything back to this moment, with what workers remember."""
        store, ledger = self.store, self.ledger
        memories = [(memory, dict(memory)) for worker in self.workers for memory in worker.memories()]
        readings = [len(worker.readings) for worker in self.workers]
        rows, values, receipts, calls = dict(store._rows), dict(ledger._values), dict(ledger._receipts), ledger._calls
        tries = {key: dict(each) for key, each in ledger._tries.items()}
        lengths = len(self.requests), len(self.saves), len(self.asked), self.now
        versions = {user_id: len(each) for user_id, each in self.versions.items()}

        def restore() -> None:
            if len(self.asked) > lengths[2]:
                raise RuntimeError("what the provider has done cannot be undone")
            store._rows, ledger._values, ledger._receipts, ledger._calls, ledger._tries = rows, values, receipts, calls, tries
            del self.requests[lengths[0] :], self.saves[lengths[1] :]
            self.now = lengths[3]
            for user_id, each in self.versions.items():
                del each[versions.get(user_id, 0) :]
            for memory, before in memories:
                memory.clear()
                memory.update(before)
            for worker, length in zip(self.workers, readings, strict=True):
                del worker.readings[length:]

        return restore

    # What happens around it

    def give_phone(self, user_id: str) -> None:
        """The site itself adds a phone to an account."""
        authy_id = self.client.api.register_user(f"{user_id}@example.com", PHONES[user_id][2:], 1)
        factor = Factor(id=f"phone of {user_id}", client="authy", label="a phone", added=self.now - 3600, data={"authy_id": authy_id})

        def act(gate: SecondFactor) -> None:
            users: Any = gate.settings.users
            stored = users.get(user_id) or User(id=user_id)
            users.save(replace(stored, factors=(factor,), generation=f"given {self.tick()}", enrolment=""))

        self.as_administrator("give a phone", act)

    def rotate(self, secrets: Sequence[Sequence[str]]) -> None:
        """Other secrets, and so other processes, for all workers."""
        accepted = {each for pair in secrets for each in pair}
        if any(each not in accepted for worker in self.workers for each in worker.secrets):
            self.retired_at = self.now
        self.leaked = [each for each in SECRETS if each not in accepted and (each in self.leaked or any(each in worker.secrets for worker in self.workers))]
        for worker, pair in zip(self.workers, secrets, strict=True):
            worker.start(pair)

    def lose_ledger(self) -> None:
        """All entries are gone. Not within seconds of an enrolment: a factor as young as the ledger counts as added since."""
        self.now += LEEWAY + 1
        self.ledger = MemoryLedger()
        self.losses.append(self.tick())

    def change_password(self, user_id: str) -> None:
        """The app's password stamp is another one from now on."""
        self.stamps[user_id] = f"stamp {self.tick()}"
        self.versions.setdefault(user_id, []).append(Version(self.order, self.now, self.store.get(user_id), self.stamps[user_id]))

    def callback(self, uuid: str, status: str, key: str = API_KEY) -> tuple[dict[str, str], bytes]:
        """Headers and body of a OneTouch callback, signed with that key."""
        tree = {
            "callback_action": "approval_request_status",
            "uuid": uuid,
            "status": status,
            "approval_request": {"transaction": {"uuid": uuid, "status": status}},
        }
        nonce = f"{self.now}.1"
        headers = {"X-Authy-Signature": signature(key, nonce, "POST", CALLBACK, tree), "X-Authy-Signature-Nonce": nonce, "Content-Type": "application/json"}
        return headers, json.dumps(tree).encode()


def _lie(call: Asked, which: int) -> tuple[int, Any]:
    """What no provider says, and nobody may take for an approval, or for anything at all."""
    lies: list[tuple[int, Any]] = [
        (503, {"message": "Service unavailable", "success": False}),
        (200, "<html>Welcome to the hotel</html>"),
        (200, {"success": True}),
        (200, {"success": True, "message": "Token is valid."}),
        (200, {"success": "true", "token": "is valid"}),
        (200, {"success": False, "token": "is valid", "message": "Token is valid."}),
        (401, {"success": "true", "token": "is valid", "message": "Token is valid."}),
        (200, []),
        (200, {"success": True, "approval_request": {"uuid": call.uuid or "1234-1234", "status": "approved", "_authy_id": 999_999}}),
        (
            200,
            {"success": True, "approval_request": {"uuid": "00000000-0000-4000-8000-000000000000", "status": "approved", "_authy_id": call.authy_id or 1635}},
        ),
        (302, ""),
        (200, {"success": True, "approval_request": {"uuid": call.uuid, "status": "APPROVED", "_authy_id": 1635}}),
    ]
    return lies[which % len(lies)]


class App:
    """The app inside. What it is asked, it notes: each call is an entry."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen = self._world.seen
        assert seen is not None
        path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        body = environ["wsgi.input"].read()
        seen.entries.append(Entry(path, environ["REQUEST_METHOD"], proven(environ), self._world.tick(), body))
        headers = [("Content-Type", "text/plain")]
        if path in VIEWS:
            need = VIEWS[path]
            wall = self._worker.gate.require(environ, environ.get("site.login"), max_age=need.max_age, strength=need.strength, form=body)
            if wall is not None:
                return wall(environ, start_response)
            seen.entries.append(Entry(path, environ["REQUEST_METHOD"], proven(environ), self._world.tick(), body, need))
        if path == FACTORS and seen.method == "POST" and isinstance(seen.login, Login):
            return self._change(environ, dict(parse_qsl(body.decode())), seen.login, start_response)
        if path == FORGET:
            try:
                headers += self._worker.gate.forget(environ)
            except (SecondFactorError, RuntimeError):
                start_response("500 Internal Server Error", headers)
                return [b"the app could not sign anybody out"]
        start_response("200 OK", headers)
        return [b"the app"]

    def _change(self, environ: dict[str, Any], asked: Mapping[str, str], login: Login, start_response: Any) -> Iterable[bytes]:
        gate, now = self._worker.gate, self._worker.clock()
        backend, context = gate.backend, gate.backend.context()
        headers: list[tuple[str, str]] = []
        try:
            if asked["do"] == "code":
                attempt = backend.find(self._world.changes.get(login, ""), login, now)
                answer = attempt and backend.check(attempt, {"code": asked["code"]}, context)
                headers += gate.remember(environ, answer.grant) if answer and answer.grant else []
            else:
                attempt = backend.begin(login, context=context, purpose="change", presented=gate._presented(environ, login, now))
                self._world.changes[login] = attempt.id
                if asked["do"] == "add":
                    backend.enrol(attempt, "authy", {"phone": asked["phone"], "country": "US"}, context)
                else:
                    headers += gate.remember(environ, backend.remove(attempt, asked["factor"], context))
        except (SecondFactorError, RuntimeError):
            start_response("409 Conflict", [])
            return [b"the app could not"]
        start_response("200 OK", headers)
        return [b"the app"]


class Store:
    """A user store that notes what is read and changed."""

    single_process = True

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def get(self, user_id: str) -> User | None:
        return self._world.through("store.get", lambda: self._get(user_id))

    def _get(self, user_id: str) -> User | None:
        at = self._worker.clock()
        user = self._world.store.get(user_id)
        reading = Reading(user_id, self._world.tick(), at, user)
        self._worker.readings.append(reading)
        seen = self._world.seen
        if seen is not None:
            seen.reads.append(reading)
        return user

    def save(self, user: User) -> User:
        return self._world.through("store.save", lambda: self._save(user))

    def _save(self, user: User) -> User:
        before = self._world.store.get(user.id)
        after = self._world.store.save(user)
        self._world.saved(user.id, before, after)
        return after

    def delete(self, user_id: str) -> None:
        before = self._world.store.get(user_id)
        self._world.store.delete(user_id)
        self._world.saved(user_id, before, self._world.store.get(user_id))

    def erase(self, user_id: str) -> None:
        before = self._world.store.get(user_id)
        self._world.store.erase(user_id)
        self._world.saved(user_id, before, None)

    def ids(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        return self._world.store.ids(after, limit)


def kind_of(key: str) -> str:
    """The kind of record that a key of the ledger is of."""
    return key.split(":")[1] if ":" in key else ""


class Ledger:
    """A ledger that notes what is written."""

    single_process = True

    def __init__(self, world: World) -> None:
        self._world = world

    def _note(self, op: str, key: str, **more: Any) -> None:
        seen = self._world.seen
        if seen is not None:
            seen.writes.append(Write(op, kind_of(key), key, self._world.tick(), self._world.now, **more))

    def spend(self, budgets: Sequence[Budget], *, now: int) -> Allowance:
        def work() -> Allowance:
            allowance = self._world.ledger.spend(budgets, now=now)
            self._note("spend", budgets[0].rule if budgets else "", mine=allowance.ok, receipt=allowance.receipt, budgets=tuple(budgets))
            return allowance

        return self._world.through("ledger.spend", work)

    def give_back(self, receipt: str) -> None:
        def work() -> None:
            self._world.ledger.give_back(receipt)
            self._note("give_back", "", receipt=receipt)

        self._world.through("ledger.give_back", work)

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        def work() -> bytes:
            stored = self._world.ledger.claim(key, value, ttl, now=now)
            self._note("claim", key, mine=stored == value)
            return stored

        return self._world.through(f"ledger.claim:{kind_of(key)}", work)

    def put(self, key: str, value: bytes, ttl: int, *, now: int) -> None:
        def work() -> None:
            self._world.ledger.put(key, value, ttl, now=now)
            self._note("put", key)

        self._world.through(f"ledger.put:{kind_of(key)}", work)

    def get(self, key: str, *, now: int) -> bytes | None:
        return self._world.through("ledger.get", lambda: self._world.ledger.get(key, now=now))

    def pop(self, key: str, *, now: int) -> bytes | None:
        def work() -> bytes | None:
            found = self._world.ledger.pop(key, now=now)
            self._note("pop", key, mine=found is not None)
            return found

        return self._world.through("ledger.pop", work)
