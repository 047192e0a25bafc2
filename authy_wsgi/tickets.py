"""Everything that we sign: keys, signed values, the pass, cookies. The only door to itsdangerous.

A key is derived from the site's secret for each purpose and instance, so that a value minted for one purpose is noise for every other:

    derive(secret, label) = HKDF-SHA256(secret, salt="authy_wsgi", info="authy_wsgi/1/<instance>/<label>")

Tokens have many spellings (base64 padding, last character), so nothing is ever remembered by a token's text; claims use the ids inside a verified value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadData, Signer, URLSafeSerializer
from itsdangerous.signer import SigningAlgorithm
from webob.cookies import make_cookie

from authy_wsgi.contracts import Environ, Login, Proof

LABELS = ("pass", "attempt", "next", "csrf", "holder", "seal", "remembered", "invite", "transaction")

LEEWAY = 30
TOKEN_LIMIT = 512
CANDIDATES = 8
_LONG_TOKEN_LIMIT = 4096
# The compact form of itsdangerous: an optional "." (compressed), the payload, one ".", a SHA-256 signature.
_SHAPE = re.compile(r"\.?[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{43}")


def derive(secret: str, instance: str, label: str) -> bytes:
    """32 bytes of key for one purpose of one instance."""
    info = f"authy_wsgi/1/{instance}/{label}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=b"authy_wsgi", info=info).derive(secret.encode())


def new_id() -> str:
    """128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


def digest(*parts: str) -> bytes:
    """SHA-256 over length-prefixed parts: no two lists of texts are alike, whatever separators they hold."""
    return hashlib.sha256(_length_prefixed(parts)).digest()


def _length_prefixed(parts: Iterable[str]) -> bytes:
    return b"".join(len(data).to_bytes(4, "big") + data for data in (part.encode("utf-8", "surrogatepass") for part in parts))


def short(data: bytes, length: int = 16) -> str:
    """The first `length` bytes as URL-safe text without padding."""
    return urlsafe_b64encode(data[:length]).rstrip(b"=").decode()


class Pass(NamedTuple):
    """What our cookie says: proofs of one holder, newest first. `holder` stands for user and login session, `epoch` for what revokes it."""

    id: str
    holder: str
    epoch: str
    proofs: tuple[Proof, ...]

    def payload(self) -> list[Any]:
        return [1, self.id, self.holder, self.epoch, [list(proof) for proof in self.proofs]]


def read_pass(payload: Any) -> Pass | None:
    """A signed payload as a pass, None where its shape is another one."""
    # By hand: this is most of what a pass costs that a worker has not seen before, beside the signature itself.
    if type(payload) is not list or len(payload) != 5:
        return None
    version, pass_id, holder, epoch, pairs = payload
    if version != 1 or type(pass_id) is not str or type(holder) is not str or type(epoch) is not str or type(pairs) is not list:
        return None
    proofs = [Proof(*pair) for pair in pairs if type(pair) is list and len(pair) == 2 and type(pair[0]) is str and type(pair[1]) is int]
    return Pass(pass_id, holder, epoch, tuple(proofs)) if len(proofs) == len(pairs) and 1 <= len(proofs) <= 3 else None


class Tickets:
    """The signer of one SecondFactor. `secrets[0]` signs; all of them are accepted, so that keys can be rotated without logging anybody out."""

    def __init__(self, secrets: Sequence[str], instance: str) -> None:
        self._signers = {label: _Serializer([derive(secret, instance, label) for secret in secrets], label) for label in LABELS}
        self._holder_keys = [derive(secret, instance, "holder") for secret in secrets]
        self._seal_keys = [derive(secret, instance, "seal") for secret in secrets]
        self._seal = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in self._seal_keys])
        # Whether a text is signed by these keys, and what it says, never changes; ages, holder and epoch are judged outside, at each request.
        self._known_pass = lru_cache(maxsize=4096)(self._verified_pass)
        self.holders = lru_cache(maxsize=4096)(self._holders)

    def __repr__(self) -> str:
        return "Tickets()"

    def sign(self, label: str, payload: Any) -> str:
        """The payload (JSON) as URL-safe text, signed for one purpose."""
        return str(self._signers[label].dumps(payload))

    def read(self, label: str, token: str, limit: int = TOKEN_LIMIT) -> Any:
        """What a token of this purpose says; None where it is not one of ours, of another purpose, cut, too long or of an unknown key."""
        # SECURITY: shape and length first, so that a flood of junk costs no HMAC.
        if len(token) > limit or _SHAPE.fullmatch(token) is None:
            return None
        try:
            return self._signers[label].loads(token)
        except (BadData, ValueError, RecursionError):
            return None

    def read_long(self, label: str, token: str) -> Any:
        """`read` for values that travel in URLs and may hold a whole path."""
        return self.read(label, token, _LONG_TOKEN_LIMIT)

    def read_pass(self, token: str) -> Pass | None:
        """The pass that a cookie's value holds, None where it is not one of ours."""
        try:
            return self._known_pass(token)
        except LookupError:
            return None

    def _verified_pass(self, token: str) -> Pass:
        found = read_pass(self.read("pass", token))
        if found is None:
            # SECURITY: raised, because a memo that kept junk could be flushed by junk.
            raise LookupError
        return found

    def holder(self, login: Login) -> str:
        """What stands for user and login session in everything that we sign now."""
        return self.holders(login)[0]

    def _holders(self, login: Login) -> tuple[str, ...]:
        who = _length_prefixed(login)
        return tuple(short(hmac.digest(key, who, "sha256")) for key in self._holder_keys)

    def seal(self, data: bytes) -> bytes:
        """Encrypted and authenticated, for a ledger that is not ours to trust."""
        return self._seal.encrypt(data)

    def unseal(self, sealed: bytes) -> bytes | None:
        """What was sealed by any accepted key; None for anything else."""
        try:
            return self._seal.decrypt(sealed)
        except InvalidToken:
            return None

    def _seal_of(self, login: Login, attempt_id: str) -> MultiFernet:
        owned = zip(self._seal_keys, self.holders(login), strict=True)
        keys = [hmac.digest(key, _length_prefixed(("kept", attempt_id, holder)), "sha256") for key, holder in owned]
        return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])

    def seal_for(self, login: Login, attempt_id: str, data: bytes) -> bytes:
        """Sealed so that it opens for this attempt of this login only."""
        return self._seal_of(login, attempt_id).encrypt(data)

    def unseal_for(self, login: Login, attempt_id: str, sealed: bytes) -> bytes | None:
        """What was sealed for this attempt of this login by any accepted key; None for anything else."""
        try:
            return self._seal_of(login, attempt_id).decrypt(sealed)
        except InvalidToken:
            return None


class _HMACSHA256(SigningAlgorithm):
    """HMAC with SHA-256 in one call: the standard library's `hmac.new`, which itsdangerous takes, costs three times as much."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")


class _Serializer(URLSafeSerializer):
    """itsdangerous' untimed URL-safe serializer (all times are ours, inside the payload), with one signer made once instead of at each call."""

    def __init__(self, keys: Sequence[bytes], label: str) -> None:
        # itsdangerous takes the oldest key first and signs with the last; the order of ours is the other way round.
        # The keys are HKDF's, one for each label, so there is nothing left for a signer's own derivation to do.
        super().__init__(list(reversed(keys)), salt=label.encode(), signer_kwargs={"algorithm": _HMACSHA256(), "key_derivation": "none"})
        self._made = super().make_signer()

    def make_signer(self, salt: str | bytes | None = None) -> Signer:
        return self._made

    def load_payload(self, payload: bytes, *args: Any, **kwargs: Any) -> Any:
        """The content of a payload whose signature is good: what itsdangerous does, in one step where nothing is compressed."""
        if payload[:1] == b".":
            return super().load_payload(payload, *args, **kwargs)
        return json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)).decode())

    def iter_unsigners(self, salt: str | bytes | None = None) -> Iterator[Signer]:
        yield self._made


def cookie_values(environ: Environ, name: str) -> Iterator[str]:
    """Every value that the browser sent under exactly this name, at most eight, in order.

    By hand: the standard library's parser loses our cookie behind someone else's JSON, and libraries disagree on which of two duplicates counts.
    """
    raw = environ.get("HTTP_COOKIE", "")
    start, found = -1, 0
    mark = name + "="
    while found < CANDIDATES:
        start = raw.find(mark, start + 1)
        if start < 0:
            return
        # SECURITY: a longer name that ends in ours ("x__Host-second_factor"), and our name inside another value, are other cookies; they do not count.
        at = start - 1
        while at >= 0 and raw[at] in " \t":
            at -= 1
        if at >= 0 and raw[at] != ";":
            continue
        found += 1
        end = raw.find(";", start)
        yield raw[start + len(mark) : end if end >= 0 else len(raw)].strip(' \t"')


def first_cookie_value(environ: Environ, mark: str) -> str:
    """The first value under a name (`mark` is the name and "="), for looking it up where only values that were verified are kept."""
    raw: str = environ.get("HTTP_COOKIE", "")
    start = raw.find(mark)
    if start < 0 or (start and raw[start - 1] != ";" and raw[start - 2 : start] != "; "):
        return ""
    end = raw.find(";", start)
    return raw[start + len(mark) : end] if end >= 0 else raw[start + len(mark) :]


def set_cookie(name: str, value: str, *, secure: bool, max_age: int | None = None) -> tuple[str, str]:
    """A Set-Cookie header for our own origin: HttpOnly, SameSite=Lax, Path=/, Secure behind TLS."""
    cookie = make_cookie(name, value, path="/", secure=secure, httponly=True, samesite="Lax")
    # By hand: WebOb would add an Expires too, reckoned by datetime.utcnow(), which warns since Python 3.12.
    return ("Set-Cookie", cookie if max_age is None else f"{cookie}; Max-Age={max_age}")


def delete_cookie(name: str, *, secure: bool) -> tuple[str, str]:
    """The Set-Cookie header that takes it back."""
    return ("Set-Cookie", make_cookie(name, None, path="/", secure=secure, httponly=True, samesite="Lax"))
