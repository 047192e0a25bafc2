"""Factors and passes made by a test itself, for tests that are about something else. Everything here needs the `SecondFactor` in hand."""

from __future__ import annotations

from typing import Any

from authy_wsgi.attempts import Grant
from authy_wsgi.contracts import CHANNEL_STRENGTH, Enrols, Factor, Login, Proof
from authy_wsgi.documents import new_generation
from authy_wsgi.lookup import second_factor_in
from authy_wsgi.middleware import SecondFactor
from authy_wsgi.tickets import digest, new_id


def second_factor_of(thing: Any) -> SecondFactor:
    """The `SecondFactor` that guards an app: of the app, of a framework's plugin, or of middleware around either. `TypeError` where there is none."""
    found = second_factor_in(thing)
    if found is None:
        raise TypeError(f"No SecondFactor is to be found in this {type(thing).__name__}: give it as second_factor=...")
    return found


def number_for(user_id: str) -> str:
    """A made-up mobile number of the United States: always the same for one user, hardly ever that of another."""
    drawn = int.from_bytes(digest("phone", user_id)[:4], "big")
    return f"+1{(408, 415, 503, 512, 617, 646, 702, 720, 917, 202)[drawn % 10]}555{drawn // 10 % 10_000:04}"


def enrol(second_factor: Any, user_id: str, phone: str = "", **fields: str) -> Factor:
    """Give a user a factor, as if they had enrolled `phone` (a made-up number if left out) and proved it. Nothing is sent.

    The first client that can add factors registers it at its provider; `fields` are what its enrolment form would say besides.
    """
    core = second_factor_of(second_factor)
    accounts = core.backend.accounts
    client = next((client for client in core.settings.clients if isinstance(client, Enrols)), None)
    if client is None or not accounts.writable:
        raise TypeError(
            "Nothing can be enrolled here: " + ("no client adds factors." if client is None else "the user store has no save. Put a factor into it.")
        )
    context, profile = core.backend.context(), core.backend.profile(user_id)
    known = {"phone": profile.phone, "country": profile.country} if profile.phone and not phone else {"phone": phone or number_for(user_id)}
    candidate = client.read({"email": mail_for(user_id), **known, **fields}, profile)
    factor = client.enrol(accounts.user(user_id), candidate, context)
    accounts.add_factor(user_id, factor, new_generation(), lambda _user: True)
    return factor


def mail_for(user_id: str) -> str:
    """A made-up e-mail address, which no mail ever goes to."""
    return f"{digest('mail', user_id).hex()[:12]}@example.com"


def mint(second_factor: Any, login: Login, channel: str = "sms", *, age: int = 0) -> list[tuple[str, str]]:
    """The headers that give a browser a real pass for this login, signed by the instance's own keys, proved by `channel` so many seconds ago.

    `LookupError` where the user has no factor: a pass is always a pass of somebody enrolled.
    """
    core = second_factor_of(second_factor)
    if channel not in CHANNEL_STRENGTH:
        raise ValueError(f"There is no channel {channel!r}; there are {', '.join(CHANNEL_STRENGTH)}.")
    user = core.backend.accounts.read(login.user_id)
    if user is None or not user.factors:
        raise LookupError(f"{login.user_id} has no factor, so no pass either: enrol(second_factor, {login.user_id!r}) first.")
    at = core.settings.clock() - age
    return core.remember({}, Grant(login, new_id(), core.backend.accounts.epoch(user), (Proof(channel, at),), at))
