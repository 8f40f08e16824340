"""What the demo's page looks like: on a screen and on a phone, light and dark. The pictures in the docs are taken here:
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

pytestmark = pytest.mark.wide

# "mobile" is without a bar to scroll.
PICTURES: dict[str, dict[str, Any]] = {
    "light": {"width": 1100, "height": 860, "scheme": "light", "mobile": True},
    "dark": {"width": 1100, "height": 860, "scheme": "dark", "mobile": True},
    "phone": {"width": 360, "height": 860, "scheme": "light", "deviceScaleFactor": 1.5},
}
LARGEST = 150_000  # bytes of one picture in the docs


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A visitor who is logged in here and elsewhere, has added two items at once, and has stored every type."""
    site = demo.with_sessions(secret=SECRET)
    with serving(site) as port, launching(tmp_path_factory.mktemp("looks")) as launch:
        browser = launch()
        browser.visit(f"http://127.0.0.1:{port}")
        browser.submit("/add", item="bread")
        browser.submit("/login", name="ada")
        browser.submit("/pretend")
        browser.submit("/types")
        browser.visit(f"http://127.0.0.1:{port}")
        browser.run("document.getElementById('race-run').click()")
        browser.until("return document.getElementById('race-said').textContent.includes('at the same time')")
        yield browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 900, 360])
def test_the_page_is_readable(browser: Browser, width: int, scheme: str) -> None:
    """Text stands out from what is behind it, nothing is cut off at the side, and every button can be hit."""
    browser.pose(width, 800, scheme)
    browser.check_looks()


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_in_the_docs(browser: Browser, name: str, tmp_path: Path) -> None:
    """Each is there and small. If DEMO_PICTURES names a folder, they are taken again."""
    folder = Path(os.environ.get("DEMO_PICTURES", tmp_path))
    browser.pose(**PICTURES[name])
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    picture = base64.b64decode(browser.driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
    (folder / f"demo-{name}.png").write_bytes(picture)
    assert len(picture) < LARGEST and (ROOT / f"docs/images/demo-{name}.png").stat().st_size < LARGEST


def test_a_long_word_breaks_on_a_phone(browser: Browser) -> None:
    """Whatever a visitor typed, nobody has to scroll sideways."""
    browser.pose(360, 800, "light")
    browser.submit("/add", item="W" * demo.LONGEST)
    browser.check_looks()


def test_nothing_moves_for_those_who_asked_for_that(browser: Browser) -> None:
    """The bars of the running requests are full at once."""
    moving = "return getComputedStyle(document.querySelector('.lanes i')).animationName"
    assert browser.run(moving) == "fill"
    feature = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    assert browser.run(moving) == "none"
