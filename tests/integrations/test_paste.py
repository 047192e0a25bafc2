"""PasteDeploy: a filter in an ini, which pserve and gunicorn's --paste read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from paste.deploy import loadapp
from webtest import TestApp

from authy_wsgi import Misconfigured, SecondFactor
from tests.support import API_KEY, SECRET

INI = f"""
[app:main]
use = call:{__name__}:make_app
filter-with = second-factor

[filter:second-factor]
use = egg:authy-wsgi
identity = remote_user
secret = {SECRET}
users = sqlite:///%(here)s/second-factor.db
authy.api_key = {API_KEY}
enrolment = open
exempt = /static
rules =
    /pay    max_age=60s
"""


def make_app(_global_conf: Any) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"app"]

    return app


def test_a_filter_stands_around_the_app_of_an_ini(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(INI)
    app = loadapp(f"config:{tmp_path}/site.ini")
    assert isinstance(app, SecondFactor)
    browser = TestApp(app, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "site.example"})
    assert browser.get("/").text == "app"
    assert (
        browser.get("/", headers={"Accept": "text/html"}, extra_environ={"REMOTE_USER": "alice"}, status=303).headers["Location"].startswith("/second-factor/")
    )
    assert browser.get("/static/x", extra_environ={"REMOTE_USER": "alice"}).text == "app"
    users: Any = app.settings.users
    users.database.close()


def test_wrong_texts_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "site.ini").write_text(INI.replace("enrolment = open", "enrolment = sometimes").replace("exempt = /static", "exempt = static"))
    with pytest.raises(Misconfigured) as caught:
        loadapp(f"config:{tmp_path}/site.ini")
    assert "enrolment must be one of" in str(caught.value)
    assert "exempt holds 'static'" in str(caught.value)
