"""What one request makes of a record: lazily decoded values, what changed, what to write. Knows no store and no HTTP.

A draft starts from a record's encoded lines. A value is decoded when it is read and encoded when it was changed; what the
request does not touch stays the bytes it was. Change is noticed per key: assigned or deleted, or a mutable value was handed
out and is no longer what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsgisession.codec import IMMUTABLE, JSONCodec, Mark, fingerprint, unchanged
from wsgisession.errors import UnsupportedType
from wsgisession.merge import MISSING, adopt, merge_value
from wsgisession.record import Held, Record, unfolded


class Draft:
    """One request's view of a record, or of no record yet (``Draft(codec)``)."""

    __slots__ = (
        "_codec",
        "_doubtful",
        "_held",
        "_marks",
        "_names",
        "_owned",
        "_strip",
        "_values",
        "_when",
        "extra",
        "owner",
        "persistent",
        "renew",
        "stored_owner",
        "stored_persistent",
    )

    # The line of a key is ``_strip[_names[key]]``, or where there is no strip ``_names[key]`` itself: None for a value that was
    # not encoded yet. Both are the stored record's, ``_held``, until a key comes or goes; from then on ``_names`` is owned.
    _held: Held
    _names: dict[str, Any]
    _owned: bool
    _strip: list[bytes] | None
    _when: float | bytes  # as in the record
    extra: Any
    owner: str | None
    stored_owner: str | None

    def __init__(
        self, codec: JSONCodec, record: Record | None = None, created: float = 0.0, persistent: bool = False
    ) -> None:
        self._codec = codec
        self._values: dict[str, Any] = {}  # decoded or assigned, key by key
        self._marks: dict[str, Mark] = {}  # of values that have a line and may differ from it; None: encode to find out
        self._doubtful: tuple[int, ...] = ()  # hashes of payloads whose fate the store did not tell
        self.renew = False  # a new id is due with the next commit
        if record is not None:
            held = self._held = record.held
            self._names, self._strip = (held[0].places, held[1]) if isinstance(held, tuple) else (held, None)
            self._owned = False
            self._when, self.extra = record.when, record.extra
            self.owner = self.stored_owner = record.owner
            self.persistent = self.stored_persistent = record.persistent
        else:
            self._held = self._names = {}
            self._owned, self._strip = False, None
            self._when, self.extra = created, None
            self.owner = self.stored_owner = None
            self.persistent = self.stored_persistent = persistent

    @property
    def created(self) -> float:
        """When the session began, in POSIX seconds."""
        return float(self._when)

    @created.setter
    def created(self, created: float) -> None:
        self._when = created

    # Reading

    def __contains__(self, key: object) -> bool:
        return key in self._names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own())  # as with a dict, a key added or deleted meanwhile is an error

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._own())

    def get(self, key: str, default: Any = MISSING) -> Any:
        """Return a value, decoding it the first time, or the default. ValueError: its line is not readable."""
        values = self._values
        if key in values:
            return values[key]
        line = self._names.get(key)
        if line is None:  # a value without a line is among the values
            return default
        if self._strip is not None:
            line = self._strip[line]
        value = values[key] = self._codec.decode(line)
        if type(value) not in IMMUTABLE:
            self._marks[key] = fingerprint(value, line, self._codec.json_lines)
        return value

    # Writing

    def set(self, key: str, value: Any) -> None:
        """Assign a value. UnsupportedType: its own type cannot be stored (what it contains is looked at on commit)."""
        if type(value) not in self._codec.accepts:
            self._codec.encode(value, _path(key))
        if self._names.get(key) is None:
            self._own()[key] = None
        else:  # only when it is encoded can be told whether it differs from the line there is
            self._marks[key] = None
        self._values[key] = value

    def delete(self, key: str) -> None:
        """Delete a key. KeyError: there is none."""
        if key not in self._names:
            raise KeyError(key)
        del self._own()[key]
        self._values.pop(key, None)
        self._marks.pop(key, None)

    def clear(self) -> None:
        """Delete every key."""
        self._names, self._strip, self._owned = {}, None, True
        self._values = {}
        self._marks = {}

    def _own(self) -> dict[str, bytes | None]:
        if not self._owned:
            self._names = dict(self._names) if self._strip is None else unfolded(self._held)
            self._strip, self._owned = None, True
        return self._names

    # Committing

    def encode(self) -> Held:
        """Return the lines to store, those held where nothing changed. UnsupportedType names the path of a bad value."""
        held, names, strip, values, encode = self._held, self._names, self._strip, self._values, self._codec.encode
        fresh: dict[str, bytes] = {}
        try:
            for key, mark in self._marks.items():
                value, line = values[key], names[key]
                if strip is not None:
                    line = strip[line]
                if mark is None or not unchanged(value, mark):
                    encoded = encode(value, "")
                    if encoded != line:
                        fresh[key] = encoded
            if self._owned:
                whole = {**names, **fresh}
                for key, line in names.items():
                    if line is None:
                        whole[key] = encode(values[key], "")
                base = unfolded(held) if isinstance(held, tuple) else held
                # Order counts: popitem() and reversed() show it.
                return held if whole == base and list(whole) == list(base) else whole
        except UnsupportedType:  # a path takes as long to make as a number to encode: not before somebody reads it
            encode(values[key], _path(key))
            raise
        if not fresh or strip is None or not isinstance(held, tuple):
            return {**names, **fresh} if fresh else held
        lines = strip.copy()
        for key, line in fresh.items():
            lines[names[key]] = line
        return held[0], lines

    def pending(self) -> bool:
        """False where nothing can differ from what is stored: nothing was assigned, no mutable value was handed out."""
        return (
            self._owned
            or len(self._marks) > 0
            or self.renew
            or self.persistent != self.stored_persistent
            or self.owner != self.stored_owner
        )

    def changed(self) -> Record | None:
        """Return the record to store; None: it would not differ from the stored one. UnsupportedType: as ``encode``."""
        lines = self.encode()
        if lines is self._held and self.persistent == self.stored_persistent and self.owner == self.stored_owner:
            return None
        return Record(self._when, self.owner, self.persistent, lines, self.extra)

    def record(self) -> Record:
        """Return the same, changed or not."""
        return Record(self._when, self.owner, self.persistent, self.encode(), self.extra)

    def settle(self, record: Record) -> None:
        """Take note that ``record``, made from this draft, is what is stored now."""
        marks: dict[str, Mark] = {}
        for key, value in self._values.items():
            if type(value) not in IMMUTABLE:
                marks[key] = None  # the line may be newer than the old mark
        self._marks = marks
        held = self._held = record.held  # as in ``__init__``; a method of both would take longer to call than to run
        self._names, self._strip = (held[0].places, held[1]) if isinstance(held, tuple) else (held, None)
        self._owned = False
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

    def meet(self, payload: bytes, theirs: Record, lines: Held) -> None:
        """Put this draft, whose own lines are ``lines``, on top of the record that is stored by now as ``payload``."""
        if self.made(payload):
            self.assume(theirs)
        else:
            self.merge(theirs, lines)
        self._doubtful = ()

    def assume(self, record: Record) -> None:
        """Take ``record``, of this draft's own making, as what later changes are changes of."""
        self._own()
        self._held = record.held
        self.stored_persistent = record.persistent

    def merge(self, theirs: Record, held: Held) -> None:
        """Put this draft, whose own lines are ``held``, on top of what another request stored meanwhile.

        UnsupportedType: what both changed makes a value that cannot be stored. Then nothing was touched.
        """
        base, lines, new, values = unfolded(self._held), unfolded(held), theirs.data, self._values
        merged: dict[str, bytes] = {}
        fresh: dict[str, Any] = {}  # what values become
        for key in [*new, *(key for key in lines if key not in new)]:
            before, ours, their = base.get(key), lines.get(key), new.get(key)
            if their == before:
                line = ours
            elif ours == before:
                line = their
                if their is not None and key in values:
                    fresh[key] = self._readable(their)
            else:
                line = self._join(key, before, ours, their, fresh)
            if line is not None:
                merged[key] = line
        for key, value in fresh.items():
            values[key] = adopt(values.get(key, MISSING), value)
        self._values = {key: value for key, value in values.items() if key in merged and value is not MISSING}
        self._marks = {key: None for key, value in self._values.items() if type(value) not in IMMUTABLE}
        if self.persistent == self.stored_persistent:
            self.persistent = theirs.persistent
        self.stored_persistent = theirs.persistent
        self._held, self._strip = new, None
        self._owned = merged != new or list(merged) != list(new)
        self._names = merged if self._owned else new
        self.extra = theirs.extra

    def _join(
        self, key: str, before: bytes | None, ours: bytes | None, theirs: bytes | None, fresh: dict[str, Any]
    ) -> bytes | None:
        """Merge one key that both sides changed, and note in ``fresh`` what its value becomes. None: it is deleted."""
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
        fresh[key] = result
        return line

    def _readable(self, line: bytes) -> Any:
        """Return the value of another request's line; MISSING: it cannot be read, which is found out when it is read."""
        try:
            return self._codec.decode(line)
        except ValueError:
            return MISSING

    def restart(self, record: Record) -> None:
        """Drop every change but ``renew`` and show ``record``; containers the application holds become what it says."""
        held, kept = self._values, (self.renew, self._doubtful)
        Draft.__init__(self, self._codec, record)
        self.renew, self._doubtful = kept
        for key, value in held.items():
            if key in record.data and type(value) not in IMMUTABLE:
                now = self._readable(record.data[key])
                if now is not MISSING:
                    self._values[key], self._marks[key] = adopt(value, now), None


def _path(key: str) -> str:
    return f"session[{key!r}]"
