"""Pictures of every page: `python -m tests.browser.screenshots [folder]` (default `shots/`), and with `--readme` the one in the README.

Each page at 360 and 1280 px, light and dark, as `<page>-<width>-<scheme>.png`; `index.html` in the folder shows them side by side.
"""

from __future__ import annotations

import argparse
import html
import logging
import re
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from .scenes import SCENES, staged
from .stage import CHROMIUM, ROOT, Demo, Person, launched

WIDTHS = (360, 1280)
SCHEMES = ("light", "dark")


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def shoot(page: Any, folder: Path, name: str) -> None:
    """The page as it stands, at each width and in each scheme."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 720})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.screenshot(path=str(folder / f"{slug(name)}-{width}-{scheme}.png"), full_page=True)


def our_pages(chromium: Any, folder: Path, wanted: Callable[[str], bool] = bool) -> Iterator[str]:
    with staged() as stage:
        for scene in SCENES.values():
            if not wanted(scene.name):
                continue
            stage.set(scene.settings)
            context = chromium.new_context(java_script_enabled=scene.script)
            page = context.new_page()
            scene.play(stage, page)
            shoot(page, folder, scene.name)
            context.close()
            yield scene.name


def site_pages(chromium: Any, folder: Path) -> Iterator[str]:
    """The pages of the two example sites, from the running demo."""
    for site in ("bottle", "pyramid"):
        demo = Demo(site, Path(tempfile.mkdtemp()))
        try:
            context = chromium.new_context()
            number, password = ("202-555-0123", "eight acorns") if site == "pyramid" else ("408-555-5270", "correct horse")
            alice = Person(demo, context, context, "alice", number, password)
            for path in ("", "login", "nowhere", "register"):
                alice.go(path)
                shoot(alice.page, folder, f"{site} {path or 'home'}")
                yield f"{site} {path or 'home'}"
            if site == "bottle":
                alice.page.fill("[name=name]", "a")
                alice.page.fill("[name=phone]", "12")
                alice.page.evaluate("document.querySelector('form[action$=register]').noValidate = true")
                alice.press("Join")
                alice.says("Nearly there")
                shoot(alice.page, folder, "bottle register complaints")
                yield "bottle register complaints"
                alice.join()
            alice.log_in()
            alice.press("Send me a code")
            alice.enter(demo.simulator.read(alice.number)["messages"][-1]["code"])
            alice.inside()
            for path in ("members", *(("pay",) if site == "pyramid" else ("password",))):
                alice.go(path)
                shoot(alice.page, folder, f"{site} {path}")
                yield f"{site} {path}"
        finally:
            demo.end()


def for_the_readme(chromium: Any, target: Path) -> None:
    """The waiting page of the running demo, and beside it the phone that it waits for."""
    demo = Demo("bottle", Path(tempfile.mkdtemp()))
    try:
        look: dict[str, Any] = {"viewport": {"width": 440, "height": 830}, "device_scale_factor": 1.5, "color_scheme": "light", "reduced_motion": "reduce"}
        context = chromium.new_context(**look)
        alice = Person(demo, context, context, "alice", "202-555-0123")
        alice.become_member(app=True)
        alice.come_back()
        alice.ask_phone()
        alice.phone.locator("#pending .request").wait_for()
        pictures = [b64encode(page.screenshot()).decode() for page in (alice.page, alice.phone)]
        figures = "".join(f'<img src="data:image/png;base64,{picture}">' for picture in pictures)
        style = "img{width:440px;border:1px solid #c9ced6;border-radius:16px}body{margin:0;display:flex;gap:20px;width:904px}"
        page = chromium.new_page(viewport={"width": 904, "height": 832}, device_scale_factor=1.5)
        page.set_content(f"<!doctype html><style>{style}</style>{figures}", wait_until="load")
        page.screenshot(path=str(target), omit_background=True)
    finally:
        demo.end()


def index(folder: Path, names: list[str]) -> None:
    rows = []
    for name in names:
        pictures = "".join(
            f'<img loading="lazy" src="{slug(name)}-{width}-{scheme}.png" alt="{width} px, {scheme}" style="width:{min(width, 640)}px">'
            for width in WIDTHS
            for scheme in SCHEMES
        )
        rows.append(f"<h2>{html.escape(name)}</h2><div>{pictures}</div>")
    style = "<style>body{font:16px sans-serif;background:#777;color:#fff}div{display:flex;gap:12px;align-items:start;overflow-x:auto}</style>"
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Pages</title>{style}{"".join(rows)}'
    (folder / "index.html").write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description="Pictures of every page, light and dark, narrow and wide.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "shots")
    parser.add_argument("--only", default="", help="only the pages whose name holds this")
    parser.add_argument("--readme", action="store_true", help="make docs/screenshot.png from the running demo instead")
    chosen = parser.parse_args(arguments)
    if CHROMIUM is None:
        print("There is no chromium, chromium-browser or google-chrome here.", file=sys.stderr)
        return 2
    logging.getLogger("authy_wsgi").setLevel(logging.CRITICAL)
    with sync_playwright() as playwright, launched(playwright) as chromium:
        if chosen.readme:
            for_the_readme(chromium, ROOT / "docs/screenshot.png")
            return 0
        chosen.folder.mkdir(parents=True, exist_ok=True)
        names = []
        for name in our_pages(chromium, chosen.folder, lambda name: chosen.only in name):
            print(name)
            names.append(name)
        if not chosen.only:
            for name in site_pages(chromium, chosen.folder):
                print(name)
                names.append(name)
        index(chosen.folder, names)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
