"""The page on upgrading: what it says to write does what it says."""

from __future__ import annotations

from typing import Any

import pytest
from support.docs import ROOT, examples
from support.web import Site
from webtest import TestApp

from wsgisession import HeadersSent, JSONCodec, StoreError
from wsgisession.codec import ATTRIBUTES, METHODS

PAGE = "docs/how-to/upgrading.md"


@pytest.fixture
def page() -> dict[str, Any]:
    return examples(PAGE)


def test_the_application_counts(page: dict[str, Any]) -> None:
    """The second visit with the cookie of the first counts two."""
    browser = TestApp(page["app"])
    assert [browser.get("/").text for _ in range(2)] == ["Number of views 1", "Number of views 2"]


def test_what_is_written_after_a_logout_stays(page: dict[str, Any]) -> None:
    """The rest of the data leaves with its owner."""
    site = Site()
    cookie = site.start({"language": "fi", "name": "Ada"}, owner="ada")
    answer = site.request(page["log_out_but_keep_the_language"], cookie)
    assert site.read(answer.cookie) == {"language": "fi"} and site.read(cookie) == {}


def test_an_attribute_is_refused_and_a_key_is_kept(page: dict[str, Any]) -> None:
    """What the page says to write instead is stored."""
    site = Site()
    with pytest.raises(AttributeError, match="language"):
        site.request(lambda session: setattr(session, "language", "fi"))
    answer = site.request(lambda session: page["remember_language"](session, "fi"))
    assert site.read(answer.cookie) == {"language": "fi"}


def test_a_job_opens_the_session_by_its_key(page: dict[str, Any]) -> None:
    """A session that is kept after its request raises; the one that is opened is saved; one that ended is left alone."""
    site = Site()
    cookie = site.start({"a": 1})
    kept = site.request(lambda session: [session, session.get("a")], cookie).result[0]
    with pytest.raises(HeadersSent, match="open"):
        kept["report"] = "ready"
    page["job"](site.manager, kept.key)
    assert site.read(cookie) == {"a": 1, "report": "ready"}
    site.manager.destroy(kept.key)
    page["job"](site.manager, kept.key)
    assert site.live() == []


def test_a_listing_names_its_fields(page: dict[str, Any]) -> None:
    """Of the owner's session alone."""
    site = Site()
    site.start({}, owner="ada")
    site.start({}, owner="bob")
    [(key, created, expires)] = page["rows"](site.manager, "ada")
    assert key in site.live() and created < expires


def test_what_is_stored_is_compressed(page: dict[str, Any]) -> None:
    """And comes back."""
    site = Site(codec=page["Compressed"]())
    cookie = site.start({"text": "a" * 1000})
    assert site.read(cookie) == {"text": "a" * 1000}
    [key] = site.live()
    found = site.manager.store.load(key)
    assert found is not None and len(found[0]) < 200


def test_a_compressed_payload_that_is_broken_is_no_session(page: dict[str, Any]) -> None:
    """The codec of the page says so with the error that the library expects."""
    codec = page["Compressed"]()
    assert isinstance(codec, JSONCodec)
    with pytest.raises(ValueError, match="not compressed") as caught:
        codec.unpack(b"?")
    assert not isinstance(caught.value, StoreError)


def test_the_parts_of_a_codec_are_named_as_they_are() -> None:
    """The table names only what a codec has, and each attribute that is new."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert {*METHODS, *ATTRIBUTES} >= {"pack", "unpack", "markers", "json_lines", "dates_cookie", "accepts"}
    assert all(f"`{name}`" in text for name in ATTRIBUTES)
