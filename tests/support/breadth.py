"""How much of a sweep a run takes: every step in the wide suite, enough to notice a mistake in the narrow one.

A test that uses it carries ``pytest.mark.both`` and runs in both suites. Tests of Hypothesis do so by themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class Breadth:
    """Whose ``wide`` conftest.py sets, before it collects tests."""

    wide = False

    def much(self, narrow: T, wide: T) -> T:
        """Return the amount for this suite."""
        return wide if self.wide else narrow

    def steps(self, narrow: int) -> Iterator[int]:
        """Count from 1: every number in the wide suite, every so many in the narrow one."""
        return itertools.count(1, self.much(narrow, 1))


breadth = Breadth()
"""This run's."""
