"""Signed values, read and forged without the package: a second reading of section 3 of the protocol."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.machine.world import INSTANCE, SECRETS

LABELS = ("pass", "attempt", "csrf", "next", "invite")


class Mark(NamedTuple):
    """A signed value that is genuine: by which secret, for what, and what it says."""

    secret: str
    label: str
    payload: Any
    text: str  # the payload as it is written
    signature: bytes


@lru_cache(maxsize=256)
def derive(secret: str, label: str, instance: str = INSTANCE) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"authy_wsgi", info=f"authy_wsgi/1/{instance}/{label}".encode()).derive(secret.encode())


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(label: str, payload: Any, secret: str, instance: str = INSTANCE) -> str:
    """A value signed with a secret."""
    text = encoded(json.dumps(payload, separators=(",", ":")).encode())
    return f"{text}.{encoded(hmac.digest(derive(secret, label, instance), text.encode(), 'sha256'))}"


@lru_cache(maxsize=20_000)
def read(token: str) -> Mark | None:
    """The value, if any secret of this world has signed it for anything; its signature may be spelled in any way."""
    text, dot, written = token.strip('" \t').rpartition(".")
    if not dot or not written or not token.isascii():
        return None
    try:
        signature = decoded(written)
        data = zlib.decompress(decoded(text[1:])) if text.startswith(".") else decoded(text)
        payload = json.loads(data)
    except (ValueError, zlib.error):
        return None
    for secret in SECRETS:
        for label in LABELS:
            if hmac.compare_digest(hmac.digest(derive(secret, label), text.encode(), "sha256"), signature):
                return Mark(secret, label, payload, text, signature)
    return None


def _prefixed(parts: tuple[str, ...]) -> bytes:
    return b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)


@lru_cache(maxsize=1024)
def holder(secret: str, user_id: str, session: str) -> str:
    return encoded(hmac.digest(derive(secret, "holder"), _prefixed((user_id, session)), "sha256")[:16])


@lru_cache(maxsize=4096)
def epoch(generation: str, stamp: str) -> str:
    return encoded(hashlib.sha256(_prefixed((generation, stamp))).digest()[:8])


def cookies_of(header: str, name: str) -> list[str]:
    """Every value under a name, read as generously as anybody would."""
    found = []
    for pair in header.split(";"):
        key, equals, value = pair.partition("=")
        if equals and key.strip() == name:
            found.append(value.strip())
    return found
