"""The article's sequence with the article's own SDK (npm `authy`, unmodified) against the emulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import API_KEY, PHONE

from .conftest import Service

HERE = Path(__file__).parent / "npm"
VERSION = json.loads((HERE / "package.json").read_text())["dependencies"]["authy"]


def cannot(reason: str) -> None:
    """Without Node this test is skipped, loudly; where nobody reads that, it fails."""
    message = f"the npm SDK was NOT tried: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def modules() -> Path:
    """A folder with the SDK, filled once, outside of the tree."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        cannot("node and npm are not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "authy_wsgi" / f"npm-authy-{VERSION}"
    found = cache / "node_modules" / "authy" / "package.json"
    if not found.exists():
        # Beside it first, then renamed: a run that was killed, or another one at the same time, leaves no half of it.
        draft = cache.with_name(f"{cache.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        shutil.copy(HERE / "package.json", draft)
        command = [str(npm), "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        try:
            done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=180, check=False)
        except subprocess.TimeoutExpired:
            shutil.rmtree(draft, ignore_errors=True)
            cannot("npm install did not end within three minutes")
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            cannot(f"npm install failed: {done.stderr.strip()[-500:]}")
        if not found.exists():
            shutil.rmtree(cache, ignore_errors=True)
            try:
                draft.rename(cache)
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
    assert json.loads(found.read_text())["version"] == VERSION
    return cache / "node_modules"


class Script:
    """The running script: its steps as they come, and a line to tell it when a person has acted."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def step(self, name: str) -> tuple[Any, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the script ended early"
        said = json.loads(line)
        assert said["step"] == name
        return said["err"], said["res"]

    def tell(self, line: str = "") -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@pytest.fixture
def script(service: Service, modules: Path, tmp_path: Path) -> Iterator[Script]:
    command = ["node", str(HERE / "article.cjs"), service.url, API_KEY]
    environ = {"PATH": os.environ["PATH"], "NODE_PATH": str(modules), "NODE_NO_WARNINGS": "1", "HOME": str(tmp_path)}
    with (tmp_path / "stderr").open("w+") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ, cwd=tmp_path)
        guard = threading.Timer(30, process.kill)
        guard.start()
        try:
            yield Script(process)
            process.communicate(timeout=10)
            errors.seek(0)
            assert (process.returncode, errors.read()) == (0, "")
        finally:
            guard.cancel()
            process.kill()
            process.communicate()


def test_the_articles_sequence_through_the_npm_sdk(service: Service, script: Script) -> None:
    err, res = script.step("register_user")
    phone = service.emulator.phone(PHONE)
    assert err is None
    assert res == {"message": "User created successfully.", "user": {"id": phone.authy_id}, "success": True}

    err, res = script.step("request_sms")
    assert err is None
    assert res == {"success": True, "message": "SMS token was sent", "cellphone": "+1-XXX-XXX-XX70"}
    assert [message.kind for message in phone.messages] == ["sms"]

    script.tell(phone.code)
    err, res = script.step("verify")
    assert err is None
    assert {name: res[name] for name in ("message", "token", "success")} == {"message": "Token is valid.", "token": "is valid", "success": "true"}

    err, res = script.step("verify wrong")
    assert res is None
    # To the letter what the article shows.
    assert err == {
        "message": "Token is invalid",
        "token": "is invalid",
        "success": False,
        "errors": {"message": "Token is invalid"},
        "error_code": "60020",
    }

    phone.install_app()
    script.tell()
    for name, press, outcome in (("onetouch", phone.approve, "approved"), ("onetouch again", phone.deny, "denied")):
        err, res = script.step(name)
        assert err is None
        uuid = res["approval_request"]["uuid"]
        shown = phone.approvals[-1]
        assert shown["uuid"] == uuid
        assert shown["message"] == "Please authorize login to the registration demo app."
        assert shown["details"] == {"Email Address": "alice@example.com"}
        err, res = script.step("status")
        assert (err, res["approval_request"]["status"]) == (None, "pending")
        press()
        script.tell()
        err, res = script.step("status")
        assert (err, res["success"]) == (None, True)
        assert (res["approval_request"]["status"], res["approval_request"]["uuid"]) == (outcome, uuid)

    # The key was in the query, as this SDK sends it, and nothing was forced.
    assert all("HTTP_X_AUTHY_API_KEY" not in environ for environ in service.environs)
    assert [call.parameters for call in service.emulator.calls if call.route == "verify"] == [{}, {}]
    routes = ["approval_requests/create", "approval_requests/status", "approval_requests/status"]
    assert [call.route for call in service.emulator.calls] == ["users/new", "sms", "verify", "verify", *routes, *routes]
