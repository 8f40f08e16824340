"""Record: what is stored under a key, its values encoded. Marker: what stands there after a change of id.

Both are immutable. Only this module knows how a record holds its lines. It does not know how values are encoded, what a
payload looks like, or what stores and requests are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, KeysView, Mapping
from typing import Any, NamedTuple

Places = Mapping[str, int]
"""Where the line of each key is among the lines of a record, in the order of the keys."""

NO_PLACES: Places = {}
NO_LINES: list[bytes] = []
"""What a record without values holds. Nobody changes them."""


class Marker(NamedTuple):
    """What stands under an old key for a minute after the id of its session changed. It is no session."""

    successor: str | None
    """The new key. None: version 1.0 of the library did not say."""
    owner_changed: bool
    """True: by a login or a logout. False: by ``regenerate()``."""


class Record:
    """What is stored under a key: facts about a session, and its encoded values by key.

    Args:
        created: POSIX seconds.
        owner: The application's own name for who is logged in. None: nobody.
        persistent: True is "remember me".
        data: Encoded values by key. They stay out of ``repr``.
        idle_timeout: Seconds without use after which this session ends. None: the configured ones.
        extra: What a foreign format must keep.
    """

    __slots__ = ("_created", "_lines", "_places", "extra", "head", "idle_timeout", "owner", "persistent")

    owner: str | None
    persistent: bool
    idle_timeout: float | None
    extra: Any
    head: bytes | None
    """How a codec wrote the facts and keys of this record: ``[version,nonce,created,…]``. None: it has to write them."""

    def __init__(
        self,
        created: float,
        owner: str | None,
        persistent: bool,
        data: Mapping[str, bytes],
        *,
        idle_timeout: float | None = None,
        extra: Any = None,
    ) -> None:
        self._created: float | None = created
        self.owner = owner
        self.persistent = persistent
        self.idle_timeout = idle_timeout
        self.extra = extra
        self.head = None
        self._places: Places = {key: place for place, key in enumerate(data)}
        self._lines: list[bytes] = list(data.values())

    @classmethod
    def of_lines(
        cls,
        created: float | None,
        owner: str | None,
        persistent: bool,
        idle_timeout: float | None,
        places: Places,
        lines: list[bytes],
        head: bytes | None,
        extra: Any = None,
    ) -> Record:
        """Return a record that keeps ``places`` and ``lines`` as they are. Nobody may change them afterwards.

        Args:
            created: None: as ``head`` says, which is read when somebody asks.
        """
        record = cls.__new__(cls)
        record._created = created
        record.owner = owner
        record.persistent = persistent
        record.idle_timeout = idle_timeout
        record.extra = extra
        record.head = head
        record._places = places
        record._lines = lines
        return record

    @property
    def created(self) -> float:
        """POSIX seconds."""
        if self._created is None:  # most requests never ask, and save 0.3 µs
            assert self.head is not None
            self._created = float(self.head.split(b",", 3)[2])
        return self._created

    # The values

    @property
    def keys(self) -> KeysView[str]:
        """The keys, in their order."""
        return self._places.keys()

    @property
    def lines(self) -> Iterable[bytes]:
        """The encoded values, in the order of the keys."""
        return self._lines

    @property
    def data(self) -> dict[str, bytes]:
        """A copy of the encoded values by key."""
        return dict(zip(self._places, self._lines, strict=True))

    def line(self, key: str) -> bytes | None:
        """Return the encoded value of a key. None: there is no such key."""
        place = self._places.get(key)
        return None if place is None else self._lines[place]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._lines)

    def largest(self) -> tuple[str, int] | None:
        """Return the key of the longest encoded value and its size in bytes. None: there is no value."""
        return max(zip(self._places, map(len, self._lines), strict=True), key=lambda item: item[1], default=None)

    # Other records

    def with_changes(self, lines: Mapping[str, bytes], removed: Collection[str] = ()) -> Record:
        """Return this record with some keys removed, and then with other or more lines.

        A key that is removed and has a line too moves to the end, as in a dict.
        """
        places = self._places
        if not places:  # a session that begins
            return self._like({key: place for place, key in enumerate(lines)}, list(lines.values()), None)
        if not removed and all(map(places.__contains__, lines)):  # mostly; a list is copied, and no dict is built
            mine = self._lines.copy()
            for key, line in lines.items():
                mine[places[key]] = line
            return self._like(places, mine, self.head)
        data = self.data
        for key in removed:
            data.pop(key, None)
        data.update(lines)
        places = {key: place for place, key in enumerate(data)}
        return self._like(places, list(data.values()), None)

    def with_facts(
        self, created: float, owner: str | None, persistent: bool, idle_timeout: float | None
    ) -> Record:
        """Return a record of the same values with these facts. It is this record itself if they are the same."""
        if (created, owner, persistent, idle_timeout) == self.facts:
            return self
        return Record.of_lines(
            created, owner, persistent, idle_timeout, self._places, self._lines, None, self.extra
        )

    def without_values(self) -> Record:
        """Return a record of the same facts without any value."""
        return self._like({}, [], None)

    def _like(self, places: Places, lines: list[bytes], head: bytes | None) -> Record:
        record = Record.__new__(Record)
        record._created = self._created if head is not None else self.created
        record.owner = self.owner
        record.persistent = self.persistent
        record.idle_timeout = self.idle_timeout
        record.extra = self.extra
        record.head = head
        record._places = places
        record._lines = lines
        return record

    # Comparing

    @property
    def facts(self) -> tuple[float, str | None, bool, float | None]:
        """What is known of the session besides its values: created, owner, persistent, idle_timeout."""
        return self.created, self.owner, self.persistent, self.idle_timeout

    def same_values(self, other: Record) -> bool:
        """True if both have the same lines under the same keys in the same order (``popitem`` shows the order)."""
        return self._lines == other._lines and list(self._places) == list(other._places)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return self.facts == other.facts and self.data == other.data and self.extra == other.extra

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        created, owner, persistent, idle_timeout = self.facts
        return (
            f"Record(created={created!r}, owner={owner!r}, persistent={persistent!r}, "
            f"idle_timeout={idle_timeout!r}, extra={self.extra!r})"
        )


def check_owner(owner: object) -> None:
    """Refuse what cannot be the name of an owner.

    Raises:
        TypeError, ValueError: The message says what to pass.
    """
    if owner is None:
        return
    if type(owner) is not str:
        raise TypeError(f"an owner is a str or None, not {type(owner).__name__}; pass str(user.id)")
    if not 1 <= len(owner) <= 255:
        raise ValueError("an owner has 1 to 255 characters; pass None for nobody")
    if "\0" in owner or any("\ud800" <= character <= "\udfff" for character in owner):
        raise ValueError("an owner has no NUL and no lone surrogates")
