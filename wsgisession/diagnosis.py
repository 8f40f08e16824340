"""Reasons why a session seems not to work. For each there is one warning, once, that says what to do. Knows no data and
no store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from wsgisession.log import Summed, event

REASONS = {
    "memory store": "the server runs several processes, and MemoryStore keeps the sessions of one process: visitors lose"
    " their sessions at random. Pass store='sqlite:///sessions.db', 'redis://…' or 'postgresql://…', or run one process",
    "secure over http": "a Secure cookie was sent over plain http, and browsers drop it: each request begins a new session."
    " Serve https, or leave Cookie(secure='auto') while you develop",
    "tls proxy": "a proxy says that the visitor came over https, but this server sees http, so the cookie is not Secure. Pass"
    " cookie=Cookie(secure=True, formerly=('sid',)); formerly, with the name that the cookie has now, keeps everybody logged"
    " in while the name changes",
    "late session": "a session was begun after its response had begun, when no cookie could be set any more. Write to it before"
    " the first chunk, or call session.save() there",
    "late read": "a session was read for the first time after its response had begun, so that response says neither Vary:"
    " Cookie nor Cache-Control: private, and a cache may give one visitor's page to another. Read it before the first chunk,"
    " such as with session.get('user')",
    "two cookies": "a request brought the cookies of more than one live session, so it had no session. Something else on this"
    " domain sets a cookie of this name: give this application a name of its own, Cookie(name='shop_sid'), and serve it over"
    " https: then the prefix __Host- keeps other hosts out",
    "joined cookies": "a Cookie header came with ', ' between its cookies: a proxy or gateway joined several headers in the"
    " wrong way, so the session's cookie is not found. Make it join them with '; ' (RFC 9113, 8.2.3), or pass each request's"
    " Cookie header on as it came",
    "too many cookies": "a request brought more cookies than are looked at, and none of those led to a live session; the"
    " session's own may be among the rest. Something on this domain sets too many of them: give this application a name of"
    " its own, Cookie(name='shop_sid'), and serve it over https: then the prefix __Host- keeps other hosts out",
    "cross-site post": "a POST from another site brought no cookie, and its handler began a session: browsers send no"
    " SameSite=Lax cookie with such a request, and this response's cookie replaces the visitor's own. A handler that others"
    " post to (a payment, a login elsewhere) must not write to the session: give it a redirect to a page that does",
    "outside the path": "a session was begun under a path that its cookie is not sent to, so each request there begins a new"
    " session. Pass cookie=Cookie(path='/'), or use the session only below the cookie's path",
    "flask session": "flask.session is not this session: Flask's own set a cookie of its own, so the application has two. Call"
    " Sessions(app, …) of wsgisession.flask instead of wrapping app.wsgi_app, and flask.session is this one. Or use"
    " get_session(request.environ) instead of flask.session everywhere",
    "secrets differ": "many cookies of the right form have a bad signature. Either somebody forges them, or the workers do not"
    " have the same secret, or the secret was changed: pass secret=[new, old] in that case",
    "short secret": "a secret shared with Express has less than 32 bytes, and can be guessed from one cookie. Pass a longer one"
    " in front on both sides; make one with: python -m wsgisession secret",
}

SUSPICIOUS = 20  # so many different cookies of the right form with a bad signature
FORM = 40  # a cookie of ours has at least so many characters, in any format


class Advice:
    """The reasons that were already logged. Two threads at the same moment may log one twice."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def warn_once(self, reason: str, **fields: object) -> None:
        """Log one of REASONS, unless it was logged before."""
        if reason not in self._told:
            self._told.add(reason)
            event(logging.WARNING, "misconfiguration", REASONS[reason], reason=reason, **fields)


class BadSignatures:
    """Counts cookies with a bad signature, because a stranger can send as many as they like."""

    def __init__(self, advice: Advice, clock: Callable[[], float] = time.monotonic) -> None:
        self._advice = advice
        self._summed = Summed("bad signature", logging.WARNING, clock=clock)
        self._seen: set[int] = set()  # hashes of tokens, never more than SUSPICIOUS

    def add(self, token: str) -> None:
        """Count a token that none of our secrets signed."""
        self._summed.add("cookies with a bad signature were ignored")
        if len(self._seen) < SUSPICIOUS and hash(token) not in self._seen and len(token) > FORM:
            self._seen.add(hash(token))
            if len(self._seen) == SUSPICIOUS:
                self._advice.warn_once("secrets differ")
