"""How the command line writes and reads text: escapes, widths, moments, durations, sizes, histograms.

Text from a store was written by others. No part of it may move the cursor of a terminal, colour the screen or change
the direction of reading. So only characters that ``str.isprintable`` allows are written as they are, the others as
escapes.

Knows no session and no stream.
"""

from __future__ import annotations

import json
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from wsgisession.depth import deeper

UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_MULTIPLES = ("KiB", "MiB", "GiB", "TiB")
BAR = 40  # characters of the longest bar
DEEPEST = 100  # levels of nested containers, as many as a codec writes


def visible(text: str) -> str:
    """Return text on one line, with escapes for what is not printable. A backslash is doubled, so no escape can be
    forged.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text.replace("\\", "\\\\")
    )


def compact(value: Any) -> str:
    """Return JSON on one line that a terminal can show."""
    written = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else _units(character) for character in written)


def _units(character: str) -> str:
    """Return a character as JSON's escapes; above U+FFFF there are two."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


def clipped(text: str, width: int) -> str:
    """Return text that takes at most ``width`` columns of a terminal. If it was cut off, it ends with an ellipsis."""
    ends = list(accumulate(map(_columns, text)))
    if not ends or ends[-1] <= width:
        return text
    return text[: bisect_right(ends, width - 1)] + "…"


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def raw(line: bytes) -> Any:
    """Return one stored value as JSON, with its tags; or its text if it is no JSON, or nested too deep for most
    readers.
    """
    try:
        if not deeper(line, DEEPEST):
            value = json.loads(line)
            json.dumps(value, allow_nan=False)  # Python reads more than JSON has
            return value
    except (ValueError, RecursionError):  # the line is somebody else's, and no mistake of this program
        pass
    return line.decode("utf-8", "backslashreplace")


def number(value: float) -> float | None:
    """Return a number that JSON can contain; None for one that is not finite."""
    return value if math.isfinite(value) else None


def moment(seconds: float) -> str:
    """Return POSIX seconds as ISO 8601, UTC; as a number if it is outside of the calendar."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    rest = max(round(seconds), 0)
    parts: list[str] = []
    for unit, length in UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def brief(seconds: float) -> str:
    """Return a duration in its largest unit, which takes at most seven columns."""
    return " ".join(duration(seconds).split()[:2])


def size(count: float) -> str:
    """Return a number of bytes in a unit of the right size."""
    if count < 1024:
        return f"{count:.0f} B"
    power = min(int(math.log2(count)) // 10, len(_MULTIPLES))
    return f"{count / 1024**power:.1f} {_MULTIPLES[power - 1]}"


def histogram(counts: Sequence[tuple[str, int]]) -> list[str]:
    """Return one line for each class: its name, its number, a bar."""
    most = max((count for _, count in counts), default=0)
    name_width = max((len(name) for name, _ in counts), default=0)
    width = len(f"{most:,}")
    lines = []
    for name, count in counts:
        bar = "#" * math.ceil(count * BAR / (most or 1))
        lines.append(f"  {name:<{name_width}}  {count:>{width},}  {bar}".rstrip())
    return lines


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows of two cells, aligned."""
    held = list(rows)
    width = max((len(row[0]) for row in held), default=0)
    return [f"{name:<{width}}  {value}".rstrip() for name, value in held]
