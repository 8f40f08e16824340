"""What the first release stored and sent stays readable: payloads, tombstones and cookies, byte for byte.

How its stores kept them is in ``test_upgrade_stores.py``.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from support.clock import Clock
from support.web import Site

from wsgisession import JSONCodec, MemoryStore, StoreError

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
# Of a visitor without an owner, who is remembered; the other tags, each way a moment is written, and the escapes.
REMEMBERED = (
    b'[1,"dS4YI5Ok",1764018000.0,null,true,["date","time","second half past two","span","frozen","like a tag","lone",'
    b'"two","one","zone","named","offset","naive","nothing","yes","float","big","list",{"~str":["\\ud83d","\\ude00"]}]]\n'
    b'{"~date":"2026-01-02"}\n'
    b'{"~time":"03:04:05.000006"}\n'
    b'{"~time":["02:30:00",1,null,null]}\n'
    b'{"~timedelta":[-1,2,3]}\n'
    b'{"~frozenset":[{"~tuple":[1]}]}\n'
    b'{"~dict":[["~set",["a"]]]}\n'
    b'"\\ud83d"\n'
    b'{"~str":["\\ud83d","\\ude00"]}\n'
    b'"\\ud83d\\ude00"\n'
    b'{"~datetime":["2026-10-25T02:30:00",1,"Europe/Berlin",null]}\n'
    b'{"~datetime":["2026-01-02T03:04:00+01:00",0,null,"CET"]}\n'
    b'{"~datetime":"2026-01-02T00:00:00-03:30"}\n'
    b'{"~datetime":"2026-01-02T03:04:05.000678"}\n'
    b"null\n"
    b"true\n"
    b"1e-07\n"
    b"1180591620717411303424\n"
    b'[{"a":[null,1.5,"\\u2028"]}]\n'
    b'"named by two surrogates"'
)
REMEMBERED_DATA: dict[str, Any] = {
    "date": date(2026, 1, 2),
    "time": time(3, 4, 5, 6),
    "second half past two": time(2, 30, fold=1),
    "span": timedelta(-1, 2, 3),
    "frozen": frozenset({(1,)}),
    "like a tag": {"~set": ["a"]},
    "lone": "\ud83d",
    "two": "\ud83d\ude00",
    "one": "\U0001f600",
    "zone": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    "named": datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=1), "CET")),
    "offset": datetime(2026, 1, 2, tzinfo=timezone(-timedelta(hours=3, minutes=30))),
    "naive": datetime(2026, 1, 2, 3, 4, 5, 678),
    "nothing": None,
    "yes": True,
    "float": 1e-07,
    "big": 2**70,
    "list": [{"a": [None, 1.5, "\u2028"]}],
    "\ud83d\ude00": "named by two surrogates",
}
TOMBSTONES = {"logout": b'[1,"iHCJoGsb"]', "regenerate": b'[1,"4xWGLMrH","' + b"s" * 43 + b'"]'}


def holding(payload: bytes, ttl: float = 3600, owner: str | None = "ada") -> Site:
    store = MemoryStore()
    assert store.create(KEY, payload, ttl, owner)
    return Site(store, secret=SECRET, clock=Clock(CREATED + 60))


@pytest.mark.parametrize(("cookie", "https"), [(HTTP, False), (HTTPS, True)], ids=["http", "https"])
def test_the_first_format_stays_readable(cookie: str, https: bool) -> None:
    """The cookie is accepted, and every value comes back, of its type."""
    answer = holding(PAYLOAD).request(lambda s: (s.copy(), s.owner, s.created, s.key), cookie, https=https)
    assert answer.result == (DATA, "ada", CREATED, KEY) and answer.set_cookie is None
    assert {name: type(value) for name, value in answer.result[0].items()} == {
        n: type(v) for n, v in DATA.items()
    }


def test_a_remembered_visitor_of_the_first_format() -> None:
    """Every value comes back; the session is persistent and nobody's."""
    site = holding(REMEMBERED, ttl=30 * 86400, owner=None)
    answer = site.request(lambda s: (s.copy(), s.owner, s.persistent), HTTP)
    # As text, because == overlooks a fold
    assert repr(answer.result) == repr((REMEMBERED_DATA, None, True))
    assert answer.set_cookie is None


@pytest.mark.parametrize(
    ("payload", "data"), [(PAYLOAD, DATA), (REMEMBERED, REMEMBERED_DATA)], ids=["logged in", "remembered"]
)
def test_values_are_written_as_in_the_first_format(payload: bytes, data: dict[str, Any]) -> None:
    """So that the first release can read them too, while one process after the other is upgraded."""
    codec = JSONCodec()
    assert [codec.encode(value, name) for name, value in data.items()] == payload.split(b"\n")[1:]


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
def test_a_later_version_is_an_error(payload: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """During a rolling deployment an old worker must not log out whom a new one logged in. A logout ends it all the same."""
    future = payload.replace(b"[1,", b"[3,", 1)
    site = holding(future)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(StoreError, match="later version"):
                site.read(HTTP)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    found = site.manager.store.load(KEY)
    assert found is not None and found[0] == future
    assert site.manager.destroy(KEY) is True and site.manager.store.load(KEY) is None
