"""All that a dict offers, on top of a draft. Knows neither where a draft comes from nor what becomes of it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from typing import Any, NoReturn

from wsgisession.draft import Draft
from wsgisession.merge import MISSING


class _Keys(KeysView[str]):
    _mapping: DraftMapping

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._mapping)


class _Values(ValuesView[Any]):
    _mapping: DraftMapping

    def __reversed__(self) -> Iterator[Any]:
        return (self._mapping[key] for key in reversed(self._mapping))


class _Items(ItemsView[str, Any]):
    _mapping: DraftMapping

    def __reversed__(self) -> Iterator[tuple[str, Any]]:
        return ((key, self._mapping[key]) for key in reversed(self._mapping))


class DraftMapping(MutableMapping[str, Any]):
    """A mutable mapping whose keys are ``str``. Subclasses say how a draft is loaded, and what a broken value means."""

    __slots__ = ("__weakref__", "_draft")

    _draft: Draft | None  # None: not touched yet

    @abstractmethod
    def _load(self) -> Draft:
        """Return the draft, made at first touch."""

    @abstractmethod
    def _changing(self) -> None:
        """Refuse an assignment that could no longer be kept."""

    @abstractmethod
    def _broken(self, key: str, error: ValueError) -> None:
        """Take note that a value cannot be read; the mapping is empty from then on."""

    def __getitem__(self, key: str) -> Any:
        draft = self._draft
        if draft is None:
            draft = self._load()
        try:
            value = draft.get(key, MISSING)
        except ValueError as error:
            self._broken(key, error)
            value = MISSING
        if value is MISSING:
            _check_key(key)
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or the default."""
        draft = self._draft
        if draft is None:
            draft = self._load()
        try:
            value = draft.get(key, MISSING)
        except ValueError as error:
            self._broken(key, error)
            value = MISSING
        if value is not MISSING:
            return value
        if type(key) is not str:
            _check_key(key)
        return default

    def __setitem__(self, key: str, value: Any) -> None:
        draft = self._draft
        if draft is None:
            draft = self._load()
        if type(key) is not str:
            raise TypeError(f"a session's keys are str, not {type(key).__name__}; pass a plain str")
        self._changing()
        draft.set(key, value)

    def __delitem__(self, key: str) -> None:
        draft = self._load()
        _check_key(key)
        draft.delete(key)

    def __contains__(self, key: object) -> bool:
        draft = self._load()
        return key in draft or _check_key(key)

    def __len__(self) -> int:
        return len(self._load())

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._load())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self.copy() == dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def keys(self) -> KeysView[str]:
        """Return a view of the keys; decodes every value, so that a broken one is found before ``dict()`` yields."""
        self._decode_all()
        return _Keys(self)

    def values(self) -> ValuesView[Any]:
        """Return a view of the values; decodes them all."""
        self._decode_all()
        return _Values(self)

    def items(self) -> ItemsView[str, Any]:
        """Return a view of the pairs; decodes every value."""
        self._decode_all()
        return _Items(self)

    def _decode_all(self) -> None:
        draft = self._load()
        for key in draft:
            try:
                draft.get(key)
            except ValueError as error:
                self._broken(key, error)
                return

    def copy(self) -> dict[str, Any]:
        """Return a plain shallow copy, as ``dict(session)`` does."""
        return dict(self.items())

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy(self.copy(), memo)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session cannot be pickled, its id must not leave the process; use dict(session)")

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the last pair. KeyError: the session is empty."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the session is empty")

    def clear(self) -> None:
        """Delete every key; the session itself goes on, as does its owner."""
        self._load().clear()

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return self.copy() | dict(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return dict(other) | self.copy() if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> DraftMapping:
        self.update(other)
        return self


def _check_key(key: object) -> bool:
    """Return False for a key that merely is not there. TypeError: it could not be."""
    if not isinstance(key, str):
        raise TypeError(f"a session's keys are str, not {type(key).__name__}")
    return False
