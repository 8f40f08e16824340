"""The last lines of commands, and their exit codes: what was done, how often, and what could not be read or found.

Knows no store.
"""

from __future__ import annotations

from wsgisession import __version__
from wsgisession.cli.reader import Reader
from wsgisession.cli.terminal import Terminal

# Exit codes
OK = 0
FINDING = 1  # there is a finding, no such session, or the answer to a question was no
USAGE = 2  # the command line or the configuration is wrong
UNREACHABLE = 3  # the store failed


def plural(count: int, what: str) -> str:
    """Return a number with its noun: 1 session, 2 sessions."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def counted(terminal: Terminal, word: str, count: int, what: str) -> None:
    """Print the number of things that a command changed."""
    terminal.result({word: count}, [f"{plural(count, what)} {word}"], [(str(count),)])


def absent(reader: Reader, terminal: Terminal) -> int:
    """Say that there is no such session. The argument is not repeated, because it may be an id or a token."""
    if reader.unreadable or reader.later:
        return closed(reader, terminal)
    ended = "its id changed within the last minute" if reader.markers else "see list"
    terminal.note(f"no live session has this key: {ended}")
    return FINDING


def closed(reader: Reader, terminal: Terminal) -> int:
    """Say how many records could not be read, and return the exit code that follows."""
    if reader.unreadable:
        terminal.note(
            f"{plural(reader.unreadable, 'record')} cannot be read (left alone); if the application has a codec or an"
            " identity of its own, name it with --store module:middleware"
        )
    if reader.later:
        terminal.note(
            f"a later version of wsgisession than this one ({__version__}) wrote {plural(reader.later, 'record')};"
            " run the command with that version"
        )
        return UNREACHABLE
    return FINDING if reader.unreadable else OK
