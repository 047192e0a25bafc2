"""What happened, told to the site and to its log: after the step is durable, and with nothing secret in it.

Each event is one line of JSON at INFO in the log `authy_wsgi.events`, and one call of the site's `events` callable.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict

from authy_wsgi.contracts import Context, Event

log = logging.getLogger("authy_wsgi.events")


class Events:
    """The site's `events` callable. Whatever it raises is logged and changes nothing."""

    def __init__(self, tell: Callable[[Event], object] | None) -> None:
        self._tell = tell

    def emit(self, kind: str, context: Context, user_id: str, *, channel: str = "", factor: str = "", reason: str = "") -> None:
        """Log an event and tell it."""
        event = Event(kind=kind, at=context.at, user_id=user_id, channel=channel, factor=factor, network=context.network, reason=reason)
        if log.isEnabledFor(logging.INFO):
            # ASCII: whatever a user id holds, it is one line.
            log.info("%s", json.dumps({name: value for name, value in asdict(event).items() if value != ""}))
        if self._tell is None:
            return
        try:
            self._tell(event)
        except Exception:
            log.exception("the events callable raised; nothing else changes")
