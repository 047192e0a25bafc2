"""Users, factors and challenges as JSON and back. Members of a user or factor that this version does not know survive a save."""

from __future__ import annotations

import hashlib
import json
import secrets
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from authy_wsgi.contracts import Challenge, Factor, Strength, User, Way

_COLUMNS = ("id", "version", "extra")
_FACTOR_FIELDS = tuple(field.name for field in fields(Factor))
_USER_FIELDS = tuple(field.name for field in fields(User) if field.name not in _COLUMNS)


def fold(user_id: str, *, case_sensitive: bool = False) -> str:
    """The form in which two spellings of one id meet: NFKC, casefold, stripped; at most 1,000 characters, so that it fits into a column."""
    folded = user_id if case_sensitive else unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", user_id).casefold()).strip()
    # A few characters fold to eighteen each; what would be longer goes by its digest.
    return folded if len(folded) <= 1000 else f"{folded[:900]} {hashlib.sha256(folded.encode()).hexdigest()}"


def new_version() -> int:
    """A version that no save has ever given: 62 random bits, never 0."""
    return secrets.randbits(62) | 1


def new_generation() -> str:
    """A generation: random, compared for equality; a new one revokes every pass of the user."""
    return secrets.token_urlsafe(12)


def tombstone(user_id: str) -> User:
    """What deleting leaves behind: nobody's factors, an invitation needed, every pass and every attempt under way dead.

    SECURITY: without it an enrolment that began before the deletion would find the account as empty as it left it, and fill it again.
    """
    return User(id=user_id, enrolment="invited", generation=new_generation(), version=new_version())


def dump_user(user: User) -> str:
    """The document: everything but id and version."""
    document: dict[str, Any] = dict(user.extra)
    for name in _USER_FIELDS:
        document[name] = getattr(user, name)
    document["factors"] = [dump_factor(factor) for factor in user.factors]
    document["closed"] = sorted(user.closed)
    document["ended"] = dict(user.ended)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def dump_factor(factor: Factor) -> dict[str, Any]:
    """A factor as JSON's types."""
    kept = asdict(factor)
    # What a newer version wrote beside our members travels in `data` under a name of its own.
    unknown = dict(factor.data).get("__unknown__", {})
    kept["data"] = {key: value for key, value in factor.data.items() if key != "__unknown__"}
    kept["secret"] = b64encode(factor.secret).decode()
    return {**unknown, **kept}


def load_user(user_id: str, version: int, text: str) -> User:
    """The user that a document describes."""
    document = json.loads(text)
    known = {name: document.pop(name) for name in _USER_FIELDS if name in document}
    known["factors"] = tuple(load_factor(factor) for factor in known.get("factors", ()))
    known["closed"] = frozenset(known.get("closed", ()))
    known["invitations"] = tuple(known.get("invitations", ()))
    return User(id=user_id, version=version, extra=document, **known)


def load_factor(document: Mapping[str, Any]) -> Factor:
    """The factor that `dump_factor` described."""
    document = dict(document)
    known = {name: document.pop(name) for name in _FACTOR_FIELDS if name in document}
    known["secret"] = b64decode(known.get("secret", ""))
    if document:
        known["data"] = {**known.get("data", {}), "__unknown__": document}
    return Factor(**known)


def dump_challenge(challenge: Challenge) -> dict[str, Any]:
    """A challenge as JSON's types; what was learnt has been told already."""
    kept = asdict(challenge)
    del kept["learnt"]
    return kept


def load_challenge(document: Mapping[str, Any]) -> Challenge:
    """The challenge that `dump_challenge` described."""
    way = document["way"]
    return Challenge(**{**document, "way": Way(**{**way, "strength": Strength(way["strength"])})})
