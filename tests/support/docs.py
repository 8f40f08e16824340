"""The code blocks of a Markdown page, so that tests run what a reader would paste."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?[^\n]*\n(.*?)^```$', re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, its title (```` ```python title="app.py" ````), its text, the line it begins on."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of a page, named from the repository's root, in order; of one language, or of all."""
    source = (ROOT / page).read_text(encoding="utf-8")
    found = [
        Block(match[1], match[2], match[3], source.count("\n", 0, match.start()) + 2)
        for match in _FENCE.finditer(source)
    ]
    return [block for block in found if language in (None, block.language)]


def titled(page: str, title: str) -> str:
    """Return the text of the one block with this title: a file as the reader saves it."""
    [block] = [block for block in blocks(page) if block.title == title]
    return block.text


def run(page: str, block: Block, namespace: dict[str, object]) -> None:
    """Execute a Python block; a traceback names the page and the line."""
    exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / page), "exec"), namespace)


def examples(page: str) -> dict[str, Any]:
    """Run a page's Python blocks in order, in one namespace, and return that."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page, "python"):
        run(page, block, namespace)
    return namespace


def check_console(page: str, title: str, folder: Path, port: int) -> None:
    """Type the commands of a block into a terminal; each prints what is printed under it."""
    for step in titled(page, title).replace("8000", str(port)).split("$ ")[1:]:
        command, expected = step.split("\n", 1)
        typed = ["bash", "-c", command]
        done = subprocess.run(typed, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == expected.strip(), command
