"""The tree of choices: every path through it, each once, from the beginning each time. Knows only what waits.

At each step somebody who waits makes their call. How it goes is a choice too: well; ``down``, not carried out and an error;
or ``lost``, carried out and an error. One path has at most one such fault.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Protocol

from .crew import Call, Choice

WRITES = frozenset(("create", "replace", "touch", "delete"))
READS = frozenset(("load", "load_many", "owned_by"))  # a lost reply to one of these is the same as a failure


class Path:
    """The choices of one run.

    Args:
        faults: one call may go wrong.
        deepest: how many steps are chosen. After that, each request runs to its end.
        again: without a fault it was walked before.
    """

    def __init__(self, *, faults: bool, deepest: int = 100, again: bool = False) -> None:
        self._faults = faults
        self._deepest = deepest
        self._again = again
        self.taken: list[Choice] = []
        self.calls: list[Call] = []
        self.faulty = False
        """True: one call did not go well."""
        self.cut = False
        """True: it was longer than orders are walked."""
        self.repeated = False
        """True: it is a twin of one that was walked, which showed only on the way."""

    @property
    def counts(self) -> bool:
        """True for an order that was not walked before."""
        return not self.repeated and (self.faulty or not self._again)

    def options(self, waiting: dict[int, Call]) -> list[Choice]:
        """Return what can come next."""
        if len(self.taken) >= self._deepest:
            self.cut = self.cut or len(waiting) > 1
            last = self.taken[-1].who
            return [Choice(last if last in waiting else min(waiting), "")]
        found = [Choice(who, "") for who in sorted(waiting)]
        if self._faults and not self.faulty:
            for who, call in sorted(waiting.items()):
                if call.name in WRITES or call.name in READS:
                    found.append(Choice(who, "down"))
                if call.name in WRITES:
                    found.append(Choice(who, "lost"))
        return found

    def take(self, choice: Choice, waiting: dict[int, Call]) -> Choice:
        """Take note of a choice."""
        self.taken.append(choice)
        self.calls.append(waiting[choice.who])
        self.faulty = self.faulty or choice.how != ""
        return choice

    def __str__(self) -> str:
        """Show who did what: ``a.load b.load a.replace(lost) …``."""
        return " ".join(
            f"{'abc'[who]}.{call.name}" + (f"({how})" if how else "")
            for (who, how), call in zip(self.taken, self.calls, strict=True)
        )


class _Branch:
    """One step of the present path: what could come, and what has been walked of it."""

    def __init__(self, options: list[Choice], asleep: frozenset[Choice]) -> None:
        self.options = options
        self.asleep = asleep  # what need not be walked from here: it commutes with all that came since it was
        self.at = 0

    @property
    def choice(self) -> Choice:
        return self.options[self.at]


class Walk(Protocol):
    """What walks some of all paths."""

    def paths(self) -> Iterator[Path]:
        """Yield one path for each run. It is empty until the run chooses."""

    def choose(self, waiting: dict[int, Call]) -> Choice:
        """Say who goes on, of those who wait."""


class Tree:
    """Walks every path, depth first.

    Args:
        faults: paths with one fault too.
        twins: False: of paths that differ only in the order of neighbours who cannot notice each other, one is walked.
        deepest: how many steps are chosen.
        again: those without a fault were walked before.
    """

    def __init__(
        self, *, faults: bool = False, twins: bool = True, deepest: int = 100, again: bool = False
    ) -> None:
        self._twins = twins
        self._begin = partial(Path, faults=faults, deepest=deepest, again=again)
        self._branches: list[_Branch] = []
        self.path = self._begin()

    def paths(self) -> Iterator[Path]:
        """Yield one path for each run. It is empty until the run chooses."""
        while True:
            self.path = self._begin()
            yield self.path
            while self._branches and not self._next():
                self._branches.pop()
            if not self._branches:
                return

    def _next(self) -> bool:
        """Go on to the next option of the last step. False: there is none."""
        branch = self._branches[-1]
        branch.at += 1
        return branch.at < len(branch.options)

    def choose(self, waiting: dict[int, Call]) -> Choice:
        """Repeat the choices up to the newest branch, then take what comes first."""
        step = len(self.path.taken)
        if step == len(self._branches):
            options, asleep = self.path.options(waiting), self._asleep(waiting)
            awake = [option for option in options if option not in asleep]
            self.path.repeated = self.path.repeated or not awake
            self._branches.append(_Branch(options[:1] if self.path.repeated else awake, asleep))
        choice = self._branches[step].choice
        assert choice.who in waiting, f"the same choices led elsewhere: {self.path}, then {waiting}"
        return self.path.take(choice, waiting)

    def _asleep(self, waiting: dict[int, Call]) -> frozenset[Choice]:
        """Return the options whose paths were walked already, up to the order of neighbours (Godefroid's sleep sets)."""
        if self._twins or not self._branches:
            return frozenset()
        branch, call = self._branches[-1], self.path.calls[-1]
        before = [*branch.asleep, *branch.options[: branch.at]]
        return frozenset(
            option
            for option in before
            if option.who != branch.choice.who
            and option.who in waiting
            and not (option.how and branch.choice.how)
            and independent(waiting[option.who], call)
        )


def independent(one: Call, other: Call) -> bool:
    """True if two calls of different requests do the same in either order."""
    if one.name in READS and other.name in READS:
        return True
    return bool(one.key and other.key) and one.key != other.key


class Sample:
    """Some paths, the same ones each time.

    Args:
        name: what is sampled; another name makes other paths.
        count: how many.
    """

    def __init__(self, name: str, count: int) -> None:
        self._random = random.Random(name)
        self._count = count
        self.path = Path(faults=True)

    def paths(self) -> Iterator[Path]:
        """Yield one path for each run."""
        for _ in range(self._count):
            self.path = Path(faults=True)
            yield self.path

    def choose(self, waiting: dict[int, Call]) -> Choice:
        """Choose by a generator whose seed is fixed. Most calls go well."""
        options = self.path.options(waiting)
        if self._random.random() < 0.8:
            options = [option for option in options if not option.how]
        return self.path.take(self._random.choice(options), waiting)
