"""What is handed to others: the wheel and the sdist of a clean copy, built once, and a Python that has the wheel and no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple, NoReturn

import pytest
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

ROOT = Path(__file__).parents[2]
LEFT_BY_WORK = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "build", "dist", "shots", "*.egg-info", "*.db", "*.db-*")


class Built(NamedTuple):
    wheel: Path
    sdist: Path
    again: Path  # the wheel that was built from the sdist


class Installed:
    """A Python with the wheel in it. What it runs knows nothing of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cwd"
        self.folder.mkdir()
        self.programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(self.programs / "python")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COVERAGE"))}

    def run(self, *command: str, status: int = 0) -> str:
        """Run a program of this Python's and have what it printed."""
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout


def copy_tree(target: Path) -> Path:
    """The tracked files as they are here; without git, everything but what work leaves behind."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True) if (ROOT / ".git").exists() and shutil.which("git") else None
    if listed is None or listed.returncode or not listed.stdout:
        shutil.copytree(ROOT, target, ignore=LEFT_BY_WORK)
        return target
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def not_installed(error: subprocess.CalledProcessError, folder: Path) -> NoReturn:
    """Skip where the package index does not answer at all; whatever else kept pip from installing is a fault of ours."""
    asked = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", str(folder / "asked"), "setuptools"]
    if subprocess.run(asked, capture_output=True).returncode == 0:
        said = (error.stdout or b"") + (error.stderr or b"")
        pytest.fail(f"pip could not install this, though the package index answers:\n{said.decode(errors='replace')}")
    missing = "NO PACKAGE INDEX: what others would install was neither built nor tried"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("tree") / "authy-wsgi")


@pytest.fixture(scope="session")
def built(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    workplace = shutil.copytree(tree, folder / "workplace")
    # As it looks where somebody works.
    for stray in ("tests/__pycache__/support.cpython-311.pyc", "tests/clients/npm/node_modules/authy/index.js", "examples/.demo/bottle/secret", "docs/site.db"):
        (workplace / stray).parent.mkdir(parents=True, exist_ok=True)
        (workplace / stray).write_text("not for others")
    with DefaultIsolatedEnv() as env:
        try:
            env.install(ProjectBuilder(workplace).build_system_requires)
        except subprocess.CalledProcessError as error:
            not_installed(error, folder)
        builder = ProjectBuilder.from_isolated_env(env, workplace, runner=_quietly)
        sdist = Path(builder.build("sdist", folder / "dist"))
        wheel = Path(builder.build("wheel", folder / "dist"))
        shutil.unpack_archive(sdist, folder / "unpacked", filter="data")
        (unpacked,) = (folder / "unpacked").iterdir()
        again = Path(ProjectBuilder.from_isolated_env(env, unpacked, runner=_quietly).build("wheel", folder / "again"))
    return Built(wheel, sdist, again)


def _quietly(command: object, cwd: str | None = None, extra_environ: object = None) -> None:
    environ = {**os.environ, **(extra_environ or {})}  # type: ignore[dict-item]
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def contents(built: Built) -> dict[str, bytes]:
    return read_wheel(built.wheel)


def read_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel with what the example sites need, and WebTest for the walk through our pages."""
    folder = tmp_path_factory.mktemp("installed")
    there = Installed(folder)
    subprocess.run([sys.executable, "-I", "-m", "venv", str(folder / "env")], check=True, env=there.environ)
    install = [there.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"authy-wsgi[examples] @ {built.wheel.as_uri()}", "WebTest"]
    try:
        subprocess.run(install, check=True, cwd=there.folder, env=there.environ, capture_output=True)
    except subprocess.CalledProcessError as error:
        not_installed(error, folder)
    return there
