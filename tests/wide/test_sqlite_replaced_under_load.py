"""The SQLite file is replaced again and again while processes write: every one finds the new file, and none
is damaged.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
from support.sqlite_files import ask, backup, intact, restore

from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.stores.sqlite_pool import LOOK
from wsgisession.testing import LONG, PATIENCE, new_key

pytestmark = pytest.mark.wide

PROCESSES, TIMES = 3, 4
SETTLED = LOOK + 1.0  # seconds until everybody has noticed, on a busy machine


def _write(path: str, pipe: Any) -> None:
    """Write until told to stop; say what was acknowledged and when it was begun, and what was logged."""
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("wsgisession").addHandler(handler)
    store = SQLiteStore(path)
    written: list[tuple[float, str]] = []
    pipe.send("ready")
    while not pipe.poll():
        start, key = time.monotonic(), new_key()
        assert store.create(key, b"1" * 500, LONG, "ada")
        # Not if the file is another one since the create.
        if store.replace(key, b"1" * 500, b"2" * 500, None, "ada"):
            written.append((start, key))
        time.sleep(0.001)
    store.close()
    pipe.send((written, logged))


@pytest.mark.parametrize("way", ["renamed over", "removed", "restored"])
def test_every_process_finds_the_new_file(way: str, tmp_path: Path) -> None:
    """What is acknowledged after all have noticed is there; each process says once for each time that it
    noticed.
    """
    path = tmp_path / "sessions.db"
    context = multiprocessing.get_context("spawn")
    crew = []
    for _ in range(PROCESSES):
        here, there = context.Pipe()
        process = context.Process(target=_write, args=(str(path), there), daemon=True)
        process.start()
        assert here.poll(PATIENCE) and here.recv() == "ready"
        crew.append((process, here))
    for _ in range(TIMES):
        backup(path, tmp_path / "copy.db")
        if way == "removed":
            path.unlink()
        elif way == "restored":
            restore(tmp_path / "copy.db", path)
        else:
            os.replace(tmp_path / "copy.db", path)
        replaced = time.monotonic()
        time.sleep(SETTLED + 0.3)
    found: list[Any] = []
    for process, pipe in crew:
        pipe.send("stop")
        assert pipe.poll(PATIENCE)
        found.append(pipe.recv())
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert [len(logged) for _, logged in found] == [TIMES * (way != "restored")] * PROCESSES
    there = {key for (key,) in ask(path, "SELECT key FROM sessions WHERE payload = ?", b"2" * 500)}
    late = [key for written, _ in found for start, key in written if start > replaced + SETTLED]
    assert late and set(late) <= there
    assert intact(path)
    assert set(os.listdir(tmp_path)) <= {"sessions.db", "copy.db"}
