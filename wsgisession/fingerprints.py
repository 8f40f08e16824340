"""Fingerprints: noticing that a mutable value was changed in place, for less than encoding it again.

A mark is made of a value when it is handed out, and compared when the request commits. It stays in the process. This
module does not know where values come from or what becomes of them.
"""

from __future__ import annotations

import marshal
from operator import is_
from typing import Any

Mark = bytes | list[Any] | None


def fingerprint(value: Any, line: bytes) -> Mark:
    """Return a mark of a mutable value as it came from a line of JSON. None: encoding it again is as cheap.

    Two equal marks mean that the encoding is the same too. Two different ones mean nothing, for marshal (version 4, twice
    as fast as 2) also writes which objects are shared. It refuses subclasses, and tells ``1``, ``True`` and ``1.0`` apart.
    It does not tell ``bytes`` and ``bytearray`` apart, but a line without tags holds neither. A value whose only holder asks
    counts as not shared, and how many hold it differs between releases of Python; in a tuple it always is shared.

    What holds no other container is marked by a copy. It is the same as long as it holds the very same objects, none of
    which can change: 3 instead of 36 µs for 10 KB of strings.
    """
    if 0x7E in line and b'{"~' in line:  # "~"; a byte is found six times as fast as three
        return None
    if 0x7B not in line and line.find(b"[", 1) < 0:  # "{"
        return list(value)
    try:
        return marshal.dumps((value,), 4)
    except ValueError:  # deeper than marshal goes
        return None


def unchanged(value: Any, mark: Mark) -> bool:
    """True if a value still has this mark, so that its line is what it was. False: encode it to find out."""
    if type(mark) is list:
        return len(value) == len(mark) and all(map(is_, value, mark))
    try:
        return marshal.dumps((value,), 4) == mark
    except ValueError:  # by now it holds something else than plain JSON data
        return False
