"""SessionInfo: one live session in a listing. Knows no store, only a record and its codec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wsgisession.codec import Codec
from wsgisession.errors import UnreadableValue
from wsgisession.record import Record


class SessionItems(Mapping[str, Any]):
    """The items of a stored session, read-only. Each item is decoded when it is read.

    Raises:
        UnreadableValue: The value that is read cannot be decoded.
    """

    __slots__ = ("_codec", "_record")

    def __init__(self, record: Record, codec: Codec) -> None:
        self._record = record
        self._codec = codec

    def __getitem__(self, key: str) -> Any:
        line = self._record.line(key)
        if line is None:
            raise KeyError(key)
        try:
            return self._codec.decode(line)
        except ValueError as error:
            raise UnreadableValue(f"session[{key!r}] cannot be read: {error}") from None

    def __contains__(self, key: object) -> bool:
        return key in self._record

    def __iter__(self) -> Iterator[str]:
        return iter(self._record.keys)

    def __len__(self) -> int:
        return len(self._record)

    def __repr__(self) -> str:
        return f"<{len(self)} items>"


class SessionInfo(NamedTuple):
    """One live session in a listing. Times are in POSIX seconds."""

    key: str
    owner: str | None
    created: float
    expires: float
    used: float
    """When the session's expiry was last moved: at most a tenth of its timeout before its last use.

    If the lifetime limits the expiry, or a limit was changed, this is the earliest possible time.
    """
    data: Mapping[str, Any]
    """The session's items, decoded when they are read."""
