"""Every block of the pages, as a Markdown reader finds it: fenced ones by their language, indented ones as `commands` or `indented`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("authy-wsgi", "curl", "export", "flask", "make", "pip", "python")


class Block(NamedTuple):
    """`number` counts the blocks of this language on this page, from 0."""

    page: str
    language: str
    number: int
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language} {self.number})"


def words(line: str) -> list[str]:
    """A command line as a shell reads it, without what stands behind a #."""
    return shlex.split(line, comments=True)


def _language(kind: str, info: str, text: str) -> str:
    if kind == "fence":
        return info.strip().partition(" ")[0] or "none"
    first = [line.split()[0] for line in text.splitlines() if line.strip()]
    return "commands" if all(word in PROGRAMS for word in first) else "indented"


def all_blocks() -> list[Block]:
    found: list[Block] = []
    for path in PAGES:
        page, counts = str(path.relative_to(ROOT)), dict[str, int]()
        for token in MarkdownIt().enable("table").parse(path.read_text()):
            if token.type in ("fence", "code_block"):
                language = _language(token.type, token.info, token.content)
                number = counts.setdefault(language, 0)
                counts[language] += 1
                found.append(Block(page, language, number, (token.map or [0])[0] + 1, token.content))
    return found


BLOCKS = all_blocks()


def block(page: str, language: str, number: int = 0) -> str:
    """The text of one block."""
    return next(each.text for each in BLOCKS if each[:3] == (page, language, number))


def inline_commands() -> list[tuple[str, str]]:
    """`authy-wsgi ...`, `make ...` and `pip install ...` where they stand in a sentence or a table: (page, command)."""
    found = []
    for path in PAGES:
        for token in MarkdownIt().enable("table").parse(path.read_text()):
            for child in token.children or ():
                if child.type == "code_inline" and re.match(r"(authy-wsgi|make|pip install) [^\s]", child.content):
                    found.append((str(path.relative_to(ROOT)), child.content))
    return found
