"""Redis, PostgreSQL and PgBouncer for a measurement: the ones that the tests start, on free ports, ended afterwards.

Knows where the tests keep them, and not what is measured.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_TESTS = str(Path(__file__).parent.parent / "tests")
if _TESTS not in sys.path:
    sys.path.append(_TESTS)


def missing() -> list[str]:
    """Return what cannot be started here, in words."""
    found = []
    if not (shutil.which("redis-server") and find_spec("redis") and find_spec("pytest")):
        found.append("Redis")
    if not find_spec("pytest") or _postgres_missing():
        found.append("PostgreSQL")
    return found


def _postgres_missing() -> bool:
    from support import postgres_server

    return postgres_server.missing() is not None


@contextmanager
def redis(*options: str) -> Iterator[Any]:
    """Run a Redis server; without options it writes nothing to disk."""
    from support.redis_servers import RedisServer

    server = RedisServer(*(options or ("--save", "", "--appendonly", "no")))
    try:
        yield server
    finally:
        server.close()


@contextmanager
def postgres() -> Iterator[Any]:
    """Run a PostgreSQL server."""
    from support.postgres_server import Postgres

    server = Postgres()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def pgbouncer(behind: Any) -> Iterator[Any]:
    """Run a PgBouncer in front of a PostgreSQL server."""
    from support.postgres_server import PgBouncer

    server = PgBouncer(behind)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def urls(home: Path) -> Iterator[dict[str, str]]:
    """Yield, by name, a URL of each store that processes can share and that can be started here."""
    absent = missing()
    with ExitStack() as stack:
        found = {"SQLite": f"sqlite:///{home}/sessions.db"}
        if "Redis" not in absent:
            found["Redis"] = f"redis://127.0.0.1:{stack.enter_context(redis()).port}"
        if "PostgreSQL" not in absent:
            found["PostgreSQL"] = stack.enter_context(postgres()).url
        yield found
