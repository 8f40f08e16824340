"""The headers of a response that depends on a session: Vary, Cache-Control, Set-Cookie. Knows no session.

Headers are lists of pairs. The application's own list is never changed; a new one is returned.
"""

from __future__ import annotations

import re

from wsgisession.memo import Memo

Headers = list[tuple[str, str]]

# If a response has one of these fields, the caches that obey it ignore Cache-Control (RFC 9213 2.2).
_TARGETED = re.compile(r"(?:.+-)?cdn-cache-control|surrogate-control", re.IGNORECASE)
# One element of a list whose members may hold a quoted string (RFC 9110 5.6.1 and 5.6.4).
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)


def personal(headers: Headers, cookies: list[str], read: bool) -> Headers:
    """Return the headers of a response that depends on the session.

    Args:
        cookies: Set-Cookie values to add. If there are any, shared caches may not keep the response.
        read: whether a live session was read. Then the response is ``private``, unless the application sets
            Cache-Control itself.

    Source: RFC 9110 12.5.5 (Vary), RFC 9111 5.2.2 (Cache-Control), RFC 9213 (targeted fields).
    """
    for name, _ in headers:
        if _is_for_caches[name]:
            break
    else:  # the application does not set Cache-Control: 0.4 µs instead of 0.8, and 1.8 with a cookie
        if cookies:
            return [*headers, _VARY, _PRIVATE, *[("Set-Cookie", cookie) for cookie in cookies]]
        return [*headers, _VARY, _PRIVATE] if read else [*headers, _VARY]
    headers = _vary(headers)
    if cookies:
        headers = [pair for pair in _unshared(headers) if not _TARGETED.fullmatch(pair[0])]
        headers += [("Set-Cookie", cookie) for cookie in cookies]
    elif read and not any(name.lower() == "cache-control" for name, _ in headers):
        headers.append(("Cache-Control", "private"))
    return headers


def _vary(headers: Headers) -> Headers:
    """Add Cookie to Vary if it is not there. A ``*`` stays."""
    given = [value for name, value in headers if name.lower() == "vary"]
    members = [member.strip(" \t").lower() for value in given for member in value.split(",")]
    if "*" in members or "cookie" in members:
        return list(headers)
    result = list(headers)
    for index, (name, value) in enumerate(result):
        if name.lower() == "vary":
            result[index] = (name, f"{value}, Cookie" if value.strip(" \t") else "Cookie")
            return result
    return [*result, ("Vary", "Cookie")]


def _unshared(headers: Headers) -> Headers:
    """Replace the application's Cache-Control by one that does not let shared caches keep the response."""
    given = [value for name, value in headers if name.lower() == "cache-control"]
    directives = [element.strip(" \t") for value in given for element in _ELEMENT.findall(value)]
    names = [directive.lower() for directive in directives]
    if "no-store" in names:
        return list(headers)
    # A qualified private="field" lets shared caches keep the rest, so it is removed. So is a plain one, which is added
    # again below.
    kept = [item for item in directives if item and item.lower().partition("=")[0].rstrip() not in _SHARED]
    # It comes first: after a quote that the application forgot to close, it would be part of that string.
    mine = ("Cache-Control", ", ".join(["private", *kept]))
    return [*(pair for pair in headers if pair[0].lower() != "cache-control"), mine]


_OURS = frozenset(("vary", "cache-control"))
# An application sends few different names, so this takes a fifth of the time of looking at each.
_is_for_caches: Memo[str, bool] = Memo(
    lambda name: name.lower() in _OURS or _TARGETED.fullmatch(name) is not None,
    lambda name: len(name) <= 64,
    256,
)
_VARY, _PRIVATE = ("Vary", "Cookie"), ("Cache-Control", "private")
_SHARED = frozenset(("public", "private", "s-maxage"))
