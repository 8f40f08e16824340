"""What the Redis store sends: how many round trips, in which order, always with an expiry; and the owner
index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.proxy import Proxy
from support.redis_contract import OPERATIONS, index_of, name_of, new_prefix, use_everything
from support.redis_fixtures import client, store
from support.redis_servers import shared_redis

from wsgisession.stores import redis as module
from wsgisession.stores.redis import MARGIN, RedisStore
from wsgisession.stores.redis_script import DIGEST
from wsgisession.testing import new_key, new_payload

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))
FIXTURES = client, store  # by these names pytest finds them here

MINUTE = MARGIN / 1000


class watching:
    """Collects what the server executes, also inside scripts, as ``command arguments …`` in lower case
    letters.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def __enter__(self) -> Callable[[], list[str]]:
        self.monitor = self.client.monitor().__enter__()
        return self.sent

    def sent(self) -> list[str]:
        self.client.echo("the end")
        lines: list[str] = []
        for command in self.monitor.listen():
            line = str(command["command"])
            if "the end" in line:
                return lines
            name, _, rest = line.partition(" ")
            lines.append(f"{name.lower()} {rest}")
        raise AssertionError("the monitor ended")

    def __exit__(self, *exc_info: object) -> None:
        # Left open, so that what was seen can be read after the block; the client closes it.
        pass


# What it costs


@pytest.fixture
def counted() -> Iterator[tuple[Proxy, RedisStore]]:
    """A store behind a proxy that counts round trips, with its connection open and the script loaded."""
    with Proxy(shared_redis().port) as proxy, shared_redis().client(port=proxy.port) as client:
        store = RedisStore(client, new_prefix())
        store.load(new_key())
        yield proxy, store


LISTINGS = ("owned_by", "keys", "count", "clear")
CALLS: dict[str, Callable[[RedisStore, str, bytes], Any]] = {
    "load of nothing": lambda store, key, old: store.load(new_key()) is None,
    "owned_by nobody": lambda store, key, old: list(store.owned_by("nobody")) == [],
    **{name: operation for name, operation in OPERATIONS.items() if name not in LISTINGS},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_every_operation_is_one_round_trip(
    counted: tuple[Proxy, RedisStore], call: Callable[..., Any]
) -> None:
    """One turn from request to reply, index included."""
    proxy, store = counted
    key, payload = created(store, 60, "ada")
    proxy.round_trips = 0
    assert call(store, key, payload)
    assert (proxy.round_trips, proxy.connections) == (1, 1)


def test_a_listing_asks_page_by_page(
    counted: tuple[Proxy, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """owned_by: one round trip for the index, and one for each page of records."""
    monkeypatch.setattr(module, "PAGE", 3)
    proxy, store = counted
    keys = {created(store, 60, "ada")[0] for _ in range(7)}
    proxy.round_trips = 0
    assert set(store.owned_by("ada")) == keys
    assert proxy.round_trips == 1 + 3


def test_a_thousand_are_one_page(client: Any, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """load_many: a thousand keys are one pipeline of the client's, one more is another; no keys are none."""
    pipelines: list[Any] = []
    real = client.pipeline

    def pipeline(*args: Any, **options: Any) -> Any:
        pipelines.append(options)
        return real(*args, **options)

    monkeypatch.setattr(client, "pipeline", pipeline)
    keys = [created(store)[0] for _ in range(1001)]
    assert all(store.load_many(keys[:1000]))
    assert pipelines == [{"transaction": False}]
    assert all(store.load_many(keys))
    assert len(pipelines) == 3
    assert store.load_many([]) == [] and len(pipelines) == 3


# The script


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_flushed_script_is_loaded_again(client: Any, store: RedisStore, call: Callable[..., Any]) -> None:
    """Where the server has forgotten the script an operation brings it along, also in a pipeline; nothing
    goes wrong.
    """
    key, payload = created(store, 60, "ada")
    client.script_flush()
    assert call(store, key, payload)
    assert client.script_exists(DIGEST) == [True]


def test_a_flush_between_index_and_record_loses_neither(client: Any, store: RedisStore) -> None:
    """After a flush the index is still written first, and the record after it."""
    with watching(client) as sent:
        client.script_flush()
        key, _ = created(store, 60, "ada")
    assert [line.split()[0] for line in sent() if line.split()[0] in ("zadd", "set")] == ["zadd", "set"]
    assert list(store.owned_by("ada")) == [key]


# What it sends


def test_an_expiry_is_always_set_with_the_value(client: Any, store: RedisStore) -> None:
    """Every SET carries its PX; there is no command between which a crash would leave a record for ever."""
    with watching(client) as sent:
        key, payload = created(store, 60)
        assert store.replace(key, payload, new_payload(), 90.5) is True
        assert store.create(key, new_payload(), 60) is False
        assert store.touch(key, 30) is True
    commands = [line for line in sent() if name_of(store, key) in line and not line.startswith("evalsha")]
    sets = [line.split() for line in commands if line.startswith("set ")]
    assert [line[4:] for line in sets] == [["PX", "60000", "NX"], ["PX", "90500"], ["PX", "60000", "NX"]]
    assert [line.split()[0] for line in commands if "expire" in line] == ["pexpire"]
    assert client.pttl(name_of(store, key)) <= 30_000


def test_a_plain_write_sends_neither_expiry_nor_owner(client: Any, store: RedisStore) -> None:
    """With ``ttl=None`` one SET that keeps the expiry is all; no index is looked at."""
    key, payload = created(store, 60, "ada")
    with watching(client) as sent:
        assert store.replace(key, payload, new_payload(), None, "ada") is True
    commands = [line.split() for line in sent() if not line.startswith(("evalsha", "hello", "client"))]
    assert [line[0] for line in commands] == ["get", "set"]
    assert commands[1][-1] == "KEEPTTL"


def test_reads_write_nothing(client: Any, store: RedisStore) -> None:
    """load, keys and owned_by send no command that changes anything."""
    created(store, 60, "ada")
    with watching(client) as sent:
        list(map(store.load, store.keys()))
        assert len(list(store.owned_by("ada"))) == 1
    seen = {line.split()[0] for line in sent()}
    assert seen <= {"evalsha", "get", "pttl", "exists", "time", "zrangebyscore", "scan", "hello", "client"}


# The owner index

WRITES: dict[str, Callable[[RedisStore, str, bytes], bool]] = {
    "create": lambda store, key, old: store.create(new_key(), new_payload(), 120, "ada"),
    "replace": lambda store, key, old: store.replace(key, old, new_payload(), 120, "ada"),
    "touch": lambda store, key, old: store.touch(key, 120, "ada"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_the_index_comes_before_the_record(
    client: Any, store: RedisStore, write: Callable[..., bool]
) -> None:
    """A crash between the two leaves a name too many, never one too few."""
    record = created(store)
    with watching(client) as sent:
        assert write(store, *record) is True
    changes = [line.split()[0] for line in sent()]
    assert [change for change in changes if change in ("zadd", "set", "pexpire")][0] == "zadd"
    assert len(set(changes) & {"set", "pexpire"}) == 1


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_members_live_a_minute_longer(client: Any, store: RedisStore, write: Callable[..., bool]) -> None:
    """Member and index end a minute after the record would, by the server's clock; each write renews that."""
    record = created(store, 60, "ada")
    before = time.time()
    assert write(store, *record) is True
    after = time.time()
    index = index_of(store, "ada")
    latest = client.zrange(index, -1, -1, withscores=True)[0][1] / 1000
    assert before - 0.1 < latest - 120 - MINUTE < after + 0.1
    assert abs(client.pttl(index) / 1000 - 120 - MINUTE) < after - before + 1


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_member_is_only_ever_extended(client: Any, store: RedisStore, write: Callable[..., bool]) -> None:
    """Of two writers either may be the last to reach the record, so the later end counts; the index lasts as
    long.
    """
    record = created(store, 600, "ada")
    index = index_of(store, "ada")
    score, name = client.zscore(index, name_of(store, record[0])), name_of(store, record[0])
    assert write(store, *record) is True
    assert client.zscore(index, name) == score
    assert client.pttl(index) > 600_000


def test_a_member_whose_record_is_not_there_yet_stays(client: Any, store: RedisStore) -> None:
    """Between index and record others list and write: the record is listed as soon as it is there."""
    late = new_key()
    client.zadd(index_of(store, "ada"), {name_of(store, late): (time.time() + 60) * 1000})
    assert list(store.owned_by("ada")) == []
    other, _ = created(store, 60, "ada")
    assert list(store.owned_by("ada")) == [other]
    assert store.create(late, new_payload(), 60) is True
    assert set(store.owned_by("ada")) == {late, other}


def test_what_is_overdue_leaves_with_the_next_write(client: Any, store: RedisStore) -> None:
    """Members leave by their own expiry: they are not listed any more, and the next write removes them."""
    index = index_of(store, "ada")
    overdue = name_of(store, created(store)[0])
    client.zadd(index, {overdue: time.time() * 1000 - 1})
    assert list(store.owned_by("ada")) == []
    assert client.zcard(index) == 1
    key, _ = created(store, 60, "ada")
    assert client.zrange(index, 0, -1) == [name_of(store, key).encode()]


def test_delete_leaves_the_member_to_expire(client: Any, store: RedisStore) -> None:
    """A deleted record is not listed; its member goes when it is due."""
    key, _ = created(store, 60, "ada")
    assert store.delete(key) is True
    assert list(store.owned_by("ada")) == []
    assert client.zcard(index_of(store, "ada")) == 1


def test_an_index_can_be_kept_longer(client: Any) -> None:
    """``listed_for``: where another program moves the expiry of records, their owner's listing must not end
    before.
    """
    store = RedisStore(client, new_prefix(), listed_for=3600)
    key, _ = created(store, 60, "ada")
    assert abs(client.pttl(index_of(store, "ada")) / 1000 - 3600 - MINUTE) < 5
    assert 50 < client.pttl(name_of(store, key)) / 1000 <= 60


def test_clear_removes_what_is_under_the_prefix(client: Any, store: RedisStore) -> None:
    """Records of other prefixes stay; an owner's listing stays too, because it may name a record of this
    moment.
    """
    other = RedisStore(client, new_prefix())
    key, _ = created(other, 60, "ada")
    created(store, 60, "ada")
    assert (store.count(), store.clear(), store.count()) == (1, 1, 0)
    assert list(other.owned_by("ada")) == list(other.keys()) == [key]
    assert list(client.scan_iter(match=f"{store.prefix}*")) == [index_of(store, "ada").encode()]


OWNERS = ["a b", "a%20b", "a+b", "a:b", "{a}b", "owner:", "\N{SNOWMAN}", "*", "a/b", "A b"]


def test_owners_have_an_index_each(client: Any, store: RedisStore) -> None:
    """No two names share one, however alike they look when they are quoted."""
    keys = {owner: created(store, 60, owner)[0] for owner in OWNERS}
    names = b"".join(client.scan_iter(match=f"{store.prefix}owner:*"))
    assert not set(b"{}* ") & set(names)  # braces would choose the node of a Cluster
    assert {owner: list(store.owned_by(owner)) for owner in OWNERS} == {
        owner: [key] for owner, key in keys.items()
    }
    assert sorted(store.keys()) == sorted(keys.values())


def test_a_prefix_is_no_pattern(client: Any) -> None:
    """Stars, question marks and brackets in a prefix stand for themselves: no other store's records are
    listed.
    """
    strange, plain = RedisStore(client, "wsgisession:[a]*?\\:"), RedisStore(client, "wsgisession:axx\\:")
    keys = [created(store)[0] for store in (strange, plain)]
    assert [list(strange.keys()), list(plain.keys())] == [keys[:1], keys[1:]]
    for one, key in zip((strange, plain), keys, strict=True):
        one.delete(key)


def test_answers_never_come_from_the_clients_cache(client: Any, store: RedisStore) -> None:
    """The store sends no command whose replies redis-py would keep on the client's side."""
    from redis.cache import CacheConfig

    with watching(client) as sent:
        use_everything(store)
    names = {line.split()[0].upper() for line in sent() if not line.startswith("echo")}
    assert {"EVALSHA", "SCAN"} <= names
    assert not any(CacheConfig().is_allowed_to_cache(name) for name in ("EVALSHA", "EVAL", "SCAN"))
    assert CacheConfig().is_allowed_to_cache("GET")
