"""``copy``: copies the live sessions of one store to another, page by page, while the application runs. Knows no
engine.

Payloads are copied as they are, so a session keeps its data, its owner and the time it has left. Markers are copied
too. No record of the other store is overwritten, so the command can be run again for the sessions that began meanwhile.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import NamedTuple

from wsgisession.cli.outcome import closed, plural
from wsgisession.cli.reader import Closed, Reader
from wsgisession.cli.target import Unusable, in_memory, open_target
from wsgisession.cli.terminal import Progress, Terminal
from wsgisession.errors import StoreError
from wsgisession.manager import SessionManager
from wsgisession.record import Marker, Record
from wsgisession.stores.base import NO_EXPIRY


class Copied(NamedTuple):
    """How many sessions were copied, how many were in the other store already, and how many markers were copied."""

    copied: int = 0
    already_there: int = 0
    markers: int = 0


def copy(terminal: Terminal, arguments: Namespace) -> int:
    """Copy the live sessions of FROM that TO lacks."""
    if arguments.source == arguments.target:
        raise Unusable("FROM and TO are the same store")
    source = open_target(arguments.source)
    target = open_target(arguments.target, create=True)
    if in_memory(target):
        raise Unusable(
            "TO is a MemoryStore, which ends with this command; name a store that the application shares"
        )
    reader = Reader(source)
    progress = Progress("records copied")
    try:
        with progress:
            done = copy_all(reader, target, progress.step)
    except StoreError:
        seen = plural(progress.count, "record")
        terminal.note(f"stopped after {seen}; they stay, and the same command copies the rest")
        raise
    terminal.result(
        done._asdict(),
        [f"{plural(done.copied, 'session')} copied, {done.already_there:,} there already"],
        [("copied", str(done.copied)), ("already there", str(done.already_there))],
    )
    return closed(reader, terminal)


def copy_all(reader: Reader, target: SessionManager, step: Callable[[int], None]) -> Copied:
    """Copy what a reader finds and the target lacks.

    Args:
        step: called with the number of records after each page.
    """
    there = Reader(target)
    copied = already_there = markers = 0
    for page in reader.pages(reader.store.keys()):
        contents = list(reader.contents(page))
        keys = [key for key, *_ in contents]
        taken = {key for key, found in zip(keys, there.found(keys), strict=True) if found is not None}
        for key, content, payload, left in contents:
            if isinstance(content, Closed):
                continue
            owner = content.owner if isinstance(content, Record) else None
            if left <= NO_EXPIRY and isinstance(content, Record):
                left = reader.limits.first(content, reader.clock())  # as the next request would do
            # A record that is there stays: the application may have changed it meanwhile.
            fresh = key not in taken and target.store.create(key, payload, left, owner)
            if isinstance(content, Marker):
                markers += fresh
            else:
                copied, already_there = copied + fresh, already_there + (not fresh)
        step(len(page))
    return Copied(copied, already_there, markers)
