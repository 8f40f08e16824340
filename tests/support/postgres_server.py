"""A real PostgreSQL, and a real PgBouncer in front of it, that live as long as the tests that need them.

Nothing is assumed about the machine but that the server's programs can be found: beside ``pg_config``, on the PATH, or
where Debian puts them. The cluster lives in a temporary directory and listens on a free port of the loopback interface.
PostgreSQL refuses to run as root, so root starts it as the user ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import atexit
import hashlib
import hmac
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support import ran_on
from support.ports import free_port as free_port
from support.proxy import Proxy

from wsgisession.stores.base import Store
from wsgisession.testing import new_key, new_payload

START = 20.0  # seconds until a server that does not answer counts as broken


@cache
def find_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL, of the newest version; None if there is none."""
    config = shutil.which("pg_config")
    places = (
        [subprocess.run([config, "--bindir"], capture_output=True, text=True).stdout.strip()]
        if config
        else []
    )
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    places += [
        str(path) for path in sorted(versions, key=lambda path: path.parent.name.zfill(4), reverse=True)
    ]
    places += [os.environ.get("PATH", ""), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


@cache
def missing() -> str | None:
    """Say why there can be no server here; None if there can be one."""
    try:
        import psycopg  # noqa: F401
        import psycopg_pool  # noqa: F401
    except ImportError:
        return "psycopg or psycopg_pool is not installed (pip install 'psycopg[binary,pool]')"
    if find_program("initdb") is None or find_program("postgres") is None:
        return "no PostgreSQL server is installed (Debian: apt-get install postgresql)"
    return None


def unprivileged() -> dict[str, Any]:
    """Return what ``subprocess`` needs to start a program that refuses to be root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as"
    )


class Server:
    """One program in the foreground, in a directory of its own that its user owns."""

    def __init__(self) -> None:
        self.user = unprivileged()
        self.home = Path(tempfile.mkdtemp(prefix="wsgisession-pg-"))
        if self.user:
            os.chown(self.home, self.user["user"], self.user["group"])
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self, *command: str) -> None:
        """Start the program and wait until it listens."""
        with open(self.home / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.user
            )
        deadline = time.monotonic() + START
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether the server takes a connection."""
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"postgresql://wsgisession:swordfish@127.0.0.1:{self.port}/postgres"

    def log(self) -> str:
        """Return what the server has to say."""
        return (self.home / "log").read_text(errors="replace")

    def hang(self, how: int = signal.SIGSTOP) -> None:
        """Stop every process of the server where it is, so that it accepts and says nothing; SIGCONT lets it go on."""
        assert self.process is not None
        for pid in _family(self.process.pid):
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                pass

    def stop(self, how: int = signal.SIGINT) -> None:
        """End the program: SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START)
            self.process = None

    def close(self) -> None:
        """End the program and remove its directory."""
        if self.process is not None:
            self.hang(signal.SIGCONT)
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def _family(pid: int) -> list[int]:
    """Return a process and all that it has started, as /proc knows them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found


class Postgres(Server):
    """A cluster with the superuser ``wsgisession``, on TCP only."""

    SETTINGS = (
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_buffers=16MB",
        "max_connections=120",
        "autovacuum=off",
        "max_wal_size=64MB",
        "wal_level=minimal",
        "max_wal_senders=0",
        "full_page_writes=off",  # an operating system that crashes is not among the tests
        "fsync=off",
    )

    def __init__(self) -> None:
        super().__init__()
        try:
            password = self.home / "password"
            password.write_text(_secret("swordfish"))
            os.chmod(password, 0o644)
            initdb = [find_program("initdb") or "initdb", "-D", "data", "-U", "wsgisession"]
            initdb += [
                "-A",
                "scram-sha-256",
                "--pwfile",
                "password",
                "-E",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
            ]
            done = subprocess.run(
                initdb, cwd=self.home, capture_output=True, text=True, timeout=60, **self.user
            )
            assert done.returncode == 0, done.stderr
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the server, again on the same port."""
        options = [part for setting in self.SETTINGS for part in ("-c", setting)]
        self.launch(find_program("postgres") or "postgres", "-D", "data", "-p", str(self.port), *options)
        import psycopg

        with psycopg.connect(self.url) as connection:
            ran_on.add("PostgreSQL", connection.info.parameter_status("server_version") or "?")


def _secret(password: str) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803), of one round instead of 4096: tests connect a thousand times."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    first, second, third = (
        b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))
    )
    return f"SCRAM-SHA-256$1:{first}${second}:{third}\n"


class PgBouncer(Server):
    """A PgBouncer in transaction mode in front of a cluster, or a proxy: clients outnumber the server's two connections."""

    def __init__(self, postgres: Postgres | Proxy) -> None:
        super().__init__()
        config = f"""\
[databases]
postgres = host=127.0.0.1 port={postgres.port} dbname=postgres user=wsgisession password=swordfish
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
server_login_retry = 0.1
"""
        (self.home / "pgbouncer.ini").write_text(config)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start PgBouncer, again on the same port."""
        self.launch(find_program("pgbouncer") or "pgbouncer", "-q", "pgbouncer.ini")


@cache
def shared_postgres() -> Postgres:
    """Return this run's cluster, started when it is first asked for; skip the test if there can be none."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    server = Postgres()
    _close_at_exit(server)
    return server


@cache
def shared_pgbouncer() -> PgBouncer:
    """Return this run's PgBouncer in front of ``shared_postgres``; skip the test if there can be none."""
    postgres = shared_postgres()
    if find_program("pgbouncer") is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    server = PgBouncer(postgres)
    _close_at_exit(server)
    return server


def _close_at_exit(server: Server) -> None:
    process = os.getpid()
    atexit.register(lambda: server.close() if os.getpid() == process else None)


def execute(sql: str, *values: Any) -> list[Any]:
    """Run a statement on the shared cluster as its superuser and return the rows, if it has any."""
    import psycopg

    with psycopg.connect(shared_postgres().url, autocommit=True) as connection:
        cursor = connection.execute(sql, values or None)
        return cursor.fetchall() if cursor.description else []


def failing(table: str, code: str, times: int) -> None:
    """Let the next inserts into a table, and updates of it, fail with an SQLSTATE, so many times."""
    execute(f"CREATE SEQUENCE {table}_count")
    execute(
        f"CREATE FUNCTION {table}_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('{table}_count') <= {times} THEN RAISE 'made to fail' USING ERRCODE = '{code}'; END IF; "
        "RETURN NEW; END $$"
    )
    execute(
        f"CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_fail()"
    )


MINE = "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY backend_start"


def backends(name: str) -> list[int]:
    """Return the server's processes for the connections of that ``application_name``, the oldest first."""
    return [row[0] for row in execute(MINE, name)]


def kill(name: str) -> None:
    """Let the server end the connections of that ``application_name``, and wait until they have ended."""
    assert execute(f"SELECT pg_terminate_backend(pid, 5000) FROM ({MINE}) AS mine", name)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + START
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def waiting(store: Store, table: str, count: int) -> Iterator[list[Any]]:
    """Hold a row that so many threads want to touch: so many of the store's connections are in use meanwhile.

    Yields:
        a list that has what the threads were answered, once this is over.
    """
    import psycopg

    key, _ = created(store)
    answers: list[Any] = []
    threads = [Thread(target=lambda: answers.append(store.touch(key, 60)), daemon=True) for _ in range(count)]
    with psycopg.connect(shared_postgres().url) as holder:
        holder.execute(f"SELECT 1 FROM {table} WHERE key = %s FOR UPDATE", [key])
        for thread in threads:
            thread.start()
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: execute(blocked) == [(count,)])
        yield answers
        holder.rollback()
    for thread in threads:
        thread.join(START)
    store.delete(key)


def created(store: Store, ttl: float = 60, owner: str | None = None) -> tuple[str, bytes]:
    """Create a record; return its key and payload."""
    key, payload = new_key(), new_payload()
    assert store.create(key, payload, ttl, owner) is True
    return key, payload


def hostile() -> dict[str, Any]:
    """Return arguments of ``psycopg.connect`` that set whatever might make a difference to a careless statement."""
    from psycopg import ClientCursor
    from psycopg.rows import dict_row

    settings = {
        "default_transaction_isolation": "serializable",
        "default_transaction_read_only": "on",
        "bytea_output": "escape",
        "standard_conforming_strings": "off",
        "client_encoding": "SJIS",
        "datestyle": "German",
        "intervalstyle": "sql_standard",
        "timezone": "Pacific/Chatham",
        "extra_float_digits": "-15",
        "statement_timeout": "1d",
        "lock_timeout": "1ms",
        "plan_cache_mode": "force_custom_plan",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return {"autocommit": False, "row_factory": dict_row, "cursor_factory": ClientCursor, "options": options}


def hurry(store: Any, monkeypatch: pytest.MonkeyPatch, seconds: float = 0.3) -> None:
    """Give a store less time from now on; on a busy machine the first connection can take as long as that."""
    monkeypatch.setattr(store._transactions, "_timeout", seconds)
