"""The log: what happened to which session, as events with fields. Knows no id, no token and no value of a session.

Every event goes to the logger ``wsgisession`` with ``extra={"event": name, **fields}``; ``docs/operations.md`` lists them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger("wsgisession")


def event(level: int, name: str, message: str, **fields: object) -> None:
    """Log one event; the fields follow the message and go along as ``extra``."""
    if logger.isEnabledFor(level):
        text = " ".join([message, *(f"{field}={value!r}" for field, value in fields.items())])
        logger.log(level, "%s", text, extra={"event": name, **fields})


class Flood:
    """An event that a stranger can cause at will: the first is logged at once, then at most one line a minute.

    The counts are for people; two threads that meet here may lose one, never raise.
    """

    def __init__(self, level: int, name: str, message: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.level, self.name, self.message, self.clock = level, name, message, clock
        self._pending = 0
        self._next = float("-inf")

    def add(self) -> None:
        """Count one more, and write a line where one is due."""
        self._pending += 1
        now = self.clock()
        if now >= self._next:
            count, self._pending, self._next = self._pending, 0, now + 60.0
            event(self.level, self.name, self.message, count=count)
