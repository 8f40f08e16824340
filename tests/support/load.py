"""Threads that write through a store while its servers are stopped, and keep account of what was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from wsgisession.errors import StoreError
from wsgisession.stores.base import Store
from wsgisession.testing import new_key, new_payload

RECOVERY = 30.0  # seconds after which everything works again


class Load:
    """One record per thread, replaced again and again; its payload says whose it is and how often it was replaced.

    Args:
        size: bytes that each payload has at least.

    Attributes:
        written: acknowledged writes, per thread.
        errors: StoreErrors, per thread.
        lost: acknowledged writes that the store went back behind, per thread. Every read and every failed swap is checked:
            what is found was written by this thread to this record, or the record is gone.
        slowest: seconds that the slowest StoreError took.
    """

    def __init__(self, store: Store, threads: int = 4, owner: str | None = None, size: int = 0) -> None:
        self.store = store
        self.owner = owner
        self.size = size
        self.stop = threading.Event()
        self.written = [0] * threads
        self.errors = [0] * threads
        self.lost = [0] * threads
        self.slowest = 0.0
        self.wrong: list[BaseException] = []
        self.threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)
        ]
        for thread in self.threads:
            thread.start()

    def _run(self, number: int) -> None:
        try:
            while not self.stop.is_set():
                self._live(number)
        except BaseException as error:
            self.wrong.append(error)

    def _live(self, number: int) -> None:
        """Lead one record's life, until the store has lost it or the test ends."""
        key, serial, payload = new_key(), 0, self._payload(number, 0)
        while not self._attempt(number, partial(self.store.create, key, payload, 600, self.owner)):
            if self.stop.is_set():
                return
        while not self.stop.is_set():
            fresh = self._payload(number, serial + 1)
            if self._attempt(number, partial(self.store.replace, key, payload, fresh, 600, self.owner)):
                self.written[number] += 1
                serial, payload = serial + 1, fresh
                continue
            found = self._look(key)
            if found is None:
                self.lost[number] += serial + 1
                return
            owner, at = (int(part) for part in found.split()[:2])
            assert owner == number and at <= serial + 1, (found, serial)
            assert at <= serial or found == fresh
            self.lost[number] += max(serial - at, 0)
            serial, payload = at, found

    def _payload(self, number: int, serial: int) -> bytes:
        return new_payload(b"%d %d " % (number, serial)) + bytes(self.size)

    def _attempt(self, number: int, call: Callable[[], bool]) -> bool:
        start = time.monotonic()
        try:
            return call()
        except StoreError:
            self.errors[number] += 1
            self.slowest = max(self.slowest, time.monotonic() - start)
            return False

    def _look(self, key: str) -> bytes | None:
        """Read until there is an answer."""
        deadline = time.monotonic() + RECOVERY
        while True:
            try:
                found = self.store.load(key)
            except StoreError:
                assert time.monotonic() < deadline, "no recovery"
                time.sleep(0.01)
            else:
                return found and found[0]

    def progresses(self, writes: int = 4) -> None:
        """Wait until every thread has written again, so many times."""
        before = list(self.written)
        self._until(
            lambda: all(now >= then + writes for now, then in zip(self.written, before, strict=True)),
            "no recovery",
        )

    def suffers(self) -> None:
        """Wait until the outage is noticed."""
        before = sum(self.errors)
        self._until(lambda: sum(self.errors) > before, "nobody has noticed")

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + RECOVERY
        while not condition():
            assert not self.wrong, self.wrong
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.02)

    def finish(self) -> str:
        """End the threads, raise here whatever was wrong, and say what the outage has cost."""
        self.stop.set()
        for thread in self.threads:
            thread.join(RECOVERY)
        assert self.wrong == []
        assert not any(thread.is_alive() for thread in self.threads)
        return (
            f"acknowledged writes: {sum(self.written)}, of these lost: {sum(self.lost)};"
            f" errors: {sum(self.errors)}, the slowest after {self.slowest:.1f} s"
        )
