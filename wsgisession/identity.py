"""Ids, their signatures and their keys. Does not know what a cookie, a store or a record is.

An id is 32 random bytes as text and is secret. A token is ``id.signature``, the cookie's value. A key is the id's
SHA-256. Everything except the cookie knows the session by its key. So nobody finds an id in the store, the logs or a
backup. All are base64url without padding.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Sequence
from hashlib import sha256

from wsgisession.mac import base64url, mac_under
from wsgisession.memo import Memo

_TAG = 43  # characters of a signature: 32 bytes in base64url
_LONGEST = 4096  # characters of a cookie's name
_RECENT = 64  # so many results of ``unsign`` are remembered
_SHORT = 256  # characters of a name and a token; the result for longer ones is not remembered
_PURPOSE = b"wsgisession 1 cookie\0"  # version and purpose of the signature; another purpose derives from another label


def digest(id: str) -> str:
    """Return the base64url SHA-256 of an id, which may be shown although the id is secret."""
    return base64url(sha256(id.encode()).digest()).decode()


class Identity:
    """Makes ids, signs them for one cookie name, and verifies what a visitor sent.

    A subclass may use another format (see ``express.py``). ``min_secret`` is the least length of a secret in bytes.
    ``key_is_id`` says that ``key`` returns the id itself. Then the log shows a hash of it instead.

    Args:
        secrets: one or more, each at least ``min_secret`` bytes. The first one signs, all are accepted. The object keeps
            only what it derives from them.

    Raises:
        ValueError: a secret is too short, or there is no secret.
        TypeError: a secret is neither ``bytes`` nor ``str``.
    """

    min_secret = 32
    key_is_id = False

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._roots = [mac_under(secret) for secret in check_secrets(secrets, self.min_secret)]
        # There are only one or two names on the wire. Very long names are invented by callers.
        self._macs = Memo(self._derive, lambda name: len(name) <= _LONGEST, 16)
        # What was found for the last names and tokens: whether another secret than the first signed it. None: it is no
        # token. It never gets a local name, because reports of errors show local variables.
        self._recent: dict[tuple[str, str], bool | None] = {}

    def new_id(self) -> str:
        """Return a new id: 256 bits from the operating system. It is an error if the system has none.

        The generator's state is the system's, so a fork cannot duplicate it.

        Source: ASVS 5.0 7.2.3 and 11.5.1.
        """
        return base64url(os.urandom(32)).decode()

    key = staticmethod(digest)
    """Returns the key under which a session is stored and known."""

    def sign(self, name: str, id: str) -> str:
        """Return the token of this id for the cookie that is called ``name`` on the wire."""
        return f"{id}.{base64url(self._macs[name][0](id.encode())).decode()}"

    def unsign(self, name: str, token: str) -> tuple[str, bool] | None:
        """Return a token's id, and whether it was signed with a secret other than the first.

        None for any string that ``sign`` did not make for this name.
        """
        # A browser sends its cookie with every request: 0.2 instead of 1.3 µs. What was found for a token never changes. A
        # lookup compares hashes first, so its time says nothing about a token that somebody guesses.
        stale = self._recent.get((name, token), ...)
        if stale is ...:
            stale = None
            if token.isascii() and "." in token:
                id, tag = token.encode().rsplit(b".", 1)
                for place, mac in enumerate(self._macs[name]):
                    # The text is compared, not the decoded bytes: four spellings of the last character decode to the
                    # same bytes. In bytes, because compare_digest raises for text that is not ASCII.
                    if hmac.compare_digest(base64url(mac(id)), tag):
                        stale = place > 0
                        break
            if len(name) + len(token) <= _SHORT:
                if len(self._recent) >= _RECENT:
                    self._recent.clear()
                self._recent[name, token] = stale
        return None if stale is None else (token[: -_TAG - 1], stale)

    def _derive(self, name: str) -> list[Callable[[bytes], bytes]]:
        """Return the MACs of a cookie name. Each secret has a key of its own for this version, purpose and name.

        The name is the end of the text from which the key is derived, and only the id is signed with the key. So name
        and id cannot be confused.
        """
        return [mac_under(root(_PURPOSE + name.encode())) for root in self._roots]


def check_secrets(secret: object, minimum: int) -> list[bytes]:
    """Return one secret, or a sequence of them, as a list of bytes (text as UTF-8). No error shows a secret.

    Args:
        minimum: the least length of each, in bytes.

    Raises:
        ValueError: one is too short, or there is none.
        TypeError: one is neither ``str`` nor ``bytes``.
    """
    checked = []
    # One string is one secret, never a sequence of letters.
    single = isinstance(secret, str | bytes | bytearray | memoryview) or not isinstance(secret, Sequence)
    for item in [secret] if single else secret:  # type: ignore[attr-defined]
        if not isinstance(item, str | bytes):
            raise TypeError(
                f"secret must be str or bytes, or a sequence of them, not {type(item).__name__}; {_ADVICE}"
            )
        # "surrogatepass", because the error of a stricter encoder would contain the secret.
        checked.append(item.encode("utf-8", "surrogatepass") if isinstance(item, str) else item)
    if not checked or min(map(len, checked)) < minimum:
        raise ValueError(f"secret must be at least {minimum} bytes; {_ADVICE}")
    return checked


_ADVICE = "make one with: python -m wsgisession secret"
