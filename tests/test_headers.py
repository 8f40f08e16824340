"""Response headers of a personal response."""

from __future__ import annotations

import pytest

from wsgisession.headers import personal

Headers = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], [("Vary", "Cookie")]),
        ([("Vary", "Accept")], [("Vary", "Accept, Cookie")]),
        ([("vary", "cookie")], [("vary", "cookie")]),
        ([("Vary", "Accept , COOKIE")], [("Vary", "Accept , COOKIE")]),
        ([("Vary", "*")], [("Vary", "*")]),
        ([("Vary", "")], [("Vary", "Cookie")]),
        ([("Vary", "A"), ("Vary", "B")], [("Vary", "A, Cookie"), ("Vary", "B")]),
        ([("Vary", "A"), ("Vary", "Cookie")], [("Vary", "A"), ("Vary", "Cookie")]),
        ([("X", "1"), ("Vary", "X-Cookie")], [("X", "1"), ("Vary", "X-Cookie, Cookie")]),
    ],
)
def test_vary(given: Headers, expected: Headers) -> None:
    """Merged with the application's own, once, a * kept; its list is left alone (RFC 9110 12.5.5)."""
    before = list(given)
    assert personal(given, cookies=[], read=False) == expected
    assert given == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ["private"]),
        (["max-age=60"], ["private, max-age=60"]),
        (["public, max-age=60"], ["private, max-age=60"]),
        (["Public"], ["private"]),
        (["s-maxage=9, max-age=60"], ["private, max-age=60"]),
        (["private"], ["private"]),
        (['private="X-A, X-B", max-age=1'], ["private, max-age=1"]),
        (["no-store"], ["no-store"]),
        (["max-age=0, NO-STORE, public"], ["max-age=0, NO-STORE, public"]),
        (['ext="no-store", public'], ['private, ext="no-store"']),
        (['ext="a\\", no-store, ", public'], ['private, ext="a\\", no-store, "']),
        (["no-cache", "public"], ["private, no-cache"]),
        ([""], ["private"]),
        (['ext="no-store, max-age=1'], ['private, ext="no-store, max-age=1']),
        (['ext="a\\"', "public"], ['private, ext="a\\"']),
        (["s-maxage = 5, max-age=1, ,"], ["private, max-age=1"]),
        (['no-store, ext="'], ['no-store, ext="']),
        (["no-store=1"], ["private, no-store=1"]),
    ],
    ids=repr,
)
def test_a_cookie_makes_the_response_unfit_for_shared_caches(given: list[str], expected: list[str]) -> None:
    """private, no public, no s-maxage, unless it says no-store (RFC 9111 5.2.2)."""
    headers = [("X", "1"), *(("Cache-Control", value) for value in given)]
    result = personal(headers, cookies=["sid=v"], read=True)
    assert [value for name, value in result if name == "Cache-Control"] == expected
    assert result[0] == ("X", "1") and result[-1] == ("Set-Cookie", "sid=v") and ("Vary", "Cookie") in result


def test_a_cookie_beside_a_vary_of_the_applications() -> None:
    """It says nothing of caches, so private stands alone."""
    result = personal([("Vary", "A"), ("X", "1")], cookies=["sid=v"], read=True)
    assert result == [
        ("Vary", "A, Cookie"),
        ("X", "1"),
        ("Cache-Control", "private"),
        ("Set-Cookie", "sid=v"),
    ]


@pytest.mark.parametrize(
    "name", ["CDN-Cache-Control", "cdn-cache-control", "Acme-CDN-Cache-Control", "Surrogate-Control"]
)
@pytest.mark.parametrize("control", ["no-store", "max-age=5"])
def test_targeted_fields_go(name: str, control: str) -> None:
    """Caches that obey one ignore Cache-Control (RFC 9213); without a cookie they stay."""
    headers = [(name, "max-age=60"), ("Cache-Control", control), ("X-Surrogate-Control", "kept")]
    kept = [key for key, _ in personal(headers, cookies=["sid=v"], read=True)]
    assert name not in kept and "X-Surrogate-Control" in kept
    assert (name, "max-age=60") in personal(headers, cookies=[], read=True)


@pytest.mark.parametrize(
    ("read", "given", "added"),
    [
        (True, [], True),
        (True, [("Vary", "Accept")], True),
        (False, [], False),
        (True, [("cache-control", "max-age=1")], False),
    ],
    ids=["read", "read, a Vary of its own", "not read", "the application's own"],
)
def test_a_live_session_that_was_read(read: bool, given: Headers, added: bool) -> None:
    """private, where the application sent no Cache-Control."""
    result = personal(given, cookies=[], read=read)
    assert (("Cache-Control", "private") in result) is added
