"""What the message of a refused value says to store instead, tried out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import pytest

from wsgisession.errors import UnsupportedType

PATH = "session['a']"
_WORDS = ("what ", "the ", "each ", "teach ")
_NAMES = {
    "dataclasses": dataclasses,
    "json": json,
    "os": os,
    "UUID": UUID,
    "Decimal": Decimal,
    "timedelta": timedelta,
    "timezone": timezone,
}


class Codec(Protocol):
    """As much of a codec as this needs."""

    def encode(self, value: Any, path: str) -> bytes: ...

    def decode(self, line: bytes) -> Any: ...


class Case(NamedTuple):
    """A value that is refused, and what an application makes of what it was told to store.

    Args:
        make: Makes the value.
        again: Makes the value again of what came back; one function for each expression of the advice.
        meaning: What of the value must be equal; None: all of it.
        names: What the expressions need besides x.
    """

    make: Callable[[], Any]
    again: tuple[Callable[[Any], Any], ...]
    meaning: Callable[[Any], Any] | None = None
    names: Mapping[str, Any] = {}


def message(value: Any, codec: Codec) -> str:
    """Return why a value is refused."""
    with pytest.raises(UnsupportedType) as caught:
        codec.encode(value, PATH)
    return str(caught.value).removeprefix(f"{PATH}: ")


def expressions(text: str) -> list[str]:
    """Return the expressions of x that a message says to store."""
    parts = text.partition("; store ")[2].split(", or ")
    return [part.partition(", with ")[0] for part in parts if not part.startswith(_WORDS)]


def check(case: Case, codec: Codec) -> None:
    """Assert that what each expression makes can be stored, comes back, and means what the value meant."""
    found = expressions(message(case.make(), codec))
    assert len(found) == len(case.again)
    for expression, again in zip(found, case.again, strict=True):
        value = case.make()
        plain = eval(expression, {**_NAMES, **case.names, "x": value})
        back = codec.decode(codec.encode(plain, PATH))
        meant = case.make() if case.meaning is None else case.meaning(case.make())
        made = again(back)
        assert type(made) is type(meant) and made == meant, expression
