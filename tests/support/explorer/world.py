"""One browser, one store, and the requests that meet there; what is seen of them is written down in a story.

Each request is served by a middleware of its own, as if each came to a process of its own: they meet in the store and
nowhere else. Time stands still, and ids are counted. Does not know what is right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch
from wsgiref.util import setup_testing_defaults

from wsgisession import Identity, JSONCodec, Record, SessionManager, SessionMiddleware, commit, records, visit

from ..clock import Clock
from ..plain_store import PlainStore
from .crew import Call, Choose, Crew
from .kinds import Actor, Kind
from .story import Live, Start, Story, key_of
from .watched import Watched

SECRET = "a test's secret of at least 32 bytes"
OLD_SECRET = "an old secret of at least 32 bytes"
CLOCK = Clock()
"""The only time there is, for the package and for the store."""


class _Counted(Identity):
    """Ids that are counted, so that a run can be repeated."""

    number = 0

    def new_id(self) -> str:
        _Counted.number += 1
        return f"{_Counted.number}".ljust(43, "A")


class World:
    """Runs requests that start from one kind of session.

    Args:
        size: how many requests there are at most.
    """

    def __init__(self, start: Start, size: int = 3) -> None:
        self.start = start
        self.clock = CLOCK
        self.crew = Crew(size)
        self.inner = PlainStore(self.clock)
        self.store = Watched(self.inner, self.crew)
        self._middlewares = [self._middleware() for _ in range(size)]
        self._codec = JSONCodec()
        CLOCK.now = Clock().now
        manager = SessionManager(
            self.inner, secret=OLD_SECRET if start.worn else SECRET, identity=_Counted, clock=self.clock
        )
        _Counted.number = 0
        self._cookies = [manager.issue(start.data(), start.owner)]
        if start.owner:
            self._cookies.append(manager.issue({"elsewhere": f"other|{start.owner}|"}, start.owner))
        self._created = self.clock.now
        self._now = self._created + (3600.0 if start.worn else 0.0)
        self._records = dict(self.inner.records)
        self._environ: dict[str, Any] = {}
        setup_testing_defaults(self._environ)

    def _middleware(self) -> SessionMiddleware:
        middleware = SessionMiddleware(
            _application, secret=[SECRET, OLD_SECRET], store=self.store, identity=_Counted, clock=self.clock
        )
        middleware.manager.records.sleep = lambda seconds: None
        return middleware

    def run(self, kinds: Iterable[Kind], choose: Choose) -> Story:
        """Let requests of these kinds meet, once."""
        self.inner.records.clear()
        self.inner.records.update(self._records)
        self.clock.now = self._now
        _Counted.number = len(self._cookies)
        actors = [Actor(kind, name, *self._cookie_of(kind)) for kind, name in zip(kinds, "abc", strict=False)]
        self.story = story = self.store.story = Story(self.start, actors, self._created)
        story.issued = tuple(key_of(cookie) for cookie in self._cookies)
        for key, (payload, _, _) in self._records.items():
            record = self._codec.unpack(payload)
            assert isinstance(record, Record)
            story.alive[key] = story.records[key] = record
            story.begun[key] = None
        self.crew.run([self._work(actor, place) for place, actor in enumerate(actors)], choose)
        self._look_around(story)
        return story

    def _cookie_of(self, kind: Kind) -> tuple[str, str]:
        cookie = self._cookies[1 if kind.elsewhere else 0]
        return cookie, key_of(cookie)

    def _work(self, actor: Actor, place: int) -> Callable[[], None]:
        if actor.kind.seconds:
            return lambda: self._tick(actor.kind.seconds)
        return lambda: self._request(actor, self._middlewares[place])

    def _tick(self, seconds: float) -> None:
        self.crew.step(Call("clock"))
        self.clock.advance(seconds)
        story = self.story
        story.ticked += seconds
        for key in [key for key in story.alive if self.inner.live(key) is None]:
            del story.alive[key]
            story.died.add(key)

    def _request(self, actor: Actor, middleware: SessionMiddleware) -> None:
        """Serve one request as a server does."""
        story = self.story

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            story.sends(actor, [value for name, value in headers if name == "Set-Cookie"])
            return lambda data: None

        environ = self._environ | {"HTTP_COOKIE": actor.cookie, "test.actor": actor}
        try:
            body = middleware(environ, start_response)
            try:
                for _ in body:
                    pass
            finally:
                close = getattr(body, "close", None)
                if close is not None:
                    close()
            actor.settle()
        except BaseException as error:
            actor.error = error
            actor.settle("may")
        if actor.began:
            actor.end_gone, actor.end_key, actor.end_owner = (
                actor.session.gone,
                actor.session.key,
                actor.session.owner,
            )

    def _look_around(self, story: Story) -> None:
        for key in list(self.inner.keys()):
            payload, left = self.inner.live(key) or (b"", 0.0)
            record = self._codec.unpack(payload)
            if isinstance(record, Record):
                data = {name: self._codec.decode(line) for name, line in record.data.items()}
                story.finally_live[key] = Live(record, data, left)


def _application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    actor: Actor = environ["test.actor"]
    actor.session = environ["wsgisession.session"]
    body = actor.kind.act(actor, actor.session)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"] if body is None else body


@contextmanager
def still() -> Iterator[None]:
    """Let time stand still for the package, and keep its log quiet."""
    logger = logging.getLogger("wsgisession")
    before = logger.disabled
    logger.disabled = True
    with ExitStack() as stack:
        for module in (records, commit, visit):
            stack.enter_context(patch.object(module, "monotonic", CLOCK))
        try:
            yield
        finally:
            logger.disabled = before
