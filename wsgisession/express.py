"""One session for a Python and an Express application: express-session's cookie and connect-redis' records.

``SessionMiddleware(app, secret=SECRETS, **express.options(client))`` reads and writes what Express reads and writes.
``docs/how-to/express.md`` says what is promised there and what is not. Knows no requests, and no store but the one it names.
"""

from __future__ import annotations

import hmac
import math
import os
import time
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from wsgisession.cookie import LONGEST_MAX_AGE, Cookie
from wsgisession.diagnosis import Advice
from wsgisession.errors import StoreError, UnsupportedType
from wsgisession.identity import Identity, check_secrets
from wsgisession.javascript import members, read, write
from wsgisession.mac import mac_under
from wsgisession.record import Marker, Record, is_owner
from wsgisession.stores.redis import RedisStore
from wsgisession.tags import DATA_ERRORS, Refused

__all__ = ["ExpressCodec", "ExpressIdentity", "options"]

OWN = "wsgisession"
"""The member of a record for what Express does not have: nonce, created, owner, persistent."""

TAKEN = frozenset(
    # The members of express-session's Session object, its own and inherited ones. An item with such a name would be
    # lost there, or would replace a method.
    """id req cookie touch resetMaxAge save reload destroy regenerate constructor hasOwnProperty isPrototypeOf
    propertyIsEnumerable toLocaleString toString valueOf __defineGetter__ __defineSetter__ __lookupGetter__
    __lookupSetter__ __proto__""".split()
) | {OWN}
"""Names that no item of a shared session can have."""

_TAKEN_PATHS = frozenset(f"session[{name!r}]" for name in TAKEN)
_VERSION = 1  # of the member OWN
_LONGEST = 8.64e15  # milliseconds, the end of JavaScript's time
# encodeURIComponent leaves these as they are, besides letters, digits, "_", "." and "-".
_UNESCAPED = "!~*'()"
_MARK = "s%3A"  # "s:", percent-encoded


def options(client: Any, name: str = "connect.sid", prefix: str = "sess:", **cookie: Any) -> dict[str, Any]:
    """Return the options ``store``, ``cookie``, ``identity`` and ``codec`` of a middleware that shares Express' sessions.

    The secrets are those of express-session, in the same order.

    Args:
        client: a redis-py client of the same Redis, as for ``RedisStore``. The store does not close it.
        name: express-session's ``name``.
        prefix: connect-redis' ``prefix``.
        cookie: other options of ``Cookie``, with the same values as in Express: ``path``, ``domain``, ``secure``,
            ``httponly``, ``samesite``.

    Raises:
        ValueError, TypeError: an argument is not what it must be.
    """
    if "host_prefix" in cookie:
        raise TypeError(
            "Express adds no prefix to a cookie's name: leave host_prefix out, or pass name='__Host-…' to both"
        )
    shared = Cookie(name=name, host_prefix=False, **cookie)
    return {
        # Express refreshes records and does not know the index. After so many seconds, browsers have dropped a cookie
        # that was set when the index was written (RFC 6265bis 5.5).
        "store": RedisStore(client, prefix, listed_for=LONGEST_MAX_AGE),
        "cookie": shared,
        "identity": ExpressIdentity,
        "codec": ExpressCodec(shared),
    }


class ExpressIdentity(Identity):
    """Express' cookie: ``s:``, the id, ``.``, HMAC-SHA256 in base64 without padding, all of it percent-encoded.

    The key of a session in the store is its id. Unlike ours, this signature does not cover the cookie's name.

    Args:
        secrets: as for ``Identity``, but of any length. For one of less than 32 bytes there is a warning, because
            Express accepts it.
    """

    min_secret = 1
    key_is_id = True

    def __init__(self, secrets: Sequence[bytes]) -> None:
        checked = check_secrets(secrets, self.min_secret)
        if min(map(len, checked)) < Identity.min_secret:
            Advice().warn_once("short secret")
        self._keyed = [mac_under(secret) for secret in checked]

    def key(self, id: str) -> str:
        """Return the id itself: connect-redis stores sessions under it."""
        return id

    def sign(self, name: str, id: str) -> str:
        """Return the token that express-session would make. The cookie's name does not matter."""
        return self._token(id, self._keyed[0])

    def unsign(self, name: str, token: str) -> tuple[str, bool] | None:
        """Return a token's id, and whether it was signed with a secret other than the first.

        None for anything that ``sign`` or Express did not make. Express can decode several spellings of a token; only
        the one that it writes counts.
        """
        text, dot, _ = token.rpartition(".")
        if not dot or not token.isascii() or not text.startswith(_MARK):
            return None
        # If decoding loses something, or the spelling is another one, no token below is equal.
        id = unquote(text[len(_MARK) :])
        if not id:
            return None
        sent = token.encode()
        for mac in self._keyed:
            if hmac.compare_digest(self._token(id, mac).encode(), sent):
                return id, mac is not self._keyed[0]
        return None

    def _token(self, id: str, mac: Callable[[bytes], bytes]) -> str:
        signature = b2a_base64(mac(id.encode()), newline=False).rstrip(b"=").decode()
        return f"{_MARK}{quote(id, safe=_UNESCAPED)}.{signature.replace('+', '%2B').replace('/', '%2F')}"


@dataclass(slots=True, frozen=True)
class Kept:
    """The parts of an Express record that are not ours, as they are written there.

    Args:
        cookie: the ``cookie`` member.
        timeout: the cookie's ``originalMaxAge`` in seconds; None: it has none.
        own: members of the member OWN that this version does not know.
        other: members whose names no item can have.
    """

    cookie: bytes = field(repr=False)
    timeout: float | None = None
    own: dict[str, bytes] = field(default_factory=dict, repr=False)
    other: dict[str, bytes] = field(default_factory=dict, repr=False)


class ExpressCodec:
    """Records as connect-redis stores them: one JSON object of the items, ``cookie`` and the member ``wsgisession``.

    A record is parsed as a whole, because JSON cannot be split otherwise. Each value then keeps its bytes. As with
    ``JSONCodec``, it is decoded only when it is read, and encoded only when it is changed.

    Args:
        cookie: the attributes that Express sends for sessions that begin here.
        clock: POSIX seconds. If a record does not say when its session began, it began now.
    """

    markers = False
    json_lines = True
    dates_cookie = True
    # Each value is encoded when it is assigned, too. So a value that Express cannot hold is refused in the line that
    # assigns it.
    accepts: frozenset[type] = frozenset()

    def __init__(self, cookie: Cookie | None = None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._fresh = Kept(write(_cookie_member(Cookie() if cookie is None else cookie)))

    def pack(self, content: Record | Marker) -> bytes:
        """Return a payload that no other call returns.

        Raises:
            UnsupportedType: JavaScript would change an item's name.
            ValueError: A time is not finite.
        """
        assert isinstance(content, Record)  # there are no markers
        if not math.isfinite(content.created):
            raise ValueError("the times of a record must be finite")
        kept = self._fresh if content.extra is None else content.extra
        own = {
            **kept.own,
            "version": b"%d" % _VERSION,
            "nonce": write(b2a_base64(os.urandom(6), newline=False).decode()),
            "created": repr(content.created).encode(),
            "owner": self.encode(content.owner, "owner"),
            "persistent": write(content.persistent),
        }
        cookie = kept.cookie
        if content.idle_timeout != kept.timeout:
            most = None if content.idle_timeout is None else round(content.idle_timeout * 1000)
            cookie = write({**read(cookie), "originalMaxAge": most})
        return self._object({"cookie": cookie, **kept.other, **content.data, OWN: self._object(own)})

    def _object(self, lines: Mapping[str, bytes]) -> bytes:
        pairs = [b"%b:%b" % (self.encode(name, "a key"), line) for name, line in lines.items()]
        return b"{%b}" % b",".join(pairs)

    def unpack(self, payload: bytes) -> Record | Marker:
        """Return the record of a payload, or a marker if version 1.0 of the library is about to delete it.

        A record without ``created`` began now. Our first write adds the time.

        Raises:
            ValueError: It cannot be read: it is corrupt or foreign.
            StoreError: A later version of the library wrote it.
        """
        if payload[:4] == b"null" and not payload[4:].strip(b" \t\n\r"):
            return Marker(None, True)
        cookie: Any = None
        own: Any = {}
        data: dict[str, bytes] = {}
        other: dict[str, bytes] = {}
        try:
            for name, value, line in members(payload):
                if name == "cookie":
                    cookie = value, line
                elif name == OWN:
                    own = {member: (inner, written) for member, inner, written in members(line)}
                elif name in TAKEN:
                    other[name] = line
                else:
                    data[name] = line
        except DATA_ERRORS as error:
            # Nothing is chained or quoted: an error's text may hold the data, and this one is logged.
            raise ValueError(f"a stored record cannot be read ({type(error).__name__})") from None
        if cookie is None or type(cookie[0]) is not dict:
            raise ValueError("a stored record cannot be read (cookie)")
        created, owner, persistent = self._known(own)
        rest = {name: line for name, (_, line) in own.items()}
        timeout = _timeout(cookie[0])
        kept = Kept(cookie[1], timeout, rest, other)
        return Record(created, owner, persistent, data, idle_timeout=timeout, extra=kept)

    def _known(self, own: dict[str, tuple[Any, bytes]]) -> tuple[float, str | None, bool]:
        """Take the members that we know out of the member OWN. All may be missing: Express' own records have none."""

        def take(name: str, default: Any) -> Any:
            return own.pop(name, (default, b""))[0]

        version = take("version", _VERSION)
        if type(version) is int and version > _VERSION:
            raise StoreError(
                f"a record was written by a later version of wsgisession (format {version}); bring this process up to date"
            )
        if version != _VERSION or type(take("nonce", "")) is not str:
            raise ValueError("a stored record cannot be read (version or nonce)")
        created = take("created", self._clock())
        # Express makes 1764018000 of 1764018000.0.
        if type(created) not in (int, float) or not abs(created) < _LONGEST:
            raise ValueError("a stored record cannot be read (created)")
        owner, persistent = take("owner", None), take("persistent", False)
        if not is_owner(owner):
            raise ValueError("a stored record cannot be read (owner)")
        if type(persistent) is not bool:
            raise ValueError("a stored record cannot be read (persistent)")
        return float(created), owner, persistent

    def encode(self, value: Any, path: str) -> bytes:
        """Return a value as JSON that both languages read as the same value.

        Raises:
            UnsupportedType: There is no such JSON, or express-session's own object has that name; ``path`` begins the
                message.
        """
        if path in _TAKEN_PATHS:
            raise UnsupportedType(f"{path}: express-session's own object has that name; choose another")
        try:
            return write(value)
        except Refused as refused:
            raise UnsupportedType(f"{path}{refused.where()}: {refused.reason}") from None

    def decode(self, line: bytes) -> Any:
        """Return the value of a line.

        Raises:
            ValueError: It cannot be read. The message shows no part of it.
        """
        return read(line)


def _cookie_member(cookie: Cookie) -> dict[str, Any]:
    """Return a record's ``cookie`` member. With it, Express sets the cookie again with the attributes that it has here."""
    given = {"domain": cookie.domain, "secure": cookie.secure is True, "partitioned": cookie.partitioned}
    return {
        "originalMaxAge": None,
        "expires": None,
        "httpOnly": cookie.httponly,
        "path": cookie.path,
        **{name: attribute for name, attribute in given.items() if attribute},
        "sameSite": cookie.samesite.lower(),
    }


def _timeout(cookie: dict[str, Any]) -> float | None:
    most: Any = cookie.get("originalMaxAge")
    # Also False: an application may switch it off.
    if type(most) not in (int, float) or not 0 < most <= _LONGEST:
        return None
    return float(most / 1000)
