"""How pages are made: templates, static files, and the headers that every answer of ours carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from colorsys import hls_to_rgb, rgb_to_hls
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, TemplateError

from authy_wsgi.errors import Misconfigured
from authy_wsgi.pages.texts import in_words, read_texts
from authy_wsgi.settings import Settings, contrast
from authy_wsgi.site import RequestError, Response

_HERE = Path(__file__).parent
_STATIC = {"style.css": "text/css", "script.js": "text/javascript", "icon.svg": "image/svg+xml"}
_DARK_CARD = "#1a1c22"  # as in style.css
_READABLE = 7.0  # WCAG 2.2, 1.4.6

# form-action is left out on purpose: Chromium applies it to the app's own redirect after our form, to a single sign-on host for example.
CSP = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # Not no-referrer: with that, Chromium sends "Origin: null" on our own forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def respond(status: int, body: str | bytes = b"", content_type: str = "text/html", headers: Mapping[str, str] | None = None) -> Response:
    """An answer of ours with the headers that all of them carry."""
    data = body.encode() if isinstance(body, str) else body
    response = Response(status=status, body=data, content_type=content_type)
    if content_type.startswith("text/"):
        response.charset = "utf-8"
    add_headers(response, {**HEADERS, **(headers or {})})
    return response


def add_headers(response: Response, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        response.headers[name] = value


def respond_json(status: int, document: Mapping[str, Any], content_type: str = "application/json", headers: Mapping[str, str] | None = None) -> Response:
    return respond(status, json.dumps(document), content_type, headers)


@lru_cache(maxsize=16)
def _templates(folder: str) -> Environment:
    """Our templates, with those of the site's folder in their place. Compiled once, so that a mistake in one shows at start."""
    folders = [each for each in (folder, str(_HERE / "templates")) if each]
    made = Environment(loader=ChoiceLoader([FileSystemLoader(each) for each in folders]), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    for template in sorted(path.name for path in (_HERE / "templates").glob("*.html")):
        try:
            made.get_template(template)
        except TemplateError as error:
            raise Misconfigured(f"The template {template} in the templates folder does not compile: {error}.") from error
    return made


class Look:
    """Templates, texts and static files, with the site's own in their place where it has a folder of them."""

    def __init__(self, settings: Settings) -> None:
        self._templates = _templates(settings.templates)
        self.texts = read_texts(settings.templates)
        self._files = {name: ((_HERE / "static" / name).read_bytes(), kind) for name, kind in _STATIC.items()}
        self._files["theme.css"] = (_theme(settings.accent).encode(), "text/css")
        if settings.logo:
            self._files["logo"] = (Path(settings.logo).read_bytes(), settings.image_type)
        # A new version is another address, so that browsers may keep what they have.
        version = hashlib.sha256(b"".join(data for data, _ in self._files.values())).hexdigest()[:12]
        self._site = settings.shown_name
        self._everywhere = {"site": self._site, "initial": self._site[:1].upper(), "has_logo": bool(settings.logo), "version": version, "t": self.text}

    def text(self, name: str, **values: object) -> str:
        """A sentence by name, filled in; `when` may be given as seconds."""
        if isinstance(values.get("when"), int):
            values["when"] = in_words(max(1, int(str(values["when"]))))
        return self.texts[name].format(site=self._site, **values)

    def page(self, template: str, status: int, values: Mapping[str, Any]) -> Response:
        return respond(status, self._templates.get_template(template).render({**self._everywhere, **values}))

    def file(self, name: str) -> Response:
        """A static file; `RequestError` 404 for a name that is not one."""
        if name not in self._files:
            raise RequestError(404, "There is no such file here.")
        data, content_type = self._files[name]
        return respond(200, data, content_type, {"Cache-Control": "public, max-age=86400", "Cross-Origin-Resource-Policy": "same-origin"})


def _theme(accent: str) -> str:
    """The site's accent as custom properties. The dark scheme takes it as light as text on a dark card has to be, of the same hue and saturation."""
    if not accent:
        return "/* The site has no accent of its own. */\n"
    hue, lightness, saturation = rgb_to_hls(*(int(accent[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    lighter = accent
    while contrast(lighter, _DARK_CARD) < _READABLE and lightness < 1:
        lightness += 0.01
        lighter = "#" + "".join(f"{round(min(1, part) * 255):02x}" for part in hls_to_rgb(hue, min(1, lightness), saturation))
    return f":root {{ --accent: {accent}; }}\n@media (prefers-color-scheme: dark) {{ :root {{ --accent: {lighter}; }} }}\n"
