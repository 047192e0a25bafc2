"""Phone numbers as the service reads, masks and shows them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType

_WRITTEN = re.compile(r"[+(]?[0-9][0-9 ().\-]{2,30}")
_KINDS = {
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.TOLL_FREE: "voip",
}


class NumberError(Exception):
    """A number that the service does not take: `field` is the parameter at fault, `text` what is said of it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field} {text}")
        self.field = field
        self.text = text


@dataclass(frozen=True, slots=True)
class Number:
    """One phone number: calling code, national digits, `+` and all digits, and as people write it abroad."""

    country_code: int
    national: str
    e164: str
    shown: str
    kind: str

    @property
    def status_mask(self) -> str:
        """`XXX-XXX-9302`: all but the last four digits hidden, grouped from the right."""
        hidden = "X" * max(len(self.national) - 4, 0)
        groups = (hidden[:-3], hidden[-3:], self.national[-4:])
        return "-".join(group for group in groups if group)

    @property
    def message_mask(self) -> str:
        """`+1-XXX-XXX-XX02`: the same shape for every length."""
        return f"+{self.country_code}-XXX-XXX-XX{self.national[-2:]}"


def read_number(country_code: str, text: str, *, field: str = "cellphone") -> Number:
    """The number that two parameters mean, however it is written; `NumberError` where they mean none."""
    calling = country_code.strip().removeprefix("+")
    if not (calling.isascii() and calling.isdigit() and len(calling) <= 6 and int(calling) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE):
        raise NumberError("country_code", "is not supported")
    written = text.strip()
    if not _WRITTEN.fullmatch(written):
        raise NumberError(field, "is invalid")
    try:
        parsed = phonenumbers.parse(written if written.startswith("+") else f"+{int(calling)} {written}")
    except NumberParseException:
        raise NumberError(field, "is invalid") from None
    whole = phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE
    if parsed.country_code != int(calling) or not whole:
        raise NumberError(field, "is invalid")
    return _number(parsed)


def _number(parsed: phonenumbers.PhoneNumber) -> Number:
    return Number(
        country_code=parsed.country_code or 0,
        national=phonenumbers.national_significant_number(parsed),
        e164=phonenumbers.format_number(parsed, PhoneNumberFormat.E164),
        shown=phonenumbers.format_number(parsed, PhoneNumberFormat.INTERNATIONAL),
        kind=_KINDS.get(phonenumbers.number_type(parsed), "cellphone"),
    )
