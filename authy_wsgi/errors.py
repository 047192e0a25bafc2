"""What can go wrong, as exceptions: one root that nobody raises, few children, each with its evidence.

A wrong code is not here: it is a result (`contracts.Verdict`), because people mistype. Exceptions are for a broken world
(`Unavailable`, `Misconfigured`), for input that nobody will take (`Refused`), and for records that moved (`Conflict`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class SecondFactorError(Exception):
    """The root of every exception of this package; never raised itself."""


class Unavailable(SecondFactorError):
    """Something that we depend on (provider, store, ledger) did not answer, or not in a way that can be believed.

    `what` names it ("provider", "store", "ledger") and `reason` is for the log: short and without secrets. The person reads another sentence.
    """

    def __init__(self, what: str, reason: str = "") -> None:
        super().__init__(f"{what} unavailable: {reason}" if reason else f"{what} unavailable")
        self.what = what
        self.reason = reason


class Misconfigured(SecondFactorError):
    """Settings that cannot work. `faults` holds all of them, one sentence each, with what to do."""

    def __init__(self, faults: Sequence[str] | str) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(f"- {fault}" for fault in self.faults) if len(self.faults) > 1 else self.faults[0])


class Refused(SecondFactorError):
    """Input that the provider, or we before asking it, will not take.

    `sentence` is for the person and says what to do next; `field` names the form field it belongs to, where there is one. `code`, `text` and
    `status` are the provider's own words and stay in the log; `learnt` is what they say of the person's factor.
    """

    def __init__(self, sentence: str, *, field: str = "", code: str = "", text: str = "", status: int = 0, learnt: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.learnt = learnt or {}
        self.sentence = sentence
        self.field = field
        self.code = code
        self.text = text
        self.status = status


class Throttled(Refused):
    """A budget is used up. `again_at` (Unix seconds) is when it is worth coming back; `rule` names the budget."""

    def __init__(self, sentence: str, *, rule: str, again_at: int | None) -> None:
        super().__init__(sentence)
        self.rule = rule
        self.again_at = again_at


class AttemptEnded(SecondFactorError):
    """This try to sign in is over (time, a denial, a logout, or the account changed meanwhile); nothing of it counts any more. Begin again."""


class Conflict(SecondFactorError):
    """A record was not saved, because the stored version is not the one that was read. Nothing changed; read again and judge again."""


class AmbiguousUser(SecondFactorError):
    """Two spellings that may be one person (`JOHN`, `john`): neither gets a factor of its own. Set `canonical`, or the store's `case_sensitive_ids=True`."""


class UnreadableIdentity(SecondFactorError):
    """`identity` answered something that is neither nobody nor somebody; `kind` says what, never the value."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"identity answered {kind}; it answers None for nobody, a user id as a str, or Login(user_id, session)")
        self.kind = kind
