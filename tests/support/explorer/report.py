"""What was walked, as the tables of docs/explorer.md. Knows no orders and no promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .mutations import Mutation
from .plan import Meeting, Walked
from .story import STARTS

HEAD = "| which requests overlap | meetings | orders | with one fault | anomalies |"
RULES = "| the rule that is taken away | the promise it breaks | noticed where these overlap |"
NUMBERS = {2: "two", 3: "three"}


def group(meeting: Meeting) -> str:
    """Return the row that a meeting counts in."""
    return f"{NUMBERS[len(meeting.kinds)]}, {STARTS[meeting.start].name}"


def orders(walked: Iterable[Walked]) -> Iterator[str]:
    """Yield the lines of the table of what was walked."""
    rows: dict[str, list[int]] = {}
    for one in walked:
        row = rows.setdefault(group(one.meeting), [0, 0, 0, 0])
        for place, number in enumerate((1, one.orders, one.faulty, len(one.anomalies))):
            row[place] += number
    yield HEAD
    yield "|---|---|---|---|---|"
    for name, row in sorted(rows.items(), key=lambda item: (item[0].split(",")[0] != "two", item[0])):
        yield _line(name, *row)
    yield _line("all", *(sum(column) for column in zip(*rows.values(), strict=True)))


def rules(mutations: Iterable[Mutation]) -> Iterator[str]:
    """Yield the lines of the table of what the package was robbed of."""
    yield RULES
    yield "|---|---|---|"
    for mutation in mutations:
        yield f"| {mutation.name} | {mutation.promise} | {str(mutation.meeting).replace(' | ', '; ')} |"


def _line(name: str, *numbers: int) -> str:
    return f"| {name} | " + " | ".join(f"{number:,}" for number in numbers) + " |"
