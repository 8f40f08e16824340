"""A headless Chromium with an empty profile, and the demo served from this process, so that a test can step in."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import demo
import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.demo_process import PATIENCE

# --disable-dev-shm-usage: a container's /dev/shm is often too small.
OPTIONS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage"""

# The ratio of contrast, as WCAG 2.2 defines it (1.4.3). A colour that lets others through is mixed with what is behind it.
CONTRAST = """
const parts = color => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return [r, g, b, a] };
const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
const luminance = color => color.slice(0, 3).map(byte => byte / 255)
  .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const ratio = (one, other) => {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05) };
"""

# The least contrast of an element that has text of its own, and of one that has a border (1.4.11), and what nobody can hit.
LOOKS = (
    CONTRAST
    + """
const behind = element => {
  const color = parts(getComputedStyle(element).backgroundColor);
  return element.parentElement && color[3] === 0 ? behind(element.parentElement) : color };
const stands = (color, element) => ratio(parts(color), behind(element));
const shown = selector => [...document.querySelectorAll(selector)].filter(element => element.getClientRects().length);
const texts = shown("body *").filter(element =>
  [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
const inputs = shown("input:not([type=hidden])");
return {
  text: Math.min(...texts.map(element => stands(getComputedStyle(element).color, element))),
  edge: Math.min(21, ...inputs.map(element => stands(getComputedStyle(element).borderTopColor, element.parentElement))),
  faded: texts.filter(element => getComputedStyle(element).opacity !== "1").length,
  wider: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  small: shown("button, input:not([type=hidden])")
    .filter(element => element.getBoundingClientRect().height < 24).length,
}
"""
)


# True if the element that has the focus shows it.
FOCUSED = """const style = getComputedStyle(document.activeElement);
return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2"""


class Browser:
    """One profile: cookies, pages, forms. ``driver`` is Selenium's."""

    def __init__(self, profile: Path, *options: str) -> None:
        chosen = webdriver.ChromeOptions()
        chosen.binary_location = shutil.which("chromium") or ""
        for option in (*OPTIONS.split(), f"--user-data-dir={profile}", *options):
            chosen.add_argument(option)
        # Both paths are named, so that Selenium looks for nothing and downloads nothing.
        self.driver = webdriver.Chrome(chosen, Service(executable_path=shutil.which("chromedriver")))
        self.driver.set_page_load_timeout(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)

    @property
    def text(self) -> str:
        """What the page shows."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def visit(self, url: str) -> str:
        """Open a page; return what it shows."""
        self.driver.get(url)
        return self.text

    def submit(self, action: str, **fields: str) -> str:
        """Fill in the form that is posted there; return what the next page shows."""
        form = self.driver.find_element(By.CSS_SELECTOR, f"form[action='{action}']")
        for name, value in fields.items():
            form.find_element(By.NAME, name).send_keys(value)
        self.run("window.leaving = true")
        form.find_element(By.TAG_NAME, "button").click()
        self.until("return !window.leaving && document.readyState === 'complete'")
        return self.text

    def until(self, condition: str) -> Any:
        """Wait until a function body returns something true in the page; return that."""
        wait = WebDriverWait(self.driver, PATIENCE, 0.02, ignored_exceptions=[WebDriverException])
        return wait.until(lambda _: self.run(condition))

    def press(self, name: str) -> None:
        """Walk to the button, link or field of this accessible name with the Tab key alone, and press Enter there."""
        seen = []
        while len(seen) < 100:
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            here = self.driver.switch_to.active_element
            seen.append(here.accessible_name)
            if seen[-1] == name:
                assert self.run(FOCUSED), f"nobody sees that {name!r} has the focus"
                ActionChains(self.driver).send_keys(Keys.ENTER).perform()
                return
        raise AssertionError(f"{name!r} is none of {seen}")

    def pose(self, width: int, height: int, scheme: str, **more: Any) -> None:
        """Take the size of a screen, light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size | more)

    def check_looks(self) -> None:
        """Text stands out from what is behind it, nothing is cut off at the side, and every button can be hit."""
        found = self.run(LOOKS)
        assert found["text"] >= 4.5 and found["edge"] >= 3, found
        assert (found["faded"], found["wider"], found["small"]) == (0, 0, 0), found

    def cookie(self, name: str = "sid") -> dict[str, Any] | None:
        """Return the cookie of this name that the browser would send to this page."""
        return self.driver.get_cookie(name)

    def run(self, script: str) -> Any:
        """Run a function body in the page; return what it returns, or what its promise becomes."""
        answer = self.driver.execute_cdp_cmd(
            "Runtime.evaluate",
            {"expression": f"(function () {{ {script} }})()", "awaitPromise": True, "returnByValue": True},
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


Launch = Callable[..., Browser]


@contextmanager
def launching(folder: Path) -> Iterator[Launch]:
    """Give a function that starts a browser with a new profile, and more options; all are ended in the end."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver")
    started: list[Browser] = []

    def start(*options: str) -> Browser:
        started.append(Browser(folder / f"profile{len(started)}", *options))
        return started[-1]

    try:
        yield start
    finally:
        for browser in started:
            browser.driver.quit()


def certificate(folder: Path) -> ssl.SSLContext:
    """Make a certificate for localhost, good for a day, which a browser has to be told to take."""
    file = str(folder / "server.pem")
    options = ["-subj", "/CN=localhost", "-days", "1", "-nodes", "-newkey", "rsa:2048"]
    command = ["openssl", "req", "-x509", *options, "-keyout", file, "-out", file]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@contextmanager
def serving(app: Any, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve an application with the demo's own server, a thread for each request; give the port."""
    server = make_server("127.0.0.1", 0, app, demo.Server, demo.Handler)
    if context is not None:
        # Shaken hands with in the request's own thread, so that nobody waits for a silent visitor.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.base_environ["HTTPS"] = "on"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
