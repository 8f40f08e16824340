"""Which servers there are for tests, and which there are not."""

from __future__ import annotations

import shutil

from support.postgres_server import find_program

OPTIONAL = ("redis-server", "valkey-server", "postgres", "pgbouncer")


def not_found() -> list[str]:
    """Return the names of the optional servers that this machine does not have."""
    return [name for name in OPTIONAL if not (shutil.which(name) or find_program(name))]
