"""Draft: one request's changes on top of a record. Pure: it knows no store, no cookie and no HTTP.

The record itself never changes. The draft has the values that were read or assigned, and the keys that were removed. A
value is decoded when it is read, and encoded if it was changed. If the request does not use a value, its bytes stay as
they are. A key has changed if it was assigned or deleted, or if a mutable value was returned and is different now.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsgisession.codec import Codec
from wsgisession.errors import UnreadableValue, UnsupportedType
from wsgisession.fingerprints import Mark, fingerprint, unchanged
from wsgisession.merge import MISSING, adopt, merge, same
from wsgisession.record import Record
from wsgisession.values import IMMUTABLE

_NOTHING: frozenset[str] = frozenset()


class Draft:
    """One request's view of a record.

    Args:
        codec: Encodes and decodes values.
        record: The record that the changes are based on. A new session has one without values.
    """

    __slots__ = ("_added", "_attempts", "_codec", "_marks", "_removed", "_values", "base", "facts")

    def __init__(self, codec: Codec, record: Record) -> None:
        self._codec = codec
        # Hashes of payloads that may be stored, although their reply was lost.
        self._attempts: tuple[int, ...] = ()
        self._start(record)

    def _start(self, record: Record) -> None:
        # Of values that may differ from their line. None: encode to find out.
        self._marks: dict[str, Mark] = {}
        self._values: dict[str, Any] = {}  # decoded or assigned
        self._removed = _NOTHING  # keys of the base that were deleted, even if they were assigned again
        self._added: dict[str, None] = {}  # keys that were assigned and come after those of the base
        # The record on which the changes are based; and the facts of the session in this request (owner, limits), where
        # the values do not count. The base comes last: even after an exception in between, no change is applied to the
        # wrong one.
        self.base = self.facts = record

    # Reading

    def __contains__(self, key: object) -> bool:
        return key in self._added or (key in self.base and key not in self._removed)

    def __len__(self) -> int:
        return len(self.base.lines) - len(self._removed) + len(self._added)

    def __iter__(self) -> Iterator[str]:
        return self._walk(self._order())

    def __reversed__(self) -> Iterator[str]:
        return self._walk(self._order()[::-1])

    def _order(self) -> list[str]:
        return [key for key in self.base.keys if key not in self._removed] + list(self._added)

    def _walk(self, keys: list[str]) -> Iterator[str]:
        removed, added = self._removed, len(self._added)
        for key in keys:
            if self._removed is not removed or len(self._added) != added:
                raise RuntimeError("the session's keys changed during iteration; iterate over list(session)")
            yield key

    def get(self, key: str, default: Any = MISSING) -> Any:
        """Return a value, decoded the first time, or the default. UnreadableValue: its line cannot be decoded."""
        values = self._values
        if key in values:
            return values[key]
        line = self.base.line(key)
        if line is None or key in self._removed:
            return default
        try:
            value = self._codec.decode(line)
        except ValueError as error:
            raise UnreadableValue(
                f"{_path(key)} cannot be read: {error}. The other keys work; assign or delete this one to repair it"
            ) from None
        if type(value) not in IMMUTABLE:
            self._marks[key] = fingerprint(value, line) if self._codec.json_lines else None
        values[key] = value
        return value

    # Writing

    def set(self, key: str, value: Any) -> None:
        """Assign a value. UnsupportedType: its own type cannot be stored (the commit looks at what it contains)."""
        if type(value) not in self._codec.accepts:
            self._codec.encode(value, _path(key))
        if key not in self.base or key in self._removed:
            self._added[key] = None
        self._marks[key] = None  # only the encoding shows whether it differs from the stored line
        self._values[key] = value

    def delete(self, key: str) -> None:
        """Delete a key. KeyError: there is none."""
        if key not in self:
            raise KeyError(key)
        if key in self._added:
            del self._added[key]
        else:
            self._removed |= {key}
        self._values.pop(key, None)
        self._marks.pop(key, None)

    def clear(self) -> None:
        """Delete every key."""
        self._values, self._marks, self._added = {}, {}, {}
        self._removed = frozenset(self.base.keys)

    def set_facts(self, **changes: Any) -> None:
        """Change some of created, owner, persistent and idle_timeout."""
        names = "created", "owner", "persistent", "idle_timeout"
        facts = dict(zip(names, self.facts.facts, strict=True)) | changes
        self.facts = self.base.with_facts(**facts)

    # Committing

    def pending(self) -> bool:
        """False: nothing can differ from the base, because nothing was assigned and no mutable value was returned."""
        return bool(self._marks) or bool(self._removed) or self.facts is not self.base

    def record(self) -> Record:
        """Return the record with this draft's changes; the base itself if nothing differs.

        Raises:
            UnsupportedType: A value would not come back; the message names its path.
        """
        base, removed, lines = self.base, self._removed, self._changed()
        record = base.with_changes(lines, removed) if lines or removed else base
        if removed and record.same_values(base):
            record = base
        return record if self.facts is base else record.with_facts(*self.facts.facts)

    def begun(self, created: float) -> Record:
        """Return the record of a session that begins now, with this draft's values and facts.

        Raises:
            UnsupportedType: As for ``record``.
        """
        lines = self.record().data if self.base.lines else self._changed()
        return self.facts.with_values(created, lines)

    def _changed(self) -> dict[str, bytes]:
        """Return the lines that differ from the base's, those of new keys in their order."""
        base, values, removed, encode = self.base, self._values, self._removed, self._codec.encode
        lines: dict[str, bytes] = {}
        try:
            for key, mark in self._marks.items():
                try:
                    value = values[key]
                except KeyError:  # an exception from outside came before the value did
                    continue
                if mark is None or not unchanged(value, mark):
                    line = encode(value, "")
                    if line != base.line(key) or key in removed:
                        lines[key] = line
        except UnsupportedType:
            # Making a path takes as long as encoding a number, so it is made only if somebody reads it.
            encode(value, _path(key))
            raise
        return lines

    def saved(self, record: Record) -> None:
        """Remember that ``record``, made from this draft, is stored now."""
        self.base = self.facts = record
        self._removed, self._added = _NOTHING, {}
        self._hold(self._values)
        self._attempts = ()

    def _hold(self, values: dict[str, Any]) -> None:
        """Keep values that the application may hold; a change in place must be noticed."""
        self._values = values
        self._marks = {}
        for key, value in values.items():
            if type(value) not in IMMUTABLE:
                self._marks[key] = None

    # Overlapping requests

    def attempted(self, payload: bytes) -> None:
        """Take note that this payload of the draft may be stored, although nobody said so."""
        self._attempts += (hash(payload),)  # an outage may be long and a payload is not small

    def wrote(self, payload: bytes) -> bool:
        """True if the stored payload is this draft's own, from a write whose reply was lost."""
        return hash(payload) in self._attempts

    def rebase(self, theirs: Record, base: Record | None = None) -> None:
        """Apply this draft's changes to the record that another request stored meanwhile: the three-way merge.

        UnsupportedType: the changes of both together make a value that cannot be stored. Then nothing was changed.

        Args:
            base: the record that both changed. None: the base of this draft. ``theirs`` itself: this draft made it.
        """
        base, ours, values = self.base if base is None else base, self.record(), self._values
        merged: dict[str, bytes] = {}
        fresh: dict[str, Any] = {}  # the merged values
        for key in dict.fromkeys([*theirs.keys, *ours.keys]):
            before, mine, their = base.line(key), ours.line(key), theirs.line(key)
            if their == before:
                line = mine
            elif mine == before:
                line = their
                if their is not None and key in values:
                    fresh[key] = self._readable(their)
            else:
                line = self._join(key, before, mine, their, fresh)
            if line is not None:
                merged[key] = line
        for key, value in fresh.items():
            values[key] = adopt(values.get(key, MISSING), value)
        facts = map(merge, base.facts, ours.facts, theirs.facts)
        self._stand_on(theirs, merged)
        self.facts = theirs.with_facts(*facts)

    def _stand_on(self, record: Record, lines: dict[str, bytes]) -> None:
        """Take ``record`` as the base of a session whose encoded values are ``lines``."""
        values = {key: value for key, value in self._values.items() if key in lines and value is not MISSING}
        own = [key for key, line in lines.items() if line != record.line(key)]
        for key in own:
            if key not in values:  # undone after a write whose reply was lost
                values[key] = self._codec.decode(lines[key])
        self._start(record)
        self._hold(values)
        self._removed = frozenset(key for key in record.keys if key not in lines)
        self._added = {key: None for key in lines if key not in record}
        self._marks = dict.fromkeys([*own, *self._marks])  # new keys in their order
        self._attempts = ()

    def _join(
        self, key: str, before: bytes | None, mine: bytes | None, their: bytes | None, fresh: dict[str, Any]
    ) -> bytes | None:
        """Merge one key that both sides changed, and note in ``fresh`` what its value becomes. None: it is deleted."""
        decode = self._codec.decode
        try:
            base = MISSING if before is None else decode(before)
            other = MISSING if their is None else decode(their)
            ours = MISSING if mine is None else decode(mine)
        except ValueError:  # another program wrote it; the later save is ours
            return mine
        # The object that the application holds, unless it is stored as something else
        if mine is not None and same(self.get(key), ours):
            ours = self.get(key)
        result = merge(base, ours, other)
        if result is MISSING:
            return None
        line = self._codec.encode(result, _path(key))
        fresh[key] = result
        return line

    def _readable(self, line: bytes) -> Any:
        """Return the value of another request's line. MISSING: it cannot be decoded; reading the key will raise the
        error.
        """
        try:
            return self._codec.decode(line)
        except ValueError:
            return MISSING

    def restart(self, record: Record) -> None:
        """Drop every change and show ``record``. Containers that the application has get the values of ``record``."""
        held = self._values
        self._start(record)
        values = {}
        for key, value in held.items():
            line = record.line(key)
            if line is not None and type(value) not in IMMUTABLE:
                now = self._readable(line)
                if now is not MISSING:
                    values[key] = adopt(value, now)
        self._hold(values)


def _path(key: str) -> str:
    return f"session[{key!r}]"
