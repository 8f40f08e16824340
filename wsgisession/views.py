"""The views of a mapping that also work with ``reversed``, as those of a dict. Knows nothing of sessions."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Protocol


class Reversible(Protocol):
    """A mapping that works with ``reversed``."""

    def __getitem__(self, key: str, /) -> Any: ...

    def __reversed__(self) -> Iterator[str]: ...


class Keys(KeysView[str]):
    """The keys."""

    __slots__ = ("_backwards",)

    def __init__(self, mapping: Mapping[str, Any], backwards: Reversible) -> None:
        super().__init__(mapping)
        self._backwards = backwards

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._backwards)


class Values(ValuesView[Any]):
    """The values."""

    __slots__ = ("_backwards",)

    def __init__(self, mapping: Mapping[str, Any], backwards: Reversible) -> None:
        super().__init__(mapping)
        self._backwards = backwards

    def __reversed__(self) -> Iterator[Any]:
        return (self._backwards[key] for key in reversed(self._backwards))


class Items(ItemsView[str, Any]):
    """The pairs."""

    __slots__ = ("_backwards",)

    def __init__(self, mapping: Mapping[str, Any], backwards: Reversible) -> None:
        super().__init__(mapping)
        self._backwards = backwards

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and len(item) == 2 and super().__contains__(item)

    def __reversed__(self) -> Iterator[tuple[str, Any]]:
        return ((key, self._backwards[key]) for key in reversed(self._backwards))
