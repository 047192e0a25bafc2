"""The house stands: a module imports what lies below it, never beside or above, and there are no cycles."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import authy_wsgi

ROOT = Path(authy_wsgi.__file__).parent

# Longest prefix wins. A package on one floor may import within itself.
FLOORS = {
    "authy_wsgi.errors": 0,
    "authy_wsgi.contracts": 0,
    "authy_wsgi.phones": 1,
    "authy_wsgi.documents": 1,
    "authy_wsgi.tickets": 1,
    "authy_wsgi.database": 1,
    "authy_wsgi.settings": 2,
    "authy_wsgi.records": 2,
    "authy_wsgi.ledgers": 2,
    "authy_wsgi.stores": 2,
    "authy_wsgi.clients": 2,
    "authy_wsgi.attempts": 3,
    "authy_wsgi.limits": 3,
    "authy_wsgi.events": 3,
    "authy_wsgi.accounts": 4,
    "authy_wsgi.enrolment": 5,
    "authy_wsgi.codes": 5,
    "authy_wsgi.pushes": 5,
    "authy_wsgi.backend": 6,
    "authy_wsgi.identity": 5,
    "authy_wsgi.policy": 5,
    "authy_wsgi.site": 5,
    "authy_wsgi.pages": 7,
    "authy_wsgi.middleware": 8,
    "authy_wsgi.integrations": 9,
    "authy_wsgi.emulator": 8,
    "authy_wsgi.explain": 9,
    "authy_wsgi.lookup": 9,
    "authy_wsgi.cli": 10,
    "authy_wsgi.testing": 10,
    "authy_wsgi.pytest_plugin": 11,
    "authy_wsgi": 11,
    "authy_wsgi.__main__": 11,
}

# What must not know of each other, whatever their floors.
APART = [
    ("authy_wsgi.codes", ("authy_wsgi.clients", "authy_wsgi.stores", "authy_wsgi.ledgers")),
    ("authy_wsgi.pushes", ("authy_wsgi.clients", "authy_wsgi.stores", "authy_wsgi.ledgers")),
    ("authy_wsgi.backend", ("authy_wsgi.clients", "authy_wsgi.stores", "authy_wsgi.ledgers")),
    ("authy_wsgi.pages", ("authy_wsgi.clients", "authy_wsgi.stores", "authy_wsgi.ledgers")),
    ("authy_wsgi.policy", ("authy_wsgi.clients", "authy_wsgi.stores", "authy_wsgi.ledgers")),
    # Two independent readings of the protocol, so that one misreading cannot pass its own test.
    ("authy_wsgi.emulator", ("authy_wsgi.clients", "authy_wsgi.backend", "authy_wsgi.middleware")),
]

# The one door to a library.
DOORS = {
    "itsdangerous": {"authy_wsgi.tickets"},
    "requests": {
        *("authy_wsgi.clients.http", "authy_wsgi.clients.authy", "authy_wsgi.clients.authy_api"),
        *("authy_wsgi.emulator.adapter", "authy_wsgi.emulator.callbacks", "authy_wsgi.emulator.app"),
        "authy_wsgi.testing.authy",
    },
    "sqlalchemy": {"authy_wsgi.database", "authy_wsgi.stores.sql", "authy_wsgi.ledgers.sql"},
    "phonenumbers": {"authy_wsgi.phones", "authy_wsgi.emulator.numbering"},
    "jinja2": {"authy_wsgi.pages.look", "authy_wsgi.emulator.phones"},
    "cryptography": {"authy_wsgi.tickets"},
    "segno": {"authy_wsgi.emulator.picture"},
    # A framework is imported by its own module alone.
    "bottle": {"authy_wsgi.integrations.bottle"},
    "flask": {"authy_wsgi.integrations.flask", "authy_wsgi.testing.flask"},
    "pyramid": {"authy_wsgi.integrations.pyramid"},
    "django": {
        f"authy_wsgi.integrations.django.{part}"
        for part in ("apps", "checks", "decorators", "factor", "middleware", "models", "store", "migrations.0001_initial")
    }
    | {"authy_wsgi.testing.django"},
    # A test kit is loaded by tests alone.
    "webtest": {"authy_wsgi.testing.webtest"},
    "pytest": {"authy_wsgi.pytest_plugin", *(f"authy_wsgi.testing.contracts.{part}" for part in ("clients", "ledgers", "users"))},
    "hypothesis": {"authy_wsgi.testing.contracts.users"},
    "bs4": {"authy_wsgi.testing.walk"},
}

# Imported where it is used: a site that never runs the emulator does not load it.
LAZY = {("authy_wsgi.cli", f"authy_wsgi.emulator.{module}") for module in ("callbacks", "rules", "server", "storage")}
# Extras, and what Django lets nobody import before its apps are loaded.
LAZY |= {("authy_wsgi.integrations.texts", "authy_wsgi.ledgers.redis"), ("authy_wsgi.integrations.flask", "flask_login")}
# Every run of pytest loads the plug-in, few need what is behind it.
LAZY |= {("authy_wsgi.pytest_plugin", "authy_wsgi.testing"), ("authy_wsgi.pytest_plugin", "authy_wsgi.emulator")}
LAZY |= {("authy_wsgi.integrations.django.store", "authy_wsgi.integrations.django.models")}
LAZY |= {
    ("authy_wsgi.integrations.django.apps", late)
    for late in ("django.contrib.auth.signals", "authy_wsgi.integrations.django.checks", "authy_wsgi.integrations.django.factor")
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(path: Path) -> set[tuple[str, bool]]:
    """(imported module, at the top of the file) for each import."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    found: set[tuple[str, bool]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.name, id(node) in top) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add((whole if whole in MODULES else str(node.module), id(node) in top))
    return found


def floor_of(module: str) -> tuple[int, str]:
    room = max((room for room in FLOORS if module == room or module.startswith(room + ".")), key=len)
    return FLOORS[room], room


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    floor, room = floor_of(module)
    if module.startswith("authy_wsgi.") and room == "authy_wsgi":
        pytest.fail(f"{module} has no floor in the plan")
    for imported, _ in imports(MODULES[module]):
        if imported.startswith("authy_wsgi"):
            below, other = floor_of(imported)
            assert below < floor or other == room, f"{module} (floor {floor}) imports {imported} (floor {below})"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_imported_inside_a_function(module: str) -> None:
    hidden = {imported for imported, at_top in imports(MODULES[module]) if not at_top and (module, imported) not in LAZY}
    assert not hidden


@pytest.mark.parametrize(("room", "strangers"), APART)
def test_rooms_that_do_not_know_each_other(room: str, strangers: tuple[str, ...]) -> None:
    for module in MODULES:
        if module == room or module.startswith(room + "."):
            assert not {imported for imported, _ in imports(MODULES[module]) if imported.startswith(strangers)}, module


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_its_door(library: str) -> None:
    users = {module for module in MODULES if any(imported.partition(".")[0] == library for imported, _ in imports(MODULES[module]))}
    assert users == DOORS[library]


def test_there_are_no_cycles() -> None:
    edges = {module: {imported for imported, _ in imports(path) if imported in MODULES and imported != module} for module, path in MODULES.items()}
    state: dict[str, int] = {}

    def walk(module: str, trail: list[str]) -> None:
        state[module] = 1
        for other in edges[module]:
            assert state.get(other) != 1, f"cycle: {' -> '.join([*trail, module, other])}"
            if other not in state:
                walk(other, [*trail, module])
        state[module] = 2

    for module in MODULES:
        if module not in state:
            walk(module, [])


def test_modules_and_functions_stay_small() -> None:
    large = [f"{module}: {lines} lines" for module, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > 700]
    assert not large
