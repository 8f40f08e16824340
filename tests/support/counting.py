"""A real store that counts, and that lets a test step in at an exact moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsgisession import MemoryStore


class Counting(MemoryStore):
    """A MemoryStore that writes down the calls it gets, and lets a test step in before one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: list[str] = []
        self.before: dict[str, Any] = {}

    def _note(self, name: str) -> None:
        self.calls.append(name)
        hook = self.before.pop(name, None)
        if hook is not None:
            hook()

    def load(self, key: str) -> Any:
        self._note("load")
        return super().load(key)

    def create(self, *args: Any, **kwargs: Any) -> bool:
        self._note("create")
        return super().create(*args, **kwargs)

    def replace(self, *args: Any, **kwargs: Any) -> bool:
        self._note("replace")
        return super().replace(*args, **kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> bool:
        self._note("touch")
        return super().touch(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        self._note("delete")
        return super().delete(*args, **kwargs)

    def load_many(self, keys: Any) -> Any:
        self._note("load_many")
        return super().load_many(keys)

    def owned_by(self, owner: str) -> Iterator[str]:
        self._note("owned_by")
        return super().owned_by(owner)
