"""Fingerprints: notice that a mutable value was changed in place, in less time than encoding it again.

A mark is made when a value is returned, and compared when the request commits. It stays in the process. This module
does not know where values come from or what happens to them.
"""

from __future__ import annotations

import marshal
from operator import is_
from typing import Any

Mark = bytes | list[Any] | None


def fingerprint(value: Any, line: bytes) -> Mark:
    """Return a mark of a mutable value as it came from a line of JSON. None: encoding it again is as cheap.

    If two marks are equal, the encoding is the same too. If they differ, it may still be the same, because marshal
    (version 4, twice as fast as 2) also writes which objects are shared. marshal refuses subclasses, and distinguishes
    ``1``, ``True`` and ``1.0``. It does not distinguish ``bytes`` and ``bytearray``, but a line without tags has
    neither. An object with a single reference does not count as shared, and the number of references differs between
    releases of Python. In a tuple it always counts as shared.

    The mark of a container without other containers is a copy. It is equal while it has the same objects, which cannot
    change: 3 instead of 36 µs for 10 KB of strings.
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
    """True if a value still has this mark. Then its line has not changed. False: encode it to find out."""
    if type(mark) is list:
        return len(value) == len(mark) and all(map(is_, value, mark))
    try:
        return marshal.dumps((value,), 4) == mark
    except ValueError:  # it now has something other than plain JSON data
        return False
