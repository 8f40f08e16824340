"""The kinds of requests that meet: what each does with its session, and what it may do to others. Knows no order.

What a request changes is a function of a mapping. The request applies it to its session, and the model to a plain dict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from wsgisession import Session, StoreError

Change = Callable[[MutableMapping[str, Any], str], object]
"""Changes a mapping; the mark says who did it."""

PERSISTENT, IDLE_TIMEOUT = "~persistent", "~idle_timeout"
"""How a plain dict has the facts that a session has as attributes."""
SHORTER = 3000.0  # the idle timeout that a request sets


@dataclass
class Effect:
    """One change that a request made."""

    change: Change
    mark: str
    state: str = "pending"
    """``pending``, or what holds for the end: ``must`` be there, ``may`` be there, ``not`` there."""
    key: str | None = None
    """The key it was saved under."""
    shown: Any = None
    """What the visitor was shown: the messages that were popped."""

    @property
    def named(self) -> bool:
        """True if the mark can be found in what is stored."""
        return self.change in (own_key, other_key, nested, append, flash)


@dataclass
class Actor:
    """One request, and what it saw."""

    kind: Kind
    name: str
    cookie: str
    key: str
    """Of the cookie's session."""
    session: Session = field(init=False)
    effects: list[Effect] = field(default_factory=list)
    error: BaseException | None = None
    faulted: bool = False
    """True: one of its store calls failed."""
    unable_to_end: bool = False
    """True: the call that failed was to end a session."""
    lost: int = 0
    """When the reply to a call was lost. 0: none was."""
    looked: int = 0
    """When it last read something."""
    created: int = 0
    """When it had last read something, as it stored a session under a new key."""
    began: str = ""
    """What it found: ``live``, ``gone``, or ``new``."""
    began_at: int = 0
    login: str | None = None
    """Who was logged in by it."""
    logout: bool = False
    destroyed: bool = False
    renewed: bool = False
    siblings_ended: bool = False
    """True: destroy_siblings() returned, and the session was live then."""
    saved: bool = False
    """True: it saved before its headers left."""
    sent: bool = False
    sets: str | None = None
    """The ``name=token`` pair that its response set."""
    expires: bool = False
    """True: its response expired the cookie."""
    sent_at: int = 0
    arrived: int = -1
    """Its place among the responses, in the order they were sent."""
    sent_gone: bool = False
    end_gone: bool = False
    end_key: str | None = None
    end_owner: str | None = None

    def look(self) -> None:
        """Touch the session, and note what it is."""
        session = self.session
        self.began, self.began_at = "gone" if session.gone else "new" if session.new else "live", self.looked

    def mark(self) -> str:
        """Return what the next change is known by: who makes it, its number, and who is logged in."""
        return f"{self.name}{len(self.effects)}|{self.session.owner or ''}|"

    def do(self, change: Change) -> Effect:
        """Change the session."""
        effect = Effect(change, self.mark())
        effect.shown = change(self.session, effect.mark)
        self.effects.append(effect)
        return effect

    def settle(self, state: str = "") -> None:
        """What was pending has been decided: by a commit, or as ``state`` says."""
        for effect in self.effects:
            if effect.state == "pending":
                effect.state = state or ("must" if not self.session.gone else "may" if self.lost else "not")
                effect.key = None if effect.state == "not" else self.session.key

    def save(self) -> None:
        """Save, as an application does that goes on afterwards."""
        self.session.save()
        self.settle()
        self.saved = True


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Args:
        act: what it does. It may return a body to be streamed.
        starts: which session it begins with: any, one that is ``anonymous``, or one that is ``logged in``.
        elsewhere: it is sent by the owner's other device.
        ends_own: its own session may end by it.
        ends_other: sessions of the owner's other devices may end by it.
        moves: it changes the id, or may.
        plain: it changes data at most.
        late: it writes while its body streams.
        passive: it is no use of the session.
        seconds: not a request: the clock is advanced.
    """

    name: str
    act: Callable[[Actor, Session], Iterable[bytes] | None] = lambda actor, session: None
    starts: str = ""
    elsewhere: bool = False
    ends_own: bool = False
    ends_other: bool = False
    moves: bool = False
    plain: bool = False
    late: bool = False
    passive: bool = False
    seconds: float = 0.0


# What requests change


def own_key(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping[f"by {mark[0]}"] = mark
    mapping["last"] = mark


def other_key(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping[f"more by {mark[0]}"] = mark


def nested(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping.setdefault("settings", {}).setdefault("colours", {})[mark[0]] = mark


def append(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping.setdefault("log", []).append(mark)


def flash(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping.setdefault("flash", []).append(mark)


def pop(mapping: MutableMapping[str, Any], mark: str) -> Any:
    return list(mapping.pop("flash", []))


def delete(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping.pop("old", None)


def count(mapping: MutableMapping[str, Any], mark: str) -> None:
    mapping["count"] = mapping.get("count", 0) + 1


def persist(mapping: MutableMapping[str, Any], mark: str) -> None:
    if isinstance(mapping, Session):
        mapping.persistent = True
    else:
        mapping[PERSISTENT] = True


def shorten(mapping: MutableMapping[str, Any], mark: str) -> None:
    if isinstance(mapping, Session):
        mapping.idle_timeout = SHORTER
    else:
        mapping[IDLE_TIMEOUT] = SHORTER


# What requests do


def read(actor: Actor, session: Session) -> None:
    actor.look()
    session.copy()


def changes(*made: Change) -> Callable[[Actor, Session], None]:
    """Return a request that makes some changes."""

    def act(actor: Actor, session: Session) -> None:
        actor.look()
        for change in made:
            actor.do(change)

    return act


def append_twice(actor: Actor, session: Session) -> None:
    actor.look()
    actor.do(append)
    actor.save()
    actor.do(append)


def reload(actor: Actor, session: Session) -> None:
    actor.look()
    session["dropped"] = actor.name
    session.reload()
    actor.do(own_key)


def insist(actor: Actor, session: Session) -> None:
    """Go on after a failure of the store, as an application may."""
    for _ in range(3):
        try:
            if not actor.began:
                actor.look()
            if not actor.effects:
                actor.do(append)
            actor.save()
            return
        except StoreError:
            pass


def atomic(actor: Actor, session: Session) -> None:
    actor.look()
    effect = Effect(count, actor.mark())
    actor.effects.append(effect)
    session.atomic(lambda session: count(session, effect.mark))
    actor.settle()


def insist_atomic(actor: Actor, session: Session) -> None:
    for _ in range(3):
        try:
            actor.effects.clear()
            atomic(actor, session)
            return
        except StoreError:
            pass


def become(owner: str | None) -> Callable[[Actor, Session], None]:
    """Return a login, or a logout."""

    def act(actor: Actor, session: Session) -> None:
        actor.look()
        if session.owner != owner:
            actor.login, actor.logout = owner, owner is None
        session.owner = owner
        actor.do(own_key)

    return act


def login_alone(actor: Actor, session: Session) -> None:
    become("ada")(actor, session)
    actor.save()
    siblings(actor, session)


def destroy(actor: Actor, session: Session) -> None:
    actor.look()
    session.destroy()
    actor.destroyed = True


def destroy_and_write(actor: Actor, session: Session) -> None:
    destroy(actor, session)
    actor.do(own_key)


def regenerate(actor: Actor, session: Session) -> None:
    actor.look()
    actor.do(own_key)
    session.regenerate()
    actor.renewed = True


def regenerate_and_save(actor: Actor, session: Session) -> None:
    regenerate(actor, session)
    actor.save()
    actor.do(other_key)


def siblings(actor: Actor, session: Session) -> None:
    if not actor.began:
        actor.look()
    if session.owner is not None:
        session.destroy_siblings()
        actor.siblings_ended = not session.gone


def passive(actor: Actor, session: Session) -> None:
    session.passive = True
    read(actor, session)


def passive_write(actor: Actor, session: Session) -> None:
    session.passive = True
    changes(own_key)(actor, session)


def stream(actor: Actor, session: Session) -> Iterable[bytes]:
    actor.look()
    actor.do(own_key)

    def body() -> Iterable[bytes]:
        yield b"first"
        actor.settle()
        actor.do(other_key)
        yield b"last"

    return body()


KINDS = {
    kind.name: kind
    for kind in (
        Kind("read", read, plain=True),
        Kind("write", changes(own_key), plain=True),
        Kind("nested write", changes(nested), plain=True),
        Kind("append", changes(append), plain=True),
        Kind("flash", changes(flash), plain=True),
        Kind("pop a list", changes(pop), plain=True),
        Kind("delete", changes(delete), plain=True),
        Kind("append, save, append", append_twice, plain=True),
        Kind("reload, write", reload, plain=True),
        Kind("append, insisting", insist, plain=True),
        Kind("atomic", atomic, plain=True),
        Kind("atomic, insisting", insist_atomic, plain=True),
        Kind("persistent", changes(persist), plain=True),
        Kind("idle_timeout", changes(shorten), plain=True),
        Kind("passive", passive, plain=True, passive=True),
        Kind("passive write", passive_write, plain=True, passive=True),
        Kind("stream, late write", stream, plain=True, late=True),
        Kind("login", become("ada"), moves=True),
        Kind("login as another", become("bob"), starts="logged in", moves=True),
        Kind("login, log out elsewhere", login_alone, moves=True, ends_other=True, starts="anonymous"),
        Kind("logout", become(None), moves=True),
        Kind("destroy", destroy, ends_own=True),
        Kind("destroy, write", destroy_and_write, ends_own=True),
        Kind("regenerate", regenerate, moves=True),
        Kind("regenerate, save", regenerate_and_save, moves=True),
        Kind("destroy_siblings", siblings, starts="logged in", ends_other=True),
        Kind("elsewhere: write", changes(own_key), starts="logged in", elsewhere=True),
        Kind("elsewhere: regenerate", regenerate, starts="logged in", elsewhere=True, moves=True),
        Kind("elsewhere: destroy_siblings", siblings, starts="logged in", elsewhere=True, ends_other=True),
        Kind("expiry", seconds=3 * 86400.0, ends_own=True, ends_other=True),
        Kind("a minute", seconds=61.0),
    )
}
