"""The targets of the project, as ratios of one run's own figures. Knows the form of the results, not how they were
measured.

A target whose figures were not measured is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Results = dict[str, Any]

OURS, FLOOR, BEAKER, FILE, SQLITE = (
    "wsgisession",
    "floor",
    "Beaker memory",
    "Beaker file",
    "wsgisession SQLite",
)


SAME_ENGINE = {
    "SQLite": ["Beaker file"],
    "Redis": ["Beaker redis", "Flask-Session redis", "Django cache redis"],
}
RECOVERY = 30.0  # seconds, if nothing worked again
FORGETFUL = (
    "without persistence",
    "the file is removed",
    "another file",
)  # these lose sessions together with the engine's data


class Verdict(NamedTuple):
    """One target: the measured figure, and the largest one allowed."""

    name: str
    value: float
    limit: float
    unit: str = "×"

    @property
    def met(self) -> bool:
        return self.value <= self.limit


# case, most against the floor, most against Beaker (memory)
_REQUESTS = [
    ("untouched", 1.5, 0.5),
    ("untouched_cookie", 1.5, 0.5),
    ("read", 2.0, 0.25),
    ("write", 2.0, 0.35),
    ("new", 2.0, 0.35),
    ("forged", 1.5, 0.15),
]


def verdicts(results: Results) -> list[Verdict]:
    """Return every target for which this run has figures."""
    found = []
    for part in (_requests, _lists, _correctness, _scale, _stores, _endtoend, _commandline, _outages):
        found += list(part(results))
    return found


def _requests(results: Results) -> Iterator[Verdict]:
    table = results.get("requests", {})

    def cost(case: str, name: str) -> float | None:
        timing = table.get(case, {}).get(name)
        return None if timing is None else float(timing[0])

    def ratio(name: str, ours: float | None, theirs: float | None, limit: float) -> Iterator[Verdict]:
        if ours is not None and theirs is not None:
            yield Verdict(name, ours / theirs, limit)

    for case, floor, beaker in _REQUESTS:
        yield from ratio(f"{case}: to the floor", cost(case, OURS), cost(case, FLOOR), floor)
        yield from ratio(f"{case}: to Beaker", cost(case, OURS), cost(case, BEAKER), beaker)
    for case, small, beaker in (("read_10k", "read", 0.06), ("write_10k", "write", 0.08)):
        yield from ratio(f"{case}: to our {small}", cost(case, OURS), cost(small, OURS), 1.5)
        yield from ratio(f"{case}: to Beaker", cost(case, OURS), cost(case, BEAKER), beaker)
    for case in ("read", "write"):
        yield from ratio(f"SQLite {case}: to Beaker's files", cost(case, SQLITE), cost(case, FILE), 0.1)


def _lists(results: Results) -> Iterator[Verdict]:
    for name, (ours, loads) in results.get("lists", {}).items():
        yield Verdict(f"10 KB list of {name}, read only: to json.loads", ours[0] / loads[0], 1.6)


def _correctness(results: Results) -> Iterator[Verdict]:
    for name in (OURS, SQLITE):
        if found := results.get("correctness", {}).get(name):
            yield Verdict(f"{name}: updates lost", found["lost"], 0, "")
            yield Verdict(f"{name}: sessions revived", found["late_request"] != "gone", 0, "")


def _scale(results: Results) -> Iterator[Verdict]:
    rows = results.get("scale", {}).get("memory", [])
    if rows and rows[-1]["sessions"] == 1_000_000:
        first, last = rows[0], rows[-1]
        yield Verdict(
            "a million sessions: time per request, to that at 1,000", last["median"] / first["median"], 1.3
        )
        yield Verdict("a million sessions: 99.99th percentile", last["p9999"] / 1000, 1.0, " ms")
        yield Verdict("a million sessions: bytes per session", last["bytes"], 500, " B")
        yield Verdict("a million sessions: full garbage collection", last["collect"], 25, " ms")
        if beaker := results["scale"].get("beaker_bytes"):
            yield Verdict("bytes per session: to Beaker", last["bytes"] / beaker, 1.0)
    for name, found in results.get("scale", {}).get("writers", {}).items():
        if name.startswith("4"):
            yield Verdict("SQLite, four writers: errors", found["errors"], 0, "")
            yield Verdict("SQLite, four writers: worst request", found["worst"], 250, " ms")
            yield Verdict(
                "SQLite, four writers: fastest to slowest", found["fastest"] / max(found["slowest"], 1), 3
            )


def _stores(results: Results) -> Iterator[Verdict]:
    found = results.get("stores", {})
    for kind in ("read", "write"):
        if sqlite := found.get("sqlite", {}).get(kind):
            yield Verdict(
                f"SQLite {kind}: to the statement and our memory case", sqlite["ours"] / sqlite["parts"], 1.5
            )
        if redis := found.get("redis", {}).get(kind):
            yield Verdict(f"Redis {kind}: round trips", redis["trips"], {"read": 1, "write": 2}[kind], "")
            yield Verdict(
                f"Redis {kind}: processor time beside redis-py", redis["ours"] - redis["client"], 20, " µs"
            )
            if redis.get("beaker"):
                yield Verdict(f"Redis {kind}: to Beaker's redis", redis["ours"] / redis["beaker"], 0.6)


def _endtoend(results: Results) -> Iterator[Verdict]:
    rows = results.get("endtoend", {}).get("gunicorn", {})
    get: Callable[[str], float | None] = lambda name: rows.get(name, {}).get("over_bare")  # noqa: E731
    beaker = get(FILE)
    for name, limit in ((OURS, 25.0), (SQLITE, 80.0)):
        ours = get(name)
        if ours is not None:
            yield Verdict(f"gunicorn, {name}: processor time over the bare application", ours, limit, " µs")
            if beaker is not None:
                yield Verdict(f"gunicorn, {name}: to what Beaker's files add", ours / beaker, 0.2)
    for does, found in results.get("endtoend", {}).get("two workers", {}).items():
        for engine, peers in SAME_ENGINE.items():
            theirs = [found[peer]["over_bare"] for peer in peers if peer in found]
            ours = found.get(f"{OURS} {engine}", {}).get("over_bare")
            if theirs and ours is not None:
                yield Verdict(
                    f"two workers, {engine}, {does}: to the cheapest peer", ours / min(theirs), 1 / 1.4
                )


def _commandline(results: Results) -> Iterator[Verdict]:
    found = results.get("commandline", {})
    # As 2, 5 and 3 seconds are to the 3.7, 14.5 and 33 that 100,000 sessions took one by one.
    for name, limit in (("SQLite", 0.54), ("Redis", 0.345), ("PostgreSQL", 0.09)):
        if row := found.get("stores", {}).get(name):
            yield Verdict(
                f"command line, stats of {name}: to one by one", row["stats"] / row["stats one by one"], limit
            )
    if memory := found.get("memory"):
        few, many = memory
        for name in ("stats", "list --sort size --limit 20", "list --json"):
            yield Verdict(
                f"command line, {name}: memory, to that of few sessions", many[name] / few[name], 1.5
            )


def _outages(results: Results) -> Iterator[Verdict]:
    for row in results.get("outages", []):
        name = f"{row['store']}, {row['event']}"
        yield Verdict(
            f"{name}: works again", RECOVERY if row["recovery"] is None else row["recovery"], 2.0, " s"
        )
        if not any(word in name for word in FORGETFUL):
            yield Verdict(
                f"{name}: acknowledged writes and logouts lost", row["lost"] + row["logout undone"], 0, ""
            )
