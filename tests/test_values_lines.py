"""Lines of values that nest too deep or are broken are refused when they are read, whatever is wrong with them."""

from __future__ import annotations

import json
import sys
from datetime import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.breadth import breadth
from support.values import CODEC, PLAIN, TEXTS, back, encode, nested

from wsgisession.errors import UnsupportedType
from wsgisession.merge import same
from wsgisession.values import DEPTH, DIGITS, _make_dumps, dumps

# Depth

WRAPS = [
    pytest.param(lambda x: [x], id="lists"),
    pytest.param(lambda x: {"k": x}, id="dicts"),
    pytest.param(lambda x: (x,), id="tuples"),
    pytest.param(lambda x: {1: x}, id="dicts of int"),
    pytest.param(lambda x: frozenset([x]), id="frozensets"),
    pytest.param(lambda x: {"~x": x}, id="looking like tags"),
]


@pytest.mark.parametrize("core", [1, "\ud83d\ude00", time(1, fold=1)], ids=["int", "two surrogates", "time"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_depth(wrap: Any, core: Any) -> None:
    """A hundred levels come back; one more is refused, with the path to where it starts."""
    value = nested(DEPTH, core, wrap)
    assert same(back(value), value)
    with pytest.raises(UnsupportedType, match=r"^session\['a'\].*more than 100 levels"):
        encode(wrap(value))


def test_cycle() -> None:
    """A list that contains itself is refused, not followed."""
    value: list[Any] = [1]
    value.append(value)
    with pytest.raises(
        UnsupportedType, match=r"^session\['a'\]\[1\]\[1\]\[1\]\[1\]\[1\]\.\.\.: .* contains itself"
    ):
        encode(value)


# Broken lines

NO_ZONES = [
    "No/Such",
    "../../etc/passwd",
    "/etc/passwd",
    "Europe",
    "a" * 300,
    "",
    ".",
    "\0",
    "\ud800",
    5,
    ["UTC"],
]

BROKEN = [
    b"",
    b"nul",
    b"1 ",
    b" 1",
    b"1 2",
    b"[1,]",
    b"{1:2}",
    b'"a',
    b'"\x01"',
    b"NaN",
    b"[Infinity]",
    b'[NaN,{"~set":[1]}]',
    b"1e999",
    b"[-1E999]",
    b'{"~tuple":[1.5,1e999]}',
    b"\xff",
    b"9" * (DIGITS + 1),
    b'{"~":1}',
    b'{"~none":1}',
    b'{"~bytes":"A"}',
    b'{"~bytes":"AP9="}',
    b'{"~bytes":"A P8="}',
    b'{"~bytes":1}',
    b'{"~date":"2024-02-30"}',
    b'{"~date":"20240229"}',
    b'{"~date":null}',
    b'{"~datetime":"yesterday"}',
    b'{"~datetime":["2024-01-01T00:00:00",2,null,null]}',
    b'{"~datetime":["2024-01-01T00:00:00",0,null,"CET"]}',
    b'{"~datetime":["2024-01-01T00:00:00"]}',
    b'{"~datetime":[]}',
    b'{"~time":"25:00"}',
    b'{"~timedelta":[1000000000,0,0]}',
    b'{"~timedelta":[1.5,0,0]}',
    b'{"~timedelta":"abc"}',
    b'{"~uuid":"x"}',
    b'{"~uuid":5}',
    b'{"~decimal":"x"}',
    b'{"~decimal":"NaN"}',
    b'{"~decimal":1}',
    b'{"~decimal":"1_0"}',
    b'{"~decimal":"1E+99999999999999999999"}',
    b'{"~tuple":"ab"}',
    b'{"~tuple":5}',
    b'{"~set":[[]]}',
    b'{"~set":[1,1]}',
    b'{"~frozenset":{"a":1}}',
    b'{"~dict":["ab"]}',
    b'{"~dict":[[1,2,3]]}',
    b'{"~dict":[[[],2]]}',
    b'{"~dict":[[1,2],[1,3]]}',
    b'{"~dict":{}}',
    b'{"~str":["a","b"]}',
    b'{"~str":"ab"}',
    b'{"~str":[1]}',
    *(json.dumps({"~datetime": ["2024-01-01T00:00:00", 0, name, None]}).encode() for name in NO_ZONES),
]


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: line[:60].decode("ascii", "replace"))
def test_broken_line(line: bytes) -> None:
    """Whatever is wrong with a line, it is a ValueError whose message and chain show nothing of the line."""
    left_behind = sys.exc_info()[1]  # CPython 3.11 keeps one that another test's tracer has raised
    with pytest.raises(ValueError) as caught:
        CODEC.decode(line)
    assert str(caught.value).startswith("a stored value cannot be read (")
    assert caught.value.__context__ is left_behind or caught.value.__suppress_context__


_TAGS = st.sampled_from(
    "~str ~dict ~set ~frozenset ~tuple ~bytes ~date ~datetime ~time ~timedelta ~uuid ~decimal ~none".split()
)
_CONTENTS = st.recursive(
    st.none()
    | st.integers(-2, 2)
    | st.integers()
    | TEXTS
    | st.sampled_from(["2024-01-01", "1E5", "AAAA", "UTC", "Europe"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TAGS | st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(_CONTENTS.map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=20))
@settings(deadline=None)
def test_any_line_is_read_or_a_value_error(line: bytes) -> None:
    """For any line, decode raises only ValueError. What is read can be stored again."""
    try:
        value = CODEC.decode(line)
    except ValueError:
        return
    assert same(back(value), value)


# Speed's fallback


@given(PLAIN)
@settings(deadline=None, max_examples=breadth.much(10, 30))
def test_without_the_prebuilt_encoder(value: Any) -> None:
    """If json does not offer its encoder ready-made, the public one gives the same text and the same errors."""
    slow = _make_dumps(None)
    assert slow(value) == dumps(value)


@pytest.mark.parametrize("value", [float("nan"), object(), {1}], ids=["NaN", "object", "set"])
def test_without_the_prebuilt_encoder_errors(value: Any) -> None:
    """Both encoders refuse what is not JSON with a ValueError."""
    for each in (dumps, _make_dumps(None)):
        with pytest.raises(ValueError):
            each(value)
