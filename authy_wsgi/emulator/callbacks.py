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

from authy_wsgi.emulator.signing import signature, to_query
from authy_wsgi.emulator.state import Approval, Phone, State
from authy_wsgi.emulator.wire import JSON, to_json

METHODS = ("POST", "GET")
PATIENCE = 10.0  # seconds for one try
IDLE = 5.0  # seconds after which the worker ends
KEPT = 100


def _noise(seed: str) -> str:
    """256 bytes where the service has the device's RSA signature, which nobody outside could check."""
    return base64.b64encode(hashlib.shake_256(seed.encode()).digest(256)).decode("ascii")


# What saving an endpoint sends: always the same, times as texts, without a device, and with an Authy id that is nobody's.
TEST: JSON = {
    "authy_id": 1234,
    "device_uuid": "cea50e20-3aeb-0133-f92a-34363b620e52",
    "callback_action": "approval_request_status",
    "uuid": "cdbabf40-1c65-0133-d113-34363b620e52",
    "status": "approved",
    "approval_request": {
        "transaction": {
            "details": {"Email Address": "jdoe@example.com"},
            "device_details": {},
            "device_geolocation": "",
            "device_signing_time": "946641599",
            "encrypted": False,
            "flagged": False,
            "hidden_details": {"ip": "1.1.1.1"},
            "message": "Request to Login",
            "reason": "",
            "requester_details": "",
            "status": "approved",
            "uuid": "cdbabf40-1c65-0133-d113-34363b620e52",
            "created_at_time": "946641599",
            "customer_uuid": "25e026b36343-a29f-3310-bea3-02e05aec",
        },
        "logos": "",
        "expiration_timestamp": "946641599",
    },
    "signature": _noise("test"),
}


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
            self._send("test", TEST)

    def answered(self, phone: Phone, approval: Approval) -> None:
        """A person has approved or denied. An expiry sends nothing."""
        if self.url:
            self._send(approval.answer, self._tree(phone, approval))

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

    def _tree(self, phone: Phone, approval: Approval) -> JSON:
        shape, device = self._state.rules.callback_shape, self._device(phone, approval)
        # Where there is nothing to say, 2017 said it with an empty text or object, the years around it with null.
        empty: JSON = {"device_details": {}, "device_geolocation": "", "reason": ""} if shape == "2017" else {}
        nothing: JSON | None = {} if shape == "2016" else None
        transaction: JSON = {
            "details": approval.details or nothing,
            **dict.fromkeys(("device_details", "device_geolocation", "reason", "requester_details")),
            **empty,
            "device_signing_time": 0 if shape == "2016" else approval.answered_at,
            "encrypted": False,
            "flagged": False,
            "hidden_details": approval.hidden_details or nothing,
            "message": approval.message,
            "status": approval.answer,
            "uuid": approval.uuid,
            "created_at_time": approval.at,
            "customer_uuid": int(self._state.app_id[:6], 16),
        }
        tree: JSON = {
            "authy_id": phone.authy_id,
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
            # Then ids were UUIDs, the outer one was the callback's own, and neither the device nor the application was described.
            for member, name in ((tree, "device_uuid"), (tree, "uuid"), (transaction, "customer_uuid")):
                member[name] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {approval.uuid}"))
            del tree["approval_request"]["app_id"], tree["device"]
        if shape == "2023":
            tree |= {name: device[name] for name in ("multidevice_enabled", "multidevice_updated_at")}
        return tree

    def _device(self, phone: Phone, approval: Approval) -> JSON:
        shape = self._state.rules.callback_shape
        device: JSON = {
            **dict.fromkeys(("city", "country", "ip", "region", "registration_city", "registration_country", "registration_ip", "registration_region")),
            "registration_method": "sms",
            "os_type": "android",
            "last_account_recovery_at": None,
            "id": phone.device_id,
            "registration_date": phone.since,
            "last_sync_date": approval.answered_at,
        }
        if shape in ("2019", "2023"):
            device |= {"multidevice_enabled": False, "multidevice_updated_at": phone.since}
        if shape == "2019":
            device |= {"enabled_unlock_methods": ["pin", "fingerprint"], "last_unlock_method_used": "pin", "last_unlock_date": approval.answered_at}
        if shape == "2023":
            device |= {"enabled_unlock_methods": "none", "last_unlock_method_used": "none", "last_unlock_date": None, "registration_device_id": phone.device_id}
        return device

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
        try:
            return self._ask(delivery, tree)
        except Exception as error:  # noqa: BLE001  (through an adapter it may be the application's own)
            return f"no answer: {type(error).__name__}"

    def _ask(self, delivery: Delivery, tree: JSON) -> str:
        nonce = str(self._state.now())
        plain = delivery.url.partition("?")[0]
        headers = {"X-Authy-Signature": signature(self._api_key, nonce, delivery.method, plain, tree), "X-Authy-Signature-Nonce": nonce}
        url, body = delivery.url, None
        if delivery.method == "GET":
            url += ("&" if "?" in url else "?") + to_query(tree)
        else:
            headers["Content-Type"] = "application/json"
            body = to_json(tree)
        if self._session is None:
            self._session = requests.Session()
            self._session.trust_env = False
        with self._session.request(delivery.method, url, data=body, headers=headers, timeout=PATIENCE, allow_redirects=False) as response:
            return str(response.status_code)


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
