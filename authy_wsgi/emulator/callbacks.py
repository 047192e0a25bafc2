"""OneTouch callbacks: what a person answered on a phone is sent to the application, signed, as the service does.

One worker thread sends; the emulator's lock is never held while it does, so that the application may ask the emulator in return.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread
from urllib.parse import urlsplit

import requests

from authy_wsgi.emulator.numbering import read_number
from authy_wsgi.emulator.signing import signature, to_query
from authy_wsgi.emulator.state import Approval, Phone, State
from authy_wsgi.emulator.wire import JSON, to_json

METHODS = ("POST", "GET")
TEST_ID = 1234  # the authy_id of the callback that saving an endpoint sends
PATIENCE = 10.0  # seconds for one try
IDLE = 5.0  # seconds after which the worker ends
KEPT = 100


@dataclass(slots=True)
class Delivery:
    """One callback and what became of it. `status` is "approved", "denied" or "test"; `answer` is "" while it is under way, then "200" or "no answer: ..."."""

    at: int
    uuid: str
    status: str
    method: str
    url: str
    tries: int = 0
    answer: str = ""

    @property
    def delivered(self) -> bool:
        """Whether the application took it."""
        return self.answer.startswith("2")


class Callbacks:
    """The callback endpoint of the application, and the sender. Nothing is sent while `url` is ""."""

    def __init__(self, state: State, api_key: str, session: requests.Session | None, sleep: Callable[[float], None]) -> None:
        self.url = ""
        self.method = "POST"
        self._state = state
        self._api_key = api_key
        self._session = session
        self._sleep = sleep
        self._kept: deque[Delivery] = deque(maxlen=KEPT)
        self._waiting: deque[tuple[Delivery, JSON]] = deque()
        self._news = Condition()
        self._under_way = 0
        self._thread: Thread | None = None

    # The emulator's lock is held around these.

    def configure(self, url: str, method: str = "POST") -> None:
        """Save the endpoint and send it a test callback, as the console did; "" sends none any more. `ValueError` for what is no endpoint."""
        self.url, self.method = check_endpoint(url, method)
        if self.url:
            self._send("test", self._test_tree())

    def answered(self, phone: Phone, approval: Approval) -> None:
        """A person has approved or denied. An expiry sends nothing."""
        if self.url:
            self._send(approval.answer, self._tree(phone, approval, phone.authy_id or 0))

    # These take no lock but the sender's own.

    @property
    def deliveries(self) -> list[Delivery]:
        """What was sent, newest last; at most the last hundred."""
        with self._news:
            return list(self._kept)

    def wait(self, seconds: float = 10) -> list[Delivery]:
        """Wait until nothing is under way, then answer `deliveries`; `TimeoutError` if that takes longer."""
        with self._news:
            if not self._news.wait_for(lambda: not self._under_way, seconds):
                raise TimeoutError("a callback is still under way")
            return list(self._kept)

    # -- what is said

    def _tree(self, phone: Phone, approval: Approval, authy_id: int) -> JSON:
        user, shape = self._state.user_of(phone), self._state.rules.callback_shape
        device = self._device(phone, approval)
        customer: str | int = int(self._state.app_id[:6], 16)
        transaction: JSON = {
            "details": approval.details or None,
            "device_details": None,
            "device_geolocation": None,
            "device_signing_time": approval.answered_at,
            "encrypted": False,
            "flagged": False,
            "hidden_details": approval.hidden_details or None,
            "message": approval.message,
            "reason": None,
            "requester_details": None,
            "status": approval.answer,
            "uuid": approval.uuid,
            "created_at_time": approval.at,
            "customer_uuid": customer,
        }
        tree: JSON = {
            "authy_id": authy_id,
            "device_uuid": device["id"],
            "callback_action": "approval_request_status",
            "uuid": approval.uuid,
            "status": approval.answer,
            "approval_request": {
                "transaction": transaction,
                "expiration_timestamp": approval.at + approval.lifetime if approval.lifetime else 0,
                "logos": approval.logos or None,
                "app_id": self._state.app_id,
            },
            "signature": _noise(approval.uuid),
            "device": device,
        }
        if shape == "2016":
            # Then the ids were UUIDs, the outer one was the callback's own, and the application went unnamed.
            for member, name in ((tree, "device_uuid"), (tree, "uuid"), (transaction, "customer_uuid")):
                member[name] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {approval.uuid} {user.id if user else ''}"))
            del tree["approval_request"]["app_id"]
        return tree

    def _device(self, phone: Phone, approval: Approval) -> JSON:
        device: JSON = {
            **dict.fromkeys(("city", "country", "ip", "region", "registration_city", "registration_country", "registration_ip", "registration_region")),
            "registration_method": "sms",
            "os_type": "android",
            "last_account_recovery_at": None,
            "id": phone.device_id,
            "registration_date": phone.since,
            "last_sync_date": approval.answered_at,
        }
        if self._state.rules.callback_shape == "2019":
            device |= {
                "enabled_unlock_methods": ["pin", "fingerprint"],
                "last_unlock_method_used": "pin",
                "last_unlock_date": approval.answered_at,
                "multidevice_enabled": False,
                "multidevice_updated_at": phone.since,
            }
        return device

    def _test_tree(self) -> JSON:
        now = self._state.now()
        phone = Phone(read_number("1", "4085551234"), b"", now, TEST_ID, TEST_ID)
        approval = Approval(str(uuid.UUID(int=0)), "0" * 24, "", "Test callback", {}, {}, [], now, 86400, "approved", now)
        return self._tree(phone, approval, TEST_ID)

    # -- the way there

    def _send(self, status: str, tree: JSON) -> None:
        about = str(tree["approval_request"]["transaction"]["uuid"])
        delivery = Delivery(self._state.now(), about, status, self.method, self.url)
        with self._news:
            self._kept.append(delivery)
            self._waiting.append((delivery, tree))
            self._under_way += 1
            if self._thread is None:
                self._thread = Thread(target=self._work, name="authy-emulator-callbacks", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def _work(self) -> None:
        while True:
            with self._news:
                if not self._news.wait_for(lambda: bool(self._waiting), IDLE):
                    self._thread = None
                    return
                delivery, tree = self._waiting.popleft()
            answer = self._deliver(delivery, tree)
            with self._news:
                delivery.answer = answer
                self._under_way -= 1
                self._news.notify_all()

    def _deliver(self, delivery: Delivery, tree: JSON) -> str:
        answer = ""
        for left in range(self._state.rules.callback_retries, -1, -1):
            delivery.tries += 1
            answer = self._try(delivery, tree)
            if answer.startswith("2"):
                break
            if left:
                self._sleep(self._state.rules.callback_pause)
        return answer

    def _try(self, delivery: Delivery, tree: JSON) -> str:
        nonce = str(self._state.now())
        plain = delivery.url.partition("?")[0]
        headers = {"X-Authy-Signature": signature(self._api_key, nonce, delivery.method, plain, tree), "X-Authy-Signature-Nonce": nonce}
        url, body = delivery.url, None
        if delivery.method == "GET":
            url += ("&" if "?" in url else "?") + to_query(tree)
        else:
            headers["Content-Type"] = "application/json"
            body = to_json(tree)
        try:
            if self._session is None:
                self._session = requests.Session()
                self._session.trust_env = False
            with self._session.request(delivery.method, url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False) as response:
                return str(response.status_code)
        except Exception as error:  # noqa: BLE001  (through an adapter it may be the application's own)
            return f"no answer: {type(error).__name__}"


def check_endpoint(url: str, method: str) -> tuple[str, str]:
    """The endpoint as it will be used; "" is none. `ValueError` with a sentence."""
    url, method = url.strip(), method.strip().upper()
    if method not in METHODS:
        raise ValueError(f"The method of a callback is {' or '.join(METHODS)}.")
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        whole = False
    if url and not (whole and url.isascii() and url.isprintable() and " " not in url and "#" not in url and len(url) <= 2000):
        raise ValueError("The callback URL must be a whole one, like http://127.0.0.1:8000/callback.")
    return url, method


def _noise(seed: str) -> str:
    """256 bytes where the service has the device's RSA signature, which nobody outside can check."""
    return base64.b64encode(hashlib.shake_256(seed.encode()).digest(256)).decode("ascii")
