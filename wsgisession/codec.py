"""Codec: the members that a codec must have. Knows no format; ``jsoncodec`` has ours, ``express`` has that of Express.

A codec turns records into payloads and back, and single values into lines and back. A store keeps payloads and never
looks into them. To write a codec, begin with a class that has every member below. If a member is missing, the codec is
refused when the middleware is built.
"""

from __future__ import annotations

from typing import Any, Protocol

from wsgisession.record import Marker, Record


class Codec(Protocol):
    """Records <-> payloads, values <-> lines. One object serves all threads."""

    markers: bool
    """False: the format has no markers. Then the old record is deleted after a change of id."""

    json_lines: bool
    """True: a line is JSON text, in which every type that JSON lacks is an object whose first name begins with ``~``.

    Then a change in place is noticed without encoding the value again.
    """

    dates_cookie: bool
    """True: the cookie of a session with its own idle timeout has ``Max-Age``, like that of a persistent session."""

    accepts: frozenset[type]
    """The exact types of values that can be stored, for a check at once. ``encode`` checks what the values contain."""

    def pack(self, content: Record | Marker, /) -> bytes:
        """Return a payload that no other call returns, because it contains something random.

        Raises:
            UnsupportedType, ValueError: The record cannot be written.
        """

    def unpack(self, payload: bytes, /) -> Record | Marker:
        """Return the record or marker of a payload. No value is decoded.

        Raises:
            ValueError: It cannot be read: it is corrupt or foreign.
            StoreError: A later version of the library wrote it. The session lives, so it must not look as if there were
                none.
        """

    def encode(self, value: Any, path: str, /) -> bytes:
        """Return the line of a value: always the same for the same value, and without a raw newline.

        Raises:
            UnsupportedType: It would not come back equal and of the same type; ``path`` begins the message.
        """

    def decode(self, line: bytes, /) -> Any:
        """Return the value of a line.

        Raises:
            ValueError: It cannot be read. The message shows no part of it.
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
