"""Interleavings of requests that share a session, each written once, for any store, for threads and for processes.

A race has four actors. All of them act in each of its rounds, through the middleware, and meet at a barrier between the
steps: so what overlaps is scripted, not luck. Who plays which role rotates with the rounds. Afterwards each round is looked
at: what the actors saw, what their responses said, and what a new request finds.

Knows neither stores nor what the actors are (see race_crews).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from secrets import token_hex
from typing import Any, NamedTuple

from support.web import Answer, Handler, Site

from wsgisession import Session

ACTORS = 4
DEADLINE = 20.0  # seconds until a wait counts as endless


class Actor(NamedTuple):
    """One of those who act in a round."""

    site: Site
    number: int
    round: int
    cookies: list[str]
    meet: Callable[[], object]

    @property
    def role(self) -> int:
        """The part it plays in this round."""
        return (self.number + self.round) % ACTORS

    @property
    def cookie(self) -> str:
        """The session of this round, where each has its own."""
        return self.cookies[self.round]

    def visit(self, handler: Handler) -> Answer:
        """Send a request with the session's cookie."""
        return self.site.request(handler, self.cookie)

    def overlap(self, change: Callable[[Session], object]) -> Answer:
        """Send a request that reads the session, waits until all have read it, and then changes it; returns what it read."""

        def handler(session: Session) -> Any:
            seen = deepcopy(session.copy())  # a merge shows in what is only copied on top
            self.meet()
            change(session)
            return seen

        return self.visit(handler)


class Round(NamedTuple):
    """A round that is over. ``reports`` are in the order of the roles."""

    site: Site
    number: int
    cookie: str
    reports: list[Any]

    def find(self, cookie: str | None = None) -> Any:
        """Return what a new request finds, with the session's cookie or another one."""
        return self.site.read(cookie or self.cookie)

    def find_owner(self, set_cookie: str | None) -> Any:
        """Return who is logged in with the cookie of a response. None: it set none, or nobody is."""
        cookie = (set_cookie or "").partition(";")[0]
        return self.site.request(lambda session: session.owner, cookie).result if cookie else None


class Race:
    """One interleaving. Subclasses say how a session starts, what an actor does, and what is wrong with a round."""

    start: dict[str, Any] = {}
    owned = False
    """Whether each session has an owner, whom no other session has."""

    def issue(self, site: Site, rounds: int) -> list[str]:
        """Store a session for each round and return their cookies."""
        return [site.start(self.start, f"user {token_hex(8)}" if self.owned else None) for _ in range(rounds)]

    def act(self, actor: Actor) -> Any:
        """Play one actor's part of one round and return a report, which can be pickled."""
        raise NotImplementedError

    def wrong(self, round: Round) -> Any:
        """Return what is wrong with a round; something false if nothing is wrong."""
        raise NotImplementedError

    def anomalies(self, site: Site, cookies: list[str], reports: list[list[Any]]) -> list[str]:
        """Look at every round and say what went wrong. ``reports`` are by actor, then by round."""
        found = []
        for number, cookie in enumerate(cookies):
            by_role = [reports[(role - number) % ACTORS][number] for role in range(ACTORS)]
            if wrong := self.wrong(Round(site, number, cookie, by_role)):
                found.append(f"round {number}: {wrong}")
        return found


def differs(found: Any, expected: Any, what: str = "a new request finds") -> str | None:
    """Say how two values differ."""
    return None if found == expected else f"{what} {found!r} instead of {expected!r}"


# Promise 1: no lost writes


class DisjointKeys(Race):
    """All read, then each assigns or deletes a key of its own: every change is there."""

    start = {"stays": True, "old": 1}

    def act(self, actor: Actor) -> Any:
        def change(session: Session) -> None:
            if actor.role:
                session[f"key {actor.role}"] = actor.round
            else:
                del session["old"]

        return actor.overlap(change).result

    def wrong(self, round: Round) -> Any:
        expected = {"stays": True} | {f"key {role}": round.number for role in range(1, ACTORS)}
        return overlapped(self, round) or differs(round.find(), expected)


class Lists(Race):
    """All read, then each appends two items to one list: every item is there, once, and each actor's in their order."""

    start = {"log": [["start", 0]]}

    def act(self, actor: Actor) -> Any:
        def change(session: Session) -> None:
            session["log"].append([actor.role, 0])
            session["log"].append([actor.role, 1])

        return actor.overlap(change).result

    def wrong(self, round: Round) -> Any:
        log = round.find().get("log", [])
        expected = [[role, item] for role in range(ACTORS) for item in range(2)]
        # A stable sort by actor keeps the order of each one's items.
        return (
            overlapped(self, round)
            or differs(log[:1], self.start["log"], "the list begins with")
            or differs(sorted(log[1:], key=lambda item: item[0]), expected, "the list goes on with")
        )


class NestedKeys(Race):
    """All read, then each assigns a key of its own two levels down in one nested dict: every key is there."""

    start = {"user": {"settings": {"theme": "dark"}}}

    def act(self, actor: Actor) -> Any:
        return actor.overlap(
            lambda session: session["user"]["settings"].update({f"key {actor.role}": actor.round})
        ).result

    def wrong(self, round: Round) -> Any:
        settings = {"theme": "dark"} | {f"key {role}": round.number for role in range(ACTORS)}
        return overlapped(self, round) or differs(round.find(), {"user": {"settings": settings}})


class AtomicCounter(Race):
    """All read one number inside of atomic() before any of them saves: the count is exact, and no result comes twice."""

    start = {"count": 0}

    def act(self, actor: Actor) -> Any:
        runs: list[int] = []

        def count(session: Session) -> int:
            runs.append(session["count"])
            if len(runs) == 1:
                actor.meet()
            session["count"] += 1
            return int(session["count"])

        return actor.visit(lambda session: session.atomic(count)).result, runs[0]

    def wrong(self, round: Round) -> Any:
        results, first = zip(*round.reports, strict=True)
        return (
            differs(list(first), [0] * ACTORS, "not forced: the first runs read")
            or differs(sorted(results), [1, 2, 3, 4], "the results are")
            or differs(round.find(), {"count": ACTORS})
        )


def overlapped(race: Race, round: Round) -> str | None:
    """Check that the interleaving was forced: everybody had read the session before anybody changed it."""
    return differs(round.reports, [race.start] * ACTORS, "not forced: the actors read")


# Promise 2: gone is gone


class Saved(NamedTuple):
    """What became of a request that saves: save()'s answer, ``gone`` after it, and the response's Set-Cookie."""

    done: bool
    gone: bool
    set_cookie: str | None


def save(actor: Actor, before: Callable[[], object], after: Callable[[], object]) -> Saved:
    """Send a request that reads, waits, writes a key with its role's name, and waits again."""

    def handler(session: Session) -> Any:
        session.copy()
        before()
        session[f"saved {actor.role}"] = [actor.round]
        done = session.save()
        after()
        return done, session.gone

    answer = actor.visit(handler)
    return Saved(*answer.result, answer.set_cookie)


def come_late(actor: Actor) -> Saved:
    """Send a request that begins when all is over, with the old cookie, and writes."""
    return save(actor, lambda: None, lambda: None)


def nothing() -> None:
    """Wait for nobody."""


def against_saves(actor: Actor, first: Callable[[], Any], *, afterwards: bool) -> Any:
    """Play a round in which all read, one does ``first``, two save after that or meanwhile, and one comes late.

    The actor that does ``first`` meets the others twice in it: when all have read, and when it is done or may be.
    """
    meet = actor.meet
    report: Any = None
    if actor.role == 0:
        report = first()
    elif actor.role < 3:
        report = save(actor, lambda: (meet(), afterwards and meet()), nothing if afterwards else meet)
    else:
        actor.overlap(lambda session: meet())
    meet()
    return come_late(actor) if actor.role == 3 else report


def new_visitor(round: Round, late: Saved) -> str | None:
    """Check that who came with the cookie of an ended session began another one."""
    known = late.set_cookie is None or round.cookie in late.set_cookie
    return f"not a new visitor: {late}" if not late.done or late.gone or known else None


class DestroyAgainstSave(Race):
    """All read; one ends the session, two save, after that or at the same time; it stays ended.

    Who comes late is a new visitor. It is ended in turn by destroy(), by its key, and with all of its owner's.
    """

    start = {"cart": ["book"]}
    owned = True

    def end(self, actor: Actor, session: Session) -> None:
        manager = actor.site.manager
        match actor.round // 2 % 3:
            case 0:
                session.destroy()
            case 1:
                assert session.key is not None and manager.destroy(session.key) is True
            case 2:
                assert manager.destroy_owned(str(session.owner)) == 1

    def act(self, actor: Actor) -> Any:
        def first() -> Any:
            owners = []

            def end(session: Session) -> None:
                owners.append(session.owner)
                self.end(actor, session)

            actor.overlap(end)
            actor.meet()
            return owners[0]

        return against_saves(actor, first, afterwards=actor.round % 2 == 0)

    def wrong(self, round: Round) -> Any:
        owner, *savers, late = round.reports
        return (
            (any(saver.set_cookie for saver in savers) and f"a late save set a cookie: {savers}")
            or (
                round.number % 2 == 0
                and any(saver.done or not saver.gone for saver in savers)
                and f"saved: {savers}"
            )
            or new_visitor(round, late)
            or differs(round.find(), {})
            or differs(round.site.manager.owned_by(owner), [], "the owner has")
        )


class RegenerateAgainstSave(Race):
    """All read; one gets a new id; two save before (taken along), afterwards (dropped), or at the same time (either).

    The new id comes in turn from regenerate() and from a login. What save() acknowledged is there, and nothing else is.
    """

    start = {"cart": ["book"]}

    def renew(self, actor: Actor, session: Session) -> None:
        if actor.round // 3 % 2:
            session.owner = f"user {actor.round} of RegenerateAgainstSave"
        else:
            session.regenerate()

    def act(self, actor: Actor) -> Any:
        when = ("before", "afterwards", "at once")[actor.round % 3]

        def first() -> Any:
            change = actor.overlap(
                lambda session: (when == "before" and actor.meet(), self.renew(actor, session))
            )
            if when != "before":
                actor.meet()
            return change.set_cookie

        return against_saves(actor, first, afterwards=when == "afterwards")

    def wrong(self, round: Round) -> Any:
        fresh, *savers, late = round.reports
        done = [saver.done for saver in savers]
        expected = self.start | {f"saved {role}": [round.number] for role in (1, 2) if done[role - 1]}
        return (
            (fresh is None and "nobody got the new id")
            or differs(
                sorted(round.find(fresh.partition(";")[0]).items()),
                sorted(expected.items()),
                "under the new id is",
            )
            or (round.number % 3 < 2 and differs(done, [round.number % 3 == 0] * 2, "save() said"))
            or (any(saver.set_cookie for saver in savers) and f"a late save set a cookie: {savers}")
            or differs(late, Saved(False, True, None), "a request that came late ended as")
            or differs(round.find(), {})
        )


class RegenerateAgainstRegenerate(Race):
    """All read, then all ask for a new id: exactly one gets it, and no other session stays behind."""

    start = {"cart": ["book"]}
    owned = True

    def act(self, actor: Actor) -> Any:
        def handler(session: Session) -> str | None:
            owner = session.owner
            actor.meet()
            session.regenerate()
            return owner

        answer = actor.visit(handler)
        return answer.set_cookie, answer.result

    def wrong(self, round: Round) -> Any:
        (owner,) = {owner for _, owner in round.reports}
        cookies = [cookie.partition(";")[0] for cookie, _ in round.reports if cookie]
        return (
            differs(len(cookies), 1, "the number of new ids is")
            or differs(round.find(cookies[0]), self.start, "under the new id is")
            or differs(round.find(), {})
            or differs(len(round.site.manager.owned_by(owner)), 1, "the number of live sessions is")
        )


class ExpiryAgainstSave(Race):
    """All read; the session expires; two save: it stays expired. Who comes with its cookie is a new visitor with a new id."""

    start = {"cart": ["book"]}

    def expire(self, actor: Actor, session: Session) -> None:
        store, key, deadline = actor.site.manager.store, session.key, time.monotonic() + DEADLINE
        assert key is not None and store.touch(key, 0.001) is True
        while store.load(key) is not None:
            assert time.monotonic() < deadline, "it does not expire"

    def act(self, actor: Actor) -> Any:
        def first() -> None:
            actor.overlap(lambda session: (self.expire(actor, session), actor.meet()))

        return against_saves(actor, first, afterwards=True)

    def wrong(self, round: Round) -> Any:
        _, *savers, late = round.reports
        return (
            differs(savers, [Saved(False, True, None)] * 2, "the savers ended as")
            or new_visitor(round, late)
            or differs(round.find(), {})
        )


# Logins


def owner_of(actor: Actor) -> str:
    """Return an owner of this round alone."""
    return f"user {actor.round} {actor.cookie[-12:]}"


class SameLogin(Race):
    """All read a session with a cart, then all log the same user in: any cookie that is kept is logged in, with the
    cart.

    In every other round each of them writes a key as well. Who comes late, with the old cookie, finds the session gone.
    """

    start = {"cart": ["book"]}

    def act(self, actor: Actor) -> Any:
        meet = actor.meet

        def log_in(session: Session) -> None:
            session.owner = owner_of(actor)
            if actor.round % 2:
                session[f"key {actor.role}"] = actor.round

        answer = actor.overlap(log_in)
        meet()
        late = come_late(actor) if actor.role == 0 else None
        return answer.result, answer.set_cookie, late, owner_of(actor)

    def wrong(self, round: Round) -> Any:
        seen, cookies, late, owners = zip(*round.reports, strict=True)
        kept = [cookie.partition(";")[0] if cookie else None for cookie in cookies]
        found = [
            round.site.request(lambda s: (s.owner, s.get("cart"), len(s)), cookie or "").result
            for cookie in kept
        ]
        counts = sorted(count for _, _, count in found)
        return (
            differs(list(seen), [self.start] * ACTORS, "not forced: the actors read")
            or differs(
                [(who, cart) for who, cart, _ in found], [(owners[0], ["book"])] * ACTORS, "the cookies are"
            )
            # The first one's has its own key, each other one its own and the first one's.
            or (round.number % 2 and differs(counts, [2, 3, 3, 3], "the numbers of items are"))
            or differs(late[0], Saved(False, True, None), "a request that came late ended as")
        )


class OneLoginPerUser(Race):
    """The same user logs in on four devices, and out everywhere else, at the same moment: exactly one login is left."""

    def act(self, actor: Actor) -> Any:
        def handler(session: Session) -> int:
            session.owner = owner_of(actor)
            session.save()
            actor.meet()
            return session.destroy_siblings()

        answer = actor.site.request(handler)
        return answer.result, answer.set_cookie, owner_of(actor)

    def wrong(self, round: Round) -> Any:
        ended, cookies, owners = zip(*round.reports, strict=True)
        live = [round.find_owner(cookie) for cookie in cookies]
        return (
            differs(len(round.site.manager.owned_by(owners[0])), 1, "the number of live sessions is")
            or differs(sum(ended), ACTORS - 1, "the number of ended ones is")
            or differs(sum(owner == owners[0] for owner in live), 1, "the number of cookies that work is")
        )


class LoginOverTwoSessions(Race):
    """Each visitor has two live cookies. One request logs in; two save meanwhile or afterwards, one comes late.

    The login's cookie works, what the two cookies stood for has ended, and nobody else sets a cookie.
    """

    def issue(self, site: Site, rounds: int) -> list[str]:
        return [f"{site.start({'n': 1})}; {site.start({'n': 2})}" for _ in range(rounds)]

    def act(self, actor: Actor) -> Any:
        def first() -> Any:
            login = actor.overlap(lambda session: setattr(session, "owner", owner_of(actor)))
            actor.meet()
            return login.set_cookie

        return against_saves(actor, first, afterwards=actor.round % 2 == 0)

    def wrong(self, round: Round) -> Any:
        fresh, *others = round.reports
        return (
            differs(others, [Saved(False, True, None)] * 3, "the others ended as")
            or (round.find_owner(fresh) is None and "who logged in is not logged in")
            or differs(round.find(), {})
            or differs(
                [round.find(cookie) for cookie in round.cookie.split("; ")], [{}, {}], "the old cookies find"
            )
        )


# Limits


def make_due(actor: Actor) -> None:
    """Leave the session so few seconds that every use of it moves its expiry."""
    if actor.role == 0:
        actor.visit(lambda session: actor.site.manager.store.touch(str(session.key), 100.0))
    actor.meet()


class Limits(Race):
    """All read; one sets a timeout of the session's own, one is no use of it, two write: all of it is there."""

    start = {"stays": True}

    def act(self, actor: Actor) -> Any:
        make_due(actor)

        def change(session: Session) -> None:
            if actor.role == 0:
                session.idle_timeout = 900
            else:
                session.passive = actor.role == 1
                session[f"key {actor.role}"] = actor.round

        return actor.overlap(change).result

    def wrong(self, round: Round) -> Any:
        data, own, left = round.site.request(
            lambda session: (session.copy(), session.idle_timeout, session.expires - time.time()),
            round.cookie,
        ).result
        expected = self.start | {f"key {role}": round.number for role in (1, 2, 3)}
        return (
            overlapped(self, round)
            or differs(data, expected)
            or differs(own, 900.0, "its own timeout is")
            or (not 800 < left < 905 and f"{left:.0f} seconds are left")
        )


# Promises 1 and 5: a refreshed expiry carries no data


class TouchAgainstSave(Race):
    """All read a session whose expiry is due; two only refresh it, two save: the data is theirs, and the expiry has moved."""

    start = {"stays": True}

    def act(self, actor: Actor) -> Any:
        make_due(actor)

        def change(session: Session) -> None:
            if actor.role >= 2:
                session[f"key {actor.role}"] = actor.round

        return actor.overlap(change).result

    def wrong(self, round: Round) -> Any:
        data, left = round.site.request(
            lambda session: (session.copy(), session.expires - time.time()), round.cookie
        ).result
        expected = self.start | {f"key {role}": round.number for role in (2, 3)}
        return (
            overlapped(self, round)
            or differs(data, expected)
            or (left < 7000 and f"only {left:.0f} seconds are left")
        )


# No leaks


class Leaks(Race):
    """Sixteen of 64 sessions are in use at a time, four by each actor: nobody sees or changes another's."""

    SESSIONS = 64
    AT_ONCE = 4

    def issue(self, site: Site, rounds: int) -> list[str]:
        return [site.start({"mark": [number]}, f"user {number} of Leaks") for number in range(self.SESSIONS)]

    def visited(self, actor: int, round: int) -> list[int]:
        """Return the sessions an actor uses in a round; no two actors the same."""
        return [(round + 16 * actor + 4 * place) % self.SESSIONS for place in range(self.AT_ONCE)]

    def act(self, actor: Actor) -> Any:
        seen: list[Any] = []
        todo = self.visited(actor.number, actor.round)

        def handler(session: Session) -> None:
            mark = session["mark"]
            nest()
            counts = session.setdefault("visits", {})
            counts[f"by {actor.number}"] = counts.get(f"by {actor.number}", 0) + 1
            seen.append((mark, session["mark"], session.owner))

        def nest() -> None:
            if todo:
                actor.site.request(handler, actor.cookies[todo.pop()])
            else:
                actor.meet()

        nest()
        return seen

    def anomalies(self, site: Site, cookies: list[str], reports: list[list[Any]]) -> list[str]:
        found: list[str | None] = []
        visits: list[dict[str, int]] = [{} for _ in cookies]
        for actor, rounds in enumerate(reports):
            for number, seen in enumerate(rounds):
                used = self.visited(actor, number)
                for one in used:
                    visits[one][f"by {actor}"] = visits[one].get(f"by {actor}", 0) + 1
                expected = [([one], [one], f"user {one} of Leaks") for one in used]
                found.append(differs(seen, expected, f"round {number}: actor {actor} saw"))
        for number, cookie in enumerate(cookies):
            expected_data: dict[str, Any] = {"mark": [number]} | (
                {"visits": visits[number]} if visits[number] else {}
            )
            found.append(differs(site.read(cookie), expected_data, f"session {number}: a new request finds"))
        return [one for one in found if one]


RACES: dict[str, Race] = {
    "disjoint keys": DisjointKeys(),
    "lists": Lists(),
    "nested keys": NestedKeys(),
    "atomic counter": AtomicCounter(),
    "destroy against save": DestroyAgainstSave(),
    "regenerate against save": RegenerateAgainstSave(),
    "regenerate against regenerate": RegenerateAgainstRegenerate(),
    "expiry against save": ExpiryAgainstSave(),
    "touch against save": TouchAgainstSave(),
    "the same login again": SameLogin(),
    "one login per user": OneLoginPerUser(),
    "login over two sessions": LoginOverTwoSessions(),
    "limits": Limits(),
    "leaks between 64 sessions": Leaks(),
}
