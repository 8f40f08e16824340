"""A SQLite file that cannot be written, seen from the browser: an error, never a logout that only looks like
one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from support.sqlite_files import full_disk, locked
from support.web import Site

from wsgisession.errors import StoreError
from wsgisession.stores import sqlite_file
from wsgisession.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.wide


@contextmanager
def read_only(store: SQLiteStore) -> Iterator[None]:
    """Connections only read, as on a file system that was mounted again after an error."""
    prepare = sqlite_file._prepare

    def reading(connection: sqlite3.Connection, synchronous: str) -> None:
        prepare(connection, synchronous)
        connection.execute("PRAGMA query_only = ON")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "_prepare", reading)
        store.close()
        yield
        store.close()


Fault = Callable[[SQLiteStore], AbstractContextManager[None]]
FAULTS: dict[str, Fault] = {
    "locked": lambda store: locked(store.path),
    "full": lambda store: full_disk(store.path),
    "read-only": read_only,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_logout_that_failed_never_looks_like_one(tmp_path: Path, fault: Fault) -> None:
    """destroy raises, no header is sent, the session lives on under its cookie; once the fault is over it
    ends it.
    """
    store = SQLiteStore(tmp_path / "sessions.db", timeout=0.05)
    site = Site(store)
    cookie = site.start({"user": "ada"}, "ada")
    with fault(store):
        assert site.read(cookie) == {"user": "ada"}
        sent: list[object] = []
        environ = {
            "test.handler": lambda session: session.destroy(),
            "test.status": "200 OK",
            "HTTP_COOKIE": cookie,
        }
        setup_testing_defaults(environ)
        with pytest.raises(StoreError):
            list(site.middleware(environ, lambda *args: sent.append(args) or (lambda data: None)))
        assert sent == []
        with pytest.raises(StoreError):
            site.manager.destroy_owned("ada")
    assert site.read(cookie) == {"user": "ada"}
    answer = site.request(lambda session: session.destroy(), cookie)
    assert answer.set_cookie is not None and "Max-Age=0" in answer.set_cookie
    assert site.read(cookie) == {}
