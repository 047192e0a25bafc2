"""The image that `users/{id}/secret` points to. It shows the key as text: to be typed, not scanned."""

from __future__ import annotations

from html import escape

from authy_wsgi.emulator.codes import base32
from authy_wsgi.site import Response


def picture(key: bytes, label: str, issuer: str, size: int) -> Response:
    """The key and its label as an SVG of that many pixels."""
    text = base32(key)
    lines = [" ".join(text[at : at + 4] for at in range(row, row + 8, 4)) for row in range(0, len(text), 8)]
    named = "".join(letter for letter in label if letter.isprintable())[:34]
    rows = [("Simulator", 15), ("Type this key into your authenticator:", 13), *((line, 22) for line in lines), (named, 13)]
    drawn = "".join(
        f'<text x="150" y="{50 + 34 * row}" font-size="{height}" font-family="monospace" text-anchor="middle" fill="#16181d">{escape(line)}</text>'
        for row, (line, height) in enumerate(rows)
    )
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 300 300">'
    svg = f'{opening}<rect width="300" height="300" fill="#fff"/>{drawn}</svg>'
    response = Response(body=svg.encode("utf-8", "replace"))
    response.headers["Content-Type"] = "image/svg+xml;charset=utf-8"
    return response
