"""The cookie: its name, reading it from a request, and writing it to a response.

``http.cookies`` is not used, because it drops the whole header if another cookie in it is malformed. A browser silently
drops a cookie that is against its rules, so ``Cookie`` refuses such a cookie at construction. Does not know what the
value means, who signed it, or when to set it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal
from urllib.parse import unquote

HEADER_LIMIT = 65536  # characters of a Cookie header that are looked at (latin-1 in WSGI, so also bytes)
CANDIDATES = 64  # pairs of our name that are looked at
COOKIE_LIMIT = 4096  # name and value, RFC 6265bis 5.6 step 5
ATTRIBUTE_LIMIT = 1024  # one attribute's value, RFC 6265bis 5.6
LONGEST_MAX_AGE = 400 * 86400  # seconds, RFC 6265bis 5.5
TOKEN_LENGTH = 87  # length of our value: id, dot, signature

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # token, RFC 9110 5.6.2
# cookie-octet, RFC 6265bis 4.1.1.
_OCTETS = bytes(octet for octet in range(0x21, 0x7F) if octet not in b'",;\\')
# av-octet, RFC 6265bis 4.1.1. Not ending in a space, which browsers trim: the path would be another one.
_PATH = re.compile(r"/(?:[ -:<-~]*[!-:<-~])?")
# Browsers ignore one leading dot (RFC 6265bis 5.6.3). By the standard, "_" is not allowed in a host name, but it is in
# use.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"\.?{_LABEL}(?:\.{_LABEL})*")

# Options of a cookie, their types, and what to pass.
_TYPES = (
    ("name path", str, "a str"),
    ("samesite", str, '"Lax", "Strict" or "None"'),
    ("domain", str | None, "a str or None"),
    ("httponly partitioned persistent host_prefix", bool, "True or False"),
    ("secure", bool | str, 'True, False or "auto"'),
    ("formerly", tuple, "a tuple of names, such as ('sid',)"),
)


@dataclass(frozen=True, slots=True)
class Cookie:
    """The session cookie's name and attributes. If a browser would silently reject it, making it is an error.

    Args:
        name: an HTTP token. If the cookie is secure, has path "/" and no domain, it is sent as "__Host-" + name.
        path: browsers send the cookie only if the URL's path begins with this.
        domain: a host name, to share the cookie with its subdomains. None: this host alone, which is safer.
        secure: True, False, or "auto", which follows ``wsgi.url_scheme`` and never a forwarded header. Behind a proxy
            that ends TLS pass True.
        httponly: scripts cannot read the cookie.
        samesite: "Lax", "Strict" or "None", the words of the attribute. It is always sent, because browsers differ in
            what they assume without it. So the Python value None is refused.
        partitioned: one cookie for each site that embeds yours in a frame (CHIPS).
        persistent: whether a new session starts as "remember me".
        host_prefix: False: "__Host-" is never put before the name.
        formerly: names, as browsers send them, that are still read after the present one. For a site that changes its
            cookie's name or makes it Secure. A session that is found there goes on under the present name. No cookie is
            ever set under a former name. Remove a name when you can: a cookie that somebody planted under it is accepted.

    Source: RFC 6265bis 4.1.3 (prefixes), 5.4 to 5.7 (what user agents reject); CHIPS (Partitioned); the draft
    layered-cookies ("__Http-" and "__Host-Http-").
    """

    name: str = "sid"
    path: str = "/"
    domain: str | None = None
    secure: bool | Literal["auto"] = "auto"
    httponly: bool = True
    samesite: Literal["Lax", "Strict", "None"] = "Lax"
    partitioned: bool = False
    persistent: bool = False
    host_prefix: bool = True
    formerly: tuple[str, ...] = ()
    _wire_names: tuple[str, str] = field(init=False, repr=False, compare=False)
    """The names on the wire: not secure, secure."""
    _attributes: tuple[str, str] = field(init=False, repr=False, compare=False)
    """All attributes except the expiry: not secure, secure."""

    def __post_init__(self) -> None:
        self._check_types()
        secured = self.name
        if self.host_prefix and self.path == "/" and self.domain is None and not _has_prefix(self.name):
            secured = f"__Host-{self.name}"
        object.__setattr__(self, "_wire_names", (self.name, secured))
        domain = "" if self.domain is None else f"; Domain={self.domain}"
        httponly = "; HttpOnly" if self.httponly else ""
        partitioned = "; Partitioned" if self.partitioned else ""
        head, tail = f"; Path={self.path}{domain}", f"{httponly}; SameSite={self.samesite}{partitioned}"
        object.__setattr__(self, "_attributes", (head + tail, f"{head}; Secure{tail}"))
        self._check_characters()
        self._check_former_names()
        self._check_needs_secure()
        self._check_prefix()

    def wire_name(self, secure: bool) -> str:
        """Return the name that browsers see; ``secure`` is the result of ``is_secure``."""
        return self._wire_names[secure]

    def names(self, scheme: str | None) -> tuple[str, ...]:
        """Return the names to read in a request with this ``wsgi.url_scheme``: the present one, then the former ones."""
        present = self.wire_name(self.is_secure(scheme))
        return tuple(dict.fromkeys((present, *self.formerly)))

    def is_secure(self, scheme: str | None) -> bool:
        """Tell whether the cookie is ``Secure`` in a request with this ``wsgi.url_scheme``."""
        return scheme == "https" if self.secure == "auto" else self.secure

    def covers(self, path: str) -> bool:
        """Tell whether browsers send the cookie with a request to this path.

        Args:
            path: as WSGI has it, percent-decoded to latin-1.

        Source: RFC 6265 5.1.4 (path-match).
        """
        mine = unquote(self.path, "latin-1") if "%" in self.path else self.path
        return path == mine or path.startswith(mine if mine[-1] == "/" else f"{mine}/")

    @staticmethod
    def read(header: str, name: str) -> list[str]:
        """Return the different values a Cookie header has under exactly this name, in its order.

        Only ";" separates pairs. Only space and tab around a pair are dropped. Nothing is unquoted or decoded. The first
        64 KiB and the first 64 pairs of the name are looked at. A pair that crosses the end of the 64 KiB is not seen.
        The header may be any string: another cookie that is malformed cannot hide a value or make a false one.

        Args:
            header: the Cookie header as WSGI has it; "" if there is none.
            name: the wire name, an HTTP token.
        """
        wanted = name + "="
        # The fast path is for a header that has the name once, separated as browsers do it. It takes 0.5 µs, or 0.2 µs
        # if the name is not there. The general path below takes 2 µs (six cookies, CPython 3.11).
        before, found, rest = header.partition(wanted)
        if not found:
            return []
        value, _, after = rest.partition(";")
        if before[-2:] in ("", "; ") and wanted not in after and len(header) <= HEADER_LIMIT:
            return [value.rstrip(" \t")]
        return list(dict.fromkeys(islice(_values(header, wanted), CANDIDATES)))

    @staticmethod
    def left_out(header: str, name: str) -> bool:
        """True if ``read`` could not look at everything: the header is longer, or has the name more often."""
        if len(header) > HEADER_LIMIT:
            return True
        wanted = name + "="
        return header.count(wanted) > CANDIDATES and len(list(_values(header, wanted))) > CANDIDATES

    @staticmethod
    def joined(header: str, name: str) -> bool:
        """True if several headers were joined with ``, ``, so that the name comes after a comma, or its value before
        one.

        Source: RFC 9113 8.2.3 (``; `` joins them).
        """
        wanted = name + "="
        for pair in header[:HEADER_LIMIT].split(";"):
            first, *others = (part.strip(" \t") for part in pair.split(","))
            if any(part.startswith(wanted) for part in others):
                return True
            if first.startswith(wanted) and any("=" in part for part in others):
                return True
        return False

    def render(self, name: str, value: str, *, secure: bool, max_age: int | None) -> str:
        """Return the ``Set-Cookie`` value that sets the cookie.

        Args:
            name: the wire name.
            max_age: seconds, at most 400 days, because browsers allow no more; None: until the browser is closed.

        Raises:
            ValueError: a browser would not keep this value. It comes from the application's own ``Identity``.
        """
        fits = len(name) + len(value) <= COOKIE_LIMIT and value.isascii()
        if not fits or value.encode().translate(None, _OCTETS):  # what no browser would keep is left over
            raise ValueError(
                f"browsers would reject the token for the cookie {name[:80]!r}: Identity.sign has to return at most "
                f"{COOKIE_LIMIT - len(name)} characters of visible ASCII without quote, comma, semicolon and backslash"
            )
        age = "" if max_age is None else f"; Max-Age={max(0, min(max_age, LONGEST_MAX_AGE))}"
        return f"{name}={value}{age}{self._attributes[secure]}"

    def expire(self, name: str, *, secure: bool) -> str:
        """Return the ``Set-Cookie`` value that deletes the cookie called ``name`` on the wire."""
        # A deletion repeats Path and Domain, or the browser keeps the old cookie (RFC 6265 5.3, step 11), and
        # the flags, or it may reject the deletion itself (RFC 6265bis 5.7: prefixes, SameSite=None).
        attributes = self._attributes[secure or _has_prefix(name)]
        return f"{name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}"

    def expire_former(self, name: str, *, secure: bool) -> list[str]:
        """Return the ``Set-Cookie`` values that delete a cookie of a former name.

        For browsers, cookies with another path or domain are different cookies, and nobody knows which path and domain
        the former cookie had. So two are deleted: the one with the present path and domain, and the one with path "/"
        and no domain. A ``__Host-`` cookie always has path "/" and no domain.
        """
        usual = replace(self, name="x", path="/", domain=None, host_prefix=False, formerly=())
        cookies = [usual] if name.lower().startswith("__host-") else [self, usual]
        return list(dict.fromkeys(cookie.expire(name, secure=secure) for cookie in cookies))

    def _check_types(self) -> None:
        for options, kinds, words in _TYPES:
            for option in options.split():
                value = getattr(self, option)
                if not isinstance(value, kinds):
                    raise TypeError(f"cookie {option} must be {words}, not {value!r}"[:200])

    def _check_characters(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"cookie name {self.name[:80]!r} is not a token: use letters, digits, '-', '_' and '.'"
            )
        longest = COOKIE_LIMIT - TOKEN_LENGTH - len(self.wire_name(self.secure is not False)) + len(self.name)
        if len(self.name) > longest:
            raise ValueError(f"cookie name has {len(self.name)} characters: pass one of at most {longest}")
        if not _PATH.fullmatch(self.path) or len(self.path) > ATTRIBUTE_LIMIT:
            raise ValueError(
                f"cookie path {self.path[:80]!r}: pass one that begins with '/', at most {ATTRIBUTE_LIMIT} characters "
                "of printable ASCII without ';' and without a space at the end (percent-encode the rest)"
            )
        if self.domain is not None and (not _DOMAIN.fullmatch(self.domain) or len(self.domain) > 253):
            raise ValueError(
                f"cookie domain {self.domain[:80]!r}: pass a host name such as 'example.org', without scheme and port, "
                "in its ASCII form ('xn--…'), or None for this host alone"
            )
        if self.samesite not in ("Lax", "Strict", "None"):
            raise ValueError(f'cookie samesite must be "Lax", "Strict" or "None", not {self.samesite[:80]!r}')
        if isinstance(self.secure, str) and self.secure != "auto":
            raise ValueError(f'cookie secure must be True, False or "auto", not {self.secure[:80]!r}')

    def _check_former_names(self) -> None:
        present = self._wire_names if self.secure == "auto" else (self.wire_name(self.secure is True),)
        for name in self.formerly:
            if not isinstance(name, str):
                raise TypeError(
                    f"cookie formerly must be a tuple of names, such as ('sid',), not of {type(name).__name__}"
                )
            if not _NAME.fullmatch(name) or len(name) > COOKIE_LIMIT:
                raise ValueError(
                    f"cookie formerly: {name[:80]!r} is not a token: pass the name as browsers send it"
                )
            if set(present) == {name}:
                raise ValueError(f"cookie formerly: {name[:80]!r} is the present name; list other names only")

    def _check_needs_secure(self) -> None:
        """ "auto" is not enough for these: over http the browser would drop the cookie."""
        if self.secure is True:
            return
        rejected = "is rejected by browsers unless Secure: pass secure=True as well"
        if self.samesite == "None":
            raise ValueError(f'cookie samesite="None" {rejected}')
        if self.partitioned:
            raise ValueError(f"cookie partitioned=True {rejected}")
        if _has_prefix(self.name):
            without = "leave the prefix out (__Host- is added if the cookie is secure)"
            raise ValueError(f"cookie name {self.name[:80]!r} {rejected}, or {without}")

    def _check_prefix(self) -> None:
        wire = self.wire_name(self.secure is not False)
        rejected = f"cookie name {wire[:80]!r} is rejected by browsers unless"
        if wire.lower().startswith("__host-") and (self.path != "/" or self.domain is not None):
            raise ValueError(f'{rejected} path="/" and domain=None')
        # Also "Http-x", which "__Host-" in front turns into the stricter prefix.
        if wire.lower().startswith(("__http-", "__host-http-")) and not self.httponly:
            raise ValueError(f"{rejected} httponly=True")


def _has_prefix(name: str) -> bool:
    # In any letter case, as browsers match them (RFC 6265bis 5.4). "__Host-Http-" begins with "__Host-".
    return name.lower().startswith(("__secure-", "__host-", "__http-"))


def _values(header: str, wanted: str) -> Iterator[str]:
    """Yield the value of each pair that begins with ``wanted``, in the part of a header that is looked at."""
    pairs = header[:HEADER_LIMIT].split(";")
    if header[HEADER_LIMIT : HEADER_LIMIT + 1] not in ("", ";"):
        pairs.pop()  # it crosses the end
    for pair in pairs:
        if wanted in pair:
            stripped = pair.strip(" \t")
            if stripped.startswith(wanted):
                yield stripped[len(wanted) :]
