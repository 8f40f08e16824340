"""Turns: the writers of one key in this process queue up after they were overtaken. Knows no sessions.

Swaps alone are fair only to the quick: who merges a large session would lose to fresh requests again and again. Nothing
rests on a turn, so a turn is only lent for a moment. One that was not given back, because an exception from outside came
in between, or because the process was forked, is over by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

_SLOTS = 64
_PATIENCE = 0.5  # seconds that a turn lasts, and that anybody waits for one
_LOOK = 0.001  # seconds between two looks


class Turns:
    """Lends turns by key."""

    def __init__(self) -> None:
        self._taken = [0.0] * _SLOTS  # until when, by ``time.monotonic``

    @contextmanager
    def queue(self, key: str) -> Iterator[None]:
        """Wait for the turn of this key, but not for long, and give it back at the end."""
        slot, began = hash(key) % _SLOTS, monotonic()
        while (now := monotonic()) < min(self._taken[slot], began + _PATIENCE):
            time.sleep(_LOOK)
        mine = self._taken[slot] = now + _PATIENCE
        try:
            yield
        finally:
            if self._taken[slot] == mine:
                self._taken[slot] = 0.0
