"""How long a session may live: a table of limits, remainders and what a write does to the expiry."""

from __future__ import annotations

import pytest
from support.clock import Clock

from wsgisession import JSONCodec, Record
from wsgisession.draft import Draft
from wsgisession.limits import Limits, Timeouts

LIMITS = Limits(idle=100.0, lifetime=1000.0, remember=5000.0)


def draft_of(age: float, clock: Clock, persistent: bool = False) -> Draft:
    return Draft(JSONCodec(), Record(clock() - age, None, persistent, {}))


@pytest.mark.parametrize(
    ("age", "persistent", "left", "expected"),
    [
        (0, False, 100, (100, False)),
        (0, False, 95, (95, False)),
        (0, False, 90, (100, True)),
        (0, False, 500, (500, False)),
        (950, False, 20, (50, True)),
        (950, False, 45, (45, False)),
        (1000, False, 60, (60, False)),
        (9999, False, 60, (60, False)),
        (1000, False, 0.001, (0.001, False)),
        (-9999, False, 60, (100, True)),
        (9999, True, 100, (5000, True)),
        (9999, True, 4600, (4600, False)),
        (0, False, 0, (100, True)),
        (1000, False, 0, (100, True)),
    ],
    ids=[
        "fresh",
        "less than a tenth would be gained",
        "a tenth would be gained",
        "never earlier",
        "up to the lifetime",
        "less than a tenth to the lifetime",
        "nothing left of the lifetime: not moved",
        "a clock that is wrong kills nothing",
        "not even in the last millisecond",
        "begun in the future: at most a whole lifetime",
        "persistent: no lifetime",
        "persistent: less than a tenth",
        "without an expiry: gets one",
        "without an expiry, past the lifetime: gets one",
    ],
)
def test_what_a_write_does_to_the_expiry(
    age: float, persistent: bool, left: float, expected: tuple[float, bool], clock: Clock
) -> None:
    """The seconds stored, and whether they are a moved expiry."""
    timeouts = Timeouts(LIMITS, JSONCodec(), clock)
    assert timeouts.next(draft_of(age, clock, persistent), left, True) == expected


def test_a_persistent_expiry_moves_only_with_its_cookie(clock: Clock) -> None:
    """Where no cookie can follow, it stays."""
    timeouts = Timeouts(LIMITS, JSONCodec(), clock)
    assert timeouts.next(draft_of(0, clock, True), 100, False) == (100, False)


def test_a_switch_sets_it_anew(clock: Clock) -> None:
    """Both ways; with nothing left of the lifetime, at most one idle timeout."""
    timeouts = Timeouts(LIMITS, JSONCodec(), clock)
    for age, persistent, left, expected in ((0, False, 90, 5000), (0, True, 4000, 100), (2000, True, 4000, 100)):
        draft = draft_of(age, clock, persistent)
        draft.persistent = not persistent
        assert timeouts.next(draft, left, True) == (expected, True)


def test_without_an_idle_timeout_the_lifetime_counts(clock: Clock) -> None:
    """From the beginning to its end."""
    timeouts = Timeouts(LIMITS._replace(idle=None), JSONCodec(), clock)
    assert [timeouts.allowed(draft_of(age, clock)) for age in (0, 400, 1000)] == [1000, 600, 0]


def test_a_request_that_outlasted_the_lifetime_still_stores(clock: Clock) -> None:
    """A new record always gets some time."""
    timeouts = Timeouts(LIMITS, JSONCodec(), clock)
    assert [timeouts.first(draft_of(age, clock)) for age in (0, 950, 2000)] == [100, 50, 100]
