"""A registration form, as two of the sites have it: read it, or say field by field what to mend."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from authy_wsgi import Refused
from authy_wsgi.phones import read_number

_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s.]{2,}")
_SHORTEST, _LONGEST = 8, 200


class Registration(NamedTuple):
    """A form that is in order. `name` is in lower case, `phone` E.164."""

    name: str
    password: str
    email: str
    phone: str


def spelled(name: str) -> str:
    """The one spelling of a user name: `Alice` and `alice` are one person."""
    return name.strip().lower()


def password_complaint(password: str) -> str:
    """What is wrong with a new password, "" where nothing is."""
    if _SHORTEST <= len(password) <= _LONGEST:
        return ""
    return f"Choose a password of {_SHORTEST} characters or more." if len(password) < _SHORTEST else "That password is too long."


def read_registration(fields: Mapping[str, str]) -> tuple[Registration | None, dict[str, str]]:
    """The registration, or None and a sentence for each field that needs mending."""
    name, email = spelled(fields.get("name", "")), fields.get("email", "").strip()
    password = fields.get("password", "")
    phone, complaints = _read_phone(fields)
    if not _NAME.fullmatch(name):
        complaints["name"] = "Choose a name of 2 to 32 letters, digits, dots, hyphens or underscores, starting with a letter."
    if complaint := password_complaint(password):
        complaints["password"] = complaint
    if not _EMAIL.fullmatch(email):
        complaints["email"] = "Type your e-mail address, such as alice@example.com." if not email else "That does not look like an e-mail address."
    return (None, complaints) if complaints else (Registration(name, password, email, phone), {})


def _read_phone(fields: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    try:
        return read_number(fields.get("phone", ""), fields.get("country", "")), {}
    except Refused as refusal:
        return "", {refusal.field or "phone": refusal.sentence}
