"""Requests of ours, read safely: whatever is odd about one is a 4xx, never a 500; and answers as we mean them."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_wsgi.site import RequestError, Response, Routes, as_path, browser_family, client_network, encoded_query, read_form, read_query, same_origin

FORM = "application/x-www-form-urlencoded"


def post(body: bytes, content_type: str = FORM, **more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": "POST", "CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), **more}


def test_a_form_is_read() -> None:
    assert read_form(post(b"a=1&b=caf%C3%A9&c=", FORM + "; charset=UTF-8")) == {"a": "1", "b": "café", "c": ""}


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        (post(b"a=%ff"), 400),
        (post("a=é".encode()), 400),
        (post(b"a=1&a=2"), 400),
        (post(b"a=1", "text/plain"), 400),
        (post(b"a=1", ""), 400),
        (post(b"a=1", FORM + "; charset=utf-16"), 400),
        (post(b"--x", "multipart/form-data"), 400),
        (post(b"{}", "application/json"), 400),
        (post(b"a=1", CONTENT_LENGTH="99"), 400),
        (post(b"a=1", CONTENT_LENGTH="-1"), 400),
        (post(b"a=1", CONTENT_LENGTH="1e3"), 400),
        (post(b"a=1", CONTENT_LENGTH="٣"), 400),
        (post(b"a=" + b"x" * 70_000), 413),
        (post(b"a=1", CONTENT_LENGTH="9" * 50), 413),
        (post(b"&".join(b"a%d=1" % number for number in range(200))), 400),
    ],
)
def test_an_odd_form_is_a_4xx(environ: dict[str, Any], status: int) -> None:
    with pytest.raises(RequestError) as caught:
        read_form(environ)
    assert caught.value.status == status


@given(st.binary(max_size=300), st.sampled_from([FORM, FORM + ";charset=latin-1", "multipart/form-data; boundary=", "", "\xff"]))
def test_no_form_raises_anything_else(body: bytes, content_type: str) -> None:
    try:
        read_form(post(body, content_type))
    except RequestError as error:
        assert 400 <= error.status < 500


@pytest.mark.parametrize("query", ["next=%ff", "a=1&a=2", "é=1", "x=" + "y" * 9000])
def test_an_odd_query_is_a_400(query: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_query({"QUERY_STRING": query})
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "\\\\evil", "/\t/evil", "///evil", "/%2f/evil", "/a/..//b", "/é", "/\r\nX: y", "http://evil", "", "/\x00"]
)
def test_a_path_of_ours_stays_on_our_origin(path: str) -> None:
    made = as_path(path)
    assert made.startswith("/")
    assert not made.startswith(("//", "/\\"))
    assert made.isascii()
    assert made.isprintable()
    assert " " not in made
    assert urlsplit(made).netloc == ""


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.text(st.characters(max_codepoint=255), max_size=60))
def test_no_path_or_query_leaves_our_origin(path: str, query: str) -> None:
    made = as_path(path) + encoded_query(query)
    assert made.startswith("/")
    assert not made.startswith("//")
    assert made.isascii()
    assert made.isprintable()
    assert "\\" not in made


@pytest.mark.parametrize(
    ("raw", "made"), [("/caf\xc3\xa9", "/caf%C3%A9"), ("/café", "/caf%C3%A9"), ("/日本", "/%E6%97%A5%E6%9C%AC"), ("/a b", "/a%20b"), ("/a/b;c", "/a/b;c")]
)
def test_paths_are_encoded_as_the_browser_sent_them(raw: str, made: str) -> None:
    assert as_path(raw) == made


def test_location_leaves_as_written() -> None:
    response = Response(status=303)
    response.headers["Location"] = "/second-factor/"
    sent: list[Any] = []
    response({"REQUEST_METHOD": "GET", "HTTP_HOST": "evil.example", "wsgi.url_scheme": "http"}, lambda status, headers: sent.append(dict(headers)))
    assert sent[0]["Location"] == "/second-factor/"


def test_routes_say_404_and_405_and_merge_nothing() -> None:
    routes = Routes([("page", "/page", ("GET",)), ("root", "/", ("GET",))])
    assert routes.find("/page", "GET")[0] == "page"
    assert routes.find("", "GET")[0] == "root"
    for path, method, status in (
        ("/nope", "GET", 404),
        ("//page", "GET", 404),
        ("/page", "PUT", 405),
        ("/page/../page", "GET", 404),
        ("/" + "x" * 5000, "GET", 404),
    ):
        with pytest.raises(RequestError) as caught:
            routes.find(path, method)
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_ORIGIN": "https://site.example", "HTTP_HOST": "site.example"}, True),
        ({"HTTP_ORIGIN": "https://site.example", "HTTP_HOST": "site.example:443"}, True),
        ({"HTTP_ORIGIN": "https://site.example:8443", "HTTP_HOST": "site.example"}, False),
        ({"HTTP_ORIGIN": "https://evil.example", "HTTP_HOST": "site.example"}, False),
        ({"HTTP_ORIGIN": "null", "HTTP_HOST": "site.example"}, False),
        ({"HTTP_ORIGIN": "https://site.example", "HTTP_HOST": "site.example", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
    ],
)
def test_where_a_post_came_from(headers: dict[str, str], same: bool) -> None:
    assert same_origin(headers) is same


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("10.0.0.1", ""),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("2001:4860:4860::8888", "2001:4860:4860::/64"),
        ("2001:4860:4860:0:1:2:3:4", "2001:4860:4860::/64"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("::ffff:10.0.0.1", ""),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_only_public_networks_count(address: str, network: str) -> None:
    assert client_network({"REMOTE_ADDR": address}) == network


@pytest.mark.parametrize(
    ("agent", "family"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0 Safari/537.36 Edg/129.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605 Version/17.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/129.0 Mobile Safari/537.36", "Chrome on Android"),
        ("<script>alert(1)</script>", "a browser"),
        ("", "a browser"),
    ],
)
def test_a_browser_is_named_from_a_fixed_list(agent: str, family: str) -> None:
    assert browser_family({"HTTP_USER_AGENT": agent}) == family
