"""Node with the SDKs of `package.json`, installed once outside of the tree, and calls of them from Python."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.support import API_KEY

HERE = Path(__file__).parent
VERSIONS: dict[str, str] = json.loads((HERE / "package.json").read_text())["dependencies"]


class Undefined:
    """JavaScript's `undefined`, which is not its `null`."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()


class SdkError(Exception):
    """What an SDK throws, or rejects a promise with. `fields` are those that a strict one did not like."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(said["message"])
        self.kind: str = said["$error"]
        self.message: str = said["message"]
        self.code = said.get("code")
        self.body = said.get("body")
        self.fields = said.get("fields")


def modules() -> Path:
    """The folder with the SDKs. Without Node the test is skipped, loudly; where nobody reads that, it fails."""
    found = _modules()
    if isinstance(found, Path):
        return found
    message = f"the npm SDKs were NOT tried: {found}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@functools.cache
def _modules() -> Path | str:
    """The folder, filled at the first call; or why there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        return "node and npm are not installed"
    named = "-".join(f"{name}-{version}" for name, version in VERSIONS.items())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "authy_wsgi" / f"npm-{named}"
    found = cache / "node_modules"
    if not _complete(found):
        # Beside it first, then renamed: a run that was killed, or another one at the same time, leaves no half of it.
        draft = cache.with_name(f"{cache.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        failure = _install(npm, draft)
        if failure:
            shutil.rmtree(draft, ignore_errors=True)
            return failure
        if not _complete(found):
            shutil.rmtree(cache, ignore_errors=True)
        try:
            draft.rename(cache)
        except OSError:  # another run was faster
            shutil.rmtree(draft, ignore_errors=True)
    for name, version in VERSIONS.items():
        assert json.loads((found / name / "package.json").read_text())["version"] == version
    return found


def _complete(found: Path) -> bool:
    return all((found / name / "package.json").exists() for name in VERSIONS)


def _install(npm: str, draft: Path) -> str:
    shutil.copy(HERE / "package.json", draft)
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return "npm install did not end within three minutes"
    return f"npm install failed: {done.stderr.strip()[-500:]}" if done.returncode else ""


def start(script: str, *arguments: str, folder: Path, errors: Any) -> subprocess.Popen[str]:
    """Run one of the scripts beside this file; it sees the SDKs and little else."""
    environ = {"PATH": os.environ["PATH"], "NODE_PATH": str(modules()), "NODE_NO_WARNINGS": "1", "HOME": str(folder)}
    command = ["node", str(HERE / script), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ, cwd=folder)


class Node:
    """One process that calls the SDKs as it is told. A context manager; at its end nothing may have been complained of."""

    def __init__(self, folder: Path) -> None:
        modules()
        self._errors = (folder / "stderr").open("w+")
        self._process = start("drive.cjs", folder=folder, errors=self._errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        guard = threading.Timer(10, self._process.kill)
        guard.start()
        try:
            self._process.communicate()
            self._errors.seek(0)
            assert (self._process.returncode, self._errors.read()) == (0, "")
        finally:
            guard.cancel()
            self._errors.close()

    def ask(self, package: str, call: str, arguments: tuple[Any, ...], *, url: str, key: str, callback: bool) -> tuple[str, Any]:
        """One call, and what came of it: `called`, `resolved`, `rejected` or `threw`, and with what."""
        asked = {"package": package, "key": key, "url": url, "call": call, "arguments": arguments, "callback": callback}
        assert self._process.stdin
        assert self._process.stdout
        guard = threading.Timer(20, self._process.kill)
        guard.start()
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            guard.cancel()
        assert line, f"{call} never answered"
        ((what, said),) = json.loads(line).items()
        return what, [_read(it) for it in said] if what == "called" else _read(said)


def _read(value: Any) -> Any:
    if isinstance(value, dict) and "$undefined" in value:
        return UNDEFINED
    return SdkError(value) if isinstance(value, dict) and "$error" in value else value


class Sdk:
    """One SDK, pointed at an address."""

    def __init__(self, node: Node, package: str, url: str, key: str = API_KEY) -> None:
        self.node = node
        self.package = package
        self.url = url
        self.key = key

    def __call__(self, call: str, *arguments: Any) -> list[Any]:
        """Call with a callback; the arguments that the callback got."""
        what, said = self._ask(call, arguments, callback=True)
        assert what == "called", said
        return list(said)

    def promise(self, call: str, *arguments: Any) -> Any:
        """Call without a callback; what the promise brought, or the `SdkError` that it was rejected with."""
        what, said = self._ask(call, arguments, callback=False)
        if what == "rejected":
            raise said
        assert what == "resolved", said
        return said

    def _ask(self, call: str, arguments: tuple[Any, ...], *, callback: bool) -> tuple[str, Any]:
        return self.node.ask(self.package, call, arguments, url=self.url, key=self.key, callback=callback)
