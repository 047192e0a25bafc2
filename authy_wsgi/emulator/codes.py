"""The arithmetic of codes: pure functions, and the one source of chance."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid

APP_DIGITS = 7
AUTHENTICATOR_STEP = 30


class Dice:
    """Everything that is drawn: codes, ids, keys. With a `seed` the same draws come in the same order, without one they cannot be foretold."""

    def __init__(self, seed: int | str | bytes | None = None) -> None:
        if seed is None:
            seed = secrets.token_bytes(32)
        self._key = hashlib.sha256(seed if isinstance(seed, bytes) else str(seed).encode()).digest()
        self._drawn = 0

    def drawn(self) -> tuple[bytes, int]:
        """Where it stands: for `go_on`."""
        return self._key, self._drawn

    def go_on(self, key: bytes, drawn: int) -> None:
        """Draw from there on."""
        self._key, self._drawn = key, drawn

    def key(self, length: int = 32) -> bytes:
        """`length` bytes, at most 32."""
        self._drawn += 1
        return hmac.digest(self._key, self._drawn.to_bytes(8, "big"), "sha256")[:length]

    def digits(self, length: int) -> str:
        """A code of `length` digits, leading zeros kept."""
        return str(int.from_bytes(self.key(), "big") % 10**length).zfill(length)

    def hex(self, length: int) -> str:
        """`length` hexadecimal digits, at most 64."""
        return self.key().hex()[:length]

    def uuid(self) -> str:
        """A version 4 UUID."""
        return str(uuid.UUID(bytes=self.key(16), version=4))


def one_time_code(key: bytes, counter: int, *, digits: int, digest: str) -> str:
    """The HOTP value of a counter (RFC 4226, section 5.3), with any hash.

    >>> one_time_code(b"12345678901234567890", 0, digits=6, digest="sha1")
    '755224'
    """
    mac = hmac.digest(key, counter.to_bytes(8, "big"), digest)
    offset = mac[-1] & 15
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def app_code(key: bytes, counter: int) -> str:
    """The code that the Authy app shows in one step of its clock."""
    return one_time_code(key, counter, digits=APP_DIGITS, digest="sha256")


def authenticator_code(key: bytes, counter: int) -> str:
    """The code that a generic authenticator shows (RFC 6238 with its usual settings: SHA-1, 6 digits, 30 seconds)."""
    return one_time_code(key, counter, digits=6, digest="sha1")


def base32(key: bytes) -> str:
    """A key as people type it into an authenticator."""
    return base64.b32encode(key).decode("ascii").rstrip("=")
