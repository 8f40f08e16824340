"""The Redis store on a real server: contract, needed rights, arguments, threads and processes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.redis_contract import RedisContract, new_prefix, use_everything
from support.redis_fixtures import client, store
from support.redis_servers import programs, shared_redis, until

from wsgisession.errors import StoreError
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import in_child, new_key, new_payload

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))
FIXTURES = client, store  # by these names pytest finds them here

RIGHTS = re.findall(r"\+(\w+)", RedisStore.__doc__ or "")


# The contract


@pytest.mark.parametrize("program", programs())
class TestServers(RedisContract):
    """Every server there is to test with, through a client with redis-py's defaults."""

    @pytest.fixture(autouse=True)
    def take_server(self, program: str) -> None:
        self.server = shared_redis(program)

    def connect(self) -> Any:
        import redis

        return redis.Redis(port=self.server.port)


@pytest.mark.wide
class TestOldProtocol(RedisContract):
    """RESP2, with nothing repeated, and a pool that makes threads wait."""

    def connect(self) -> Any:
        import redis

        port = shared_redis().port
        return redis.Redis.from_pool(redis.BlockingConnectionPool(port=port, protocol=2, max_connections=3))


@pytest.mark.wide
class TestLeastRights(RedisContract):
    """RESP3, as a user who may use the documented commands on keys with the prefix and nothing else.

    The store owns the client, as one that is made from a URL does.
    """

    owns_client = True

    def connect(self) -> Any:
        import redis

        rights = [f"+{right}" for right in RIGHTS]
        shared_redis().user("sessions", *rights, keys="wsgisession:*", password="pw")
        return redis.Redis(port=shared_redis().port, username="sessions", password="pw", protocol=3)

    def admin(self) -> Any:
        self.clients.append(shared_redis().client())
        return self.clients[-1]

    def test_diagnose_says_what_to_change(self, store: Any) -> None:
        """Without ``+info`` it is a StoreError that says why."""
        with pytest.raises(StoreError, match="no permission for a command"):
            list(store.diagnose())


@pytest.mark.parametrize("right", RIGHTS)
def test_every_documented_right_is_needed(client: Any, right: str) -> None:
    """Without one of the commands that the docstring names, something fails, and says so."""
    commands = [f"+{other}" for other in RIGHTS if other != right]
    shared_redis().user(f"no-{right}", *commands, keys="wsgisession:*")
    with shared_redis().client(username=f"no-{right}", password="any") as limited:
        store = RedisStore(limited, new_prefix())
        if right == "eval":
            client.script_flush()
        else:
            RedisStore(client, new_prefix()).load(new_key())  # so that the server knows the script
        with pytest.raises(StoreError, match="(?i)permission|can't run this command"):
            use_everything(store)
    client.acl_deluser(f"no-{right}")


def test_other_keys_are_out_of_reach(client: Any) -> None:
    """A user who may use ``wsgisession:*`` alone needs no other key, and has none."""
    with TestLeastRights().connect() as limited:
        use_everything(RedisStore(limited, new_prefix()))
        with pytest.raises(StoreError, match="(?i)permission"):
            RedisStore(limited, "other:").load(new_key())


# Configuration


def asynchronous() -> Any:
    import redis.asyncio

    return redis.asyncio.Redis()


CLIENTS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "a URL": (lambda redis: "redis://:swordfish@h", TypeError, "from_url"),
    "nothing": (lambda redis: None, TypeError, r"redis-py client such as redis\.Redis\(\)"),
    "a class": (lambda redis: redis.Redis, TypeError, "redis-py client"),
    "a pipeline": (lambda redis: redis.Redis().pipeline(), TypeError, "redis-py client"),
    "a connection pool": (lambda redis: redis.ConnectionPool(), TypeError, "redis-py client"),
    "an asynchronous client": (lambda redis: asynchronous(), TypeError, "asynchronous"),
    "text replies": (lambda redis: redis.Redis(decode_responses=True), ValueError, "decode_responses"),
}


@pytest.mark.parametrize(("make", "error", "words"), CLIENTS.values(), ids=CLIENTS.keys())
def test_a_client_that_cannot_work_is_refused(
    make: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    """When the store is built, in words that say what to pass and show no password."""
    import redis

    with pytest.raises(error, match=words) as raised:
        RedisStore(make(redis))
    assert "swordfish" not in str(raised.value)


PREFIXES: dict[str, tuple[Any, type[Exception], str]] = {
    "empty": ("", ValueError, "must not be empty"),
    "an opening brace": ("{a", ValueError, "braces"),
    "a closing brace": ("a}", ValueError, "braces"),
    "bytes": (b"a", TypeError, "not bytes"),
    "none": (None, TypeError, "not NoneType"),
}


@pytest.mark.parametrize(("prefix", "error", "words"), PREFIXES.values(), ids=PREFIXES.keys())
def test_a_prefix_that_cannot_work_is_refused(
    client: Any, prefix: Any, error: type[Exception], words: str
) -> None:
    """When the store is built, in words that say what is wrong with it."""
    with pytest.raises(error, match=words):
        RedisStore(client, prefix)


def test_a_single_connection_is_refused() -> None:
    """A client made with single_connection_client would mix up the replies of threads."""
    with shared_redis().client(single_connection_client=True) as single:
        with pytest.raises(ValueError, match="one connection cannot serve several threads"):
            RedisStore(single)


def test_the_client_stays_the_callers(client: Any) -> None:
    """close leaves a client alone that was passed; one of the store's own is closed and connects again when
    needed.
    """
    client.client_setname("kept-open")

    def is_open() -> bool:
        with shared_redis().client() as admin:
            return any(line["name"] == "kept-open" for line in admin.client_list())

    RedisStore(client, new_prefix()).close()
    assert is_open()
    own = RedisStore(client, new_prefix(), owns_client=True)
    own.close()
    until(lambda: not is_open(), "the connection is closed")
    assert own.load(new_key()) is None


# Threads and processes


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_opens_connections_of_its_own(client: Any, store: RedisStore) -> None:
    """A forked process neither uses nor closes what its parent opened."""
    key, payload = created(store)
    mine = {line["addr"] for line in client.client_list()}

    def use() -> bool:
        assert (store.load(key) or (None,))[0] == payload
        own = client.client_info()["addr"]
        store.close()
        return own not in mine

    assert in_child(use)
    assert client.client_info()["addr"] in mine


def test_no_more_is_left_than_was_given(store: RedisStore) -> None:
    """A record that was given a minute a moment ago has a minute left at most."""
    for _ in range(20):
        key, payload = new_key(), new_payload()
        assert store.create(key, payload, 60) is True
        assert 59 < store.load(key)[1] <= 60  # type: ignore[index]
        assert 59 < store.load_many([key])[0][1] <= 60  # type: ignore[index]
