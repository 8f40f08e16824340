"""How the command line writes: escapes, moments, durations, sizes, histograms. Knows no session and no stream.

What comes from a store is somebody else's text. Nothing of it reaches a terminal that could move the cursor, colour the
screen or turn the direction of reading: only what ``str.isprintable`` lets through, the rest as escapes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_MULTIPLES = ("KiB", "MiB", "GiB", "TiB")
BAR = 40  # characters of the longest bar


def visible(text: str) -> str:
    """Return text on one line, with escapes for what is not printable; a backslash is doubled, so none can be forged."""
    return "".join(
        "\\\\" if character == "\\" else character if character.isprintable() else _escape(character) for character in text
    )


def compact(value: Any) -> str:
    """Return JSON on one line that a terminal can show."""
    written = json.dumps(value, ensure_ascii=False)
    return "".join(character if character.isprintable() else _units(character) for character in written)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _units(character: str) -> str:
    """Return a character as JSON's escapes, in two halves past U+FFFF."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place:place + 2].hex()}" for place in range(0, len(units), 2))


def raw(line: bytes) -> Any:
    """Return one stored value as JSON shows it, tags and all; text where it is no JSON at all."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode("utf-8", "backslashreplace")


def moment(seconds: float) -> str:
    """Return POSIX seconds as ISO 8601, UTC; as a number where no calendar reaches."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    rest = max(round(seconds), 0)
    parts: list[str] = []
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def size(count: float) -> str:
    """Return a number of bytes in a unit that suits it."""
    if count < 1024:
        return f"{count:.0f} B"
    power = min(int(math.log2(count)) // 10, len(_MULTIPLES))
    return f"{count / 1024**power:.1f} {_MULTIPLES[power - 1]}"


def histogram(counts: Sequence[tuple[str, int]]) -> list[str]:
    """Return one line per class: its name, its number, a bar."""
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
