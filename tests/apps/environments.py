"""One virtual environment for each app, made once and kept below .cache/apps until its requirements change.

Nothing of the project is installed there: its code is taken from the checkout, by PYTHONPATH, and only what it depends on comes from the package index.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "apps"

# What pip says where no index answers. Whatever else goes wrong (a pin that is not there, say) is a fault of ours.
UNREACHABLE = ("from versions: none", "Failed to establish a new connection", "Max retries exceeded", "name resolution", "timed out", "ProxyError")


class Environment:
    """An app's own Python, with what `tests/apps/<name>.txt` asks for and what the project depends on."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.python = folder / "bin" / "python"

    def variables(self, **more: str) -> dict[str, str]:
        """The variables of a program in there. What the person who runs the tests has set for pip, pytest, Trac or a proxy is none of its business."""
        foreign = ("PIP_", "PYTEST_", "PYTHON", "TRAC_", "TWINE_", "PYPISERVER_", "BUGSNAG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign) and not name.lower().endswith("_proxy")}
        return {**kept, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more}

    def run(self, *arguments: str, variables: dict[str, str] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """A program of this environment, run to its end; what it says and complains of comes back as text."""
        command = [str(self.python), *arguments]
        own = self.variables(**(variables or {}))
        return subprocess.run(command, env=own, capture_output=True, text=True, check=False, timeout=300, **options)


def environment(name: str) -> Environment:
    """The environment of an app, made where it is not there yet."""
    requirements = [line for line in (HERE / f"{name}.txt").read_text().splitlines() if line.strip()]
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = [line.strip().replace(" ", "") for line in setup["options"]["install_requires"].splitlines() if line.strip()]
    described = "\n".join([sys.version, str(ROOT), *requirements, *needed])
    found = Environment(name, CACHE / f"{name}-{hashlib.sha256(described.encode()).hexdigest()[:16]}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # pytest-xdist may ask for it twice
        if not (found.folder / "complete").exists():
            venv.create(found.folder, clear=True, with_pip=True)
            asked_pip(found, "install", *requirements, *needed)
            (found.folder / "complete").touch()
    return found


def source_of(found: Environment, requirement: str) -> Path:
    """The source distribution of a package, downloaded once."""
    folder = found.folder / "source"
    if not list(folder.glob("*.tar.gz")):
        asked_pip(found, "download", "--no-deps", "--no-binary", requirement.partition("==")[0], "--dest", str(folder), requirement)
    return next(folder.glob("*.tar.gz"))


def asked_pip(found: Environment, *arguments: str) -> None:
    """Have pip fetch something, as it is configured here; say loudly what then nobody knows where it cannot."""
    done = subprocess.run([found.python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    said = done.stderr.strip()[-1500:]
    if not any(sign in said for sign in UNREACHABLE):
        pytest.fail(f"pip could not make the environment of {found.name}:\n{said}")
    say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    say(f"no package index can be reached from here, so nothing is known of {found.name} behind the gate:\n{said}")
