"""Record: what is stored under a key, its values encoded. Knows neither how they are encoded nor what a payload looks like."""

from __future__ import annotations

from typing import Any, NamedTuple


class Shape(NamedTuple):
    """The keys of a record, which all records with the same keys share."""

    places: dict[str, int]  # where a key's line is among the lines, in the order of the keys
    text: bytes  # the list of keys as JSON


Held = dict[str, bytes] | tuple[Shape, list[bytes]]
"""The encoded values of a record: by key, or as a payload has them. Neither is ever changed."""


def unfolded(held: Held) -> dict[str, bytes]:
    """Return encoded values by key."""
    return dict(zip(held[0].places, held[1], strict=True)) if isinstance(held, tuple) else held


class Record:
    """What is stored under a key.

    Args:
        created: POSIX seconds; as a codec read it, ASCII digits with a point, it becomes a number when it is asked for.
        owner: The application's own name for who is logged in; None: nobody.
        persistent: True is "remember me".
        data: Encoded values (lines of JSON) by key. They stay out of ``repr``.
        extra: What a foreign format must keep.
    """

    __slots__ = ("extra", "held", "owner", "persistent", "when")

    def __init__(self, created: float | bytes, owner: str | None, persistent: bool, data: Held, extra: Any = None) -> None:
        self.when = created
        self.owner = owner
        self.persistent = persistent
        self.held = data
        self.extra = extra

    @property
    def data(self) -> dict[str, bytes]:
        """Encoded values by key. A request that touches one key never needs them all."""
        if isinstance(self.held, tuple):
            self.held = unfolded(self.held)
        return self.held

    @data.setter
    def data(self, data: dict[str, bytes]) -> None:
        self.held = data

    @property
    def created(self) -> float:
        """POSIX seconds."""
        if isinstance(self.when, bytes):  # most requests never ask, and so save 0.3 µs to read it and 0.5 to write it again
            self.when = float(self.when)
        return self.when

    @created.setter
    def created(self, created: float) -> None:
        self.when = created

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self._facts() == other._facts() and self.data == other.data

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        created, owner, persistent, extra = self._facts()
        return f"Record(created={created!r}, owner={owner!r}, persistent={persistent!r}, extra={extra!r})"

    def _facts(self) -> tuple[float, str | None, bool, Any]:
        return self.created, self.owner, self.persistent, self.extra
