"""The store of the explorer: it lets the crew choose before each call, fails as it is told, and shows each write to the story.

Knows no requests and no middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wsgisession import JSONCodec, StoreError
from wsgisession.record import Marker

from ..plain_store import PlainStore
from .crew import Call, Crew
from .story import Story


class Watched:
    """A store that lets the crew choose before each call, fails as it is told, and looks at what each write made."""

    def __init__(self, inner: PlainStore, crew: Crew) -> None:
        self.inner = inner
        self._crew = crew
        self._codec = JSONCodec()
        self.story: Story | None = None

    def load(self, key: str) -> tuple[bytes, float] | None:
        self._before(Call("load", key))
        return self.inner.load(key)

    def load_many(self, keys: list[str]) -> list[tuple[bytes, float] | None]:
        self._before(Call("load_many"))
        return self.inner.load_many(keys)

    def owned_by(self, owner: str) -> Iterator[str]:
        self._before(Call("owned_by"))
        return iter(list(self.inner.owned_by(owner)))

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> bool:
        return self._write("create", key, ttl, lambda: self.inner.create(key, payload, ttl, owner))

    def replace(
        self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None
    ) -> bool:
        return self._write(
            "replace", key, ttl, lambda: self.inner.replace(key, expected, payload, ttl, owner)
        )

    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> bool:
        return self._write("touch", key, ttl, lambda: self.inner.touch(key, ttl, owner, expected))

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        return self._write("delete", key, None, lambda: self.inner.delete(key, expected))

    def keys(self) -> Iterator[str]:
        return self.inner.keys()

    def purge(self) -> int:
        return self.inner.purge()

    def close(self) -> None:
        """Nothing to give back."""

    def _before(self, call: Call) -> str:
        assert self.story is not None
        how = self._crew.step(call)
        story, actor = self.story, self.story.actors[self._crew.current]
        story.moment += 1
        if call.name == "load":
            actor.looked = story.moment
        if how:
            actor.faulted = story.faulted = True
            actor.unable_to_end = call.name == "delete"
            actor.lost = story.moment if how == "lost" else 0
        if how == "down":
            raise StoreError("the store is down")
        return how

    def _write(self, call: str, key: str, ttl: float | None, work: Callable[[], bool]) -> bool:
        how = self._before(Call(call, key))
        done = work()
        if done:
            self._show(call, key, ttl)
        if how == "lost":
            raise StoreError("the reply was lost")
        return done

    def _show(self, call: str, key: str, ttl: float | None) -> None:
        """Show the story what a write made of a key."""
        story = self.story
        assert story is not None
        actor, found = story.actors[self._crew.current], self.inner.live(key)
        story.writes_at(actor, call, ttl)
        before = story.alive.pop(key, None)
        content = None if found is None else self._codec.unpack(found[0])
        if found is None or content is None:
            story.died.add(key)
        elif isinstance(content, Marker):
            story.marks(key, content, found[1], before)
        else:
            story.stores(actor, key, content, found[0])
