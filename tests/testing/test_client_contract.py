"""The bundled client under the suite for clients; and that the suite bites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from authy_wsgi import AuthyClient, Profile
from authy_wsgi.contracts import Challenge, Context, User
from authy_wsgi.testing import Authy, Clock
from authy_wsgi.testing.contracts import ClientContract

pytest_plugins = ("pytester",)


def holder(client: AuthyClient, user_id: str, number: str, at: int) -> User:
    candidate = client.read({"phone": number, "email": f"{user_id}@example.com"}, Profile())
    user = User(id=user_id)
    return replace(user, factors=(client.enrol(user, candidate, Context(at=at, site="Acorn Ledger")),))


class TestAuthyClient(ClientContract):
    @pytest.fixture
    def now(self, second_factor_clock: Clock) -> int:
        return second_factor_clock()

    @pytest.fixture(params=[{}, {"bind_action": False}], ids=["bound", "unbound"])
    def client(self, authy: Authy, request: pytest.FixtureRequest) -> AuthyClient:
        return authy.client(**request.param)

    @pytest.fixture
    def user(self, authy: Authy, client: AuthyClient, now: int) -> User:
        user = holder(client, "alice", "+14085555270", now)
        authy.phone("+14085555270").install_app()
        return user

    @pytest.fixture
    def other_user(self, authy: Authy, client: AuthyClient, now: int) -> User:
        user = holder(client, "bob", "+14085555271", now)
        authy.phone("+14085555271").install_app()
        return user

    @pytest.fixture
    def answer(self, authy: Authy) -> Callable[[User, Challenge], Mapping[str, str]]:
        def typed(user: User, challenge: Challenge) -> Mapping[str, str]:
            phone = authy.phone_of(user)
            phone.install_app()
            return {"code": (phone.app_code or "") if challenge.way.channel == "app" else phone.code}

        return typed

    @pytest.fixture
    def approve(self, authy: Authy) -> Callable[[User, Challenge], object]:
        def press(user: User, challenge: Challenge) -> None:
            authy.phone_of(user).install_app()
            authy.phone_of(user).approve(challenge.hidden["uuid"])

        return press

    @pytest.fixture
    def deny(self, authy: Authy) -> Callable[[User, Challenge], object]:
        return lambda user, challenge: authy.phone_of(user).deny(challenge.hidden["uuid"])

    @pytest.fixture
    def fields(self) -> Mapping[str, str]:
        return {"phone": "+14085555272", "email": "carol@example.com"}

    @pytest.fixture
    def provider_down(self, authy: Authy) -> Callable[[], object]:
        return lambda: authy.emulator.add_fault(route="*", kind="drop", count=0)
