"""Every budget of the second factor: what is spent for a message, a push or a try, and by whom it is counted.

Whatever is spent is spent before it is checked. Only the end of its window, and a success that returns its own try once, lower a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from authy_wsgi.contracts import Allowance, Budget, Context, Ledger, Way
from authy_wsgi.errors import Throttled
from authy_wsgi.records import Records
from authy_wsgi.tickets import digest, new_id, short

_CLOSING = 7 * 86400


class Limits:
    """The budgets of the `limits` setting, made out to subjects, and the ledger that they are spent in."""

    def __init__(self, limits: Mapping[str, tuple[tuple[int, int], ...]], instance: str, ledger: Ledger, records: Records) -> None:
        self._limits = limits
        self._instance = instance
        self._ledger = ledger
        self._records = records
        # An administrator's "open" is remembered for longer than any window that it begins anew.
        self._longest = max(window for windows in limits.values() for _, window in windows) + 86400

    def _of(self, rule: str, *subject: str) -> list[Budget]:
        """One budget for each window of a rule. A subject that is "" is nobody's (a network that is not public): no budget."""
        if not all(subject):
            return []
        key = short(digest(*subject), 32)
        return [Budget(f"{self._instance}:{rule}", key, limit, window) for limit, window in self._limits[rule]]

    def rule_of(self, allowance: Allowance) -> str:
        """The name of the rule that said no."""
        return allowance.refused.rule.partition(":")[2] if allowance.refused else ""

    def closes(self, budget: Budget | None) -> bool:
        """Whether using this budget up closes the guessable ways for good: the longest window of a user's wrong codes, where it is a week or more."""
        longest = max(window for _, window in self._limits["code.user"])
        return budget is not None and budget.rule == f"{self._instance}:code.user" and budget.window == longest >= _CLOSING

    def pushing(self, who: str, reference: str) -> list[Budget]:
        """What a push costs: counted for the user, and for the phone, which two accounts may share."""
        return self._of("push.user", who) + self._of("push.user", "phone", reference)

    def keeping(self, who: str) -> list[Budget]:
        """What it costs to have a form kept."""
        return self._of("kept.user", who)

    def sending(self, who: str, number: str, way: Way, context: Context, *, new: bool, anyway: bool) -> list[Budget]:
        """What a message costs. Numbers that nobody has proved (`new`) have budgets of their own, so that draining those never stops sign-ins.

        `anyway`: the one before it was not needed and not sent, so this one need not wait for its cooldown.
        """
        kind = "send.new" if new else "send"
        budgets = self._of("send.cooldown", number, "anyway" if anyway else "ask")
        budgets += self._of(f"{kind}.user", who) + self._of(f"{kind}.number", number) + self._of(f"{kind}.network", context.network)
        budgets += self._of(f"{kind}.site", "site")
        return budgets + (self._of("send.voice", number) if way.channel == "call" else [])

    def guessing(self, attempt_id: str, who: str, reference: str, *, new: bool, now: int) -> list[Budget]:
        """What a try costs. `new`: the address is not proved, so that whoever enrols the owner's number cannot close the owner's way in."""
        budgets = self._of("code.attempt", attempt_id)
        if new:
            return budgets + self._of("code.new.user", who) + self._of("code.new.reference", reference)
        return budgets + self._of("code.user", who, self._since(who, now)) + self._of("code.reference", reference, self._since(reference, now))

    def _since(self, subject: str, now: int) -> str:
        return str(self._records.get("opened", subject, now=now) or "-")

    def begin_anew(self, subjects: Iterable[str], now: int) -> None:
        """Count the tries of these subjects from nothing: an administrator's word, and nothing else."""
        for subject in subjects:
            self._records.put("opened", subject, value=new_id(), ttl=self._longest, now=now)

    def ask(self, budgets: Sequence[Budget], now: int) -> Allowance:
        """Spend, and say what came of it."""
        return self._ledger.spend(budgets, now=now)

    def spend(self, budgets: Sequence[Budget], now: int) -> None:
        """Spend, or raise `Throttled` with a sentence and when to come back."""
        allowance = self.ask(budgets, now)
        if not allowance:
            rule = self.rule_of(allowance)
            raise Throttled(_TOO_OFTEN.get(rule, _TOO_OFTEN[""]), rule=rule, again_at=allowance.again_at)

    def give_back(self, receipt: str) -> None:
        """Return a try that was right."""
        self._ledger.give_back(receipt)


_TOO_OFTEN: Mapping[str, str] = {
    "": "That was too often for now.",
    "send.cooldown": "A code was asked for just now. Wait a moment before you ask for another one.",
    "send.user": "We have sent you many codes already. Use another way, or come back later.",
    "send.number": "We have sent many codes to this number already. Use another way, or come back later.",
    "send.voice": "We have called this number often enough for now. Use another way, or come back later.",
    "send.network": "Many codes were asked for from your network. Come back later, or use your app.",
    "send.site": "This site has sent very many codes today. Use your app, or come back later.",
    "send.new.user": "You have tried several new numbers. Come back later.",
    "send.new.number": "Codes were sent to this number already. Come back later, or use another number.",
    "send.new.network": "Several new numbers were tried from your network. Come back later.",
    "send.new.site": "This site has added very many phones today. Come back tomorrow.",
    "push.user": "We have asked your phone several times already. Use another way, or come back later.",
}
