"""Three-way merge: puts together what two requests changed in one session. Knows no records, stores or requests.

| what happened since base | result |
|---|---|
| one side changed (deleting is a change) | that side |
| both: two dicts | the same, one level down (if base has no dict: as over ``{}``) |
| both: two lists that begin with base (if base lacks the key: with nothing) | base, their new items, then ours |
| both: two equal lists, and base lacks the key | that list, once |
| one deleted, the other only appended to a list | the new items alone: the list was consumed |
| one deleted, the other changed inside a dict, list or set | deleted |
| anything else | ours, the later save |
"""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Any, Final


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Stands for a key that is not there, as an argument and as a result."""

# The == of these types ignores the sign of zero, an exponent, fold or the zone. Their repr shows everything that is
# stored.
_BY_REPR = frozenset((float, Decimal, datetime, time))


def merge(base: Any, ours: Any, theirs: Any) -> Any:
    """Return the merge of two versions of a value, by the table above; each argument, and the result, may be ``MISSING``.

    No argument is changed; the result may share parts of ``ours`` and ``theirs``. If only one side changed, the keys of
    a dict are in the order of that side. Otherwise they are in the order of ``theirs``, followed by our new keys.
    """
    if same(theirs, base):
        return ours
    if same(ours, base):
        return theirs
    if type(ours) is dict and type(theirs) is dict:
        return _merge_dicts(base if type(base) is dict else {}, ours, theirs)
    if type(ours) is list and type(theirs) is list and (base is MISSING or type(base) is list):
        return _merge_lists(base, ours, theirs)
    if ours is MISSING or theirs is MISSING:
        return _merge_deleted(base, ours if theirs is MISSING else theirs, ours)
    return ours


def _merge_dicts(base: dict[Any, Any], ours: dict[Any, Any], theirs: dict[Any, Any]) -> dict[Any, Any]:
    merged = {}
    for key in theirs | ours:
        value = merge(base.get(key, MISSING), ours.get(key, MISSING), theirs.get(key, MISSING))
        if value is not MISSING:
            merged[key] = value
    return merged


def _merge_lists(base: Any, ours: list[Any], theirs: list[Any]) -> list[Any]:
    if base is MISSING:
        return ours if same(ours, theirs) else theirs + ours
    if _begins(ours, base) and _begins(theirs, base):
        return theirs + ours[len(base) :]
    return ours


def _merge_deleted(base: Any, changed: Any, ours: Any) -> Any:
    """One side deleted what the other side changed. If the table has no row for it, ``ours`` decides."""
    if type(changed) is type(base) is list and _begins(changed, base):
        return changed[len(base) :]
    if type(changed) is type(base) and type(base) in (dict, list, set):
        return MISSING
    return ours


def _begins(whole: list[Any], start: list[Any]) -> bool:
    return same(whole[: len(start)], start)


def same(a: Any, b: Any) -> bool:
    """True if two values are equal and of the same types on all levels; the order of a dict does not count."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is list or kind is tuple:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is dict:
        return _same_members({key: (key, a[key]) for key in a}, {key: (key, b[key]) for key in b})
    if kind is set or kind is frozenset:
        return _same_members({member: member for member in a}, {member: member for member in b})
    if kind in _BY_REPR:
        return repr(a) == repr(b)
    return bool(a == b)


def _same_members(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    # The lookup uses ==, which takes 1 for True. So what it found is compared too.
    return len(a) == len(b) and all(key in b and same(member, b[key]) for key, member in a.items())


def adopt(held: Any, fresh: Any) -> Any:
    """Give a container that the application holds the content of ``fresh``, and return the container to use.

    If both are dicts or both are lists, it is ``held``, updated in place, nested dicts too. In a list, items that are
    the ``same`` at the same index stay the same objects. In any other case it is ``fresh``.
    """
    if type(held) is type(fresh) is dict:
        items = {key: adopt(held[key], value) if key in held else value for key, value in fresh.items()}
        held.clear()
        held.update(items)
        return held
    if type(held) is type(fresh) is list:
        held[:] = [
            held[at] if at < len(held) and same(held[at], item) else item for at, item in enumerate(fresh)
        ]
        return held
    return fresh
