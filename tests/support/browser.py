"""A headless Chromium with an empty profile, and the demo served from this process, so that a test can step in."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.simple_server import make_server

import demo
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from support.demo_process import PATIENCE

# --disable-dev-shm-usage: a container's /dev/shm is often too small.
OPTIONS = """--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage"""


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
        self.run("window.left = true")
        form.find_element(By.TAG_NAME, "button").click()
        wait = WebDriverWait(self.driver, PATIENCE, 0.02, ignored_exceptions=[WebDriverException])
        wait.until(lambda _: self.run("return !window.left && document.readyState === 'complete'"))
        return self.text

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


class Certificate(NamedTuple):
    """A certificate for localhost, good for a day: a server's context, and the option that makes Chromium trust it alone."""

    context: ssl.SSLContext
    option: str


def certificate(folder: Path) -> Certificate:
    """Make a key and a certificate signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
    )
    signed = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
        key, hashes.SHA256()
    )
    encoding, none = serialization.Encoding, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, none)
        + signed.public_bytes(encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    public = key.public_key().public_bytes(encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(public).digest()).decode()
    return Certificate(context, f"--ignore-certificate-errors-spki-list={pin}")


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
