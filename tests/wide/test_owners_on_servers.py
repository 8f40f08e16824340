"""Owners and revocation on real servers: Redis, alone and as a Cluster, and PostgreSQL."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.owners import Owners
from support.postgres_server import execute, shared_postgres
from support.redis_servers import shared_cluster, shared_redis
from support.web import SECRET

from wsgisession import JSONCodec, Record, SessionManager
from wsgisession.stores import PostgresStore, RedisStore
from wsgisession.stores.postgres import connector
from wsgisession.stores.postgres_table import OWNED_BY
from wsgisession.testing import new_key

pytestmark = pytest.mark.wide

FEW, MANY = 1_000, 100_000
PAYLOAD = JSONCodec().pack(Record(0.0, "other", False, {}))
numbers = itertools.count()


class TestRedis(Owners):
    """One server."""

    def client(self) -> Any:
        return shared_redis().client()

    def make_store(self, place: Path) -> RedisStore:
        self.prefix = f"owners{next(numbers)}:"
        return RedisStore(self.client(), prefix=self.prefix)

    def clear(self) -> None:
        """Empty the index too, which names the tombstones of a round for a minute."""
        client = self.client()
        for name in list(client.scan_iter(f"{self.prefix}*", 1000)):
            client.delete(name)


class TestRedisCluster(TestRedis):
    """Index and record on different nodes."""

    def client(self) -> Any:
        return shared_cluster().client()


class TestPostgres(Owners):
    """One table."""

    def make_store(self, place: Path) -> PostgresStore:
        return PostgresStore(connector(shared_postgres().url), table=f"owners_{next(numbers)}")


class Halves:
    """The way to a server on which a test steps in between the index and the record."""

    between: Any = None

    def __init__(self, way: Any) -> None:
        self.way = way

    def __getattr__(self, name: str) -> Any:
        return getattr(self.way, name)

    def run_in_order(self, commands: Any) -> list[Any]:
        first = self.way.run(commands[0])
        step, self.between = self.between, None
        if step is not None:
            step()
        return [first, *(self.way.run(command) for command in commands[1:])]


@pytest.mark.parametrize("again", [False, True], ids=["one revocation", "and another"])
def test_a_revocation_between_the_index_and_the_record(again: bool) -> None:
    """The session was stored after it and lives, its index is still there, and the next revocation ends it."""
    store = RedisStore(shared_redis().client(), prefix=f"halves{next(numbers)}:")
    store._transport = halves = Halves(store._transport)  # nothing else gets in between the two
    manager = SessionManager(store, secret=SECRET)
    halves.between = lambda: manager.destroy_owned("ada")
    manager.issue({}, "ada")
    assert len(manager.owned_by("ada")) == 1
    if again:
        assert manager.destroy_owned("ada") == 1 and manager.owned_by("ada") == []


def commands(client: Any) -> dict[str, int]:
    """Return how often the server has carried out each command."""
    return {name: values["calls"] for name, values in client.info("commandstats").items()}


def test_on_redis_a_listing_costs_what_the_owners_sessions_cost() -> None:
    """As many commands among 100,000 sessions as among 1,000, and none that walks through keys."""
    client = shared_redis().client()
    spent = []
    for count in (FEW, MANY):
        prefix = f"crowd{next(numbers)}:"
        store = RedisStore(client, prefix=prefix)
        manager = SessionManager(store, secret=SECRET)
        pipeline = client.pipeline(transaction=False)
        for _ in range(count):
            pipeline.set(prefix + new_key(), PAYLOAD, px=600_000)
        pipeline.execute()
        for _ in range(3):
            manager.issue({}, "ada")
        before = Counter(commands(client))
        assert len(manager.owned_by("ada")) == 3
        spent.append(Counter(commands(client)) - before - Counter(cmdstat_info=1))
        client.flushdb()
    assert spent[0] == spent[1]
    assert not {"cmdstat_scan", "cmdstat_keys"} & set(spent[1])
    assert sum(spent[1].values()) <= 3 + 3 * 5  # the index; per session: does it exist, and what does it say


def test_on_postgresql_a_listing_uses_the_index() -> None:
    """Among 100,000 sessions the very statement reads the owner's rows through the index, and no other."""
    table = f"crowd_{next(numbers)}"
    store = PostgresStore(connector(shared_postgres().url), table=table)
    manager = SessionManager(store, secret=SECRET)
    for _ in range(3):
        manager.issue({}, "ada")
    execute(
        f"INSERT INTO {table} (key, payload, expires, owner)"
        f" SELECT 'k' || n, '', now() + interval '1 hour', convert_to('owner ' || n / 100, 'UTF8')"
        f" FROM generate_series(1, {MANY}) AS n"
    )
    execute(f"ANALYZE {table}")
    sql = OWNED_BY.format(table=table, page=1000).replace("$1", "''").replace("$2", "'ada'::bytea")
    plan = "\n".join(line for (line,) in execute(f"EXPLAIN ANALYZE {sql}"))
    assert f"{table}_owner" in plan and "Seq Scan" not in plan and "Rows Removed" not in plan
    assert {float(rows) for rows in re.findall(r"actual time=\S+ rows=(\S+)", plan)} == {3}
    store.close()
