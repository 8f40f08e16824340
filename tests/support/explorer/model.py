"""What the promises say of one run, as a small sequential model: what may be there in the end, and what must be.

A session is a chain of keys: the one it began with, then one for each change of its id. The data in it must be what its
requests would have made of a plain dict one after the other, in some order. Knows the requests and what was seen of them,
and nothing of how the package writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain, combinations, permutations
from typing import Any, NamedTuple

from wsgisession import StoreError

from .kinds import IDLE_TIMEOUT, PERSISTENT, Actor, Effect, flash, pop
from .world import MINUTE, OWNERS, Live, Story, key_of

LIFETIMES = {"usual": 7200.0, "persistent": 2592000.0}


class Case(NamedTuple):
    """What may have become of a session: what it began with, what must be in it, and what may be."""

    start: dict[str, Any]
    must: list[Effect]
    may: list[Effect]


class Model:
    """The promises, asked of one story."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.actors = [actor for actor in story.actors if not actor.kind.seconds]
        self.sent = {key_of(actor.sets) for actor in self.actors if actor.sets is not None}
        self.live = {key: live for key, live in story.finally_live.items() if not self.left_behind(key)}
        self.came_from = {new: old for old, (new, _) in story.moved.items() if new is not None}
        self.chains = {key: self.chain(key) for key in self.live}

    def left_behind(self, key: str) -> bool:
        """True for a new id that could not be taken back, because that very call failed. Nobody has its cookie."""
        actor = self.story.begun[key]
        return actor is not None and actor.unable_to_end and key not in self.sent

    def chain(self, key: str) -> list[str]:
        """Return the keys that a session had, up to this one."""
        keys = [key]
        while keys[0] in self.came_from and len(keys) < 20:
            keys.insert(0, self.came_from[keys[0]])
        return keys

    def wrong(self) -> list[str]:
        """Return what is wrong with the story; nothing if every promise was kept."""
        return list(
            chain(
                self.story.wrong,
                self.errors(),
                self.gone_is_gone(),
                self.logins(),
                self.logouts(),
                self.nobody_else_ends_it(),
                self.no_other_sessions(),
                self.what_the_browser_has(),
                self.no_late_cookie(),
                self.no_lost_writes(),
                self.facts(),
            )
        )

    # Failures

    def errors(self) -> Iterator[str]:
        """No exception but the store's own, and that only in the request whose call failed."""
        for actor in self.actors:
            if actor.error is not None and not (isinstance(actor.error, StoreError) and actor.faulted):
                yield f"{actor.name} raised {actor.error!r}"

    # Gone is gone

    def gone_is_gone(self) -> Iterator[str]:
        """A request whose session is gone sets no cookie, and nothing of it is there."""
        for actor in self.actors:
            if actor.sent_gone and actor.sets is not None:
                yield f"{actor.name}'s session is gone, and its response set a cookie"
            if actor.began == "new" and not self.ended(actor.key) and not self.story.ticked:
                if self.story.faulted:
                    continue
                yield f"{actor.name} found nothing where a session changed its id, or lives"

    def ended(self, key: str) -> bool:
        """True if somebody may have ended the session that began with this key."""
        own = key == self.story.issued[0]
        return any(
            kind.ends_own if own is not kind.elsewhere else kind.ends_other
            for kind in (actor.kind for actor in self.story.actors)
        ) or any(kind.seconds > 3600 or (kind.ends_other and kind.moves) for kind in (a.kind for a in self.story.actors))

    def logins(self) -> Iterator[str]:
        """A login that raised nothing has a session of that owner and a cookie for it."""
        for actor in self.actors:
            ended = actor.saved and actor.end_gone  # by another, after this one had saved
            if actor.error is None and actor.login is not None and not ended:
                if actor.sets is None or actor.end_key is None:
                    yield f"{actor.name} logged in and got no session"
            if actor.end_key in self.live and self.live[actor.end_key].record.owner != actor.end_owner:
                if actor.error is None:
                    yield f"{actor.name}'s session belongs to {self.live[actor.end_key].record.owner}"

    def logouts(self) -> Iterator[str]:
        """What destroy() and destroy_siblings() ended stays ended."""
        for actor in self.actors:
            for key, keys in self.chains.items():
                if actor.destroyed and actor.key in keys and not self.changed_owner(keys[keys.index(actor.key) :]):
                    yield f"{actor.name} ended a session that lives"
                other = self.story.issued[-1 if not actor.kind.elsewhere else 0]
                if actor.siblings_ended and keys[0] == other and self.live[key].record.owner == "ada":
                    if actor.key in self.story.issued and actor.end_key not in keys:
                        if not self.changed_owner(keys):
                            yield f"{actor.name} logged out everywhere else, and one of these sessions lives"

        calm = all(kind.plain or (kind.ends_other and not kind.seconds) for kind in (a.kind for a in self.story.actors))
        if calm and any(actor.siblings_ended for actor in self.actors) and not self.live:
            yield "who logged each other out elsewhere have no session left"

    def changed_owner(self, keys: list[str]) -> bool:
        """True if the owner changed along with one of the changes of id."""
        owners = [self.story.records[key].owner for key in keys]
        return any(before != after for before, after in zip(owners, owners[1:], strict=False))

    # How many sessions there are

    def nobody_else_ends_it(self) -> Iterator[str]:
        """A session that nobody ended lives, under its last key. A change of id that failed may have logged it out."""
        if self.failed_to_move() or self.story.ticked:
            return
        for key in self.story.issued:
            if not self.ended(key) and not any(keys[0] == key for keys in self.chains.values()):
                yield "a session is lost that nobody ended"

    def failed_to_move(self) -> bool:
        """True if a change of id met a failure: it fails closed, and at worst the visitor is logged out."""
        return any(actor.faulted and actor.kind.moves for actor in self.actors)

    def no_other_sessions(self) -> Iterator[str]:
        """Each session goes back to one that there was, or was rightly begun, and somebody holds its cookie."""
        roots = [keys[0] for keys in self.chains.values()]
        if len(set(roots)) < len(roots):
            yield "one session lives under two ids"
        beginners = []
        for key, keys in self.chains.items():
            actor = self.story.begun[keys[0]]
            if actor is not None:
                beginners.append(actor.name)
                if not self.may_begin(actor):
                    yield f"{actor.name} began a session without a reason"
            if key not in self.sent and key not in self.story.issued and not any(a.error and a.saved for a in self.actors):
                yield "a session lives whose cookie nobody has"
        if len(set(beginners)) < len(beginners):
            yield "one request began two sessions"
        yield from self.one_of_a_login_sent_twice()

    def may_begin(self, actor: Actor) -> bool:
        """True for a login, a new visitor who stores something, and what is written after destroy(); see the design."""
        return (
            actor.login is not None
            or ((actor.began == "new" or actor.destroyed) and len(actor.effects) > 0)
            or (actor.began == "gone" and actor.renewed)
        )

    def one_of_a_login_sent_twice(self) -> Iterator[str]:
        """Of a login sent twice, one session has at most a minute; of three changes of id at once, one of the three."""
        if self.story.faulted or self.story.ticked or self.story.issued[0] not in self.story.moved:
            return
        movers = sum(actor.kind.moves and not actor.kind.elsewhere for actor in self.actors)
        for owner in OWNERS:
            long = [
                key
                for key, keys in self.chains.items()
                if keys[0] not in self.story.issued[1:]
                and self.live[key].record.owner == owner
                and self.live[key].left > MINUTE
            ]
            if len(long) > max(movers - 1, 1):
                yield f"{owner} has {len(long)} sessions in one browser, and each has more than a minute"

    # The browser

    def what_the_browser_has(self) -> Iterator[str]:
        """The cookie it was sent last is that of a session that lives; if only logins set cookies, each of them is."""
        responses = sorted((actor for actor in self.actors if actor.sent), key=lambda actor: actor.arrived)
        own = [actor for actor in responses if not actor.kind.elsewhere and (actor.sets or actor.expires)]
        if not own or self.story.ticked or self.failed_to_move() or any(self.ended(key) for key in self.story.issued):
            return
        setting = [actor for actor in own if actor.sets is not None]
        logins = {actor.login for actor in setting}
        last = setting if len(logins) == 1 and None not in logins else own[-1:]
        for actor in last:
            if actor.sets is None or key_of(actor.sets) not in self.live:
                yield f"the browser has {actor.name}'s cookie, and no session of it lives"
            elif self.live[key_of(actor.sets)].record.owner != actor.end_owner:
                yield f"the browser has {actor.name}'s cookie, and it is not {actor.end_owner} who is logged in"

    def no_late_cookie(self) -> Iterator[str]:
        """A request that comes late, with the cookie from before a login or a logout, sets none over the new one."""
        if self.story.faulted or self.story.ticked:
            return
        for late in self.actors:
            for other in self.actors:
                newer = other.sets is not None and key_of(other.sets) != other.key and other.key == late.key
                if newer and late.began == "new" and late.began_at > other.sent_at and late.sets is not None:
                    yield f"{late.name} came late, and its cookie takes the place of {other.name}'s"

    # No lost writes

    def no_lost_writes(self) -> Iterator[str]:
        """In each session is what its requests make of a dict, one after the other."""
        for key, keys in self.chains.items():
            if keys[0] in self.story.issued[1:]:
                continue
            live = self.live[key]
            if not any(self.explains(live, case) for case in self.cases(keys)):
                made = [(effect.change.__name__, effect.mark, effect.state) for effect in self.effects()]
                yield f"nothing explains {shown(live)}, after {made}"
            yield from self.nothing_unread(live, keys)

    def effects(self) -> list[Effect]:
        return [effect for actor in self.actors for effect in actor.effects]

    def cases(self, keys: list[str]) -> Iterator[Case]:
        """Yield what may have become of a session with these keys."""
        owners = [self.story.records[key].owner for key in keys]
        # When an owner leaves, their data leaves too.
        last = max((at for at in range(1, len(keys)) if owners[at - 1] not in (None, owners[at])), default=0)
        start = self.story.start.data() if keys[0] == self.story.issued[0] and not last else {}
        effects = self.effects()
        must = [effect for effect in effects if effect.state == "must" and effect.key in keys[last:]]
        may = [effect for effect in effects if effect.state == "may"] + self.twice()
        heir = self.heir(keys[0], owners[0])
        # Where the marker was left by another login, after a logout, the two may have missed each other.
        if heir is None or heir not in self.live or self.story.ticked or self.story.issued[0] not in self.story.moved:
            yield Case(start, must, may)
        if heir is not None:
            # What the other login's session held is taken along, but for what was saved there after it was read.
            for case in self.cases(self.chain(heir)):
                late = [effect for effect in case.must if not self.seen(effect, keys[0])]
                early = [effect for effect in case.must if effect not in late]
                yield Case(case.start, early + must, [*may, *late])

    def heir(self, root: str, owner: str | None) -> str | None:
        """Return the session of the same owner that a login had made of the one that this login came with."""
        actor, last = self.story.begun[root], None
        if actor is None or actor.login is None or owner is None:
            return None
        key: str | None = actor.key
        while key in self.story.markers:
            key = last = self.story.markers[key]
        begun = list(self.story.begun)
        if last is None or begun.index(last) >= begun.index(root) or self.story.records[last].owner != owner:
            return None
        return last

    def seen(self, effect: Effect, root: str) -> bool:
        """True if a change was stored before the session under ``root`` was made with what had been read till then."""
        beginner = self.story.begun[root]
        writes = self.story.stored(effect)
        assert beginner is not None
        return bool(writes) and min(write.moment for write in writes) < beginner.created

    def twice(self) -> list[Effect]:
        """Return the changes that may be there twice: their reply was lost, and another wrote before they were repeated."""
        return [
            effect
            for actor in self.actors
            if actor.lost and any(write.moment > actor.lost and write.who != actor.name for write in self.story.writes)
            for effect in actor.effects
        ]

    def explains(self, live: Live, case: Case) -> bool:
        """True if the changes that must be there, and some of those that may, make this data in some order."""
        found = shown(live)
        for size in range(len(case.may) + 1):
            for some in combinations(case.may, size):
                for order in permutations(case.must + list(some)):
                    data = deepcopy(case.start)
                    for effect in order:
                        effect.change(data, effect.mark)
                    if data == found:
                        return True
        return False

    def nothing_unread(self, live: Live, keys: list[str]) -> Iterator[str]:
        """A message that is there no more was shown by somebody."""
        if self.story.faulted or keys[0] != self.story.issued[0] or self.changed_owner(keys):
            return
        read = [mark for effect in self.effects() if effect.change is pop for mark in effect.shown]
        left = live.data.get("flash", [])
        added = [effect.mark for effect in self.effects() if effect.change is flash and effect.state == "must"]
        for mark in [self.story.start.data()["flash"][0], *added]:
            if mark not in left and mark not in read:
                yield f"the message of {mark} was never shown"

    # Facts

    def facts(self) -> Iterator[str]:
        """``created`` begins again with a login and only then; who uses a session has its expiry moved."""
        for key, keys in self.chains.items():
            record, left = self.live[key].record, self.live[key].left
            if keys[0] in self.story.issued:
                same = record.created == self.story.created
                if self.story.start.worn and same is self.changed_owner(keys):
                    yield f"the session was created at {record.created}"
            timeout = LIFETIMES["persistent" if record.persistent else "usual"]
            timeout = timeout if record.idle_timeout is None else record.idle_timeout
            if left > timeout + 0.001:
                yield f"a session has {left} seconds left, and its timeout is {timeout}"
            users = [
                actor
                for actor in self.actors
                if actor.end_key == key and actor.error is None and not actor.end_gone and not actor.kind.passive
            ]
            if users and not self.story.faulted and not self.story.ticked and 60.001 < left < 0.9 * timeout:
                yield f"a session that was used has {left} seconds left of {timeout}"


def shown(live: Live) -> dict[str, Any]:
    """Return what a session holds, its facts too, as the changes make it."""
    facts: dict[str, Any] = {}
    if live.record.persistent:
        facts[PERSISTENT] = True
    if live.record.idle_timeout is not None:
        facts[IDLE_TIMEOUT] = live.record.idle_timeout
    return live.data | facts

