"""``list`` and ``show``: the live sessions, and the data of one. Knows no store."""

from __future__ import annotations

import heapq
import shutil
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from wsgisession.cli import text
from wsgisession.cli.outcome import OK, absent, closed, plural
from wsgisession.cli.reader import Entry, Reader
from wsgisession.cli.terminal import Progress, Terminal
from wsgisession.manager import SessionManager

BEFORE_OWNER = 43 + 2 + 7 + 2 + 7 + 2  # columns of the table

ORDER: dict[str, Callable[[Entry], Any]] = {
    "created": lambda entry: -entry.created,
    "expires": lambda entry: entry.expires,
    "owner": lambda entry: (entry.owner is None, entry.owner or "", -entry.created),
    "size": lambda entry: -entry.size,
}


def list_(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print live sessions, one per line."""
    reader = Reader(manager)
    limit: int | None = arguments.limit
    if terminal.human:
        terminal.line(f"{'KEY':<43}  {'AGE':<7}  {'LEFT':<7}  OWNER")
    count, more = 0, False
    with Progress("sessions read", quiet=terminal.human) as progress:
        for entry in _chosen(reader, arguments, progress):
            if count == limit:
                more = True
                break
            count += 1
            _print(entry, reader.clock(), terminal)
    if terminal.human:
        terminal.note(plural(count, "session") + ("; there are more" if more else ""))
    return closed(reader, terminal)


def _chosen(reader: Reader, arguments: Namespace, progress: Progress) -> Iterable[Entry]:
    """Return the sessions that were asked for, in the right order, and one more than the limit."""
    entries = progress.over(
        reader.everybodys() if arguments.owner is None else reader.owners(arguments.owner)
    )
    if arguments.since is not None:
        entries = (entry for entry in entries if entry.created >= arguments.since)
    if arguments.sort is None:
        return entries
    by = ORDER[arguments.sort]
    # With a limit, only so many sessions are kept in memory.
    return (
        sorted(entries, key=by)
        if arguments.limit is None
        else heapq.nsmallest(arguments.limit + 1, entries, by)
    )


def _print(entry: Entry, now: float, terminal: Terminal) -> None:
    owner = text.visible(entry.owner or "")
    if terminal.json:
        terminal.dump(described(entry))
    elif terminal.human:
        width = shutil.get_terminal_size().columns - BEFORE_OWNER
        age, left = text.brief(now - entry.created), text.brief(entry.expires - now)
        terminal.line(
            f"{entry.shown:<43}  {age:<7}  {left:<7}  {text.clipped(owner, max(width, 10))}".rstrip()
        )
    else:
        terminal.line(entry.shown, text.moment(entry.created), text.moment(entry.expires), owner)


def described(entry: Entry) -> dict[str, Any]:
    """Return the facts of a session as JSON has them."""
    return {
        "key": entry.shown,
        "owner": entry.owner,
        "created": text.number(entry.created),
        "expires": text.number(entry.expires),
        "persistent": entry.persistent,
        "idle_timeout": entry.idle_timeout,
        "size": entry.size,
    }


def show(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print one session with its data. A value that cannot be decoded is shown as it is stored."""
    reader = Reader(manager)
    found = reader.one(arguments.key)
    if found is None:
        return absent(reader, terminal)
    entry, record = found
    data = {name: text.raw(line) for name, line in record.data.items()}
    broken = [name for name, line in record.data.items() if not _decodes(reader, line)]
    items = [f"  {text.compact(name)}: {text.compact(value)}" for name, value in data.items()]
    terminal.result(
        {**described(entry), "data": data, "undecodable": broken},
        [*text.columns(_facts(entry, reader.clock(), True)), "data", *(items or ["  none"])],
        [
            *_facts(entry, reader.clock(), False),
            *(("data", text.compact(name), text.compact(value)) for name, value in data.items()),
        ],
    )
    for name in () if terminal.json else broken:
        terminal.note(f"the value of {text.compact(name)} cannot be decoded; it is shown as it is stored")
    return OK


def _facts(entry: Entry, now: float, human: bool) -> Iterator[tuple[str, str]]:
    """Yield the facts of a session besides its data. For a person they have durations and units."""
    age, left = text.duration(now - entry.created), text.duration(entry.expires - now)
    yield "key", entry.shown
    yield "owner", text.visible(entry.owner or "")
    yield "created", text.moment(entry.created) + (f", {age} ago" if human else "")
    yield "expires", text.moment(entry.expires) + (f", in {left}" if human else "")
    yield "size", text.size(entry.size) if human else str(entry.size)
    yield "persistent", "yes" if entry.persistent else "no"
    if entry.idle_timeout is not None:
        yield "idle timeout", text.duration(entry.idle_timeout) if human else f"{entry.idle_timeout:g}"


def _decodes(reader: Reader, line: bytes) -> bool:
    try:
        reader.codec.decode(line)
    except (ValueError, RecursionError):  # another program wrote the line, so this is no mistake of ours
        return False
    return True
