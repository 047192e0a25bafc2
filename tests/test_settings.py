"""Wrong settings are all reported together at start, each with what to do; right ones have the defaults that the table says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from authy_wsgi import AuthyClient, MemoryLedger, MemoryStore, Misconfigured, SecondFactor, SQLStore, Unavailable, remote_user
from authy_wsgi.database import Database
from authy_wsgi.settings import LIMITS, Settings, contrast
from tests.support import API_KEY, SECRET, CountingApp, World
from tools import settings_page


def good(**more: Any) -> dict[str, Any]:
    return {
        "identity": remote_user,
        "secret": SECRET,
        "users": MemoryStore(),
        "ledger": MemoryLedger(),
        "clients": AuthyClient(API_KEY),
        "enrolment": "open",
        **more,
    }


def faults(**more: Any) -> tuple[str, ...]:
    with pytest.raises(Misconfigured) as caught:
        SecondFactor(CountingApp(), **good(**more))
    return caught.value.faults


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(Misconfigured) as caught:
        SecondFactor(CountingApp())
    assert {fault.partition(" ")[0] for fault in caught.value.faults} == {"identity", "secret", "users", "clients", "enrolment"}
    assert "remote_user" in str(caught.value)
    assert "keygen" in str(caught.value)


def test_many_faults_come_together() -> None:
    found = faults(prefix="x/", lifetime="1h", enrolment="maybe", cookie_name="a b", recheck=-1)
    assert len(found) == 5


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("secret", "short"),
        ("secret", b"b" * 40),
        ("other_secrets", ["short"]),
        ("identity", "REMOTE_USER"),
        ("users", object()),
        ("clients", []),
        ("clients", object()),
        ("enrolment", "closed"),
        ("prefix", ""),
        ("prefix", "/"),
        ("prefix", "/a/"),
        ("prefix", "/a//b"),
        ("prefix", "/a/../b"),
        ("prefix", "/a;b"),
        ("prefix", "/a%2fb"),
        ("policy", 1),
        ("exempt", ["static"]),
        ("exempt", ["/"]),
        ("exempt", [""]),
        ("exempt", ["/a/../b"]),
        ("logout_url", "logout"),
        ("logout_url", "https://evil.example/"),
        ("login_url", "//evil.example"),
        ("login_url", "/\\evil"),
        ("profile", {}),
        ("password_stamp", "x"),
        ("canonical", None),
        ("lifetime", 0),
        ("lifetime", 1.5),
        ("recheck", 100_000),
        ("idle", 1),
        ("code_memory", 1),
        ("cookie_name", "__Host-x"),
        ("cookie_name", "a;b"),
        ("instance", "a:b"),
        ("https", "yes"),
        ("public_url", "example.org"),
        ("public_url", "https://example.org/path"),
        ("public_url", "http://example.org"),
        ("site_name", "x" * 100),
        ("site_name", "a\nb"),
        ("logo", "/no/such/file.png"),
        ("accent", "blue"),
        ("accent", "#ffff00"),
        ("templates", "/no/such/folder"),
        ("channels", []),
        ("channels", ["pigeon"]),
        ("countries", ["ZZ"]),
        ("countries", []),
        ("limits", {"code.usr": [(1, 1)]}),
        ("limits", {"code.user": [(0, 1)]}),
        ("limits", {"code.user": (5, 900)}),
        ("limits", [1]),
        ("enforce", None),
        ("ledger", object()),
        ("events", "log"),
        ("single_process", 1),
        ("clock", 1_700_000_000),
    ],
)
def test_a_wrong_value_is_a_fault_that_names_its_setting(setting: str, value: object) -> None:
    found = faults(**{setting: value})
    assert len(found) == 1, found
    assert setting in found[0]


def test_an_unknown_setting_gets_a_suggestion() -> None:
    assert faults(exmpt=["/static"]) == ("'exmpt' is not a setting; did you mean 'exempt'?",)
    assert faults(wholly_unheard_of=1) == ("'wholly_unheard_of' is not a setting.",)


def test_a_secret_is_in_no_fault_and_no_repr() -> None:
    secret = "much-too-short-secret"
    assert secret not in str(faults(secret=secret))
    assert SECRET not in repr(SecondFactor(CountingApp(), **good()).settings)


def test_enrolment_known_needs_a_profile() -> None:
    assert "profile" in faults(enrolment="known")[0]


def test_a_get_only_store_takes_no_enrolment() -> None:
    class GetOnly:
        def get(self, user_id: str) -> None:
            return None

    assert '"none"' in faults(users=GetOnly(), enrolment="open")[0]
    assert SecondFactor(CountingApp(), **good(users=GetOnly(), enrolment="none"))


def test_a_store_without_a_database_needs_a_ledger() -> None:
    assert "ledger is missing" in faults(ledger=None)[0]


def test_two_clients_of_one_name_are_a_fault() -> None:
    assert "two of one name" in faults(clients=[AuthyClient(API_KEY), AuthyClient(API_KEY)])[0]
    assert SecondFactor(CountingApp(), **good(clients=[AuthyClient(API_KEY), AuthyClient(API_KEY, name="other")]))


def test_nested_gates_of_one_cookie_name_are_a_fault() -> None:
    inner = SecondFactor(CountingApp(), **good())
    with pytest.raises(Misconfigured, match="cookie_name"):
        SecondFactor(inner, **good())
    assert SecondFactor(inner, **good(cookie_name="outer"))


def test_memory_under_several_processes_is_a_503() -> None:
    world = World(single_process=False)
    response = world.browser("alice").get("/members", extra_environ={"wsgi.multiprocess": True})
    assert response.status_int == 503
    assert world.app_calls == 0


def test_limits_replace_ours_rule_by_rule() -> None:
    limits = SecondFactor(CountingApp(), **good(limits={"push.user": [(1, 60)]})).settings.limits
    assert limits["push.user"] == ((1, 60),)
    assert {rule: windows for rule, windows in limits.items() if rule != "push.user"} == {
        rule: windows for rule, windows in LIMITS.items() if rule != "push.user"
    }


def test_every_setting_has_a_help_text_and_the_page_is_made_of_them() -> None:
    documented = (Path(__file__).parent.parent / "docs" / "settings.md").read_text()
    assert documented == settings_page.page(), "run python tools/settings_page.py"
    for setting in fields(Settings):
        assert setting.metadata["help"].endswith(".")
        assert f"`{setting.name}`" in documented


def test_contrast_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_two_limits_for_one_window_are_a_fault() -> None:
    assert "two limits for one window" in faults(limits={"code.user": [(4, 60), (3, 60)]})[0]


def test_a_star_in_an_exemption_is_a_fault() -> None:
    assert "means nothing here" in faults(exempt="/static/*")[0]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgres://db/x", "postgresql://... instead of postgres://"),
        ("mysql+pymysql://db/x", "mysql is no database"),
        ("nonsense", "sqlite:///"),
    ],
)
def test_a_database_that_cannot_be_is_named(url: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=re.escape(says)):
        SQLStore(url)


def test_a_databases_password_is_shown_nowhere() -> None:
    database = Database("postgresql+psycopg://app:CANARY@127.0.0.1:1/db?password=CANARY")
    assert "CANARY" not in repr(database)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as caught:
        database.version()
    assert "CANARY" not in str(caught.value)


def test_a_ledger_that_counts_as_false_is_the_ledger_all_the_same() -> None:
    class Empty(MemoryLedger):
        def __len__(self) -> int:
            return 0

    ledger = Empty()
    gate = SecondFactor(**good(ledger=ledger, single_process=True))
    assert gate.backend.ledger is ledger
