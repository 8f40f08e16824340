"""One browser, one store, and the requests that meet there; what is seen of them is written down in a story.

Each request is served by a middleware of its own, as if each came to a process of its own: they meet in the store and
nowhere else. Time stands still, and ids are counted. Does not know what is right; ``model`` does. What no moment may ever
show is noticed here, at the call of the store that shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import patch
from wsgiref.util import setup_testing_defaults

from wsgisession import Identity, JSONCodec, Record, SessionManager, SessionMiddleware, StoreError, commit, records, visit
from wsgisession.identity import digest
from wsgisession.record import Marker

from ..clock import Clock
from ..plain_store import PlainStore
from .crew import Call, Choose, Crew
from .kinds import Actor, Effect, Kind

SECRET = "a test's secret of at least 32 bytes"
OLD_SECRET = "an old secret of at least 32 bytes"
OWNERS = "ada", "bob"
MINUTE = 60.001
CLOCK = Clock()
"""The only time there is, for the package and for the store."""


@dataclass(frozen=True)
class Start:
    """What the browser's session is when the requests arrive.

    Args:
        worn: its expiry is due, and its cookie was signed with an old secret.
    """

    name: str
    owner: str | None
    worn: bool

    def data(self) -> dict[str, Any]:
        mark = f"start|{self.owner or ''}|"
        return {
            "old": mark,
            "last": mark,
            "settings": {"colours": {"start": mark}, "size": 1},
            "log": [mark],
            "flash": [mark],
            "count": 10,
        }


STARTS = [
    Start("anonymous", None, False),
    Start("anonymous, worn", None, True),
    Start("logged in", "ada", False),
    Start("logged in, worn", "ada", True),
]


@dataclass
class Live:
    """A session that lives at the end."""

    record: Record
    data: dict[str, Any]
    left: float


class Write(NamedTuple):
    """A session that was stored."""

    moment: int
    key: str
    who: str
    payload: bytes


@dataclass
class Story:
    """What happened in one run."""

    start: Start
    actors: list[Actor]
    created: float
    """When the browser's session began."""
    wrong: list[str] = field(default_factory=list)
    """What no moment may show, and one did."""
    issued: tuple[str, ...] = ()
    """The keys of the browser's session, and of the other device's."""
    begun: dict[str, Actor | None] = field(default_factory=dict)
    """Who created the record under each key."""
    alive: dict[str, Record] = field(default_factory=dict)
    died: set[str] = field(default_factory=set)
    moved: dict[str, tuple[str | None, bool]] = field(default_factory=dict)
    """The new key of each session whose id changed, and whether its owner changed too."""
    markers: dict[str, str | None] = field(default_factory=dict)
    """Where each marker leads."""
    records: dict[str, Record] = field(default_factory=dict)
    """The last record under each key."""
    moment: int = 0
    """How many calls of the store there were so far."""
    writes: list[Write] = field(default_factory=list)
    """Every write of a session, in their order."""
    sent: int = 0
    finally_live: dict[str, Live] = field(default_factory=dict)
    ticked: float = 0.0
    faulted: bool = False

    def stored(self, effect: Effect) -> list[Write]:
        """Return the writes of sessions that hold what a change made, if its mark is stored."""
        mark = effect.mark.encode()
        return [write for write in self.writes if mark in write.payload]


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

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float | None, owner: str | None = None) -> bool:
        return self._write("replace", key, ttl, lambda: self.inner.replace(key, expected, payload, ttl, owner))

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
            self._look(call, key, ttl)
        if how == "lost":
            raise StoreError("the reply was lost")
        return done

    def _look(self, call: str, key: str, ttl: float | None) -> None:
        """Look at what a write made of a key."""
        story = self.story
        assert story is not None
        actor = story.actors[self._crew.current]
        if actor.sent and not actor.kind.late:
            story.wrong.append(f"{actor.name} wrote after its headers had left")
        if actor.kind.passive and (call == "touch" or (call == "replace" and ttl is not None)):
            story.wrong.append(f"{actor.name} is passive, and moved the expiry")
        before = story.alive.pop(key, None)
        found = self.inner.live(key)
        if found is None:
            story.died.add(key)
            return
        content = self._codec.unpack(found[0])
        if isinstance(content, Marker):
            self._marked(story, key, content, found[1], before)
        else:
            self._stored(story, key, content, found[0], actor)

    def _marked(self, story: Story, key: str, marker: Marker, left: float, before: Record | None) -> None:
        if left > MINUTE:
            story.wrong.append(f"a marker stands for {left} seconds")
        story.markers[key] = marker.successor
        if before is not None:
            story.died.add(key)
            story.moved[key] = marker.successor, marker.owner_changed
            after = story.records[marker.successor or ""]
            if marker.owner_changed is not (after.owner != before.owner):
                story.wrong.append(f"a marker says owner_changed={marker.owner_changed}")

    def _stored(self, story: Story, key: str, record: Record, payload: bytes, actor: Actor) -> None:
        if key in story.died:
            story.wrong.append(f"{actor.name} wrote back a session that had ended")
        if key not in story.records:
            story.begun[key] = actor
            actor.created = actor.looked
        story.alive[key] = story.records[key] = record
        story.writes.append(Write(story.moment, key, actor.name, payload))
        for owner in OWNERS:
            if owner != record.owner and f"|{owner}|".encode() in payload:
                story.wrong.append(f"{actor.name} stored what {owner} had written in a session of {record.owner}")


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
        actors = [
            Actor(kind, name, *self._cookie_of(kind)) for kind, name in zip(kinds, "abc", strict=False)
        ]
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

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
            _sent(story, actor, headers)
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
            actor.end_gone, actor.end_key, actor.end_owner = actor.session.gone, actor.session.key, actor.session.owner

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


def _sent(story: Story, actor: Actor, headers: list[tuple[str, str]]) -> None:
    """Look at a response at the moment when it leaves."""
    actor.sent, actor.arrived, actor.sent_gone = True, story.sent, actor.session.gone
    actor.sent_at = story.moment
    story.sent += 1
    for value in (value for name, value in headers if name == "Set-Cookie"):
        if "Max-Age=0" in value:
            actor.expires = True
        else:
            actor.sets = value.partition(";")[0]
    if not actor.session.gone:
        for effect in actor.effects:
            if effect.state == "pending" and effect.named and not story.stored(effect):
                story.wrong.append(f"{actor.name}'s headers left before its data was saved")
    if actor.sets is not None and key_of(actor.sets) != actor.key and actor.key in story.alive:
        story.wrong.append(f"{actor.name}'s response set a new cookie while the old one was still good")


def key_of(cookie: str) -> str:
    """Return the key of the session that a ``name=token`` pair stands for."""
    return digest(cookie.partition("=")[2].partition(".")[0])


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
