"""Values of every kind a session can hold, for tests with hypothesis; and the codec that writes and reads them."""

from __future__ import annotations

import io
import struct
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from wsgisession.jsoncodec import JSONCodec

CODEC = JSONCodec()
PATH = "session['a']"


def encode(value: Any) -> bytes:
    return CODEC.encode(value, PATH)


def back(value: Any) -> Any:
    """Return what a value is when it was written and read."""
    return CODEC.decode(encode(value))


def nested(depth: int, core: Any = 1, wrap: Any = lambda value: [value]) -> Any:
    """Return a value with so many lists around it, or with what ``wrap`` makes."""
    for _ in range(depth):
        core = wrap(core)
    return core


def zone_from_file(key: str | None) -> ZoneInfo:
    """Return Central European Time without its summers, under any name."""
    head = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    return ZoneInfo.from_file(io.BytesIO(head + struct.pack(">lbb", 3600, 0, 0) + b"CET\0"), key=key)


# Text with lone surrogates and with two that JSON would join, and text that looks like a tag.
TEXTS = st.one_of(
    st.text(max_size=8),
    st.text(alphabet='a"\\~{[\ud83d\ude00\U0001f600\x00\u2028', max_size=6),
    st.sampled_from(["~set", "~dict", "~str", "~", "~none such"]),
)
NUMBERS = st.one_of(
    st.booleans(), st.integers(-3, 3), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
PLAIN_ATOMS = st.one_of(st.none(), NUMBERS, TEXTS)

PLAIN = st.recursive(
    PLAIN_ATOMS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)

_OFFSETS = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).filter(
    lambda offset: not timedelta(0) < abs(offset) < timedelta(seconds=1)  # refused
)
_FIXED = st.builds(timezone, _OFFSETS) | st.sampled_from([UTC, timezone(timedelta(hours=1), "CET")])
ZONES = (
    st.none()
    | _FIXED
    | st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns"), ZoneInfo("UTC")])
)


def _folded(moments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda moment, fold: moment.replace(fold=fold), moments, st.integers(0, 1))


DECIMALS = st.decimals(allow_nan=False) | st.sampled_from(
    [Decimal("-0.00"), Decimal("1E+99"), Decimal("1.50")]
)
LEAVES = st.one_of(
    _folded(st.datetimes(timezones=ZONES, allow_imaginary=True)),
    _folded(st.times(timezones=ZONES)),
    st.dates(),
    st.timedeltas(),
    st.binary(max_size=8),
    st.uuids(),
    DECIMALS,
)

HASHABLE = st.recursive(
    PLAIN_ATOMS | LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)

VALUES = st.recursive(
    PLAIN_ATOMS | LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.dictionaries(TEXTS, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
        st.frozensets(HASHABLE, max_size=3),
    ),
    max_leaves=10,
)
"""Everything the codec takes without being taught."""
