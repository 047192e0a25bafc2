"""A local Authy service with phones: the HTTP API that clients call, and beside it, under `/phone/`, the phones that its messages arrive on.

`Emulator` is a WSGI app with all of its state inside; `server.serve` and `server.Server` put it on a socket, a `WSGIAdapter` has `requests`
call it without one. Nothing here imports a client of ours: the protocol is read a second time, so that one misreading cannot pass its own test.
"""

from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.app import Call, Emulator
from authy_wsgi.emulator.faults import Fault
from authy_wsgi.emulator.handset import Handset
from authy_wsgi.emulator.rules import Rules

__all__ = ["Call", "Emulator", "Fault", "Handset", "Rules", "WSGIAdapter"]
