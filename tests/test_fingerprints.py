"""Marks of values tell whether one that was handed out has changed."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.values import HASHABLE, PLAIN, VALUES

from wsgisession import JSONCodec
from wsgisession.fingerprints import fingerprint, unchanged

CODEC = JSONCodec()


class Str(str):
    pass


class One(enum.IntEnum):
    ONE = 1


class Buffer(float):
    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(b"\x00")


def set_item(new: Any) -> Callable[[list[Any]], None]:
    def act(value: list[Any]) -> None:
        value[0] = new

    return act


# Of both lines
CHANGES = {
    "int to bool": set_item(True),
    "int to float": set_item(1.0),
    "int to IntEnum": set_item(One.ONE),
    "to a datetime": set_item(datetime(2024, 1, 1)),
    "to a list": set_item([1]),
    "str subclass": lambda value: value.__setitem__(1, Str("a")),
    "str to bytes": lambda value: value.__setitem__(1, b"a"),
    "str to bytearray": lambda value: value.__setitem__(1, bytearray(b"a")),
    "swapped": lambda value: value.reverse(),
    "emptied": lambda value: value.clear(),
    "one less": lambda value: value.pop(),
    "one more": lambda value: value.append(None),
    "contains itself": lambda value: value.append(value),
}
NESTED_CHANGES = {
    "to a float with a buffer": lambda value: value[2].__setitem__("k", Buffer(0.0)),
    "zero to negative zero": lambda value: value[2].__setitem__("k", -0.0),
    "zero to int": lambda value: value[2].__setitem__("k", 0),
    "to NaN": lambda value: value[2].__setitem__("k", math.nan),
    "nested list to tuple": lambda value: value[2].__setitem__("l", (1,)),
    "nested append": lambda value: value[2]["l"].append(1),
    "nested key": lambda value: value[2].__setitem__("m", 1),
    "key of another type": lambda value: value[2].__setitem__(1, value[2].pop("k")),
    "dict to OrderedDict": lambda value: value.__setitem__(2, OrderedDict(value[2])),
    "order of the keys": lambda value: value[2].__setitem__("k", value[2].pop("k")),
}
FLAT_CHANGES = {
    "zero to negative zero": lambda value: value.__setitem__(2, -0.0),
    "null to false": lambda value: value.__setitem__(3, False),
    "to NaN": lambda value: value.__setitem__(4, math.nan),
    "to a Buffer": lambda value: value.__setitem__(4, Buffer(1.5)),
}

NESTED, FLAT = b'[1,"a",{"k":0.0,"l":[1]}]', b'[1,"a",0.0,null,1.5,123456789012]'


@pytest.mark.parametrize(
    ("line", "change"),
    [
        *(
            pytest.param(NESTED, change, id=f"nested, {name}")
            for name, change in (CHANGES | NESTED_CHANGES).items()
        ),
        *(
            pytest.param(FLAT, change, id=f"flat, {name}")
            for name, change in (CHANGES | FLAT_CHANGES).items()
        ),
    ],
)
def test_mark_notices(line: bytes, change: Callable[[list[Any]], None]) -> None:
    """A change anywhere inside a value is noticed, also one that Python calls equal, by either kind of mark."""
    value = CODEC.decode(line)
    mark = fingerprint(value, line)
    assert type(mark) is (list if line is FLAT else bytes) and unchanged(value, mark)
    change(value)
    assert not unchanged(value, mark)


@given(PLAIN.filter(lambda value: type(value) in (list, dict)))
@settings(deadline=None)
def test_mark_of_a_value_that_was_only_read(value: Any) -> None:
    """A value that was read and not changed keeps its mark, unless it has tags and so no mark."""
    line = CODEC.encode(value, "v")
    found = CODEC.decode(line)
    mark = fingerprint(found, line)
    assert (mark is None) == (b'{"~' in line)
    assert mark is None or unchanged(found, mark)


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value, as (container, key)."""
    found = []
    if type(value) in (list, dict):
        for key in range(len(value)) if type(value) is list else list(value):
            found += [(value, key), *leaves(value[key])]
    return found


TWINS = st.one_of(
    HASHABLE,
    VALUES,
    st.sampled_from(
        [True, 1, 1.0, 0, False, -0.0, 0.0, One.ONE, Str("a"), "a", b"a", bytearray(b"a"), (), [], {}]
    ),
)


SIMPLE = st.sampled_from([1, 0, 0.0, "a", "", None, True])


@given(
    st.lists(SIMPLE, min_size=1, max_size=4) | st.lists(PLAIN | SIMPLE | st.just([]), min_size=1, max_size=4),
    TWINS,
    st.data(),
)
@settings(deadline=None)
def test_equal_marks_mean_equal_lines(value: Any, twin: Any, data: st.DataObject) -> None:
    """Where the mark is still the same, encoding again gives the same line."""
    line = CODEC.encode(value, "v")
    found = CODEC.decode(line)
    mark = fingerprint(found, line)
    container, key = data.draw(st.sampled_from(leaves(found)))
    container[key] = deepcopy(twin)
    if mark is not None and unchanged(found, mark):
        assert CODEC.encode(found, "v") == line


@pytest.mark.parametrize("line", [b'{"~set":[1]}', b'[{"~bytes":"AA=="}]', b'{"~tuple":[[]]}'])
def test_no_mark_of_tagged_values(line: bytes) -> None:
    """A line with tags has no mark: marshal takes bytearray for bytes and knows no datetime."""
    assert fingerprint(CODEC.decode(line), line) is None


def test_no_mark_past_the_depth_of_marshal() -> None:
    """What marshal cannot write has no mark."""
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    assert fingerprint(value, b"[[]]") is None


def test_who_else_holds_a_value_makes_no_difference() -> None:
    """A value has the mark that it had when only a variable held it."""
    line = b'{"name":"Zo"}'
    mark = fingerprint(json.loads(line), line)
    value = json.loads(line)
    assert unchanged(value, mark)
    holders = [value, {"k": value}]
    assert unchanged(value, mark) and holders
