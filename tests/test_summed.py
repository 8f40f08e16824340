"""Floods: an event that may come thousands of times in a minute is one line a minute, with the count."""

from __future__ import annotations

import logging

import pytest
from support.clock import Clock

from wsgisession.log import Summed


def store_errors(clock: Clock) -> Summed:
    return Summed("store error", logging.ERROR, clock=clock)


def test_the_first_is_logged_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees the cause with its fields, not a number."""
    store_errors(clock).add("the store is down", operation="load", seconds=2.0)
    [record] = caplog.records
    assert (record.event, record.levelname) == ("store error", "ERROR")  # type: ignore[attr-defined]
    assert record.getMessage() == "the store is down count=1 operation='load' seconds=2.0"
    assert (record.count, record.operation, record.seconds) == (1, "load", 2.0)  # type: ignore[attr-defined]


def test_then_one_line_a_minute_with_the_count(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """What came in between is in the next line's count, which has the newest event's fields."""
    errors = store_errors(clock)
    for _ in range(100):
        errors.add("refused", operation="load")
    clock.advance(59.9)
    errors.add("refused", operation="load")
    clock.advance(0.1)
    errors.add("timed out", operation="replace")
    told = [(record.count, record.operation) for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [(1, "load"), (101, "replace")]
    assert "timed out" in caplog.records[-1].getMessage()


def test_a_quiet_time_ends_a_flood(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The first event of the next one is logged at once again."""
    errors = store_errors(clock)
    errors.add("refused")
    clock.advance(3600)
    errors.add("refused")
    assert [record.count for record in caplog.records] == [1, 1]  # type: ignore[attr-defined]
