"""The log: what happened to which session, as events with fields.

Every event goes to the logger ``wsgisession`` with ``extra={"event": name, **fields}``; ``docs/reference/log.md`` lists
them. Knows no id, no token and no value of a session.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger("wsgisession")

_PAUSE = 60.0  # seconds between two lines of an event that comes very often


def event(level: int, name: str, message: str, **fields: object) -> None:
    """Log one event. The fields are in the line after the message, and in ``extra``."""
    if logger.isEnabledFor(level):
        text = " ".join([message, *(f"{field}={value!r}" for field, value in fields.items())])
        logger.log(level, "%s", text, extra={"event": name, **fields})


class Summed:
    """An event that may come very often: the first is logged at once, then at most one line a minute.

    A line has the message and the fields of the newest event. ``count`` is the number of events since the line before.
    The number is for people: two threads at the same moment may lose one event. They never raise.

    Args:
        name: the name of the event, such as ``"store error"``.
        level: a level of the logging module.
        clock: a monotonic clock in seconds; for tests.
    """

    def __init__(self, name: str, level: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._level = level
        self._clock = clock
        self._pending = 0  # not logged yet
        self._next = float("-inf")  # when the next line may be written

    def add(self, message: str, **fields: object) -> None:
        """Count one event, and write a line if one is due."""
        self._pending += 1
        now = self._clock()
        if now >= self._next:
            count, self._pending, self._next = self._pending, 0, now + _PAUSE
            event(self._level, self._name, message, count=count, **fields)
