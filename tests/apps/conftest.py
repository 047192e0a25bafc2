"""The apps' environments, and the code of the page about them."""

from __future__ import annotations

import pytest

from tests.test_docs import blocks

from .environments import Environment, environment

PAGE = "docs/foreign-apps.md"


# What each block is known by.
SIGNS = {"httpbin": "from httpbin import", "pypiserver": "import pypiserver", "trac": "from trac."}


@pytest.fixture(scope="session")
def page() -> dict[str, str]:
    """The Python blocks of docs/foreign-apps.md, each by the app that it is about."""
    found = blocks(PAGE, "python")
    named = {name: code for code in found for name, sign in SIGNS.items() if sign in code}
    assert len(named) == len(found) == len(SIGNS), f"{PAGE} has a block that no test runs, or lacks one"
    return named


@pytest.fixture(scope="session")
def httpbin() -> Environment:
    return environment("httpbin")


@pytest.fixture(scope="session")
def pypiserver() -> Environment:
    return environment("pypiserver")


@pytest.fixture(scope="session")
def trac() -> Environment:
    return environment("trac")
