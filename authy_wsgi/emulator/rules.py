"""What the service is set to do where its real behaviour is not known, or was a setting of the account: a switch for each."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 24 * 60 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The switches, each with the default that `docs/emulator.md` explains. Times are seconds."""

    verify_success_text: bool = True  # verify answers the string "true"; False: the boolean
    lenient_force: bool = True  # "True" and "1" count as "true" in `force`
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
    sms_enabled: bool = True  # False: 503, 60007
    calls_enabled: bool = True  # False: 503, 60006
    onetouch_enabled: bool = True  # False: 403, 60065
    custom_messages: bool = False  # phones/verification takes custom_code and custom_message; False: 403, 60091
