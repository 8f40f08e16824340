"""Two pieces of work that take turns at the calls of a store, as a plan says: every interleaving, and none by luck."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

from support.store_double import StoreDouble

PATIENCE = 20.0  # seconds


class Turns:
    """Lets two workers call a store in turns: the first so many times, then the second, and so on; then each to its end."""

    def __init__(self, store: StoreDouble, plan: tuple[int, ...]) -> None:
        self._plan = iter(plan)
        self._condition = threading.Condition()
        self._worker = threading.local()
        self._turn, self._left = 0, next(self._plan, None)
        self._ended: set[int] = set()
        store.rest()
        store.before(None, self._wait, times=None)

    def run(self, first: Callable[[], Any], second: Callable[[], Any]) -> None:
        """Do both; the first error is raised here."""
        errors: list[BaseException] = []

        def work(number: int, function: Callable[[], Any]) -> None:
            self._worker.number = number
            try:
                function()
            except BaseException as error:
                errors.append(error)
            finally:
                with self._condition:
                    self._ended.add(number)
                    self._turn, self._left = 1 - number, None
                    self._condition.notify_all()

        threads = [threading.Thread(target=work, args=item) for item in enumerate((first, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _wait(self) -> None:
        me = getattr(self._worker, "number", None)
        if me is None:  # the test itself
            return
        with self._condition:
            if self._turn == me and self._left == 0 and 1 - me not in self._ended:
                self._turn, self._left = 1 - me, next(self._plan, None)
                self._condition.notify_all()
            assert self._condition.wait_for(lambda: self._turn == me, PATIENCE), "a worker hangs"
            if self._left is not None:
                self._left -= 1


def plans(switches: int, longest: int) -> Iterator[tuple[int, ...]]:
    """Return the plans with so many switches in which nobody makes more than ``longest`` calls at once."""
    for rest in itertools.product(range(1, longest + 1), repeat=switches - 1):
        for first in range(longest + 1):
            yield first, *rest
