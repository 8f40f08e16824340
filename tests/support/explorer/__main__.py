"""The command: ``python -m tests.support.explorer [--sample N]``. Prints the tables of docs/explorer.md."""

from __future__ import annotations

import argparse
import sys
import time

from .mutations import MUTATIONS
from .plan import meetings, sampled, walk, walk_all
from .report import orders, rules


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.explorer", description="Walk every order of overlapping requests."
    )
    parser.add_argument("--sample", type=int, metavar="N", help="N orders of each meeting instead of all")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="how many at once; without it, one for each processor"
    )
    options = parser.parse_args()
    since = time.monotonic()
    if options.sample:
        walked = [walk(meeting, sampled(options.sample)) for meeting in meetings()]
    else:
        walked = list(walk_all(meetings(), options.processes))
    print("\n".join(orders(walked)))
    print(
        f"\n{sum(one.cut for one in walked)} orders were longer than is walked; {time.monotonic() - since:.0f} s\n"
    )
    missed = []
    for mutation in MUTATIONS:
        with mutation.at_work():
            if not walk(mutation.meeting, enough=1).anomalies:
                missed.append(mutation.name)
    print("\n".join(rules(MUTATIONS)))
    print(
        f"\n{len(MUTATIONS) - len(missed)} of {len(MUTATIONS)} were noticed{', but not ' * bool(missed)}{'; '.join(missed)}"
    )
    anomalies = [anomaly for one in walked for anomaly in one.anomalies]
    print("\n".join(anomalies), file=sys.stderr)
    return 1 if anomalies or missed else 0


if __name__ == "__main__":
    sys.exit(main())
