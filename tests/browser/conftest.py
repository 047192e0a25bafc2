"""One Chromium and a few running demos for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .stage import CHROMIUM, Demo, Person, Watch, fresh_number, launched

MILLISECONDS = 15_000

_names = iter(f"member{number}" for number in range(1, 1000))


@pytest.fixture(scope="package")
def playwright() -> Iterator[Any]:
    if CHROMIUM is None:
        complaint = "no Chromium here: the pages were not looked at in a browser"
        if os.environ.get("CI") == "true":
            pytest.fail(complaint)
        pytest.skip(complaint)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def chromium(playwright: Any) -> Iterator[Any]:
    with launched(playwright) as browser:
        yield browser


@pytest.fixture(scope="package")
def bottle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`make demo`, running."""
    demo = Demo("bottle", tmp_path_factory.mktemp("bottle"))
    try:
        yield demo
    finally:
        demo.end()


@pytest.fixture(scope="package")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`make demo SITE=flask`, running."""
    demo = Demo("flask", tmp_path_factory.mktemp("flask"))
    try:
        yield demo
    finally:
        demo.end()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What the browsers of a test complain of; nothing, when it has ended."""
    watching = Watch()
    yield watching
    watching.end()
    assert watching.unexpected() == []


@pytest.fixture(scope="package")
def handsets(chromium: Any) -> Iterator[Any]:
    """Where the phones' pages are open: no cookie of a site ever gets there."""
    context = chromium.new_context(viewport={"width": 420, "height": 900})
    context.set_default_timeout(MILLISECONDS)
    yield context
    context.close()


@pytest.fixture
def people(chromium: Any, handsets: Any, bottle: Demo, watch: Watch) -> Iterator[Callable[..., Person]]:
    """Makes somebody with a browser and a phone of their own: at the Bottle site unless told otherwise."""
    watch.over(handsets)
    present: list[Person] = []

    def appear(demo: Demo | None = None, context: Any = None, **about: Any) -> Person:
        used = context or chromium.new_context(viewport={"width": 420, "height": 800})
        if all(used is not person.context for person in present):
            watch.over(used)
            used.set_default_timeout(MILLISECONDS)
        present.append(Person(demo or bottle, used, handsets, about.pop("name", None) or next(_names), about.pop("number", None) or fresh_number(), **about))
        return present[-1]

    yield appear
    watch.end()
    for person in present:
        person.put_away()
        person.context.close()
