"""Setup: what all sessions of one manager share. Knows no request."""

from __future__ import annotations

from dataclasses import dataclass

from wsgisession.commit import Commit
from wsgisession.cookie import Cookie
from wsgisession.diagnosis import Advice, BadSignatures
from wsgisession.identity import Identity
from wsgisession.record import Record
from wsgisession.records import Records


@dataclass(slots=True, frozen=True)
class Setup:
    """What the sessions of one manager share."""

    records: Records
    commit: Commit
    cookie: Cookie
    signer: Identity
    """Makes ids and signs them. It is not used if the manager has no secret; then sessions are only opened by their
    key.
    """
    advice: Advice
    bad_signatures: BadSignatures
    blank: Record
    """What lies under a session for which nothing is stored. It begins when it is stored: until then, ``created`` is infinite."""
    names: tuple[tuple[str, ...], tuple[str, ...]]
    """The cookie's names on the wire, over http and over https: the present one, then the former ones."""
