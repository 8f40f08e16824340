"""JSON that Python and JavaScript read as the same values. Knows no sessions, and nothing of Express.

A value that one of them would change is refused. JavaScript has one type of number, which holds integers up to 2**53.
Its strings are made of 16-bit units, so two surrogates in a row are one character. The text is spelled in the same way
as by ``JSON.stringify``. Otherwise a value that was only read would look changed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from wsgisession.advice import instead
from wsgisession.depth import deeper
from wsgisession.tags import DATA_ERRORS, Refused
from wsgisession.values import DEPTH

_SAFE_INTEGER = 2**53
_EXPONENT = 1e21  # JavaScript writes larger numbers with an exponent, so they come back as floats
_JOINING = re.compile("[\ud800-\udbff][\udc00-\udfff]")

# Types that Python's own codec accepts and JSON does not have.
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    ((date, time), "x.isoformat()"),
    (timedelta, "[x.days, x.seconds, x.microseconds]"),
    ((bytes, bytearray, memoryview), "x.hex()"),
    ((UUID, Decimal), "str(x)"),
    ((tuple, set, frozenset), "list(x)"),
)

_OPEN = re.compile(r'[ \t\n\r]*\{[ \t\n\r]*(?=["}])')
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_COMMA = re.compile(r'[ \t\n\r]*,[ \t\n\r]*(?=")')
_CLOSE = re.compile(r"[ \t\n\r]*\}[ \t\n\r]*\Z")


def _refuse(constant: str) -> Any:
    raise ValueError("not JSON")


_read = json.JSONDecoder(parse_constant=_refuse).raw_decode
_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def write(value: Any) -> bytes:
    """Return a value as compact UTF-8. Lone surrogates are escaped, because UTF-8 does not have them.

    Raises:
        Refused: It would not come back equal and of the same type.
    """
    _check(value, DEPTH)
    return _dumps(value).encode("utf-8", "backslashreplace")


def read(line: bytes) -> Any:
    """Return the value of a text without blanks around it.

    Raises:
        ValueError: It is no value, or it is nested too deep to be written. The message shows no part of it.
    """
    if deeper(line, DEPTH):
        raise ValueError("a stored value cannot be read (too deep)")
    try:
        text = line.decode()
        value, end = _read(text, 0)
    except DATA_ERRORS as error:
        # Nothing is chained or quoted: an error's text may hold the data, and this one is logged.
        raise ValueError(f"a stored value cannot be read ({type(error).__name__})") from None
    if end != len(text):
        raise ValueError("a stored value cannot be read (more follows it)")
    return value


def members(line: bytes) -> Iterator[tuple[str, Any, bytes]]:
    """Yield the members of a JSON object: name, value, and the value as it is written there.

    Raises:
        ValueError: It is no JSON object, or it is nested too deep for the scanner.
    """
    try:
        yield from _members(line.decode())
    except RecursionError:
        if not deeper(line, DEPTH + 2):  # a value is inside of one or two objects; only little stack is left
            raise
        raise ValueError("too deep") from None


def _members(text: str) -> Iterator[tuple[str, Any, bytes]]:
    at = _after(_OPEN, text, 0)
    while text[at] == '"':
        name, at = _read(text, at)
        start = _after(_COLON, text, at)
        value, at = _read(text, start)
        yield name, value, text[start:at].encode()
        comma = _COMMA.match(text, at)
        if comma is None:
            break
        at = comma.end()
    _after(_CLOSE, text, at)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise ValueError("not a JSON object")
    return found.end()


def _check(value: Any, room: int) -> None:
    """Refuse a value that would not come back; ``room`` more levels may be nested."""
    kind = type(value)
    if kind is str:
        if _JOINING.search(value):
            raise Refused("two surrogates in a row are one character in JavaScript; repair the text first")
    elif kind is int:
        if abs(value) > _SAFE_INTEGER:
            raise Refused("an integer above 2**53, which JavaScript would round; store str(x)")
    elif kind is float:
        if not math.isfinite(value):
            raise Refused("JSON has no NaN and no infinities; store None or str(x)")
        if value.is_integer() and abs(value) < _EXPONENT:
            plain = "int(x)" if abs(value) <= _SAFE_INTEGER else "str(x)"
            raise Refused(f"a float without a fraction comes back from JavaScript as an int; store {plain}")
    elif kind is list or kind is dict:
        _check_inside(value, room)
    elif value is not None and kind is not bool:
        raise Refused(f"{kind.__name__} cannot be shared with JavaScript; store {_instead(value)}")


def _check_inside(value: Any, room: int) -> None:
    if not room:
        raise Refused(f"more than {DEPTH} levels deep, or it contains itself; store something flatter")
    for step, item in value.items() if type(value) is dict else enumerate(value):
        if type(value) is dict:
            if type(step) is not str:
                raise Refused(
                    f"the key {step!r} is no str, and JSON has no other keys; store [list(item) for item in x.items()]"
                )
            _check(step, 0)
        try:
            _check(item, room - 1)
        except Refused as refused:
            refused.steps.append(f"[{step!r}]")
            raise


def _instead(value: object) -> str:
    kind = type(value)
    for base, words in _KINDS:
        if issubclass(kind, base):
            return words
    return instead(value) or "what it can be found by, such as str(user.id)"
