"""Print the versions that the test runs had to do with, and fail if they are not those that the docs say.

Usage: versions.py FILE PAGE. The file has a line for each, which ``tests/support/ran_on.py`` wrote.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

LEAST = {"CPython": 5, "Redis or Valkey": 3, "PostgreSQL": 2, "SQLite": 2}
ROW = re.compile(r"^\| ([^|]+?) +\| ([^|]+?) +\|", re.MULTILINE)


def main(ran_on: Path, page: Path) -> str | None:
    """Return what is wrong; None if nothing is."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in ran_on.read_text(encoding="utf-8").splitlines():
        name, version = re.split(r" (?=\d)", line, maxsplit=1)
        found[name].add(version)
    for name, versions in sorted(found.items()):
        print(f"{name}: {', '.join(sorted(versions, key=numbers))}")
    kinds = {name: {numbers(version)[:2] for version in versions} for name, versions in found.items()}
    counts = {name: len(kinds.get(name, ())) for name in LEAST}
    counts["Redis or Valkey"] = len(kinds.get("Redis", ())) + len(kinds.get("Valkey", ()))
    few = [f"{name}: {count}" for name, count in counts.items() if count < LEAST[name]]
    said = {
        name: re.findall(r"\d+(?:\.\d+)*", versions)
        for name, versions in ROW.findall(page.read_text("utf-8"))
    }
    missing = [
        f"{name} {version}"
        for name, versions in said.items()
        for version in versions
        if not any(numbers(one)[: len(numbers(version))] == numbers(version) for one in found.get(name, ()))
    ]
    if few:
        return f"too few versions: {', '.join(few)}"
    return f"{page} says what no test ran on: {', '.join(missing)}" if missing else None


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
