"""Promises 1 and 2 on every store, by forced interleavings: across four threads, and across four processes where it can be.

``WSGISESSION_SOAK=20000`` runs as many rounds of each instead.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.postgres_server import shared_postgres
from support.race_crews import Processes, Threads
from support.races import RACES
from support.redis_servers import shared_redis

ROUNDS = int(os.environ.get("WSGISESSION_SOAK") or 120)  # twice as many as test_races_caught.py needs
pytestmark = [pytest.mark.wide, pytest.mark.timeout(max(120, ROUNDS))]

URLS: dict[str, Callable[[Any], str]] = {
    "memory": lambda folder: "memory:",
    "SQLite": lambda folder: f"sqlite:///{folder}/races.db",
    "Redis": lambda folder: f"redis://127.0.0.1:{shared_redis().port}/0?prefix=races:",
    "PostgreSQL": lambda folder: shared_postgres().url,
}
CREWS = [
    (store, kind)
    for store, kind in itertools.product(URLS, (Threads, Processes))
    if (store, kind) != ("memory", Processes)
]


@pytest.fixture(
    scope="module", params=CREWS, ids=[f"{store}-{kind.__name__.lower()}" for store, kind in CREWS]
)
def crew(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Four actors over one store."""
    store, kind = request.param
    crew = kind(URLS[store](tmp_path_factory.mktemp("races")))
    yield crew
    crew.close()


@pytest.mark.parametrize("name", RACES)
def test_no_anomaly(crew: Any, name: str) -> None:
    """Every round of this interleaving ends as the promises say."""
    race = RACES[name]
    start = time.monotonic()
    cookies = race.issue(crew.site, ROUNDS)
    reports = crew.run(name, cookies, ROUNDS)
    anomalies = race.anomalies(crew.site, cookies, reports)
    print(f"{name}: {len(anomalies)} anomalies in {ROUNDS} rounds, {time.monotonic() - start:.1f} s")
    assert not anomalies, (
        f"{len(anomalies)} of {ROUNDS} rounds of {race.__doc__!r} went wrong, the first:\n" + anomalies[0]
    )
