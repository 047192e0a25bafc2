"""How the pages become a site: `make docs`. They stay plain Markdown, so that they read as well in the repository."""

from __future__ import annotations

import re
import sys
from enum import Enum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from authy_wsgi import __version__  # noqa: E402 - the checkout's own

project = "authy_wsgi"
project_copyright = "the authors of authy_wsgi"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["model/**", "_build/**"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
# What is indented is commands and their like; what is Python says so.
smartquotes = False
highlight_language = "text"
pygments_style, pygments_dark_style = "friendly", "github-dark"

html_theme = "furo"
html_title = f"authy_wsgi {__version__}"
html_static_path = ["_static"]
html_css_files = ["quiet.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = None

# Docstrings are written as the pages are: one backtick for code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_type_aliases = {name: f"authy_wsgi.contracts.{name}" for name in ("Environ", "Identity", "Policy")} | {
    "Form": "authy_wsgi.pages.kept.Form",
    "WSGIApp": "authy_wsgi.middleware.WSGIApp",
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries = False

# Types of the standard library and of frameworks, whose pages are elsewhere, and what is not for others to make.
_ELSEWHERE = r"(bottle|collections|django|enum|flask|pathlib|pyramid|requests|types|typing|webob)\..*"
_INSIDE = r"authy_wsgi\.(database\.Database|emulator\.state\.Message|(attempts|records)\.Found|settings\.nobody|site\.Response|tickets\.Pass)"
nitpick_ignore_regex = [("py:.*", _ELSEWHERE), ("py:.*", _INSIDE), ("py:.*", r"Found|P|P\.(args|kwargs)")]


def _beside_us(_app: Any, _page: str, source: list[str]) -> None:
    """Pages link to files beside this folder as the repository has them; here those are pages of their own."""
    source[0] = source[0].replace("](../CHANGELOG.md", "](changelog.md").replace("](../README.md", "](index.md")


def _plain_signature(_app: Any, _kind: str, _name: str, thing: Any, _options: Any, signature: str | None, answer: str | None) -> tuple[str | None, str | None]:
    """What autodoc made of a signature, without what only Python's own objects would say: forward references, and defaults that have no text."""
    if isinstance(thing, type) and (getattr(thing, "_is_protocol", False) or issubclass(thing, Enum)):
        return "", None  # nobody calls these
    plain = [text and _ODD.sub(lambda odd: odd[1] or odd[2] or "...", text) for text in (signature, answer)]
    return plain[0], plain[1]


_ODD = re.compile(r"TypeAliasForwardRef\('([\w.]+)'\)|<(\w+\.\w+): [^<>]*>|<[^<>]*(<lambda>[^<>]*)?>")


def _skip(_app: Any, _kind: str, _name: str, thing: Any, _skipped: bool, _options: Any) -> bool | None:
    """The fields of a named tuple are in its signature."""
    return True if str(getattr(thing, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Any) -> None:
    app.connect("source-read", _beside_us)
    app.connect("autodoc-process-signature", _plain_signature)
    app.connect("autodoc-skip-member", _skip)
