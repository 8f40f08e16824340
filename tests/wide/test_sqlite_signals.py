"""SQLite and real signals: handlers that raise, and handlers that use the store, at any moment of any
operation.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.children import run_program
from support.sqlite_files import intact

pytestmark = pytest.mark.wide

SCRIPT = """
import gc, os, random, signal, sys, time
sys.path.insert(0, sys.argv[3])
from support.sqlite_files import connections_here
from wsgisession.errors import StoreError
from wsgisession.stores import SQLiteStore

class Outside(BaseException):
    pass

way, path = sys.argv[1:3]
store, armed, hits, refused, rounds = SQLiteStore(path), False, 0, 0, 0
sys.unraisablehook = lambda unraisable: None

def handler(number, frame):
    global armed, hits, refused
    if armed:
        hits += 1
        if way == "raises":
            raise Outside
        armed = False
        try:
            store.create(f"inner {hits}", b"", 60.0, "ada")
        except StoreError:
            refused += 1
        armed = True

signal.signal(signal.SIGALRM, handler)
end = time.monotonic() + 4
while time.monotonic() < end:
    rounds += 1
    key = f"outer {rounds}"
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, random.random() * 3e-4 + 1e-6)
        store.create(key, b"1", 60.0)
        store.load(key)
        store.replace(key, b"1", b"2", None)
        store.touch(key, 60.0)
        list(store.owned_by("eve"))
        store.delete(key)
        armed = False
    except Outside:
        armed = False
    start = time.monotonic()
    assert store.create(f"{key} after", b"1", 60.0) and store.load(f"{key} after")[0] == b"1"
    assert store.delete(f"{key} after")
    assert time.monotonic() - start < 5, "the next operation waited"
signal.setitimer(signal.ITIMER_REAL, 0)
assert hits > 100, hits
gc.collect()  # a connection that an exception has lost
assert connections_here(path) <= 2, connections_here(path)
for _ in range(2):
    start = time.monotonic()
    child = os.fork()
    if not child:
        os._exit(0 if store.create(f"child {os.getpid()}", b"", 60.0) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert time.monotonic() - start < 5, "the fork waited"
if way == "uses":
    assert len(list(store.owned_by("ada"))) == hits - refused, "an operation of the handler's was lost"
    assert refused < 10, refused
start = time.monotonic()
store.close()
assert connections_here(path) == 0 and time.monotonic() - start < 5, "close waited"
"""


@pytest.mark.parametrize("way", ["raises", "uses"])
def test_signals_at_any_moment(way: str, tmp_path: Path) -> None:
    """The next operation works at once, forks and close do not wait, no connection is left, and the file is
    whole.
    """
    path = tmp_path / "sessions.db"
    run_program(SCRIPT, way, str(path), str(Path(__file__).parents[1]))
    assert intact(path)
