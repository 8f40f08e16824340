"""A clock that only moves when told to."""

from __future__ import annotations


class Clock:
    """A call returns seconds. Pass it as ``clock``."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass."""
        self.now += seconds
