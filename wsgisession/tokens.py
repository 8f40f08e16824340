"""Tokens: signs ids for one cookie name, and verifies what a visitor sent. Knows no secret, only MACs.

A token is ``id.tag``. The tag is the HMAC-SHA256 of the id in base64url without padding.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from wsgisession.mac import base64url

TAG = 43  # characters: 32 bytes in base64url
_RECENT = 64  # so many results are remembered
_SHORT = 256  # characters of a token; the result for a longer one is not remembered


class Tokens:
    """The tokens of one cookie name.

    Args:
        macs: One MAC per secret. The first one signs, all are accepted.
    """

    __slots__ = ("_macs", "recent")

    recent: dict[str, bool | None]
    """What ``verify`` found for the last tokens. It never gets a local name, because reports of errors show local
    variables.
    """

    def __init__(self, macs: Sequence[Callable[[bytes], bytes]]) -> None:
        self._macs = macs
        self.recent = {}

    def sign(self, id: str) -> str:
        """Return the token of an id."""
        return f"{id}.{base64url(self._macs[0](id.encode())).decode()}"

    def verify(self, token: str) -> bool | None:
        """Tell whether a token was signed with another MAC than the first, and remember it. None: it is no token."""
        found: bool | None = None
        if token.isascii():
            message, dot, tag = token.encode().rpartition(b".")
            stale = False
            for mac in self._macs if dot else ():
                # The text is compared, not the decoded bytes: four spellings of the last character decode to the same
                # bytes. In bytes, because compare_digest raises for text that is not ASCII.
                if hmac.compare_digest(base64url(mac(message)), tag):
                    found = stale
                    break
                stale = True
        if len(token) <= _SHORT:
            if len(self.recent) >= _RECENT:
                self.recent.clear()
            self.recent[token] = found
        return found
