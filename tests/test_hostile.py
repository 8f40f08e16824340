"""Hostile input: cookie headers, environs, store contents, configurations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.store_double import StoreDouble
from support.web import SECRET, Site

from wsgisession import (
    JSONCodec,
    MemoryStore,
    SessionManager,
    SessionMiddleware,
    UnreadableValue,
)

TOKEN = "T"  # stands for a valid token's value in the tables


FOUND = [
    "sid=T",
    "a=b; sid=T",
    "a=b;sid=T;c=d",
    "a=b;\tsid=T\t; c=d",
    'a={"k":1}; sid=T',
    "bad[x]=1; sid=T",
    'a="x; sid=T',
    ";;; sid=T;;",
    "noequals; sid=T",
    "=nameless; sid=T",
    "sid=; sid=T",
    "sid=garbage; sid=T",
    "sid=T; sid=T",
    "Sid=x; SID=y; sid=T",
    "sid =x; sid=T",
    "\x80=\xff; sid=T",
    "a=" + "x" * 7000 + "; sid=T",
    "; ".join(["sid=x"] * 7 + ["sid=T"]),
    "a=1\x00; sid=T",
]
LOST = [
    "",
    "sid",
    "sid=",
    "=T",
    "T",
    "SID=T",
    "xsid=T",
    "sid =T",
    "sid= T\x85",
    "sid=T\xa0",
    "\x1fsid=T",
    "sid=T.",
    "sid=.T",
    'sid="T"',
    "sid=T, a=b",
    "a=b, sid=T",
    "s%69d=T",
    "$sid=T",
    "__Host-sid=T",
    "sid=T\x00",
    "sid=\xe9",
    "sid=" + "." * 87,
    "sid=" + "A" * 43 + "." + "A" * 43,
    "sid=" + "A" * 43 + "." + "\xe9" * 43,
    "sid=" + "A" * 60_000,
]

LEFT_OUT = [
    "a=" + "x" * 65536 + "; sid=T",
    "a=" + "x" * 65500 + "; sid=T",
    "; ".join([f"sid=x{number}" for number in range(64)] + ["sid=T"]),
]


@pytest.mark.parametrize("header", FOUND, ids=lambda header: repr(header[:40]))
def test_neighbours_do_not_hide_the_cookie(header: str) -> None:
    """A quoted, malformed or repeated neighbour neither hides nor fakes ours."""
    site = Site()
    value = site.start({"a": 1}).partition("=")[2]
    assert site.read(header.replace(TOKEN, value)) == {"a": 1}


@pytest.mark.parametrize("header", LOST, ids=lambda header: repr(header[:40]))
def test_what_is_not_our_cookie_is_anonymous(header: str) -> None:
    """It never raises, never reaches the store, and gets a fresh session when it stores something."""
    store = StoreDouble()
    site = Site(store)
    value = site.start({"a": 1}).partition("=")[2]
    store.calls.clear()
    answer = site.request(lambda s: (dict(s), s.new), header.replace(TOKEN, value))
    assert answer.result == ({}, True) and answer.set_cookie is None
    assert "load" not in store.calls
    assert site.read(site.request(lambda s: s.update(b=1), header.replace(TOKEN, value)).cookie) == {"b": 1}


@pytest.mark.parametrize("header", LEFT_OUT, ids=["after 64 KiB", "across the end", "after 64 others"])
def test_the_own_cookie_may_be_among_what_is_left_out(header: str, caplog: pytest.LogCaptureFixture) -> None:
    """Then the session is gone for this request: no cookie is set over the visitor's own. Said once."""
    store = StoreDouble()
    site = Site(store)
    value = site.start({"a": 1}).partition("=")[2]
    store.calls.clear()
    for _ in range(2):
        answer = site.request(lambda s: (s.gone, s.update(b=1)), header.replace(TOKEN, value))
        assert answer.result == (True, None) and answer.set_cookie is None
    assert "load" not in store.calls
    assert [record.reason for record in caplog.records if hasattr(record, "reason")] == ["too many cookies"]


def test_a_login_leads_on_from_cookies_that_were_left_out() -> None:
    """A regenerate() does not: it would put an empty session in the place of the visitor's."""
    site = Site()
    header = LEFT_OUT[0].replace(TOKEN, site.start({"a": 1}).partition("=")[2])
    assert site.request(lambda s: (s.regenerate(), s.update(b=1)), header).set_cookie is None
    answer = site.request(lambda s: setattr(s, "owner", "ada"), header)
    assert site.request(lambda s: s.owner, answer.cookie).result == "ada"


@given(st.text(st.characters(max_codepoint=255)))
@settings(deadline=None)
def test_no_header_raises(header: str) -> None:
    """Any latin-1 string is an anonymous request."""
    site = Site()
    assert site.read(header) == {}
    assert site.read(f"sid={header}") == {}


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "sid"),
        ({"HTTP_COOKIE": ""}, "sid"),
        ({"HTTP_COOKIE": None}, "sid"),
        ({"wsgi.url_scheme": "http"}, "sid"),
        ({"wsgi.url_scheme": "https"}, "__Host-sid"),
        ({"wsgi.url_scheme": "HTTPS"}, "sid"),
        ({"wsgi.url_scheme": "http", "HTTP_X_FORWARDED_PROTO": "https"}, "sid"),
        ({"wsgi.url_scheme": "http", "HTTP_FORWARDED": "proto=https"}, "sid"),
        ({"wsgi.url_scheme": "http", "HTTPS": "on"}, "sid"),
        ({"wsgisession.session": None}, "sid"),
        ({"wsgisession.session": {"views": 1}}, "sid"),
    ],
    ids=repr,
)
def test_environs(environ: dict[str, Any], name: str) -> None:
    """Whatever a server or a proxy puts there, the application has its session, under the cookie of the true scheme."""
    seen: list[Any] = []
    environ = {**environ, "test.handler": lambda s: s.update(a=1), "test.status": "200 OK"}
    Site().middleware(environ, lambda status, headers: seen.append(dict(headers)))
    assert seen[0]["Set-Cookie"].startswith(name + "=")
    assert ("; Secure" in seen[0]["Set-Cookie"]) is (name == "__Host-sid")


# A few of those that the codec cannot unpack; its own tests have them all.
BROKEN = [
    b"",
    b"garbage",
    b'[1,"n0nce",1.0,null,false,["a"]]',
    b'[1,"n0nce",1.0,null,false,[]] trailing',
    b"[" * 100_000,
]


@pytest.mark.parametrize("payload", BROKEN, ids=lambda payload: repr(payload[:48]))
def test_a_payload_nobody_can_read(payload: bytes, caplog: Any) -> None:
    """No session and one logged error without its content; a write starts a new id; a logout ends it all the same."""
    site = Site()
    cookie = site.start({"a": 1})
    (key,) = site.live()
    site.rewrite(key, lambda _: payload)
    answer = site.request(lambda s: (dict(s), s.new), cookie)
    assert answer.result == ({}, True) and answer.set_cookie is None
    assert [record.event for record in caplog.records] == ["unreadable"]  # type: ignore[attr-defined]
    assert "n0nce" not in caplog.text
    assert site.request(lambda s: s.update(b=1), cookie).cookie != cookie
    assert site.manager.store.load(key)[0] == payload  # type: ignore[index]
    assert "Max-Age=0" in str(site.request(lambda s: s.destroy(), cookie).set_cookie)
    assert site.manager.store.load(key) is None and site.request(lambda s: s.new, cookie).result is True


VALUES = [b"", b"nonsense", b'{"~unknown":1}', b"[" * 5000]


@pytest.mark.parametrize("line", VALUES, ids=lambda line: repr(line[:24]))
@pytest.mark.parametrize(
    "read",
    [lambda s: s.get("bad"), dict, lambda s: s == {}, lambda s: list(s.items()), lambda s: s.popitem()],
    ids=["get", "dict", "==", "items", "popitem"],
)
def test_a_value_nobody_can_read(line: bytes, read: Any, caplog: Any) -> None:
    """It is an error where it is read and one logged error; the session goes on, and the line is kept as it is."""
    site, cookie, key = with_a_broken_value(line)

    def handler(s: Any) -> None:
        assert len(s) == 2 and "bad" in s and list(s) == ["good", "bad"] and s["good"] == 1
        for _ in range(2):
            with pytest.raises(UnreadableValue, match=r"session\['bad'\]"):
                read(s)
        assert not s.new and s["good"] == 1
        s["good"] = 2

    answer = site.request(handler, cookie)
    assert answer.set_cookie is None
    assert [record.event for record in caplog.records if record.levelname == "ERROR"] == ["unreadable"]  # type: ignore[attr-defined]
    payload, _ = site.manager.store.load(key) or (b"", 0)
    assert payload.endswith(b"\n2\n" + line)


@pytest.mark.parametrize(
    ("mend", "mended"),
    [(lambda s: s.update(bad=3), {"good": 1, "bad": 3}), (lambda s: s.__delitem__("bad"), {"good": 1})],
    ids=["assign", "delete"],
)
def test_a_value_nobody_can_read_is_mended(mend: Any, mended: dict[str, int]) -> None:
    """By assigning or deleting its key."""
    site, cookie, _ = with_a_broken_value(b"nonsense")
    site.request(mend, cookie)
    assert site.read(cookie) == mended


def with_a_broken_value(line: bytes) -> tuple[Site, str, str]:
    """Return a site, a cookie and its key; the session's ``bad`` has this line."""
    site = Site()
    cookie = site.start({"good": 1, "bad": 2})
    (key,) = site.live()
    site.rewrite(key, lambda payload: payload.rpartition(b"\n")[0] + b"\n" + line)
    return site, cookie, key


def test_a_value_nobody_can_read_moves_to_a_new_id() -> None:
    """Its line goes along; only reading it is an error."""
    site, cookie, _ = with_a_broken_value(b"nonsense")
    answer = site.request(lambda s: s.regenerate(), cookie)
    (key,) = site.live()
    payload, _ = site.manager.store.load(key) or (b"", 0)
    assert payload.endswith(b"\nnonsense")
    assert site.request(lambda s: s["good"], answer.cookie).result == 1


CONFIGURATIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"app": None}, TypeError, "callable"),
    ({"secret": None}, TypeError, "python -m wsgisession secret"),
    ({"secret": "short"}, ValueError, "32 bytes"),
    ({"store": 7}, TypeError, "store"),
    ({"store": MemoryStore}, TypeError, "store"),
    ({"store": "nonsense"}, ValueError, "memory:"),
    ({"cookie": "sid"}, TypeError, "Cookie"),
    ({"idle_timeout": 0}, ValueError, "idle_timeout"),
    ({"lifetime": None}, TypeError, "lifetime"),
    ({"lifetime": timedelta(0)}, ValueError, "lifetime"),
    ({"remember": 0}, ValueError, "remember"),
    ({"max_size": 0}, ValueError, "max_size"),
    ({"max_size": 1.5}, TypeError, "max_size"),
    ({"max_size": True}, TypeError, "max_size"),
    ({"clock": 1_700_000_000}, TypeError, "time.time"),
    ({"environ_key": "session"}, ValueError, "dot"),
    ({"environ_key": 7}, TypeError, "str"),
    ({"codec": JSONCodec}, TypeError, "JSONCodec()"),
    ({"codec": object()}, TypeError, "JSONCodec()"),
    ({"identity": 7}, TypeError, "identity"),
    ({"identity": lambda secrets: None}, TypeError, "Identity"),
]


@pytest.mark.parametrize(
    ("wrong", "error", "words"), CONFIGURATIONS, ids=lambda item: re.sub(" at 0x.*", "", repr(item))[:40]
)
def test_a_wrong_configuration(wrong: dict[str, Any], error: type[Exception], words: str) -> None:
    """An error when the middleware is built, in words that say what to pass instead."""
    options: dict[str, Any] = {"app": lambda environ, start_response: [], "secret": SECRET, **wrong}
    with pytest.raises(error) as raised:
        SessionMiddleware(options.pop("app"), **options)
    assert words in str(raised.value) and SECRET not in str(raised.value)


def test_timeouts_may_be_timedeltas() -> None:
    """Seconds as a number or a timedelta, the same."""
    site = Site(idle_timeout=timedelta(minutes=2))
    assert site.request(lambda s: s.expires - s.created).result == pytest.approx(120)


def test_a_store_url() -> None:
    """store= takes what from_url takes."""
    assert isinstance(SessionManager("memory:").store, MemoryStore)


def test_a_logout_beside_a_forged_cookie() -> None:
    """The visitor's own session ends; the forged cookie is nobody's."""
    site = Site()
    cookie = site.start({"a": 1})
    answer = site.request(lambda s: s.destroy(), f"{cookie[:-4]}AAAA; {cookie}")
    assert "Max-Age=0" in str(answer.set_cookie) and site.live() == []
