"""What the first release stored and sent stays readable: a payload, two tombstones and cookies, byte for byte."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from support.clock import Clock
from support.web import Site

from wsgisession import MemoryStore

# Never change these: they are what users of the first format have in their stores and browsers.
CREATED = 1764018000.0
SECRET = "the secret of the first release, kept"
ID = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"
KEY = "GuswXq5j7W6smrJtRu8UatSPWuWcYIzUERXsSxm1zXI"
HTTP = f"sid={ID}.cWB1FboSDVaDyyPY44CEqjuRt5vYma5ORH88gJp83sU"
HTTPS = f"__Host-sid={ID}.wEF4dn5EmBpme8h8mX2dWZmT2R2ChRzUAlY3R0MBSyc"
PAYLOAD = (
    b'[1,"YED4epu_",1764018000.0,"ada",false,["views","cart","when","price","tags","pair","raw","id","by_number","name"]]\n'
    b'7\n{"items":[{"sku":"A1","qty":2}]}\n{"~datetime":"2026-01-02T03:04:05+00:00"}\n{"~decimal":"1.50"}\n{"~set":["a"]}\n'
    b'{"~tuple":[1,2]}\n{"~bytes":"AP8="}\n{"~uuid":"00000000-0000-0000-0000-000000000005"}\n{"~dict":[[1,"one"]]}\n'
    b'"J\\u00f6rg"'
)
DATA: dict[str, Any] = {
    "views": 7,
    "cart": {"items": [{"sku": "A1", "qty": 2}]},
    "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "price": Decimal("1.50"),
    "tags": {"a"},
    "pair": (1, 2),
    "raw": b"\x00\xff",
    "id": UUID(int=5),
    "by_number": {1: "one"},
    "name": "Jörg",
}
TOMBSTONES = {"logout": b'[1,"iHCJoGsb"]', "regenerate": b'[1,"4xWGLMrH","' + b"s" * 43 + b'"]'}


def holding(payload: bytes) -> Site:
    store = MemoryStore()
    assert store.create(KEY, payload, 3600, "ada")
    return Site(store, secret=SECRET, clock=Clock(CREATED + 60))


@pytest.mark.parametrize(("cookie", "https"), [(HTTP, False), (HTTPS, True)], ids=["http", "https"])
def test_the_first_format_stays_readable(cookie: str, https: bool) -> None:
    """The cookie is accepted, and every value comes back, of its type."""
    answer = holding(PAYLOAD).request(lambda s: (s.copy(), s.owner, s.created, s.key), cookie, https=https)
    assert answer.result == (DATA, "ada", CREATED, KEY) and answer.set_cookie is None
    assert {name: type(value) for name, value in answer.result[0].items()} == {n: type(v) for n, v in DATA.items()}


def test_the_first_format_can_be_written_to() -> None:
    """A change keeps the rest, under the same key."""
    site = holding(PAYLOAD)
    site.request(lambda s: s.update(views=8), HTTP)
    assert site.read(HTTP) == {**DATA, "views": 8} and site.live() == [KEY]


@pytest.mark.parametrize("payload", TOMBSTONES.values(), ids=TOMBSTONES)
def test_the_first_format_of_an_ended_session_stays_ended(payload: bytes) -> None:
    """A late write is dropped."""
    answer = holding(payload).request(lambda s: s.update(late=1) or s.gone, HTTP)
    assert answer.result is True and answer.set_cookie is None


@pytest.mark.parametrize("payload", [PAYLOAD, *TOMBSTONES.values()], ids=["record", *TOMBSTONES])
def test_a_future_version_is_no_session(payload: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """After a downgrade, say: one logged error, an anonymous visitor, and the record left as it is."""
    future = payload.replace(b"[1,", b"[2,", 1)
    site = holding(future)
    with caplog.at_level(logging.ERROR):
        assert site.read(HTTP) == {}
    assert [record.levelname for record in caplog.records] == ["ERROR"] and "version" in caplog.text
    found = site.manager.store.load(KEY)
    assert found is not None and found[0] == future
    fresh = site.request(lambda s: s.update(a=1), HTTP)
    found = site.manager.store.load(KEY)
    assert found is not None and found[0] == future and not fresh.cookie.startswith(f"sid={ID}")
