"""Phone numbers: read them in any spelling, keep them as E.164, show the last two digits only.

The rules are Google's libphonenumber's (the `phonenumbers` package), the country names CLDR's (Babel).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from babel import Locale, UnknownLocaleError

from authy_wsgi.errors import Refused

_MAX_LENGTH = 40


class Country(NamedTuple):
    """A line of the country list: ISO 3166 code ("PT"), name ("Portugal"), calling code (351)."""

    region: str
    name: str
    code: int


def read_number(text: str, region: str = "") -> str:
    """The number as E.164 ("+351912345678").

    `region` is the country (ISO 3166) that a number without "+" or "00" belongs to.
    `Refused` with a sentence and its field ("phone" or "country") where it cannot be one that takes a text message.
    """
    written = text.strip()
    if not written:
        raise Refused("Type your phone number.", field="phone")
    if len(written) > _MAX_LENGTH:
        raise Refused("That is too long for a phone number. Check it and try again.", field="phone")
    if written.startswith("00"):
        written = "+" + written[2:]
    number = _parse(written, region.upper() or None)
    if phonenumbers.number_type(number) in _NO_MESSAGES:
        raise Refused("That looks like a landline or a service number. Use a mobile number.", field="phone")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


_NO_MESSAGES = frozenset(
    {
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.TOLL_FREE,
        phonenumbers.PhoneNumberType.PREMIUM_RATE,
        phonenumbers.PhoneNumberType.SHARED_COST,
        phonenumbers.PhoneNumberType.UAN,
        phonenumbers.PhoneNumberType.VOICEMAIL,
    }
)


def _parse(written: str, region: str | None) -> phonenumbers.PhoneNumber:
    if region is None and not written.startswith("+"):
        raise Refused("Choose the country of this number, or start it with + and the country code.", field="country")
    try:
        number = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            raise Refused("That country code does not exist. Check the digits after the +.", field="phone") from None
        raise Refused("That does not look like a phone number. Use digits, for example 912 345 678.", field="phone") from None
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason == phonenumbers.ValidationResult.TOO_SHORT:
        raise Refused("This number is too short. Check that no digit is missing.", field="phone")
    if reason == phonenumbers.ValidationResult.TOO_LONG:
        raise Refused("This number is too long. Check for a digit too many.", field="phone")
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise Refused("There is no such number in that country. Check the digits and the country.", field="phone")
    return number


def split(e164: str) -> tuple[int, str]:
    """Calling code and national number, as the Authy API takes them: (351, "912345678")."""
    number = phonenumbers.parse(e164)
    return int(number.country_code or 0), str(phonenumbers.national_significant_number(number))


def region_of(e164: str) -> str:
    """The ISO code of a number's country, "" where it has none."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(e164)) or ""


def pretty(e164: str) -> str:
    """The number as people write it: "+351 912 345 678"."""
    return str(phonenumbers.format_number(phonenumbers.parse(e164), phonenumbers.PhoneNumberFormat.INTERNATIONAL))


def mask(e164: str) -> str:
    """What a page may show: the calling code and the last two digits, "+351 ••• ••• 78"."""
    return f"+{split(e164)[0]} ••• ••• {e164[-2:]}"


def mask_email(address: str) -> str:
    """What a page may show of an e-mail address: "a•••@example.com"."""
    name, _, host = address.partition("@")
    return f"{name[:1]}•••@{host}"


@lru_cache(maxsize=64)
def countries(locale: str = "en", allowed: frozenset[str] | None = None) -> tuple[Country, ...]:
    """The countries that numbers can be of, by name in the language of `locale`, in alphabetical order."""
    try:
        names = Locale.parse(locale, sep="-").territories
    except (UnknownLocaleError, ValueError):
        names = Locale("en").territories
    regions = phonenumbers.SUPPORTED_REGIONS if allowed is None else phonenumbers.SUPPORTED_REGIONS & allowed
    found = (Country(region, str(names.get(region, region)), phonenumbers.country_code_for_region(region)) for region in regions)
    return tuple(sorted(found, key=lambda country: country.name.casefold()))


def regions() -> frozenset[str]:
    """Every ISO code that a number can be of."""
    return frozenset(phonenumbers.SUPPORTED_REGIONS)
