"""The log: every event with its level, its fields and never an id, a token or a secret; docs/reference/log.md lists them."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.clock import Clock
from support.docs import ROOT
from support.store_double import StoreDouble
from support.web import SECRET, Site

from wsgisession import JSONCodec, MemoryStore, SessionConflict, StoreError, UnreadableValue
from wsgisession.diagnosis import REASONS
from wsgisession.session import Session

PAGE = (ROOT / "docs/reference/log.md").read_text(encoding="utf-8")


class Stage:
    """A site over a store that lets a scene step in, and the clock of both."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = StoreDouble(MemoryStore(clock=self.clock))
        self.site = Site(self.store, clock=self.clock)


def put(session: Session) -> None:
    session["a"] = 1


def fail() -> None:
    raise StoreError("the store is down")


def created(stage: Stage) -> None:
    stage.site.request(put)


def regenerated(stage: Stage) -> None:
    stage.site.request(lambda session: session.regenerate(), stage.site.start({"a": 1}))


def destroyed(stage: Stage) -> None:
    stage.site.request(lambda session: session.destroy(), stage.site.start({"a": 1}))


def expired_under_a_request(stage: Stage) -> None:
    site = Site(stage.store, clock=stage.clock, idle_timeout=0.05)

    def slow(session: Session) -> None:
        session["b"] = 2
        time.sleep(0.06)
        stage.clock.advance(0.06)

    site.request(slow, site.start({"a": 1}))


def purged(stage: Stage) -> None:
    stage.site.start({"a": 1})
    stage.clock.advance(7200)
    assert stage.site.manager.purge() == 1


def revoked_by_the_manager(stage: Stage) -> None:
    stage.site.start({"a": 1})
    assert stage.site.manager.destroy(stage.site.live()[0])


def revoked_as_an_owners(stage: Stage) -> None:
    stage.site.start({"a": 1}, "ada")
    assert stage.site.manager.destroy_owned("ada") == 1


def bad_signature(stage: Stage) -> None:
    stage.site.read("sid=forged")


def unknown_id(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    stage.clock.advance(7200)
    stage.site.read(cookie)


def merged(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    stage.store.before("replace", lambda: stage.site.request(lambda session: session.update(c=3), cookie))
    stage.site.request(lambda session: session.update(b=2), cookie)


def kept_failing(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    stage.site.manager.records.sleep = lambda seconds: None

    def again() -> None:
        (key,) = stage.site.live()
        payload, left = stage.store.store.load(key) or (b"", 0.0)
        other = JSONCodec().pack(JSONCodec().unpack(payload))  # the same record, with a nonce of its own
        assert stage.store.store.replace(key, payload, other, left)
        stage.store.before("replace", again)

    stage.store.before("replace", again)
    with pytest.raises(SessionConflict):
        stage.site.request(put_another, cookie)


def put_another(session: Session) -> None:
    session["b"] = 2


def dropped(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    stage.store.before("replace", lambda: stage.site.request(lambda session: session.destroy(), cookie))
    stage.site.request(put_another, cookie)


def unreadable_record(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    (key,) = stage.site.live()
    stage.site.rewrite(key, lambda _: b"not a record")
    stage.site.read(cookie)


def unreadable_value(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    (key,) = stage.site.live()
    stage.site.rewrite(key, lambda payload: payload[:-1] + b"}")
    with pytest.raises(UnreadableValue):
        stage.site.read(cookie)


def store_down(call: str, handler: Callable[[Session], Any]) -> Callable[[Stage], None]:
    def scene(stage: Stage) -> None:
        cookie = stage.site.start({"a": 1}, "ada")
        stage.store.fail(call)
        with pytest.raises(StoreError, match="the store is down"):
            stage.site.request(handler, cookie)

    return scene


def create_fails(stage: Stage) -> None:
    stage.store.fail("create")
    with pytest.raises(StoreError):
        stage.site.request(put)


def touch_fails(stage: Stage) -> None:
    cookie = stage.site.start({"a": 1})
    stage.clock.advance(3600)
    stage.store.fail("touch")
    assert stage.site.read(cookie) == {"a": 1}


def full(stage: Stage) -> None:
    small = Site(MemoryStore(max_sessions=1))
    small.start({"a": 1})
    small.start({"a": 1})


FAILURE = {"count", "operation", "seconds"}

SCENES: list[tuple[Callable[[Stage], None], str, str, set[str]]] = [
    (created, "created", "INFO", {"key"}),
    (regenerated, "regenerated", "INFO", {"key", "old_key"}),
    (destroyed, "destroyed", "INFO", {"key"}),
    (expired_under_a_request, "expired", "INFO", {"key"}),
    (purged, "expired", "INFO", {"count"}),
    (revoked_by_the_manager, "revoked", "INFO", {"key"}),
    (revoked_as_an_owners, "revoked", "INFO", {"key", "owner"}),
    (bad_signature, "bad signature", "WARNING", {"count"}),
    (unknown_id, "unknown id", "DEBUG", {"key"}),
    (merged, "conflict", "INFO", {"key"}),
    (kept_failing, "conflict", "ERROR", {"key"}),
    (dropped, "dropped", "INFO", {"key"}),
    (unreadable_record, "unreadable", "ERROR", {"key"}),
    (unreadable_value, "unreadable", "ERROR", {"key", "item"}),
    (full, "store full", "WARNING", {"evicted"}),
    (create_fails, "store error", "ERROR", FAILURE | {"key"}),
    (touch_fails, "store error", "ERROR", FAILURE | {"key"}),
    (store_down("load", lambda session: session.get("a")), "store error", "ERROR", FAILURE | {"key"}),
    (store_down("replace", put_another), "store error", "ERROR", FAILURE | {"key"}),
    (store_down("replace", lambda session: session.regenerate()), "store error", "ERROR", FAILURE | {"key"}),
    (store_down("delete", lambda session: session.destroy()), "store error", "ERROR", FAILURE | {"key"}),
    (store_down("owned_by", lambda session: session.siblings()), "store error", "ERROR", FAILURE),
]


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    plain = vars(logging.makeLogRecord({}))
    return {
        name: value
        for name, value in vars(record).items()
        if name not in plain and name not in ("event", "message")
    }


@pytest.mark.parametrize(
    ("scene", "name", "level", "fields"), SCENES, ids=lambda value: getattr(value, "__name__", None)
)
def test_each_event(
    scene: Callable[[Stage], None], name: str, level: str, fields: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It has this level and these fields, once, and is in the table of the docs."""
    with caplog.at_level(logging.DEBUG, "wsgisession"):
        scene(Stage())
    [found] = [record for record in caplog.records if (record.event, record.levelname) == (name, level)]  # type: ignore[attr-defined]
    assert set(fields_of(found)) == fields
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` ") and level in line]
    assert all(f"`{field}`" in row for field in fields)
    assert SECRET not in caplog.text


def test_the_table_lists_nothing_else() -> None:
    """Every event there is one that a scene above makes happen, every reason one that diagnosis knows."""
    events, reasons = PAGE.split("The reasons of", 1)
    named = [set(re.findall(r"^\| `([a-z -]+)` ", table, re.MULTILINE)) for table in (events, reasons)]
    assert named == [{name for _, name, _, _ in SCENES} | {"misconfiguration"}, set(REASONS)]


def test_what_is_not_wanted_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Below the logger's level nothing is written."""
    with caplog.at_level(logging.ERROR, "wsgisession"):
        created(Stage())
    assert caplog.records == []


def test_store_errors_are_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    """Of an outage the first failure is a line, with what was asked and how long it took; a hundred more are none."""
    stage = Stage()
    cookie = stage.site.start({"a": 1})
    for _ in range(100):
        stage.store.fail("load")
        with pytest.raises(StoreError):
            stage.site.read(cookie)
    [record] = [record for record in caplog.records if record.event == "store error"]  # type: ignore[attr-defined]
    assert (record.count, record.operation) == (1, "load") and record.seconds < 5  # type: ignore[attr-defined]


def test_an_error_that_passes_twice_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """However many hands it goes through."""
    stage, error = Stage(), StoreError("the store is down")
    cookie = stage.site.start({"a": 1})

    def down() -> None:
        raise error

    for _ in range(2):
        stage.store.before("load", down)
        with pytest.raises(StoreError):
            stage.site.read(cookie)
    assert [record.count for record in caplog.records] == [1] and error.logged  # type: ignore[attr-defined]
