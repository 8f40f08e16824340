"""The chart of the README, as SVG text: it follows the reader's light or dark theme. Knows the shape of the results."""

from __future__ import annotations

from html import escape
from typing import Any

from benchmarks.cases import CASES
from benchmarks.targets import FLOOR, OURS

SHOWN = ["read", "write", "new", "forged", "read_10k", "write_10k"]
WIDTH, LEFT, BAR, GAP, TITLE = 820, 190, 13, 3, 34
TOP, SCALE_END = 58, 700

_STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1c2430 }
  .ground { fill: #ffffff } .title { font-size: 16px; font-weight: 600 } .case { font-weight: 600 } .note { fill: #566171 }
  .peer { fill: #6b7686 } .ours { fill: #1a6b35 } .floor { fill: #8c95a3 } .axis { stroke: #6b7686; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf0 } .ground { fill: #12161c } .note { fill: #a3afbe }
    .peer { fill: #8592a3 } .ours { fill: #7bd88f } .floor { fill: #636f7f } .axis { stroke: #8592a3 }
  }
"""


def svg(requests: dict[str, Any]) -> str:
    """Return a bar chart of the main table: for each case one bar per contender. A bar is cut if it is much longer than
    the others.
    """
    shown = [case for case in SHOWN if case in requests]
    longest = max(requests[case][OURS][0] for case in shown) * 10
    parts, y = [], TOP
    titles = {case.name: case.title for case in CASES}
    for case in shown:
        y += TITLE - BAR
        parts.append(f'<text class="case" x="12" y="{y}">{escape(titles[case])}</text>')
        y += 8
        top = y
        for name, timing in requests[case].items():
            if timing is not None:
                parts.append(_bar(name, timing[0], longest, y))
                y += BAR + GAP
        parts.append(f'<line class="axis" x1="{LEFT}" y1="{top - GAP}" x2="{LEFT}" y2="{y}"/>')
    height = y + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"',
            ' role="img">',
            "<title>Microseconds that sessions add to a request</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
            '<text class="title" x="12" y="24">Microseconds that sessions add to a request</text>',
            '<text class="note" x="12" y="44">Processor time over the bare application; shorter is better. Floor: straight-line'
            " code without features.</text>",
            *parts,
            "</svg>\n",
        ]
    )


def _bar(name: str, value: float, longest: float, y: int) -> str:
    kind = "ours" if name.startswith(OURS) else "floor" if name == FLOOR else "peer"
    width = max(1.0, min(value, longest) / longest * (SCALE_END - LEFT))
    cut = " …" if value > longest else ""
    return (
        f'<text x="{LEFT - 8}" y="{y + BAR - 3}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>'
        f'<text class="note" x="{LEFT + width + 6:.1f}" y="{y + BAR - 3}">{value:.1f}{cut}</text>'
    )
