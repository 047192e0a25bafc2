"""What the five sites share: the words on their pages. Each keeps its own login session, and remembers people, in its framework's own way."""

from __future__ import annotations

import secrets
from typing import Any

from authy_wsgi import proven

KEY = "the key of the site's own session"
LONG = 30 * 86_400  # seconds that a remember-me is good for


def shown(page: str, environ: dict[str, Any]) -> str:
    """A page's text: its name, and what the gate tells of the person."""
    seen = proven(environ)
    return f"{page}: {seen.user_id} {[proof.channel for proof in seen.proofs]}"


def new_login_id() -> str:
    """Another one for every login: a pass is good in the login that earned it."""
    return secrets.token_hex(8)
