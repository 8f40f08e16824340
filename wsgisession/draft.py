"""What one request makes of a record: lazily decoded values, what changed, what to write. Knows no store and no HTTP.

A draft starts from a record's encoded lines. A value is decoded when it is read and encoded when it was changed; what the
request does not touch stays the bytes it was. Change is noticed per key: assigned or deleted, or a mutable value was handed
out and is no longer what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from wsgisession.codec import IMMUTABLE, JSONCodec, Record, fingerprint, unchanged
from wsgisession.errors import UnsupportedType
from wsgisession.merge import MISSING, adopt, merge_value


class Draft:
    """One request's view of a record, or of no record yet (``Draft(codec)``)."""

    __slots__ = (
        "_base",
        "_codec",
        "_doubtful",
        "_lines",
        "_marks",
        "_values",
        "_when",
        "extra",
        "owner",
        "persistent",
        "renew",
        "stored_owner",
        "stored_persistent",
    )

    _base: dict[str, bytes]
    _lines: Mapping[str, bytes | None]
    _when: float | bytes  # as in the record
    extra: Any
    owner: str | None
    stored_owner: str | None

    def __init__(
        self, codec: JSONCodec, record: Record | None = None, created: float = 0.0, persistent: bool = False
    ) -> None:
        self._codec = codec
        self._values: dict[str, Any] = {}  # decoded or assigned, key by key
        self._marks: dict[str, bytes | None] = {}  # of values that have a line and may differ from it; None: encode to find out
        self._doubtful: tuple[int, ...] = ()  # hashes of payloads whose fate the store did not tell
        self.renew = False  # a new id is due with the next commit
        if record is not None:
            self._start(record)
        else:
            self._lines = self._base = {}
            self._when, self.extra = created, None
            self.owner = self.stored_owner = None
            self.persistent = self.stored_persistent = persistent

    def _start(self, record: Record) -> None:
        # One dict serves as both until a key comes or goes; a None among the lines: the value has no line yet.
        self._base = self._lines = record.data
        self._when, self.extra = record.when, record.extra
        self.owner = self.stored_owner = record.owner
        self.persistent = self.stored_persistent = record.persistent

    @property
    def created(self) -> float:
        """When the session began, in POSIX seconds."""
        return float(self._when)

    @created.setter
    def created(self, created: float) -> None:
        self._when = created

    # Reading

    def __contains__(self, key: object) -> bool:
        return key in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own())  # as with a dict, a key added or deleted meanwhile is an error

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._own())

    def get(self, key: str, default: Any = MISSING) -> Any:
        """Return a value, decoding it the first time, or the default. ValueError: its line is not readable."""
        values = self._values
        if key in values:
            return values[key]
        line = self._lines.get(key)
        if line is None:  # a value without a line is among the values
            return default
        value = values[key] = self._codec.decode(line)
        if type(value) not in IMMUTABLE:
            self._marks[key] = fingerprint(value, line)
        return value

    # Writing

    def set(self, key: str, value: Any) -> None:
        """Assign a value. UnsupportedType: its own type cannot be stored (what it contains is looked at on commit)."""
        if type(value) not in self._codec.accepts:
            self._codec.encode(value, _path(key))
        if self._lines.get(key) is None:
            self._own()[key] = None
        else:  # only when it is encoded can be told whether it differs from the line there is
            self._marks[key] = None
        self._values[key] = value

    def delete(self, key: str) -> None:
        """Delete a key. KeyError: there is none."""
        if key not in self._lines:
            raise KeyError(key)
        del self._own()[key]
        self._values.pop(key, None)
        self._marks.pop(key, None)

    def clear(self) -> None:
        """Delete every key."""
        self._lines = {}
        self._values = {}
        self._marks = {}

    def _own(self) -> dict[str, bytes | None]:
        if self._lines is self._base:
            self._lines = dict(self._lines)
        return cast("dict[str, bytes | None]", self._lines)

    # Committing

    def encode(self) -> dict[str, bytes]:
        """Return the lines to store: the very base where nothing changed. UnsupportedType names the path of a bad value."""
        lines, values, base = self._lines, self._values, self._base
        fresh: dict[str, bytes] = {}
        for key, mark in self._marks.items():
            value, line = values[key], lines[key]
            if mark is None or not unchanged(value, mark):
                encoded = self._encoded(key, value)
                if encoded != line:
                    fresh[key] = encoded
        if lines is base:
            return {**base, **fresh} if fresh else base
        whole: dict[str, Any] = {**lines, **fresh}
        for key, line in lines.items():
            if line is None:
                whole[key] = self._encoded(key, values[key])
        # Order counts: popitem() and reversed() show it.
        return base if whole == base and list(whole) == list(base) else whole

    def _encoded(self, key: str, value: Any) -> bytes:
        """Return a value's line. UnsupportedType names its path, which takes as long as encoding a number: not before."""
        try:
            return self._codec.encode(value, "")
        except UnsupportedType:
            pass
        return self._codec.encode(value, _path(key))

    def pending(self) -> bool:
        """False where nothing can differ from what is stored: nothing was assigned, no mutable value was handed out."""
        return (
            self._lines is not self._base
            or len(self._marks) > 0
            or self.renew
            or self.persistent != self.stored_persistent
            or self.owner != self.stored_owner
        )

    def changed(self, lines: dict[str, bytes]) -> bool:
        """True where a record with these lines, as ``encode`` returned them, would differ from the stored one."""
        return lines is not self._base or self.persistent != self.stored_persistent or self.owner != self.stored_owner

    def record(self, lines: dict[str, bytes]) -> Record:
        """Return the record to store, with these lines, as ``encode`` returned them."""
        return Record(self._when, self.owner, self.persistent, lines, self.extra)

    def settle(self, record: Record) -> None:
        """Take note that ``record``, made from this draft, is what is stored now."""
        marks: dict[str, bytes | None] = {}
        for key, value in self._values.items():
            if type(value) not in IMMUTABLE:
                marks[key] = None  # the line may be newer than the old mark
        self._marks = marks
        self._base = self._lines = record.data
        self.stored_owner, self.stored_persistent = record.owner, record.persistent
        self._doubtful = ()
        self.renew = False

    # Meeting other requests

    def doubt(self, payload: bytes) -> None:
        """Take note that this payload of the draft may have been stored: the write failed, or its reply was lost."""
        self._doubtful += (hash(payload),)  # an outage may be long and a payload is not small

    def made(self, payload: bytes) -> bool:
        """True where what is stored is this draft's own, from a write whose reply was lost."""
        return len(self._doubtful) > 0 and hash(payload) in self._doubtful

    def meet(self, payload: bytes, theirs: Record, lines: Mapping[str, bytes]) -> None:
        """Put this draft, whose own lines are ``lines``, on top of the record that is stored by now as ``payload``."""
        if self.made(payload):
            self.assume(theirs)
        else:
            self.merge(theirs, lines)
        self._doubtful = ()

    def assume(self, record: Record) -> None:
        """Take ``record``, of this draft's own making, as what later changes are changes of."""
        self._lines = dict(self._lines)
        self._base = record.data
        self.stored_persistent = record.persistent

    def merge(self, theirs: Record, lines: Mapping[str, bytes]) -> None:
        """Put this draft, whose own lines are ``lines``, on top of what another request stored meanwhile."""
        base, new, values = self._base, theirs.data, self._values
        merged: dict[str, bytes] = {}
        marks: dict[str, bytes | None] = {}
        for key in [*new, *(key for key in lines if key not in new)]:
            before, ours, their = base.get(key), lines.get(key), new.get(key)
            if their == before:
                line = ours
            elif ours == before:
                line = their
                if their is not None and key in values:
                    self._refresh(key, their)
            else:
                line = self._join(key, before, ours, their)
            if line is None:
                values.pop(key, None)
            else:
                merged[key] = line
                if key in values and type(values[key]) not in IMMUTABLE:
                    marks[key] = None
        if self.persistent == self.stored_persistent:
            self.persistent = theirs.persistent
        self.stored_persistent = theirs.persistent
        self._base, self._marks = new, marks
        self._lines = new if merged == new and list(merged) == list(new) else dict(merged)
        self.extra = theirs.extra

    def _join(self, key: str, before: bytes | None, ours: bytes | None, theirs: bytes | None) -> bytes | None:
        """Merge one key that both sides changed. None: it is deleted."""
        decode = self._codec.decode
        try:
            base = MISSING if before is None else decode(before)
            other = MISSING if theirs is None else decode(theirs)
            mine = MISSING if ours is None else self.get(key)
        except ValueError:  # written by something else; the later save is ours
            return ours
        result = merge_value(base, mine, other)
        if result is MISSING:
            return None
        line = self._codec.encode(result, _path(key))
        self._values[key] = adopt(mine, result)
        return line

    def _refresh(self, key: str, line: bytes) -> None:
        """Make a value that was handed out show ``line``; a dict or list the application holds stays part of it."""
        try:
            self._values[key] = adopt(self._values[key], self._codec.decode(line))
        except ValueError:  # not readable: found out when it is read
            del self._values[key]

    def restart(self, record: Record) -> None:
        """Drop every change but ``renew`` and show ``record``; containers the application holds become what it says."""
        held = self._values
        self._start(record)
        self._values = {key: value for key, value in held.items() if key in record.data}
        self._marks = {}
        for key, value in list(self._values.items()):
            if type(value) in IMMUTABLE:
                del self._values[key]
            else:
                self._refresh(key, record.data[key])
                if key in self._values:
                    self._marks[key] = None


def _path(key: str) -> str:
    return f"session[{key!r}]"
