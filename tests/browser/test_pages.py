"""Every page of ours, in each situation that it is for: it fits a narrow screen, is built as it should be, and can be read in both schemes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import authy_wsgi.pages
from authy_wsgi.settings import contrast

from .conftest import MILLISECONDS
from .scenes import SCENES, Stage, staged
from .stage import Watch

pytestmark = pytest.mark.browser

STYLE = Path(authy_wsgi.pages.__file__).parent / "static/style.css"
CONTROL = 48
NARROW = {"width": 320, "height": 640}

# Faults of a page, found by looking at what the browser made of it. Links inside a sentence are as high as their line (WCAG 2.5.8 lets them).
FAULTS = """() => {
  const found = [], all = (what) => [...document.querySelectorAll(what)], seen = (node) => node.offsetParent !== null;
  const name = (node) => node.outerHTML.slice(0, 90);
  if (document.documentElement.lang !== "en") found.push("no language");
  if (!/.+ · .+/.test(document.title)) found.push("title: " + document.title);
  if (all("h1").length !== 1 || !document.querySelector("h1").innerText.trim()) found.push("headings: " + all("h1").length);
  if (all("main").length !== 1) found.push("main: " + all("main").length);
  for (const field of all("input:not([type=hidden]), select")) if (!field.labels.length) found.push("no label: " + name(field));
  for (const node of all("[style], style, script:not([src])")) found.push("inline: " + name(node));
  for (const node of all("*")) for (const each of node.attributes) if (each.name.startsWith("on")) found.push("inline: " + name(node));
  for (const node of all("[src], [href], [action]")) {
    const to = node.src || node.href || node.action;
    if (typeof to === "string" && !to.startsWith(location.origin + "/")) found.push("leads away: " + name(node));
  }
  const ids = all("[id]").map((node) => node.id);
  if (new Set(ids).size !== ids.length) found.push("an id is there twice");
  for (const node of all("[aria-describedby], [aria-labelledby]")) {
    for (const id of (node.getAttribute("aria-describedby") || node.getAttribute("aria-labelledby")).split(" ")) {
      if (!document.getElementById(id)) found.push("describes nothing: " + name(node));
    }
  }
  for (const node of all("svg, .logo")) {
    if (node.getAttribute("aria-hidden") !== "true" && node.getAttribute("alt") !== "") found.push("an ornament speaks: " + name(node));
  }
  for (const node of all("button, input:not([type=hidden]), select, a, summary").filter(seen)) {
    if (node.closest("p, pre") && node.tagName === "A") continue;
    if (node.offsetHeight < CONTROL && node.parentElement.offsetHeight < CONTROL) found.push(node.offsetHeight + " px high: " + name(node));
  }
  return found;
}""".replace("CONTROL", str(CONTROL))
SIDEWAYS = """() => [...document.querySelectorAll("*")]
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 0.5)
  .map((node) => node.outerHTML.slice(0, 90))
  .concat(document.documentElement.scrollWidth > innerWidth ? ["the page scrolls"] : [])"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as built:
        yield built


@pytest.fixture(scope="module")
def tabs(chromium: Any) -> Iterator[dict[bool, Any]]:
    """A tab with script and one without, each for many pages: at 320 px, which is also what 1280 px are at a zoom of 400 %."""
    contexts = [chromium.new_context(java_script_enabled=script, viewport=NARROW) for script in (True, False)]
    for context in contexts:
        context.set_default_timeout(MILLISECONDS)
    yield {True: contexts[0].new_page(), False: contexts[1].new_page()}
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", SCENES)
def test_the_page_fits_and_is_well_built(name: str, tabs: dict[bool, Any], stage: Stage, watch: Watch) -> None:
    scene = SCENES[name]
    page = tabs[scene.script]
    page.context.clear_cookies()
    page.set_viewport_size(NARROW)
    watch.over(page.context)
    documents: list[Any] = []
    page.on("response", lambda response: documents.append(response) if response.request.resource_type == "document" else None)
    stage.set(scene.settings)
    try:
        scene.play(stage, page)
        assert page.evaluate(FAULTS) == []
        assert page.evaluate(SIDEWAYS) == []
        headers = documents[-1].headers
    finally:
        watch.end()
        page.goto("about:blank")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["choose", "code wrong", "push waiting", "enrol, complaint", "long names", "phone"])
def test_text_of_twice_the_size_needs_no_sideways_scroll(name: str, tabs: dict[bool, Any], stage: Stage) -> None:
    page = tabs[True]
    page.context.clear_cookies()
    page.set_viewport_size(NARROW)
    stage.set(SCENES[name].settings)
    SCENES[name].play(stage, page)
    # As people set it in their browser, on a small window.
    page.set_viewport_size({"width": 480, "height": 640})
    page.evaluate("document.documentElement.style.fontSize = '32px'")
    assert page.evaluate("[...document.querySelectorAll('main p, main span')].every((node) => parseFloat(getComputedStyle(node).fontSize) >= 28)")
    assert page.evaluate(SIDEWAYS) == []


def tokens(css: str) -> dict[str, str]:
    """The colours among the custom properties of a rule."""
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(scheme: str) -> None:
    css = STYLE.read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    colours = tokens(light) if scheme == "light" else {**tokens(light), **tokens(dark)}
    assert len(colours) >= 12
    surfaces = ("ground", "card", "tint")
    pairs = [(text, on) for text in ("text", "quiet", "accent") for on in surfaces]
    pairs += [("on-accent", "accent"), ("wrong", "wrong-ground"), ("notice", "notice-ground")]
    faint = {f"{text} on {on}": round(contrast(colours[text], colours[on]), 2) for text, on in pairs if contrast(colours[text], colours[on]) < 4.5}
    assert faint == {}
    # What is not text but must be seen: the borders of fields and buttons (WCAG 1.4.11).
    assert min(contrast(colours["field-line"], colours[on]) for on in ("card", "ground")) >= 3
