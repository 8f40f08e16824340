"""A new, empty store of each kind, for tests of what must hold in all of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.postgres_server import shared_postgres
from support.redis_servers import shared_redis

from wsgisession import MemoryStore, Store
from wsgisession.stores import PostgresStore, RedisStore, SQLiteStore

EVERY = ("memory", "SQLite", "Redis", "PostgreSQL")

_numbers = itertools.count()


@contextmanager
def new_store(kind: str, place: Path) -> Iterator[Store]:
    """Open a store of this kind; the test is skipped if its server cannot be started.

    Args:
        place: a directory for what the store keeps in files.
    """
    name = f"every_{os.getpid()}_{next(_numbers)}"
    if kind == "memory":
        yield MemoryStore()
    elif kind == "SQLite":
        store = SQLiteStore(place / "sessions.db")
        yield store
        store.close()
    elif kind == "Redis":
        with shared_redis().client() as client:
            yield RedisStore(client, prefix=f"{name}:")
    else:
        import psycopg

        url = shared_postgres().url
        postgres = PostgresStore(lambda: psycopg.connect(url), table=name)
        yield postgres
        postgres.close()  # its table goes with the server
