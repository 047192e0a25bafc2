"""Passwords, kept as scrypt digests (RFC 7914) with a salt of their own each."""

from __future__ import annotations

import hashlib
import hmac
import secrets

_COST, _BLOCK, _LANES = 2**15, 8, 1
_MEMORY = 64 * 1024 * 1024


def hashed(password: str) -> str:
    """What to store for a password: "scrypt:<salt>:<digest>", both in hex."""
    salt = secrets.token_bytes(16)
    return f"scrypt:{salt.hex()}:{_digest(password, salt).hex()}"


def matches(password: str, stored: str) -> bool:
    """Whether this is the password that was stored."""
    _, salt, digest = stored.split(":")
    return hmac.compare_digest(_digest(password, bytes.fromhex(salt)).hex(), digest)


def matches_nobody(password: str) -> bool:
    """False, after as much work as for a real account."""
    # SECURITY: without this the answer's time tells which user names exist.
    _digest(password, bytes(16))
    return False


def stamp(stored: str) -> str:
    """A text that changes with the password, and says nothing about it."""
    return hashlib.sha256(stored.encode()).hexdigest()


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, maxmem=_MEMORY, dklen=32)
