"""What a refused value of a library can be stored as, by the very words of the message, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from io import BytesIO
from pathlib import Path
from typing import Any

import attrs
import bottle
import bson
import flask_babel
import httpx
import msgspec
import multidict
import numpy
import pandas
import pydantic
import pydantic.v1
import pytest
import pytz
import sqlalchemy
import webob.multidict
from babel.support import LazyProxy
from markupsafe import Markup
from sqlalchemy import orm
from support.advice import Case, check, expressions, message
from translationstring import TranslationString
from werkzeug import datastructures
from werkzeug.local import LocalProxy
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from wsgisession import JSONCodec

pytestmark = pytest.mark.wide

CODEC = JSONCodec()
LIBRARIES = {"attrs": attrs, "msgspec": msgspec, "sqlalchemy": sqlalchemy}
ROOT = Path(__file__).parent.parent


def itself(plain: Any) -> Any:
    return plain


class Size(Enum):
    SMALL = "s"


class Line(pydantic.BaseModel):
    sku: str
    price: Decimal


class Order(pydantic.BaseModel):
    id: uuid.UUID
    at: datetime
    size: Size
    lines: list[Line]
    tags: frozenset[str]
    place: tuple[float, float] | None = None


class OldOrder(pydantic.v1.BaseModel):
    at: datetime
    lines: list[Decimal]


def order() -> Order:
    lines = [Line(sku="tea", price=Decimal("2.50"))]
    return Order(
        id=uuid.UUID(int=7),
        at=datetime(2024, 1, 2, 3, tzinfo=UTC),
        size=Size.SMALL,
        lines=lines,
        tags=frozenset("ab"),
    )


@attrs.define
class Place:
    x: int
    tags: tuple[str, ...]


class Ticket(msgspec.Struct):
    number: int
    seats: list[str]


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]


ENGINE = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
Base.metadata.create_all(ENGINE)
DATABASE = orm.Session(ENGINE)
DATABASE.add(User(id=7, name="Ada"))
DATABASE.commit()


def select(text: str) -> Any:
    return DATABASE.execute(sqlalchemy.text(text))


def request() -> Request:
    builder = EnvironBuilder(method="POST", query_string="tag=a&tag=b", data={"name": ["Ada", "Bob"]})
    return Request(builder.get_environ())


def webob_request() -> webob.Request:
    return webob.Request.blank("/?tag=a&tag=b", POST="name=Ada&name=Bob")


def lists(form: Any) -> dict[str, list[str]]:
    return {key: form.getall(key) for key in form}


def pairs(form: Any) -> list[tuple[str, str]]:
    return list(form.items(multi=True))


def frame() -> pandas.DataFrame:
    return pandas.DataFrame({"sku": ["tea", "cup"], "n": [1, 2]}, index=["x", "x"])


def of_lists(plain: Any) -> pandas.DataFrame:
    return pandas.DataFrame(plain["data"], plain["index"], plain["columns"])


def ordered() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Werkzeug says that a MultiDict will do
        return datastructures.OrderedMultiDict([("a", "1"), ("b", "2"), ("a", "3")])


CASES = {
    "Pydantic: model": Case(order, (Order.model_validate,)),
    "Pydantic 1: model": Case(
        lambda: OldOrder(at=datetime(2024, 1, 2), lines=[Decimal("2.50")]), (OldOrder.parse_obj,)
    ),
    "attrs": Case(lambda: Place(1, ("a", "b")), (lambda plain: Place(**plain),)),
    "msgspec": Case(
        lambda: Ticket(7, ["a1"]), (lambda plain: msgspec.convert(plain, Ticket),), None, {"msgspec": msgspec}
    ),
    "Babel: lazy text": Case(lambda: LazyProxy(lambda: "Hallo"), (itself,), str),
    "Flask-Babel: lazy text": Case(
        lambda: flask_babel.lazy_gettext("Hello %(name)s", name="Ada"), (itself,), str
    ),
    "MarkupSafe": Case(lambda: Markup("<b>&amp;"), (Markup,)),
    "translationstring": Case(
        lambda: TranslationString("hello", default="Hello ${name}", mapping={"name": "Ada"}),
        (itself,),
        lambda x: "Hello Ada",
    ),
    "Werkzeug: form": Case(lambda: request().form, (datastructures.ImmutableMultiDict,)),
    "Werkzeug: values": Case(lambda: request().values, (itself,), lambda values: dict(values.lists())),
    "Werkzeug: MultiDict": Case(
        lambda: datastructures.MultiDict([("a", "1"), ("a", "2")]), (datastructures.MultiDict,)
    ),
    "Werkzeug: OrderedMultiDict": Case(ordered, (itself,), pairs),
    "Werkzeug: headers": Case(
        lambda: datastructures.Headers([("A", "1"), ("A", "2")]), (datastructures.Headers,)
    ),
    "WebOb: params": Case(lambda: webob_request().params, (itself,), lists),
    "WebOb: GET": Case(lambda: webob_request().GET, (itself,), lists),
    "WebOb: no form": Case(lambda: webob.Request.blank("/").POST, (itself,), lambda form: {}),
    "multidict": Case(lambda: multidict.MultiDict([("a", "1"), ("a", "2")]), (multidict.MultiDict,)),
    "multidict: any case": Case(
        lambda: multidict.CIMultiDict([("A", "1"), ("a", "2")]), (multidict.CIMultiDict,)
    ),
    "multidict: proxy": Case(
        lambda: multidict.MultiDictProxy(multidict.MultiDict([("a", "1"), ("a", "2")])),
        (itself,),
        lambda x: list(x.items()),
    ),
    "Bottle: form": Case(
        lambda: bottle.FormsDict([("a", "1"), ("a", "2")]), (itself,), lambda form: list(form.allitems())
    ),
    "HTTPX: headers": Case(lambda: httpx.Headers([("a", "1"), ("a", "2")]), (httpx.Headers,)),
    "HTTPX: query": Case(lambda: httpx.QueryParams("a=1&a=2"), (httpx.QueryParams,)),
    "SQLAlchemy: row": Case(lambda: select("select 1 as a, 2 as a, 'x' as b").one(), (tuple,), tuple),
    "SQLAlchemy: rows": Case(lambda: select("select 1 as a").mappings().one(), (itself,), lambda x: {"a": 1}),
    "SQLAlchemy: scalars": Case(
        lambda: DATABASE.scalars(sqlalchemy.select(User.name)), (itself,), lambda x: ["Ada"]
    ),
    "SQLAlchemy: object": Case(
        lambda: DATABASE.get(User, 7),
        (lambda plain: DATABASE.get(User, plain),),
        None,
        {"sqlalchemy": sqlalchemy},
    ),
    "BSON": Case(lambda: bson.ObjectId("0123456789abcdef01234567"), (bson.ObjectId,)),
    "pytz": Case(lambda: pytz.timezone("Europe/Berlin"), (pytz.timezone,)),
    "pytz: UTC": Case(lambda: pytz.UTC, (pytz.timezone,)),
    "pandas: frame": Case(frame, (lambda plain: of_lists(plain).to_csv(),), lambda frame: frame.to_csv()),
    "pandas: series": Case(
        lambda: frame()["n"], (lambda plain: of_lists(plain)["n"].to_csv(),), lambda x: x.to_csv()
    ),
    "pandas: timestamp": Case(
        lambda: pandas.Timestamp("2024-01-02 03:04:05.123456789+01:00"), (pandas.Timestamp,)
    ),
    "pandas: not available": Case(lambda: pandas.NA, (itself,), lambda _: None),
    "pandas: not a time": Case(lambda: pandas.NaT, (itself,), lambda _: None),
    "pandas: interval": Case(lambda: pandas.Interval(1, 2, "both"), (lambda plain: pandas.Interval(*plain),)),
    "pandas: period": Case(lambda: pandas.Period("2024-02"), (lambda plain: pandas.Period(*plain),)),
    "pandas: timedelta": Case(lambda: pandas.Timedelta(1, "ns"), (pandas.Timedelta,)),
    "pandas: index": Case(lambda: pandas.Index([1, 2]), (itself,), list),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_advice_keeps_the_value(case: Case) -> None:
    """What the message says can be stored, comes back, and means the same."""
    check(case._replace(names=LIBRARIES), CODEC)


SCALARS = [
    numpy.float64(0.1),
    numpy.longdouble("0.1"),
    numpy.int64(-7),
    numpy.bool_(True),
    numpy.str_("a"),
    numpy.bytes_(b"a"),
    numpy.datetime64("2024-01-02T03:04:05.123456789"),
    numpy.datetime64("2024-01-02"),
]


@pytest.mark.parametrize("value", SCALARS, ids=lambda value: f"{type(value).__name__} {value}")
def test_numpy_scalars(value: Any) -> None:
    """A number, a text, a moment of NumPy come back as what they were."""
    check(Case(lambda: value, (type(value),)), CODEC)


@pytest.mark.parametrize("unit", ["ns", "s", "D", "M"])
def test_numpy_spans_of_time(unit: Any) -> None:
    """Their unit is kept."""
    value = numpy.timedelta64(5, unit)
    check(Case(lambda: value, (lambda plain: numpy.array(plain[0]).astype(plain[1])[()],)), CODEC)


@pytest.mark.parametrize("kind", [numpy.complex64, numpy.complex128])
def test_numpy_complex_numbers(kind: Any) -> None:
    """Their parts are kept."""
    check(Case(lambda: kind(1 - 0.1j), (lambda plain: kind(complex(*plain)),)), CODEC)


@pytest.mark.parametrize(
    "value", [numpy.arange(6.0).reshape(2, 3), numpy.array(["a", "b"]), numpy.ma.array([1, 2])]
)
def test_numpy_arrays(value: Any) -> None:
    """An array becomes lists in lists."""
    check(
        Case(lambda: value, (lambda plain: numpy.array(plain).tobytes(),), lambda array: array.tobytes()),
        CODEC,
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LocalProxy(lambda: 1 / 0), "what the object behind it can be found by"),
        (
            lambda: datastructures.FileStorage(BytesIO(b"a"), "a.txt"),
            "the name under which the file was saved",
        ),
        (lambda: bottle.FileUpload(BytesIO(b"a"), "a", "a.txt"), "the name under which the file was saved"),
    ],
    ids=["Werkzeug: proxy", "Werkzeug: upload", "Bottle: upload"],
)
def test_what_no_expression_can_keep(make: Any, words: str) -> None:
    """A proxy, which may have nothing behind it by now, and an uploaded file."""
    said = message(make(), CODEC)
    assert words in said and not expressions(said)


def test_markup_that_is_taught() -> None:
    """The message says how, too."""
    said = message(Markup("<b>"), CODEC)
    codec = eval(said.partition("teach the codec: ")[2], {"JSONCodec": JSONCodec, "Markup": Markup})
    [back] = codec.decode(codec.encode([Markup("<b>")], "x"))
    assert type(back) is Markup and back == "<b>"


def test_django() -> None:
    """Lazy texts, forms, models, query sets and safe text of Django."""
    script = ROOT / "data" / "advice_django.py"
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT.parent}"}
    done = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10
