"""The shapes that everything hangs on: the page a plug-in author reads.

A **user store** keeps people's factors, a **ledger** keeps what may be forgotten (attempts, limits), a **client** speaks to one provider or is one itself.
Each is a Protocol: no base class, any object with these methods will do. Times are integer Unix seconds, `ttl` and `window` are seconds, ids are opaque
strings. A client is never asked for the time: `Context.at` is the one clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

Environ = dict[str, Any]


class Outcome(Enum):
    """How an answer was judged. Bare members are always true in an `if`: ask the `Verdict`, not its outcome."""

    APPROVED = "approved"
    PENDING = "pending"
    WRONG = "wrong"
    DENIED = "denied"
    EXPIRED = "expired"
    THROTTLED = "throttled"


class Strength(IntEnum):
    """What a rule may demand. A proof stores its channel only; `CHANNEL_STRENGTH` says how strong that is today."""

    REMEMBERED = 10
    EMAIL = 20
    PHONE = 30
    APPROVE = 35  # a bare "approve"
    CODE = 40  # something was typed that the phone showed
    PHISHING_RESISTANT = 50


CHANNEL_STRENGTH: Mapping[str, Strength] = {
    "email": Strength.EMAIL,
    "sms": Strength.PHONE,
    "call": Strength.PHONE,
    "push": Strength.APPROVE,
    "app": Strength.CODE,
}
"""How strong a proof by each channel counts today."""


class Login(NamedTuple):
    """Who passed the first factor, and in which login: `session` differs for every login, "" where the site cannot tell."""

    user_id: str
    session: str = ""

    def __repr__(self) -> str:
        # SECURITY: the session may be a key to the site.
        return f"Login({self.user_id!r}{', ...' if self.session else ''})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a request must show. `max_age` is in seconds, None for the site's lifetime; `if_enrolled` asks only those who have a factor."""

    max_age: int | None = None
    strength: Strength = Strength.REMEMBERED
    if_enrolled: bool = False

    def __post_init__(self) -> None:
        if self.max_age is not None and self.max_age < 0:
            raise ValueError(f"max_age={self.max_age} can never be met: give whole seconds.")


class NotNeeded(Enum):
    """The other answer of a policy: this request goes through without a second factor."""

    NOT_NEEDED = "no second factor here"


NOT_NEEDED = NotNeeded.NOT_NEEDED

Policy = Callable[[Environ, Login], Need | NotNeeded]
Identity = Callable[[Environ], Login | str | None]


class Proof(NamedTuple):
    """One success: by which channel, when."""

    channel: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What an app may know: `proven(environ)`, written on every path that the gate lets through. `user_id` is None for anonymous requests.

    `enforced` is False where `enforce=False` let a request through that would have been asked.
    """

    user_id: str | None = None
    proofs: tuple[Proof, ...] = ()
    enforced: bool = True


# A key with a dot: WSGI's validators take every other one for a CGI variable, which must be a str (PEP 3333).
PROVEN_KEY = "authy_wsgi.proven"


def proven(environ: Environ) -> Proven:
    """Who is signed in with which proofs, as the gate that let this request through saw it. `KeyError` where no gate is in front."""
    found: Proven = environ[PROVEN_KEY]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the site already knows of a person; fills forms and greets, proves nothing.

    `phone` in any spelling: with + and the calling code, or with the ISO 3166 code of its `country`.
    """

    name: str = ""
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
    country: str = ""
    locale: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One thing a person holds. `data` and `secret` are its client's. No bundled client keeps a secret yet; sealing them comes with the first.

    `label` is for the person: a masked number, a name they gave. `used` is written along with another save only, or when older than a day.
    """

    id: str
    client: str
    label: str
    added: int
    added_by: Literal["enrolment", "factor", "recovery", "administrator"] = "enrolment"
    used: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """All that is kept of one person, as one document. `extra` holds the members that this version does not know; they survive a save."""

    id: str
    factors: tuple[Factor, ...] = ()
    generation: str = ""  # random, compared, never counted
    ended: Mapping[str, int] = field(default_factory=dict)  # pass ids that logged out -> until when to remember them
    closed: frozenset[str] = frozenset()  # kinds of way that guessing has closed: "code"; never refuses a live pass
    disabled: bool = False  # by an administrator: refuses everything
    enrolment: str = ""  # overrides the site's mode: "invited" after an administrator's reset
    invitations: tuple[str, ...] = ()  # ids still good
    prefers: str = ""  # the channel chosen last
    version: int = 0  # what save() compares, random; 0 = not stored yet
    extra: Mapping[str, Any] = field(default_factory=dict)

    def factor(self, factor_id: str) -> Factor | None:
        """The factor with this id, None where the user has none."""
        return next((factor for factor in self.factors if factor.id == factor_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One line of the choose page. `kind` says which of our pages serves it: type a code, wait, or run a script.

    `hint` is for the person ("+351 ••• ••• 70"); `unlikely` puts the line under "I have the app now"; `digits` is the usual length of a code.
    """

    client: str
    channel: str
    kind: Literal["code", "wait", "script"]
    strength: Strength
    factor: str = ""
    hint: str = ""
    digits: int = 6
    unlikely: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a client may tell the person or its provider about this request; `at` is the one clock."""

    at: int
    site: str
    attempt: str = ""
    ends: int = 0  # when the attempt ends; a challenge never outlives it
    user_name: str = ""
    browser: str = ""  # a family from a fixed list, never the raw header
    network: str = ""
    locale: str = ""
    message: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    insist: bool = False  # send although the person has the app


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What `start` left behind; kept in the ledger, so JSON. `shown` may reach the browser, `hidden` never does nor comes from it.

    `way` is what it became (a text message that was not needed becomes an `app` challenge). `bound` says that the provider accepts its code for this
    attempt only. `learnt` is merged into the factor's data when there is an occasion; losing it must not matter.
    """

    id: str
    way: Way
    ends: int
    bound: bool = False
    shown: Mapping[str, Any] = field(default_factory=dict)
    hidden: Mapping[str, Any] = field(default_factory=dict, repr=False)
    learnt: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an answer was judged: true for APPROVED alone, so that a forgotten comparison cannot let a wrong code in.

    `channel` is what the evidence says, never what the browser chose. `reason` is a word for our pages ("used", "malformed"), `evidence` the provider's own
    words (for Authy: message, error_code, token). `factor` is the factor as it must be stored for this answer to count (local verifiers).
    """

    outcome: Outcome
    factor: Factor | None = None
    channel: str = ""
    again_at: int | None = None
    reason: str = ""
    evidence: Mapping[str, str] = field(default_factory=dict)
    learnt: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `limit` tries in any `window` seconds for one subject under one rule."""

    rule: str
    subject: str
    limit: int
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """True when spent. `left` are the tries that remain, in the order of the budgets; `refused` is the budget that said no, `again_at` when it ends."""

    ok: bool
    receipt: str = ""
    left: tuple[int, ...] = ()
    refused: Budget | None = None
    again_at: int | None = None

    def __bool__(self) -> bool:
        return self.ok


class UserStore(Protocol):
    """Durable. With `get` alone the clients whose state lives at a provider work; such a store must give each user a generation.

    `get` raises `AmbiguousUser` where another stored id has the same folded form (NFKC, casefold, stripped). A store in which `John` and `john` are two
    people says so by an attribute `case_sensitive_ids = True`; limits are then counted apart, too.
    """

    def get(self, user_id: str) -> User | None:
        """The stored user, None where there is none."""
        ...


@runtime_checkable
class WritableUserStore(UserStore, Protocol):
    """`save` is one atomic step: `Conflict` unless the stored version is `user.version` (0 = insert only); the answer carries the new version.

    A version is never used twice for an id, else a stale save could bring a deleted user back. `delete` leaves a tombstone: no factors, `invited`, a new
    generation and version; `erase` removes that too (for a person who asks to be forgotten), and nothing calls it but the site.
    """

    def save(self, user: User) -> User:
        """Store this user in the place of the version that they were read as; the answer is what is stored now."""
        ...

    def delete(self, user_id: str) -> None:
        """Take away all but a tombstone."""
        ...

    def erase(self, user_id: str) -> None:
        """Take away that too."""
        ...

    def ids(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        """At most `limit` ids that come after `after`, in order; those of tombstones too."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """Shared by all workers, forgotten by itself, each call atomic. `now` is the one clock; native expiry only sweeps. Values are sealed by the backend.

    `spend` is all or nothing and returns a receipt; `give_back` is idempotent and returns that try to those windows only. `claim` stores once and returns
    what is stored, mine or the earlier one; `pop` gives the value to one caller and None to all others. `Unavailable("ledger")` when it cannot answer.
    """

    def spend(self, budgets: Sequence[Budget], *, now: int) -> Allowance:
        """Count one try against every budget, or, where one of them is full, against none."""
        ...

    def give_back(self, receipt: str) -> None:
        """Take back what was counted under this receipt."""
        ...

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        """Store a value where there is none; the answer is what is stored now."""
        ...

    def put(self, key: str, value: bytes, ttl: int, *, now: int) -> None:
        """Store a value, whatever was there."""
        ...

    def get(self, key: str, *, now: int) -> bytes | None:
        """What is stored and has not ended, None otherwise."""
        ...

    def pop(self, key: str, *, now: int) -> bytes | None:
        """The same, and take it away."""
        ...


@runtime_checkable
class ReadsMany(Protocol):
    """A ledger that answers several `get` in one round trip, in their order. Waiting pages ask often, so it is worth having over a network."""

    def get_many(self, keys: Sequence[str], *, now: int) -> Sequence[bytes | None]:
        """What `get` would answer for each key, in their order."""
        ...


class Client(Protocol):
    """One kind of second factor. `ways` and `reference` use no network.

    `start` and `check` raise `Unavailable` or `Misconfigured` for a broken world, `Refused` for input that the provider will not take. The answer of a person
    comes as `{"code": ...}`, 6 to 10 ASCII digits.
    `reference` names whose tries are counted together at the provider (two users may share an Authy ID); "" where there is no such thing.
    `unbound_validity` is how long (seconds) a code that is not bound to an attempt stays good at the provider.
    """

    name: str
    unbound_validity: int

    def ways(self, user: User) -> Sequence[Way]:
        """Every way that this user's factors of this client allow, open or not: the backend leaves out what is not."""
        ...

    def reference(self, factor: Factor) -> str:
        """Whose tries are counted together with this factor's."""
        ...

    def start(self, user: User, way: Way, context: Context) -> Challenge:
        """Send a code, ask for an approval, or get ready for a code from an app."""
        ...

    def check(self, user: User, challenge: Challenge, answer: Mapping[str, str], context: Context) -> Verdict:
        """Judge what the person typed. A wrong code is a verdict."""
        ...


@runtime_checkable
class Polls(Protocol):
    """A client whose answer comes from elsewhere (a push): asked at most once a second per challenge."""

    def poll(self, user: User, challenge: Challenge, context: Context) -> Verdict:
        """What the person has answered so far; PENDING for nothing yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What a person asks to enrol, read and judged but known to nobody yet. `address` is what messages go to ("" where none do): limits count by it."""

    address: str = field(repr=False)
    label: str
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)


@runtime_checkable
class Enrols(Protocol):
    """A client that can add a factor. The candidate is proved by `start` and `check` like any other factor, then saved.

    `read` judges the fields locally (`Refused` with the field's name); `enrol` may tell the provider, but sends nothing to the person;
    `proved` asks, once and best-effort, what is worth knowing of a factor just proved, to be merged into its data.
    """

    def read(self, fields: Mapping[str, str], profile: Profile) -> Candidate:
        """What the form asks to enrol."""
        ...

    def enrol(self, user: User, candidate: Candidate, context: Context) -> Factor:
        """The factor that this candidate will be once it is proved."""
        ...

    def proved(self, user: User, factor: Factor, context: Context) -> Mapping[str, Any]:
        """What is worth knowing of a factor that has just been proved."""
        ...


@runtime_checkable
class Hears(Protocol):
    """A client whose provider calls back, at `callback_url` ("" where it does not): the address as the provider has it, which ends in
    `<prefix>/callback/<name>`, where our pages are.

    `hear` answers which references (`Challenge.hidden["uuid"]`) to ask about now, None for what is not genuine. A callback is a hint: only `poll` approves.
    `headers` have their usual names.
    """

    callback_url: str

    def hear(self, method: str, query: str, headers: Mapping[str, str], body: bytes, *, now: int) -> Sequence[str] | None:
        """What a callback is about; None for one that is not genuine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, with nothing secret in it. Emitted after the step is durable; a callable that raises is logged and changes nothing.

    `kind` is an open set; today: enrolled, challenged (passed the first factor and met the wall; once in ten minutes per login and worker), sent, ignored (no
    message was needed), approved, wrong, denied, expired, closed, opened, revoked, removed, disabled, enabled, not_enforced, identity_unreadable (nobody's).
    """

    kind: str
    at: int
    user_id: str
    channel: str = ""
    factor: str = ""
    network: str = ""
    reason: str = ""
