"""``check``: one finding for each thing in the configuration that should be changed.

What only the engine knows comes from the store's own ``diagnose()`` and ``settings()``, if it has them.

Knows no engine.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from wsgisession import __version__
from wsgisession.cli.outcome import FINDING, OK, UNREACHABLE, plural
from wsgisession.cli.reader import Reader
from wsgisession.cli.target import in_memory, redacted
from wsgisession.cli.terminal import Terminal
from wsgisession.cli.text import columns, visible
from wsgisession.errors import StoreError
from wsgisession.identity import Identity
from wsgisession.manager import SessionManager
from wsgisession.record import Record

ROUNDS = 11  # how often the store is measured
SLOW = 0.020  # seconds
SAMPLE = 1000  # records that are looked at
SKEW = 60.0  # seconds: a session may have begun so far in the future
EPOCH = 1_700_000_000  # POSIX seconds: no clock that works is behind the year 2023

# Secrets that everybody knows: those of examples, and one repeated character.
EXAMPLES = ("a string of at least 32 bytes, kept out of the repository",)
LONGEST = 64
# SQLite's list of changes names a rare race between processes in which WAL mode may lose writes, and the releases
# without it.
FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
# The client library of a store, and the oldest version that its extra in setup.cfg allows.
CLIENTS = {"RedisStore": ("redis", "6"), "PostgresStore": ("psycopg", "3.2.1")}


class Report(NamedTuple):
    """What was looked at, what should be changed, and whether the store could be read and written."""

    facts: dict[str, str]
    findings: list[tuple[str, str]]  # subject and message
    works: bool


def check(manager: SessionManager, terminal: Terminal, arguments: Namespace) -> int:
    """Print the facts about the configuration, and one line for each thing that should be changed."""
    facts, found, works = examine(manager)
    findings = [(subject, redacted(message)) for subject, message in found]
    told = plural(len(findings), "finding") if findings else "no findings"
    terminal.result(
        {"facts": facts, "findings": [{"subject": about, "message": text} for about, text in findings]},
        [
            *columns((name, visible(fact)) for name, fact in facts.items()),
            *(f"warning: {about}: {visible(text)}" for about, text in findings),
            told,
        ],
        [
            *(("fact", name, visible(fact)) for name, fact in facts.items()),
            *(("finding", about, visible(text)) for about, text in findings),
            (told,),
        ],
    )
    return (FINDING if findings else OK) if works else UNREACHABLE


def examine(manager: SessionManager) -> Report:
    """Look at everything. One record is written to the store and deleted again. It is no session."""
    facts = versions(manager)
    findings: list[tuple[str, str]] = []

    def found(subject: str, messages: Iterable[str]) -> None:
        findings.extend((subject, message) for message in messages)

    found("secret", secret(manager))
    found("cookie", cookie(manager))
    found("version", outdated(manager))
    if time.time() < EPOCH:
        found("clock", ["this machine's clock is years behind; synchronize it (NTP)"])
    if in_memory(manager):
        found("store", ["MemoryStore keeps sessions in one process, and loses them when the process ends"])
    reader = Reader(manager)
    medians: dict[str, float] = {}
    try:
        for name, seconds in speed(reader):
            medians[name] = seconds
    except StoreError as error:
        if not medians:
            found("store", [f"it does not answer: {error}"])
            return Report(facts, findings, False)
        found("store", [f"it answers, but refuses to write: {error}"])
    facts |= {name: f"{seconds * 1000:.2f} ms" for name, seconds in medians.items()}
    facts |= settings(manager)
    found("store", slow(medians))
    found("records", records(reader))
    found("store", engine(manager))
    return Report(facts, findings, "write" in medians)


def versions(manager: SessionManager) -> dict[str, str]:
    """Return what is installed."""
    name = type(manager.store).__name__
    facts = {"wsgisession": __version__, "python": platform.python_version(), "store": name}
    if name == "SQLiteStore":
        facts["sqlite"] = sqlite3.sqlite_version
        if not _fixed(sqlite3.sqlite_version_info):
            facts["sqlite"] += " (has a rare race between processes; fixed in 3.51.3, 3.50.7 and 3.44.6)"
    if client := CLIENTS.get(name):
        facts[client[0]] = importlib.metadata.version(client[0])
    return facts


def _fixed(version: tuple[int, ...]) -> bool:
    return version >= FIXED[0] or any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED)


def outdated(manager: SessionManager) -> Iterator[str]:
    """Yield a finding if the client library is older than the store's extra demands."""
    client, least = CLIENTS.get(type(manager.store).__name__, ("", ""))
    if client and _numbers(found := importlib.metadata.version(client)) < _numbers(least):
        yield f"{client} {found} is too old: {least} is needed"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", text)[:3])


def settings(manager: SessionManager) -> dict[str, str]:
    """Return what the store knows about its engine: the version, and the settings that matter."""
    try:
        return dict(getattr(manager.store, "settings", dict)())
    except StoreError:  # ``engine`` reports it
        return {}


def secret(manager: SessionManager) -> Iterator[str]:
    """Yield what is wrong with the secrets. They are not kept, but it can be tried whether a known one verifies."""
    identity = manager.identity
    if identity is None:
        return  # a URL has none
    shortest = getattr(identity, "min_secret", Identity.min_secret)
    known = [text.encode() for text in EXAMPLES]
    known += [bytes([byte]) * length for byte in range(256) for length in range(shortest, LONGEST + 1)]
    make: Callable[[list[bytes]], Identity] = type(identity)
    id = identity.new_id()
    try:
        weak = any(identity.unsign("check", make([text]).sign("check", id)) for text in known)
    except TypeError:  # the identity needs something else
        weak = False
    if weak:
        yield "a secret is that of an example, or one repeated character, so anybody can forge cookies; make one with: wsgisession secret"


def cookie(manager: SessionManager) -> Iterator[str]:
    """Yield the settings that weaken the cookie."""
    if manager.identity is None:
        return
    cookie = manager.cookie
    if cookie.secure is False:
        yield "with secure=False the cookie is also sent over plain http; leave it out, or pass True behind a proxy that ends TLS"
    if not cookie.httponly:
        yield "httponly=False lets every script on a page read the cookie"
    if cookie.domain is not None:
        yield "with domain, the cookie is sent to every host below it; leave it out unless all of them need the session"


def speed(reader: Reader) -> Iterator[tuple[str, float]]:
    """Yield how many seconds a read takes, and then a write. StoreError: it was refused."""
    store, key = reader.store, Identity([os.urandom(32)]).new_id()  # random, so it is no session's key
    nothing = Record(reader.clock(), None, False, {})
    payload, other = reader.codec.pack(nothing), reader.codec.pack(nothing)
    yield "read", _median(lambda: store.load(key))
    yield (
        "write",
        _median(
            lambda: store.create(key, payload, 10.0),
            lambda: store.replace(key, payload, other, 10.0),
            lambda: store.delete(key),
        ),
    )


def _median(*operations: Callable[[], object]) -> float:
    times = []
    for operation in operations * ROUNDS:
        begin = time.perf_counter()
        operation()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def slow(speed: dict[str, float]) -> Iterator[str]:
    """Yield the operations that take longer than a request should wait."""
    for name, seconds in speed.items():
        if seconds > SLOW:
            yield f"a {name} takes {seconds * 1000:.0f} ms, and requests wait for it; is the store far away, or overloaded?"


def records(reader: Reader) -> Iterator[str]:
    """Yield what is wrong with the first records."""
    future = sum(entry.created > reader.clock() + SKEW for entry in reader.sample(SAMPLE))
    if future:
        yield f"{plural(future, 'session')} began in the future: the clocks of the machines differ; synchronize them (NTP)"
    if reader.unreadable:
        yield (
            f"{plural(reader.unreadable, 'record')} cannot be read with this codec: another program wrote them, or the"
            " application has a codec of its own; then name module:middleware"
        )


def engine(manager: SessionManager) -> Iterator[str]:
    """Yield the findings of the store itself."""
    try:
        yield from getattr(manager.store, "diagnose", tuple)()
    except StoreError as error:
        yield f"not everything could be looked at: {error}"
