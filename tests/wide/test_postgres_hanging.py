"""A PostgreSQL whose processes are stopped where they are: who waits, for how long, and what happens when they go on."""

from __future__ import annotations

import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import postgres_server
from support.postgres_fixtures import private
from support.postgres_server import PgBouncer, Postgres, created, find_program

from wsgisession.errors import StoreError
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_payload

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the server's processes are found in /proc"
    ),
]
FIXTURES = (private,)  # by this name pytest finds it here


@pytest.fixture(params=["own", "pool", "pgbouncer"])
def connect(request: pytest.FixtureRequest, private: Postgres) -> Iterator[Any]:
    """What the store is given."""
    if request.param == "own":
        yield connector(private.url)
    elif request.param == "pool":
        from psycopg_pool import ConnectionPool

        with ConnectionPool(private.url, min_size=1, max_size=4, open=True) as pool:
            yield pool
    else:
        if find_program("pgbouncer") is None:
            pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
        bouncer = PgBouncer(private)
        yield connector(bouncer.url)
        private.hang(signal.SIGCONT)
        bouncer.close()


def took(call: Callable[[], object]) -> float:
    """Return the seconds until a call ended with a StoreError."""
    start = time.monotonic()
    with pytest.raises(StoreError):
        call()
    return time.monotonic() - start


def test_a_server_that_hangs(private: Postgres, connect: Any) -> None:
    """One time-out; then of four seconds two thirds at most are spent waiting; and within two seconds all is well."""
    store = PostgresStore(connect, timeout=1.0)
    key, payload = created(store)
    private.hang()
    assert 0.9 < took(lambda: store.load(key)) < 4
    start = time.monotonic()
    waits = []
    while time.monotonic() < start + 4:
        waits.append(took(lambda: store.load(key)))
        time.sleep(0.01)
    assert sum(waits) < 2.7 and statistics.median(waits) < 0.1
    private.hang(signal.SIGCONT)
    back = time.monotonic()
    while True:
        try:
            found = store.load(key)
            break
        except StoreError:
            time.sleep(0.01)
    assert time.monotonic() - back < 2
    assert found is not None and found[0] == payload
    fresh = new_payload()
    assert store.replace(key, payload, fresh, None) is True
    store.close()
