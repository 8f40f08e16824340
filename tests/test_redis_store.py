"""The Redis store on a real server: contract, needed rights, arguments, threads and processes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import redis_servers
from support.postgres_server import created
from support.redis_contract import RedisContract, new_prefix, use_everything
from support.redis_servers import programs, shared_redis, until

from wsgisession.errors import StoreError
from wsgisession.stores.base import Store
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import LONG, in_child, new_key, new_payload, together

pytestmark = pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing()))

RIGHTS = re.findall(r"\+(\w+)", RedisStore.__doc__ or "")


@pytest.fixture
def client() -> Iterator[Any]:
    """A client that waits for nothing and repeats nothing."""
    with shared_redis().client() as client:
        yield client


@pytest.fixture
def store(client: Any) -> RedisStore:
    """A store under a prefix that no other test uses."""
    return RedisStore(client, new_prefix())


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

        with shared_redis().client() as admin:
            commands = [f"+{right}" for right in RIGHTS]
            admin.acl_setuser(
                "sessions",
                enabled=True,
                reset=True,
                passwords=["+pw"],
                keys=["wsgisession:*"],
                commands=commands,
            )
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
    client.acl_setuser(
        f"no-{right}", enabled=True, reset=True, nopass=True, keys=["wsgisession:*"], commands=commands
    )
    with shared_redis().client(username=f"no-{right}", password="") as limited:
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


CONFIGURATION = {
    "a URL": (lambda redis: "redis://:swordfish@h", "wsgisession:", TypeError, "from_url"),
    "nothing": (lambda redis: None, "wsgisession:", TypeError, r"redis-py client such as redis\.Redis\(\)"),
    "a class": (
        lambda redis: redis.Redis,
        "wsgisession:",
        TypeError,
        r"redis-py client such as redis\.Redis\(\)",
    ),
    "a pipeline": (
        lambda redis: redis.Redis().pipeline(),
        "wsgisession:",
        TypeError,
        r"such as redis\.Redis\(\)",
    ),
    "a connection pool": (lambda redis: redis.ConnectionPool(), "wsgisession:", TypeError, "redis-py client"),
    "an asynchronous client": (lambda redis: asynchronous(), "wsgisession:", TypeError, "asynchronous"),
    "text replies": (
        lambda redis: redis.Redis(decode_responses=True),
        "wsgisession:",
        ValueError,
        "decode_responses",
    ),
    "an empty prefix": (lambda redis: redis.Redis(), "", ValueError, "must not be empty"),
    "an opening brace": (lambda redis: redis.Redis(), "{a", ValueError, "braces"),
    "a closing brace": (lambda redis: redis.Redis(), "a}", ValueError, "braces"),
    "a prefix of bytes": (lambda redis: redis.Redis(), b"a", TypeError, "not bytes"),
    "no prefix": (lambda redis: redis.Redis(), None, TypeError, "not NoneType"),
}


@pytest.mark.parametrize(
    ("client", "prefix", "error", "words"), CONFIGURATION.values(), ids=CONFIGURATION.keys()
)
def test_wrong_configuration_is_refused(
    client: Callable[[Any], Any], prefix: Any, error: type[Exception], words: str
) -> None:
    """What cannot work is refused when the store is built, in words that say what to pass and show no
    password.
    """
    import redis

    with pytest.raises(error, match=words) as raised:
        RedisStore(client(redis), prefix)
    assert "swordfish" not in str(raised.value)


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


def test_threads_share_a_store(store: RedisStore) -> None:
    """Sixteen threads at once, each with its own record, mix nothing up."""

    def work() -> bool:
        key, payload = created(store, LONG, "ada")
        for _ in range(20):
            fresh = new_payload()
            assert store.replace(key, payload, fresh, LONG, "ada") is True
            assert (store.load(key) or (None,))[0] == fresh
            payload = fresh
        return key in store.owned_by("ada")

    assert together([work] * 16) == [True] * 16


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


def test_there_is_nothing_to_purge(store: Store) -> None:
    """Redis removes the dead on its own account."""
    store.create(new_key(), new_payload(), 0.001)
    assert store.purge() == 0
