"""Is this configuration sound? One finding for each thing that is not. Knows no output.

What only an engine can tell comes from the store's own ``diagnose()``, where it has one.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from wsgisession.cli.reader import Reader
from wsgisession.cli.target import in_memory
from wsgisession.errors import StoreError
from wsgisession.identity import Identity
from wsgisession.manager import SessionManager
from wsgisession.record import Record

ROUNDS = 11  # of the measurement
SLOW = 0.020  # seconds
SAMPLE = 1000  # records that are looked at
SKEW = 60.0  # seconds into the future that a session may have begun
EPOCH = 1_700_000_000  # POSIX seconds: no clock that works is behind the year 2023

# Secrets that everybody knows: those of examples, and one character again and again.
EXAMPLES = ("a string of at least 32 bytes, kept out of the repository",)
LONGEST = 64
# SQLite's changes list a rare race between processes in which WAL mode may lose writes, and where it is fixed.
FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
CLIENTS = {"RedisStore": ("redis", (5,)), "PostgresStore": ("psycopg", (3, 2))}


class Finding(NamedTuple):
    """Something that should be changed, and what it is about."""

    subject: str
    message: str


class Report(NamedTuple):
    """What was looked at, what should be changed, and whether the store answered."""

    facts: dict[str, str]
    findings: list[Finding]
    reachable: bool


def examine(manager: SessionManager) -> Report:
    """Look at everything. The store is written to as well: one record, which is no session and is deleted again."""
    facts = versions(manager)
    findings = [
        *(Finding("secret", message) for message in secret(manager)),
        *(Finding("cookie", message) for message in cookie(manager)),
        *(Finding("version", message) for message in outdated(manager)),
    ]
    if time.time() < EPOCH:
        findings.append(Finding("clock", "this machine's clock is years behind; synchronize it (NTP)"))
    if in_memory(manager):
        findings.append(Finding("store", "MemoryStore keeps sessions in one process, and loses them when it ends"))
    try:
        speed = measure(Reader(manager))
        facts |= {name: f"{seconds * 1000:.2f} ms" for name, seconds in speed.items()}
        findings += [Finding("store", message) for message in slow(speed)]
        findings += [Finding("records", message) for message in records(Reader(manager))]
        findings += [Finding("store", message) for message in engine(manager)]
    except StoreError as error:
        findings.append(Finding("store", f"it does not answer: {error}"))
        return Report(facts, findings, False)
    return Report(facts, findings, True)


def versions(manager: SessionManager) -> dict[str, str]:
    """Return what is installed."""
    name = type(manager.store).__name__
    facts = {"wsgisession": importlib.metadata.version("wsgisession"), "python": platform.python_version(), "store": name}
    if name == "SQLiteStore":
        facts["sqlite"] = sqlite3.sqlite_version
        if not _fixed(sqlite3.sqlite_version_info):
            facts["sqlite"] += " (has a rare race between processes; 3.51.3, 3.50.7 and 3.44.6 have not)"
    if name in CLIENTS:
        client = CLIENTS[name][0]
        facts[client] = importlib.metadata.version(client)
    return facts


def _fixed(version: tuple[int, ...]) -> bool:
    return version >= FIXED[0] or any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED)


def outdated(manager: SessionManager) -> Iterator[str]:
    """Yield what is older than the store's extra demands."""
    client, least = CLIENTS.get(type(manager.store).__name__, ("", ()))
    if client:
        version = importlib.metadata.version(client)
        if tuple(int(part) for part in version.split(".")[: len(least)] if part.isdigit()) < least:
            yield f"{client} {version} is too old: {'.'.join(map(str, least))} is needed"


def secret(manager: SessionManager) -> Iterator[str]:
    """Yield what is wrong with the secrets. They are not kept, but one can try whether a known one verifies."""
    identity = manager.identity
    if identity is None:
        return  # a URL has none
    known = [text.encode() for text in EXAMPLES]
    known += [bytes([byte]) * length for byte in range(256) for length in range(identity.min_secret, LONGEST + 1)]
    make: Callable[[list[bytes]], Identity] = type(identity)
    id = identity.new_id()
    try:
        weak = any(identity.unsign("check", make([text]).sign("check", id)) for text in known)
    except TypeError:  # an identity that is made of something else
        weak = False
    if weak:
        yield "a secret is an example's, or one character repeated, so anybody can forge cookies; see: wsgisession secret"


def cookie(manager: SessionManager) -> Iterator[str]:
    """Yield what weakens the cookie."""
    if manager.identity is None:
        return
    cookie = manager.cookie
    if cookie.secure is False:
        yield "secure=False lets the cookie travel over plain http; leave it out, or pass True behind a proxy that ends TLS"
    if not cookie.httponly:
        yield "httponly=False lets every script on a page read the cookie"
    if cookie.domain is not None:
        yield "domain gives the cookie to every host below it; leave it out unless they all need the session"


def measure(reader: Reader) -> dict[str, float]:
    """Return the median seconds of a read and of a write. StoreError: one was refused."""
    key = Identity([os.urandom(32)]).new_id()  # random, and no session's
    payload, other = _payload(reader), _payload(reader)
    reads, writes = [], []
    for _ in range(ROUNDS):
        reads.append(_timed(lambda: reader.store.load(key)))
        writes.append(_timed(lambda: reader.store.create(key, payload, 10.0)))
        writes.append(_timed(lambda: reader.store.replace(key, payload, other, 10.0)))
        writes.append(_timed(lambda: reader.store.delete(key)))
    return {"read": statistics.median(reads), "write": statistics.median(writes)}


def _timed(operation: Callable[[], object]) -> float:
    begin = time.perf_counter()
    operation()
    return time.perf_counter() - begin


def slow(speed: dict[str, float]) -> Iterator[str]:
    """Yield what takes longer than a request should wait."""
    for name, seconds in speed.items():
        if seconds > SLOW:
            yield f"a {name} takes {seconds * 1000:.0f} ms, and requests wait for it; is the store far away, or overloaded?"


def records(reader: Reader) -> Iterator[str]:
    """Yield what a look at some records tells."""
    entries = map(reader.read, islice(reader.store.keys(), SAMPLE))
    future = sum(entry.record.created > reader.clock() + SKEW for entry in entries if entry is not None)
    if future:
        yield f"{future:,} session(s) began in the future: the clocks of the machines differ; synchronize them (NTP)"
    if reader.unreadable:
        yield f"{reader.unreadable:,} record(s) cannot be read with this codec; another program's, or name module:middleware"


def engine(manager: SessionManager) -> Iterator[str]:
    """Yield what the store itself has to say."""
    try:
        yield from getattr(manager.store, "diagnose", tuple)()
    except StoreError as error:
        yield f"not all could be looked at: {error}"


def _payload(reader: Reader) -> bytes:
    """Return a payload like no other, of a session that holds nothing."""
    return reader.codec.pack(Record(reader.clock(), None, False, {}))
