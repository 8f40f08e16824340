"""The documentation's site in a real browser: every page, on a desktop and on a phone, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

pytest.importorskip("selenium")
pytest.importorskip("mkdocs")

from selenium.common.exceptions import TimeoutException  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402
from support.browser import Browser, launching  # noqa: E402
from support.demo_process import PATIENCE  # noqa: E402
from support.docs import ROOT  # noqa: E402
from support.site import FAULTS, PICTURE_FAULTS, build, served  # noqa: E402

import wsgisession  # noqa: E402

pytestmark = [pytest.mark.wide, pytest.mark.timeout(600)]

LOOKS = [(1280, "light"), (1280, "dark"), (360, "dark"), (360, "light")]
SCHEMES = {"light": "default", "dark": "slate"}  # the system's word, and the theme's
PICTURES = sorted(path.name for path in (ROOT / "docs" / "images").glob("*.svg") if path.name != "logo.svg")
# The first three pages that the search has found.
FIRST = """const links = [...document.querySelectorAll(".md-search-result__item a")].map(link => link.pathname);
return [...new Set(links)].slice(0, 3)"""


class Site(NamedTuple):
    """The built folder, its address, and a browser."""

    folder: Path
    url: str
    browser: Browser

    def open(self, page: str) -> None:
        """Open a page, in which nothing moves."""
        self.browser.driver.get(f"{self.url}/{page}")
        self.browser.run(
            "document.head.append(Object.assign(document.createElement('style'),"
            "{textContent: '*, ::before, ::after { transition: none !important; animation: none !important }'}))"
        )

    def colours(self, wanted: str) -> str:
        """Return the theme's scheme. The page hears of the system's a moment later: wait for the wanted one."""
        shown = "return document.body.dataset.mdColorScheme"
        with suppress(TimeoutException):
            wait = WebDriverWait(self.browser.driver, PATIENCE, 0.02)
            wait.until(lambda _: self.browser.run(shown) == SCHEMES[wanted])
        return str(self.browser.run(shown))


# A page that has each fault once.
FAULTY = """<!doctype html><title>Faulty</title><body style="background: #fff">
<p style="width: 3000px">sideways</p>
<pre style="width: 5em; overflow: hidden">code that is wider than its box</pre>
<article><table><tr><td style="display: block; width: 3em; word-break: break-all">configuration</table></article>
<p style="color: #999">pale</p>
<img src="http://127.0.0.2:9/picture.png" alt="">"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Built and served once, for one browser."""
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    with served(folder) as url, launching(tmp_path_factory.mktemp("reader")) as launch:
        yield Site(folder, url, launch())


@pytest.fixture(scope="module")
def faults(site: Site) -> dict[str, dict[str, Any]]:
    """By kind of fault: what was found, under the page and the look."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(site.folder.rglob("index.html")):
        page = path.relative_to(site.folder).parent.as_posix()
        site.browser.pose(1280, 900, "light")
        site.open("" if page == "." else f"{page}/")
        for width, scheme in LOOKS:
            site.browser.pose(width, 900, scheme)
            shown = site.colours(scheme)
            seen = site.browser.run(FAULTS) | {"scheme": [] if shown == SCHEMES[scheme] else [shown]}
            for kind, faults in seen.items():
                kinds = found.setdefault(kind, {})
                if faults:
                    kinds[f"{page} at {width}, {scheme}"] = faults
        said = [entry["message"] for entry in site.browser.driver.get_log("browser")]
        found.setdefault("console", {}).update({page: said} if said else {})
    return found


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("sideways", "no page has to be scrolled sideways"),
        ("clipped", "on a desktop no code is wider than its box; on a phone it scrolls in its box"),
        ("broken", "no word in a table is cut in two"),
        ("pale", "text has a contrast of 4.5 to 1 (WCAG 2.2, 1.4.3)"),
        ("foreign", "nothing is loaded from another host"),
        ("scheme", "the colours follow the system"),
        ("console", "the console is silent"),
    ],
    ids=lambda value: value if " " not in value else "",
)
def test_every_page(faults: dict[str, dict[str, Any]], kind: str, meaning: str) -> None:
    """On each page, in each look, what the table says."""
    assert faults[kind] == {}, meaning


@pytest.mark.parametrize("width", [1280, 360])
def test_each_fault_is_found(site: Site, tmp_path: Path, width: int) -> None:
    """On a page that has them all."""
    (tmp_path / "index.html").write_text(FAULTY, encoding="utf-8")
    site.browser.pose(width, 900, "light")
    with served(tmp_path) as url:
        site.browser.driver.get(url)
        found = site.browser.run(FAULTS)
    assert found["sideways"] and set(found["foreign"]) == {"http://127.0.0.2:9/picture.png"}
    assert found["clipped"] == ["code that is wider than its box"] and found["broken"] == ["configuration"]
    assert [fault for fault in found["pale"] if fault.endswith(": pale")]
    assert any(
        "Content Security Policy" in entry["message"] for entry in site.browser.driver.get_log("browser")
    )


def test_each_page_leads_to_its_neighbours(site: Site) -> None:
    """Every page except the first has a previous one, and every page except the last a next one."""
    pages = [path.read_text(encoding="utf-8") for path in site.folder.rglob("index.html")]
    assert sum("md-footer__link--prev" in page for page in pages) == len(pages) - 1
    assert sum("md-footer__link--next" in page for page in pages) == len(pages) - 1


def test_each_page_says_its_version(site: Site) -> None:
    """The package's own, beside a link to what changed."""
    for page in ("", "reference/api/"):
        site.open(page)
        footer = site.browser.driver.find_element(By.CLASS_NAME, "md-copyright")
        assert f"wsgisession {wsgisession.__version__}" in footer.text
        address = footer.find_element(By.TAG_NAME, "a").get_attribute("href")
        assert address == f"{site.url}/changelog/"
    site.open("changelog/")
    assert re.search(rf"^{re.escape(wsgisession.__version__)} - 20", site.browser.text, re.MULTILINE)


def test_the_colours_can_be_chosen(site: Site) -> None:
    """As the system, light, dark, and as the system again."""
    site.browser.pose(1280, 900, "dark")
    site.open("")
    button = "[data-md-component=palette] label:not([hidden])"
    for chosen in ("light", "dark", "dark"):
        site.browser.driver.find_element(By.CSS_SELECTOR, button).click()
        assert site.colours(chosen) == SCHEMES[chosen]
    site.browser.pose(1280, 900, "light")
    assert site.colours("light") == SCHEMES["light"]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("empty session", "/how-to/troubleshooting/"),
        ("csrf", "/how-to/csrf/"),
        ("docker", "/how-to/production/"),
        ("asgi", "/how-to/frameworks/"),
        ("idle_timeout", "/reference/options/"),
        ("SQLiteStore", "/reference/api/"),
    ],
)
def test_search_finds_the_page(site: Site, words: str, page: str) -> None:
    """Among the first three pages that the site's own search shows."""
    site.browser.pose(1280, 900, "light")
    site.open(f"concepts/?q={quote(words)}")
    with suppress(TimeoutException):
        WebDriverWait(site.browser.driver, PATIENCE, 0.02).until(lambda _: site.browser.run(FIRST))
    assert page in site.browser.run(FIRST)


@pytest.mark.parametrize("width", [1280, 360])
def test_search_answers_who_types(site: Site, width: int) -> None:
    """In the field of the header; on a phone a button opens it."""
    site.browser.pose(width, 900, "light")
    site.open("concepts/")
    if width < 1000:
        site.browser.driver.find_element(By.CSS_SELECTOR, ".md-header label[for=__search]").click()
    site.browser.driver.find_element(By.NAME, "query").send_keys("csrf")
    wait = WebDriverWait(site.browser.driver, PATIENCE, 0.02)
    wait.until(lambda _: "/how-to/csrf/" in site.browser.run(FIRST))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_are_readable(site: Site, picture: str, scheme: str) -> None:
    """Text stands out from the shape that it is on, and fits into it; shapes stand out (WCAG 2.2, 1.4.3 and 1.4.11)."""
    site.browser.pose(900, 1300, scheme)
    site.browser.driver.get(f"{site.url}/images/{picture}")
    assert site.browser.run(PICTURE_FAULTS) == {"texts": [], "long": [], "shapes": []}
