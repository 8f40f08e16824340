"""The views of a mapping that also work with ``reversed``, as those of a dict. Knows nothing of sessions."""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Iterator, KeysView, ValuesView
from typing import Any


class _Ordered(Collection[Any]):
    __slots__ = ()

    def __reversed__(self) -> Iterator[Any]:
        items = list(self)
        for item in reversed(items):
            if len(self) != len(items):
                raise RuntimeError("the session's keys changed during iteration; iterate over list(session)")
            yield item


class Keys(_Ordered, KeysView[str]):
    """The keys."""

    __slots__ = ()


class Values(_Ordered, ValuesView[Any]):
    """The values."""

    __slots__ = ()


class Items(_Ordered, ItemsView[str, Any]):
    """The pairs."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        return isinstance(item, tuple) and len(item) == 2 and super().__contains__(item)
