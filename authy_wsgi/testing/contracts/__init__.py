"""The suites that a user store, a ledger and a client of your own have to pass: subclass one, give its fixtures, and pytest runs all of it."""

from authy_wsgi.testing.contracts.clients import ClientContract
from authy_wsgi.testing.contracts.ledgers import LedgerContract
from authy_wsgi.testing.contracts.users import ReadOnlyUserStoreContract, UserStoreContract

__all__ = ["ClientContract", "LedgerContract", "ReadOnlyUserStoreContract", "UserStoreContract"]
