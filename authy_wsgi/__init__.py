"""A second factor around any WSGI app.

from authy_wsgi import AuthyClient, SecondFactor, SQLStore, remote_user
"""

from authy_wsgi.clients.authy import AuthyClient
from authy_wsgi.clients.authy_api import AuthyAPI, AuthyError
from authy_wsgi.contracts import NOT_NEEDED, Event, Login, Need, Profile, Proof, Proven, Strength, proven
from authy_wsgi.errors import AmbiguousUser, Conflict, Misconfigured, Refused, SecondFactorError, Throttled, Unavailable
from authy_wsgi.identity import basic_auth, environ_key, remote_user
from authy_wsgi.ledgers.memory import MemoryLedger
from authy_wsgi.ledgers.sql import SQLLedger
from authy_wsgi.middleware import SecondFactor
from authy_wsgi.policy import by_path, for_users, required, where_enrolled
from authy_wsgi.stores.memory import MemoryStore
from authy_wsgi.stores.sql import SQLStore

__version__ = "0.1.0"

__all__ = [
    "NOT_NEEDED",
    "AmbiguousUser",
    "AuthyAPI",
    "AuthyClient",
    "AuthyError",
    "Conflict",
    "Event",
    "Login",
    "MemoryLedger",
    "MemoryStore",
    "Misconfigured",
    "Need",
    "Profile",
    "Proof",
    "Proven",
    "Refused",
    "SQLLedger",
    "SQLStore",
    "SecondFactor",
    "SecondFactorError",
    "Strength",
    "Throttled",
    "Unavailable",
    "basic_auth",
    "by_path",
    "environ_key",
    "for_users",
    "proven",
    "remote_user",
    "required",
    "where_enrolled",
]
