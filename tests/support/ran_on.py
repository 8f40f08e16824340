"""Which versions a run had to do with, for the list at the end of ``.ci/run``: each is asked, none is assumed.

Every process of a run adds lines to the file that ``RAN_ON`` names. Without it, nothing is written.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from typing import Any

CLIENTS = {"redis": "redis-py", "psycopg": "psycopg", "psycopg-pool": "psycopg-pool"}


def add(name: str, version: str) -> None:
    """Add a line, if there is a file for it."""
    if path := os.environ.get("RAN_ON"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{name} {version}\n")


def add_this_process() -> None:
    """Add this Python, its SQLite, and the client libraries that it imports."""
    implementation = platform.python_implementation()
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        implementation += " free-threaded"
    add(implementation, _python())
    add("SQLite", sqlite3.sqlite_version)
    for package, name in CLIENTS.items():
        try:
            add(name, version(package))
        except PackageNotFoundError:
            continue


def add_redis(info: dict[str, Any]) -> None:
    """Add a server that answered ``INFO server``."""
    if info.get("server_name") == "valkey":
        add("Valkey", info["valkey_version"])
    else:
        add("Redis", info["redis_version"])


def _python() -> str:
    found = platform.python_version()
    own = getattr(sys, "pypy_version_info", None)
    return f"{own.major}.{own.minor}.{own.micro} (Python {found})" if own else found
