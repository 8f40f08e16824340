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
    pairs = header[:65536].split(";")
    if len(header) > 65536 and header[65536] != ";":
        pairs.pop()
    ours = [pair.strip(" \t") for pair in pairs]
    values = [pair[len(name) + 1 :] for pair in ours if pair.startswith(name + "=")]
    return list(dict.fromkeys(values[:64]))


PIECES = [
    "sid",
    "=",
    ";",
    "; ",
    " ",
    "\t",
    "a",
    "xsid",
    "Sid",
    "T",
    "U",
    "sid=",
    "; sid=",
    "\xa0",
    "\x85",
    "\x1f",
    '"',
    ",",
]
LONG = ["x" * 32760, "x" * 65530, "; sid=T" * 63, "; sid=1; sid=2; sid=3; sid=4" * 8]


@given(
    st.lists(st.sampled_from(PIECES) | st.sampled_from(LONG) | st.characters(max_codepoint=255)).map("".join)
)
def test_reading_has_no_shortcut_that_shows(header: str) -> None:
    """The fast path and the general one agree, for any header."""
    assert Cookie.read(header, "sid") == plainly(header, "sid")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("sid=a=b", ["a=b"]),
        ("sid=%61", ["%61"]),
        ("sid= a", [" a"]),
        ('sid="a"', ['"a"']),
        ("sid=a,sid=b", ["a,sid=b"]),
        ("sid=b; sid=a; sid=b", ["b", "a"]),
        ("x=sid=a", []),
        ("xsid=a;sid=b", ["b"]),
        ("SID=a", []),
        ("=sid=a", []),
    ],
    ids=repr,
)
def test_reading(header: str, expected: list[str]) -> None:
    """The name byte for byte, the value as it is, different values once and in order."""
    assert Cookie.read(header, "sid") == expected


@pytest.mark.parametrize(("before", "seen"), [(63, True), (64, False)])
def test_sixty_four_candidates_are_looked_at(before: int, seen: bool) -> None:
    """A flood of cookies of our name costs no more MACs than that, and that something was left out can be told."""
    header = "; ".join(f"sid={number}" for number in range(before)) + "; sid=T"
    values = Cookie.read(header, "sid")
    assert len(values) == 64 and ("T" in values) is seen is not Cookie.left_out(header, "sid")


@pytest.mark.parametrize(
    ("length", "tail", "seen"),
    [
        (65536, "", True),
        (65536, "; a=b", True),
        (65536, " ; a=b", False),
        (65537, "", False),
        (65537, ";", False),
    ],
)
@pytest.mark.parametrize("first", ["", "sid=A; "], ids=["once", "twice"])
def test_a_pair_that_crosses_the_end_is_not_seen(length: int, tail: str, seen: bool, first: str) -> None:
    """The first 64 KiB are looked at: a pair that ends with them is seen, one character more and it is not."""
    header = f"{first}a={'x' * (length - len(first) - 9)}; sid=T{tail}"
    assert len(header) == length + len(tail)
    assert Cookie.read(header, "sid") == ["A"] * bool(first) + ["T"] * seen
    assert Cookie.left_out(header, "sid") is (len(header) > 65536)


@pytest.mark.parametrize(
    ("header", "joined"),
    [
        ("a=b, sid=T", True),
        ("sid=T, a=b", True),
        ("a=b,\tsid=T; c=d", True),
        ("sid=T; a=1, 2", False),
        ("a=1, 2; sid=T", False),
        ("sid=T,", False),
        ("a=b, xsid=T", False),
    ],
)
def test_headers_that_were_joined_with_a_comma(header: str, joined: bool) -> None:
    """Told by our own name alone: what other cookies hold is theirs."""
    assert Cookie.joined(header, "sid") is joined


@pytest.mark.parametrize(
    ("cookie", "secure", "expected"),
    [
        (Cookie(), False, "sid=v; Path=/; HttpOnly; SameSite=Lax"),
        (Cookie(), True, "sid=v; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (Cookie(httponly=False, samesite="Strict"), False, "sid=v; Path=/; SameSite=Strict"),
        (
            Cookie(domain="example.org", path="/a"),
            False,
            "sid=v; Path=/a; Domain=example.org; HttpOnly; SameSite=Lax",
        ),
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


def test_name_and_value_fill_a_cookie() -> None:
    """4096 characters together (RFC 6265bis 5.7), and a name leaves room for the token."""
    assert Cookie().render("sid", "x" * 4093, secure=False, max_age=None).startswith("sid=xxx")
    assert len(Cookie(name="x" * 4002).wire_name(True)) + 87 == 4096
    assert len(Cookie(name="x" * 4009, secure=False).wire_name(False)) + 87 == 4096


@pytest.mark.parametrize(
    "value", ["a;b", "a,b", 'a"b', "a\\b", "é", "a b", "a\n", "x" * 4094], ids=lambda value: value[:5]
)
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
        ({"name": "__Host-Http-x", "secure": True}, "__Host-Http-x"),
        ({"name": "Http-x"}, "__Host-Http-x"),
        ({"name": "!#$%&'*+-.^_`|~09azAZ"}, "__Host-!#$%&'*+-.^_`|~09azAZ"),
    ],
)
def test_the_name_on_the_wire(options: dict[str, Any], name: str) -> None:
    """__Host- where the cookie is secure, has path / and no domain (RFC 6265bis 4.1.3.2)."""
    cookie = Cookie(**options)
    assert cookie.wire_name(True) == name
    assert cookie.wire_name(False) == cookie.name


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/a b/%C3%A9,x"},
        {"path": "/" + "x" * 1023},
        {"domain": ".example.org"},
        {"domain": "xn--mnchen-3ya.example"},
        {"domain": "my_host"},
        {"domain": "127.0.0.1"},
        {"secure": True, "samesite": "None"},
        {"secure": True, "partitioned": True},
    ],
    ids=repr,
)
def test_what_a_browser_takes_passes(options: dict[str, Any]) -> None:
    """The rules refuse no more than they have to; the attribute goes out as it was given."""
    cookie = Cookie(**options)
    sent = cookie.render("sid", "v", secure=True, max_age=None)
    assert f"; Path={cookie.path};" in sent and (f"; Domain={cookie.domain};" in sent) is (
        cookie.domain is not None
    )


@pytest.mark.parametrize(
    ("secure", "http", "https"), [("auto", False, True), (True, True, True), (False, False, False)]
)
def test_secure_follows_the_scheme(secure: Any, http: bool, https: bool) -> None:
    """Only under "auto"."""
    assert (Cookie(secure=secure).is_secure("http"), Cookie(secure=secure).is_secure("https")) == (
        http,
        https,
    )


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
    ({"name": "a=b"}, ValueError, "token"),
    ({"name": "é"}, ValueError, "token"),
    ({"name": "a\n"}, ValueError, "token"),
    ({"name": "a\x7f"}, ValueError, "token"),
    ({"secure": 1}, TypeError, "auto"),
    ({"name": "x" * 4003}, ValueError, "at most 4002"),
    ({"name": "x" * 4010, "secure": False}, ValueError, "at most 4009"),
    ({"path": ""}, ValueError, "begins with"),
    ({"path": "app"}, ValueError, "begins with"),
    ({"path": "/a;b"}, ValueError, "path"),
    ({"path": "/a\n"}, ValueError, "path"),
    ({"path": "/é"}, ValueError, "path"),
    ({"path": "/a\x7f"}, ValueError, "path"),
    ({"path": "/a "}, ValueError, "space"),
    ({"path": "/" + "x" * 1024}, ValueError, "path"),
    ({"domain": ""}, ValueError, "host name"),
    ({"domain": "https://example.org"}, ValueError, "host name"),
    ({"domain": "example.org:8080"}, ValueError, "host name"),
    ({"domain": "a;b"}, ValueError, "host name"),
    ({"domain": "example.org\n"}, ValueError, "host name"),
    ({"domain": "example..org"}, ValueError, "host name"),
    ({"domain": "example.org."}, ValueError, "host name"),
    ({"domain": "münchen.example"}, ValueError, "xn--"),
    ({"domain": "x" * 64 + ".org"}, ValueError, "host name"),
    ({"domain": "x." * 200 + "org"}, ValueError, "host name"),
    ({"samesite": "lax"}, ValueError, "Strict"),
    ({"samesite": "None"}, ValueError, "secure=True"),
    ({"partitioned": True}, ValueError, "secure=True"),
    ({"name": "__Host-x"}, ValueError, "secure=True"),
    ({"name": "__hOsT-x"}, ValueError, "secure=True"),
    ({"name": "__Secure-x", "secure": False}, ValueError, "secure=True"),
    ({"name": "__host-x", "secure": True, "path": "/a"}, ValueError, "path="),
    ({"name": "__Host-x", "secure": True, "domain": "example.org"}, ValueError, "domain=None"),
    ({"name": "__HTTP-x"}, ValueError, "secure=True"),
    ({"name": "__Http-x", "secure": True, "httponly": False}, ValueError, "httponly"),
    ({"name": "__host-http-x", "secure": True, "httponly": False}, ValueError, "httponly"),
    ({"name": "__Host-Http-x", "secure": True, "path": "/a"}, ValueError, "path="),
    ({"name": "Http-x", "httponly": False}, ValueError, "httponly"),
    ({"formerly": "old"}, TypeError, "tuple of names"),
    ({"formerly": ["old"]}, TypeError, "tuple of names"),
    ({"formerly": (1,)}, TypeError, "tuple of names"),
    ({"formerly": ("a b",)}, ValueError, "token"),
    ({"formerly": ("",)}, ValueError, "token"),
    ({"formerly": ("x" * 5000,)}, ValueError, "token"),
    ({"secure": False, "formerly": ("sid",)}, ValueError, "present name"),
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
