"""What the service is set to do where its real behaviour is not known, or was a setting of the account: a switch for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Self

DAY = 24 * 60 * 60
SHAPES = ("2023", "2019", "2017", "2016")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The switches, each with the default that `docs/emulator.md` explains. Times are seconds; a limit of 0 is none."""

    verify_success_text: bool = True  # verify answers the string "true"; False: the boolean
    lenient_force: bool = True  # "True" and "1" count as "true" in `force`
    refuse_repeated: bool = False  # a field that is there twice is 400, 60002; False: the last one counts
    install_links: bool = False  # registering with send_install_link_via_sms puts a message with a link on the phone
    code_lifetime: int = 600  # how long a code from a message is good
    verification_digits: int = 4  # of phones/verification, where `code_length` is not given
    app_code_step: int = 20  # how often the app's code changes
    deletion_delay: int = DAY  # how long a removed user's codes keep verifying
    approval_lifetime: int = DAY  # where `seconds_to_expire` is not given
    approval_needs_app: bool = True  # a request for a user without the app fails
    no_app_status: int = 400  # the HTTP status of that failure (60050)
    message_limit: int = 200  # characters of a request's message
    label_limit: int = 20  # characters of a detail's label
    value_limit: int = 200  # characters of a detail's value
    details_limit: int = 0  # how many details a request may have
    sms_enabled: bool = True  # False: 503, 60007
    calls_enabled: bool = True  # False: 503, 60006
    onetouch_enabled: bool = True  # False: 403, 60065
    generic_tokens_enabled: bool = True  # False: users/{id}/secret answers 403, 60123
    exports_enabled: bool = True  # False: users/{id}/secret/export and users/{id}/phone_number answer 403, 60031
    sms_to_landlines: bool = False  # False: 403, 60082
    custom_messages: bool = False  # phones/verification takes custom_code and custom_message; False: 403, 60091
    requests_per_minute: int = 0  # of one call for one user or number; beyond: 60003
    sms_per_day: int = 0  # of the application; beyond: 60010
    sms_per_month: int = 0  # beyond: 60009
    calls_per_day: int = 0  # beyond: 60012
    calls_per_month: int = 0  # beyond: 60011
    limit_status: int = 429  # the HTTP status of those five; older servers answered 503
    wrong_codes: int = 0  # in a row; the next answer is 60017, until the user is restored
    callback_shape: str = "2019"  # the members of a OneTouch callback, as they were in that year
    callback_retries: int = 0  # how often a callback that got no 2xx is sent again
    callback_pause: int = 5  # before it is sent again

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not type(field.default):
                raise ValueError(f"{field.name} must be {'True or False' if isinstance(field.default, bool) else 'a ' + type(field.default).__name__}")
            if isinstance(value, int) and value < 0:
                raise ValueError(f"{field.name} must be 0 or more")
        for name in ("app_code_step", "code_lifetime"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be at least a second")
        if not 4 <= self.verification_digits <= 10:
            raise ValueError("verification_digits must be from 4 to 10")
        for name in ("no_app_status", "limit_status"):
            if not 400 <= getattr(self, name) <= 599:
                raise ValueError(f"{name} must be a status from 400 to 599")
        if self.callback_shape not in SHAPES:
            raise ValueError(f"callback_shape must be one of {', '.join(SHAPES)}")

    def but(self, switches: Iterable[str]) -> Self:
        """The same with other settings, each as `name=value`; `ValueError` with a sentence."""
        known = {field.name: field.default for field in fields(self)}
        told: dict[str, object] = {}
        for switch in switches:
            name, equals, text = (part.strip() for part in switch.partition("="))
            if not equals or name not in known:
                raise ValueError(f"{switch!r} is no switch: say name=value, with one of {', '.join(known)}")
            told[name] = _read(name, text, known[name])
        return replace(self, **told)  # type: ignore[arg-type]


def _read(name: str, text: str, default: object) -> object:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name} must be true or false")
        return text.lower() == "true"
    if isinstance(default, int):
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            raise ValueError(f"{name} must be a whole number")
        return int(text)
    return text
