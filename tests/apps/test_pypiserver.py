"""pypiserver, with real pip and real twine: walled for people, open by rule for what cannot take a second step, and pip and twine told what is missing."""

from __future__ import annotations

import base64
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .environments import Environment
from .sites import Site, SiteBrowser, serving

pytestmark = pytest.mark.slow

PASSWORDS = {"alice": "her-password", "release-robot": "its-long-random-password"}
RULES = 'exempt=("/simple", "/packages"), policy=policy, '


def wheel_of(folder: Path, version: str, says: str) -> Path:
    """A package as small as can be."""
    path = folder / f"acorn_tiny-{version}-py3-none-any.whl"
    info = f"acorn_tiny-{version}.dist-info"
    files = {
        "acorn_tiny.py": f"SAYS = {says!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: acorn-tiny\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by-hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return wheel_of(tmp_path, "1.2", "planted")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The folder that pypiserver serves."""
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


def code_of(page: dict[str, str], *, rules: bool) -> str:
    """The page's block; or the same without what lets programs through."""
    code = page["pypiserver"]
    assert RULES in code
    return code if rules else code.replace(RULES, "")


@pytest.fixture
def site(pypiserver: Environment, page: dict[str, str], packages: Path, tmp_path: Path) -> Iterator[Site]:
    with serving(pypiserver, code_of(page, rules=True), tmp_path, scheme="http", basic=PASSWORDS, PACKAGES=str(packages)) as found:
        yield found


@pytest.fixture
def strict(pypiserver: Environment, page: dict[str, str], packages: Path, tmp_path: Path) -> Iterator[Site]:
    with serving(pypiserver, code_of(page, rules=False), tmp_path, scheme="http", basic=PASSWORDS, PACKAGES=str(packages)) as found:
        yield found


def install(home: Environment, site: Site, user: str, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`pip install acorn-tiny` from there, and from nowhere else."""
    index = f"{site.url.replace('//', f'//{user}:{PASSWORDS[user]}@')}/simple/"
    options = ("--isolated", "--no-input", "--no-cache-dir", "--no-deps", "--disable-pip-version-check", "--target", str(target), "--index-url", index)
    return home.run("-m", "pip", "install", *options, *more, "acorn-tiny", variables={"PIP_CONFIG_FILE": os.devnull})


def upload(home: Environment, site: Site, user: str, wheel: Path, *options: str) -> subprocess.CompletedProcess[str]:
    own = ("--repository-url", f"{site.url}/", "-u", user, "-p", PASSWORDS[user], "--non-interactive", "--disable-progress-bar", "--config-file", os.devnull)
    return home.run("-m", "twine", "--no-color", "upload", *own, *options, str(wheel), variables={"COLUMNS": "400"})


def browser_of(site: Site, user: str) -> SiteBrowser:
    token = base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()
    return SiteBrowser(site, HTTP_AUTHORIZATION=f"Basic {token}")


def test_people_meet_our_pages_and_then_the_packages(site: Site) -> None:
    alice = browser_of(site, "alice")
    for path in ("/", "/acorn-tiny/json", "/acorn-tiny", "/health"):
        assert alice.get(path).status_int == 303
        assert alice.get(path).headers["Location"].startswith("/second-factor/?next=")
    assert "Welcome to pypiserver!" in alice.enrolled(path="/")
    assert alice.get("/health", status=200).text == "Ok"


def test_twine_uploads_and_pip_installs_where_the_rule_says_so(pypiserver: Environment, site: Site, packages: Path, wheel: Path, tmp_path: Path) -> None:
    uploaded = upload(pypiserver, site, "release-robot", wheel)
    assert uploaded.returncode == 0, uploaded.stdout + uploaded.stderr
    assert (packages / wheel.name).read_bytes() == wheel.read_bytes()
    installed = install(pypiserver, site, "alice", tmp_path / "installed")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    used = pypiserver.run("-c", "import acorn_tiny; print(acorn_tiny.SAYS)", variables={"PYTHONPATH": str(tmp_path / "installed")})
    assert used.stdout == "planted\n"


def test_twine_says_what_is_missing_to_whom_the_rule_does_not_name(pypiserver: Environment, site: Site, packages: Path, wheel: Path) -> None:
    refused = upload(pypiserver, site, "alice", wheel)
    assert refused.returncode == 1
    assert "HTTPError: 401 Unauthorized from" in refused.stdout
    assert "second factor" not in refused.stdout + refused.stderr
    told = upload(pypiserver, site, "alice", wheel, "--verbose")
    assert told.returncode == 1
    assert '"title": "A second factor is needed"' in told.stdout
    assert "Open /second-factor/ in a browser that is signed in, add a second factor there, and try again." in told.stdout
    assert list(packages.iterdir()) == []


def test_the_robot_may_send_packages_and_nothing_else(site: Site, packages: Path) -> None:
    robot = browser_of(site, "release-robot")
    for path in ("/", "/acorn-tiny/json", "/health"):
        assert robot.get(path).status_int == 303
    for path in ("/RPC2", "/acorn-tiny", "/simple/../", "/second-factor/../"):
        assert robot.post(path, {":action": "remove_pkg"}).status_int in (401, 404, 405), path
    assert robot.post("/", {":action": "verify"}).status_int == 200  # pypiserver's own answer: it has heard the robot
    assert list(packages.iterdir()) == []


def test_nothing_is_open_without_the_password(site: Site) -> None:
    for path in ("/", "/simple/", "/packages/"):
        assert SiteBrowser(site).get(path, status=401).headers["WWW-Authenticate"] == 'Basic realm="packages"'
    # Given it, what the rule opens is open, so the walls of the other tests are the gate's.
    assert browser_of(site, "alice").get("/simple/", status=200).html.find("h1").get_text() == "Simple Index"


def test_twine_says_what_is_missing_without_the_rule(pypiserver: Environment, strict: Site, packages: Path, wheel: Path) -> None:
    refused = upload(pypiserver, strict, "release-robot", wheel, "--verbose")
    assert refused.returncode == 1
    assert '"title": "A second factor is needed"' in refused.stdout
    assert list(packages.iterdir()) == []


def test_pip_says_401_without_the_rule(pypiserver: Environment, strict: Site, packages: Path, wheel: Path, tmp_path: Path) -> None:
    (packages / wheel.name).write_bytes(wheel.read_bytes())
    refused = install(pypiserver, strict, "alice", tmp_path / "installed")
    assert refused.returncode == 1
    assert "401 Error, Credentials not correct for" in refused.stdout + refused.stderr
    assert "Could not find a version that satisfies the requirement acorn-tiny (from versions: none)" in refused.stderr
    assert not (tmp_path / "installed").exists()
    # The password is right: what is missing is what the answer says.
    wall = browser_of(strict, "alice").get("/simple/acorn-tiny/", headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html; q=0.01"}, status=401)
    assert wall.json["title"] == "A second factor is needed"


def test_pip_goes_on_to_the_next_place(pypiserver: Environment, strict: Site, packages: Path, tmp_path: Path) -> None:
    # What the page warns of: a private index behind the wall is not in the way of somebody else's package of the same name, an older one even.
    wheel_of(packages, "1.3", "ours")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    wheel_of(elsewhere, "1.2", "theirs")
    taken = install(pypiserver, strict, "alice", tmp_path / "installed", "--find-links", str(elsewhere))
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert (tmp_path / "installed" / "acorn_tiny.py").read_text() == "SAYS = 'theirs'\n"
