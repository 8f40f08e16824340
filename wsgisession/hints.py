"""Hints: what to write instead of an attribute that a session does not have. Knows only names."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

# Names in other libraries (Beaker, Django, Flask, Pyramid, aiohttp, Express, CherryPy), and what to write here.
ELSEWHERE = {
    "is_new": "session.new",
    "isnew": "session.new",
    "new_session": "session.new",
    "invalidate": "session.destroy()",
    "invalidated": "session.gone",
    "flush": "session.destroy()",
    "delete": "session.destroy()",
    "expire": "session.destroy()",
    "logout": "session.destroy()",
    "cycle_key": "session.regenerate()",
    "cycle_id": "session.regenerate()",
    "regenerate_id": "session.regenerate()",
    "rotate": "session.regenerate()",
    "permanent": "session.persistent",
    "remember": "session.persistent",
    "max_age": "session.idle_timeout (seconds), or session.persistent for a cookie that outlives the browser",
    "timeout": "session.idle_timeout (seconds)",
    "adjust_timeout_for_session": "session.idle_timeout = seconds",
    "set_expiry": "session.idle_timeout = seconds, or session.persistent = True",
    "get_expiry_age": "session.expires - time.time()",
    "get_expiry_date": "session.expires",
    "expiry": "session.expires",
    "expires_at": "session.expires",
    "creation_time": "session.created",
    "created_at": "session.created",
    "user": "session.owner",
    "user_id": "session.owner",
    "username": "session.owner",
    "sid": "session.key, because the id is only in the cookie",
    "id": "session.key, because the id is only in the cookie",
    "session_id": "session.key, because the id is only in the cookie",
    "session_key": "session.key",
    "identity": "session.key, because the id is only in the cookie",
    "modified": "nothing: changes are noticed, nested ones too",
    "changed": "nothing: changes are noticed, nested ones too",
    "accessed": "nothing: Vary and Cache-Control are set for you",
    "persist": "session.save()",
    "commit": "session.save()",
    "load": "session.reload()",
    "refresh": "session.reload()",
    "touch": "nothing: a request that reads the session is a use of it",
    "get_id": "session.key, because the id is only in the cookie",
    "flash": "session.setdefault('flash', []).append(message)",
    "get_csrf_token": "session['csrf'], with a token from secrets.token_urlsafe()",
    "has_key": "'key' in session",
    "get_decoded": "dict(session)",
    "as_dict": "dict(session)",
    "to_dict": "dict(session)",
}


def hint(name: str, members: Collection[str]) -> str:
    """Return the message for an attribute that does not exist.

    Args:
        members: the names of the attributes that exist.
    """
    text = f"a session has no attribute {name!r}"
    if name.startswith("_"):
        return text
    if name in ELSEWHERE:
        return f"{text}; here it is {ELSEWHERE[name]}"
    near = get_close_matches(name, members, 1, 0.75)
    return f"{text}; did you mean {near[0]!r}?" if near else f"{text}; store a value as session[{name!r}]"
