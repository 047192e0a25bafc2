"""Settings as texts: each is read into what it stands for, and every fault is told at once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import AuthyClient, Login, MemoryLedger, MemoryStore, Misconfigured, Need, SecondFactor, SQLStore, Strength, remote_user
from authy_wsgi.integrations.texts import PREFIX, read_settings
from authy_wsgi.settings import Settings
from tests.support import API_KEY, SECRET


def somebody(_environ: dict[str, Any]) -> Login:
    return Login("alice", "s")


def texts(**more: Any) -> dict[str, Any]:
    made = {"secret": SECRET, "users": "memory", "ledger": "memory", "enrolment": "open", "identity": "remote_user", "authy.api_key": API_KEY, **more}
    return {PREFIX + name: value for name, value in made.items()}


def test_the_texts_of_an_ini_make_a_second_factor(tmp_path: Path) -> None:
    found = read_settings(
        {
            "other.setting": "not ours",
            **texts(
                **{
                    "users": f"sqlite:///{tmp_path}/second-factor.db",
                    "other_secrets": f"{'a' * 40} {'b' * 40}",
                    "exempt": "/static, /health",
                    "channels": "push app sms call",
                    "countries": "US PT",
                    "https": "false",
                    "enforce": "on",
                    "lifetime": "8h",
                    "recheck": "30",
                    "idle": "30m",
                    "rules": "\n/pay max_age=60s\n/admin  strength=code max_age=10m\n/soft if_enrolled\n",
                    "limits.code.user": "5/15m 20/1d",
                    "authy.base_url": "http://127.0.0.1:8001",
                    "authy.digits": "6",
                    "identity": f"{__name__}:somebody",
                }
            ),
        }
    )
    del found["ledger"]
    gate = SecondFactor(**found)
    settings = gate.settings
    assert isinstance(settings.users, SQLStore)
    assert settings.exempt == ("/static", "/health")
    assert (settings.https, settings.enforce, settings.lifetime, settings.recheck, settings.idle) == (False, True, 28800, 30, 1800)
    assert settings.countries == {"US", "PT"}
    assert len(settings.other_secrets) == 2
    assert settings.limits["code.user"] == ((5, 900), (20, 86400))
    assert settings.identity is somebody
    assert isinstance(settings.clients[0], AuthyClient)
    policy: Any = settings.policy
    assert policy.rules == {"/pay": Need(max_age=60), "/admin": Need(max_age=600, strength=Strength.CODE), "/soft": Need(if_enrolled=True)}
    settings.users.database.close()


def test_words_for_the_usual_parts() -> None:
    found = read_settings(texts())
    assert found["identity"] is remote_user
    assert isinstance(found["users"], MemoryStore)
    assert isinstance(found["ledger"], MemoryLedger)
    assert read_settings(texts(identity="environ:my.user"))["identity"]({"my.user": "alice"}) == "alice"


def test_objects_are_taken_as_they_are_and_what_code_gives_counts_first() -> None:
    store = MemoryStore()
    found = read_settings(texts(users=store, exempt=["/x"], rules={"/pay": Need(max_age=5)}), enrolment="none", identity=somebody)
    assert found["users"] is store
    assert found["exempt"] == ["/x"]
    assert found["policy"].rules == {"/pay": Need(max_age=5)}
    assert found["enrolment"] == "none"
    assert found["identity"] is somebody


def test_every_setting_can_be_said_as_a_text() -> None:
    """A setting that has no reader would come in as a text and be refused, or worse."""
    from authy_wsgi.integrations.texts import _READERS

    plain = {"secret", "enrolment", "prefix", "logout_url", "login_url", "cookie_name", "instance", "public_url", "site_name", "logo", "accent", "templates"}
    assert {setting.name for setting in fields(Settings)} == plain | {target for target, _ in _READERS.values()}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("https", "maybe", "must be true or false"),
        ("lifetime", "soon", 'must be a time such as "90", "15m", "12h" or "30d"'),
        ("identity", "nothing.there:at_all", "names what is not there"),
        ("identity", "no colon", 'must be "package.module:name"'),
        ("users", "postgres://x", "postgresql://"),
        ("rules", "/pay fast=1", "has 'fast=1'"),
        ("rules", "/pay strength=strong", "has no strength 'strong'"),
        ("rules", "pay max_age=1", "by_path needs"),
        ("limits.code.user", "many", 'must be windows such as "5/15m 20/1d"'),
        ("limits.code.nobody", "5/15m", "has no rule 'code.nobody'"),
        ("authy.api_kee", "x", "has no setting api_kee"),
        ("authy.api_key", "short", "api_key"),
        ("policy", f"{__name__}:somebody", "policy"),
    ],
)
def test_a_text_that_cannot_be_is_named(name: str, value: str, says: str) -> None:
    given = texts(**{name: value}, **({"rules": "/pay max_age=1"} if name == "policy" else {}))
    with pytest.raises(Misconfigured) as caught:
        SecondFactor(**read_settings(given))
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        read_settings({PREFIX + "https": "maybe", PREFIX + "lifetime": "soon", PREFIX + "enrolment": "sometimes", PREFIX + "exmpt": "/x"})
    said = str(caught.value)
    for each in ("https must be", "lifetime must be", "enrolment must be one of", "'exmpt' is not a setting", "secret is missing", "users is missing"):
        assert each in said
