"""The log: what happened to which session, as events with fields. Knows no id, no token and no value of a session.

Every event goes to the logger ``wsgisession`` with ``extra={"event": name, **fields}``; ``docs/operations.md`` lists them.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("wsgisession")


def event(level: int, name: str, message: str, **fields: object) -> None:
    """Log one event; the fields follow the message and go along as ``extra``."""
    if logger.isEnabledFor(level):
        text = " ".join([message, *(f"{field}={value!r}" for field, value in fields.items())])
        logger.log(level, "%s", text, extra={"event": name, **fields})
