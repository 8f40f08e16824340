"""The contract of stores: the memory store keeps it, and a store that breaks a clause is caught by that clause."""

from __future__ import annotations

from support.clock import Clock

from wsgisession.stores.memory import MemoryStore
from wsgisession.testing import StoreContract


class TestMemoryStore(StoreContract):
    """The memory store, with a clock that is told the time."""

    def make_store(self) -> MemoryStore:
        self.clock = Clock()
        return MemoryStore(clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class TestMemoryStoreWithTheRealClock(StoreContract):
    """The memory store as it is used: the contract then waits."""

    def make_store(self) -> MemoryStore:
        return MemoryStore()
