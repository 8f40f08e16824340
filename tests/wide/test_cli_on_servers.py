"""Every command on real servers, and on an application's middleware; sessions that move between any two stores."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli import run
from support.cli_commands import APPLICATION, Commands, manager_of
from support.copying import Move, check_a_move
from support.postgres_server import execute, shared_postgres
from support.redis_servers import shared_one_node_cluster, shared_redis

from wsgisession import MemoryStore, SessionManager, StoreError
from wsgisession.stores import from_url

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

    def test_check(self) -> None:
        """A server that keeps its keys has no findings."""
        with shared_redis().client() as client:
            client.config_set("appendonly", "yes")
            super().test_check()
            client.config_set("appendonly", "no")


class TestPostgres(Commands):
    """The table that a URL means, emptied before."""

    def name_store(self, place: Path) -> tuple[str, SessionManager]:
        url = shared_postgres().url
        execute("DROP TABLE IF EXISTS wsgisession")
        return url, manager_of(url)


def new_url(kind: str, path: Path) -> str:
    """Return the URL of an empty store."""
    if kind == "sqlite":
        return f"sqlite:///{path}/{next(numbers)}.db"
    if kind == "redis":
        return f"redis://127.0.0.1:{shared_redis().port}?prefix=cli{next(numbers)}:"
    if kind == "cluster":
        return f"{shared_one_node_cluster().url}?prefix=cli{next(numbers)}:"
    name = f"copies{next(numbers)}"  # a schema of its own, in which the table has its usual name
    execute(f"CREATE SCHEMA {name}")
    return f"{shared_postgres().url}?options=-csearch_path%3D{name}"


KINDS = ("memory", "sqlite", "redis", "cluster", "postgresql")
MOVES = [(source, target) for source in KINDS for target in KINDS if {source, target} - {"memory", "sqlite"}]


@pytest.mark.parametrize(
    ("source", "target"), MOVES, ids=[f"{source} to {target}" for source, target in MOVES]
)
def test_a_move(source: str, target: str, tmp_path: Path) -> None:
    """Data, owners, times and markers go over, nothing is overwritten, and a second run brings what is new."""
    old, new = (
        MemoryStore() if kind == "memory" else from_url(new_url(kind, tmp_path)) for kind in (source, target)
    )
    check_a_move(Move(old, new))
    old.close()
    new.close()


@pytest.mark.parametrize("command", ["list", "count", "stats", "purge", "check", "destroy --all --yes"])
def test_a_table_that_does_not_exist(command: str) -> None:
    """One line with its name, exit code 3, and no table afterwards."""
    execute("DROP TABLE IF EXISTS wsgisession")
    done = run(*command.split(), store=shared_postgres().url)
    told = done.out + done.err
    assert done.code == 3 and "wsgisession" in told and "table" in told and "swordfish" not in told
    assert execute("SELECT to_regclass('wsgisession')") == [(None,)]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("redis", {"server", "maxmemory", "appendonly"}),
        ("cluster", {"server", "mode"}),
        ("postgresql", {"server", "synchronous_commit", "max_connections", "table"}),
    ],
)
def test_what_the_engine_says_of_itself(kind: str, names: set[str], tmp_path: Path) -> None:
    """Its version and the settings that matter are facts of check."""
    url = new_url(kind, tmp_path)
    manager_of(url).issue({"a": 1})
    facts = json.loads(run("check", "--json", store=url).out)["facts"]
    assert names <= set(facts) and re.search(r"\d", facts["server"])


def test_a_django_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings name the store and the secret; no module of its own is needed."""
    pytest.importorskip("django")
    settings = f"SECRET_KEY = {'x' * 40!r}\nWSGISESSION = {{'store': 'sqlite:///{tmp_path}/s.db'}}\n"
    (tmp_path / "settings_of_mine.py").write_text(settings)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings_of_mine")
    manager_of(f"sqlite:///{tmp_path}/s.db").issue({"a": 1}, "ada")
    done = run("list", "wsgisession.django:manager", cwd=tmp_path)
    assert done.code == 0 and [row[3] for row in done.rows] == ["ada"]
    assert (
        "a secret is that of an example, or one repeated character"
        in run("check", "wsgisession.django:manager", cwd=tmp_path).out
    )


def test_what_postgresql_has_to_be_told() -> None:
    """Many expired rows, and an index that is missing, are a finding each."""
    url = shared_postgres().url
    execute("DROP TABLE IF EXISTS wsgisession")
    manager_of(url).issue({"a": 1})
    execute(
        "INSERT INTO wsgisession SELECT 'k' || n, '', now() - interval '1 day' FROM generate_series(1, 10001) AS n"
    )
    execute("DROP INDEX wsgisession_owner")
    done = run("check", store=url)
    assert done.code == 1 and "run purge" in done.out and "index" in done.out
    assert run("purge", store=url).out == "10001\n"
    assert "swordfish" not in done.out + done.err


# What is wrong, the URL, and what is said. All the other causes are in the tests of the stores.
CAUSES: dict[str, tuple[Callable[[], str], str]] = {
    "Redis": (
        lambda: f"redis://ada:swordfish@127.0.0.1:{shared_redis().port}",
        "wrong user name or password",
    ),
    "PostgreSQL": (
        lambda: shared_postgres().url.replace(":swordfish", ":swordfish2"),
        "the role's name or the password is wrong",
    ),
}


@pytest.mark.parametrize(("url", "words"), CAUSES.values(), ids=CAUSES.keys())
def test_why_the_store_cannot_be_used(
    url: Callable[[], str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause is on the command line, in the error and in the log, and the password is nowhere."""
    place = url()
    for command in ("list", "check"):
        done = run(command, store=place)
        assert done.code == 3 and words in done.out + done.err
        assert "swordfish" not in done.out + done.err
    with pytest.raises(StoreError, match=re.escape(words)):
        SessionManager(place).owned_by("ada")
    assert words in caplog.text and "swordfish" not in caplog.text.partition("Traceback")[0]
