"""What the first release left in SQLite, Redis and PostgreSQL, and what it shared with Express, stays readable."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock
from support.docs import ROOT
from support.postgres_server import execute, shared_postgres
from support.redis_servers import shared_redis
from support.web import Site
from test_upgrade import CREATED, DATA, HTTP, KEY, PAYLOAD, SECRET

from wsgisession import express
from wsgisession.stores import PostgresStore, RedisStore, SQLiteStore
from wsgisession.stores.postgres import connector

# Never change these or the dumps in tests/data. The records: as Express wrote it last, and as Python did.
TOKEN = "s%3Aq8Jd_0sB-xW3vR1kZy7mLpT5nU2cAeFh.pS1lAyIq3ko7uLt2XQWry0XDR8bJ17yZ0GErA2IDyIg"
RECORD = "sess:q8Jd_0sB-xW3vR1kZy7mLpT5nU2cAeFh"
EXPRESS = {
    "Express' own": (
        '{"cookie":{"originalMaxAge":600000,"expires":"2025-11-24T21:10:00.000Z","httpOnly":true,"path":"/"},'
        '"user":"ada","cart":{"items":[1,"\\ud83d"]}}',
        None,
    ),
    "ours": (
        '{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/","sameSite":"lax"},'
        '"user":"ada","cart":{"items":[1,"\\ud83d"]},'
        '"wsgisession":{"version":1,"nonce":"96a5jLox","created":1764018000.0,"owner":"ada","persistent":true}}',
        "ada",
    ),
}


def dump(name: str) -> str:
    return (ROOT / "tests" / "data" / name).read_text(encoding="utf-8")


@pytest.fixture
def sqlite(tmp_path: Path) -> SQLiteStore:
    """A file of the first release."""
    connection = sqlite3.connect(tmp_path / "sessions.db")
    connection.executescript(dump("sqlite-1.0.sql"))
    connection.close()
    return SQLiteStore(tmp_path / "sessions.db", clock=Clock(CREATED + 60))


@pytest.fixture
def postgres() -> Iterator[PostgresStore]:
    """A table of the first release, its session an hour from its end."""
    url = shared_postgres().url
    for statement in dump("postgres-1.0.sql").split(";\n"):
        execute(statement)
    execute("UPDATE first_release SET expires = clock_timestamp() + interval '1 hour'")
    store = PostgresStore(connector(url), table="first_release")
    yield store
    store.close()


@pytest.fixture
def client() -> Iterator[Any]:
    with shared_redis().client(db=3) as client:
        client.flushdb()
        yield client


@pytest.fixture
def redis(client: Any) -> RedisStore:
    """The keys of the first release: a record, and the index of its owner."""
    client.set(f"wsgisession:{KEY}", PAYLOAD, ex=3600)
    client.zadd("wsgisession:owner:ada", {f"wsgisession:{KEY}": 4102444800000})
    return RedisStore(client)


@pytest.mark.parametrize("engine", ["sqlite", "redis", "postgres"])
def test_a_store_of_the_first_release(engine: str, request: pytest.FixtureRequest) -> None:
    """Its session is read, found by its owner, and written to, as it is."""
    site = Site(request.getfixturevalue(engine), secret=SECRET, clock=Clock(CREATED + 60))
    assert site.request(lambda s: (s.copy(), s.owner), HTTP).result == (DATA, "ada")
    assert [info.key for info in site.manager.owned_by("ada")] == [KEY]
    site.request(lambda s: s.update(views=8), HTTP)
    assert site.read(HTTP) == {**DATA, "views": 8} and site.live() == [KEY]


@pytest.mark.parametrize(("record", "owner"), EXPRESS.values(), ids=EXPRESS)
def test_a_record_shared_with_express(record: str, owner: str | None, client: Any) -> None:
    """And its cookie: the items are there, and a write keeps what it does not know."""
    client.set(RECORD, record, ex=600)
    site = Site(secret=SECRET, clock=Clock(CREATED + 60), **express.options(client))
    items = {"user": "ada", "cart": {"items": [1, "\ud83d"]}}
    assert site.request(lambda s: (s.copy(), s.owner), f"connect.sid={TOKEN}").result == (items, owner)
    site.request(lambda s: s.update(views=8), f"connect.sid={TOKEN}")
    after = json.loads(client.get(RECORD))
    assert after["wsgisession"]["version"] == 1
    assert after == {**json.loads(record), "views": 8, "wsgisession": after["wsgisession"]}
