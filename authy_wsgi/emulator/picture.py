"""The image that `users/{id}/secret` points to: a QR code for another authenticator to scan."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import quote

import segno

from authy_wsgi.emulator.codes import base32
from authy_wsgi.site import Response

QUIET_ZONE = 4  # modules of white around the code (ISO/IEC 18004)


def picture(key: bytes, label: str, issuer: str, size: int) -> Response:
    """The key as a PNG of about `size` pixels: each module is a whole number of pixels, so it is seldom exactly as large."""
    code = segno.make_qr(key_uri(key, label, issuer), error="m")
    drawn = BytesIO()
    code.save(drawn, kind="png", scale=max(1, size // code.symbol_size(border=QUIET_ZONE)[0]), border=QUIET_ZONE)
    response = Response(body=drawn.getvalue())
    response.headers["Content-Type"] = "image/png"
    return response


def key_uri(key: bytes, label: str, issuer: str) -> str:
    """A key as authenticators read it (the Key URI format).

    >>> key_uri(b"12345", "Acorn: alice@example.com", "Acorn")
    'otpauth://totp/Acorn:alice%40example.com?secret=GEZDGNBV&issuer=Acorn'
    """
    # The colon divides issuer and account, so that neither may have one.
    firm, account = _short(issuer, 60), _short(label.removeprefix(f"{issuer}:"), 120)
    return f"otpauth://totp/{quote(firm, safe='')}:{quote(account, safe='')}?secret={base32(key)}&issuer={quote(firm, safe='')}"


def _short(text: str, size: int) -> str:
    """A name that fits into the code: at most so many bytes of UTF-8."""
    return text.replace(":", " ").strip().encode("utf-8", "replace")[:size].decode("utf-8", "ignore")
