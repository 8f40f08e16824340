"""Memo: what a function said for the few small arguments that come again and again. Knows nothing of what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Memo(dict[K, V]):
    """The results of a function by argument: ``memo[argument]``. A dict takes half the time of ``lru_cache``: 24 and 46 ns.

    What the process remembers is bounded, whatever visitors send: too large an argument is not kept, and with ``most`` of
    them the memo begins again.

    Args:
        fits: True for an argument that is small enough to keep.
        most: How many are kept.
    """

    def __init__(self, function: Callable[[K], V], fits: Callable[[K], bool], most: int = 128) -> None:
        super().__init__()
        self._function = function
        self._fits = fits
        self._most = most

    def __missing__(self, argument: K) -> V:
        result = self._function(argument)
        if self._fits(argument):
            if len(self) >= self._most:
                self.clear()
            self[argument] = result
        return result
