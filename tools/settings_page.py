"""Write docs/settings.md from `authy_wsgi.settings`: python tools/settings_page.py"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from authy_wsgi.settings import _REQUIRED, LIMITS, Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """# Settings

Every setting is a keyword of `SecondFactor(app, ...)`. Whatever is wrong with them is reported at once when the app starts, each with what to do;
`authy-wsgi check --app module:attribute` says it without starting. Times are seconds. Paths of `exempt`, `logout_url` and `login_url` are whole paths from
the server's root (SCRIPT_NAME included); `prefix` is below the place where the app is mounted.

"""

LIMITS_HEAD = """
## Budgets

`limits={"code.user": [(5, 900), (20, 86400)], ...}` replaces budgets rule by rule: a list of (tries, seconds). The last word of a rule is what is counted;
rules with `new` are for numbers that nobody has proved yet. Only the end of its window, and a success that gives its own try back, lower a count.
The longest window of `code.user`, where it is a week or more, closes codes for that user until `authy-wsgi users open`.

| rule | tries |
| --- | --- |
"""


def shown(default: object) -> str:
    if default is _REQUIRED:
        return "required"
    if callable(default):
        return "the system's" if default.__name__ == "_now" else "none"
    return f"`{default!r}`"


def span(seconds: int) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {name}s" if count > 1 else f"a {name}" if name != "hour" else "an hour"
    return f"{seconds} seconds"


def page() -> str:
    rows = [f"| `{setting.name}` | {shown(setting.default)} | {setting.metadata['help']} |" for setting in dataclasses.fields(Settings)]
    limits = [f"| `{rule}` | {', '.join(f'{limit} in {span(window)}' for limit, window in windows)} |" for rule, windows in LIMITS.items()]
    return HEAD + "| setting | default | what it does |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n" + LIMITS_HEAD + "\n".join(limits) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
