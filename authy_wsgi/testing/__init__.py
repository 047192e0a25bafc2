"""For the tests of an app that has a second factor around it: a local Authy service, phones in hand, a clock, and test clients that know our pages.

    authy = Authy()
    application = SecondFactor(app, clients=authy.client(), ...)
    browser = authy_wsgi.testing.webtest.TestApp(application)
    browser.pass_second_factor("alice", channel="sms")

With pytest the fixtures `authy`, `phone`, `second_factor_clock` and `second_factor` are there by themselves. `authy_wsgi.testing.contracts` holds the suites
that a user store, a ledger or a client of your own has to pass. See `docs/testing.md`.
"""

from authy_wsgi.testing.authy import Authy, Clock
from authy_wsgi.testing.passes import enrol, mint, second_factor_of

__all__ = ["Authy", "Clock", "enrol", "mint", "second_factor_of"]
