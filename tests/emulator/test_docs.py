"""The page about the emulator names everything that there is to know."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from authy_wsgi.emulator import Fault, Rules
from authy_wsgi.emulator.api import TABLE
from authy_wsgi.emulator.faults import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text("utf-8")


def test_every_route_is_on_the_page() -> None:
    for name, method, path, _ in TABLE:
        assert f"| `{name}` | {method} `{path.replace('<', '{').replace('>', '}')}` |" in PAGE


def test_every_switch_and_fault_is_on_the_page() -> None:
    for field in fields(Rules):
        assert f"`{field.name}`" in PAGE
        assert f"`{field.name}` | `{field.default}`" in PAGE
    for field in fields(Fault):
        assert f"`{field.name}`" in PAGE
    for kind in KINDS:
        assert f"`{kind}`" in PAGE
