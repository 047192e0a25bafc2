"""What the service says of the application itself."""

from __future__ import annotations

import calendar

from authy_wsgi.emulator.ask import Ask
from authy_wsgi.emulator.wire import JSON

COUNTED = ("api_calls_count", "auths_count", "calls_count", "sms_count", "users_count")


def details(ask: Ask) -> JSON:
    """The application's name, number and plan."""
    app: JSON = {
        "name": ask.state.app_name[:30],
        "plan": "sandbox",
        "sms_enabled": ask.rules.sms_enabled,
        "phone_calls_enabled": ask.rules.calls_enabled,
        "onetouch_enabled": ask.rules.onetouch_enabled,
        "white_label": False,
        "app_id": app_number(ask),
    }
    return {"app": app, "message": "Application information.", "success": True}


def stats(ask: Ask) -> JSON:
    """What was counted, month by month."""
    counts = ask.state.counts
    months = sorted({(year, month) for year, month, _ in counts})
    rows = [{"year": year, "month": calendar.month_name[month], **{what: counts[year, month, what] for what in COUNTED}} for year, month in months]
    return {
        "stats": rows,
        "count": len(rows),
        "total_users": ask.state.user_count,
        "app_id": app_number(ask),
        "message": "Monthly statistics.",
        "success": True,
    }


def app_number(ask: Ask) -> int:
    """The application's serial number."""
    return int(ask.state.app_id[:6], 16)
