"""What was seen of one run: the requests, what they stored, and what lives in the end. Knows no promises.

What no moment may ever show is noticed here, when a write or a response shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wsgisession import Record
from wsgisession.identity import digest
from wsgisession.record import Marker

from .kinds import Actor, Effect

OWNERS = "ada", "bob"
MINUTE = 60.001


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

    # What no moment may show

    def writes_at(self, actor: Actor, call: str, ttl: float | None) -> None:
        """A request writes."""
        if actor.sent and not actor.kind.late:
            self.wrong.append(f"{actor.name} wrote after its headers had left")
        if actor.kind.passive and (call == "touch" or (call == "replace" and ttl is not None)):
            self.wrong.append(f"{actor.name} is passive, and moved the expiry")

    def marks(self, key: str, marker: Marker, left: float, before: Record | None) -> None:
        """A marker stands under a key from now on, in place of a session if there was one."""
        if left > MINUTE:
            self.wrong.append(f"a marker stands for {left} seconds")
        self.markers[key] = marker.successor
        if before is not None:
            self.died.add(key)
            self.moved[key] = marker.successor, marker.owner_changed
            after = self.records[marker.successor or ""]
            if marker.owner_changed is not (after.owner != before.owner):
                self.wrong.append(f"a marker says owner_changed={marker.owner_changed}")

    def stores(self, actor: Actor, key: str, record: Record, payload: bytes) -> None:
        """A session is stored under a key."""
        if key in self.died:
            self.wrong.append(f"{actor.name} wrote back a session that had ended")
        if key not in self.records:
            self.begun[key] = actor
            actor.created = actor.looked
        self.alive[key] = self.records[key] = record
        self.writes.append(Write(self.moment, key, actor.name, payload))
        for owner in OWNERS:
            if owner != record.owner and f"|{owner}|".encode() in payload:
                self.wrong.append(
                    f"{actor.name} stored what {owner} had written in a session of {record.owner}"
                )

    def sends(self, actor: Actor, cookies: list[str]) -> None:
        """A response leaves, with these Set-Cookie headers."""
        actor.sent, actor.arrived, actor.sent_gone = True, self.sent, actor.session.gone
        actor.sent_at = self.moment
        self.sent += 1
        for value in cookies:
            if "Max-Age=0" in value:
                actor.expires = True
            else:
                actor.sets = value.partition(";")[0]
        for effect in actor.effects:
            unsaved = effect.state == "pending" and effect.named and not self.stored(effect)
            if unsaved and not actor.sent_gone:
                self.wrong.append(f"{actor.name}'s headers left before its data was saved")
        if actor.sets is not None and key_of(actor.sets) != actor.key and actor.key in self.alive:
            self.wrong.append(f"{actor.name}'s response set a new cookie while the old one was still good")


def key_of(cookie: str) -> str:
    """Return the key of the session that a ``name=token`` pair stands for."""
    return digest(cookie.partition("=")[2].partition(".")[0])
