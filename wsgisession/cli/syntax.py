"""The commands and options that can be typed, and the messages about typing mistakes. Knows no command and no session.

A wrong word may be a password or a token, so it is repeated only if it looks like a command or an option.
"""

from __future__ import annotations

import argparse
import re
import time
from argparse import ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NoReturn

from wsgisession import __version__
from wsgisession.cli.outcome import USAGE
from wsgisession.cli.text import UNITS

DESCRIPTION = """\
Show and end the sessions of a store. A session is named by its key, the
SHA-256 of its id. No command prints an id or a token."""

EPILOG = """\
STORE is a URL, or module:middleware. The module is imported from the current
directory; the middleware has the codec, the prefix and the secret. Without
STORE the environment variable WSGISESSION_STORE is read, so that no password
has to be in the list of processes. If a file or a table does not exist, that
is an error. Only copy makes one.

Output is a table on a terminal, otherwise lines with tabs; --json gives JSON.

exit code: 0 done; 1 there is a finding, no such session, or the answer was no;
2 the command line or the configuration is wrong; 3 the store failed;
130 interrupted; 141 nobody reads the output any more
"""

KEY = re.compile(r"[A-Za-z0-9_-]{43}")
ORDERS = ("created", "expires", "owner", "size")

_WORD = re.compile(r"[A-Za-z][A-Za-z-]{0,15}")
_AGO = re.compile(r"(\d{1,9})(s|min|h|d)")
_OPTION = re.compile(r"-[A-Za-z]|--[A-Za-z][A-Za-z-]{0,15}")
# Other tools' names of these commands.
_OTHER_WORDS = {
    "ls": "list",
    "get": "show",
    "info": "stats",
    "doctor": "check",
    "cleanup": "purge",
    **dict.fromkeys(("delete", "remove", "rm", "clear"), "destroy"),
    **dict.fromkeys(("migrate", "move"), "copy"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and repeat no value. Knows the names of its options."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)
        self.options = ["-h", "--help"]
        self.valued: list[str] = []  # those that take a value

    def error(self, message: str) -> NoReturn:
        """Write one line, and end with exit code 2."""
        told = re.sub(r"(unrecognized arguments|ignored explicit argument).*", r"\1", message)
        self.exit(USAGE, f"wsgisession: {told}; see {self.prog} --help\n")

    def option(self, name: str, *, among: Any = None, **details: Any) -> None:
        """Add an option, to a group of the parser if there is one."""
        self.options.append(name)
        if "metavar" in details:
            self.valued.append(name)
        (among or self).add_argument(name, **details)

    def sorted_out(self, words: Sequence[str]) -> list[str]:
        """Return the words so that argparse does not take a key or a store for an option.

        End with an error if there is an option that does not exist.
        """
        result: list[str] = []
        for word, before in zip(words, ["", *words], strict=False):
            name = word.partition("=")[0]
            if before in self.valued or name in self.options:
                result.append(word)
            elif KEY.fullmatch(word):
                result.append(f" {word}")  # one key in 64 begins with a dash; a blank makes it no option
            elif word[:1] == "-":
                near = get_close_matches(name, self.options, 1)
                message = f"{self.prog.split()[-1]} has no option {_quoted(name, _OPTION, 'like this')}"
                self.error(message + (f"; did you mean {near[0]}?" if near else ""))
            elif (":" in word or not word) and "--store" in self.options:
                # No key has a colon, and each store has one; a variable of the shell that is not set is no store.
                result += ["--store", word]
            else:
                result.append(word)
        if sum(word.partition("=")[0] == "--store" for word in result) > 1:
            self.error(f"{self.prog.split()[-1]} works on one store, and more than one is named")
        return result


class Syntax:
    """The whole command line. ``parse`` returns what a command needs."""

    def __init__(self) -> None:
        self.commands: dict[str, Parser] = {}
        self.parser = Parser(
            prog="wsgisession", usage="wsgisession COMMAND …", description=DESCRIPTION, epilog=EPILOG
        )
        self.parser.add_argument(
            "--version", action="version", version=f"wsgisession {__version__}", help="show the version"
        )
        self._commands = self.parser.add_subparsers(
            dest="command", metavar="COMMAND", title="commands", prog="wsgisession"
        )
        usage = "[--owner NAME] [--since WHEN]\n" + " " * 24 + "[--sort BY] [--limit N]"
        listing = self._add("list", usage, "list the live sessions; JSON has one object per line")
        listing.option("--owner", metavar="NAME", help="only this owner's sessions, newest first")
        listing.option(
            "--since",
            metavar="WHEN",
            type=_since,
            help="only sessions begun since: 30min, 2h, 7d, 2026-11-24",
        )
        listing.option(
            "--sort", metavar="BY", type=_order, help="created (newest first), expires, owner or size"
        )
        listing.option("--limit", metavar="N", type=_number, help="at most N sessions")
        showing = self._add("show", "KEY", "show one session with its data")
        showing.add_argument("key", metavar="KEY", type=_key, help="as list prints it")
        self._add("count", "", "count the live sessions, as cheaply as the store can")
        self._add("stats", "", "count live sessions, their owners, sizes and ages")
        ending = self._add("destroy", "[--yes] (KEY | --owner NAME | --all)", "end sessions, after asking")
        which = ending.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "key", metavar="KEY", nargs="?", type=_key, help="this session; an old key works for a minute"
        )
        ending.option("--owner", among=which, metavar="NAME", help="all sessions of this owner")
        ending.option("--all", among=which, action="store_true", help="all sessions: everybody is logged out")
        ending.option("--yes", action="store_true", help="do not ask")
        self._add("purge", "", "remove expired records from the store")
        copying = self._add(
            "copy", "FROM TO", "copy live sessions to another store, if it lacks them", store=False
        )
        copying.add_argument("source", metavar="FROM", help="a STORE; it is only read")
        copying.add_argument("target", metavar="TO", help="a STORE; it is made if needed")
        self._add("check", "", "look for mistakes in the configuration; writes one record and deletes it")
        self._add(
            "secret", "", "print a new secret: 256 bits from the operating system, base64url", store=False
        )

    def _add(self, name: str, usage: str, text: str, *, store: bool = True) -> Parser:
        command = self._commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.usage = f"wsgisession {name} {'[STORE] ' if store else ''}[--json] {usage}".rstrip()
        self.commands[name] = command
        if store:
            command.option(
                "--store", metavar="STORE", help="a URL, or module:middleware; --store can be left out"
            )
        command.option("--json", action="store_true", help="write JSON")
        return command

    def parse(self, given: Sequence[str]) -> argparse.Namespace:
        """Return the arguments of a command line. A wrong one is one line on standard error, and exit code 2."""
        if not given:
            self.parser.error("name a command")
        first, *words = given
        if first[:1] == "-":
            self.parser.parse_known_args([first])  # --help and --version end here
            known = ["--version", *(name for command in self.commands.values() for name in command.options)]
            near = next(iter(get_close_matches(first, known, 1)), None)
            told = _quoted(first, _OPTION, "an option")
            if near in ("--help", "--version"):
                self.parser.error(f"there is no {told}; did you mean {near}?")
            self.parser.error(f"{told} cannot come before the command")
        self._check_command(first)
        command = self.commands[first]
        options, rest = self.parser.parse_known_args([first, *command.sorted_out(words)])
        if rest:
            place = words.index(rest[0].strip()) + 1
            command.error(f"there is one argument too many (number {place} after {first})")
        return options

    def _check_command(self, word: str) -> None:
        if word in self.commands:
            return
        if ":" in word:
            self.parser.error("the command comes first, then the store")
        near = _OTHER_WORDS.get(word) or next(iter(get_close_matches(word, self.commands, 1)), None)
        message = f"there is no command {_quoted(word, _WORD, 'like this')}"
        self.parser.error(
            message + (f"; did you mean {near}?" if near else f"; there are {', '.join(self.commands)}")
        )


def build_parser() -> Parser:
    """Return the parser alone, for tools that write completions."""
    return Syntax().parser


def _quoted(word: str, form: re.Pattern[str], otherwise: str) -> str:
    return repr(word) if form.fullmatch(word) else otherwise


# How the values of options are read. Messages do not repeat the value.


def _since(text: str) -> float:
    """Return POSIX seconds of a moment in ISO 8601 (UTC if it names no zone), or of a duration ago (``90s``, ``2h``)."""
    if ago := _AGO.fullmatch(text):
        return time.time() - int(ago[1]) * dict(UNITS)[ago[2]]
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ArgumentTypeError("write 30min, 2h, 7d, or a moment such as 2026-11-24T18:44") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ArgumentTypeError("write a whole number above 0")
    return int(text)


def _order(text: str) -> str:
    if text not in ORDERS:
        raise ArgumentTypeError(f"write one of {', '.join(ORDERS)}")
    return text


def _key(text: str) -> str:
    if not KEY.fullmatch(text.strip()):
        raise ArgumentTypeError("a key has 43 letters, digits, - and _, as list prints it")
    return text.strip()
