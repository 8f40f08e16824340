"""The command line, ``python -m wsgisession``: its syntax, its errors, its exit codes. Knows nothing of what commands do."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from wsgisession.cli import commands
from wsgisession.cli.commands import FINDING, UNREACHABLE, USAGE
from wsgisession.cli.target import Unusable, in_memory, open_target, redacted
from wsgisession.cli.terminal import NoTerminal, Refused, Terminal
from wsgisession.cli.text import visible
from wsgisession.errors import SessionError
from wsgisession.manager import SessionManager
from wsgisession.record import check_owner

Command = Callable[[SessionManager, Terminal, argparse.Namespace], int]

DESCRIPTION = """\
The sessions of a store, from the command line. A session is known by its key,
the SHA-256 of its id; no command prints an id or a token."""

EPILOG = """\
STORE is a URL, or module:middleware, which is imported from the current
directory and brings its codec, prefix and secret along. Without it the
environment variable WSGISESSION_STORE is asked, so that no password need stand
in the list of processes.

A terminal gets a table, anything else lines with tabs, --json JSON.

exit code: 0 done; 1 there is a finding, no such session, or the answer was no;
2 the command line or the configuration is wrong; 3 the store failed;
130 interrupted; 141 nobody reads the output any more
"""

CUT_OFF, INTERRUPTED = 141, 130  # as a shell counts: 128 and the number of SIGPIPE, of SIGINT

_KEY = re.compile(r"[A-Za-z0-9_-]{43}")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and repeat nothing that was given: it may be a password or a token."""

    def __init__(self, **options: object) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        told = re.sub(r"(invalid choice|unrecognized arguments|ignored explicit argument).*", r"\1", message)
        self.exit(USAGE, f"wsgisession: {told}; see {self.prog} --help\n")


def build_parser() -> Parser:
    """Return the parser; each command's arguments say what to run."""
    parser = Parser(prog="wsgisession", usage="wsgisession COMMAND …", description=DESCRIPTION, epilog=EPILOG)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands", prog="wsgisession")

    def add(name: str, run: Command | None, usage: str, text: str) -> Parser:
        command = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.usage = f"wsgisession {name} {usage}"
        command.set_defaults(run=run)
        if run is not None:
            command.add_argument("--store", metavar="STORE", help="a URL, or module:middleware; STORE alone will do")
        command.add_argument("--json", action="store_true", help="write JSON")
        return command

    store = "[STORE] [--json]"
    listing = add("list", commands.list_, f"{store} [--owner NAME]", "list the live sessions; as JSON, one object on a line")
    listing.add_argument("--owner", metavar="NAME", help="only this owner's, newest first")
    showing = add("show", commands.show, f"{store} KEY", "show one session with its data")
    showing.add_argument("key", metavar="KEY", help="as list prints it")
    ending = add("destroy", commands.destroy, f"{store} [--yes] (KEY | --owner NAME | --all)", "end sessions, after asking")
    which = ending.add_mutually_exclusive_group(required=True)
    which.add_argument("key", metavar="KEY", nargs="?", help="this session, or the one it became")
    which.add_argument("--owner", metavar="NAME", help="all sessions of this owner")
    which.add_argument("--all", action="store_true", help="all sessions: everybody is logged out")
    ending.add_argument("--yes", action="store_true", help="do not ask")
    add("purge", commands.purge, store, "remove expired records from the store")
    add("stats", commands.stats, store, "count live sessions, their owners, sizes and ages")
    add("check", commands.check, store, "look for what is wrong with the configuration; writes one record and deletes it")
    add("secret", None, "[--json]", "print a new secret: 256 bits from the operating system, base64url")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(_sorted_out(given))
    try:
        code = _run(Terminal(json=options.json), options)
        sys.stdout.flush()
        return code
    except (NoTerminal, Unusable) as error:
        return _failed(error, USAGE)
    except Refused as error:
        return _failed(error, FINDING)
    except SessionError as error:
        return _failed(error, UNREACHABLE)
    except OSError as error:
        # What is still buffered goes nowhere, instead of into an error while the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF if isinstance(error, BrokenPipeError) else _failed(error, UNREACHABLE)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED


def _sorted_out(given: list[str]) -> list[str]:
    """Tell keys and stores apart from options, which argparse cannot."""
    result: list[str] = []
    for item, before in zip(given, ["", *given], strict=False):
        if before in ("--owner", "--store"):
            result.append(item)
        elif item[:1] == "-" and _KEY.fullmatch(item):  # one key in 64 begins with a dash; a blank makes it no option
            result.append(f" {item}")
        elif item[:1] != "-" and ":" in item:  # no key has a colon, and each store has one
            result += ["--store", item]
        else:
            result.append(item)
    return result


def _run(terminal: Terminal, options: argparse.Namespace) -> int:
    if options.run is None:
        return commands.secret(terminal, options)
    if (key := getattr(options, "key", None)) is not None:
        options.key = key.strip()
        if not _KEY.fullmatch(options.key):
            raise Unusable("a key has 43 letters, digits, - and _, as list prints it")
    try:
        check_owner(getattr(options, "owner", None))
    except ValueError as error:
        raise Unusable(str(error)) from None
    manager = open_target(options.store)
    logger = logging.getLogger("wsgisession")
    if not logger.hasHandlers():  # otherwise the last resort would write events, among them keys, to standard error
        logger.addHandler(logging.NullHandler())
    if in_memory(manager):
        terminal.note("this is a MemoryStore: only what importing the module stored is here, not what a server holds")
    run: Command = options.run
    return run(manager, terminal, options)


def _failed(error: Exception, code: int) -> int:
    print(f"wsgisession: {visible(redacted(str(error)))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
