"""Threads of which one runs at a time. It runs until it is about to do something that others can see.

Knows neither sessions nor stores, and not who goes on next: that is ``choose``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple


class Call(NamedTuple):
    """What somebody is about to do: an operation, and on what. No key: on all there is."""

    name: str
    key: str = ""


class Choice(NamedTuple):
    """Whose turn it is, and how their call goes."""

    who: int
    how: str


Choose = Callable[[dict[int, Call]], Choice]
"""Given what each of those who wait is about to do."""


class Crew:
    """Runs a few functions in turns; each passes its turn on in ``step``.

    Args:
        size: how many functions can run at most.
    """

    def __init__(self, size: int) -> None:
        self.current = 0
        """Who runs now."""
        self._batons = [_baton() for _ in range(size)]
        self._end = _baton()
        self._error: BaseException | None = None
        for who in range(size):
            threading.Thread(target=self._serve, args=(who,), daemon=True).start()

    def run(self, works: list[Callable[[], None]], choose: Choose) -> None:
        """Run the functions to their ends. Each first runs up to its first step; from there on ``choose`` says who goes on."""
        self._works, self._choose, self._error = works, choose, None
        self._unbegun = list(range(len(works)))
        self._waiting: dict[int, Call] = {}
        self._how = ""
        self._pass_on(None)
        self._end.acquire()
        if self._error is not None:
            raise self._error

    def step(self, call: Call) -> str:
        """Wait until it is this function's turn to make a call, and return how the call is to go."""
        me = self.current
        self._waiting[me] = call
        self._pass_on(me)
        del self._waiting[me]
        return self._how

    def _pass_on(self, me: int | None) -> None:
        if self._unbegun:
            who = self._unbegun.pop(0)
        elif self._waiting:
            try:
                who, self._how = self._choose(self._waiting)
            except BaseException as error:  # raised in run(), when everybody is done
                self._error, who, self._how = error, min(self._waiting), ""
        else:
            self._end.release()
            return
        self.current = who
        if who != me:
            self._batons[who].release()
            if me is not None:
                self._batons[me].acquire()

    def _serve(self, me: int) -> None:
        while True:
            self._batons[me].acquire()
            try:
                self._works[me]()
            except BaseException as error:
                self._error = error
            self._pass_on(None)


def _baton() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock
