"""``destroy`` and ``purge``: end sessions, after asking, and remove expired records. Knows no store."""

from __future__ import annotations

from argparse import Namespace
from math import inf

from wsgisession.cli.outcome import FINDING, OK, absent, closed, counted, plural
from wsgisession.cli.reader import Closed, Reader
from wsgisession.cli.terminal import Progress, Terminal
from wsgisession.manager import SessionManager
from wsgisession.record import Marker, Record

PASSES = 10  # over the store, at most; the last one finds nothing to end


def destroy(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """End one session, an owner's, or all, after asking."""
    if arguments.all:
        return _everybodys(manager, terminal, arguments.yes)
    if arguments.owner is not None:
        return _owners(manager, terminal, arguments.owner, arguments.yes)
    return _one(manager, terminal, arguments.key, arguments.yes)


def _one(manager: SessionManager, terminal: Terminal, shown: str, yes: bool) -> int:
    reader = Reader(manager)
    found = reader.one(shown)
    key, owner = (found[0].key, found[0].owner) if found is not None else (None, None)
    if reader.markers or reader.later:
        # A marker of the last minute leads to the session's new key. A session of a later version can be ended too.
        key = reader.find(shown)
    if key is not None:
        terminal.confirm(f"End this session{'' if owner is None else f' of {owner}'}?", yes=yes)
    if key is None or not manager.destroy(key):
        return absent(reader, terminal)
    counted(terminal, "destroyed", 1, "session")
    return OK


def _owners(manager: SessionManager, terminal: Terminal, owner: str, yes: bool) -> int:
    reader = Reader(manager)
    if not yes:
        terminal.confirm(f"End {plural(len(reader.owners(owner)), 'session')} of {owner}?", yes=False)
    count = manager.destroy_owned(owner)
    counted(terminal, "destroyed", count, "session")
    if not count:
        terminal.note("this owner has no live session; is the name spelled as the application spells it?")
    return closed(reader, terminal) or (OK if count else FINDING)


def _everybodys(manager: SessionManager, terminal: Terminal, yes: bool) -> int:
    """End every session that began before this command. Records that cannot be read stay."""
    reader = Reader(manager)
    started = reader.clock()
    with Progress("sessions read") as progress:
        count = sum(1 for _ in progress.over(reader.everybodys())) + reader.later
    terminal.confirm(f"End all {plural(count, 'session')}, and log everybody out?", yes=yes)
    clear = getattr(manager.store, "clear", None)
    with Progress("sessions ended") as progress:
        ended = 0
        if clear is not None and not reader.unreadable:
            progress.say("ending sessions")
            # The store counts markers of the last minute, but they are no sessions.
            ended = max(clear() - reader.markers, 0)
        ended += end_each(manager, reader, started, progress)
    counted(terminal, "destroyed", ended, "session")
    reader.later = 0  # they have ended, too
    return closed(reader, terminal)


def end_each(manager: SessionManager, reader: Reader, started: float, progress: Progress) -> int:
    """End one by one the sessions that began before ``started``. An id may change during a pass, so repeat until a pass
    finds none.
    """
    count = 0
    for _ in range(PASSES):
        reader.unreadable, found = 0, 0
        for page in reader.pages(manager.store.keys()):
            for key, content, _, _ in reader.contents(page):
                if _began(content) <= started:
                    found += 1
                    if manager.destroy(key):
                        count += 1
                        progress.step()
        if not found:
            break
    return count


def _began(content: Record | Marker | Closed) -> float:
    """Return when a session began; 0 if it is a later version's; infinity if it is no session of ours."""
    if isinstance(content, Record):
        return content.created
    return 0.0 if content is Closed.LATER else inf


def purge(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Remove expired records."""
    with Progress("") as progress:
        progress.say("removing expired records")
        count = manager.purge()
    counted(terminal, "purged", count, "expired record")
    return OK
