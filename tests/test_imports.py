"""What is loaded with what, in fresh processes: a site pays for the libraries that it uses, and for no framework but its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

import authy_wsgi

INTEGRATIONS = Path(authy_wsgi.__file__).parent / "integrations"
FRAMEWORKS = {"bottle", "django", "flask", "paste.deploy", "pyramid"}
STRANGERS = FRAMEWORKS | {"bs4", "flask_login", "gunicorn", "hypothesis", "psycopg", "pytest", "redis", "segno", "waitress", "webtest"}
# Modules of ours that a site asks for by name.
APART = ("cli", "emulator", "explain", "integrations", "ledgers.redis", "testing")


def loaded(statement: str) -> set[str]:
    """The modules that a statement brings into a Python that has nothing else to do."""
    script = f"import json, sys; before = set(sys.modules); {statement}; print(json.dumps([name for name in sys.modules if name not in before]))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def below(modules: set[str], rooms: set[str] | tuple[str, ...]) -> set[str]:
    return {module for module in modules if any(f"{module}.".startswith(f"{room}.") for room in rooms)}


def needed(distribution: str) -> set[str]:
    """A distribution and all that it needs without extras, by their normal names."""
    found, waiting = set(), {distribution}
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found.add(name)
            try:
                needs = [need for need in requires(name) or [] if "extra ==" not in need]
            except PackageNotFoundError:  # for another Python or system
                continue
            waiting |= {re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs}
    return found


def test_the_package_loads_what_it_needs_and_no_more() -> None:
    modules = loaded("import authy_wsgi")
    assert {"authy_wsgi.middleware", "sqlalchemy", "webob"} <= modules
    assert not below(modules, STRANGERS)
    assert not below(modules, tuple(f"authy_wsgi.{room}" for room in APART))
    owners = packages_distributions()
    ours = needed("authy-wsgi")
    others = {module: owners[top] for module in modules if (top := module.partition(".")[0]) in owners}
    strays = {module for module, names in others.items() if not {re.sub(r"[-_.]+", "-", name).lower() for name in names} & ours}
    assert not strays


@pytest.mark.parametrize("module", sorted(path.stem for path in INTEGRATIONS.iterdir() if path.stem != "__init__" and path.stem != "__pycache__"))
def test_an_integration_loads_no_framework_but_its_own(module: str) -> None:
    modules = loaded(f"import authy_wsgi.integrations.{module}")
    assert f"authy_wsgi.integrations.{module}" in modules
    assert not below(modules, FRAMEWORKS - {module})


def test_the_command_line_loads_no_emulator_before_it_runs_one() -> None:
    modules = loaded("import authy_wsgi.cli")
    assert "authy_wsgi.middleware" in modules
    assert not below(modules, STRANGERS | {"authy_wsgi.emulator", "authy_wsgi.integrations"})
