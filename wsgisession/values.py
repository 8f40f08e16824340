"""Turns values into lines of JSON, and back. A value that would not come back equal and of the same type is refused
with its path.

Plain JSON data is encoded in C. A type that JSON lacks is an object with one member whose name begins with ``~``:
``{"~set":[1,2]}``. If a dict looks like that, or if not all its keys are strings, it is written as a list of pairs,
``{"~dict":[["~set",[1,2]]]}``, so data never reads as a tag. This module does not know records, heads or sessions.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from wsgisession.advice import advice
from wsgisession.depth import deeper, seems_deeper
from wsgisession.errors import UnsupportedType
from wsgisession.tags import DATA_ERRORS, READERS, WRITERS, Refused, UnknownTag

DEPTH = 100
"""How many containers may be nested in each other."""

DIGITS = 4300
"""How many digits an integer may have: every Python can read so many by default (``sys.int_info``)."""

IMMUTABLE: frozenset[type] = frozenset(
    (str, int, float, bool, type(None), bytes, datetime, date, time, timedelta, UUID, Decimal)
)
"""The exact types whose values cannot change in place."""

# A level of the value is up to three levels of the text, {"~dict":[[key,value]]}, and a leaf two: {"~str":["a","b"]}.
_TEXT_DEPTH = 3 * DEPTH + 2
_TOO_BIG = 10**DIGITS
# Python writes so many digits whatever sys.set_int_max_str_digits() says (its minimum is 640).
_MOST = 10**600
_LEAST = -_MOST
_ATOMS = frozenset((str, int, float, bool, type(None)))
_LISTED: dict[type, str] = {tuple: "~tuple", set: "~set", frozenset: "~frozenset"}
_PLAIN: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# A high surrogate before a low one: two characters in Python, but JSON's spelling of one character outside the BMP.
_SURROGATES = re.compile(r"(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")

Types = Mapping[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]]


def _refuse(value: object) -> Any:
    raise ValueError("not JSON")


def _finite(text: str) -> float:
    """Return the number of a JSON text. ValueError: it is too large for a float, which would make it an infinity."""
    number = float(text)
    return _refuse(number) if math.isinf(number) else number


def _make_dumps(make_encoder: Any) -> Callable[[Any], str]:
    try:
        # The encoder is kept; json makes one for every call: 0.6 instead of 2 us for a small value.
        chunks = make_encoder(None, _refuse, quote, None, ":", ",", False, False, False)
        "".join(chunks([1], 0))
    except TypeError:  # it is half private, so it may be missing or different
        return json.JSONEncoder(
            check_circular=False, allow_nan=False, separators=(",", ":"), default=_refuse
        ).encode
    return lambda value: "".join(chunks(value, 0))


def _make_scan(decoder: Any) -> Callable[[str, int], tuple[Any, int]]:
    # json.loads calls this too, but does more: 1 instead of 2 us for a small value.
    scan: Callable[[str, int], tuple[Any, int]] = getattr(decoder, "scan_once", decoder.raw_decode)
    return scan


quote: Callable[[str], str] = json.encoder.encode_basestring_ascii
dumps = _make_dumps(getattr(json.encoder, "c_make_encoder", None))
scan = _make_scan(json.JSONDecoder(parse_float=_finite, parse_constant=_refuse))


class Values:
    """Encodes and decodes single values.

    Args:
        types: More types by tag, ``{"markup": (Markup, str, Markup)}``: class, to plain, from plain.
        plain_enums: True: a member of an Enum that is also a str, an int or a float is stored as that. It comes back
            equal, but it is no member any more. False: it is refused.
    """

    def __init__(self, types: Types | None = None, *, plain_enums: bool = False) -> None:
        # True unless a subclass decodes in another way: then the text of a line shows its tags
        self.json_lines = type(self).decode is Values.decode
        if type(plain_enums) is not bool:
            raise TypeError(f"plain_enums must be True or False, not {type(plain_enums).__name__}")
        self._plain_enums = plain_enums
        self._custom: dict[type, tuple[str, Callable[[Any], Any]]] = {}
        self._readers: dict[str, Callable[[Any], Any]] = {**READERS, "~str": _read_text}
        self.accepts: frozenset[type] = IMMUTABLE | {list, dict, tuple, set, frozenset}
        if types is not None and not isinstance(types, Mapping):
            raise TypeError('types must be a dict: {"tag": (class, to plain, from plain)}')
        for tag, entry in (types or {}).items():
            self._teach(tag, entry)
        self._scan_tagged = _make_scan(
            json.JSONDecoder(object_hook=self._untag, parse_float=_finite, parse_constant=_refuse)
        )

    def _teach(self, tag: str, entry: Any) -> None:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise ValueError(f"types: a tag is 1 to 64 letters, digits, '_', '.' or '-', not {tag!r}")
        if "~" + tag in self._readers:
            raise ValueError(f"types: the tag {tag!r} is taken; choose another")
        if not isinstance(entry, tuple) or len(entry) != 3:
            raise TypeError(f"types[{tag!r}] must be a tuple: (class, to plain, from plain)")
        kind, write, read = entry
        if not isinstance(kind, type) or not callable(write) or not callable(read):
            raise TypeError(f"types[{tag!r}] must be a class and two functions (class, to plain, from plain)")
        if kind in self.accepts:
            raise ValueError(f"types[{tag!r}]: {kind.__name__} can be stored already")
        self._custom[kind] = ("~" + tag, write)
        self._readers["~" + tag] = read
        self.accepts |= {kind}

    def encode(self, value: Any, path: str) -> bytes:
        """Return a value's line: compact ASCII JSON, the same for the same value.

        Raises:
            UnsupportedType: It would not come back equal and of the same type; ``path`` begins the message.
        """
        kind = type(value)
        if kind is str:
            text = quote(value)
            if "\\ud" not in text:
                return text.encode()
        elif kind is int and _LEAST < value < _MOST:
            return b"%d" % value
        if kind in _ATOMS or kind is dict or kind is list:
            try:
                if (kind in _ATOMS or _plain(value, DEPTH - 1)) and not _bent(value, text := dumps(value)):
                    return text.encode()
            except ValueError:
                pass  # what it is, and where, is found below
        return self._encode_tagged(value, path)

    def decode(self, line: bytes) -> Any:
        """Return the value of a line.

        Raises:
            UnknownTag: A ValueError that names the tag of a type that this codec does not know.
            ValueError: It cannot be read, because the data is wrong. The message shows no part of it.
        """
        read, limit = scan, DEPTH
        try:
            text = line.decode()
            if "~" in text and '{"~' in text:  # one character is found ten times as fast as three
                read, limit = self._scan_tagged, _TEXT_DEPTH
            if len(line) > 2 * DEPTH and seems_deeper(line, limit):
                raise ValueError("too deep")
            value, end = read(text, 0)
            if end == len(text):
                return value
        except UnknownTag:
            raise
        except DATA_ERRORS as error:  # also what a type's own function raises
            # Nothing is chained: an error's text may quote the data, and this one is logged.
            raise ValueError(f"a stored value cannot be read ({type(error).__name__})") from None
        except RecursionError:
            if not deeper(line, limit):  # little stack is left: this is the application's problem
                raise
            raise ValueError("a stored value cannot be read (too deep)") from None
        raise ValueError("a stored value cannot be read (more follows it)")

    def _encode_tagged(self, value: Any, path: str) -> bytes:
        try:
            return dumps(self._tree(value, DEPTH)).encode()
        except Refused as refused:
            raise UnsupportedType(f"{path}{refused.where()}: {refused.reason}") from refused.__cause__
        except ValueError as error:  # sys.set_int_max_str_digits() was lowered
            raise UnsupportedType(f"{path}: cannot be written here ({type(error).__name__})") from error

    def _tree(self, value: Any, room: int) -> Any:
        """Return what JSON carries exactly in place of ``value``; ``room`` containers may still be nested."""
        kind = type(value)
        if kind in _ATOMS:
            return _atom(value)
        if kind in WRITERS:
            tag, write = WRITERS[kind]
            return {tag: write(value)}
        if kind not in self.accepts:
            return self._tree(self._plain_member(value), room)
        if not room:
            raise Refused(f"more than {DEPTH} levels deep, or it contains itself; store something flatter")
        if kind is dict:
            return self._tree_of_dict(value, room - 1)
        if kind in self._custom:
            return self._tree_of_custom(value, room - 1)
        step = " (inside the set)" if kind in (set, frozenset) else "[{!r}]"
        trees = [self._part(item, room - 1, step, index) for index, item in enumerate(value)]
        if kind is list:
            return trees
        return {_LISTED[kind]: trees if kind is tuple else sorted(trees, key=dumps)}

    def _plain_member(self, value: Any) -> Any:
        if self._plain_enums and isinstance(value, Enum):
            own_hash: Any = type(value).__hash__
            for kind, plain in _PLAIN.items():
                if isinstance(value, kind):
                    # With another hash, a dict may have both as keys
                    if plain(value) == value and own_hash in (None, kind.__hash__):
                        return plain(value)
                    raise Refused(f"{type(value).__name__} has an == or a hash of its own; store x.value")
        raise Refused(advice(value))

    def _part(self, value: Any, room: int, step: str, at: Any = None) -> Any:
        """Return the tree of what a container has. If it is refused, ``step``, with ``at`` in it, leads to it."""
        try:
            return self._tree(value, room)
        except Refused as refused:
            refused.steps.append(step.format(at))
            raise

    def _tree_of_dict(self, value: dict[Any, Any], room: int) -> Any:
        pairs = []
        for key, item in value.items():
            name = self._part(key, room, " (a key)")
            pairs.append([name, self._part(item, room, "[{!r}]", key)])
        if {type(name) for name, _ in pairs} <= {str} and not (len(pairs) == 1 and pairs[0][0][:1] == "~"):
            return dict(pairs)
        return {"~dict": pairs}

    def _tree_of_custom(self, value: Any, room: int) -> Any:
        kind = type(value)
        tag, write = self._custom[kind]
        try:
            tree = {tag: self._tree(write(value), room)}
            back = self.decode(dumps(tree).encode())
            equal = type(back) is kind and bool(back == value)
        except Refused as refused:
            refused.steps.append(f" (as {tag[1:]})")
            raise
        except DATA_ERRORS as error:
            raise Refused(
                f"the functions of types[{tag[1:]!r}] fail on it ({type(error).__name__})"
            ) from error
        if not equal:
            raise Refused(
                f"what the functions of types[{tag[1:]!r}] bring back is not equal or of another type"
            )
        return tree

    def _untag(self, members: dict[str, Any]) -> Any:
        if len(members) == 1:
            [(tag, plain)] = members.items()
            if tag[:1] == "~":
                if tag in self._readers:
                    return self._readers[tag](plain)
                # A name that cannot be a tag is data, and must not be shown.
                raise UnknownTag(tag[1:]) if _TAG.fullmatch(tag, 1) else ValueError("no tag of ours")
        return members


def _plain(value: Any, room: int) -> bool:
    """True if JSON can hold a list or dict as it is, by its types and depth."""
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for item in value:
        kind = type(item)
        if kind in _ATOMS:
            continue
        if not room or (kind is not dict and kind is not list) or not _plain(item, room - 1):
            return False
    return True


def _atom(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        pieces = _SURROGATES.split(value)
        return value if len(pieces) == 1 else {"~str": pieces}
    if kind is float and not math.isfinite(value):
        raise Refused("JSON has no NaN and no infinities; store None or str(x)")
    if kind is int and not -_TOO_BIG < value < _TOO_BIG:
        raise Refused(f"an integer of more than {DIGITS} digits; store hex(x)")
    return value


def _read_text(plain: Any) -> str:
    text = "".join(plain)
    if _atom(text) != {"~str": plain}:
        raise ValueError("not in pieces")
    return text


def _bent(value: Any, text: str) -> bool:
    """True if the text of a value of plain types may be read as another value, or cannot be read everywhere."""
    if "~" in text and '{"~' in text:
        return True
    if "\\ud" in text and scan(text, 0)[0] != value:  # two surrogates became one character
        return True
    # A longer integer raised ValueError, unless this process has removed the limit.
    return len(text) > DIGITS and not 0 < sys.get_int_max_str_digits() <= DIGITS
