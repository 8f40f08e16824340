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
        pytest.param(0, False, 100, None, id="fresh"),
        pytest.param(0, False, 95, None, id="less than a tenth would be gained"),
        pytest.param(0, False, 90, 100, id="a tenth would be gained"),
        pytest.param(0, False, 500, 100, id="a limit was made shorter"),
        pytest.param(1000, False, 500, 100, id="a limit was made shorter, past the lifetime: one timeout"),
        pytest.param(950, False, 20, 50, id="up to the lifetime"),
        pytest.param(950, False, 45, None, id="less than a tenth to the lifetime"),
        pytest.param(1000, False, 60, None, id="nothing left of the lifetime: not moved"),
        pytest.param(9999, False, 60, None, id="a clock that is wrong kills nothing"),
        pytest.param(1000, False, 0.0005, None, id="not even in the last millisecond"),
        pytest.param(-9999, False, 60, 100, id="begun in the future: at most a whole lifetime"),
        pytest.param(9999, True, 100, 5000, id="persistent: no lifetime"),
        pytest.param(9999, True, 4600, None, id="persistent: less than a tenth"),
        pytest.param(9999, True, 6000, 5000, id="persistent: a limit was made shorter"),
        pytest.param(0, False, NO_EXPIRY, 100, id="without an expiry: gets one"),
        pytest.param(1000, False, NO_EXPIRY, 100, id="without an expiry, past the lifetime: gets one"),
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
        pytest.param(False, 15.0, 15, id="shorter"),
        pytest.param(False, 400.0, 400, id="longer"),
        pytest.param(False, 4000.0, 1000, id="the lifetime still counts"),
        pytest.param(True, 15.0, 15, id="persistent, shorter"),
        pytest.param(True, 9000.0, 9000, id="persistent, longer"),
        pytest.param(True, None, 5000, id="persistent, none"),
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
