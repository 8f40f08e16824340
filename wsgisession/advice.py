"""Words that say what to store in place of a value that cannot be stored. Knows neither tags nor JSON.

The advice never loses data. Classes of other libraries are known by their names and methods. These libraries are not
imported, and none of their code runs. Only the class is looked at, because a lazy object or a proxy would answer as if
it were the object behind it. Not every iterable should become a list.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence, Set, ValuesView
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

# What to store, and the classes for which it is right, each with its package.
_BY_CLASS = {
    "str(x)": "bson.ObjectId collections.UserString django.Promise flask_babel.LazyString fractions.Fraction"
    " ipaddress._IPAddressBase numpy.datetime64 numpy.longdouble pathlib.PurePath",
    "x.value": "babel.LazyProxy",
    "x.maps": "collections.ChainMap",
    "[x.utcoffset(None), x.tzname(None)]": "datetime.timezone",
    "x.name": "django.FieldFile",
    "x.pk": "django.Model",
    "what the object behind it can be found by, such as x.pk or x.id": "django.LazyObject werkzeug.LocalProxy",
    "the name under which the file was saved": "bottle.FileUpload django.UploadedFile werkzeug.FileStorage",
    "[(str(key), value) for key, value in x.items()]": "multidict.MultiDict multidict.MultiDictProxy",
    "[x.real.item(), x.imag.item()]": "numpy.complexfloating",
    "x.item()": "numpy.generic",
    "[x.astype(int).item(), str(x.dtype)]": "numpy.timedelta64",
    'x.to_dict("split")': "pandas.DataFrame",
    'x.to_frame().to_dict("split")': "pandas.Series",
    "[x.left, x.right, x.closed]": "pandas.Interval",
    "None": "pandas.NAType pandas.NaTType",
    "[str(x), x.freqstr]": "pandas.Period",
    "x.isoformat()": "pandas.Timedelta",
    "x.zone": "pytz.BaseTzInfo",
    "[x.pattern, x.flags]": "re.Pattern",
    "[*x, x.tm_zone, x.tm_gmtoff]": "time.struct_time",
    "vars(x)": "types.SimpleNamespace",
    "x.to_dict(flat=False)": "werkzeug.CombinedMultiDict werkzeug.MultiDict",
    "list(x.items(multi=True))": "werkzeug.OrderedMultiDict werkzeug._OrderedMultiDict",
    "x.to_wsgi_list()": "werkzeug.Headers",
    "x.key": "zoneinfo.ZoneInfo",
}
_CLASSES = {name: words for words, names in _BY_CLASS.items() for name in names.split()}

# By a member of the value's class.
_MEMBERS = {
    "model_dump": 'x.model_dump(mode="json")',  # Pydantic
    "__fields_set__": "json.loads(x.json())",  # Pydantic 1
    "__attrs_attrs__": "attrs.asdict(x)",
    "__dataclass_fields__": "dataclasses.asdict(x)",
    "__struct_fields__": "msgspec.to_builtins(x)",
    "__mapper__": "sqlalchemy.inspect(x).identity",
    "values_list": 'list(x.values()), or list(x.values_list("pk", flat=True))',  # Django's query sets
}

# The same for classes with items(): they have several values for one key, and dict(x) may keep only one of them.
_OF_MANY_VALUES = {
    "dict_of_lists": "x.dict_of_lists()",  # WebOb
    "multi_items": "x.multi_items()",  # HTTPX
    "allitems": "list(x.allitems())",  # Bottle
    "lists": "dict(x.lists())",  # Django
    "getlist": "each key with the list of its values",
    "getall": "each key with the list of its values",
    "get_list": "each key with the list of its values",
}

# By a type of which the value is an instance.
_KINDS: tuple[tuple[Any, str], ...] = (
    (tuple, "tuple(x)"),
    (Mapping, "dict(x)"),
    ((bytes, bytearray, memoryview), "bytes(x)"),
    ((date, time), "x.isoformat()"),
    (timedelta, "timedelta(x.days, x.seconds, x.microseconds)"),
    (int, "int(x)"),
    (float, "float(x)"),
    (complex, "[x.real, x.imag]"),
    (Decimal, "Decimal(x)"),
    (UUID, "UUID(x.hex)"),
    (frozenset, "frozenset(x)"),
    (set, "set(x)"),
    (BaseException, "[type(x).__name__, str(x)]"),
    (io.IOBase, "x.read(), or the name of the file"),
    (os.PathLike, "os.fspath(x)"),
    (range, "[x.start, x.stop, x.step]"),
    ((Sequence, Set, ValuesView, Iterator), "list(x)"),
)


def advice(value: object) -> str:
    """Say what to store in place of a value whose type is not supported."""
    kind = type(value)
    name = kind.__name__
    words = instead(value)
    if words is None:
        words = "what it can be found by, such as str(user.id), or teach the codec: JSONCodec(types={...})"
    elif issubclass(kind, Enum) and issubclass(kind, str | int | float):
        words += ", or teach the codec: JSONCodec(plain_enums=True)"
    elif issubclass(kind, str) and _has(kind, "__html__"):
        plain = words.removesuffix("(x)")
        words += f', or teach the codec: JSONCodec(types={{"{name.lower()}": ({name}, {plain}, {name})}})'
    return f"{name} cannot be stored; store {words}"


def instead(value: object) -> str | None:
    """Return what to store in place of ``value``, called x: expressions or words. None: no advice is known."""
    kind = type(value)
    if issubclass(kind, Enum):
        return "x.value" if type(value._value_) in (str, int, float) else "x.name"  # type: ignore[attr-defined]
    if _has(kind, "_get_number_value"):  # Django's: str(x) is empty before it has its number
        return "x % values, with the values for its placeholders"
    for base in kind.__mro__:
        words = _CLASSES.get(f"{str(base.__module__).partition('.')[0]}.{base.__name__}")
        if words is not None:
            return words
    for member, words in (_MEMBERS | _OF_MANY_VALUES if _has(kind, "items") else _MEMBERS).items():
        if _has(kind, member):
            return words
    if issubclass(kind, str):
        return _text(kind)
    if issubclass(kind, tuple) and _has(kind, "_fields"):
        return "tuple(x), or x._asdict()"
    if _has(kind, "tolist") and not issubclass(kind, memoryview):
        return "x.tolist()"
    return next((words for base, words in _KINDS if issubclass(kind, base)), None)


def _text(kind: type) -> str:
    if _has(kind, "interpolate"):  # a TranslationString: the text may have placeholders
        return "x.interpolate()"
    # A class like Django's SafeString returns itself for str(x).
    return "str(x)" if kind.__str__ is str.__str__ else "str.__str__(x)"  # type: ignore[comparison-overlap]


def _has(kind: type, member: str) -> bool:
    return any(member in vars(base) for base in kind.__mro__)
