"""The views of a mapping that also work with ``reversed``, as those of a dict. Knows nothing of sessions."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, MappingView, ValuesView
from typing import Any


class _View(MappingView):
    __slots__ = ()

    _mapping: Any  # of MappingView; it works with ``reversed``


class Keys(_View, KeysView[str]):
    """The keys."""

    __slots__ = ()

    def __reversed__(self) -> Iterator[str]:
        yield from reversed(self._mapping)


class Values(_View, ValuesView[Any]):
    """The values."""

    __slots__ = ()

    def __reversed__(self) -> Iterator[Any]:
        return (self._mapping[key] for key in reversed(self._mapping))


class Items(_View, ItemsView[str, Any]):
    """The pairs."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and len(item) == 2 and super().__contains__(item)

    def __reversed__(self) -> Iterator[tuple[str, Any]]:
        return ((key, self._mapping[key]) for key in reversed(self._mapping))
