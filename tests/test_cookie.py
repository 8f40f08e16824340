"""Cookie: read one from a header, write Set-Cookie, refuse what a browser would."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgisession import Cookie


def plainly(header: str, name: str) -> list[str]:
    """Read a header as section 6 of the design says it, without any shortcut."""
    pairs = header[:8192].split(";")
    if len(header) > 8192 and header[8192] != ";":
        pairs.pop()
    ours = [pair.strip(" \t") for pair in pairs]
    values = [pair[len(name) + 1 :] for pair in ours if pair.startswith(name + "=")]
    return list(dict.fromkeys(values[:8]))


@given(st.lists(st.sampled_from(["sid", "=", ";", "; ", " ", "\t", "a", "xsid", "T", "sid=", "\xa0", '"'])).map("".join))
def test_reading_has_no_shortcut_that_shows(header: str) -> None:
    """The fast path and the general one agree, for any header."""
    assert Cookie.read(header, "sid") == plainly(header, "sid")


@pytest.mark.parametrize("length", range(8185, 8200))
def test_a_pair_that_crosses_the_end_is_not_seen(length: int) -> None:
    """The first 8 KiB are looked at."""
    header = "sid=T".rjust(length, "x")[: length - 5].replace("x", "x") + "; sid=T"
    assert Cookie.read(header, "sid") == plainly(header, "sid")
    assert Cookie.read("sid=A;" + header, "sid") == plainly("sid=A;" + header, "sid")


@pytest.mark.parametrize(
    ("cookie", "secure", "expected"),
    [
        (Cookie(), False, "sid=v; Path=/; HttpOnly; SameSite=Lax"),
        (Cookie(), True, "sid=v; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (Cookie(httponly=False, samesite="Strict"), False, "sid=v; Path=/; SameSite=Strict"),
        (Cookie(domain="example.org", path="/a"), False, "sid=v; Path=/a; Domain=example.org; HttpOnly; SameSite=Lax"),
        (
            Cookie(secure=True, samesite="None", partitioned=True),
            True,
            "sid=v; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
    ],
)
def test_set_cookie(cookie: Cookie, secure: bool, expected: str) -> None:
    """Every attribute; a deletion repeats them all."""
    assert cookie.render("sid", "v", secure=secure, max_age=None) == expected
    gone = cookie.expire("sid", secure=secure)
    assert gone == expected.replace("sid=v", "sid=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.parametrize(("age", "told"), [(60, 60), (10**9, 400 * 86400), (-5, 0)])
def test_max_age(age: int, told: int) -> None:
    """Seconds, cut to 400 days (RFC 6265bis 5.5)."""
    assert f"; Max-Age={told};" in Cookie().render("sid", "v", secure=False, max_age=age)


@pytest.mark.parametrize("value", ["a;b", "a,b", 'a"b', "a\\b", "é", "x" * 4096], ids=lambda value: value[:5])
def test_a_token_no_browser_would_keep(value: str) -> None:
    """An identity of the application's own is told at once."""
    with pytest.raises(ValueError, match="token"):
        Cookie().render("sid", value, secure=False, max_age=None)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "__Host-sid"),
        ({"host_prefix": False}, "sid"),
        ({"path": "/a"}, "sid"),
        ({"domain": "example.org"}, "sid"),
        ({"name": "__Host-x", "secure": True}, "__Host-x"),
        ({"name": "__secure-x", "secure": True}, "__secure-x"),
    ],
)
def test_the_name_on_the_wire(options: dict[str, Any], name: str) -> None:
    """__Host- where the cookie is secure, has path / and no domain (RFC 6265bis 4.1.3.2)."""
    assert Cookie(**options).wire_name(True) == name


@pytest.mark.parametrize(("secure", "http", "https"), [("auto", False, True), (True, True, True), (False, False, False)])
def test_secure_follows_the_scheme(secure: Any, http: bool, https: bool) -> None:
    """Only under "auto"."""
    assert (Cookie(secure=secure).is_secure("http"), Cookie(secure=secure).is_secure("https")) == (http, https)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"name": 7}, TypeError, "name"),
    ({"path": None}, TypeError, "path"),
    ({"samesite": None}, TypeError, "Lax"),
    ({"domain": 7}, TypeError, "domain"),
    ({"httponly": 1}, TypeError, "True or False"),
    ({"partitioned": "no"}, TypeError, "True or False"),
    ({"persistent": None}, TypeError, "True or False"),
    ({"host_prefix": 0}, TypeError, "True or False"),
    ({"secure": None}, TypeError, "auto"),
    ({"secure": "yes"}, ValueError, "auto"),
    ({"name": ""}, ValueError, "token"),
    ({"name": "a b"}, ValueError, "token"),
    ({"name": "a=b"}, ValueError, "token"),
    ({"name": "é"}, ValueError, "token"),
    ({"name": "a\r\n"}, ValueError, "token"),
    ({"name": "x" * 4090}, ValueError, "at most"),
    ({"path": ""}, ValueError, "begins with"),
    ({"path": "app"}, ValueError, "begins with"),
    ({"path": "/a;b"}, ValueError, "path"),
    ({"path": "/a\n"}, ValueError, "path"),
    ({"path": "/é"}, ValueError, "path"),
    ({"path": "/" + "x" * 1024}, ValueError, "path"),
    ({"domain": ""}, ValueError, "host name"),
    ({"domain": "https://example.org"}, ValueError, "host name"),
    ({"domain": "a;b"}, ValueError, "host name"),
    ({"domain": "x." * 200 + "org"}, ValueError, "host name"),
    ({"samesite": "lax"}, ValueError, "Strict"),
    ({"samesite": "None"}, ValueError, "secure=True"),
    ({"partitioned": True}, ValueError, "secure=True"),
    ({"name": "__Host-x"}, ValueError, "secure=True"),
    ({"name": "__hOsT-x"}, ValueError, "secure=True"),
    ({"name": "__Secure-x", "secure": False}, ValueError, "secure=True"),
    ({"name": "__host-x", "secure": True, "path": "/a"}, ValueError, "path="),
    ({"name": "__Host-x", "secure": True, "domain": "example.org"}, ValueError, "domain=None"),
    ({"name": "__Http-x", "secure": True, "httponly": False}, ValueError, "httponly"),
]


@pytest.mark.parametrize(("options", "error", "words"), WRONG, ids=lambda item: repr(item)[:36])
def test_what_a_browser_would_reject(options: dict[str, Any], error: type[Exception], words: str) -> None:
    """An error when the Cookie is built, saying what to pass."""
    with pytest.raises(error) as raised:
        Cookie(**options)
    assert words in str(raised.value)


def test_it_is_frozen() -> None:
    """A cookie that was validated stays so."""
    with pytest.raises(FrozenInstanceError):
        Cookie().name = "x"  # type: ignore[misc]
