"""One Chromium and a few running demos for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .stage import CHROMIUM, Demo, Person, Watch, fresh_number, launched

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
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """`make demo SITE=pyramid`, running."""
    demo = Demo("pyramid", tmp_path_factory.mktemp("pyramid"))
    try:
        yield demo
    finally:
        demo.end()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """What the browsers of a test complain of; nothing, when it has ended."""
    watching = Watch()
    yield watching
    assert watching.unexpected() == []


@pytest.fixture
def people(chromium: Any, bottle: Demo, watch: Watch) -> Iterator[Callable[..., Person]]:
    """Makes somebody with a browser and a phone of their own: at the Bottle site unless told otherwise."""
    open_now: list[Any] = []

    def appear(demo: Demo | None = None, context: Any = None, **about: Any) -> Person:
        used = context or chromium.new_context(viewport={"width": 420, "height": 800})
        handset = chromium.new_context(viewport={"width": 420, "height": 900})
        for each in (used, handset):
            if each not in open_now:
                watch.over(each)
                each.set_default_timeout(15_000)
                open_now.append(each)
        return Person(demo or bottle, used, handset, about.pop("name", None) or next(_names), about.pop("number", None) or fresh_number(), **about)

    yield appear
    for each in open_now:
        each.close()
