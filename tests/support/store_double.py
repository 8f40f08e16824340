"""The one store double: any store, with a test that looks on and steps in at an exact call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, partialmethod
from typing import Any

from wsgisession import MemoryStore, StoreError

OPTIONAL = ("load_many", "count", "clear", "diagnose", "settings")
LISTINGS = ("owned_by", "keys", "diagnose")


@dataclass
class _Rule:
    """What happens to calls: from number ``call`` on, counted from now, so many times (None: for ever)."""

    operation: str | None
    when: str
    act: Callable[[], object]
    call: int
    times: int | None


class StoreDouble:
    """Wraps a store, writes down what it is asked, and does what a test says before or after the n-th call.

    ::

        store = StoreDouble(SQLiteStore(path))             # or StoreDouble(), over a new MemoryStore
        store.calls, store.arguments                       # ["load", …], [((key,), {}), …]
        store.before("replace", lambda: other.save())      # another request comes in before the next replace
        store.before(None, pause, times=None)              # each call of any operation is slow
        store.fail("load", call=2)                         # the second load from now is a StoreError
        store.fail(None, times=None)                       # an outage, until store.rest()
        store.lose_reply("create")                         # the next create is carried out, and fails
        store.repeat("replace", times=None)                # each replace is sent again after a lost reply

    A listing is read to its end when it is called, so that "before" and "after" mean what they say. The
    operations that a store may lack are there if the wrapped store has them.
    """

    def __init__(self, store: Any = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.calls: list[str] = []
        self.arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._rules: list[_Rule] = []
        self._lock = threading.RLock()

    # what a test says

    def before(
        self, operation: str | None, act: Callable[[], object], *, call: int = 1, times: int | None = 1
    ) -> None:
        """Run a function before a call is carried out. What it raises comes in place of the call."""
        self._rules.append(_Rule(operation, "before", act, call, times))

    def after(
        self, operation: str | None, act: Callable[[], object], *, call: int = 1, times: int | None = 1
    ) -> None:
        """Run a function after a call was carried out. What it raises comes in place of the reply."""
        self._rules.append(_Rule(operation, "after", act, call, times))

    def fail(
        self,
        operation: str | None,
        error: BaseException | None = None,
        *,
        call: int = 1,
        times: int | None = 1,
    ) -> None:
        """Let a call fail before anything is done."""
        self.before(operation, _raising(error or StoreError("the store is down")), call=call, times=times)

    def lose_reply(
        self,
        operation: str | None,
        error: BaseException | None = None,
        *,
        call: int = 1,
        times: int | None = 1,
    ) -> None:
        """Carry a call out, and let it fail."""
        self.after(operation, _raising(error or StoreError("the reply was lost")), call=call, times=times)

    def repeat(self, operation: str | None, *, call: int = 1, times: int | None = 1) -> None:
        """Carry a call out twice, with no other repeated call in between, and return the second reply."""
        self._rules.append(_Rule(operation, "again", lambda: None, call, times))

    def rest(self) -> None:
        """Step in no more."""
        self._rules.clear()

    # the store

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        self.calls.append(name)
        self.arguments.append((args, options))
        rules = self._due(name)
        for rule in rules:
            if rule.when == "before":
                rule.act()
        found = self._carry_out(name, args, options, again=any(rule.when == "again" for rule in rules))
        for rule in rules:
            if rule.when == "after":
                rule.act()
        return iter(found) if name in LISTINGS else found

    load = partialmethod(_call, "load")
    create = partialmethod(_call, "create")
    replace = partialmethod(_call, "replace")
    touch = partialmethod(_call, "touch")
    delete = partialmethod(_call, "delete")
    owned_by = partialmethod(_call, "owned_by")
    keys = partialmethod(_call, "keys")
    purge = partialmethod(_call, "purge")
    close = partialmethod(_call, "close")

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        return partial(self._call, name) if name in OPTIONAL else found

    def _carry_out(self, name: str, args: tuple[Any, ...], options: dict[str, Any], again: bool) -> Any:
        operation = getattr(self.store, name)
        if again:
            with self._lock:
                operation(*args, **options)
                return operation(*args, **options)
        found = operation(*args, **options)
        return list(found) if name in LISTINGS else found

    def _due(self, name: str) -> list[_Rule]:
        """Count a call for every rule about it, and return the rules whose turn it is."""
        due: list[_Rule] = []
        if not self._rules:  # and no lock, which a fork could find taken
            return due
        with self._lock:
            for rule in list(self._rules):
                if rule.operation in (None, name):
                    rule.call -= 1
                    if rule.call < 1:
                        due.append(rule)
                        rule.times = None if rule.times is None else rule.times - 1
                        if rule.times == 0:
                            self._rules.remove(rule)
        return due


def _raising(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise type(error)(*error.args)  # a new one, because an exception keeps what it went through alive

    return act


def failing(operation: str) -> StoreDouble:
    """Return a store in memory for which one operation always fails."""
    store = StoreDouble()
    store.fail(operation, times=None)
    return store
