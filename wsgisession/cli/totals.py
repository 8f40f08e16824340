"""``stats`` and ``count``: how many sessions there are, of how many owners, how large and how old. Knows no store.

The memory for counting does not grow with the number of sessions.
"""

from __future__ import annotations

from argparse import Namespace
from bisect import bisect_right
from collections import Counter
from math import inf

from wsgisession.cli.outcome import OK, closed, plural
from wsgisession.cli.reader import Reader
from wsgisession.cli.terminal import Progress, Terminal
from wsgisession.cli.text import columns, histogram, size
from wsgisession.manager import SessionManager
from wsgisession.record import Record

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# Each class ends where the next one begins.
AGES = {
    "under 1 min": _MINUTE,
    "under 10 min": 10 * _MINUTE,
    "under 1 h": _HOUR,
    "under 6 h": 6 * _HOUR,
    "under 1 d": _DAY,
    "under 7 d": 7 * _DAY,
    "under 30 d": 30 * _DAY,
    "older": inf,
}
SIZES = {
    "under 256 B": 2**8,
    "under 1 KiB": 2**10,
    "under 4 KiB": 2**12,
    "under 16 KiB": 2**14,
    "under 64 KiB": 2**16,
    "larger": inf,
}
AGE_BOUNDS, SIZE_BOUNDS = [*AGES.values()][:-1], [*SIZES.values()][:-1]
EXACT = 65_536  # so many owners are counted exactly; a larger number is an estimate, with an error below one percent


def count(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print how many live sessions the store has, as the store itself counts them."""
    with Progress("") as progress:
        progress.say("counting sessions")
        found = manager.count()
    terminal.result({"count": found}, [plural(found, "session")], [(str(found),)])
    return OK


def stats(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print how many live sessions there are, of how many owners, how large and how old."""
    reader, totals = Reader(manager), Totals()
    now = reader.clock()
    with Progress("records read") as progress:
        for page in reader.pages(manager.store.keys()):
            for _, content, payload, _ in reader.contents(page):
                if isinstance(content, Record):
                    totals.add(content, len(payload), now)
            progress.step(len(page))
    facts = {**totals.facts(), "markers": reader.markers, "unreadable": reader.unreadable + reader.later}
    _print(terminal, facts, totals.lengths(), {"size": totals.by_size(), "age": totals.by_age()})
    return closed(reader, terminal)


class Different:
    """How many different names there were, in bounded memory: exact up to EXACT, an estimate beyond.

    Names are kept as hashes. Hashes are spread evenly: if only those below a limit are kept, their number tells that of
    all. Whenever there are too many, the limit is halved.

    Source: Flajolet, On Adaptive Sampling, 1990.
    """

    def __init__(self) -> None:
        self._kept: set[int] = set()
        self._halved = 0

    def add(self, name: str) -> None:
        """Count a name, if it was not counted before."""
        hashed = hash(name) % 2**64
        if hashed < 2**64 >> self._halved:
            self._kept.add(hashed)
            if len(self._kept) > EXACT:
                self._halved += 1
                self._kept = {one for one in self._kept if one < 2**64 >> self._halved}

    def __len__(self) -> int:
        return len(self._kept) << self._halved


class Totals:
    """The sums for ``stats``."""

    def __init__(self) -> None:
        self._sizes: Counter[int] = Counter()  # no more entries than a payload may have bytes
        self._ages = [0] * len(AGES)
        self._owners = Different()
        self._anonymous = self._persistent = 0

    def add(self, record: Record, size: int, now: float) -> None:
        """Count one session, whose payload has so many bytes."""
        self._sizes[size] += 1
        self._ages[bisect_right(AGE_BOUNDS, now - record.created)] += 1
        self._persistent += record.persistent
        if record.owner is None:
            self._anonymous += 1
        else:
            self._owners.add(record.owner)

    def facts(self) -> dict[str, int]:
        """Return the numbers of sessions, owners and other records."""
        return {
            "sessions": self._sizes.total(),
            "owners": len(self._owners),
            "anonymous": self._anonymous,
            "persistent": self._persistent,
        }

    def lengths(self) -> dict[str, int]:
        """Return the bytes of all sessions together, of the median, and of the largest."""
        middle, passed, median = self._sizes.total() // 2, 0, 0
        for median in sorted(self._sizes):
            passed += self._sizes[median]
            if passed > middle:
                break
        total = sum(length * often for length, often in self._sizes.items())
        return {"total": total, "median": median, "largest": max(self._sizes, default=0)}

    def by_age(self) -> dict[str, int]:
        """Return how many sessions are in each class of ages."""
        return dict(zip(AGES, self._ages, strict=True))

    def by_size(self) -> dict[str, int]:
        """Return how many sessions are in each class of sizes."""
        counts = [0] * len(SIZES)
        for length, often in self._sizes.items():
            counts[bisect_right(SIZE_BOUNDS, length)] += often
        return dict(zip(SIZES, counts, strict=True))


def _print(
    terminal: Terminal, facts: dict[str, int], lengths: dict[str, int], classes: dict[str, dict[str, int]]
) -> None:
    """Print all numbers; text leaves out those that are 0."""
    told = [(name, number) for name, number in facts.items() if number or name == "sessions"]
    groups = {
        name: found
        for name, counts in classes.items()
        if (found := [one for one in counts.items() if one[1]])
    }
    rows = [(name, f"{number:,}") for name, number in told]
    if lengths["total"]:
        rows.append(("bytes", ", ".join(f"{name} {size(length)}" for name, length in lengths.items())))
    terminal.result(
        {**facts, "bytes": lengths, **classes},
        [*columns(rows), *(line for name, found in groups.items() for line in (name, *histogram(found)))],
        [
            *((name, str(number)) for name, number in told),
            *(("bytes", name, str(length)) for name, length in lengths.items() if length),
            *((kind, name, str(often)) for kind, found in groups.items() for name, often in found),
        ],
    )
