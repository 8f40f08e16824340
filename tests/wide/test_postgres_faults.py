"""PostgreSQL and PgBouncer stopped, crashed and started again under load, and many processes at once."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from support import postgres_server
from support.postgres_contract import PostgresContract
from support.postgres_server import (
    PgBouncer,
    Postgres,
    created,
    execute,
    find_program,
    shared_pgbouncer,
    shared_postgres,
)
from support.proxy import Proxy

from wsgisession.errors import StoreError
from wsgisession.stores import postgres_pipeline
from wsgisession.stores.postgres import PostgresStore, connector
from wsgisession.testing import new_key, new_payload

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing())),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
needs_pgbouncer = pytest.mark.skipif(
    find_program("pgbouncer") is None, reason="PgBouncer is not installed (Debian: apt-get install pgbouncer)"
)
numbers = itertools.count()
RECOVERY = 20.0  # seconds after which everything works again
LEVELS = {"repeatable read": 3, "serializable": 4}


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


def in_children(jobs: list[Callable[[], None]]) -> list[int]:
    """Run jobs at once, each in a forked process that waits for all the others; return their exit codes."""
    go, gone = os.pipe()
    children = []
    for job in jobs:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(60)
                os.close(gone)
                os.read(go, 1)  # the parent closes its end
                job()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        children.append(child)
    os.close(go)
    os.close(gone)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def in_threads(jobs: list[Callable[[], None]]) -> None:
    """Run jobs in threads and let the first of their errors go on."""
    errors: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)


def count_up(store: PostgresStore, key: str, times: int) -> None:
    """Add one to the number in a record, so many times, while others do the same."""
    while times:
        found = store.load(key)
        assert found is not None
        fresh = new_payload(b"%d " % (int(found[0].split()[0]) + 1))
        times -= store.replace(key, found[0], fresh, 600)


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS.keys())
def test_strict_callers_lose_no_update(level: int) -> None:
    """Four processes of four threads each count in one record, through pools under a strict isolation level: exactly."""
    table = f"strict_{next(numbers)}"

    def configure(connection: Any) -> None:
        connection.isolation_level = level

    with make_pool(shared_postgres().url, configure=configure) as pool:
        store = PostgresStore(pool, table=table, timeout=20)
        key = new_key()
        assert store.create(key, new_payload(b"0 "), 600) is True
        job = partial(in_threads, [partial(count_up, store, key, 15)] * 4)
        assert in_children([job] * 4) == [0] * 4
        found = store.load(key)
        assert found is not None and int(found[0].split()[0]) == 4 * 4 * 15


def test_eight_processes_create_the_table_at_once() -> None:
    """Any number of processes may be the first, and all of them work at once."""
    for _ in range(15):
        table = f"first_{next(numbers)}"
        stores = [PostgresStore(connector(shared_postgres().url), table=table) for _ in range(8)]
        assert in_children([partial(use, store) for store in stores]) == [0] * 8
        assert execute(f"SELECT count(*) FROM {table}") == [(8,)]
        execute(f"DROP TABLE {table}")


def use(store: PostgresStore) -> None:
    key, payload = created(store, 600, "ada")
    assert (store.load(key) or (None,))[0] == payload
    assert key in store.owned_by("ada")


def test_no_lost_reply_does_harm() -> None:
    """Replies are eaten all the time: nothing is applied twice, nothing is lost."""
    table = f"eaten_{next(numbers)}"
    with Proxy(shared_postgres().port) as proxy:
        url = shared_postgres().url.replace(f":{shared_postgres().port}", f":{proxy.port}")
        store = PostgresStore(connector(url), table=table)
        key = new_key()
        payload = new_payload(b"0 ")
        assert store.create(key, payload, 600, "ada") is True
        for number in range(1, 101):
            proxy.eat = 1
            expected, payload = payload, new_payload(b"%d " % number)
            assert store.replace(key, expected, payload, 600, "ada") is True
            proxy.eat = 1
            assert store.touch(key, 600, "ada") is True
            proxy.eat = 1
            assert (store.load(key) or (None,))[0] == payload
            proxy.eat = 1
            assert created(store, 600, "bob")
        assert proxy.connections == 401
        assert len(list(store.owned_by("bob"))) == 100
        assert list(store.owned_by("ada")) == [key]
        store.close()


class Load:
    """Threads that write through a store, each to a record of its own, and keep account of every answer."""

    def __init__(self, store: PostgresStore, threads: int) -> None:
        self.store = store
        self.stop = threading.Event()
        self.written = [0] * threads
        self.errors = [0] * threads
        self.slowest = 0.0
        self.wrong: list[BaseException] = []
        self.threads = [
            threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(threads)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, number: int) -> None:
        try:
            key, payload = created(self.store, 600)
            while not self.stop.is_set():
                fresh = new_payload()
                start = time.monotonic()
                try:
                    assert self.store.replace(key, payload, fresh, 600) is True
                except StoreError:
                    self.errors[number] += 1
                    self.slowest = max(self.slowest, time.monotonic() - start)
                    payload = self.settle(key, payload, fresh)
                else:
                    self.written[number] += 1
                    payload = fresh
        except BaseException as error:
            self.wrong.append(error)

    def settle(self, key: str, *possible: bytes) -> bytes:
        """After an error the record is as it was before, or as it should have become, as soon as it can be read."""
        while True:
            time.sleep(0.01)
            try:
                found = self.store.load(key)
            except StoreError:
                continue
            assert found is not None and found[0] in possible
            return found[0]

    def progresses(self) -> None:
        """Wait until every thread has written again."""
        before, deadline = list(self.written), time.monotonic() + RECOVERY
        while not all(now > then + 3 for now, then in zip(self.written, before, strict=True)):
            assert not self.wrong, self.wrong
            assert time.monotonic() < deadline, "no recovery"
            time.sleep(0.02)

    def finish(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(RECOVERY)
        assert self.wrong == []


@pytest.fixture
def private() -> Iterator[Postgres]:
    """A cluster that a test may stop."""
    server = Postgres()
    yield server
    server.close()


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
        deadline = time.monotonic() + 10
        while sum(load.errors) < errors + 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        private.start()
        load.progresses()
    load.finish()
    assert load.slowest < 3.5
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
        deadline = time.monotonic() + 10
        while not sum(load.errors):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.start()
        load.progresses()
        load.finish()
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
    command = [sys.executable, "-c", program, shared_postgres().url, table]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


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
    command = [sys.executable, "-c", program, shared_postgres().url, table, kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
