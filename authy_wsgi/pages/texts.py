"""Every sentence that a page says beside its template: by name, in plain words. A `texts.json` in the `templates` folder replaces some."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from string import Formatter

from authy_wsgi.errors import Misconfigured

TEXTS: Mapping[str, str] = {
    # Ways
    "way.push": "Approve on my phone",
    "way.app": "Code from my app",
    "way.sms": "Text message",
    "way.call": "Phone call",
    "way.email": "E-mail",
    "hint.push": "Open the request in the Authy app",
    "hint.app": "Authy app",
    # Code entry
    "sent.sms": "We sent a {digits}-digit code by text message to",
    "sent.call": "We are calling to say a {digits}-digit code:",
    "sent.email": "We sent a {digits}-digit code by e-mail to",
    "sent.app": "Open the Authy app and type the code that it shows for {site}.",
    "sent.ignored": "You have the Authy app, so no message was needed. Open it and type the code that it shows for {site}.",
    "code.wrong.one": "That code is not right. Check it and try again. 1 try left.",
    "code.wrong.some": "That code is not right. Check it and try again. {left} tries left.",
    "code.wrong.none": "That code is not right, and that was the last try for now. Come back {when}.",
    "code.wrong": "That code is not right. Check it and try again.",
    "code.used": "That code was used already. Wait for the next one, or ask for a new message.",
    "code.malformed": "A code has 6 to 10 digits. Check it and type it again.",
    "code.throttled": "Too many wrong codes. Come back {when}.",
    "code.throttled.attempt": "Too many wrong codes in this sign-in. Sign in again {when}.",
    "code.closed": "Codes are closed for your account after too many wrong ones. Ask the people who run this site to open them.",
    "code.push_open": " Approving on your phone still works.",
    "code.expired": "That code has run out. Choose how to get a new one.",
    # Push
    "push.expired": "The request ran out before you answered it. Nobody got in. Try again, or choose another way.",
    "push.waiting": "Waiting for your answer…",
    "push.approved": "Approved. Press Continue to go on.",
    # Ends
    "ended": "This sign-in has ended. Begin again.",
    "changed": "Your account has changed meanwhile, so this sign-in has ended. Begin again.",
    "disabled": "Your account is switched off here. Ask the people who run this site.",
    "stale": "This page was open for a while, or another tab began anew. Nothing was lost: check it and press the button again.",
    "unavailable": "The phone service does not answer just now. Nothing is wrong on your side. Try again in a moment, or choose another way.",
    "unavailable.us": "We cannot check your second step just now, so nobody is let in. Try again in a moment.",
    "misconfigured": "This site's second step is not set up correctly. Please tell the people who run it.",
    "again": " Come back {when}.",
    # A form on its way
    "kept.foreign": "Your browser did not say that it came from this site's own page, so we could not keep it for you.",
    "kept.large": "It is too large for us to keep it for you.",
    "kept.files": "It has files with it, which we cannot keep for you.",
    "kept.type": "It is of a kind that we cannot keep for you.",
    "kept.unread": "The page that it goes to does not let us keep it for you.",
    "kept.often": "We have kept many forms for you lately, so not this one.",
    "kept.gone": "The form is not kept any more: it was sent, or ten minutes have passed. Nothing was sent just now.",
    # Requests that do not fit
    "anonymous": "Sign in first; then we ask for the second step.",
    "anonymous.invited": "Sign in first, and then open the address of your invitation again.",
    "foreign": "This came from another site, so nothing was done.",
    "untrusted": "This page was not made for you, or is too old. Nothing was done. Open it again.",
}


def read_texts(folder: str) -> Mapping[str, str]:
    """Our texts, with those of `<folder>/texts.json` in their place. `Misconfigured` names what is wrong with that file."""
    path = Path(folder) / "texts.json" if folder else None
    if path is None or not path.exists():
        return TEXTS
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Misconfigured(f"texts.json in the templates folder is not JSON: {error}.") from None
    unknown = sorted(set(given) - set(TEXTS)) if isinstance(given, dict) else ["everything"]
    if unknown:
        raise Misconfigured(f"texts.json in the templates folder holds unknown names: {', '.join(unknown)}.")
    for name, text in given.items():
        if not isinstance(text, str) or not _places(text) <= _places(TEXTS[name]):
            raise Misconfigured(f"texts.json: {name} must be a text with no other places than {', '.join(sorted(_places(TEXTS[name]))) or 'none'} in braces.")
    return {**TEXTS, **given}


def _places(text: str) -> set[str]:
    """The names in braces; one that no text has, where the braces do not fit."""
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None} | {"site"}
    except ValueError:
        return {"(braces that do not fit)"}


def in_words(seconds: int) -> str:
    """ "in 24 seconds", "in 12 minutes", "in 3 hours", "in 2 days"."""
    for limit, size, name in ((90, 1, "second"), (5400, 60, "minute"), (129600, 3600, "hour")):
        if seconds < limit:
            count = max(1, -(-seconds // size))
            return f"in {count} {name}{'' if count == 1 else 's'}"
    return f"in {-(-seconds // 86400)} days"
