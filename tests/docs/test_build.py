"""The pages become a site without a warning, and its API reference has every public name, each with a docstring."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import authy_wsgi
from authy_wsgi import contracts, emulator, errors
from tests.docs.blocks import ROOT

TOLD_BY_A_CLASS = ("py:class", "py:exception", "py:function", "py:method", "py:property")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages, as `make docs` builds them."""
    folder = tmp_path_factory.mktemp("docs")
    command = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "-m sphinx" in line)
    options = command.partition("-m sphinx ")[2].removesuffix(" docs build/docs").split()
    assert {"-W", "--keep-going", "-n"} <= set(options)
    build = [sys.executable, "-m", "sphinx", *options, "-d", str(folder / "trees"), str(ROOT / "docs"), str(folder / "html")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def reference(site: Path) -> Mapping[str, tuple[str, Any]]:
    """What the API reference has: name -> kind and the thing itself."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    found: dict[str, tuple[str, Any]] = {}
    for line in zlib.decompress(packed).decode().splitlines():
        name, kind, *_ = line.split()
        if kind.startswith("py:") and kind != "py:module":
            found[name] = kind, thing_of(name)
    return found


def thing_of(name: str) -> Any:
    """What a dotted name names, None for what only exists in an object."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found
    return None


def test_the_pages_build_without_a_warning(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()


def test_the_pages_ask_nobody_else_for_anything(site: Path) -> None:
    for page in site.glob("*.html"):
        assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=["'](https?:)?//""", page.read_text()), page.name


def test_every_public_name_is_in_the_reference(reference: Mapping[str, tuple[str, Any]]) -> None:
    there = [thing for _, thing in reference.values()]
    wanted = {f"authy_wsgi.{name}": getattr(authy_wsgi, name) for name in authy_wsgi.__all__}
    wanted |= {f"authy_wsgi.emulator.{name}": getattr(emulator, name) for name in emulator.__all__}
    for module in (contracts, errors):
        own = {name: thing for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__}
        wanted |= {f"{module.__name__}.{name}": thing for name, thing in own.items() if not name.startswith("_")}
    missing = [name for name, thing in wanted.items() if not any(thing is each for each in there)]
    assert not missing, f"docs/api.md does not have {', '.join(missing)}"


def test_every_name_in_the_reference_has_a_docstring(reference: Mapping[str, tuple[str, Any]]) -> None:
    assert len(reference) > 200
    bare = [name for name, (kind, thing) in reference.items() if kind in TOLD_BY_A_CLASS and not (getattr(thing, "__doc__", "") or "").strip()]
    assert not bare, f"These need a docstring: {', '.join(bare)}"
    gone = [name for name, (kind, thing) in reference.items() if kind in TOLD_BY_A_CLASS and thing is None]
    assert not gone


def test_a_docstring_reads_as_it_was_written(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "api.html").read_text())
    # A backtick that is left over, a role or a reference that is not understood, an address in memory.
    assert not re.search(r"`|:py:|:class:|\| at 0x|&lt;function", text)
