"""Who passed the app's own login: readers for the usual places, and the one check that whatever they answer is somebody or nobody.

An identity is read from the very thing that the app itself reads. There are no readers of other frameworks' session cookies here: a second reading from
outside is a parse differential, and that is a bypass. Frameworks hand over the user that they resolved.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from functools import lru_cache

from authy_wsgi.contracts import Environ, Identity, Login
from authy_wsgi.documents import fold
from authy_wsgi.errors import UnreadableIdentity
from authy_wsgi.settings import as_it_is
from authy_wsgi.tickets import digest, short

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def remote_user(environ: Environ) -> str | None:
    """REMOTE_USER, as the server or something around us sets it. Never the client's own Remote-User header (that is `HTTP_REMOTE_USER`).

    Logins are unbound: two logins of one user look alike, so a pass outlives a logout that we do not see. Give `logout_url`.
    """
    user: str | None = environ.get("REMOTE_USER")
    # Servers set an empty REMOTE_USER for anonymous requests; from every other reader "" would be a fault.
    return user or None


def environ_key(key: str) -> Identity:
    """Whatever stands under a key of the environ: None, a user id, or a `Login`. For something inside the server that sets it, not for `HTTP_` headers."""
    if key.startswith("HTTP_"):
        raise ValueError(f"environ_key({key!r}) would read a header that any client can send; write a function if a proxy you trust sets it.")

    def read(environ: Environ) -> Login | str | None:
        return environ.get(key)

    return read


def basic_auth(environ: Environ) -> Login | None:
    """HTTP Basic that the server has verified (AUTH_TYPE and REMOTE_USER are its word). A changed password is another login, and ends the passes."""
    user = environ.get("REMOTE_USER")
    if not user or str(environ.get("AUTH_TYPE", "")).lower() != "basic":
        return None
    scheme, _, credentials = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    try:
        named = b64decode(credentials, validate=True).decode().partition(":")[0]
    except ValueError:
        named = ""
    if scheme.lower() != "basic" or named != user:
        raise UnreadableIdentity("another user than the Authorization header names")
    return Login(user, short(digest(credentials)))


def login_reader(canonical: Callable[[str], str]) -> Callable[[object], Login | None]:
    """What makes a `Login` of an identity's answer; `UnreadableIdentity` for anything that is neither nobody nor somebody.

    SECURITY: an odd value is never "nobody" (anonymous requests pass) and never "somebody".
    """

    def read(found: object) -> Login | None:
        if found is None:
            return None
        if isinstance(found, str):
            return _checked(canonical(found), "")
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], str) and isinstance(found[1], str):
            return _checked(canonical(found[0]), found[1])
        raise UnreadableIdentity(f"a {type(found).__name__}")

    if canonical is not as_it_is:
        return read
    known = lru_cache(maxsize=4096)(read)

    def read_hashable(found: object) -> Login | None:
        try:
            return known(found)
        except TypeError:
            raise UnreadableIdentity(f"a {type(found).__name__}") from None

    return read_hashable


@lru_cache(maxsize=4096)
def _checked(user_id: str, session: str) -> Login:
    if not isinstance(user_id, str):
        raise UnreadableIdentity(f"(through canonical) a {type(user_id).__name__}")
    if not fold(user_id):
        raise UnreadableIdentity("an empty text")
    if len(user_id) > 255 or len(session) > 1024:
        raise UnreadableIdentity("a text that is too long")
    if _CONTROL.search(user_id) or _CONTROL.search(session):
        raise UnreadableIdentity("a text with control characters")
    return Login(user_id, session)
