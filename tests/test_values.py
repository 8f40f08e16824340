"""Values come back equal and of the same type, or are refused with their path."""

from __future__ import annotations

import enum
import io
import json
import struct
import sys
from collections import Counter, OrderedDict, UserDict, defaultdict, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.values import PLAIN, TEXTS, VALUES

from wsgisession.errors import SessionError, UnsupportedType
from wsgisession.jsoncodec import JSONCodec
from wsgisession.merge import same
from wsgisession.values import DEPTH, DIGITS, IMMUTABLE, _make_dumps, dumps

BERLIN = ZoneInfo("Europe/Berlin")
CODEC = JSONCodec()
PATH = "session['a']"


def encode(value: Any) -> bytes:
    return CODEC.encode(value, PATH)


def back(value: Any) -> Any:
    return CODEC.decode(encode(value))


def nested(depth: int, wrap: Any = lambda inner: [inner], core: Any = 1) -> Any:
    value = core
    for _ in range(depth):
        value = wrap(value)
    return value


class Str(str):
    pass


class Float(float):
    pass


class Int(int):
    pass


class List(list):  # type: ignore[type-arg]
    pass


class Set(set):  # type: ignore[type-arg]
    pass


class Color(enum.IntEnum):
    RED = 1


class Word(enum.StrEnum):
    A = "a"


class Moment(datetime):
    pass


class User:
    def __init__(self, id: int) -> None:
        self.id = id


class OwnZone(tzinfo):
    def utcoffset(self, moment: Any) -> timedelta:
        return timedelta(hours=1)

    def dst(self, moment: Any) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: Any) -> str:
        return "own"


@dataclass
class Point:
    x: int


Pair = namedtuple("Pair", "a b")

# What comes back

LINES = [
    pytest.param(None, b"null", id="None"),
    pytest.param(True, b"true", id="bool"),
    pytest.param(-7, b"-7", id="int"),
    pytest.param(10**700, b"1" + b"0" * 700, id="long int"),
    pytest.param(-0.0, b"-0.0", id="negative zero"),
    pytest.param("é", b'"\\u00e9"', id="str"),
    pytest.param("\U0001f600", b'"\\ud83d\\ude00"', id="outside the BMP"),
    pytest.param(["\U0001f600"], b'["\\ud83d\\ude00"]', id="outside the BMP, in a list"),
    pytest.param("\ud83d", b'"\\ud83d"', id="lone surrogate"),
    pytest.param("\ud83d\ude00", b'{"~str":["\\ud83d","\\ude00"]}', id="two surrogates"),
    pytest.param([1, {"a": [None]}], b'[1,{"a":[null]}]', id="list and dict"),
    pytest.param((1, ()), b'{"~tuple":[1,{"~tuple":[]}]}', id="tuple"),
    pytest.param({10, 9, "a"}, b'{"~set":["a",10,9]}', id="set, sorted by encoding"),
    pytest.param(frozenset("ba"), b'{"~frozenset":["a","b"]}', id="frozenset"),
    pytest.param({1: "a", "1": "b"}, b'{"~dict":[[1,"a"],["1","b"]]}', id="keys 1 and '1'"),
    pytest.param({"~set": [1]}, b'{"~dict":[["~set",[1]]]}', id="looks like a tag"),
    pytest.param({"~set": [1], "b": 2}, b'{"~set":[1],"b":2}', id="two members are no tag"),
    pytest.param({"a": '{"~set":[1]}'}, b'{"a":"{\\"~set\\":[1]}"}', id="text that looks like a tag"),
    pytest.param(
        {"\ud83d\ude00": 1}, b'{"~dict":[[{"~str":["\\ud83d","\\ude00"]},1]]}', id="key of two surrogates"
    ),
    pytest.param(b"\x00\xff", b'{"~bytes":"AP8="}', id="bytes"),
    pytest.param(date(2024, 2, 29), b'{"~date":"2024-02-29"}', id="date"),
    pytest.param(datetime(2024, 1, 2, 3, 4, 5, 6), b'{"~datetime":"2024-01-02T03:04:05.000006"}', id="naive"),
    pytest.param(
        datetime(2024, 1, 2, tzinfo=UTC), b'{"~datetime":"2024-01-02T00:00:00+00:00"}', id="datetime, UTC"
    ),
    pytest.param(
        datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
        b'{"~datetime":["2024-10-27T02:30:00",1,"Europe/Berlin",null]}',
        id="datetime, the second half past two",
    ),
    pytest.param(
        time(1, 2, tzinfo=timezone(timedelta(hours=1), "CET")),
        b'{"~time":["01:02:00+01:00",0,null,"CET"]}',
        id="time, named offset",
    ),
    pytest.param(time(1, 2, fold=1), b'{"~time":["01:02:00",1,null,null]}', id="naive time, fold"),
    pytest.param(timedelta(-1, 2, 3), b'{"~timedelta":[-1,2,3]}', id="timedelta"),
    pytest.param(UUID(int=1), b'{"~uuid":"00000000-0000-0000-0000-000000000001"}', id="UUID"),
    pytest.param(Decimal("-0.00"), b'{"~decimal":"-0.00"}', id="Decimal, sign and exponent"),
    pytest.param(Decimal("Infinity"), b'{"~decimal":"Infinity"}', id="Decimal, infinite"),
]


@pytest.mark.parametrize(("value", "line"), LINES)
def test_one_spelling(value: Any, line: bytes) -> None:
    """A value has one line of ASCII JSON, which reads back as the same value of the same type."""
    assert encode(value) == line
    assert same(CODEC.decode(line), value)


@given(VALUES)
@settings(deadline=None)
def test_round_trip(value: Any) -> None:
    """Whatever is taken comes back equal and of the same types, all the way down."""
    line = encode(value)
    assert line.isascii() and b"\n" not in line
    assert same(CODEC.decode(line), value)
    assert type(value) in CODEC.accepts


@given(VALUES)
@settings(deadline=None)
def test_deterministic(value: Any) -> None:
    """A value that was read is encoded to the very line it was read from."""
    line = encode(value)
    assert encode(CODEC.decode(line)) == line


@given(st.sets(st.integers() | st.text(max_size=3), max_size=6), st.randoms())
@settings(deadline=None)
def test_sets_have_one_order(members: set[Any], random: Any) -> None:
    """Two equal sets have one encoding, however they came about."""
    shuffled = list(members)
    random.shuffle(shuffled)
    assert encode(set(shuffled)) == encode(members)


@given(PLAIN)
@settings(deadline=None)
def test_plain_data_is_plain_json(value: Any) -> None:
    """Data that JSON carries exactly is what json.dumps makes of it."""
    line = json.dumps(value, separators=(",", ":"))
    if "~" not in line and same(json.loads(line), value):
        assert encode(value) == line.encode()


@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: [x], lambda x: {"k": x}], ids=["bare", "list", "dict"]
)
@pytest.mark.parametrize(
    "pair", [(1, True), (1, 1.0), (0.0, -0.0), ([1], (1,)), ({1}, frozenset({1})), (b"a", "a")]
)
def test_types_stay_apart(pair: tuple[Any, Any], wrap: Any) -> None:
    """Values of two types do not share an encoding, even where Python calls them equal."""
    assert encode(wrap(pair[0])) != encode(wrap(pair[1]))


def test_zone_stays_a_zone() -> None:
    """A ZoneInfo comes back as that very zone, not as the offset it had at the time."""
    value = back([datetime(2024, 7, 1, tzinfo=BERLIN), time(1, tzinfo=BERLIN)])
    assert value[0].tzinfo is BERLIN and value[1].tzinfo is BERLIN


def test_zone_object_of_the_same_name() -> None:
    """A ZoneInfo from outside the cache is stored by its name while the moment stays equal."""
    assert back(datetime(2024, 7, 1, tzinfo=ZoneInfo.no_cache("Europe/Berlin"))).tzinfo is BERLIN


def test_tags_inside_each_other() -> None:
    """Tagged values nest in lists, in dicts, in their keys and in each other."""
    value = {(1, date(2024, 1, 1)): [frozenset({(b"x",)}), {"~tuple": ({1: {2}},)}]}
    assert same(back(value), value)


def test_shared_parts_come_back_as_copies() -> None:
    """A list that is held twice is written twice: equal, though no longer one."""
    part = [1]
    value = back([part, part])
    assert value == [[1], [1]] and value[0] is not value[1]


def test_immutable_types_are_accepted() -> None:
    """What cannot change in place is among what can be stored; containers are not among what cannot change."""
    assert IMMUTABLE < CODEC.accepts
    assert CODEC.accepts - IMMUTABLE == {list, dict, tuple, set, frozenset}


# What is refused

REFUSED = [
    pytest.param(float("nan"), "no NaN", id="NaN"),
    pytest.param(float("-inf"), "no infinities", id="infinity"),
    pytest.param(Decimal("sNaN"), "store None or str(x)", id="Decimal NaN"),
    pytest.param(10**DIGITS, "4300 digits", id="4301 digits"),
    pytest.param(Color.RED, "store x.value", id="IntEnum"),
    pytest.param(Word.A, ".value", id="StrEnum"),
    pytest.param(Str("a"), "str(x)", id="str subclass"),
    pytest.param(Int(1), "int(x)", id="int subclass"),
    pytest.param(Float(1), "float(x)", id="float subclass"),
    pytest.param(List(), "list(x)", id="list subclass"),
    pytest.param(Set(), "set(x)", id="set subclass"),
    pytest.param(OrderedDict(a=1), "dict(x)", id="OrderedDict"),
    pytest.param(defaultdict(list), "dict(x)", id="defaultdict"),
    pytest.param(Counter("a"), "dict(x)", id="Counter"),
    pytest.param(UserDict(), "dict(x)", id="Mapping"),
    pytest.param(Pair(1, 2), "tuple(x)", id="namedtuple"),
    pytest.param(type("T", (tuple,), {})(), "tuple(x)", id="tuple subclass"),
    pytest.param(bytearray(b"a"), "bytes(x)", id="bytearray"),
    pytest.param(memoryview(b"a"), "bytes(x)", id="memoryview"),
    pytest.param(Moment(2024, 1, 1), ".isoformat()", id="datetime subclass"),
    pytest.param(type("D", (Decimal,), {})(), "Decimal(x)", id="Decimal subclass"),
    pytest.param(type("T", (timedelta,), {})(1), "timedelta(x.days, x.seconds, x.microseconds)", id="timedelta subclass"),
    pytest.param(User(7), "str(user.id)", id="object with an id"),
    pytest.param(object(), "JSONCodec(types=", id="object"),
    pytest.param(Point(1), "dataclasses.asdict(x)", id="dataclass"),
    pytest.param(PurePosixPath("a"), "str(x)", id="path"),
    pytest.param(deque([1]), "list(x)", id="deque"),
    pytest.param({}.keys(), "list(x)", id="view"),
    pytest.param(range(3), "[x.start, x.stop, x.step]", id="range"),
    pytest.param(User, "JSONCodec(types=", id="class"),
    pytest.param(1j, "[x.real, x.imag]", id="complex"),
    pytest.param(datetime(2024, 1, 1, tzinfo=OwnZone()), "astimezone(timezone.utc)", id="own time zone"),
    pytest.param(time(1, tzinfo=OwnZone()), "x.replace(tzinfo=None)", id="time with its own time zone"),
]


@pytest.mark.parametrize(("value", "instead"), REFUSED)
@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (lambda x: x, ""),
        (lambda x: [0, x], "[1]"),
        (lambda x: {"k": {"l": (x,)}}, "['k']['l'][0]"),
        (lambda x: {1: x}, "[1]"),
    ],
    ids=["bare", "list", "nested", "dict of int"],
)
def test_refused_with_path_and_advice(value: Any, instead: str, wrap: Any, where: str) -> None:
    """What would not come back is refused; the message begins with its path and says what to store instead."""
    with pytest.raises(UnsupportedType) as caught:
        encode(wrap(value))
    assert str(caught.value).startswith(f"session['a']{where}: ")
    assert instead in str(caught.value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({Color.RED: 1}, " (a key)"),
        ({(1, Color.RED): 1}, " (a key)[1]"),
        ([{1, Word.A, 2}], "[0] (inside the set)"),
        ({Str("a"): 1}, " (a key)"),
    ],
    ids=["enum key", "inside a key", "in a set", "str subclass as key"],
)
def test_paths_through_keys_and_sets(value: Any, where: str) -> None:
    """Where a value has no index the path says in words where it is."""
    with pytest.raises(UnsupportedType) as caught:
        encode(value)
    assert str(caught.value).startswith(PATH + where + ": ")


def test_refusal_is_a_session_error_and_a_type_error() -> None:
    """UnsupportedType can be caught as either."""
    with pytest.raises(SessionError) as caught:
        encode(object())
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("key", ["No/Such", "Asia/Tokyo", None])
def test_zone_by_a_name_that_leads_elsewhere(key: str | None) -> None:
    """A ZoneInfo made from a file is refused where its name leads to no zone, to another one, or is missing."""
    cet = (
        b"TZif"
        + bytes(16)
        + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
        + struct.pack(">lbb", 3600, 0, 0)
        + b"CET\0"
    )
    zone = ZoneInfo.from_file(io.BytesIO(cet), key=key)
    with pytest.raises(UnsupportedType, match="ZoneInfo by name"):
        encode(datetime(2024, 7, 1, tzinfo=zone))


def test_refused_where_the_digits_limit_is_lifted(digits: None) -> None:
    """What other processes could not read back is refused even where this one could write it."""
    sys.set_int_max_str_digits(0)
    with pytest.raises(UnsupportedType, match=r"session\['a'\]\[0\]: an integer of more than 4300 digits"):
        encode([10**DIGITS])
    long = ["x" * DIGITS]
    assert encode(long) == json.dumps(long).encode()


def test_refused_where_the_digits_limit_is_lowered(digits: None) -> None:
    """Where this process cannot write an integer, that is an UnsupportedType too."""
    sys.set_int_max_str_digits(640)
    with pytest.raises(UnsupportedType, match="cannot be written here"):
        encode([10**641])


@pytest.fixture
def digits() -> Iterator[None]:
    """Put the limit of the digits of an integer back."""
    limit = sys.get_int_max_str_digits()
    yield
    sys.set_int_max_str_digits(limit)


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
    value = nested(DEPTH, wrap, core)
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


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[" * 101 + b"]" * 101, id="lists"),
        pytest.param(b'{"a":' * 101 + b"1" + b"}" * 101, id="dicts"),
        pytest.param(b'["\\\\","\\"[",' + b"[" * 100 + b"]" * 101, id="beside strings"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="very deep"),
        pytest.param(b'{"~tuple":[' * 5_000 + b"]}" * 5_000, id="very deep tags"),
        pytest.param(b"[" * 100_000, id="open"),
    ],
)
def test_too_deep_a_line(line: bytes) -> None:
    """A line that is nested too deep is a ValueError, never a RecursionError."""
    with pytest.raises(ValueError, match="cannot be read"):
        CODEC.decode(line)


@pytest.mark.parametrize("text", ["[" * 500, "]" * 500 + "[" * 500, '"[\\' * 300, "[]" * 300])
def test_brackets_in_text_are_not_depth(text: str) -> None:
    """Brackets inside strings do not count as levels, nor do many containers side by side."""
    value = [text, [[]] * 200, {"a": {}}]
    assert back(value) == value


# Broken lines

BROKEN = [
    b"",
    b"nul",
    b"1 ",
    b" 1",
    b"1 2",
    b"[1",
    b"[1,]",
    b"{1:2}",
    b'"a',
    b'"\x01"',
    b"NaN",
    b"[Infinity]",
    b"-Infinity",
    b'[NaN,{"~set":[1]}]',
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
    b'{"~datetime":["2024-01-01T00:00:00",0,"No/Such",null]}',
    b'{"~datetime":["2024-01-01T00:00:00",0,"../../etc/passwd",null]}',
    b'{"~datetime":["2024-01-01T00:00:00",0,"/etc/passwd",null]}',
    b'{"~datetime":["2024-01-01T00:00:00",0,null,"CET"]}',
    b'{"~datetime":["2024-01-01T00:00:00"]}',
    b'{"~datetime":[]}',
    b'{"~datetime":["2024-01-01T00:00:00",0,"Europe",null]}',
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
]


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: line[:40].decode("ascii", "replace"))
def test_broken_line(line: bytes) -> None:
    """Whatever is wrong with a line, it is a ValueError whose message and chain show nothing of the line."""
    with pytest.raises(ValueError) as caught:
        CODEC.decode(line)
    assert str(caught.value).startswith("a stored value cannot be read (")
    assert caught.value.__context__ is None or caught.value.__suppress_context__


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
@example(b'{"~tuple":[1e999]}')
@settings(deadline=None)
def test_any_line_is_read_or_a_value_error(line: bytes) -> None:
    """No line makes decode raise anything but ValueError, and what is read can be stored again, or is refused."""
    try:
        value = CODEC.decode(line)
    except ValueError:
        return
    try:
        assert same(back(value), value)
    except UnsupportedType:
        assert b"e999" in line


# Types of the application's own


class Markup(str):
    """Like markupsafe's: equal to plain text."""


class Money:
    def __init__(self, amount: Decimal, currency: str) -> None:
        self.parts = (amount, currency)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


TAUGHT = JSONCodec(
    types={
        "markup": (Markup, str, Markup),
        "money": (Money, lambda money: money.parts, lambda parts: Money(*parts)),
        "color": (Color, int, Color),
        "ordered": (OrderedDict, lambda value: list(value.items()), OrderedDict),
    }
)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (Markup("<b>"), b'{"~markup":"<b>"}'),
        ([Color.RED, 1], b'[{"~color":1},1]'),
        (Money(Decimal("1.50"), "EUR"), b'{"~money":{"~tuple":[{"~decimal":"1.50"},"EUR"]}}'),
        (
            OrderedDict(b=1, a=[Markup("x")]),
            b'{"~ordered":[{"~tuple":["b",1]},{"~tuple":["a",[{"~markup":"x"}]]}]}',
        ),
        ({Color.RED: {Money(Decimal(1), "EUR")}}, None),
    ],
    ids=["markup", "enum", "money", "ordered", "as a key and in a set"],
)
def test_taught_type(value: Any, line: bytes | None) -> None:
    """A taught type has its own tag, anywhere a value can stand, and comes back as that type."""
    encoded = TAUGHT.encode(value, PATH)
    assert line is None or encoded == line
    assert same(TAUGHT.decode(encoded), value)
    assert Markup in TAUGHT.accepts and Markup not in CODEC.accepts


def test_taught_type_is_exact() -> None:
    """A subclass of a taught class is another class."""
    with pytest.raises(UnsupportedType, match="Sub cannot be stored"):
        TAUGHT.encode([type("Sub", (Markup,), {})("x")], PATH)


class Plain:
    """Without ``__eq__``: equal only to itself."""


class Vague:
    def __eq__(self, other: object) -> Any:
        raise ValueError("ambiguous")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ((Plain, lambda _: 1, lambda _: Plain()), Plain(), "not equal or of another type"),
        ((Markup, str, str), Markup("x"), "not equal or of another type"),
        ((Markup, len, Markup), Markup("x"), "not equal or of another type"),
        ((Plain, lambda _: 1 / 0, Plain), Plain(), r"fail on it \(ZeroDivisionError\)"),
        ((Plain, lambda _: 1, lambda _: 1 / 0), Plain(), r"fail on it \(ValueError\)"),
        ((Vague, lambda _: 1, lambda _: Vague()), Vague(), r"fail on it \(ValueError\)"),
        ((Plain, lambda _: [object()], Plain), Plain(), r"session\['a'\]\[0\] \(as t\)\[0\]: object cannot"),
        ((Plain, lambda value: value, Plain), Plain(), "more than 100 levels"),
    ],
    ids=[
        "identity",
        "wrong type",
        "wrong value",
        "write fails",
        "read fails",
        "eq fails",
        "not plain",
        "itself",
    ],
)
def test_taught_type_that_does_not_come_back(entry: Any, value: Any, message: str) -> None:
    """The round trip of a taught type is checked when it is encoded, and a failure is an UnsupportedType."""
    codec = JSONCodec(types={"t": entry})
    with pytest.raises(UnsupportedType, match=message) as caught:
        codec.encode([value], PATH)
    assert str(caught.value).startswith("session['a'][0]")


def test_failure_of_a_taught_type_is_chained() -> None:
    """What the application's own function raised is the cause."""
    with pytest.raises(UnsupportedType) as caught:
        JSONCodec(types={"t": (Plain, lambda _: 1 / 0, lambda _: Plain())}).encode(Plain(), PATH)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_error_of_a_taught_type_shows_no_data() -> None:
    """What a taught type says about a broken value stays out of the ValueError."""
    codec = JSONCodec(types={"t": (Plain, lambda _: "secret", int)})
    with pytest.raises(ValueError, match=r"cannot be read \(ValueError\)"):
        codec.decode(b'{"~t":"secret"}')


@pytest.mark.parametrize(
    ("types", "error", "message"),
    [
        ([Markup], TypeError, "must be a dict"),
        ({"": (Markup, str, Markup)}, ValueError, "a tag is"),
        ({"a b": (Markup, str, Markup)}, ValueError, "a tag is"),
        ({"a\n": (Markup, str, Markup)}, ValueError, "a tag is"),
        ({1: (Markup, str, Markup)}, ValueError, "a tag is"),
        ({"set": (Markup, str, Markup)}, ValueError, "taken"),
        ({"str": (Markup, str, Markup)}, ValueError, "taken"),
        ({"m": (Markup, str)}, TypeError, "class, to plain, from plain"),
        ({"m": Markup}, TypeError, "class, to plain, from plain"),
        ({"m": ("Markup", str, Markup)}, TypeError, "class and two functions"),
        ({"m": (Markup, "str", Markup)}, TypeError, "class and two functions"),
        ({"m": (Markup, str, None)}, TypeError, "class and two functions"),
        ({"m": (dict, list, dict)}, ValueError, "can be stored already"),
        ({"m": (Markup, str, Markup), "n": (Markup, str, Markup)}, ValueError, "can be stored already"),
    ],
)
def test_wrong_types(types: Any, error: type[Exception], message: str) -> None:
    """What cannot work as ``types`` is refused when the codec is built, in words that say what to pass."""
    with pytest.raises(error, match=message):
        JSONCodec(types=types)


# Speed's fallback


@given(PLAIN)
@settings(deadline=None, max_examples=30)
def test_without_the_prebuilt_encoder(value: Any) -> None:
    """Where json does not offer its encoder ready-made, the public one gives the same text and the same errors."""
    slow = _make_dumps(None)
    assert slow(value) == dumps(value)


@pytest.mark.parametrize("value", [float("nan"), object(), {1}], ids=["NaN", "object", "set"])
def test_without_the_prebuilt_encoder_errors(value: Any) -> None:
    """Both encoders refuse what is not JSON with a ValueError."""
    for each in (dumps, _make_dumps(None)):
        with pytest.raises(ValueError):
            each(value)
