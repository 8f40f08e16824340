"""Tokens: signs ids for one cookie name, and verifies what a visitor sent. Knows no secret, only MACs.

A token is ``id.tag``. The tag is the HMAC-SHA256 of the id in base64url without padding.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from wsgisession.mac import base64url

_TAG = 43  # characters: 32 bytes in base64url
_RECENT = 256  # so many results are remembered
_SHORT = 256  # characters of a token; the result for a longer one is not remembered


class Tokens:
    """The tokens of one cookie name.

    Args:
        macs: One MAC per secret. The first one signs, all are accepted.
    """

    __slots__ = ("_macs", "_recent")

    def __init__(self, macs: Sequence[Callable[[bytes], bytes]]) -> None:
        self._macs = macs
        # By token. It never gets a local name, because reports of errors show local variables.
        self._recent: dict[str, bool | None] = {}

    def sign(self, id: str) -> str:
        """Return the token of an id."""
        return f"{id}.{base64url(self._macs[0](id.encode())).decode()}"

    def unsign(self, token: str) -> tuple[str, bool] | None:
        """Return a token's id, and whether it was signed with another MAC than the first. None: it is not a token."""
        # A browser sends its cookie with every request: 0.3 instead of 1.3 µs. The result for a token never changes. A
        # lookup compares hashes first, so its time says nothing about a token that somebody guesses.
        stale = self._recent.get(token, ...)
        if stale is ...:
            stale = self._verify(token)
            if len(token) <= _SHORT:
                if len(self._recent) >= _RECENT:
                    self._recent.clear()
                self._recent[token] = stale
        return None if stale is None else (token[: -_TAG - 1], stale)

    def _verify(self, token: str) -> bool | None:
        """Return whether a token was signed with another MAC than the first. None: with none of them."""
        if not token.isascii():
            return None
        message, dot, tag = token.encode().rpartition(b".")
        if dot:
            for place, mac in enumerate(self._macs):
                # The text is compared, not the decoded bytes: four spellings of the last character decode to the same
                # bytes. In bytes, because compare_digest raises for text that is not ASCII.
                if hmac.compare_digest(base64url(mac(message)), tag):
                    return place > 0
        return None
