"""One Redis server stopped, crashed and started again under load; encrypted connections; greenlets."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import redis_servers
from support.children import run_program
from support.load import Load
from support.proxy import Proxy
from support.redis_contract import new_prefix, use_everything
from support.redis_servers import RedisServer, free_port, shared_redis
from support.web import Site

from wsgisession.errors import StoreError
from wsgisession.stores import from_url
from wsgisession.stores.redis import RedisStore
from wsgisession.testing import new_key

pytestmark = [
    pytest.mark.wide,
    pytest.mark.skipif(redis_servers.missing() is not None, reason=str(redis_servers.missing())),
]

CAREFUL = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def careful() -> Iterator[RedisServer]:
    """A server that has written to disk what it acknowledges."""
    server = RedisServer(*CAREFUL)
    yield server
    server.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["shutdown", "crash"])
def test_a_restart_under_load(careful: RedisServer, how: int) -> None:
    """While the server is away every write fails in bounded time; then all go on, and no acknowledged write
    is lost.
    """
    store = from_url(f"redis://127.0.0.1:{careful.port}?socket_timeout=1&socket_connect_timeout=1")
    load = Load(store, 4, "ada")
    load.progresses()
    for _ in range(3):
        careful.stop(how)
        load.suffers()
        careful.start()
        load.progresses()
    print(load.finish())
    assert sum(load.lost) == 0
    assert load.slowest < 10
    store.close()


def test_a_server_that_still_loads_is_an_error() -> None:
    """While Redis reads its file after a restart it answers LOADING: a StoreError, never an empty session."""
    slow = "--key-load-delay 20000 --loading-process-events-interval-bytes 1024 --rdbcompression no"
    server = RedisServer("--save", "3600 1", *slow.split())
    try:
        store = from_url(f"redis://127.0.0.1:{server.port}?socket_timeout=5")
        site = Site(store)
        cookies = [site.start({"number": number, "text": "x" * 1000}) for number in range(40)]
        server.stop()
        start = threading.Thread(target=server.start)
        start.start()
        errors, number = set(), 0
        while number < len(cookies):
            try:
                assert site.read(cookies[number])["number"] == number
                number += 1
            except StoreError as error:
                errors.add(type(error.__cause__).__name__)
        start.join()
        assert "BusyLoadingError" in errors
        store.close()
    finally:
        server.close()


# Encrypted connections


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server that also speaks TLS, with a certificate for 127.0.0.1; its port, and the certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    home = tmp_path_factory.mktemp("tls")
    command = f"{openssl} req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
    command += " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), cwd=home, check=True, capture_output=True)
    port = free_port()
    options = f"--tls-port {port} --tls-cert-file {home}/cert.pem --tls-key-file {home}/key.pem"
    try:
        server = RedisServer(*options.split(), "--tls-auth-clients", "no", "--save", "")
    except AssertionError as error:
        pytest.skip(f"this Redis was built without TLS ({error})")
    with server.client() as client:
        client.config_set("requirepass", "pass word")
    yield port, home / "cert.pem"
    server.close()


def test_a_url_with_tls(encrypted: tuple[int, Path]) -> None:
    """``rediss://`` with a certificate authority works, password and all."""
    port, certificate = encrypted
    url = f"rediss://:pass%20word@127.0.0.1:{port}?ssl_ca_certs={certificate}&prefix={new_prefix()}"
    store = from_url(url)
    assert isinstance(store, RedisStore)
    use_everything(store)
    store.close()


def test_an_unknown_certificate_is_refused(encrypted: tuple[int, Path]) -> None:
    """Without that authority nothing is sent: a StoreError that shows no password."""
    store = from_url(f"rediss://:swordfish@127.0.0.1:{encrypted[0]}")
    with pytest.raises(StoreError, match="(?i)certificate") as raised:
        store.load(new_key())
    assert "swordfish" not in f"{raised.value} {raised.value.__cause__}"
    store.close()


# Greenlets

GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time
import gevent
from wsgisession.errors import StoreError
from wsgisession.stores import from_url

store = from_url(sys.argv[1])
def wait():
    try:
        store.load("key")
    except StoreError as error:
        return str(error)
start = time.monotonic()
jobs = gevent.joinall([gevent.spawn(wait) for _ in range(8)])
took = time.monotonic() - start
assert all("no answer in time" in job.value for job in jobs), [job.value for job in jobs]
assert took < 4, took  # one after the other they would take eight times as long

store = from_url(sys.argv[2])
store.create("count", b"0", 60, "ada")
def count():
    for _ in range(25):
        while True:
            found = store.load("count")[0]
            fresh = b"%d %d" % (int(found.split()[0]) + 1, time.monotonic_ns())
            if store.replace("count", found, fresh, 60, "ada"):
                break
gevent.joinall([gevent.spawn(count) for _ in range(8)], raise_error=True)
assert store.load("count")[0].split()[0] == b"200"
store.close()
"""

TIMEOUTS = """
from gevent import monkey; monkey.patch_all()
import random, sys, time
import gevent, redis
from wsgisession.stores import RedisStore
from wsgisession.testing import new_key, new_payload

options = {"max_connections": 30, "socket_timeout": 5, "timeout": 5}
kind = {"pool": redis.ConnectionPool, "queue": redis.BlockingConnectionPool}[sys.argv[2]]
options.pop("timeout") if sys.argv[2] == "pool" else None
store = RedisStore(redis.Redis.from_pool(kind(port=int(sys.argv[1]), **options)), sys.argv[3])
hits = wrong = 0

def live(number):
    global hits, wrong
    key, payload = new_key(), new_payload(b"%d " % number)
    while not store.create(key, payload, 60, "ada"):
        pass
    end = time.monotonic() + 5
    while time.monotonic() < end:
        fresh = new_payload(b"%d " % number)
        try:
            with gevent.Timeout(random.choice([None, 0.0005, 0.001, 0.002, 0.004])):
                found = store.load(key)
                wrong += found is None or not found[0].startswith(b"%d " % number)
                store.replace(key, found[0], fresh, random.choice([None, 60]), "ada")
                wrong += store.replace(key, b"nobody's", new_payload(), None) is not False
                wrong += store.load(new_key()) is not None
        except gevent.Timeout:
            hits += 1

gevent.joinall([gevent.spawn(live, number) for number in range(16)], raise_error=True)
assert not wrong, wrong
assert hits > 50, hits
assert len(list(store.owned_by("ada"))) == 16
print(hits)
"""


def test_greenlets_wait_side_by_side() -> None:
    """Under gevent, waiting for the server lets other greenlets run, and compare-and-swap counts exactly."""
    pytest.importorskip("gevent")
    with Proxy(shared_redis().port) as proxy:
        proxy.mute = True
        urls = [f"redis://127.0.0.1:{proxy.port}?socket_timeout=0.5"]
        urls += [f"redis://127.0.0.1:{shared_redis().port}?prefix={new_prefix()}"]
        run_program(GREENLETS, *urls)


@pytest.mark.parametrize("kind", ["pool", "queue"])
def test_greenlets_that_time_out_mix_nothing_up(kind: str) -> None:
    """gevent.Timeout in the middle of any command, on a slow way: every greenlet sees its own session alone,
    and all go on.
    """
    pytest.importorskip("gevent")
    with Proxy(shared_redis().port) as proxy:
        proxy.delay = 0.001
        run_program(TIMEOUTS, str(proxy.port), kind, new_prefix())


# Signals

SIGNALS = """
import random, signal, sys, time
from wsgisession import StoreError
from wsgisession.stores import from_url
from wsgisession.testing import new_key, new_payload

store = from_url(sys.argv[1])
class Alarm(Exception): pass
armed = False
def strike(*_):
    if armed:
        raise Alarm
signal.signal(signal.SIGALRM, strike)
keys = {name: (new_key(), new_payload(name)) for name in (b"alice", b"bob")}
for key, payload in keys.values():
    assert store.create(key, payload, 600, "ada")
hits, end = 0, time.monotonic() + 6
while time.monotonic() < end:
    key, payload = keys[b"alice"]
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.random() * 600e-6 + 1e-6)
            random.choice([store.load, store.delete, lambda key: list(store.owned_by("ada"))])(key)
            store.create(key, payload, 600, "ada")
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        hits += 1
    key, payload = keys[b"bob"]
    assert store.load(key)[0] == payload
    assert store.replace(key, b"nobody's", new_payload(), 60) is False
assert hits > 200, hits
"""


def test_signals_that_raise_leave_a_store_that_works() -> None:
    """A handler that raises, at thousands of moments: others are read right, no connection is lost."""
    with Proxy(shared_redis().port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}?max_connections=2&prefix={new_prefix()}"
        run_program(SIGNALS, url)
