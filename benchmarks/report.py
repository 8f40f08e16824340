"""The tables that a run prints. Knows the form of the results, not how they were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.cases import CASES
from benchmarks.targets import FLOOR, OURS, Results, verdicts

TITLES = {case.name: case.title for case in CASES}


def text(results: Results) -> str:
    """Return all tables of the parts that were measured, as Markdown."""
    parts = [_head(results)]
    if "requests" in results:
        parts += _requests(results["requests"], results.get("correctness", {}))
    for name, part in (
        ("lists", _lists),
        ("profile", _profile),
        ("correctness", _correctness),
        ("scale", _scale),
        ("stores", _stores),
        ("endtoend", _endtoend),
        ("commandline", _commandline),
        ("outages", _outages),
    ):
        if name in results:
            parts += part(results[name])
    parts += _targets(results)
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table with aligned columns."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in lines) for column in range(len(head))]
    padded = [
        [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in lines
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (padded[0], rule, *padded[1:]))


def _head(results: Results) -> str:
    machine = results["machine"]
    quick = " A quick run: expect noise." if results.get("quick") else ""
    return f"# Benchmarks\n\nPython {machine['python']}, {machine['processor']}, {machine['cores']} cores.{quick}"


def _requests(found: dict[str, Any], kept: dict[str, Any]) -> Iterator[str]:
    """Print times, and beside them what was lost under the same load, if that was measured."""
    names = list(next(iter(found.values())))
    yield (
        "## One request\n\nProcessor time over the bare application in microseconds: the median of interleaved rounds, and the"
        " distance between the quartiles."
    )
    rows = [[name, *(_timing(row.get(name)) for row in found.values())] for name in names]
    head = ["", *found]
    if kept:
        head += ["updates lost", "logged out meanwhile"]
        rows = [[*row, *(_lost(kept[row[0]]) if row[0] in kept else ("-", "-"))] for row in rows]
    yield table(head, rows)
    rows = []
    for case, row in found.items():
        # If a framework's own cost is much larger than what its sessions add, the figure is not exact enough for a
        # comparison.
        sure = {name: timing for name, timing in row.items() if timing and timing[0] > timing[1]}
        peers = {name: timing[0] for name, timing in sure.items() if not name.startswith((OURS, FLOOR))}
        ours = row[OURS][0]
        best = min(peers, key=peers.__getitem__) if peers else None
        rows.append(
            [
                TITLES[case],
                f"{ours:.1f}",
                f"{ours / row[FLOOR][0]:.2f} ×",
                f"{ours / peers[best]:.2f} ×" if best else "-",
                best or "-",
            ]
        )
    yield table([f"{OURS} (memory)", "µs", "to the floor", "to the best peer", "which is"], rows)


def _lost(row: dict[str, Any]) -> tuple[str, str]:
    return f"{row['lost']} of {row['updates']}", row["late_request"]


def _timing(timing: Sequence[float] | None) -> str:
    return "-" if timing is None else f"{timing[0]:.1f} ±{timing[1]:.1f}"


def _lists(found: dict[str, Any]) -> Iterator[str]:
    rows = [
        [f"a list of {name}", _timing(ours), _timing(loads), f"{ours[0] / loads[0]:.2f} ×"]
        for name, (ours, loads) in found.items()
    ]
    yield table(["one value of 10 KB, read only", "µs", "json.loads", "ratio"], rows)


def _profile(found: dict[str, Any]) -> Iterator[str]:
    yield "## Where the time goes\n\nEach step alone, beside the whole request and the floor's; microseconds of processor time."
    names = list(dict.fromkeys(name for row in found.values() for name in row["steps"]))
    rows = [[name, *(_number(row["steps"].get(name)) for row in found.values())] for name in names]
    rows += [
        ["the steps together", *(_number(sum(row["steps"].values())) for row in found.values())],
        [
            "from one step to the next",
            *(_number(row["request"] - sum(row["steps"].values())) for row in found.values()),
        ],
        ["the request", *(_number(row["request"]) for row in found.values())],
        ["the floor's request", *(_number(row["floor"]) for row in found.values())],
        [
            "the request, with other data in the caches",
            *(_number(row["cold"]["wsgisession"]) for row in found.values()),
        ],
        [
            "the floor's request, with other data in the caches",
            *(_number(row["cold"]["floor"]) for row in found.values()),
        ],
    ]
    yield table(["", *(TITLES[kind] for kind in found)], rows)


def _correctness(found: dict[str, Any]) -> Iterator[str]:
    yield "## The same load, overlapping\n\nEight threads, one session, every thread counts in its own key."
    rows = [
        [name, lost, row["errors"], row["seconds"], ended]
        for name, row in found.items()
        for lost, ended in [_lost(row)]
    ]
    yield table(["", "updates lost", "errors", "seconds", "logged out while a request is in flight"], rows)


def _scale(found: dict[str, Any]) -> Iterator[str]:
    yield "## Many sessions\n\nMemoryStore: read and write one key of a random session. Milliseconds where not said otherwise."
    head = [
        "sessions",
        "median µs",
        "99.99 % µs",
        "worst µs",
        "bytes each",
        "gc.collect",
        "reclaim all",
        "worst while reclaiming µs",
    ]
    columns = ["sessions", "median", "p9999", "worst", "bytes", "collect", "reclaim", "worst_reclaiming"]
    yield table(head, [[_number(row.get(column)) for column in columns] for row in found["memory"]])
    if "beaker_bytes" in found:
        yield f"Beaker keeps a session of the same data in {found['beaker_bytes']:.0f} bytes."
    if rows := found.get("sqlite"):
        yield table(
            ["SQLite, sessions", "read µs", "write µs"],
            [[f"{r['sessions']:,}", _number(r["read"]), _number(r["write"])] for r in rows],
        )
    if writers := found.get("writers"):
        head = [
            "SQLite, writing processes",
            "requests/s",
            "median µs",
            "worst ms",
            "slowest : fastest",
            "errors",
        ]
        yield table(
            head,
            [
                [
                    name,
                    _number(w["rate"]),
                    _number(w["median"]),
                    _number(w["worst"]),
                    f"{w['slowest']} : {w['fastest']}",
                    w["errors"],
                ]
                for name, w in writers.items()
            ],
        )
    if owners := found.get("owners"):
        yield table(
            ["one owner's 5 sessions among 100,000", "list them, µs"],
            [[name, _number(us)] for name, us in owners.items()],
        )


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


def _stores(found: dict[str, Any]) -> Iterator[str]:
    yield "## Stores\n\nProcessor time per request in microseconds, over the bare application."
    if sqlite := found.get("sqlite"):
        rows = [
            [
                kind,
                *(f"{row[name]:.1f}" for name in ("ours", "statement", "memory")),
                f"{row['ours'] / row['parts']:.2f} ×",
            ]
            for kind, row in sqlite.items()
        ]
        yield table(["SQLite", "request", "bare statement", "our memory case", "request to both"], rows)
    if redis := found.get("redis"):
        rows = [
            [
                kind,
                row["trips"],
                f"{row['ours']:.1f}",
                f"{row['client']:.1f}",
                f"{row['ours'] - row['client']:.1f}",
                _number(row.get("beaker")),
            ]
            for kind, row in redis.items()
        ]
        yield table(
            ["Redis", "round trips", "request", "redis-py alone", "beside it", "Beaker's redis"], rows
        )


def _endtoend(found: dict[str, Any]) -> Iterator[str]:
    yield "## Behind a server\n\nThe counter application, one worker, under wrk; processor time of the worker per request."
    for server, rows in found.items():
        if server != "two workers":
            yield _served(server, rows)
    for does, rows in found.get("two workers", {}).items():
        yield _served(f"two workers of gunicorn, {does}", rows)


def _served(title: str, rows: dict[str, Any]) -> str:
    lines = []
    for name, row in rows.items():
        to_bare = f"{row['over_bare']:.0f}", _number(row["rate"]), f"{row['to_bare']:.2f}"
        lines.append([name, _number(row["cpu"]), *to_bare, f"{row['slow']:.1f}"])
    return table([title, "µs", "over bare", "requests/s", "to bare", "99 % within ms"], lines)


def _commandline(found: dict[str, Any]) -> Iterator[str]:
    yield f"## The command line\n\n{found['sessions']:,} sessions; seconds."
    columns = ["stats", "stats one by one", "count", "destroy --all", "copy"]
    rows = [
        [
            name,
            *(_seconds(row.get(column)) for column in columns),
            f"{row['stats'] / row['stats one by one']:.2f} ×",
        ]
        for name, row in found["stores"].items()
    ]
    yield table(["", *columns[:4], "copied to it", "stats, to one by one"], rows)
    commands = [name for name in found["memory"][0] if name != "sessions"]
    rows = [
        [f"{row['sessions']:,} sessions", *(f"{row[name]:.0f}" for name in commands)]
        for row in found["memory"]
    ]
    yield table(["MB that a command takes, SQLite", *commands], rows)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _outages(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "## Outages\n\nFour visitors who write with every request, without a pause; each plug is pulled for some seconds."
    rows = []
    for row in found:
        again = "not within 30 s" if row["recovery"] is None else f"{row['recovery']:.1f} s"
        lost = f"{row['lost']:,} writes" + (f", {row['gone']} sessions" if row["gone"] else "")
        lost = ("nothing" if not row["lost"] else lost) + (", a logout" if row["logout undone"] else "")
        failed = f"{row['failed']:,} of {row['requests']:,}"
        rows.append([row["store"], row["event"], failed, f"{row['slowest']:.1f} s", again, lost])
    yield table(
        ["store", "event", "requests that failed", "the longest wait", "works again after", "lost"], rows
    )
    causes = [f"- {row['store']}, {row['event']}: {cause}" for row in found for cause in row["causes"]]
    yield "\n".join(["What the errors said:", "", *causes])


def _targets(results: Results) -> Iterator[str]:
    found = verdicts(results)
    if found:
        yield "## Targets"
        rows = [
            [v.name, f"{v.value:.2f}{v.unit}", f"≤ {v.limit:g}{v.unit}", "met" if v.met else "MISSED"]
            for v in found
        ]
        yield table(["", "measured", "target", ""], rows)
