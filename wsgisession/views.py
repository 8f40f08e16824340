"""The views of a mapping that also work with ``reversed``, as those of a dict. Knows nothing of sessions."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, Protocol


class Ordered(Protocol):
    """A mapping that works with ``reversed``."""

    def __getitem__(self, key: str, /) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __reversed__(self) -> Iterator[str]: ...


class Keys(KeysView[str]):
    """The keys."""

    __slots__ = ("_ordered",)

    def __init__(self, mapping: Ordered) -> None:
        super().__init__(mapping)
        self._ordered = mapping

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._ordered)


class Values(ValuesView[Any]):
    """The values."""

    __slots__ = ("_ordered",)

    def __init__(self, mapping: Ordered) -> None:
        super().__init__(mapping)
        self._ordered = mapping

    def __reversed__(self) -> Iterator[Any]:
        return (self._ordered[key] for key in reversed(self._ordered))


class Items(ItemsView[str, Any]):
    """The pairs."""

    __slots__ = ("_ordered",)

    def __init__(self, mapping: Ordered) -> None:
        super().__init__(mapping)
        self._ordered = mapping

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and len(item) == 2 and super().__contains__(item)

    def __reversed__(self) -> Iterator[tuple[str, Any]]:
        return ((key, self._ordered[key]) for key in reversed(self._ordered))
