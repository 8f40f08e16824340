"""Hints: what to write instead of an attribute that a session does not have. Knows only names."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

# What to write here, and the names for it in other libraries (Beaker, Django, Flask, Pyramid, aiohttp, Express, CherryPy).
_HERE = {
    "session.new": "is_new isnew new_session",
    "session.destroy()": "invalidate flush delete expire logout",
    "session.gone": "invalidated",
    "session.regenerate()": "cycle_key cycle_id regenerate_id rotate",
    "session.persistent": "permanent remember",
    "session.idle_timeout (seconds), or session.persistent for a cookie that outlives the browser": "max_age",
    "session.idle_timeout (seconds)": "timeout",
    "session.idle_timeout = seconds": "adjust_timeout_for_session",
    "session.idle_timeout = seconds, or session.persistent = True": "set_expiry",
    "session.expires - time.time()": "get_expiry_age",
    "session.expires": "get_expiry_date expiry expires_at",
    "session.created": "creation_time created_at",
    "session.owner": "user user_id username",
    "session.key, because the id is only in the cookie": "sid id session_id identity get_id",
    "session.key": "session_key",
    "nothing: changes are noticed, nested ones too": "modified changed",
    "nothing: Vary and Cache-Control are set for you": "accessed",
    "session.save()": "persist commit",
    "session.reload()": "load refresh",
    "nothing: a request that reads the session is a use of it": "touch",
    "session.setdefault('flash', []).append(message)": "flash",
    "session['csrf'], with a token from secrets.token_urlsafe()": "get_csrf_token",
    "'key' in session": "has_key",
    "dict(session)": "get_decoded as_dict to_dict",
}
_ELSEWHERE = {name: here for here, names in _HERE.items() for name in names.split()}


def hint(name: str, members: Collection[str]) -> str:
    """Return the message for an attribute that does not exist.

    Args:
        members: the names of the attributes that exist.
    """
    text = f"a session has no attribute {name!r}"
    if name.startswith("_"):
        return text
    if name in _ELSEWHERE:
        return f"{text}; here it is {_ELSEWHERE[name]}"
    near = get_close_matches(name, members, 1, 0.75)
    return f"{text}; did you mean {near[0]!r}?" if near else f"{text}; store a value as session[{name!r}]"
