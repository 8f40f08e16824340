"""The lines of some files that run: counted, and an exception from outside before one of them."""

from __future__ import annotations

import linecache
import sys
from types import FrameType
from typing import Any

from wsgisession.testing import Outside


class Lines:
    """Counts the lines that run inside ``with``, and raises ``Outside`` before one of them, if there are so many.

    Args:
        files: whose lines they are.
        at: the number of that line, from 1; 0 for none.
        but: how lines begin that do not count.
    """

    def __init__(self, *files: str | None, at: int = 0, but: tuple[str, ...] = ()) -> None:
        self.files, self.at, self.but = files, at, but
        self.count = 0

    def __enter__(self) -> Lines:
        self.before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.settrace(self.before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        file = frame.f_code.co_filename
        if file not in self.files:
            return None
        if event == "line" and not linecache.getline(file, frame.f_lineno).lstrip().startswith(self.but):
            self.count += 1
            if self.count == self.at:
                raise Outside
        return self._trace
