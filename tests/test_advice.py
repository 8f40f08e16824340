"""What a refused value of the standard library can be stored as, by the very words of the message, and nothing is lost."""

from __future__ import annotations

import dataclasses
import enum
import io
import ipaddress
import os
import re
import time
from array import array
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    UserList,
    UserString,
    defaultdict,
    deque,
    namedtuple,
)
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from support.advice import Case, check, expressions, message

from wsgisession import JSONCodec
from wsgisession.express import ExpressCodec

CODEC, EXPRESS = JSONCodec(), ExpressCodec()


def itself(plain: Any) -> Any:
    return plain


@dataclasses.dataclass
class Point:
    x: int
    tags: tuple[str, ...] = ("a",)


Pair = namedtuple("Pair", "a b")


class Size(enum.Enum):
    SMALL = "s"


class Shape(enum.Enum):
    ROUND = (1, 2)


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    pass


class Html(str):
    def __html__(self) -> str:
        return self


class Safe(str):
    """Like Django's SafeString: returns itself for str(x)."""

    def __str__(self) -> str:
        return self

    def __html__(self) -> str:
        return self


class Number(int):
    pass


class Ratio(float):
    pass


class Amount(Decimal):
    pass


class Ident(UUID):
    pass


class Moment(datetime):
    pass


class Day(date):
    pass


class Span(timedelta):
    pass


class Items(list):  # type: ignore[type-arg]
    pass


class Unique(set):  # type: ignore[type-arg]
    pass


class Path:
    def __fspath__(self) -> str:
        return "/srv/a"


CASES = {
    "enum": Case(lambda: Size.SMALL, (Size,)),
    "enum of what cannot be stored": Case(lambda: Shape.ROUND, (Shape.__getitem__,)),
    "flags": Case(lambda: Rights.READ | Rights.WRITE, (Rights,)),
    "named tuple": Case(lambda: Pair(1, [2]), (lambda plain: Pair(*plain), lambda plain: Pair(**plain))),
    "dataclass": Case(lambda: Point(1), (lambda plain: Point(**plain),)),
    "OrderedDict": Case(lambda: OrderedDict(b=1, a=2), (OrderedDict,)),
    "defaultdict": Case(lambda: defaultdict(list, a=[1]), (lambda plain: defaultdict(list, plain),)),
    "Counter": Case(lambda: Counter("abba"), (Counter,)),
    "UserDict": Case(lambda: UserDict({"a": 1, 2: 3}), (UserDict,)),
    "ChainMap": Case(lambda: ChainMap({"a": 1}, {"a": 2}), (lambda plain: ChainMap(*plain),)),
    "read-only view of a dict": Case(lambda: MappingProxyType({"a": 1}), (itself,), dict),
    "deque": Case(lambda: deque([1, 2], 5), (lambda plain: deque(plain, 5),)),
    "compiled pattern": Case(lambda: re.compile("tea", re.I), (lambda plain: re.compile(*plain),)),
    "simple namespace": Case(
        lambda: SimpleNamespace(sku="tea", at=date(2024, 1, 2)), (lambda plain: SimpleNamespace(**plain),)
    ),
    "range": Case(lambda: range(0, 10**12, 7), (lambda plain: range(*plain),)),
    "generator": Case(lambda: (n * n for n in range(3)), (itself,), list),
    "map": Case(lambda: map(str, range(3)), (itself,), list),
    "keys": Case({"a": 1, "b": 2}.keys, (itself,), list),
    "values": Case({"a": 1, "b": 2}.values, (itself,), list),
    "items": Case({"a": 1, "b": 2}.items, (itself,), list),
    "UserList": Case(lambda: UserList([1, 2]), (UserList,)),
    "UserString": Case(lambda: UserString("ab"), (UserString,)),
    "list's subclass": Case(lambda: Items([1, 2]), (Items,)),
    "set's subclass": Case(lambda: Unique({1, 2}), (Unique,)),
    "str's subclass": Case(lambda: Text("a"), (Text,)),
    "HTML": Case(lambda: Html("<b>"), (Html,)),
    "text that is its own str()": Case(lambda: Safe("<b>"), (Safe,)),
    "int's subclass": Case(lambda: Number(7), (Number,)),
    "float's subclass": Case(lambda: Ratio(0.1), (Ratio,)),
    "Decimal's subclass": Case(lambda: Amount("1.50"), (Amount,)),
    "UUID's subclass": Case(lambda: Ident(int=7), (lambda plain: Ident(plain.hex),)),
    "datetime's subclass": Case(lambda: Moment(2024, 1, 2, 3, 4, 5, 6, UTC), (Moment.fromisoformat,)),
    "date's subclass": Case(lambda: Day(2024, 1, 2), (Day.fromisoformat,)),
    "timedelta's subclass": Case(
        lambda: Span(-1, 2, 3), (lambda plain: Span(plain.days, plain.seconds, plain.microseconds),)
    ),
    "complex": Case(lambda: 1 - 2j, (lambda plain: complex(*plain),)),
    "Fraction": Case(lambda: Fraction(1, 3), (Fraction,)),
    "bytearray": Case(lambda: bytearray(b"\0\xff"), (bytearray,)),
    "memoryview": Case(lambda: memoryview(b"\0\xff"), (memoryview,)),
    "array": Case(lambda: array("d", [0.1, 2]), (lambda plain: array("d", plain),)),
    "path": Case(lambda: PurePosixPath("/srv/a"), (PurePosixPath,)),
    "what has a path": Case(Path, (itself,), os.fspath),
    "IPv4 address": Case(lambda: ipaddress.ip_address("192.0.2.7"), (ipaddress.ip_address,)),
    "IPv6 address": Case(lambda: ipaddress.ip_address("2001:db8::7%eth0"), (ipaddress.ip_address,)),
    "network": Case(lambda: ipaddress.ip_network("192.0.2.0/24"), (ipaddress.ip_network,)),
    "interface": Case(lambda: ipaddress.ip_interface("192.0.2.7/24"), (ipaddress.ip_interface,)),
    "time zone": Case(lambda: ZoneInfo("Europe/Berlin"), (ZoneInfo,)),
    "fixed time zone": Case(lambda: timezone(timedelta(hours=1), "CET"), (lambda plain: timezone(*plain),)),
    "local time": Case(lambda: time.localtime(0), (time.struct_time,)),
    "exception": Case(lambda: KeyError("a"), (lambda plain: plain[0],), lambda error: type(error).__name__),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_advice_keeps_the_value(case: Case) -> None:
    """What the message says can be stored, comes back, and means the same."""
    check(case, CODEC)


def test_an_open_file() -> None:
    """Its contents, or its name."""
    assert expressions(message(io.StringIO("text"), CODEC)) == ["x.read()"]


# Classes that look like something they are not


class Order:
    """A model of somebody's, which can be iterated over and is no list."""

    item = lists = getall = getlist = None

    def __iter__(self) -> Any:
        return iter([("sku", "tea")])


class Frame:
    """Like a data frame: its items are its columns."""

    def __iter__(self) -> Any:
        return iter(["sku"])

    def to_dict(self) -> dict[str, Any]:
        return {"sku": ["tea"]}


class Behind:
    """Like a proxy: says that it is of another class, and fails when it is asked."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise LookupError("outside of a request")

    def __getattr__(self, name: str) -> Any:
        raise LookupError("outside of a request")


class Form(dict[str, list[str]]):
    """Like a multi-value form of a library nobody has heard of."""

    def getlist(self, key: str) -> list[str]:
        return self[key]


@pytest.mark.parametrize("make", [Order, Frame, Behind, object, lambda: Order, lambda: len])
def test_unknown_classes(make: Callable[[], Any]) -> None:
    """Nobody is told to make a list or a dict of something unknown; the object itself is not asked."""
    value = make()
    said = message(value, CODEC)
    assert "what it can be found by, such as str(user.id), or teach the codec" in said
    assert not expressions(said)
    assert "what it can be found by" in message(value, EXPRESS) and "JSONCodec" not in message(value, EXPRESS)


def test_several_values_for_a_key() -> None:
    """What may have several values for one key is not made a dict."""
    said = message(Form(a=["1", "2"]), CODEC)
    assert said == "Form cannot be stored; store each key with the list of its values"


@pytest.mark.parametrize(
    ("value", "plain"), [(Html("<b>"), "str"), (Safe("<b>"), "str.__str__")], ids=["str", "its own"]
)
def test_a_type_that_the_message_teaches(value: Any, plain: str) -> None:
    """Text that is safe HTML stays that if the codec is taught as the message says."""
    kind = type(value)
    said = message(value, CODEC)
    assert (
        f'JSONCodec(types={{"{kind.__name__.lower()}": ({kind.__name__}, {plain}, {kind.__name__})}})' in said
    )
    codec = eval(said.partition("teach the codec: ")[2], {"JSONCodec": JSONCodec, kind.__name__: kind})
    back = codec.decode(codec.encode([value], "x"))
    assert type(back[0]) is kind and back == [value]


# For JavaScript


def of_hex(kind: Any) -> Any:
    return lambda plain: kind(bytes.fromhex(plain))


SHARED: Mapping[str, Case] = {
    "datetime": Case(lambda: datetime(2024, 1, 2, 3, tzinfo=UTC), (datetime.fromisoformat,)),
    "date": Case(lambda: date(2024, 1, 2), (date.fromisoformat,)),
    "timedelta": Case(lambda: timedelta(-1, 2, 3), (lambda plain: timedelta(*plain),)),
    "bytes": Case(lambda: b"\0\xff", (of_hex(bytes),)),
    "bytearray": Case(lambda: bytearray(b"\0\xff"), (of_hex(bytearray),)),
    "UUID": Case(lambda: UUID(int=7), (UUID,)),
    "Decimal": Case(lambda: Decimal("1.50"), (Decimal,)),
    "tuple": Case(lambda: (1, 2), (tuple,)),
    "named tuple": Case(lambda: Pair(1, 2), (lambda plain: Pair(*plain),)),
    "set": Case(lambda: {1, 2}, (set,)),
    "frozenset": Case(lambda: frozenset({1, 2}), (frozenset,)),
    "keys that are no text": Case(lambda: {1: "a", "1": "b"}, (dict,)),
    "large integer": Case(lambda: 2**60, (int,)),
    "float without a fraction": Case(lambda: 2.0, (float,)),
    "large float": Case(lambda: 1e20, (float,)),
    "infinity": Case(lambda: float("inf"), (float,)),
    **{
        name: CASES[name]
        for name in ("enum", "Fraction", "IPv4 address", "path", "Counter", "deque", "range", "time zone")
    },
}


@pytest.mark.parametrize("case", SHARED.values(), ids=SHARED.keys())
def test_advice_for_sharing_with_javascript(case: Case) -> None:
    """So it does for a codec that has JSON alone."""
    check(case, EXPRESS)
