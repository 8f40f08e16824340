"""Turns: the writers of one key in this process wait for each other after a conflict. Knows no sessions.

Swaps alone are not fair to slow writers: a request that merges a large session would lose to new requests again and
    again. No promise depends on a turn, so a turn is only lent for a moment. If it was not given back, because of an
    exception from outside or a fork, it ends by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

_SLOTS = 64
_PATIENCE = 0.5  # seconds that a turn lasts, and that a writer waits for one
_LOOK = 0.001  # seconds between two looks


class Turns:
    """Lends turns by key."""

    def __init__(self) -> None:
        self._taken = [0.0] * _SLOTS  # when each turn ends, by ``time.monotonic``

    @contextmanager
    def queue(self, key: str) -> Iterator[None]:
        """Wait a short time for the turn of this key, and give it back at the end."""
        slot, began = hash(key) % _SLOTS, monotonic()
        while (now := monotonic()) < min(self._taken[slot], began + _PATIENCE):
            time.sleep(_LOOK)
        mine = self._taken[slot] = now + _PATIENCE
        try:
            yield
        finally:
            if self._taken[slot] == mine:
                self._taken[slot] = 0.0
