"""Types that an application teaches the codec come back as what they were, or are refused."""

from __future__ import annotations

import enum
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import pytest
from support.values import CODEC, PATH

from wsgisession.errors import UnsupportedType
from wsgisession.jsoncodec import JSONCodec
from wsgisession.merge import same


class Color(enum.IntEnum):
    RED = 1


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


class Word(enum.StrEnum):
    TEA = "tea"


class Half(float, enum.Enum):
    HALF = 0.5


class Bare(enum.Enum):
    ONE = 1


class Odd(enum.StrEnum):
    """No member equals its own text."""

    A = "a"

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = str.__hash__


class Hashed(enum.StrEnum):
    """Equal to its text, but a dict takes both as keys."""

    A = "a"

    def __hash__(self) -> int:
        return hash(self.name)


ENUMS = JSONCodec(plain_enums=True)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (Word.TEA, b'"tea"'),
        (Color.RED, b"1"),
        (Half.HALF, b"0.5"),
        ({"login": [Word.TEA, {Word.TEA: Color.RED}]}, b'{"login":["tea",{"tea":1}]}'),
        ((Word.TEA, {Color.RED}), b'{"~tuple":["tea",{"~set":[1]}]}'),
    ],
    ids=["text", "integer", "float", "nested, as a key", "in a tuple and a set"],
)
def test_plain_enums(value: Any, line: bytes) -> None:
    """A member that is also text or a number is stored as that, and equals what comes back. Without the option it is refused."""
    assert ENUMS.encode(value, PATH) == line
    assert ENUMS.decode(line) == value
    with pytest.raises(UnsupportedType, match=r"store (x\.value|str\(x\))"):
        CODEC.encode(value, PATH)


@pytest.mark.parametrize(
    "member", [Bare.ONE, Odd.A, Hashed.A], ids=["not plain", "not equal", "another hash"]
)
def test_plain_enums_that_are_refused(member: Any) -> None:
    """A member that is neither text nor a number, or does not equal it, also as a key. The message names no option that is on."""
    with pytest.raises(UnsupportedType, match=r"^session\['a'\]\[0\]: .*store x\.value$"):
        ENUMS.encode([member], PATH)


def test_a_taught_enum_is_not_made_plain() -> None:
    """A class in ``types`` keeps its own tag."""
    codec = JSONCodec(types={"color": (Color, int, Color)}, plain_enums=True)
    assert codec.decode(codec.encode(Color.RED, PATH)) is Color.RED


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
