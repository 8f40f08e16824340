"""``secret``: prints a new secret. Knows no store."""

from __future__ import annotations

import secrets

from wsgisession.cli.outcome import OK
from wsgisession.cli.terminal import Terminal


def secret(terminal: Terminal) -> int:
    """Print a new secret."""
    value = secrets.token_urlsafe(32)
    terminal.result({"secret": value}, [value], [(value,)])
    return OK
