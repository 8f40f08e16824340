"""The cases of the main table: what a request does, its cookie, and the size of its session. Knows no contender."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from benchmarks.measure import (
    App,
    Block,
    Environ,
    Plan,
    Timing,
    environ_of,
    interleaved,
    over,
    request,
    spin,
    summary,
)
from benchmarks.peers import Action, Contender
from benchmarks.samples import SMALL, of_size


class Case(NamedTuple):
    """One row. ``data``: the session's data before the request; None: the visitor comes without a cookie."""

    name: str
    title: str
    action: Action | None
    data: dict[str, Any] | None = None
    forged: bool = False
    quick: bool = True


def list_of_10_kb() -> list[Any]:
    """Return one value of nested dicts."""
    return [cart for name, carts in of_size(10_000).items() if name.startswith("cart") for cart in carts]


def strings_of_10_kb() -> list[str]:
    """Return one value of short strings."""
    return [f"item number {number:04}" for number in range(500)]


def _read(session: Any) -> None:
    if session["user"] != "ada@example.org":
        raise AssertionError("the session was not found")


def _count(session: Any) -> None:
    session["views"] = session.get("views", 0) + 1


def _look(session: Any) -> None:
    if session.get("user") is not None:
        raise AssertionError("a forged cookie was believed")


READ, COUNT, LOOK = Action(_read), Action(_count, writes=True), Action(_look)

CASES = [
    Case("untouched", "untouched, no cookie", None),
    Case("untouched_cookie", "untouched, with a cookie", None, SMALL),
    Case("read", "read one key, 100 B", READ, SMALL),
    Case("write", "read and write one key, 100 B", COUNT, SMALL),
    Case("new", "new session", COUNT),
    Case("forged", "forged cookie, touched", LOOK, SMALL, forged=True),
    Case("forged_untouched", "forged cookie, untouched", None, SMALL, forged=True),
    Case("read_1k", "read one key of 1 KB", READ, of_size(1_000), quick=False),
    Case("write_1k", "read and write one key of 1 KB", COUNT, of_size(1_000), quick=False),
    Case("read_10k", "read one key of 10 KB", READ, of_size(10_000)),
    Case("write_10k", "read and write one key of 10 KB", COUNT, of_size(10_000)),
    Case("read_100k", "read one key of 100 KB", READ, of_size(100_000), quick=False),
    Case("write_100k", "read and write one key of 100 KB", COUNT, of_size(100_000), quick=False),
]

COOKIE_LIMIT = 4093
Row = dict[str, Timing | None]


def run(
    cases: Iterable[Case], contenders: list[Contender], plan: Plan, say: Callable[[str], object]
) -> dict[str, Row]:
    """Measure every case with every contender; microseconds per request over its bare application."""
    table = {}
    for case in cases:
        say(f"{case.title} …")
        table[case.name] = measured(case, contenders, plan)
    return table


def measured(case: Case, contenders: list[Contender], plan: Plan) -> Row:
    """Measure one case; None for a contender that cannot do it."""
    blocks: dict[str, Block] = {}
    for contender in contenders:
        cookie = cookie_for(case, contender)
        if cookie is None:
            continue
        environ = environ_of(cookie)
        # With the cookie: the cost of a bare application that others share does not depend on it.
        blocks.setdefault("bare " + contender.group, _block(contender.bare(), environ))
        blocks[contender.name] = _block(contender.app(case.action), environ)
    found = interleaved(blocks, plan)
    return {
        contender.name: over(found, contender.name, "bare " + contender.group)
        if contender.name in blocks
        else None
        for contender in contenders
    }


def _block(app: App, environ: Environ) -> Block:
    return lambda count: spin(app, environ, count)


def cookie_for(case: Case, contender: Contender) -> str | None:
    """Return the visitor's cookie; None if the contender cannot keep such a session."""
    if case.data is None:
        return ""
    data = case.data

    def fill(session: Any) -> None:
        for key, value in data.items():
            session[key] = value

    try:
        cookie = request(contender.app(Action(fill, writes=True))).cookie
    except ValueError:  # Pyramid: all of it must fit in a cookie
        return None
    if cookie is None or len(cookie) > COOKIE_LIMIT:
        return None
    if not case.forged:
        assert request(contender.app(READ), cookie).status.startswith("200"), (
            f"{contender.name} does not work"
        )
        return cookie
    return cookie[:-4] + ("AAAA" if cookie[-4:] != "AAAA" else "BBBB")


def lists(plan: Plan) -> dict[str, tuple[Timing, Timing]]:
    """Measure a request that only reads one list of 10 KB, minus one that reads a number; and one ``json.loads`` of the
    list.
    """
    from benchmarks.peers import Ours

    values = {"dicts": list_of_10_kb(), "strings": strings_of_10_kb()}
    found = {}
    for name, value in values.items():
        contender, text = Ours(), json.dumps(value, separators=(",", ":")).encode()
        app = contender.app(Action(lambda session: session["list"] and None))
        small = contender.app(READ)
        cookie = request(
            contender.app(Action(lambda session, value=value: session.update(SMALL, list=value)))
        ).cookie
        environ = environ_of(cookie or "")
        times = interleaved(
            {"list": _block(app, environ), "small": _block(small, environ), "loads": _loads(text)}, plan
        )
        found[name] = over(times, "list", "small"), summary(times["loads"])
    return found


def _loads(text: bytes) -> Block:
    import time

    def block(count: int) -> float:
        start = time.thread_time_ns()
        for _ in range(count):
            json.loads(text)
        return (time.thread_time_ns() - start) / count / 1000

    return block
