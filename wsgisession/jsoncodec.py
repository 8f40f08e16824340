"""JSONCodec: turns records into payloads of JSON lines, and back. Knows nothing of ids, stores, expiries or HTTP.

A payload is lines of compact ASCII JSON: the head ``[1, nonce, created, owner, persistent, [keys]]``, then one line for
each value in the order of the keys. The head of a record with an idle timeout of its own is
``[2, nonce, created, owner, persistent, [keys], seconds]``. JSON never contains a raw newline. So payloads are split
and joined at C speed, and a value is decoded only when it is read.

A marker is ``[1, nonce, successor]`` alone. After a login or a logout, ``~`` is written before the successor. Then a worker
with version 1.0 of the library finds nothing there, and does not end the session of a new login.
"""

from __future__ import annotations

import math
import os
import random
import re
from binascii import b2a_base64
from io import BytesIO
from operator import itemgetter
from time import perf_counter_ns
from typing import Any

from wsgisession.errors import StoreError
from wsgisession.memo import Memo
from wsgisession.record import Marker, Places, Record, is_owner, record_of
from wsgisession.values import Values, quote

_VERSIONS = (1, 2)  # without and with an idle timeout of the session's own
# Characters; a longer list of keys is not remembered, so that visitors cannot fill the memory.
_NAMES_LIMIT = 1000
_LONG = 4096
_LARGEST = 10**18  # seconds: a larger number is no time
_URLSAFE = bytes.maketrans(b"+/", b"-_")
_NONCE = 2**48 - 1
# The form that ``pack`` writes for most owners without an idle timeout, and the place after its nonce.
_USUAL = re.compile(
    rb'\[1,"[\w-]{8}",(?:0|[1-9][0-9]{0,10})\.[0-9]{1,9},(?:null|"([ !#-\[\]-}]{1,255})"),(true|false),(\[[^{]{0,%d}\])\]'
    % _NAMES_LIMIT
).fullmatch
_AFTER_NONCE = len('[1,"12345678",')
_without_end = itemgetter(slice(None, -1))
# A nonce need not be secret, only unique. Our own generator takes a tenth of the time of the system's, and seed() in an
# application does not affect it. A forked child seeds it again. If Python did not notice the fork, the clock makes the
# difference.
_random = random.Random()
_bits = _random.getrandbits
getattr(os, "register_at_fork", lambda **hooks: None)(after_in_child=_random.seed)


class JSONCodec(Values):
    """The codec that is used if no other is passed.

    Args:
        types: More types of values by tag: ``{"markup": (Markup, str, Markup)}``: class, to plain, from plain.
        plain_enums: True: a member of an Enum that is also a str, an int or a float is stored as that. It comes back
            equal, but it is no member any more. False: it is refused.
    """

    markers = True
    dates_cookie = False

    def pack(self, content: Record | Marker) -> bytes:
        """Return a payload that no other call returns: its nonce is fresh.

        Raises:
            ValueError: A time is not finite.
        """
        bits = _bits(48) ^ perf_counter_ns() & _NONCE
        nonce = b2a_base64(bits.to_bytes(6), newline=False).translate(_URLSAFE)
        if isinstance(content, Marker):
            return b'[1,"%b"%b]' % (nonce, _successor(content))
        version = 1 if content.idle_timeout is None else 2
        head = _head(content) if content.head is None else content.head[_AFTER_NONCE:]
        return b"\n".join([b'[%d,"%b",%b' % (version, nonce, head), *content.lines])

    def unpack(self, payload: bytes) -> Record | Marker:
        """Return the record or marker of a payload, no value decoded.

        Raises:
            ValueError: It cannot be read: it is corrupt or foreign.
            StoreError: A later version of the library wrote it.
        """
        # What ``pack`` writes for most owners, in half the time of the general way.
        lines = payload.split(b"\n") if len(payload) < _LONG else _split(payload)
        head = lines[0]
        usual = _USUAL(head)
        if usual is not None and head.isascii():
            owner, persistent, keys = usual.groups()
            places = _places[keys]
            del lines[0]
            if len(places) == len(lines):
                name = None if owner is None else owner.decode()
                return record_of(None, name, persistent == b"true", None, places, lines, head)
        return self._unpack(payload)

    def _unpack(self, payload: bytes) -> Record | Marker:
        lines = payload.split(b"\n")
        head = _read(lines.pop(0))
        if type(head) is not list or not head or type(head[0]) is not int:
            raise _unreadable("head")
        if head[0] > max(_VERSIONS):
            raise StoreError(
                f"a record was written by a later version of wsgisession (format {head[0]}); bring this process up to date"
            )
        if list(map(type, head)) in ([int, str], [int, str, str]) and head[0] == 1 and not lines:
            successor = head[2] if len(head) == 3 else None
            if successor is None or successor[:1] == "~":
                return Marker(successor and successor[1:], True)
            return Marker(successor, False)
        if head[0] not in _VERSIONS or len(head) != 5 + head[0]:
            raise _unreadable("head")
        _, nonce, created, owner, persistent, keys, *idle = head
        if type(nonce) is not str or type(persistent) is not bool or not is_owner(owner):
            raise _unreadable("nonce, owner or persistent")
        if type(keys) is not list or len(keys) != len(lines):
            raise _unreadable("another number of values than of keys")
        timeout = _time(idle[0], 0) if idle else None
        return record_of(_time(created), owner, persistent, timeout, _places_of(keys), lines, None)


_plain = Values()


def _successor(marker: Marker) -> bytes:
    if marker.successor is None:
        return b""
    return f",{quote(f'~{marker.successor}' if marker.owner_changed else marker.successor)}".encode()


def _head(record: Record) -> bytes:
    """Return what follows the nonce."""
    name = b"null" if record.owner is None else _plain.encode(record.owner, "owner")
    names = _names[tuple(record.keys)]
    idle = b"" if record.idle_timeout is None else b"," + _written(record.idle_timeout)
    flag = b"true" if record.persistent else b"false"
    return b"%b,%b,%b,%b%b]" % (_written(record.created), name, flag, names, idle)


def _written(seconds: float) -> bytes:
    if not math.isfinite(seconds):
        raise ValueError("the times of a record must be finite")
    # Plus 0.0, so that equal numbers have the same text, also -0.0 and 0.0.
    return repr(float(seconds) + 0.0).encode()


def _names_line(keys: tuple[str, ...]) -> bytes:
    """Return a list of keys as JSON."""
    return b"[%b]" % b",".join(_plain.encode(key, "a key") for key in keys)


def _places_of(keys: list[Any]) -> Places:
    try:
        "".join(keys)  # only strings join
    except TypeError:
        raise _unreadable("keys") from None
    places = {key: place for place, key in enumerate(keys)}
    if len(places) != len(keys):
        raise _unreadable("keys repeat")
    return places


# The sessions of an application have few different lists of keys.
_names = Memo(_names_line, lambda keys: len(keys) + sum(map(len, keys)) <= _NAMES_LIMIT)
_places: Memo[bytes, Places] = Memo(
    lambda line: _places_of(_read(line)), lambda line: len(line) <= _NAMES_LIMIT + 2
)


def _read(line: bytes) -> Any:
    """Return the parts of a head's line."""
    try:
        return _plain.decode(line)
    except ValueError:
        raise _unreadable("its head") from None


def _split(payload: bytes) -> list[bytes]:
    # A line at a time by memchr; bytes.split looks at every byte: 2 instead of 3.4 µs for 10 KB, 5 instead of 31 for 100.
    lines = BytesIO(payload).readlines()
    last = lines.pop()
    if last[-1] == 0x0A:  # "\n": not what ``pack`` writes
        return payload.split(b"\n")
    lines[:] = map(_without_end, lines)
    lines.append(last)
    return lines


def _time(seconds: Any, over: int = -_LARGEST) -> float:
    # NaN is not less than anything
    if type(seconds) not in (int, float) or not over < seconds < _LARGEST:
        raise _unreadable("a time")
    return float(seconds)


def _unreadable(why: str) -> ValueError:
    return ValueError(f"a stored record cannot be read ({why})")
