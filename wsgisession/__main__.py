"""The command line, ``python -m wsgisession``: runs a command and returns its exit code. Does not know what commands
do.
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from wsgisession.cli import check, copying, ending, listing, totals
from wsgisession.cli.outcome import FINDING, UNREACHABLE, USAGE
from wsgisession.cli.secret import secret
from wsgisession.cli.syntax import Syntax, build_parser
from wsgisession.cli.target import Unusable, in_memory, open_target, redacted
from wsgisession.cli.terminal import NoTerminal, Refused, Terminal
from wsgisession.cli.text import visible
from wsgisession.errors import SessionError
from wsgisession.manager import SessionManager
from wsgisession.record import check_owner

__all__ = ["build_parser", "main"]

COMMANDS: dict[str, Callable[[SessionManager, Terminal, Namespace], int]] = {
    "list": listing.list_,
    "show": listing.show,
    "count": totals.count,
    "stats": totals.stats,
    "destroy": ending.destroy,
    "purge": ending.purge,
    "check": check.check,
}

CUT_OFF, INTERRUPTED = 141, 130  # as in a shell: 128 plus the number of the signal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = Syntax().parse(list(sys.argv[1:] if arguments is None else arguments))
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except (NoTerminal, Unusable) as error:
        return _failed(error, USAGE)
    except Refused as error:
        return _failed(error, FINDING)
    except SessionError as error:
        return _failed(error, UNREACHABLE)
    except OSError as error:
        # Drop buffered output. Otherwise it is an error while the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF if isinstance(error, BrokenPipeError) else _failed(error, UNREACHABLE)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED


def _run(options: Namespace) -> int:
    terminal = Terminal(json=options.json)
    if options.command == "secret":
        return secret(terminal)
    try:
        check_owner(getattr(options, "owner", None))
    except ValueError as error:
        what, _, _ = str(error).partition(";")  # after it: what to pass in Python
        raise Unusable(f"--owner: {what}") from None
    logger = logging.getLogger("wsgisession")
    if not logger.hasHandlers():
        # Otherwise logging's last resort would write events with keys to standard error
        logger.addHandler(logging.NullHandler())
    if options.command == "copy":
        return copying.copy(terminal, options)
    manager = open_target(options.store)
    if in_memory(manager):
        terminal.note(
            "this is a MemoryStore: it has only what importing the module stored, not the sessions of a server"
        )
    return COMMANDS[options.command](manager, terminal, options)


def _failed(error: Exception, code: int) -> int:
    print(f"wsgisession: {visible(redacted(str(error)))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
