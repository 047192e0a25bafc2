from __future__ import annotations

import pytest

from .service import Service

NUMBERS = ["408-555-5270", "408.555.5270", "(408) 555 5270", "4085555270", "+1 408 555 5270"]


@pytest.mark.parametrize("written", NUMBERS)
def test_one_number_has_one_id_however_it_is_written(service: Service, alice: int, written: str) -> None:
    assert service.register(written) == alice


def test_a_new_user_is_announced_in_the_words_that_clients_look_for(service: Service) -> None:
    answer = service.post("users/new", {"user[email]": "a@example.com", "user[cellphone]": "405-342-5699", "user[country_code]": "1"})
    assert answer == {"message": "User created successfully.", "user": {"id": 1635}, "success": True}


def test_users_can_be_registered_in_every_encoding(service: Service, alice: int) -> None:
    user = {"email": "alice@example.com", "cellphone": "408 555 5270", "country_code": 1}
    assert service.post_json("users/new", {"user": user, "send_install_link_via_sms": False})["user"]["id"] == alice
    query = "?user[email]=alice%40example.com&user[cellphone]=4085555270&user[country_code]=1"
    assert service.post("users/new" + query)["user"]["id"] == alice
    mixed = {"user[email]": "b@example.com", "user[cellphone]": "4085555270", "user[country_code]": "1"}
    assert service.post("users/new?send_install_link_via_sms=true", mixed)["user"]["id"] == alice


def test_bad_users_are_told_field_by_field(service: Service) -> None:
    answer = service.post("users/new", {"user[email]": "nobody", "user[cellphone]": "AAA-BBB", "user[country_code]": "999"}, status=400)
    assert answer["error_code"] == "60027"
    assert answer["message"] == "User was not valid"
    assert answer["email"] == "is invalid"
    assert answer["country_code"] == "is not supported"
    assert answer["errors"] == {"email": "is invalid", "country_code": "is not supported", "message": "User was not valid"}
    blank = service.post("users/new", {"user[cellphone]": "AAA", "user[country_code]": "1"}, status=400)
    assert (blank["email"], blank["cellphone"]) == ("is invalid and can't be blank", "is invalid")


@pytest.mark.parametrize("body", [{}, {"user": None}, {"user": "x"}, {"user": ["x"]}, {"user": {"email": {}, "cellphone": [1], "country_code": {"a": 1}}}])
def test_odd_users_are_not_valid(service: Service, body: dict[str, object]) -> None:
    assert service.post_json("users/new", body, status=400)["error_code"] == "60027"


def test_the_status_shows_little_of_the_number(service: Service, alice: int) -> None:
    status = service.get(f"users/{alice}/status", {"user_ip": "127.0.0.1"})["status"]
    assert status["phone_number"] == "XXX-XXX-5270"
    assert (status["authy_id"], status["country_code"], status["email"]) == (alice, 1, "alice@example.com")
    assert (status["registered"], status["confirmed"], status["devices"], status["detailed_devices"]) == (False, False, [], [])
    portuguese = service.register("912 345 678", "351")
    assert service.get(f"users/{portuguese}/status")["status"]["phone_number"] == "XX-XXX-5678"


def test_the_status_knows_of_the_app_and_of_the_first_good_code(service: Service, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    service.verify(alice, service.sms(alice))
    answer = service.get(f"users/{alice}/status")
    assert answer["message"] == "User status."
    assert (answer["status"]["registered"], answer["status"]["confirmed"], answer["status"]["devices"]) == (True, True, ["android"])
    assert answer["status"]["detailed_devices"][0]["os_type"] == "android"


@pytest.mark.parametrize("path", ["users/{}/remove", "users/{}/delete", "users/delete/{}"])
def test_a_removed_user_verifies_for_a_day(service: Service, alice: int, path: str) -> None:
    code = service.sms(alice)
    assert service.post(path.format(alice))["message"] == "User was added to remove."
    assert service.get(f"users/{alice}/status")["status"]["account_disabled"] is True
    assert service.get(f"sms/{alice}", status=404)["error_code"] == "60026"
    assert service.post(path.format(alice), status=404)["error_code"] == "60026"
    service.verify(alice, code)
    service.emulator.advance(24 * 3600)
    assert service.verify(alice, "1234567", status=404)["message"] == "User doesn't exist"
    assert service.get(f"users/{alice}/status", status=404)["error_code"] == "60026"


def test_a_removed_number_comes_back_with_its_id(service: Service, alice: int) -> None:
    service.verify(alice, service.sms(alice))
    service.post(f"users/{alice}/remove")
    assert service.register() == alice
    assert service.get(f"users/{alice}/status")["status"]["confirmed"] is True
    service.post(f"users/{alice}/remove")
    service.emulator.advance(24 * 3600)
    assert service.register() == alice
    status = service.get(f"users/{alice}/status")["status"]
    assert (status["confirmed"], status["account_disabled"]) == (False, False)


def test_the_email_can_be_changed(service: Service, alice: int) -> None:
    assert service.post(f"users/{alice}/update", {"email": "new@example.com"})["message"] == "User was updated successfully"
    assert service.get(f"users/{alice}/status")["status"]["email"] == "new@example.com"
    assert service.post(f"users/{alice}/update", {"email": "nobody"}, status=400)["email"] == "is invalid"
    assert service.post(f"users/{alice}/update", status=400)["error_code"] == "60004"
    assert service.post("users/1/update", {"email": "new@example.com"}, status=404)["error_code"] == "60026"


def test_activities_are_of_four_kinds(service: Service, alice: int) -> None:
    path = f"users/{alice}/register_activity"
    assert service.post(path, {"type": "password_reset", "data[reason]": "forgot"})["message"] == "Activity was created."
    answer = service.post(path, {"type": "party"}, status=400)
    assert (answer["error_code"], answer["success"]) == ("60029", False)
    assert answer["message"].endswith("password_reset, banned, unbanned, cookie_login.")


def test_another_authenticator_can_be_used(service: Service, alice: int) -> None:
    assert service.emulator.phone(alice).authenticator_code is None
    answer = service.post_json(f"users/{alice}/secret", {"qr_size": 240, "label": "my <app>"})
    assert answer["qr_code"].startswith("http://localhost:80/qr/")
    image = service.app.get(answer["qr_code"])
    assert image.content_type == "image/svg+xml"
    assert "my &lt;app&gt;" in image.text
    code = service.emulator.phone(alice).authenticator_code
    assert code is not None
    assert len(code) == 6
    assert service.verify(alice, code)["token"] == "is valid"
    assert service.verify(alice, code, status=401)["error_code"] == "60019"
    assert service.post(f"users/{alice}/secret", {"qr_size": "big"}, status=400)["error_code"] == "60004"
    assert service.post(f"users/{alice}/secret", {"label": "x" * 201}, status=400)["error_code"] == "60004"


@pytest.mark.parametrize("who", ["tony", "99", "-1", "1635 ", "%D9%A1", "%C2%B2", "9" * 40, "..%2Fsms", "1635%00"])
def test_only_ascii_digits_are_an_id(service: Service, alice: int, who: str) -> None:
    assert service.get(f"users/{who}/status", status=404)["success"] is False
    assert service.verify(who, "1234567", status=404)["success"] is False  # type: ignore[arg-type]
