"""What happened, told to the site and to its log: after the step is durable, and with nothing secret in it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from authy_wsgi.contracts import Context, Event

log = logging.getLogger("authy_wsgi")


class Events:
    """The site's `events` callable. Whatever it raises is logged and changes nothing."""

    def __init__(self, tell: Callable[[Event], object] | None) -> None:
        self._tell = tell

    def emit(self, kind: str, context: Context, user_id: str, *, channel: str = "", factor: str = "", reason: str = "") -> None:
        """Log an event and tell it."""
        log.info("%s %s", kind, channel or reason)
        if self._tell is None:
            return
        try:
            self._tell(Event(kind=kind, at=context.at, user_id=user_id, channel=channel, factor=factor, network=context.network, reason=reason))
        except Exception:
            log.exception("the events callable raised; nothing else changes")
