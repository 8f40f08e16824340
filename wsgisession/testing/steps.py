"""Makes something happen in the middle of an operation, at any step of a store's own code. Knows no store."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType

from ..stores.base import Store


class Outside(BaseException):
    """An exception that has nothing to do with the store, such as that of a signal handler or gevent.Timeout."""


class Steps:
    """Runs a function at one step of the code inside ``with``. If that step is never reached, it counts the steps.

    A step is a place in the store's own code at which Python may run a signal handler: a function begins, or a call has
    returned. A call into a library that the store uses is one step, because a store cannot repair libraries. There is
    no step between ``__enter__`` of a lock and the block, because Python runs no handler there. (CPython 3.14 does,
    which is its issue 148874.) A finalizer is no step, because an exception in it reaches nobody. The garbage collector
    waits meanwhile: what it calls, such as the callback of a weak reference, would look like a step.

    Args:
        store: the steps of this store's package are counted.
        step: the number of the step, from 1.
        act: it is called once at this step. What it raises is raised there.
    """

    def __init__(self, store: Store, step: int, act: Callable[[], object]) -> None:
        self.package = type(store).__module__.partition(".")[0]
        self.step, self.act = step, act
        self.count = 0

    def __enter__(self) -> Steps:
        self.before, self.collects = sys.getprofile(), gc.isenabled()
        gc.disable()
        sys.setprofile(self._look)
        return self

    def __exit__(self, *exception: object) -> None:
        sys.setprofile(self.before)
        if self.collects:
            gc.enable()

    # Coverage cannot see what runs inside a profile function, because Python traces nothing there.
    def _look(self, frame: FrameType, event: str, argument: object) -> None:  # pragma: no cover
        caller = frame if event == "c_return" else frame.f_back
        if event == "c_return" and getattr(argument, "__name__", "") == "__enter__":
            return
        if event != "c_call" and (self._counts(frame) or self._counts(caller)):
            self.count += 1
            if self.count == self.step:
                if self._in_finalizer(frame):
                    self.count -= 1
                else:
                    self.act()

    def _in_finalizer(self, frame: FrameType | None) -> bool:  # pragma: no cover
        while frame is not None and frame.f_code.co_name != "__del__":
            frame = frame.f_back
        return frame is not None

    def _counts(self, frame: FrameType | None) -> bool:  # pragma: no cover
        name = frame.f_globals.get("__name__", "") if frame else ""
        return name.partition(".")[0] == self.package and not name.startswith(f"{__package__}.")
