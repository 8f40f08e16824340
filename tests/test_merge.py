"""Two requests' changes are put together the way the table says."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.values import VALUES
from support.versions import SESSIONS, SMALL, changed, versions

from wsgisession.jsoncodec import JSONCodec
from wsgisession.merge import MISSING, adopt, merge, same

CODEC = JSONCodec()


# The table, row by row: base, ours, theirs, result

M = MISSING
ROWS = {
    "nothing changed": (1, 1, 1, 1),
    "ours changed": (1, 2, 1, 2),
    "theirs changed": (1, 1, 2, 2),
    "ours added": (M, 1, M, 1),
    "theirs added": (M, M, 1, 1),
    "ours deleted": (1, M, 1, M),
    "theirs deleted": (1, 1, M, M),
    "both deleted": (1, M, M, M),
    "never there": (M, M, M, M),
    "only the type changed, ours": (1, True, 1, True),
    "only the type changed, theirs": (1, 1, 1.0, 1.0),
    "only the type changed, inside": ([1], [1], [True], [True]),
    "both changed a plain value": (1, 2, 3, 2),
    "both added a plain value": (M, 2, 3, 2),
    "both changed to the same": (1, 2, 2, 2),
    "dicts, different keys": ({}, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
    "dicts, same key": ({"a": 0}, {"a": 1}, {"a": 2}, {"a": 1}),
    "dicts, one deletes, one adds": ({"a": 0}, {}, {"a": 0, "b": 1}, {"b": 1}),
    "dicts, deleted against changed": ({"a": 0}, {"a": 1}, {}, {"a": 1}),
    "dicts, two levels": ({"x": {}}, {"x": {"a": 1}}, {"x": {"b": 2}}, {"x": {"b": 2, "a": 1}}),
    "dicts that base lacks": (M, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
    "dicts that base lacks, one level down": ({}, {"x": {"a": 1}}, {"x": {"b": 2}}, {"x": {"b": 2, "a": 1}}),
    "dicts where base had a number": (1, {"a": 1}, {"b": 2}, {"b": 2, "a": 1}),
    "dicts with keys of other types": ({1: 0}, {1: 0, 2: "o"}, {1: 0, None: "t"}, {1: 0, None: "t", 2: "o"}),
    "lists appended to": ([0], [0, 1], [0, 2], [0, 2, 1]),
    "lists, the same appended": ([0], [0, 1], [0, 1], [0, 1, 1]),
    "lists appended to inside a dict": ({"l": []}, {"l": [1]}, {"l": [2]}, {"l": [2, 1]}),
    "lists that base lacks": (M, [1], [2, 3], [2, 3, 1]),
    "equal lists that base lacks": (M, [1], [1], [1]),
    "lists that base lacks, equal but for a type": (M, [1], [True], [True, 1]),
    "lists where base had a number": (1, [1], [2], [1]),
    "lists, ours appended, theirs cut": ([0, 1], [0, 1, 2], [0], [0, 1, 2]),
    "lists, ours cut, theirs appended": ([0, 1], [1], [0, 1, 2], [1]),
    "lists, the beginning of another type": ([1], [True, 2], [1, 3], [True, 2]),
    "ours consumed, theirs appended": ([1], M, [1, 2], [2]),
    "theirs consumed, ours appended": ([1], [1, 2], M, [2]),
    "consumed while empty": ([], M, [1], [1]),
    "ours deleted, theirs changed a list": ([1, 2], M, [2], M),
    "theirs deleted, ours changed a list": ([1, 2], [2], M, M),
    "ours deleted, theirs changed a dict": ({"a": 1}, M, {"a": 2}, M),
    "theirs deleted, ours changed a dict": ({"a": 1}, {"a": 1, "b": 2}, M, M),
    "ours deleted, theirs changed a set": ({1}, M, {1, 2}, M),
    "theirs deleted, ours changed a set": ({1}, {1, 2}, M, M),
    "ours deleted, theirs changed a number": (1, M, 2, M),
    "theirs deleted, ours changed a number": (1, 2, M, 2),
    "ours deleted, theirs replaced a dict": ({"a": 1}, M, 5, M),
    "theirs deleted, ours replaced a dict": ({"a": 1}, 5, M, 5),
    "theirs deleted, ours replaced a list by a tuple": ([1], (1, 2), M, (1, 2)),
    "theirs deleted, ours changed a tuple": ((1,), (1, 2), M, (1, 2)),
    "theirs deleted, ours changed a frozenset": (frozenset(), frozenset({1}), M, frozenset({1})),
    "sets": ({1}, {1, 2}, {1, 3}, {1, 2}),
    "tuples": ((1,), (1, 2), (1, 3), (1, 2)),
    "a dict and a list": ({}, {"a": 1}, [1], {"a": 1}),
    "a list and a dict": ([], [1], {"a": 1}, [1]),
}


@pytest.mark.parametrize(("base", "ours", "theirs", "result"), ROWS.values(), ids=ROWS)
def test_table(base: Any, ours: Any, theirs: Any, result: Any) -> None:
    """One value is merged as the table says, and so is a key of a dict."""

    def keyed(value: Any) -> dict[str, Any]:
        return {"other": 1} if value is MISSING else {"other": 1, "key": value}

    assert same(merge(base, ours, theirs), result)
    assert same(merge(keyed(base), keyed(ours), keyed(theirs)), keyed(result))


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "order"),
    [
        ("abc", "cab", "abc", "cab"),
        ("abc", "abc", "cbad", "cbad"),
        ("ab", "abxy", "bacd", "bacdxy"),
        ("abc", "bcx", "acd", "cdx"),
    ],
    ids=["ours only", "theirs only", "both", "both, deleted too"],
)
def test_order_of_keys(base: str, ours: str, theirs: str, order: str) -> None:
    """The keys are in the order of the only side that changed, else in theirs, then our new ones."""
    assert "".join(merge(*(dict.fromkeys(keys, 0) for keys in (base, ours, theirs)))) == order


# Laws


@given(versions())
@settings(deadline=None)
def test_the_only_side_that_changed_wins(sides: Any) -> None:
    """``merge(b, o, b) == o`` and ``merge(b, b, t) == t``."""
    base, ours, theirs = sides
    assert same(merge(base, ours, base), ours)
    assert same(merge(base, base, theirs), theirs)


@given(SESSIONS, st.data())
@settings(deadline=None)
def test_disjoint_changes_commute(base: dict[str, Any], data: st.DataObject) -> None:
    """Changes of different keys are all kept, in any order of the saves."""
    one, two = data.draw(changed(base)), data.draw(changed(base))
    for key in "abcd":  # one keeps its changes of a and b, two those of c and d
        side = two if key in "ab" else one
        side.pop(key, None)
        if key in base:
            side[key] = base[key]
    merged = merge(base, one, two)
    assert same(merged, merge(base, two, one))
    assert same(merged, {key: side[key] for key in "abcd" if key in (side := one if key in "ab" else two)})


@given(st.none() | st.lists(SMALL, max_size=2), st.lists(SMALL, max_size=3), st.lists(SMALL, max_size=3))
@settings(deadline=None)
def test_appended_items_are_kept(base: list[Any] | None, mine: list[Any], others: list[Any]) -> None:
    """Two lists that were only appended to keep both sides' items."""
    assume(base is not None or not same(mine, others))
    before: dict[str, Any] = {} if base is None else {"l": base}
    start = base or []
    assert same(merge(before, {"l": start + mine}, {"l": start + others}), {"l": start + others + mine})


@given(versions())
@settings(deadline=None)
def test_nothing_given_is_changed(sides: Any) -> None:
    """A merge changes none of the three sessions."""
    copies = deepcopy(sides)
    merge(*sides)
    assert all(map(same, sides, copies))


# same

BERLIN = ZoneInfo("Europe/Berlin")
DIFFERENT = [
    (1, True),
    (1, 1.0),
    (0, False),
    (0.0, -0.0),
    ("a", b"a"),
    ([1], (1,)),
    ({1}, frozenset({1})),
    ({1}, {True}),
    ({1}, {1, 2}),
    ({1}, {2}),
    ([1], [1, 2]),
    ([1, [True]], [1, [1]]),
    ({"a": 1}, {"a": 1.0}),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({1: "a"}, {True: "a"}),
    ({(1,): "a"}, {(True,): "a"}),
    (Decimal("1.0"), Decimal("1.00")),
    (time(1), time(1, fold=1)),
    (datetime(2024, 1, 1), datetime(2024, 1, 1, fold=1)),
    (datetime(2024, 7, 1, 2, tzinfo=BERLIN), datetime(2024, 7, 1, 0, tzinfo=UTC)),
    (datetime(2024, 7, 1, tzinfo=BERLIN), datetime(2024, 7, 1, tzinfo=timezone(timedelta(hours=2)))),
    (time(1, tzinfo=timezone(timedelta(hours=1))), time(1, tzinfo=timezone(timedelta(hours=1), "CET"))),
    (None, MISSING),
    ({}, MISSING),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different(a: Any, b: Any) -> None:
    """Values that would be stored differently are different, also where Python calls them equal."""
    assert not same(a, b) and not same(b, a)


@given(VALUES)
@settings(deadline=None)
def test_a_copy_is_the_same(value: Any) -> None:
    """A value is the same as its deep copy."""
    assert same(value, deepcopy(value))


@given(VALUES, VALUES)
@settings(deadline=None)
def test_same_means_equal(a: Any, b: Any) -> None:
    """What is the same is equal too, either way round, and has the same encoding but for the order of dicts."""
    assert same(a, b) == same(b, a)
    if same(a, b):
        assert a == b
        assert sorted(CODEC.encode(a, "v")) == sorted(CODEC.encode(b, "v"))


def test_order_of_a_dict_is_no_difference() -> None:
    """Two dicts with the same items are the same, whatever their order; two such lists are not."""
    assert same({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    assert not same([1, 2], [2, 1])


def test_missing_names_itself() -> None:
    """MISSING is recognisable in a failing test."""
    assert repr(MISSING) == "MISSING"


# adopt


@given(VALUES, VALUES)
@settings(deadline=None)
def test_adopt_shows_the_fresh_value(held: Any, fresh: Any) -> None:
    """Whatever was held, what takes its place is the same as the fresh value."""
    expected = deepcopy(fresh)
    both = type(held) is type(fresh) and type(held) in (list, dict)
    result = adopt(held, fresh)
    assert same(result, expected)
    assert (result is held) if both else (result is fresh)


def test_adopt_keeps_containers() -> None:
    """A dict inside a dict stays the object the application holds, and so does a list."""
    inner, items = {"a": 1, "old": 0}, [1, 2]
    held = {"inner": inner, "items": items, "gone": 1}
    result = adopt(held, {"items": [1, 3, 4], "inner": {"b": 2, "a": 1}, "new": 5})
    assert result is held and held["inner"] is inner and held["items"] is items
    assert held == {"items": [1, 3, 4], "inner": {"b": 2, "a": 1}, "new": 5}
    assert list(held) == ["items", "inner", "new"] and list(inner) == ["b", "a"]


def test_adopt_keeps_items_that_stayed() -> None:
    """An item of a list stays the object it was where the fresh one at its index is the same."""
    first, second = {"a": 1}, {"b": 2}
    held = [first, second]
    result = adopt(held, [{"a": 1}, {"b": True}, {"c": 3}])
    assert result is held
    assert held[0] is first and held[1] is not second
    assert second == {"b": 2}
    assert held == [{"a": 1}, {"b": True}, {"c": 3}]


def test_adopt_takes_the_types_of_the_fresh_value() -> None:
    """Values and keys that only differ in type are replaced."""
    held: dict[Any, Any] = {1: [1]}
    adopt(held, {True: [True]})
    assert same(held, {True: [True]})


def test_adopt_what_shares_parts() -> None:
    """The fresh value may hold parts of the held one, as a merge's result does."""
    part, items = {"a": 1}, [1]
    held: dict[str, Any] = {"a": part, "b": items, "d": 2}
    result = adopt(held, {"a": part, "b": items, "c": [part]})
    assert result is held and held["a"] is part and held["b"] is items
    assert held == {"a": {"a": 1}, "b": [1], "c": [{"a": 1}]}
