"""What the demo's page looks like: light, dark and on a phone. The pictures in the docs are taken here:
``DEMO_PICTURES=docs/images python -m pytest -m wide tests/wide/test_browser_looks.py``."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium")

import demo  # noqa: E402
from support.browser import Browser, launching, serving  # noqa: E402
from support.docs import ROOT  # noqa: E402
from support.web import SECRET  # noqa: E402

from wsgisession import SessionMiddleware  # noqa: E402

pytestmark = pytest.mark.wide

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"width": 900, "height": 640, "deviceScaleFactor": 1, "mobile": False},
    "dark": {"width": 900, "height": 640, "deviceScaleFactor": 1, "mobile": False},
    "phone": {"width": 360, "height": 640, "deviceScaleFactor": 1.5, "mobile": True},
}
LARGEST = 150_000  # bytes of one picture in the docs

# The ratio of contrast of each element that has text of its own or a border, as WCAG 2.2 defines it (1.4.3, 1.4.11).
CONTRASTS = """
const channels = color => color.match(/[\\d.]+/g).map(Number);
const luminance = color => channels(color).slice(0, 3).map(byte => byte / 255)
  .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const ratio = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05) };
const behind = element => {
  const color = getComputedStyle(element).backgroundColor;
  return element.parentElement && channels(color)[3] === 0 ? behind(element.parentElement) : color };
const texts = [...document.querySelectorAll("body *")].filter(element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const inputs = [...document.querySelectorAll("input:not([type=hidden])")];
return {
  text: Math.min(...texts.map(element => ratio(getComputedStyle(element).color, behind(element)))),
  edge: Math.min(...inputs.map(element => ratio(getComputedStyle(element).borderTopColor, behind(element.parentElement)))),
  faded: texts.filter(element => getComputedStyle(element).opacity !== "1").length,
  wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  small: [...document.querySelectorAll("button, input:not([type=hidden])")]
    .filter(element => element.getBoundingClientRect().height < 24).length,
}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A visitor with two items, who is logged in here and elsewhere."""
    site = SessionMiddleware(demo.app, secret=SECRET)
    site.manager.issue({"views": 3}, "ada")
    with serving(site) as port, launching(tmp_path_factory.mktemp("looks")) as launch:
        browser = launch()
        browser.visit(f"http://127.0.0.1:{port}")
        for item in ("Green tea", "A cup with <b>blue</b> flowers"):
            browser.submit("/add", item=item)
        browser.submit("/login", name="ada")
        yield browser


def pose(browser: Browser, look: str) -> None:
    scheme = {"name": "prefers-color-scheme", "value": "dark" if look == "dark" else "light"}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", LOOKS[look])
    browser.driver.refresh()


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_is_readable(browser: Browser, look: str) -> None:
    """Text stands out from what is behind it, nothing is cut off at the side, and every button can be hit."""
    pose(browser, look)
    found = browser.run(CONTRASTS)
    assert found["text"] >= 4.5 and found["edge"] >= 3
    assert (found["faded"], found["wider"], found["small"]) == (0, 0, 0)


@pytest.mark.parametrize("look", LOOKS)
def test_the_pictures_in_the_docs(browser: Browser, look: str, tmp_path: Path) -> None:
    """Each is there and small. Where DEMO_PICTURES names a folder, they are taken anew."""
    folder = Path(os.environ.get("DEMO_PICTURES", tmp_path))
    pose(browser, look)
    whole = {"captureBeyondViewport": True, "optimizeForSpeed": False}
    picture = base64.b64decode(browser.driver.execute_cdp_cmd("Page.captureScreenshot", whole)["data"])
    (folder / f"demo-{look}.png").write_bytes(picture)
    assert len(picture) < LARGEST and (ROOT / f"docs/images/demo-{look}.png").stat().st_size < LARGEST


def test_a_long_word_breaks_on_a_phone(browser: Browser) -> None:
    """Whatever a visitor typed, nobody has to scroll sideways."""
    pose(browser, "phone")
    browser.submit("/add", item="W" * demo.LONGEST)
    assert browser.run(CONTRASTS)["wider"] == 0
