"""The output of one run: results, messages, questions and progress.

Results go to standard output: a table if that is a terminal, otherwise lines with tabs, or JSON if it was asked for.
    Everything else goes to standard error. Progress is shown only on a terminal.

Knows no session and no store.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from wsgisession.cli.text import visible

PATIENCE = 0.5  # seconds before progress is shown
PACE = 0.1  # seconds between two updates

Thing = TypeVar("Thing")


class Refused(Exception):
    """The answer to the question before something is destroyed was not yes."""


class NoTerminal(Exception):
    """Nobody can be asked."""


class Terminal:
    """One run's output. ``human``: a person reads it; ``json``: it was asked for."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.human = not json and sys.stdout.isatty()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a character that the encoding lacks is shown as an escape
                stream.reconfigure(errors="backslashreplace")

    def line(self, *cells: str) -> None:
        """Write one line; several cells with tabs between them."""
        print(*cells, sep="\t")

    def dump(self, value: Any) -> None:
        """Write one line of JSON, in ASCII."""
        print(json.dumps(value, allow_nan=False))

    def result(self, value: Any, human: Iterable[str], plain: Iterable[Sequence[str]]) -> None:
        """Write a result as JSON if that was asked for, as lines for a person on a terminal, otherwise as cells."""
        if self.json:
            self.dump(value)
        else:
            for cells in [(line,) for line in human] if self.human else plain:
                self.line(*cells)

    def note(self, message: str) -> None:
        """Tell the person who started the command, on standard error."""
        print(f"wsgisession: {visible(message)}", file=sys.stderr)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask, and return if the answer is yes. Otherwise raise Refused or NoTerminal."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise NoTerminal(
                "this command asks before it destroys anything, and nobody is there to answer: pass --yes"
            )
        print(f"{visible(question)} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Refused("nothing was done")


class Progress:
    """A number that grows, ``count``, on standard error: ``with Progress("sessions read") as progress: progress.step()``.

    Args:
        what: What is counted.
        quiet: Show nothing, because the result goes to the same terminal meanwhile.
    """

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what = what
        self._shows = sys.stderr.isatty() and not quiet
        self.count = 0
        self._next = time.monotonic() + PATIENCE
        self._shown = False

    def __enter__(self) -> Progress:
        return self

    def over(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """Yield things, and count them."""
        for thing in things:
            yield thing
            self.step()

    def step(self, count: int = 1) -> None:
        """Count, and show the number if it is time."""
        self.count += count
        if self._shows and (now := time.monotonic()) >= self._next:
            self._next = now + PACE
            self.say(f"{self.count:,} {self._what}")

    def say(self, text: str) -> None:
        """Show this text instead of a number, until the end."""
        if self._shows:
            self._shown = True
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *exc_info: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
