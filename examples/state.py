"""What an example site keeps in its folder between two runs."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def kept_secret(path: Path) -> str:
    """The secret in this file, made at the first run. Nobody but its owner may read the file."""
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(opened, "w", encoding="ascii") as file:
        secret = secrets.token_urlsafe(48)
        file.write(secret + "\n")
    return secret


def sqlite_url(path: Path) -> str:
    """The address of a SQLite file for `SQLStore`."""
    return f"sqlite:///{path}"
