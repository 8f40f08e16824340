"""How long a session may live: a table of limits, remainders and what a write does to the expiry."""

from __future__ import annotations

import pytest

from wsgisession import Record
from wsgisession.limits import Limits
from wsgisession.stores.base import NO_EXPIRY

NOW = 1_764_018_000.0
LIMITS = Limits(idle=100.0, lifetime=1000.0, remember=5000.0, dates_cookie=False)


def record_of(age: float, persistent: bool = False, idle_timeout: float | None = None) -> Record:
    return Record(NOW - age, None, persistent, {}, idle_timeout=idle_timeout)


@pytest.mark.parametrize(
    ("age", "persistent", "left", "expected"),
    [
        (0, False, 100, None),
        (0, False, 95, None),
        (0, False, 90, 100),
        (0, False, 500, 100),
        (1000, False, 500, 100),
        (950, False, 20, 50),
        (950, False, 45, None),
        (1000, False, 60, None),
        (9999, False, 60, None),
        (1000, False, 0.0005, None),
        (-9999, False, 60, 100),
        (9999, True, 100, 5000),
        (9999, True, 4600, None),
        (9999, True, 6000, 5000),
        (0, False, NO_EXPIRY, 100),
        (1000, False, NO_EXPIRY, 100),
    ],
    ids=[
        "fresh",
        "less than a tenth would be gained",
        "a tenth would be gained",
        "a limit was made shorter",
        "a limit was made shorter, past the lifetime: one timeout",
        "up to the lifetime",
        "less than a tenth to the lifetime",
        "nothing left of the lifetime: not moved",
        "a clock that is wrong kills nothing",
        "not even in the last millisecond",
        "begun in the future: at most a whole lifetime",
        "persistent: no lifetime",
        "persistent: less than a tenth",
        "persistent: a limit was made shorter",
        "without an expiry: gets one",
        "without an expiry, past the lifetime: gets one",
    ],
)
def test_when_an_expiry_is_due(age: float, persistent: bool, left: float, expected: float | None) -> None:
    """The seconds it is set to; None: it stays."""
    record = record_of(age, persistent)
    due = LIMITS.due(record, left, NOW) if LIMITS.may_be_due(record, left) else None
    assert due == expected


def test_a_switch_sets_it_again() -> None:
    """Both ways; with nothing left of the lifetime, at most one idle timeout."""
    for age, persistent, left, expected in (
        (0, True, 90, 5000),
        (0, False, 4000, 100),
        (2000, False, 4000, 100),
    ):
        assert LIMITS.switched(record_of(age, persistent), left, NOW) == expected


def test_without_an_idle_timeout_the_lifetime_counts() -> None:
    """From the beginning to its end."""
    limits = Limits(idle=None, lifetime=1000.0, remember=5000.0, dates_cookie=False)
    assert [limits.allowed(record_of(age), NOW) for age in (0, 400, 1000)] == [1000, 600, 0]


def test_a_request_that_outlasted_the_lifetime_still_stores() -> None:
    """A new record always gets some time."""
    assert [LIMITS.first(record_of(age), NOW) for age in (0, 950, 2000)] == [100, 50, 100]


@pytest.mark.parametrize(
    ("persistent", "own", "expected"),
    [
        (False, 15.0, 15),
        (False, 400.0, 400),
        (False, 4000.0, 1000),
        (True, 15.0, 15),
        (True, 9000.0, 9000),
        (True, None, 5000),
    ],
    ids=[
        "shorter",
        "longer",
        "the lifetime still counts",
        "persistent, shorter",
        "persistent, longer",
        "persistent, none",
    ],
)
def test_a_sessions_own_idle_timeout(persistent: bool, own: float | None, expected: float) -> None:
    """It counts instead of the configured one, or instead of ``remember``."""
    record = record_of(0, persistent, own)
    assert LIMITS.timeout(record) == LIMITS.first(record, NOW) == expected


@pytest.mark.parametrize("dates_cookie", [False, True])
def test_which_cookies_are_dated(dates_cookie: bool) -> None:
    """Those of persistent sessions; with Express those of sessions with a timeout of their own, too."""
    limits = Limits(idle=100.0, lifetime=1000.0, remember=5000.0, dates_cookie=dates_cookie)
    records = record_of(0), record_of(0, True), record_of(0, False, 9.0)
    assert [limits.dated(record) for record in records] == [False, True, dates_cookie]
