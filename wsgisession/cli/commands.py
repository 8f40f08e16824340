"""What each command does with the sessions of a manager, and its exit code. Knows neither arguments' syntax nor stores."""

from __future__ import annotations

import secrets
from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from wsgisession.cli.check import examine
from wsgisession.cli.reader import Entry, Reader
from wsgisession.cli.target import redacted
from wsgisession.cli.terminal import Progress, Terminal
from wsgisession.cli.text import columns, compact, duration, histogram, moment, raw, size, visible
from wsgisession.manager import SessionManager

OK, FINDING, USAGE, UNREACHABLE = 0, 1, 2, 3
PASSES = 10  # over the store, until one finds nothing more to end

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
AGES = (
    *(("under 1 min", _MINUTE), ("under 10 min", 10 * _MINUTE), ("under 1 h", _HOUR), ("under 6 h", 6 * _HOUR)),
    *(("under 1 d", _DAY), ("under 7 d", 7 * _DAY), ("under 30 d", 30 * _DAY), ("older", float("inf"))),
)
SIZES = (
    *(("under 256 B", 2**8), ("under 1 KiB", 2**10), ("under 4 KiB", 2**12), ("under 16 KiB", 2**14)),
    *(("under 64 KiB", 2**16), ("larger", float("inf"))),
)


def secret(terminal: Terminal, arguments: Namespace) -> int:
    """Print a new secret."""
    value = secrets.token_urlsafe(32)
    if terminal.json:
        terminal.dump({"secret": value})
    else:
        terminal.line(value)
    return OK


def list_(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print live sessions, one on a line."""
    reader, owner = Reader(manager), arguments.owner
    entries: Iterable[Entry] = reader.everybodys() if owner is None else reader.owners(owner)
    if terminal.human:
        terminal.line(f"{'KEY':<43}  {'CREATED':<20}  {'EXPIRES':<14}  OWNER")
    count = 0
    with Progress("sessions read", quiet=terminal.human) as progress:
        for entry in entries:
            count += 1
            record = entry.record
            if terminal.json:
                terminal.dump(_described(entry))
            elif terminal.human:
                ends = f"in {duration(entry.expires - reader.clock())}"
                terminal.line(
                    f"{entry.shown:<43}  {moment(record.created):<20}  {ends:<14}  {visible(record.owner or '')}".rstrip()
                )
            else:
                terminal.line(entry.shown, moment(record.created), moment(entry.expires), visible(record.owner or ""))
            progress.step()
    if terminal.human:
        terminal.note("1 session" if count == 1 else f"{count:,} sessions")
    return _unreadable(reader, terminal)


def show(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print one session with its data, as far as it can be read."""
    reader = Reader(manager)
    entry = _entry(reader, arguments.key)
    if entry is None:
        return _absent(reader, terminal)
    record = entry.record
    data = {name: raw(line) for name, line in record.data.items()}
    broken = [name for name, line in record.data.items() if not _decodes(reader, line)]
    if terminal.json:
        terminal.dump({**_described(entry), "data": data, "undecodable": broken})
        return OK
    now = reader.clock()
    facts = {"key": entry.shown, "owner": visible(record.owner or "")}
    facts |= {"created": moment(record.created), "expires": moment(entry.expires)}
    if terminal.human:
        facts["created"] += f", {duration(now - record.created)} ago"
        facts["expires"] += f", in {duration(entry.expires - now)}"
        facts["size"] = size(entry.size)
    else:
        facts["size"] = str(entry.size)
    facts["persistent"] = "yes" if record.persistent else "no"
    if terminal.human:
        items = [f"  {compact(name)}: {compact(value)}" for name, value in data.items()]
        for line in [*columns(facts.items()), "data", *(items or ["  none"])]:
            terminal.line(line)
    else:
        for name, fact in facts.items():
            terminal.line(name, fact)
        for name, value in data.items():
            terminal.line("data", compact(name), compact(value))
    for name in broken:
        terminal.note(f"the value of {compact(name)} cannot be decoded; it is shown as it is stored")
    return OK


def destroy(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """End one session, an owner's, or all, after asking."""
    reader, owner, yes = Reader(manager), arguments.owner, arguments.yes
    if arguments.all:
        terminal.confirm("End all sessions, and log everybody out?", yes=yes)
        count = _destroy_all(manager, reader)
    elif owner is not None:
        if not yes:
            terminal.confirm(f"End {len(reader.owners(owner)):,} session(s) of {owner}?", yes=False)
        count = manager.destroy_owned(owner)
    else:
        entry = _entry(reader, arguments.key)
        # A tombstone of the last minute leads to what its session became.
        key = entry.key if entry is not None else reader.find(arguments.key) if reader.tombstones else None
        if key is not None:
            whose = f" of {entry.record.owner}" if entry is not None and entry.record.owner is not None else ""
            terminal.confirm(f"End this session{whose}?", yes=yes)
        if key is None or not manager.destroy(key):
            return _absent(reader, terminal)
        count = 1
    _counted(terminal, "destroyed", count, "session")
    return _unreadable(reader, terminal)


def purge(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Remove expired records."""
    with Progress("") as progress:
        progress.say("removing expired records")
        count = manager.purge()
    _counted(terminal, "purged", count, "expired record")
    return OK


def stats(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print how many sessions live, whose, how large and how old."""
    reader = Reader(manager)
    sizes: list[int] = []
    ages: list[float] = []
    owners: set[str] = set()
    anonymous = persistent = 0
    now = reader.clock()
    with Progress("sessions read") as progress:
        for entry in reader.everybodys():
            sizes.append(entry.size)
            ages.append(now - entry.record.created)
            persistent += entry.record.persistent
            if entry.record.owner is None:
                anonymous += 1
            else:
                owners.add(entry.record.owner)
            progress.step()
    sizes.sort()
    facts = {"sessions": len(sizes), "owners": len(owners), "anonymous": anonymous, "persistent": persistent}
    facts |= {"tombstones": reader.tombstones, "unreadable": reader.unreadable}
    lengths = {"total": sum(sizes), "median": sizes[len(sizes) // 2] if sizes else 0, "largest": sizes[-1] if sizes else 0}
    classes = {"size": _classes(sizes, SIZES), "age": _classes(ages, AGES)}
    _print_stats(terminal, facts, lengths, classes)
    return _unreadable(reader, terminal)


def _print_stats(
    terminal: Terminal, facts: dict[str, int], lengths: dict[str, int], classes: dict[str, list[tuple[str, int]]]
) -> None:
    if terminal.json:
        terminal.dump({**facts, "bytes": lengths, **{name: dict(counts) for name, counts in classes.items()}})
    elif terminal.human:
        rows = [(name, f"{count:,}") for name, count in facts.items()]
        rows.append(("bytes", ", ".join(f"{name} {size(count)}" for name, count in lengths.items())))
        for line in columns(rows):
            terminal.line(line)
        for name, counts in classes.items():
            terminal.line(name)
            for line in histogram(counts):
                terminal.line(line)
    else:
        for name, count in facts.items():
            terminal.line(name, str(count))
        for name, count in lengths.items():
            terminal.line("bytes", name, str(count))
        for kind, counts in classes.items():
            for name, count in counts:
                terminal.line(kind, name, str(count))


def check(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print what was found out about the configuration, one line for each thing that should be changed."""
    facts, found, reachable = examine(manager)
    findings = [(one.subject, redacted(one.message)) for one in found]
    if terminal.json:
        terminal.dump({"facts": facts, "findings": [{"subject": about, "message": text} for about, text in findings]})
    elif terminal.human:
        for line in columns(facts.items()):
            terminal.line(line)
        for about, text in findings:
            terminal.line(f"warning: {about}: {visible(text)}")
        terminal.line(f"{len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
    else:
        for name, fact in facts.items():
            terminal.line("fact", name, fact)
        for about, text in findings:
            terminal.line("finding", about, visible(text))
    return (FINDING if findings else OK) if reachable else UNREACHABLE


# What several of them need


def _described(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "key": entry.shown,
        "owner": record.owner,
        "created": record.created,
        "expires": entry.expires,
        "persistent": record.persistent,
        "size": entry.size,
    }


def _entry(reader: Reader, shown: str) -> Entry | None:
    key = reader.find(shown)
    return None if key is None else reader.read(key)


def _decodes(reader: Reader, line: bytes) -> bool:
    try:
        reader.codec.decode(line)
    except ValueError:
        return False
    return True


def _absent(reader: Reader, terminal: Terminal) -> int:
    """Say that there is no such session. What was asked for is not repeated: it may be an id or a token."""
    if reader.unreadable:
        return _unreadable(reader, terminal)
    ended = "it was ended or its id changed within the last minute" if reader.tombstones else "see list"
    terminal.note(f"no live session has this key: {ended}")
    return FINDING


def _unreadable(reader: Reader, terminal: Terminal) -> int:
    if not reader.unreadable:
        return OK
    terminal.note(
        f"{reader.unreadable:,} record(s) cannot be read and were left alone; where the application has a codec or an identity"
        " of its own, name it with --store module:middleware"
    )
    return FINDING


def _counted(terminal: Terminal, word: str, count: int, what: str) -> None:
    if terminal.json:
        terminal.dump({word: count})
    elif terminal.human:
        terminal.line(f"{count:,} {what}{'' if count == 1 else 's'} {word}")
    else:
        terminal.line(str(count))


def _classes(values: Iterable[float], bounds: Iterable[tuple[str, float]]) -> list[tuple[str, int]]:
    """Count values by the first bound they are below."""
    limits = list(bounds)
    counts = dict.fromkeys((name for name, _ in limits), 0)
    for value in values:
        counts[next(name for name, limit in limits if value < limit)] += 1
    return list(counts.items())


def _destroy_all(manager: SessionManager, reader: Reader) -> int:
    """End every session that began before this; again, until a pass finds none, for an id may change during a pass."""
    started, count = reader.clock(), 0
    with Progress("sessions ended") as progress:
        for attempt in range(PASSES):
            reader.unreadable, found = 0, 0
            for entry in reader.everybodys():
                if attempt and entry.record.created > started:
                    continue  # began after this
                found += 1
                if manager.destroy(entry.key):
                    count += 1
                    progress.step()
            if not found:
                break
    return count
