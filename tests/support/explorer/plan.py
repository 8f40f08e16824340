"""Who meets whom: every pair of kinds, and the threes that matter; walked whole, or a sample of it. Knows no promises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations_with_replacement
from multiprocessing import get_context
from typing import NamedTuple

from .kinds import KINDS
from .model import Model
from .tree import Sample, Tree
from .world import STARTS, Start, World, still

THREES = (
    ("login", "login", "write"),
    ("login", "login", "login"),
    ("login", "login", "destroy"),
    ("login", "login", "regenerate"),
    ("login", "login", "a minute"),
    ("login", "a minute", "write"),
    ("login", "regenerate", "write"),
    ("login", "login as another", "write"),
    ("login as another", "write", "append"),
    ("logout", "write", "regenerate"),
    ("logout", "append", "append"),
    ("destroy", "write", "regenerate"),
    ("destroy", "destroy, write", "append"),
    ("destroy", "login", "write"),
    ("destroy", "regenerate", "regenerate"),
    ("regenerate", "regenerate", "write"),
    ("regenerate", "append", "append"),
    ("append", "append", "append"),
    ("nested write", "nested write", "nested write"),
    ("atomic", "atomic", "atomic"),
    ("atomic", "write", "regenerate"),
    ("pop a list", "pop a list", "pop a list"),
    ("delete", "write", "append"),
    ("persistent", "idle_timeout", "write"),
    ("persistent", "regenerate", "write"),
    ("passive", "write", "read"),
    ("stream, late write", "append", "append"),
    ("stream, late write", "login", "write"),
    ("expiry", "write", "append"),
    ("expiry", "login", "write"),
    ("destroy_siblings", "elsewhere: write", "write"),
)


DEEPEST = 24
"""How many calls are chosen. Two who log each other out elsewhere can go on for ever, each with each step of the other."""


class Meeting(NamedTuple):
    """Some requests that overlap, and what they begin with.

    Args:
        start: the place of a Start in STARTS.
        faults: each order with one fault too, at each call.
    """

    start: int
    kinds: tuple[str, ...]
    faults: bool

    @property
    def twins(self) -> bool:
        """False: of orders that differ only in neighbours who cannot notice each other, one is enough; there are too many."""
        return len(self.kinds) == 2 and not any(KINDS[kind].ends_other for kind in self.kinds)

    def __str__(self) -> str:
        return f"{STARTS[self.start].name}: {' | '.join(self.kinds)}"


class Walked(NamedTuple):
    """What came of a meeting."""

    meeting: Meeting
    orders: int
    faulty: int
    cut: int
    """How many orders were longer than orders are walked."""
    anomalies: list[str]


def suits(kind: str, start: Start) -> bool:
    """True if a kind of request can begin with such a session."""
    return KINDS[kind].starts in ("", "logged in" if start.owner else "anonymous")


def meetings() -> Iterator[Meeting]:
    """Yield everything that is walked."""
    for place, start in enumerate(STARTS):
        kinds = [kind for kind in KINDS if suits(kind, start)]
        for pair in combinations_with_replacement(kinds, 2):
            if not all(KINDS[kind].seconds for kind in pair):
                yield Meeting(place, pair, True)
        if not start.worn:
            yield from (Meeting(place, three, True) for three in THREES if all(suits(kind, start) for kind in three))


def walk(meeting: Meeting, paths: Callable[[Meeting], Tree | Sample] | None = None, *, enough: int = 3) -> Walked:
    """Walk the orders of one meeting; stop after ``enough`` anomalies."""
    with still():
        world = _world(meeting.start)
        tree = Tree(faults=meeting.faults, twins=meeting.twins, deepest=DEEPEST) if paths is None else paths(meeting)
        orders = faulty = cut = 0
        found: list[str] = []
        for path in tree.paths():
            story = world.run([KINDS[kind] for kind in meeting.kinds], tree.choose)
            if not path.repeated:
                faulty += path.faulty
                orders += not path.faulty
                cut += path.cut
            found += [f"{meeting}: {path}: {wrong}" for wrong in Model(story).wrong()]
            if len(found) >= enough:
                break
        return Walked(meeting, orders, faulty, cut, found)


def sampled(count: int) -> Callable[[Meeting], Sample]:
    """Return what walks so many orders of each meeting, the same ones each time."""
    return lambda meeting: Sample(str(meeting), count, faults=meeting.faults)


def walk_all(some: Iterable[Meeting], processes: int | None = None) -> Iterator[Walked]:
    """Walk meetings in several processes, the long ones first."""
    ordered = sorted(some, key=_length, reverse=True)
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(walk, ordered)


def _length(meeting: Meeting) -> int:
    return len(meeting.kinds) * 10 + sum(KINDS[kind].ends_other * 20 + KINDS[kind].moves for kind in meeting.kinds)


_worlds: dict[int, World] = {}


def _world(start: int) -> World:
    if start not in _worlds:
        _worlds[start] = World(STARTS[start])
    return _worlds[start]


__all__ = ["Meeting", "Walked", "meetings", "sampled", "walk", "walk_all"]
