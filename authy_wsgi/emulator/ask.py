"""One API call, read: what every handler gets besides the state."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from authy_wsgi.emulator.failures import bad_parameter, failure
from authy_wsgi.emulator.numbering import Number, NumberError, read_number
from authy_wsgi.emulator.parameters import Parameters, Value
from authy_wsgi.emulator.rules import DAY, Rules
from authy_wsgi.emulator.state import State, User


@dataclass(frozen=True, slots=True)
class Ask:
    """The name of the route, the variable parts of its path, the merged parameters, and the URL that the service was reached at."""

    route: str
    arguments: Mapping[str, str]
    parameters: Parameters
    base_url: str
    state: State

    @property
    def rules(self) -> Rules:
        """The switches."""
        return self.state.rules

    def text(self, name: str) -> str:
        """A parameter as text, "" where absent; 60004 where it is nested."""
        return as_text(name, self.parameters.get(name))

    def required(self, name: str) -> str:
        """A parameter that must be there; 60004 where it is not."""
        text = self.text(name)
        if not text.strip():
            raise bad_parameter(name, "Parameter is required")
        return text

    def flag(self, name: str) -> bool:
        """A parameter that says true."""
        text = self.text(name).strip()
        return text.lower() in ("true", "1") if self.rules.lenient_force else text == "true"

    def user(self) -> User:
        """The user of this path, or 60026; a suspended one is 60017."""
        user = find_user(self.state, self.arguments["id"])
        if user is None or user.removed_at is not None:
            raise failure(60026)
        if user.suspended:
            raise failure(60017)
        return user

    def spend(self, kind: str) -> None:
        """One more SMS or call of the application's; 60009 to 60012 where its limit is reached."""
        rules, state = self.rules, self.state
        today = datetime.fromtimestamp(state.now(), UTC)
        day = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) + DAY
        month = int(datetime(today.year, today.month, 1, tzinfo=UTC).timestamp()) + DAY * monthrange(today.year, today.month)[1]
        limits = {
            "sms": (("60009", month, rules.sms_per_month), ("60010", day, rules.sms_per_day)),
            "call": (("60011", month, rules.calls_per_month), ("60012", day, rules.calls_per_day)),
        }
        refused = state.use(limits.get(kind, ()))
        if refused:
            raise failure(int(refused), status=rules.limit_status)

    def number(self) -> Number:
        """The number that `country_code` and `phone_number` mean; 60004 or 60033."""
        country_code, number = self.required("country_code"), self.required("phone_number")
        try:
            return read_number(country_code, number)
        except NumberError as error:
            if error.field == "country_code":
                raise failure(60078) from None
            raise failure(60033) from None


def as_text(name: str, value: Value) -> str:
    """A leaf as text; 60004 for a list or mapping."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise bad_parameter(name, "Must be text")


def find_user(state: State, text: str) -> User | None:
    """The user whose id a path segment is: ASCII digits and nothing else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return None
    return state.user(int(text))
