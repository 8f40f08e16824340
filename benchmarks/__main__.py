"""The command line: ``python -m benchmarks [part …] [--quick] [--json FILE] [--svg FILE]``. Knows which parts there are.

``python -m benchmarks --against PATH`` compares this tree with another one instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    against,
    cases,
    chart,
    commandline,
    correctness,
    endtoend,
    outages,
    peers,
    profile,
    report,
    scale,
    stores,
)
from benchmarks.measure import Plan

PARTS = ["requests", "profile", "correctness", "stores", "scale", "endtoend", "commandline", "outages"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What sessions cost, measured side by side."
    )
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"any of {', '.join(PARTS)}; without any, all of them"
    )
    parser.add_argument("--quick", action="store_true", help="within a minute, with more noise")
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="compare with another tree of this project, in turns"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the chart of the README")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if options.against:
        compared = against.run(options.against, options.quick, say)
        print(against.text(compared))
        if options.json:
            options.json.write_text(json.dumps(against.plain(compared), indent=1) + "\n", encoding="utf-8")
        return
    logging.getLogger("wsgisession").setLevel(logging.CRITICAL)  # there are forged cookies on purpose
    results = measured(options.parts or PARTS, options.quick, say)
    print(report.text(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.svg and "requests" in results:
        options.svg.write_text(chart.svg(results["requests"]), encoding="utf-8")


def measured(parts: list[str], quick: bool, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure the parts and return the figures."""
    results: dict[str, Any] = {"machine": machine(), "quick": quick}
    found, missing = peers.everyone() if {"requests", "correctness"} & set(parts) else ([], [])
    if missing:
        say(f"not installed, so left out: {', '.join(missing)} (pip install -e '.[bench]')")
    if "requests" in parts:
        chosen = [case for case in cases.CASES if case.quick or not quick]
        plan = Plan(7, 2.0) if quick else Plan(25, 8.0)
        results["requests"] = cases.run(chosen, found, plan, say)
        results["lists"] = cases.lists(Plan(9, 4.0) if quick else Plan(25, 10.0))
    if "profile" in parts:
        say("step by step …")
        results["profile"] = profile.run(Plan(7, 2.0) if quick else Plan(25, 8.0))
    if "correctness" in parts:
        say("overlapping requests …")
        results["correctness"] = {
            contender.name: correctness.run(contender, quick=quick)
            for contender in found
            if contender.name != "floor"
        }
    if "stores" in parts:
        results["stores"] = stores.run(quick, say)
    if "scale" in parts:
        results["scale"] = scale.run(quick, say)
    if "endtoend" in parts:
        results["endtoend"] = endtoend.run(quick, say)
    if "commandline" in parts:
        results["commandline"] = commandline.run(quick, say)
    if "outages" in parts:
        results["outages"] = outages.run(quick, say)
    return results


def machine() -> dict[str, Any]:
    """Describe where this ran."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"python": platform.python_version(), "processor": processor, "cores": os.cpu_count()}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
