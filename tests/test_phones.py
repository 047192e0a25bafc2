"""Numbers in any spelling, shown by their last two digits only."""

from __future__ import annotations

import pytest

from authy_wsgi import Refused, phones


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("912 345 678", "PT", "+351912345678"),
        ("+351 912-345-678", "", "+351912345678"),
        ("00351912345678", "", "+351912345678"),
        ("(408) 555-5270", "us", "+14085555270"),
        ("+14085555270", "PT", "+14085555270"),
        ("0049 151 23456789", "", "+4915123456789"),
        ("0151 23456789", "DE", "+4915123456789"),
    ],
)
def test_a_number_is_read_in_any_spelling(text: str, region: str, number: str) -> None:
    assert phones.read_number(text, region) == number


@pytest.mark.parametrize(
    ("text", "region", "says", "field"),
    [
        ("", "PT", "Type your phone number", "phone"),
        ("912 345 678", "", "Choose the country", "country"),
        ("12", "US", "too short", "phone"),
        ("912345678901", "PT", "too long", "phone"),
        ("+999 123456", "", "does not exist", "phone"),
        ("my phone", "PT", "does not look like", "phone"),
        ("1" * 50, "PT", "too long", "phone"),
        ("+351 21 123 4567", "", "landline", "phone"),
        ("+1 800 555 0199", "", "landline or a service", "phone"),
    ],
)
def test_a_number_that_cannot_be_is_told_why_and_where(text: str, region: str, says: str, field: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        phones.read_number(text, region)
    assert caught.value.field == field


def test_two_digits_are_shown() -> None:
    assert phones.mask("+351912345678") == "+351 ••• ••• 78"
    assert phones.mask_email("alice@example.com") == "a•••@example.com"


def test_countries_are_listed_by_name_in_the_readers_language() -> None:
    names = [country.name for country in phones.countries()]
    assert names == sorted(names, key=str.casefold)
    assert ("PT", "Portugal", 351) in phones.countries("en", frozenset({"PT", "US"}))
    assert "Deutschland" in {country.name for country in phones.countries("de-DE")}
    assert phones.countries("no such language") == phones.countries("en")
