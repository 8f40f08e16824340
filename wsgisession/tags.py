"""The types that JSON lacks, one tag for each, and the errors for values that do not fit. Knows neither JSON text nor
records.

Every tag has one spelling: a value that was read is written in the same way again.
"""

from __future__ import annotations

import binascii
import errno
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

DATA_ERRORS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, StopIteration)
"""What wrong data can raise. A scanner of the json module raises StopIteration if there is nothing to read.

Other exceptions pass: MemoryError, RecursionError, and exceptions from outside, such as a time limit.
"""


class Refused(ValueError):
    """A value cannot be stored. On the way out, each container adds its step of the path to the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def where(self) -> str:
        """Return the path from the outermost container, or its beginning if it is very long."""
        steps = self.steps[::-1]
        return "".join(steps) if len(steps) <= 20 else "".join(steps[:5]) + "..."


class UnknownTag(ValueError):
    """A stored value has the tag of a type that this codec does not know.

    Args:
        tag: Its name, as in ``JSONCodec(types={"money": ...})``. The value is secret, but the name is not.
    """

    def __init__(self, tag: str) -> None:
        super().__init__(
            f"a stored value cannot be read (its tag {tag!r} is not known: a later release wrote it, or JSONCodec(types=...)"
            " lacks it)"
        )


# Moments: the ISO text if it is enough, otherwise [text, fold, key of the zone, name of the fixed offset].

_SECOND = timedelta(seconds=1)  # ``fromisoformat`` takes a smaller offset for UTC


def _write_moment(value: Any) -> Any:
    zone = value.tzinfo
    if zone is None:
        key = name = None
    elif type(zone) is timezone and not timedelta(0) < abs(zone.utcoffset(None)) < _SECOND:
        key, name = None, zone.tzname(None)
        if name == timezone(zone.utcoffset(None)).tzname(None):
            name = None
    elif type(zone) is ZoneInfo and zone.key is not None and _comes_back(value, zone.key):
        key, name = zone.key, None
        value = value.replace(tzinfo=None)
    else:
        parts = "x.replace(tzinfo=None), and beside it the name of the zone"
        instead = "x.astimezone(timezone.utc)" if isinstance(value, datetime) else parts
        raise Refused(f"its time zone is neither fixed, in seconds, nor a ZoneInfo by name; store {instead}")
    text = value.isoformat()
    return text if not value.fold and key is name is None else [text, value.fold, key, name]


def _comes_back(value: Any, key: str) -> bool:
    try:
        zone = _zone(key)
    except DATA_ERRORS:  # made from a file, with a name that the system does not have
        return False
    return zone is value.tzinfo or bool(value.replace(tzinfo=zone) == value)


# Errors that a wrong name can cause: it is a folder, it leads through a file, nobody may read it, or it is too long.
# Any other error of the system, such as "too many open files", is not the fault of the name.
_FAULTS_OF_A_NAME = frozenset(
    (errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
)


def _zone(key: Any) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except OSError as error:
        if error.errno not in _FAULTS_OF_A_NAME:
            raise
        raise ValueError("no time zone has this name") from None


def _read_moment(kind: Any) -> Callable[[Any], Any]:
    def read(plain: Any) -> Any:
        text, fold, key, name = plain if type(plain) is list else (plain, 0, None, None)
        value = kind.fromisoformat(text)
        if key is not None:
            zone: Any = _zone(key)
        else:
            zone = value.tzinfo if name is None else timezone(value.utcoffset(), name)
        return value.replace(tzinfo=zone, fold=fold)

    return read


def _write_bytes(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()


def _write_decimal(value: Decimal) -> str:
    if value.is_nan():
        raise Refused("a Decimal that is not a number does not equal itself; store None or str(x)")
    return str(value)


def _read_listed(kind: Any) -> Callable[[Any], Any]:
    def read(plain: Any) -> Any:
        value = kind(plain)
        if type(plain) is not list or len(value) != len(plain):
            raise ValueError("not a list, or its members repeat")
        return value

    return read


def _read_dict(plain: Any) -> Any:
    if not {type(pair) for pair in plain} <= {list}:
        raise ValueError("not a list of pairs")
    return _read_listed(dict)(plain)


def _strictly(read: Callable[[Any], Any], write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def strict(plain: Any) -> Any:
        value = read(plain)
        if write(value) != plain:
            raise ValueError("another spelling than ours")
        return value

    return strict


_LEAVES: tuple[tuple[str, type, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    ("~datetime", datetime, _write_moment, _read_moment(datetime)),
    ("~date", date, date.isoformat, date.fromisoformat),
    ("~time", time, _write_moment, _read_moment(time)),
    ("~timedelta", timedelta, lambda x: [x.days, x.seconds, x.microseconds], lambda plain: timedelta(*plain)),
    ("~bytes", bytes, _write_bytes, binascii.a2b_base64),
    ("~uuid", UUID, str, UUID),
    ("~decimal", Decimal, _write_decimal, Decimal),
)

WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    kind: (tag, write) for tag, kind, write, _ in _LEAVES
}
"""For each class, the tag and the function that turns a value into plain JSON data."""

READERS: dict[str, Callable[[Any], Any]] = {
    **{tag: _strictly(read, write) for tag, _, write, read in _LEAVES},
    "~tuple": _read_listed(tuple),
    "~set": _read_listed(set),
    "~frozenset": _read_listed(frozenset),
    "~dict": _read_dict,
}
"""For each tag, the function that makes the value again from members that are decoded already."""
