"""PostgreSQL and PgBouncer stopped, crashed and started again under load, and many processes at once."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import postgres_server
from support.children import run_program
from support.load import Load
from support.postgres_contract import PostgresContract
from support.postgres_fixtures import private
from support.postgres_server import (
    PgBouncer,
    Postgres,
    created,
    find_program,
    shared_pgbouncer,
    shared_postgres,
    until,
)
from support.proxy import Proxy

from wsgisession.stores import postgres_pipeline
from wsgisession.stores.postgres import PostgresStore, connector

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
needs_pgbouncer = pytest.mark.skipif(
    find_program("pgbouncer") is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"
)
FIXTURES = (private,)  # by this name pytest finds it here
numbers = itertools.count()


@needs_pgbouncer
class TestPgBouncer(PostgresContract):
    """Through PgBouncer in transaction mode: each transaction may meet another of two server connections."""

    def connect(self) -> Any:
        return connector(shared_pgbouncer().url)


class TestPool(PostgresContract):
    """The caller's pool, with nothing set."""

    @pytest.fixture(autouse=True)
    def take_pool(self) -> Iterator[None]:
        with make_pool(shared_postgres().url) as self.pool:
            yield

    def connect(self) -> Any:
        return self.pool


@needs_pgbouncer
def test_an_interrupted_operation_leaves_no_reply_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception while a reply is awaited, and the next client gets its own: PgBouncer lends no connection that owes one."""
    ready = postgres_pipeline._ready

    def interrupted(*arguments: Any) -> bool:
        monkeypatch.setattr(postgres_pipeline, "_ready", ready)
        raise KeyboardInterrupt

    with ExitStack() as stack:
        slow = stack.enter_context(Proxy(shared_postgres().port))
        bouncer = PgBouncer(slow)
        stack.callback(bouncer.close)
        store = PostgresStore(connector(bouncer.url), table=f"interrupted_{next(numbers)}")
        stack.callback(store.close)
        key, payload = created(store)
        slow.delay = 0.03  # so that two replies, if two were asked for, come one after the other
        for _ in range(3):
            monkeypatch.setattr(postgres_pipeline, "_ready", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.touch(key, 60)
            assert (store.load(key) or (None,))[0] == payload


def make_pool(url: str, **options: Any) -> Any:
    from psycopg_pool import ConnectionPool

    return ConnectionPool(url, min_size=1, max_size=6, open=True, **options)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast shutdown", "crash"])
@pytest.mark.parametrize("kind", ["own", "pool"])
def test_a_restart_under_load(private: Postgres, kind: str, how: int) -> None:
    """While the server is away every write fails in bounded time; then all go on, and no acknowledged write is lost."""
    connect = (
        connector(private.url) if kind == "own" else make_pool(private.url, kwargs={"connect_timeout": 2})
    )
    store = PostgresStore(connect, timeout=1.0)
    load = Load(store, 4)
    load.progresses()
    for _ in range(2):
        errors = sum(load.errors)
        private.stop(how)
        until(lambda errors=errors: sum(load.errors) >= errors + 4)  # type: ignore[misc]
        private.start()
        load.progresses()
    load.finish()
    assert load.slowest < 3.5 and sum(load.lost) == 0
    store.close()
    if kind == "pool":
        connect.close()  # type: ignore[attr-defined]


@needs_pgbouncer
@pytest.mark.parametrize("which", ["pgbouncer", "postgres"])
def test_a_restart_behind_or_of_pgbouncer(private: Postgres, which: str) -> None:
    """PgBouncer restarted, or the server behind it: the same."""
    bouncer = PgBouncer(private)
    try:
        load = Load(store := PostgresStore(connector(bouncer.url), timeout=1.0), 4)
        load.progresses()
        server: Any = bouncer if which == "pgbouncer" else private
        server.stop()
        until(lambda: any(load.errors))
        server.start()
        load.progresses()
        load.finish()
        assert sum(load.lost) == 0
        store.close()
    finally:
        bouncer.close()


def test_greenlets_wait_side_by_side() -> None:
    """Under gevent, waiting for the server lets other greenlets run: two waits of half a second take half a second."""
    program = """
from gevent import monkey; monkey.patch_all()
import sys, time
import gevent, psycopg
from wsgisession.errors import StoreError
from wsgisession.stores import postgres_pipeline
from wsgisession.stores.postgres import PostgresStore, connector
store = PostgresStore(connector(sys.argv[1]), table=sys.argv[2], timeout=0.5)
store.create("key", b"payload", 60)
def wait():
    try:
        store.touch("key", 60)
    except StoreError as error:
        return str(error)
with psycopg.connect(sys.argv[1]) as holder:
    holder.execute(f"SELECT 1 FROM {sys.argv[2]} FOR UPDATE")
    start = time.monotonic()
    jobs = gevent.joinall([gevent.spawn(wait) for _ in range(4)])
    took = time.monotonic() - start
assert all("statement timeout" in job.value for job in jobs), [job.value for job in jobs]
assert 0.4 < took < 0.9, took
store.close()
"""
    pytest.importorskip("gevent")
    table = f"greenlets_{next(numbers)}"
    run_program(program, shared_postgres().url, table)


@pytest.mark.parametrize("kind", ["own", "pool"])
def test_greenlets_that_are_timed_out(kind: str) -> None:
    """gevent.Timeout at any moment: nobody gets another's answer, no acknowledged write is lost, and no connection."""
    program = """
from gevent import monkey; monkey.patch_all()
import os, random, sys, time
import gevent, psycopg, psycopg_pool
from wsgisession.stores import postgres_pipeline
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_key, new_payload
url, table, kind = sys.argv[1:]
pool = psycopg_pool.ConnectionPool(url, min_size=2, max_size=4, open=True) if kind == "pool" else None
store = PostgresStore(pool or connector(url), table=table, timeout=30)
keys = [new_key() for _ in range(8)]
held = {key: {new_payload(key.encode())} for key in keys}
for key in keys:
    assert store.create(key, *held[key], 600)
stopped = 0
def work(key, end):
    global stopped
    while time.monotonic() < end:
        old = next(iter(held[key]))
        new = new_payload(key.encode())
        try:
            with gevent.Timeout(random.choice([None, 0.0005, 0.001, 0.002, 0.005, 0.02])):
                held[key] = {old, new}
                if store.replace(key, old, new, None):
                    held[key] = {new}
        except gevent.Timeout:
            stopped += 1
        found = store.load(key)
        assert found[0] in held[key] and key.encode() in found[0], (found, held[key])
        held[key] = {found[0]}
end = time.monotonic() + 5
jobs = gevent.joinall([gevent.spawn(work, key, end) for key in keys])
assert all(job.successful() for job in jobs), [job.exception for job in jobs]
assert stopped > 50, stopped
places = 4 if pool else 10
with psycopg.connect(url) as holder:
    holder.execute(f"LOCK TABLE {table}")
    jobs = [gevent.spawn(store.load, key) for key in keys * 2]
    blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(url, autocommit=True) as other:
        deadline = time.monotonic() + 20
        while other.execute(blocked).fetchone()[0] < places and time.monotonic() < deadline:
            gevent.sleep(0.01)
        assert other.execute(blocked).fetchone()[0] == places
gevent.joinall(jobs)
assert all(job.value for job in jobs)
store.close()
os._exit(0)
"""
    pytest.importorskip("gevent")
    table = f"timed_out_{next(numbers)}"
    run_program(program, shared_postgres().url, table, kind)
