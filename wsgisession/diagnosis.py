"""Why a session seems not to work: for each reason one warning, once, that says what to do. Knows no data and no store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from wsgisession.log import event

REASONS = {
    "memory store": "the server runs several processes and MemoryStore keeps sessions in one: visitors lose them at random."
    " Pass store='sqlite:///sessions.db', 'redis://…' or 'postgresql://…', or run one process",
    "secure over http": "a Secure cookie was sent over plain http, and browsers drop it: each request begins anew. Serve https,"
    " or leave Cookie(secure='auto') where you develop",
    "tls proxy": "a proxy says that the visitor came over https, and this server saw http, so the cookie is not Secure. Pass"
    " cookie=Cookie(secure=True)",
    "late session": "a session was begun after its response had begun, when no cookie could be set any more. Write to it before"
    " the first chunk, or call session.save() there",
    "two cookies": "a request brought the cookies of more than one live session, so it had none. Something else on this domain"
    " sets a cookie of this name: give this application a name of its own, Cookie(name='…'), and serve it over https, where"
    " the prefix __Host- keeps other hosts out",
    "secrets differ": "many cookies of the right form have a bad signature. Either somebody forges them, or the workers do not"
    " have the same secret, or it was changed: pass secret=[new, old] then",
    "short secret": "a secret shared with Express has less than 32 bytes, and can be guessed from one cookie. Pass a longer one"
    " in front on both sides; make one with: python -m wsgisession secret",
}

SUSPICIOUS = 20  # different cookies of the right form with a bad signature
FORM = 40  # characters that a cookie of ours has at the very least, in any format


class Advice:
    """The reasons that were told already. Two threads that meet here may tell one twice."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def give(self, reason: str, **fields: object) -> None:
        """Tell one of REASONS, unless that was done before."""
        if reason not in self._told:
            self._told.add(reason)
            event(logging.WARNING, "misconfiguration", REASONS[reason], reason=reason, **fields)


class Forged:
    """Cookies with a bad signature. A stranger can send them at will: the first is logged at once, then one line a minute.

    The counts are for people; two threads that meet here may lose one, never raise.
    """

    def __init__(self, advice: Advice, clock: Callable[[], float] = time.monotonic) -> None:
        self._advice = advice
        self._clock = clock
        self._pending = 0  # not logged yet
        self._next = float("-inf")  # when the next line may be written
        self._seen: set[int] = set()  # hashes of tokens, never more than SUSPICIOUS

    def add(self, token: str) -> None:
        """Count a token that no secret of ours signed, and write a line where one is due."""
        self._pending += 1
        now = self._clock()
        if now >= self._next:
            count, self._pending, self._next = self._pending, 0, now + 60.0
            event(logging.WARNING, "bad signature", "cookies with a bad signature were ignored", count=count)
        if len(self._seen) < SUSPICIOUS and hash(token) not in self._seen and len(token) > FORM:
            self._seen.add(hash(token))
            if len(self._seen) == SUSPICIOUS:
                self._advice.give("secrets differ")
