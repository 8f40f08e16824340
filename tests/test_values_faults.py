"""Whose fault it is: what the data did makes a value unreadable or refused, everything else goes on as it was raised."""

from __future__ import annotations

import errno
import gc
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.breadth import breadth
from support.memory import kept_by
from support.values import CODEC, PATH, nested

import wsgisession
from wsgisession import javascript
from wsgisession.depth import deeper, seems_deeper
from wsgisession.errors import UnsupportedType
from wsgisession.jsoncodec import JSONCodec
from wsgisession.merge import same
from wsgisession.tags import UnknownTag

PACKAGE = str(Path(wsgisession.__file__).parent)


class Money:
    def __init__(self, amount: Decimal) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.amount == other.amount


class Timeout(Exception):
    """What a signal handler raises to end a request that takes too long."""


TAUGHT = JSONCodec(types={"money": (Money, lambda money: money.amount, Money)})
ROWS = [{"n": n, "tags": ["a", "b]"], "in": {"x": [n]}} for n in range(36)]
ZONED = datetime(2024, 7, 1, tzinfo=ZoneInfo.no_cache("Europe/Berlin"))
TAGGED = [(1, frozenset({b"x"})), {2: Decimal("1.5")}, ZONED]

# Errors from outside

PLAIN_LINE, TAGGED_LINE = CODEC.encode(ROWS, PATH), CODEC.encode(TAGGED, PATH)
TAUGHT_LINE = TAUGHT.encode(Money(Decimal(1)), PATH)

ACTS = [
    pytest.param(lambda: CODEC.encode(ROWS, PATH), id="encode plain data"),
    pytest.param(lambda: CODEC.encode(TAGGED, PATH), id="encode tagged data"),
    pytest.param(lambda: TAUGHT.encode([Money(Decimal(1))], PATH), id="encode a taught type"),
    pytest.param(lambda: CODEC.decode(PLAIN_LINE), id="decode plain data"),
    pytest.param(lambda: CODEC.decode(TAGGED_LINE), id="decode tagged data"),
    pytest.param(lambda: TAUGHT.decode(TAUGHT_LINE), id="decode a taught type"),
    pytest.param(lambda: javascript.write(ROWS), id="write for JavaScript"),
    pytest.param(lambda: javascript.read(PLAIN_LINE), id="read from JavaScript"),
    pytest.param(lambda: list(javascript.members(b'{"a":[1],"b":{}}')), id="members from JavaScript"),
]


def interrupted(act: Callable[[], Any], moment: int, error: Exception) -> tuple[bool, BaseException | None]:
    """Call ``act``, raise ``error`` at its moment-th call or return; return whether there was one, and what came out."""
    left = moment

    def hook(frame: Any, event: str, arg: Any) -> None:
        nonlocal left
        left -= PACKAGE in frame.f_code.co_filename
        if not left:
            sys.setprofile(None)
            raise error

    try:
        sys.setprofile(hook)
        act()
    except BaseException as caught:
        return left <= 0, caught
    finally:
        sys.setprofile(None)
    return left <= 0, None


@pytest.fixture
def no_collections() -> Iterator[None]:
    """The garbage collector runs nobody's finalizers meanwhile: what is raised in those is lost."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.both
@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    "make",
    [Timeout, MemoryError, RecursionError, partial(OSError, errno.EMFILE, "Too many open files")],
    ids=["time limit", "MemoryError", "RecursionError", "too many files"],
)
def test_an_error_from_outside_goes_on(act: Callable[[], Any], make: Callable[[], Exception]) -> None:
    """Whenever it strikes, it comes out as it is."""
    for moment in breadth.steps(13):
        error = make()
        struck, came = interrupted(act, moment, error)
        if not struck:
            break
        assert came is error
    assert moment > 3


@pytest.mark.parametrize("error", [Timeout(), MemoryError(), RecursionError(), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["write", "read", "compare"])
def test_an_error_from_outside_in_a_taught_type_goes_on(error: BaseException, where: str) -> None:
    """The functions of a taught type may be interrupted too."""

    def fail(*_: object) -> Any:
        raise error

    kind: Any = type("Kind", (), {"__eq__": fail if where == "compare" else lambda self, other: True})
    codec = JSONCodec(
        types={
            "t": (
                kind,
                fail if where == "write" else lambda _: 1,
                fail if where == "read" else lambda _: kind(),
            )
        }
    )
    acts: list[Callable[[], Any]] = [lambda: codec.encode([kind()], PATH)]
    if where == "read":
        acts.append(lambda: codec.decode(b'[{"~t":1}]'))
    for act in acts:
        with pytest.raises(type(error)) as caught:
            act()
        assert caught.value is error


@pytest.mark.parametrize(
    "error", [ValueError, TypeError, KeyError, ZeroDivisionError, AttributeError, StopIteration]
)
def test_an_error_of_the_data_in_a_taught_type(error: type[Exception]) -> None:
    """What a function raises that was given data it cannot take makes that data unreadable, or refused."""

    def fail(*_: object) -> Any:
        raise error("secret")

    with pytest.raises(ValueError, match=rf"^a stored value cannot be read \({error.__name__}\)$"):
        JSONCodec(types={"t": (Money, fail, fail)}).decode(b'[{"~t":1}]')
    with pytest.raises(
        UnsupportedType, match=rf"the functions of types\['t'\] fail on it \({error.__name__}\)"
    ) as caught:
        JSONCodec(types={"t": (Money, fail, fail)}).encode(Money(Decimal(1)), PATH)
    assert isinstance(caught.value.__cause__, error)


# Little stack left


def with_stack(frames: int, act: Callable[[], Any]) -> Any:
    """Call ``act`` with only so many frames left."""
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + frames)
    try:
        return act()
    finally:
        sys.setrecursionlimit(limit)


DEEP = [
    pytest.param(nested(45), id="lists"),
    pytest.param({"k": {"k": nested(40)}}, id="dicts"),
    pytest.param(nested(45, (1, frozenset({(2,)}))), id="tags"),
    pytest.param([nested(20), *ROWS], id="many containers"),
]


@pytest.mark.parametrize("value", DEEP)
def test_little_stack_left(value: Any) -> None:
    """It works or raises RecursionError, however little is left; no value is called unreadable or refused for it."""
    line, text = CODEC.encode(value, PATH), json.dumps(["x"]).encode()
    failed = set()
    for frames in range(8, 130):
        for act, result in (
            (lambda: CODEC.encode(value, PATH), line),
            (lambda: CODEC.decode(line), value),
            (lambda: javascript.read(text), ["x"]),
            (lambda: list(javascript.members(b'{"a":%b}' % text)), [("a", ["x"], text)]),
        ):
            try:
                assert same(with_stack(frames, act), result)
            except RecursionError:
                failed.add(act)
    assert failed


# Depth

WIDE = b'["' + b"]" * 300 + b'","' + b"[" * 300 + b'"]'


def hiding(depth: int) -> bytes:
    """Return lists inside each other beside strings, whose brackets make the line look flat."""
    return b'["]",' * depth + b"1" + b',"["]' * depth


@pytest.mark.parametrize(
    "read", [CODEC.decode, javascript.read, lambda line: list(javascript.members(b'{"a":%b}' % line))]
)
@pytest.mark.parametrize("depth", [900, 950, 990, 1000, 5_000, pytest.param(100_000, marks=pytest.mark.wide)])
@pytest.mark.parametrize(
    "make",
    [
        lambda depth: b"[" * depth + b"]" * depth,
        lambda depth: b'{"a":' * depth + b"1" + b"}" * depth,
        lambda depth: b'{"~tuple":[' * depth + b"]}" * depth,
        lambda depth: b"[" * depth,
        lambda depth: b'["\\"]\\\\",' * depth + b"1" + b"]" * depth,
        hiding,
    ],
    ids=["lists", "dicts", "tags", "open", "escapes", "hidden by strings"],
)
def test_deeper_than_a_scanner_can_follow(
    read: Callable[[bytes], Any], make: Callable[[int], bytes], depth: int
) -> None:
    """The line is a ValueError, never a RecursionError."""
    with suppress(ValueError):
        read(make(depth))


@pytest.mark.parametrize("read", [CODEC.decode, javascript.read])
def test_depth_is_exact(read: Callable[[bytes], Any]) -> None:
    """A hundred levels are read, with whatever brackets in strings beside them; one more is not."""
    assert same(read(b"[" * 100 + b"]" * 100), nested(99, []))
    beside = b'["[[[","\\\\","\\"[[",%b]'
    assert len(read(beside % (b"[" * 99 + b"]" * 99))) == 4
    dicts = b'{"a":' * 101 + b"1" + b"}" * 101
    for line in (b"[" * 101 + b"]" * 101, dicts, beside % (b"[" * 100 + b"]" * 100)):
        with pytest.raises(ValueError, match="cannot be read"):
            read(line)
    assert len(read(WIDE)) == 2


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


_TREES = st.recursive(
    st.text(alphabet='[]{}"\\a', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet='[]{}"\\a', max_size=4), inner, max_size=3)
    ),
    max_leaves=25,
)


@given(_TREES, st.sampled_from([None, (",", ":")]))
@example(["]", ["]", ["]", 1, "["], "["], "["], None)
@settings(deadline=None)
def test_depth_is_told_from_the_text(value: Any, separators: Any) -> None:
    """Brackets, quotes and backslashes inside strings do not count, and what seems deeper is."""
    line, depth = json.dumps(value, separators=separators).encode(), depth_of(value)
    for limit in range(depth + 2):
        assert deeper(line, limit) is (depth > limit)
        assert not seems_deeper(line, limit) or depth > limit


# Unknown tags


@pytest.mark.parametrize(
    "wrap", [b"%b", b'[1,{"a":%b}]', b'{"~tuple":[%b]}'], ids=["bare", "nested", "in a tag"]
)
def test_an_unknown_tag_is_named(wrap: bytes) -> None:
    """A line with a type that this codec was not taught is a ValueError that says which; the value is not shown."""
    with pytest.raises(ValueError, match="^a stored value cannot be read") as caught:
        CODEC.decode(wrap % b'{"~money":"secret"}')
    assert isinstance(caught.value, UnknownTag)
    assert "'money'" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["~", "~no tag", "~" + "x" * 65, "~é"], ids=["empty", "blank", "long", "letter"]
)
def test_what_cannot_be_a_tag_is_not_shown(name: str) -> None:
    """It is somebody's data."""
    with pytest.raises(ValueError, match=r"^a stored value cannot be read \(ValueError\)$") as caught:
        CODEC.decode(json.dumps({name: 1}).encode())
    assert not isinstance(caught.value, UnknownTag)


# Time zones


@pytest.mark.parametrize("fault", [errno.EISDIR, errno.ENAMETOOLONG], ids=["a folder", "too long"])
def test_a_name_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch, fault: int) -> None:
    """Some machines say so by an OSError, others find no zone. Both times the value cannot be read."""

    def fail(key: str) -> Any:
        raise OSError(fault, "refused")

    monkeypatch.setattr("wsgisession.tags.ZoneInfo", fail)
    with pytest.raises(ValueError, match="cannot be read"):
        CODEC.decode(b'{"~datetime":["2024-07-01T00:00:00",0,"Asia/Tokyo",null]}')


def test_no_files_left_to_open_is_no_fault_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system while a time zone is looked up goes on; the next try reads the value."""
    line = b'{"~datetime":["2024-07-01T00:00:00",0,"Asia/Tokyo",null]}'

    def fail(key: str) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("wsgisession.tags.ZoneInfo", fail)
        with pytest.raises(OSError, match="Too many open files"):
            CODEC.decode(line)
    assert CODEC.decode(line).tzinfo.key == "Asia/Tokyo"


# What is remembered


def test_nothing_of_what_visitors_send_is_remembered() -> None:
    """However long and many keys, tags, zones and refused values are, no memory stays taken."""
    name = "k" * 100_000

    def send(n: int) -> None:
        value = {f"{n}{name}": [{f"{name}{n}": (n,)}]}
        CODEC.decode(CODEC.encode(value, PATH))
        javascript.read(javascript.write({f"{n}{name}": n}))
        for broken in ({f"~{n}{name}": 1}, {"~datetime": ["2024-01-01T00:00:00", 0, f"{n}{name}", None]}):
            with pytest.raises(ValueError):
                CODEC.decode(json.dumps(broken).encode())
        with pytest.raises(UnsupportedType):
            CODEC.encode({f"{n}{name}": object()}, PATH)

    send(0)
    assert kept_by(lambda: [send(n) for n in range(1, 30)]) < len(name)
