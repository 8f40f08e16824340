"""The built site, served so that a browser loads nothing from anywhere else. Knows nothing of what the pages say."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.browser import CONTRAST
from support.docs import ROOT

# The theme's scripts and styles stand in the page. Whatever has another origin is refused, and the console says so.
POLICY = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:"


def build(folder: Path) -> None:
    """Build the site into a folder; a warning is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


class _Handler(SimpleHTTPRequestHandler):
    """Files with a policy, and without a line on the console."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *values: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on the loopback; give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# What a reader would trip over: each is a list of what was found.
FAULTS = (
    CONTRAST
    + """
const all = (selector, where = document) => [...where.querySelectorAll(selector)];
const wide = innerWidth >= 1000;
const page = document.documentElement;
const sideways = page.scrollWidth > page.clientWidth ? [page.scrollWidth] : [];
const scrolls = box => ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
const clipped = all("pre, pre > code").filter(box => box.scrollWidth > box.clientWidth && (wide || !scrolls(box)))
  .filter(box => !(box.tagName === "PRE" && scrolls(box.querySelector("code") || box) && !wide))
  .map(box => box.innerText.split("\\n").sort((a, b) => b.length - a.length)[0]);
const broken = [], range = document.createRange();
for (const cell of all("article td, article th")) {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    for (const word of text.data.matchAll(/[\\p{L}\\p{N}_.]+/gu)) {
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => Math.round(box.top))).size > 1) broken.push(word[0]);
    }
  }
}
const foreign = performance.getEntriesByType("resource").map(entry => entry.name)
  .filter(name => !name.startsWith(location.origin) && !name.startsWith("data:"));
// Asked once for each element and each pair of colours: a page has thousands of words in colours.
const grounds = new Map();
const behind = element => {
  if (!element) return [255, 255, 255, 1];
  if (!grounds.has(element)) {
    const color = parts(getComputedStyle(element).backgroundColor);
    grounds.set(element, color[3] === 1 ? color : over(color, behind(element.parentElement)));
  }
  return grounds.get(element) };
const pairs = new Map();
for (const element of all("body *")) {
  if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
  if (!element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
  const color = getComputedStyle(element).color, pair = color + behind(element);
  if (!pairs.has(pair)) pairs.set(pair, [color, element]);
}
const pale = [...pairs.values()].filter(([color, element]) => {
  const ground = behind(element);
  return ratio(over(parts(color), ground), ground) < 4.5 })
  .map(([color, element]) => `${color} ${element.className}: ${element.textContent.trim().slice(0, 40)}`);
return {sideways, clipped, broken, foreign, pale};
"""
)

# Of a picture: texts that hardly stand out from the shape under them or do not fit into it, and shapes that hardly stand out
# from the ground.
PICTURE_FAULTS = (
    CONTRAST
    + """
const color = shape => {
  const style = getComputedStyle(shape);
  return parts(style.stroke === "none" ? style.fill : style.stroke) };
const ground = color(document.querySelector(".ground"));
const under = text => {
  const box = text.getBoundingClientRect();
  const shapes = document.elementsFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return shapes.find(shape => shape.tagName === "rect" && getComputedStyle(shape).fill !== "none") };
const texts = [...document.querySelectorAll("text")].filter(text => ratio(color(text), color(under(text))) < 4.5);
const shapes = [...document.querySelectorAll("rect:not(.ground), line, path")].filter(shape => ratio(color(shape), ground) < 3);
const fits = (text, shape) => {
  const [inner, outer] = [text.getBoundingClientRect(), shape.getBoundingClientRect()];
  return outer.left + 4 <= inner.left && inner.right + 4 <= outer.right };
const long = [...document.querySelectorAll("text")].filter(text => !fits(text, under(text)));
return {texts: texts.map(text => text.textContent), long: long.map(text => text.textContent), shapes: shapes.map(shape => shape.outerHTML)};
"""
)
