"""Every command on real servers, and on an application's middleware."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from support.cli import run
from support.cli_commands import APPLICATION, Commands, manager_of
from support.postgres_server import execute, shared_postgres
from support.redis_servers import new_server, shared_redis

from wsgisession import SessionManager

pytestmark = pytest.mark.wide

numbers = itertools.count()


class TestMiddleware(Commands):
    """An application's module in the current directory."""

    def name_store(self, place: Path) -> tuple[str, SessionManager]:
        (place / "site_of_mine.py").write_text(APPLICATION)
        return "site_of_mine:app", manager_of(f"sqlite:///{place}/s.db")

    def run(self, *arguments: str) -> Any:
        done = super().run(*arguments)
        assert "this is no result" in done.err  # what the application prints is kept out of the output
        return done._replace(err=done.err.replace("this is no result\n", ""))


class TestRedis(Commands):
    """A prefix of its own."""

    def name_store(self, place: Path) -> tuple[str, SessionManager]:
        url = f"redis://127.0.0.1:{shared_redis().port}?prefix=cli{next(numbers)}:"
        return url, manager_of(url)


class TestPostgres(Commands):
    """The table that a URL means, emptied before."""

    def name_store(self, place: Path) -> tuple[str, SessionManager]:
        url = shared_postgres().url
        execute("DROP TABLE IF EXISTS wsgisession")
        return url, manager_of(url)


def test_what_postgresql_has_to_be_told() -> None:
    """Many expired rows, and an index that is missing, are a finding each."""
    url = shared_postgres().url
    execute("DROP TABLE IF EXISTS wsgisession")
    manager_of(url).issue({"a": 1})
    execute("INSERT INTO wsgisession SELECT 'k' || n, '', now() - interval '1 day' FROM generate_series(1, 10001) AS n")
    execute("DROP INDEX wsgisession_owner")
    done = run("check", store=url)
    assert done.code == 1 and "run purge" in done.out and "index" in done.out
    assert run("purge", store=url).out == "10001\n"
    assert "swordfish" not in done.out + done.err


def test_what_redis_has_to_be_told() -> None:
    """That it may not evict sessions; and where it is gone, that it does not answer."""
    server = new_server()
    try:
        server.client().config_set("maxmemory", "100mb")
        server.client().config_set("maxmemory-policy", "allkeys-lru")
        done = run("check", store=f"redis://127.0.0.1:{server.port}")
        assert done.code == 1 and "set maxmemory-policy noeviction" in done.out
    finally:
        server.close()
    done = run("check", store=f"redis://user:swordfish@127.0.0.1:{server.port}")
    assert done.code == 3 and "does not answer" in done.out and "swordfish" not in done.out + done.err
    done = run("list", store=f"redis://user:swordfish@127.0.0.1:{server.port}")
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1) and "swordfish" not in done.err
