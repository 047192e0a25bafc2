from __future__ import annotations

from typing import Any

from webtest import TestApp

from authy_wsgi.emulator import Emulator

KEY = "0123456789abcdef0123456789abcdef"
START = 1_700_000_000


class Service:
    """An emulator behind WebTest's lint, with the clock standing at `START` until it is moved."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("sleep", self._slept)
        self.slept: list[float] = []
        self.emulator = Emulator(KEY, clock=lambda: START, seed=7, **settings)
        self.app = TestApp(self.emulator, lint=True)

    def _slept(self, seconds: float) -> None:
        self.slept.append(seconds)

    def get(self, path: str, params: Any = None, *, status: int = 200, **headers: str) -> Any:
        return self.app.get(self._full(path), params, status=status, headers={"X-Authy-API-Key": KEY, **headers}).json

    def post(self, path: str, params: Any = "", *, status: int = 200, **headers: str) -> Any:
        return self.app.post(self._full(path), params, status=status, headers={"X-Authy-API-Key": KEY, **headers}).json

    def post_json(self, path: str, body: Any, *, status: int = 200) -> Any:
        return self.app.post_json(self._full(path), body, status=status, headers={"X-Authy-API-Key": KEY}).json

    @staticmethod
    def _full(path: str) -> str:
        return path if path.startswith("/") else "/onetouch/json/" + path[9:] if path.startswith("onetouch/") else "/protected/json/" + path

    def register(self, cellphone: str = "408-555-5270", country_code: str = "1", email: str = "alice@example.com") -> int:
        fields = {"user[email]": email, "user[cellphone]": cellphone, "user[country_code]": country_code}
        authy_id: int = self.post("users/new", fields)["user"]["id"]
        return authy_id

    def sms(self, authy_id: int, **params: str) -> str:
        """Send an SMS; the code that arrived."""
        self.get(f"sms/{authy_id}", {"force": "true", **params})
        return self.emulator.phone(authy_id).code

    def verify(self, authy_id: int, token: str, *, status: int = 200, **params: str) -> Any:
        return self.get(f"verify/{token}/{authy_id}", {"force": "true", **params}, status=status)

    def phone(self, who: object) -> Any:
        return self.app.get(f"/phone/{who}.json").json
