"""What the backend keeps in the ledger: sealed records by name."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from authy_wsgi.contracts import Ledger, ReadsMany
from authy_wsgi.tickets import LEEWAY, Tickets, digest, short


class Claimed(NamedTuple):
    """What is stored under a key after a claim; `mine` when it is what this call brought."""

    value: Any
    mine: bool

    def __repr__(self) -> str:
        # SECURITY: a record holds logins, addresses and references; an error report shows the objects of a frame.
        return f"Claimed(mine={self.mine})"


class Found(NamedTuple):
    """What one reading of a key found: whether anything is there, and what it says, None where no accepted key opens it."""

    there: bool
    value: Any

    def __repr__(self) -> str:
        return f"Found(there={self.there})"


class Records:
    """JSON values in a ledger, encrypted, under keys that name the instance and hide the rest.

    What no accepted key opens (its key has been retired) reads as None: such an attempt is as dead as its cookie. A claim that meets one is not mine.
    Where being there is what counts, and forgetting would open something, ask `has`.
    """

    def __init__(self, ledger: Ledger, tickets: Tickets, instance: str) -> None:
        self._ledger = ledger
        self._get_many = ledger.get_many if isinstance(ledger, ReadsMany) else None
        self._tickets = tickets
        # What a sealed text says never changes, and a waiting page reads the same few each second.
        self._unseal = lru_cache(maxsize=2048)(tickets.unseal)
        self._instance = instance

    def _key(self, kind: str, parts: tuple[str, ...]) -> str:
        return f"{self._instance}:{kind}:{short(digest(*parts), 32)}"

    def claim(self, kind: str, *parts: str, value: Any, ttl: int, now: int) -> Claimed:
        """Store once; the record that is there afterwards, mine or an earlier one."""
        sealed = self._sealed(value)
        stored = self._ledger.claim(self._key(kind, parts), sealed, max(1, ttl), now=now)
        return Claimed(value, mine=True) if stored == sealed else Claimed(self._opened(stored), mine=False)

    def put(self, kind: str, *parts: str, value: Any, ttl: int, now: int) -> None:
        self._ledger.put(self._key(kind, parts), self._sealed(value), max(1, ttl), now=now)

    def get(self, kind: str, *parts: str, now: int) -> Any:
        """The record, None where there is none that we can read."""
        stored = self._ledger.get(self._key(kind, parts), now=now)
        return None if stored is None else self._opened(stored)

    def many(self, *names: tuple[str, str], now: int) -> list[Found]:
        """Several records by (kind, name), in one round trip where the ledger knows how."""
        keys = [self._key(kind, (name,)) for kind, name in names]
        found = self._get_many(keys, now=now) if self._get_many else [self._ledger.get(key, now=now) for key in keys]
        return [Found(stored is not None, None if stored is None else self._opened(stored)) for stored in found]

    def has(self, kind: str, *parts: str, now: int) -> bool:
        """Whether there is a record, whoever can read it."""
        return self._ledger.get(self._key(kind, parts), now=now) is not None

    def drop(self, kind: str, *parts: str, now: int) -> None:
        self._ledger.pop(self._key(kind, parts), now=now)

    def _sealed(self, value: Any) -> bytes:
        return self._tickets.seal(json.dumps(value, separators=(",", ":")).encode())

    def _opened(self, stored: bytes) -> Any:
        plain = self._unseal(stored)
        return None if plain is None else json.loads(plain)


def until(ends: int, now: int) -> int:
    """A ttl that covers the time to `ends`, and the leeway."""
    return max(1, ends - now) + LEEWAY
