"""Codec: what a codec must have. Knows no format; ``jsoncodec`` is ours, ``express`` has the one that Express reads.

A codec makes payloads of records and records of payloads, and lines of single values and values of lines. A store keeps
payloads and looks into none. To write one of your own, begin with a class that has every member below; a codec that lacks
a part is refused when the middleware is built.
"""

from __future__ import annotations

from typing import Any, Protocol

from wsgisession.record import Marker, Record


class Codec(Protocol):
    """Records <-> payloads, values <-> lines. One object serves all threads."""

    markers: bool
    """False: the format has no markers. After a change of id the old record is then deleted."""

    json_lines: bool
    """True: a line is JSON text, in which every type that JSON lacks is an object whose first name begins with ``~``.

    A change in place is then noticed without encoding the value again.
    """

    dates_cookie: bool
    """True: the cookie of a session with an idle timeout of its own carries ``Max-Age``, as that of a persistent one does."""

    accepts: frozenset[type]
    """The exact types of values that are stored, for a check at once. What they contain is looked at by ``encode``."""

    def pack(self, content: Record | Marker, /) -> bytes:
        """Return a payload that no other call returns: it holds something random.

        Raises:
            UnsupportedType, ValueError: The record cannot be written.
        """

    def unpack(self, payload: bytes, /) -> Record | Marker:
        """Return what a payload holds, no value decoded.

        Raises:
            ValueError: It cannot be read: it is corrupt or foreign.
            StoreError: A later version of the library wrote it. Its session lives, so it must not look like none.
        """

    def encode(self, value: Any, path: str, /) -> bytes:
        """Return the line of a value: always the same for the same value, and without a raw newline.

        Raises:
            UnsupportedType: It would not come back equal and of the same type; ``path`` begins the message.
        """

    def decode(self, line: bytes, /) -> Any:
        """Return the value of a line.

        Raises:
            ValueError: It cannot be read. The message shows nothing of it.
        """


METHODS = ("pack", "unpack", "encode", "decode")
ATTRIBUTES = ("markers", "json_lines", "dates_cookie", "accepts")


def check_codec(codec: object) -> None:
    """Refuse an object that lacks a part of a codec.

    Raises:
        TypeError: The message names what is missing.
    """
    if isinstance(codec, type):
        raise TypeError(f"codec must be an object, not a class; pass {codec.__name__}()")
    missing = [name for name in METHODS if not callable(getattr(codec, name, None))]
    missing += [name for name in ATTRIBUTES if not hasattr(codec, name)]
    if missing:
        raise TypeError(
            f"codec must be a wsgisession.Codec such as JSONCodec(); {type(codec).__name__} lacks {', '.join(missing)}"
        )
