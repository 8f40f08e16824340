"""The page "Metrics and health", as printed: counters, times, datagrams, JSON, and an endpoint that writes nothing."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.docs import blocks, run
from support.store_double import StoreDouble, failing
from webtest import TestApp

from wsgisession import MemoryStore, SessionManager, Store, StoreError

prometheus_client = pytest.importorskip("prometheus_client")
pytest.importorskip("pythonjsonlogger")

PAGE = "docs/how-to/metrics.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the page's blocks define, run once: a metric cannot be registered twice. The log is as it was afterwards."""
    watched = logging.getLogger("wsgisession"), logging.getLogger()
    before = [(logger, logger.level, logger.propagate, list(logger.handlers)) for logger in watched]
    namespace: dict[str, Any] = {"__name__": "page"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("metrics"))
        for block in blocks(PAGE, "python"):
            run(PAGE, block, namespace)
        yield namespace
    for handler in logging.getLogger("wsgisession").handlers:
        if hasattr(handler, "socket"):
            handler.socket.close()
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def sample(name: str, **labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0.0  # type: ignore[no-any-return]


def test_events_are_counted(names: dict[str, Any]) -> None:
    """Each by its name; one that sums up a flood by its count."""
    created, forged = (
        sample("wsgisession_events_total", event="created"),
        sample("wsgisession_events_total", event="expired"),
    )
    assert TestApp(names["app"]).get("/").text == "hello"
    assert sample("wsgisession_events_total", event="created") == created + 1
    logging.getLogger("wsgisession").info("removed", extra={"event": "expired", "count": 7})
    assert sample("wsgisession_events_total", event="expired") == forged + 7


def test_operations_are_timed(names: dict[str, Any]) -> None:
    """A request that reads and writes is one of each."""
    browser = TestApp(names["app"])
    browser.get("/")
    before = [sample("wsgisession_store_seconds_count", operation=name) for name in ("load", "replace")]
    browser.get("/")
    after = [sample("wsgisession_store_seconds_count", operation=name) for name in ("load", "replace")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


def test_failures_are_counted(names: dict[str, Any]) -> None:
    """And go on as what they are."""
    store = names["Measured"](failing("load"))
    assert isinstance(store, Store)
    before = sample("wsgisession_store_failures_total", operation="load")
    with pytest.raises(StoreError):
        SessionManager(store).open("k" * 43)
    assert sample("wsgisession_store_failures_total", operation="load") == before + 1


def test_a_measured_store_keeps_what_it_has_besides(names: dict[str, Any]) -> None:
    """The optional methods are the store's own."""

    class Talks(MemoryStore):
        def diagnose(self) -> list[str]:
            return ["one thing"]

    assert names["Measured"](Talks()).diagnose() == ["one thing"]
    assert getattr(names["Measured"](MemoryStore()), "nothing_of_this_name", None) is None


def test_a_datagram_for_each_event(names: dict[str, Any]) -> None:
    """As StatsD reads counters."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        handler = names["SendEvents"](*server.getsockname())
        handler.emit(logging.makeLogRecord({"event": "bad signature", "count": 12}))
        handler.emit(logging.makeLogRecord({"event": "created"}))
        assert [server.recv(100) for _ in range(2)] == [
            b"wsgisession.bad_signature:12|c",
            b"wsgisession.created:1|c",
        ]
        handler.socket.close()


def test_fields_are_members(names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of JSON has the event's name and its fields."""
    monkeypatch.setattr(names["handler"], "stream", written := io.StringIO())
    TestApp(names["app"]).get("/")
    [line] = [json.loads(line) for line in written.getvalue().splitlines()]
    assert line["event"] == "created" and len(line["key"]) == 43 and line["levelname"] == "INFO"
    [printed] = [json.loads(block.text) for block in blocks(PAGE, "json")]
    assert {"event", "count", "operation", "seconds", "key"} <= printed.keys()


def test_the_console_has_warnings_only(names: dict[str, Any]) -> None:
    """Counting who comes and goes fills no terminal."""
    assert names["console"].level == logging.WARNING


def test_the_health_endpoint_writes_nothing(names: dict[str, Any]) -> None:
    """It answers 200 without a cookie, and other pages are as they were."""
    store = StoreDouble()
    answer = TestApp(names["with_health"](names["app"], SessionManager(store))).get("/health")
    assert answer.text == "ok\n" and "Set-Cookie" not in answer.headers and set(store.calls) == {"load"}
    assert TestApp(names["application"]).get("/").text == "hello"


def test_the_health_endpoint_tells_of_an_outage(names: dict[str, Any]) -> None:
    """503."""
    manager = SessionManager(failing("load"))
    answer = TestApp(names["with_health"](names["app"], manager)).get("/health", status=503)
    assert "does not answer" in answer.text
