"""The Redis store on a real Cluster: three masters, each with a replica."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import redis_servers
from support.load import Load
from support.postgres_server import created
from support.proxy import Proxy
from support.race_crews import Processes
from support.races import RACES
from support.redis_contract import OPERATIONS, RedisContract, answers, name_of, new_prefix, use_everything
from support.redis_servers import OneNodeCluster, RedisCluster, new_cluster, shared_cluster, until
from support.web import Site

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore
from wsgisession.stores.redis_script import DIGEST
from wsgisession.testing import new_key, new_payload

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing())),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


class TestCluster(RedisContract):
    """A client as a caller would make it."""

    pair: tuple[Any, ...] = ()

    def connect(self) -> Any:
        """Return one of two clients in turn, opened again where it was closed: to make one takes a while."""
        kind = type(self)
        kind.pair = kind.pair or (shared_cluster().client(), shared_cluster().client())
        kind.pair = kind.pair[::-1]
        return kind.pair[0]

    def admin(self) -> Any:
        self.clients.append(shared_cluster().client())
        return self.clients[-1]


@pytest.fixture
def store() -> Iterator[RedisStore]:
    """A store from a URL, under a prefix of its own."""
    store = from_url(f"{shared_cluster().url}?prefix={new_prefix()}")
    assert isinstance(store, RedisStore)
    yield store
    store.close()


@pytest.fixture
def private() -> Iterator[RedisCluster]:
    """A Cluster whose nodes a test may kill."""
    cluster = new_cluster()
    yield cluster
    cluster.close()


def test_a_decoding_client_is_refused() -> None:
    """Payloads are bytes on a Cluster too."""
    with pytest.raises(ValueError, match="decode_responses"):
        RedisStore(shared_cluster().client(decode_responses=True))


def test_an_asynchronous_cluster_client_is_refused() -> None:
    """As with a single server."""
    from redis.asyncio import RedisCluster

    with pytest.raises(TypeError, match="asynchronous"):
        RedisStore(RedisCluster(host="127.0.0.1", port=shared_cluster().nodes[0].port))


def test_flushed_scripts_are_loaded_again(store: RedisStore) -> None:
    """Each node gets the script when it turns out not to know it."""
    clients = [node.client() for node in shared_cluster().masters]
    for client in clients:
        client.script_flush()
    for _ in range(60):
        use_everything(store)
    assert [client.script_exists(DIGEST) for client in clients] == [[True]] * 3


@pytest.mark.filterwarnings("ignore:.*read_from_replicas:DeprecationWarning")
def test_answers_never_come_from_replicas() -> None:
    """They lag behind; even a client that was told to read from them does not do so for the store."""
    store = RedisStore(shared_cluster().client(read_from_replicas=True), new_prefix(), owns_client=True)
    for _ in range(20):
        use_everything(store)
    for node in shared_cluster().replicas:
        with node.client() as client:
            assert not {"cmdstat_evalsha", "cmdstat_eval"} & set(client.info("commandstats"))
    store.close()


def test_nothing_is_wrong_with_a_fresh_cluster(store: RedisStore) -> None:
    """``diagnose`` asks every master, and finds the one that would evict sessions."""
    assert [line[:24] for line in store.diagnose()] == ["Redis saves nothing to d"] * 3
    with shared_cluster().masters[2].client() as client:
        client.config_set("maxmemory", 2**30)
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert [line[:34] for line in store.diagnose()].count("maxmemory-policy is allkeys-lru: a") == 1
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")


# What it costs


class Counted:
    """A proxy in front of each node, and a store that reaches them only through these."""

    def __init__(self) -> None:
        self.proxies = {node.port: Proxy(node.port) for node in shared_cluster().nodes}
        client = shared_cluster().client(address_remap=lambda place: (place[0], self.proxies[place[1]].port))
        self.store = RedisStore(client, new_prefix(), owns_client=True)
        for _ in range(60):  # so that all connections are open, and every node knows the script
            use_everything(self.store)

    def take(self) -> int:
        """Return how many round trips there were since the last time."""
        count = 0
        for proxy in self.proxies.values():
            count += proxy.round_trips
            proxy.round_trips = 0
        return count


@pytest.fixture(scope="module")
def counted() -> Iterator[Counted]:
    counted = Counted()
    yield counted
    counted.store.close()
    for proxy in counted.proxies.values():
        proxy.__exit__(None, None, None)


COSTS: dict[str, int] = {
    **dict.fromkeys(("load", "create", "replace", "replace without a ttl", "touch", "delete"), 1),
    **dict.fromkeys(("create, owner", "replace, owner", "touch, owner"), 2),
}


@pytest.mark.parametrize(("name", "expected"), COSTS.items(), ids=COSTS)
def test_what_an_operation_costs(counted: Counted, name: str, expected: int) -> None:
    """One round trip, and one more where there is an owner: the index is on another node."""
    record = created(counted.store)
    counted.take()
    assert OPERATIONS[name](counted.store, *record)
    assert counted.take() == expected


def test_what_a_listing_costs(counted: Counted) -> None:
    """The index, and each of its records."""
    key, _ = created(counted.store, 60, "carol")
    counted.take()
    assert list(counted.store.owned_by("carol")) == [key]
    assert counted.take() == 2


def test_many_are_read_in_one_round_trip_for_each_node(counted: Counted) -> None:
    """load_many: keys of three nodes, in their order, three round trips."""
    records = [created(counted.store) for _ in range(20)]
    counted.take()
    found = counted.store.load_many([key for key, _ in records])
    assert [one and one[0] for one in found] == [payload for _, payload in records]
    assert counted.take() == 3


REQUESTS: dict[str, tuple[Callable[[Any], Any], str | None, int]] = {
    "read": (lambda session: session["a"], None, 1),
    "read, owner": (lambda session: session["a"], "ada", 1),
    "written": (lambda session: session.update(a=2), None, 2),
    "written, owner": (lambda session: session.update(a=2), "ada", 2),
    "begun, owner": (lambda session: setattr(session, "owner", "eve"), None, 4),
}


@pytest.mark.parametrize(("handler", "owner", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_what_a_request_costs(
    counted: Counted, handler: Callable[[Any], Any], owner: str | None, expected: int
) -> None:
    """A read is one round trip, a write two; an index is written with an expiry only."""
    site = Site(counted.store)
    cookie = site.start({"a": 1}, owner)
    counted.take()
    site.request(handler, cookie)
    assert counted.take() == expected


def test_no_lost_reply_does_harm(counted: Counted) -> None:
    """Each node swallows a reply again and again: nothing is applied twice, nothing is lost."""
    store = counted.store
    site = Site(store)
    cookie = site.start({"list": [], "count": 0}, "ada")

    def handler(number: int) -> Callable[[Any], None]:
        def append(session: Any) -> None:
            session["list"].append(number)
            for proxy in counted.proxies.values():
                proxy.eat = 1

        return append

    def count(session: Any) -> None:
        session.atomic(lambda session: session.update(count=session["count"] + 1))

    for number in range(10):
        site.request(handler(number), cookie)
        site.request(count, cookie)
    assert site.read(cookie) == {"list": list(range(10)), "count": 10}
    for proxy in counted.proxies.values():
        proxy.eat = 0


# Processes


def test_processes_race_on_a_cluster() -> None:
    """Four processes on one session, fifty rounds of each race: no anomaly."""
    crew = Processes(f"{shared_cluster().url}?prefix={new_prefix()}")
    try:
        for race in (
            "disjoint keys",
            "lists",
            "atomic counter",
            "destroy against save",
            "regenerate against save",
        ):
            cookies = RACES[race].issue(crew.site, 50)
            reports = crew.run(race, cookies, 50)
            assert RACES[race].anomalies(crew.site, cookies, reports) == []
    finally:
        crew.close()


# Failover


@pytest.mark.alone
def test_sessions_go_on_after_a_failover(private: RedisCluster) -> None:
    """A master killed under load: its keys fail until the replica has taken over, then all goes on; the
    others never stop.

    Acknowledged writes that the replica had not got yet are lost, and counted. Nothing else is ever found but
    what was written to that record.
    """
    store = from_url(f"{private.url}?socket_timeout=1&socket_connect_timeout=1")
    load = Load(store, 8, "ada")
    load.progresses()
    private.masters[0].stop(signal.SIGKILL)
    load.suffers()
    load.progresses()
    private.masters[0].start()
    until(private.is_whole, "the Cluster is whole again")
    load.progresses()
    print(load.finish())
    assert load.slowest < 20
    use_everything(RedisStore(store.client, new_prefix()))  # type: ignore[attr-defined]
    store.close()


@pytest.mark.alone
def test_a_planned_failover_loses_nothing(private: RedisCluster) -> None:
    """``CLUSTER FAILOVER``, as before an upgrade: the replica is in step first, so no acknowledged write is
    lost.
    """
    store = from_url(private.url)
    load = Load(store, 8, "ada")
    load.progresses()
    for replica in private.replicas:
        with replica.client() as client:
            client.execute_command("CLUSTER FAILOVER")
            until(
                lambda client=client: client.info("replication")["role"] == "master", "the replica takes over"
            )
        load.progresses()
    print(load.finish())
    assert sum(load.lost) == 0
    store.close()


@pytest.mark.alone
def test_a_slot_that_moves_takes_its_sessions_along(private: RedisCluster) -> None:
    """While a slot is on its way to another node, and afterwards, its records are found and written."""
    store = from_url(private.url)
    assert isinstance(store, RedisStore)
    key, payload = created(store, 60, "ada")
    name = name_of(store, key)
    slot = store.client.keyslot(name)
    number = next(n for n in range(3) if slot < redis_servers.SLOTS * (n + 1) // 3)
    source, target = (private.masters[n].client() for n in (number, (number + 1) % 3))
    ids = [client.execute_command("CLUSTER MYID").decode() for client in (source, target)]
    target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
    source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
    fresh = new_payload()
    assert store.replace(key, payload, fresh, 60, "ada") is True
    source.execute_command("MIGRATE", "127.0.0.1", private.masters[(number + 1) % 3].port, name, 0, 5000)
    found = store.load(key)
    assert found is not None and found[0] == fresh
    assert store.load_many([key, new_key()]) == [(fresh, pytest.approx(60, abs=5)), None]
    assert store.touch(key, 90, "ada") is True
    for client in (target, source):
        client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])
    assert store.replace(key, fresh, new_payload(), 60, "ada") is True
    assert list(store.owned_by("ada")) == [key]
    store.close()


@pytest.mark.alone
def test_a_lost_shard_is_an_error(private: RedisCluster) -> None:
    """A master and its replica gone: a StoreError in bounded time for operations that need them."""
    store = from_url(f"{private.url}?socket_timeout=0.5&socket_connect_timeout=0.5")
    use_everything(RedisStore(store.client, new_prefix()))  # type: ignore[attr-defined]
    for node in (private.masters[0], private.replicas[0]):
        node.stop(signal.SIGKILL)
    with pytest.raises(StoreError):
        for _ in range(60):
            store.load(new_key())
    store.close()


# A node, or all of them, that does not answer


def keys_by_master(store: Any, cluster: RedisCluster, count: int = 60) -> dict[int, list[str]]:
    """Return keys of records by the number of the master that has them."""
    found: dict[int, list[str]] = {}
    for key in (created(store, 600)[0] for _ in range(count)):
        port = store.client.get_node_from_key(name_of(store, key)).port
        found.setdefault([node.port for node in cluster.masters].index(port), []).append(key)
    return found


@pytest.mark.alone
def test_a_node_that_hangs_does_not_hold_up_the_others(private: RedisCluster) -> None:
    """A master stopped by SIGSTOP: its keys cost one time-out and fail at once then; the other masters' keys
    are there.
    """
    store = from_url(f"{private.url}?socket_timeout=0.5&socket_connect_timeout=0.5")
    keys = keys_by_master(store, private)
    for node in (private.masters[0], private.replicas[0]):
        node.signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match="no answer in time"):
        store.load(keys[0][0])
    start = time.monotonic()
    for key in keys[0][1:]:
        with pytest.raises(StoreError, match="not answer in time a moment ago|no answer in time"):
            store.load(key)
    assert time.monotonic() - start < 0.5 * len(keys[0][1:])
    for node in (private.masters[0], private.replicas[0]):
        node.signal(signal.SIGCONT)
    until(private.is_whole, "the Cluster is whole again")
    until(lambda: answers(store, keys[0][0]), "the node is asked again")
    assert all(store.load(key) for number in (1, 2) for key in keys[number])
    store.close()


@pytest.mark.alone
def test_a_cluster_that_hangs_costs_one_wait(private: RedisCluster) -> None:
    """All nodes stopped: after the first operation has found that out, all keys fail at once; then all are
    back.
    """
    store = from_url(f"{private.url}?socket_timeout=0.3&socket_connect_timeout=0.3")
    keys = keys_by_master(store, private)
    for node in private.nodes:
        node.signal(signal.SIGSTOP)
    with pytest.raises(StoreError):
        store.load(keys[0][0])
    for number in (0, 1, 2):
        with pytest.raises(StoreError, match="not answer in time a moment ago"):
            store.load(keys[number][1])
    for node in private.nodes:
        node.signal(signal.SIGCONT)
    until(private.is_whole, "the Cluster is whole again")
    until(lambda: all(answers(store, keys[number][0]) for number in (0, 1, 2)), "all nodes are asked again")
    store.close()


def test_a_cluster_that_is_gone_says_so() -> None:
    """No node takes a connection: each operation says that it was refused, and none waits."""
    cluster = OneNodeCluster()
    store = from_url(cluster.url)
    store.load(new_key())
    cluster.stop()
    for _ in range(3):
        with pytest.raises(StoreError, match="connection refused"):
            store.load(new_key())
    store.close()
    cluster.close()


# A Cluster that is not what redis-py last saw


@pytest.mark.alone
def test_a_redirection_tells_a_client_for_one_server(private: RedisCluster) -> None:
    """Who may not ask (no ``+info``) learns by the first key of another node what to write."""
    node = private.masters[0]
    node.user("shy", "+@all", "-info")
    store = RedisStore(node.client(username="shy", password="any"), new_prefix())
    seen = set()
    for _ in range(60):
        try:
            store.load(new_key())
        except StoreError as error:
            seen.add(str(error))
    assert seen == {
        "Redis: this server belongs to a Cluster; write redis+cluster://…, or pass a redis.RedisCluster"
        " (MovedError)"
    }


def test_a_slot_that_nobody_served_is_looked_for_again() -> None:
    """A slot without a server is a StoreError until it has one; the store finds that out by itself."""
    import redis

    cluster = OneNodeCluster()
    key = new_key()
    with cluster.client() as admin:
        slot = admin.execute_command("CLUSTER KEYSLOT", f"wsgisession:{key}")
        admin.config_set("cluster-require-full-coverage", "no")
        admin.execute_command("CLUSTER DELSLOTS", slot)
        node = redis.cluster.ClusterNode("127.0.0.1", cluster.port)
        store = RedisStore(
            redis.RedisCluster(startup_nodes=[node], require_full_coverage=False), owns_client=True
        )
        with pytest.raises(StoreError, match="slots have no server"):
            store.load(key)
        admin.execute_command("CLUSTER ADDSLOTS", slot)
        assert store.load(key) is None
    store.close()
    cluster.close()


@pytest.mark.alone
def test_pipelines_survive_a_failover(private: RedisCluster) -> None:
    """load_many after the keys' master has changed: each key is found, on any node."""
    store = from_url(private.url)
    keys = [key for keys in keys_by_master(store, private).values() for key in keys]
    store.load_many(keys)  # type: ignore[attr-defined]
    with private.replicas[0].client() as client:
        client.execute_command("CLUSTER FAILOVER")
        until(lambda: client.info("replication")["role"] == "master", "the replica takes over")
    until(private.is_whole, "the Cluster is whole again")
    assert all(store.load_many(keys))  # type: ignore[attr-defined]
    private.masters[1].stop(signal.SIGKILL)
    until(private_is_served(private), "the replica takes over")
    assert all(store.load_many(keys))  # type: ignore[attr-defined]
    store.close()


def private_is_served(cluster: RedisCluster) -> Callable[[], bool]:
    """Return what says whether every slot has a master, as the remaining nodes see it."""

    def served() -> bool:
        nodes = [node for node in cluster.nodes if node is not cluster.masters[1]]
        states = [node.client().cluster("INFO")["cluster_state"] for node in nodes]
        return set(states) == {"ok"} and cluster.replicas[1].client().info("replication")["role"] == "master"

    return served
