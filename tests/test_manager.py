"""SessionManager: sessions outside a request."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.store_double import StoreDouble
from support.web import SECRET, Site

from wsgisession import Cookie, JSONCodec, MemoryStore, Record, SessionError, SessionInfo, SessionManager
from wsgisession.record import Marker
from wsgisession.stores import SQLiteStore


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("cookie", "secure", "name"),
    [
        (Cookie(), None, "sid"),
        (Cookie(), True, "__Host-sid"),
        (Cookie(), False, "sid"),
        (Cookie(secure=True), None, "__Host-sid"),
        (Cookie(secure=True, path="/app"), None, "sid"),
        (Cookie(secure=False), None, "sid"),
    ],
)
def test_issue_names_the_cookie_as_the_browser_would(cookie: Cookie, secure: bool | None, name: str) -> None:
    """secure=None: the http name, unless the cookie says secure=True."""
    manager = SessionManager(secret=SECRET, cookie=cookie)
    assert manager.issue({"a": 1}, secure=secure).startswith(name + "=")


def test_a_pause_is_that_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """gevent replaces time.sleep: a manager that is made after that must not stop every greenlet."""
    monkeypatch.setattr(time, "sleep", abs)
    assert SessionManager(secret=SECRET).setup.records.sleep is abs


def test_without_a_secret_nothing_is_signed() -> None:
    """issue() says what is missing; everything else works."""
    store = MemoryStore()
    Site(store).start({"a": 1}, "ada")
    manager = SessionManager(store)
    with pytest.raises(SessionError, match="secret"):
        manager.issue()
    (info,) = manager.owned_by("ada")
    opened = manager.open(info.key)
    assert opened is not None and dict(opened) == {"a": 1}
    assert manager.destroy(info.key) is True


def test_open_finds_only_live_sessions(site: Site) -> None:
    """Neither an unknown key nor a marker is one."""
    cookie = site.start({"a": 1})
    (key,) = site.live()
    site.request(lambda s: s.regenerate(), cookie)
    assert site.manager.open(key) is None
    assert site.manager.open("x" * 43) is None


@pytest.mark.parametrize("key", [None, 5, b"x" * 43, ("x" * 43,)], ids=str)
def test_what_is_no_text_is_the_key_of_no_session(key: Any, tmp_path: Path) -> None:
    """It is not found, whatever the store makes of it. A form's field that was not sent is None."""
    manager = SessionManager(SQLiteStore(tmp_path / "sessions.db"), secret=SECRET)
    manager.issue()
    assert manager.open(key) is None
    assert manager.destroy(key) is False


@pytest.mark.parametrize("owner", [None, 5, b"ada"], ids=str)
def test_an_owner_that_is_no_text_is_refused(owner: Any, tmp_path: Path) -> None:
    """A user's number owns nothing, so ending their sessions would end none, and say so to nobody."""
    manager = SessionManager(SQLiteStore(tmp_path / "sessions.db"), secret=SECRET)
    manager.issue({}, "5")
    for method in (manager.owned_by, manager.destroy_owned):
        with pytest.raises(TypeError, match=r"str\(user.id\)"):
            method(owner)


def test_an_opened_session_that_is_destroyed_stays_so(site: Site) -> None:
    """What is written afterwards is dropped: nobody would hold the id of a new one."""
    cookie = site.start({"a": 1})
    opened = site.manager.open(site.live()[0])
    assert opened is not None
    opened.destroy()
    opened["b"] = 2
    assert opened.save() is False and opened.gone
    assert site.live() == [] and site.read(cookie) == {}


def test_owned_by_lists_newest_first(clock: Clock) -> None:
    """SessionInfo: key, owner, created, expires; times in POSIX seconds."""
    site = Site(clock=clock, idle_timeout=100)
    for _ in range(3):
        site.start({}, "ada")
        clock.advance(5)
    site.start({}, "bob")
    infos = site.manager.owned_by("ada")
    assert [info.created for info in infos] == [clock() - 5, clock() - 10, clock() - 15]
    assert all(isinstance(info, SessionInfo) and info.owner == "ada" for info in infos)
    assert infos[0].expires == pytest.approx(clock() + 100, abs=1)
    assert site.manager.owned_by("nobody") == []


def test_destroy_ends_what_a_session_became(site: Site) -> None:
    """A key from before a regenerate names the session still; twice is False."""
    cookie = site.start({"a": 1}, "ada")
    (key,) = site.live()
    fresh = site.request(lambda s: s.regenerate(), cookie).cookie
    assert site.manager.destroy(key) is True
    assert site.manager.destroy(key) is False
    assert site.read(fresh) == {} and site.live() == []


@pytest.mark.parametrize("several", [False, True], ids=["one key", "several"])
def test_destroy_owned_keeps_what_it_is_told(site: Site, several: bool) -> None:
    """keep is a key or several."""
    for _ in range(3):
        site.start({}, "ada")
    keys = site.live()
    keep = keys[:2] if several else keys[0]
    assert site.manager.destroy_owned("ada", keep=keep) == (1 if several else 2)
    assert set(site.live()) == set(keys[:2] if several else keys[:1])
    assert site.manager.destroy_owned("ada") == (2 if several else 1)


def test_a_session_saved_while_a_revocation_runs() -> None:
    """It is ended by another pass, or began after it."""
    store = StoreDouble()
    site = Site(store)
    store.after("owned_by", lambda: site.start({}, "ada"), times=3)
    site.start({}, "ada")
    assert site.manager.destroy_owned("ada") == 4
    assert site.live() == []


def test_a_session_that_keeps_coming_back_is_a_conflict() -> None:
    """A listing that never ends is an error, not a hang."""
    store = StoreDouble()
    site = Site(store)
    store.before("owned_by", lambda: site.start({}, "ada"), times=None)
    site.manager.records.sleep = lambda seconds: None
    with pytest.raises(SessionError, match="appear"):
        site.manager.destroy_owned("ada")


def test_a_session_ended_by_somebody_else_is_not_counted() -> None:
    """destroy_owned counts what it ended itself."""
    store = StoreDouble()
    site = Site(store)
    site.start({}, "ada")
    (key,) = site.live()
    store.after("load_many", lambda: store.delete(key), times=None)
    assert site.manager.destroy_owned("ada") == 0


def test_count_and_purge(clock: Clock) -> None:
    """count() may have the last minute's markers; purge() removes what has expired."""
    site = Site(MemoryStore(clock=clock), idle_timeout=100)
    cookie = site.start({"a": 1})
    site.start({"b": 1})
    site.request(lambda s: s.regenerate(), cookie)
    site.request(lambda s: s.destroy(), cookie)
    assert site.manager.count() == 2
    assert len(site.live()) == 1
    clock.advance(99)
    assert site.manager.count() == 1
    clock.advance(20)
    assert site.manager.count() == 0
    site.manager.purge()
    assert site.manager.purge() == 0


def test_newest_first_within_a_millisecond() -> None:
    """Sessions that begin one right after the other keep their order in a listing."""
    manager = SessionManager(secret=SECRET)
    for number in range(20):
        manager.issue({"number": number}, "ada")
    listed = [manager.open(info.key) for info in manager.owned_by("ada")]
    assert [session["number"] for session in listed if session is not None] == list(range(19, -1, -1))


class Mirroring(JSONCodec):
    """Turns every line round on its way."""

    def pack(self, content: Record | Marker) -> bytes:
        return super().pack(self.mirrored(content))

    def unpack(self, payload: bytes) -> Record | Marker:
        return self.mirrored(super().unpack(payload))

    def mirrored(self, content: Record | Marker) -> Record | Marker:
        if isinstance(content, Marker):
            return content
        return content.with_changes({key: line[::-1] for key, line in content.data.items()})


def test_a_codec_may_change_the_lines_on_their_way() -> None:
    """What a merge goes by is what the request made, not what the codec made of it."""
    manager = SessionManager(secret=SECRET, codec=Mirroring())
    manager.issue({"a": 10, "b": 10, "c": 10}, "ada")
    [info] = manager.owned_by("ada")
    first, second = manager.open(info.key), manager.open(info.key)
    assert first is not None and second is not None
    first["a"], second["b"] = 21, 34
    assert first.save() and second.save()
    assert dict(manager.open(info.key) or {}) == {"a": 21, "b": 34, "c": 10}


class Hiding(JSONCodec):
    """Keeps values in lines of its own, which look like flat lists."""

    def encode(self, value: Any, path: str) -> bytes:
        return b"[%b]" % super().encode(value, path).hex().encode()

    def decode(self, line: bytes) -> Any:
        return super().decode(bytes.fromhex(line[1:-1].decode()))


def test_nested_changes_are_noticed_whatever_a_codec_s_lines_look_like() -> None:
    """Only lines of JSON tell what a value contains."""
    manager = SessionManager(secret=SECRET, codec=Hiding())
    manager.issue({"cart": [[1], {"a": [2]}]}, "ada")
    [info] = manager.owned_by("ada")
    session = manager.open(info.key)
    assert session is not None
    session["cart"][0].append(3)
    session["cart"][1]["a"].append(4)
    assert session.save() and dict(manager.open(info.key) or {}) == {"cart": [[1, 3], {"a": [2, 4]}]}


def test_issue_takes_keys_that_a_session_can_have() -> None:
    """As with the session itself: a key that is no str is an error at once."""
    with pytest.raises(TypeError, match="keys are str, not int"):
        SessionManager(secret=SECRET).issue({1: "a"})  # type: ignore[dict-item]


def test_a_store_that_reads_one_by_one_is_listed_all_the_same(clock: Clock) -> None:
    """``load_many`` is optional."""
    manager = SessionManager(Single(), secret=SECRET)
    manager.issue({"a": 1}, "ada")
    assert (
        [dict(info.data) for info in manager.owned_by("ada")]
        == [{"a": 1}]
        == [dict(i.data) for i in manager.sessions()]
    )


class Single(MemoryStore):
    """Has none of the operations that a store may lack."""

    load_many = None  # type: ignore[assignment]
