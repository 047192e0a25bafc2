"""Jinja2 templates as a Pyramid renderer, with what every page needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

_HERE = Path(__file__).parent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02}"


def when(at: int) -> str:
    """Unix seconds as people here say it: "14:32 on 22 November 2026"."""
    there = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{there:%H:%M} on {there.day} {there:%B %Y}"


class Renderer:
    """The renderer of `.html`: `config.add_renderer(".html", Renderer)`."""

    _folders = (_HERE / "templates", _HERE.parent / "templates")
    _templates = Environment(loader=FileSystemLoader(_folders), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    _templates.globals.update(money=money, when=when)

    def __init__(self, info: Any) -> None:
        self._template = self._templates.get_template(info.name)

    def __call__(self, values: Mapping[str, Any], system: Mapping[str, Any]) -> str:
        request = system["request"]
        request.response.headers.update(_HEADERS)
        account = request.identity
        shown = {"base": request.script_name, "csrf": request.session.get_csrf_token(), "site_name": request.registry.site_name}
        shown |= {"user": account.name if account else "", "keeper": bool(account and account.keeper)}
        return self._template.render(**{**shown, **values})
