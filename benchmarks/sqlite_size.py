"""How many bytes of a SQLite file a session takes: ``python -m benchmarks.sqlite_size [SESSIONS]``.

New: sessions that were created one after the other. Used: ten times, each was written in random order, or
ended while another one began (a tenth of them). So its pages are as full as in a file in long use.

Knows what a store promises, and nothing of its table.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path

from wsgisession.stores import SQLiteStore

TTL = 7200.0
ROUNDS = 10


def measured(sessions: int, size: int, owned: bool, directory: Path) -> tuple[float, float]:
    """Return the bytes for each session, new and used."""
    store = SQLiteStore(directory / f"{size}-{owned}.db", synchronous="OFF")
    held: dict[str, bytes] = {}

    def begin() -> None:
        key = urlsafe_b64encode(os.urandom(32))[:43].decode()
        held[key] = os.urandom(size)
        store.create(key, held[key], TTL, owner(key))

    def owner(key: str) -> str | None:
        return f"user-{hash(key) % (sessions // 2):08d}" if owned else None

    for _ in range(sessions):
        begin()
    new = _bytes(store) / len(held)
    for _ in range(ROUNDS):
        keys = list(held)
        random.shuffle(keys)
        for number, key in enumerate(keys):
            if number % ROUNDS:
                before, held[key] = held[key], os.urandom(size)
                assert store.replace(key, before, held[key], TTL if number % 7 else None, owner(key))
            else:
                assert store.delete(key, held.pop(key))
                begin()
    used = _bytes(store) / len(held)
    store.close()
    return new, used


def _bytes(store: SQLiteStore) -> int:
    """Return the size of the file after its log was copied back, as when all programs have closed it."""
    store.close()
    return os.path.getsize(store.path)


def main() -> None:
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(f"bytes of the file for each of {sessions:,} sessions")
    print(f"{'payload':>8}  {'owner':5}  {'new':>6}  {'used':>6}")
    with tempfile.TemporaryDirectory() as directory:
        for size in (100, 250, 1000):
            for owned in (False, True):
                new, used = measured(sessions, size, owned, Path(directory))
                print(f"{size:>8}  {'yes' if owned else 'no':5}  {new:6.0f}  {used:6.0f}")


if __name__ == "__main__":
    main()
