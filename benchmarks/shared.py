"""Contenders whose sessions several processes share. Each reads from the environment where to store.

The configuration is like that for one process. Knows nothing of timing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.cases import COUNT, READ
from benchmarks.frameworks import Django, FlaskSession
from benchmarks.measure import App
from benchmarks.peers import Action, Beaker, Contender, Ours
from benchmarks.samples import SMALL

PLACE = "BENCHMARK_PLACE"  # a URL, or a directory
WHICH = "BENCHMARK_CONTENDER"
DOES = "BENCHMARK_ACTION"

FILL = Action(
    lambda session: [session.__setitem__(key, value) for key, value in SMALL.items()] and None, writes=True
)
ACTIONS = {"read": READ, "write": COUNT}


class OursShared(Ours):
    name = "wsgisession"

    @property
    def url(self) -> str:  # type: ignore[override]
        return os.environ[PLACE]


class BeakerShared(Beaker):
    """Files, or Redis."""

    def options(self) -> dict[str, Any]:
        place = os.environ[PLACE]
        if place.startswith("redis:"):
            return {"session.type": "ext:redis", "session.url": f"{place}/1"}
        return {"session.type": "file", "session.data_dir": place}


class FlaskSessionShared(FlaskSession):
    needs = ("flask_session", "redis")

    def app(self, action: Action | None) -> App:
        from flask_session import Session
        from redis import Redis

        app = self._flask(action)
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=Redis.from_url(f"{os.environ[PLACE]}/2"))
        Session(app)
        return app  # type: ignore[no-any-return]


class DjangoShared(Django):
    engine = "django.contrib.sessions.backends.cache"
    needs = ("django", "redis")

    def __init__(self) -> None:
        super().__init__()
        from django.conf import settings

        backend = "django.core.cache.backends.redis.RedisCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": f"{os.environ[PLACE]}/3"}}


class FlaskBare(FlaskSession):
    needs = ("flask",)

    def app(self, action: Action | None) -> App:
        return self.bare()


class DjangoBare(Django):
    engine = "django.contrib.sessions.backends.cache"

    def app(self, action: Action | None) -> App:
        return self.bare()


class Bare(Contender):
    def app(self, action: Action | None) -> App:
        return self.bare()


# Name, class, the store it needs, and the bare application of its group.
CONTENDERS: list[tuple[str, type[Contender], str | None, str]] = [
    ("bare", Bare, None, "bare"),
    ("wsgisession SQLite", OursShared, "SQLite", "bare"),
    ("wsgisession Redis", OursShared, "Redis", "bare"),
    ("wsgisession PostgreSQL", OursShared, "PostgreSQL", "bare"),
    ("Beaker file", BeakerShared, "file", "bare"),
    ("Beaker redis", BeakerShared, "Redis", "bare"),
    ("bare Flask", FlaskBare, None, "bare Flask"),
    ("Flask-Session redis", FlaskSessionShared, "Redis", "bare Flask"),
    ("bare Django", DjangoBare, None, "bare Django"),
    ("Django cache redis", DjangoShared, "Redis", "bare Django"),
]


def places(urls: dict[str, str], home: Path) -> dict[str | None, str]:
    """Return where each store keeps its sessions."""
    return {None: "", "file": str(home), **urls}


def application() -> App:
    """Return the application that the environment names: ``/fill`` makes a session, any other path reads or writes it."""
    [kind] = [kind for name, kind, _, _ in CONTENDERS if name == os.environ[WHICH]]
    contender = kind()
    fill, act = contender.app(FILL), contender.app(ACTIONS[os.environ[DOES]])

    def chosen(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/fill":
            return fill({**environ, "PATH_INFO": "/"}, start_response)
        return act(environ, start_response)

    return chosen
