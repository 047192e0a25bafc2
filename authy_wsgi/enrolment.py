"""Who may add a factor, and whether that still holds: the widest door of every second factor.

An attempt notes what allowed it (`known`, `open`, `invited:<id>`, `factor`), and the very same branch is judged again on the record that the save replaces.
"""

from __future__ import annotations

from collections.abc import Sequence

from authy_wsgi import phones
from authy_wsgi.accounts import Accounts
from authy_wsgi.attempts import Attempt
from authy_wsgi.contracts import CHANNEL_STRENGTH, Candidate, Profile, Proof, Strength, User
from authy_wsgi.errors import Refused
from authy_wsgi.settings import Settings

FRESH_SECONDS = 600  # how old a proof may be that changes the set of factors


class EnrolmentRules:
    """The setting `enrolment`, and a user's own override of it."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts

    def mode(self, user: User) -> str:
        """How this user may add a first factor: the user's own mode, where an administrator has set one, else the site's."""
        return user.enrolment or self._settings.enrolment

    def allowing(self, user: User, proofs: Sequence[Proof], invitation: str, now: int) -> str:
        """What allows this user to add a factor now; `Refused` where nothing does. `proofs` are those of the live pass, if there is one."""
        if user.factors:
            if self.fresh(user, proofs, now):
                return "factor"
            raise Refused("Confirm with a factor you have first; then you can change them.")
        mode = self.mode(user)
        if mode == "invited":
            if invitation and invitation in user.invitations:
                return f"invited:{invitation}"
            raise Refused("You need an invitation to add a phone. Ask the people who run this site, and open the address they give you.")
        if mode in ("known", "open"):
            return mode
        raise Refused("This site adds phones by itself. Ask the people who run it.")

    def still_allowed(self, attempt: Attempt, user: User, address: str, now: int) -> bool:
        """SECURITY: the very branch that allowed the attempt, judged again; a revocation meanwhile ends the enrolment too."""
        if self._accounts.epoch(user) != attempt.epoch or user.disabled:
            return False
        if attempt.allowed == "factor":
            return bool(user.factors) and self.fresh(user, attempt.proofs, now)
        if user.factors:
            return False
        mode = self.mode(user)
        if attempt.allowed.startswith("invited:"):
            return mode == "invited" and attempt.allowed.partition(":")[2] in user.invitations
        return mode == attempt.allowed and (mode != "known" or self.known_address(user.id) == address)

    def fresh(self, user: User, proofs: Sequence[Proof], now: int) -> bool:
        """Whether a proof is young enough, and as strong as the strongest factor held, to change the set of factors."""
        ways = [way for client in self._settings.clients for way in client.ways(user)]
        strongest = max((way.strength for way in ways if way.channel in self._settings.channels and not way.unlikely), default=Strength.REMEMBERED)
        return any(now - proof.at <= FRESH_SECONDS and CHANNEL_STRENGTH.get(proof.channel, 0) >= strongest for proof in proofs)

    def profile(self, user_id: str) -> Profile:
        return self._settings.profile(user_id) or Profile()

    def known_address(self, user_id: str) -> str:
        """The number that the site holds, as E.164; "" where it holds none that can be used."""
        profile = self.profile(user_id)
        try:
            return phones.read_number(profile.phone, profile.country) if profile.phone else ""
        except Refused:
            return ""

    def check_country(self, candidate: Candidate) -> None:
        """`Refused` for a number of a country that the setting `countries` leaves out."""
        allowed = self._settings.countries
        if allowed is not None and candidate.address.startswith("+") and phones.region_of(candidate.address) not in allowed:
            raise Refused("We do not send codes to this country. Use a number of another one.", field="country")
