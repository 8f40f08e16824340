"""Parts of the command line that no process shows easily: progress, slow stores, odd stores and identities, later passes."""

from __future__ import annotations

import importlib.metadata
import io
import re
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.store_double import StoreDouble
from support.web import SECRET, Site

from wsgisession import Identity, JSONCodec, MemoryStore, Record, SessionManager, StoreError
from wsgisession.__main__ import main
from wsgisession.cli import check, ending, terminal
from wsgisession.cli.ending import end_each
from wsgisession.cli.reader import Reader
from wsgisession.cli.target import open_target
from wsgisession.stores import PostgresStore


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def manager(**options: Any) -> SessionManager:
    return SessionManager(**{"store": MemoryStore(), "secret": SECRET, **options})


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is wiped away at the end; nothing where it is not worth it, or the result is shown there."""
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setattr(terminal, "PATIENCE", 0.0)
    with terminal.Progress("sessions read") as progress:
        progress.step(1234)
        progress.step()
    assert sys.stderr.getvalue() == "\r1,234 sessions read\r\x1b[K"
    monkeypatch.setattr(sys, "stderr", Screen())
    with terminal.Progress("sessions read", quiet=True) as progress:
        progress.step()
    assert sys.stderr.getvalue() == ""


def test_an_unsteady_application_is_imported_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the console script is started, without the current directory on the path."""
    (tmp_path / "only_here.py").write_text(
        f"import wsgisession\nm = wsgisession.SessionManager(secret={SECRET!r})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    assert isinstance(open_target("only_here:m"), SessionManager)
    assert sys.path[0] == str(tmp_path)


def test_a_session_that_began_after_destroy_all_stays() -> None:
    """It ends what began before; one that changes its id meanwhile is met in the next pass."""
    store = StoreDouble()
    site = manager(store=store)
    site.issue({}, "ada")
    late = JSONCodec().pack(Record(9e9, "late", False, {}))
    reader = Reader(site)
    store.before(None, lambda: store.store.create("l" * 43, late, 60.0, "late"), call=4)
    assert end_each(site, reader, time.time(), terminal.Progress("")) == 1
    assert [info.owner for info in site.sessions()] == ["late"]


class Clears(MemoryStore):
    """A store that can be emptied at once, and counts how often it was asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.cleared = 0

    def clear(self) -> int:
        self.cleared += 1
        return sum(self.delete(key) for key in list(self.keys()))


def everybody(**more: Any) -> Namespace:
    return Namespace(all=True, owner=None, yes=True, **more)


def test_destroy_all_empties_the_store_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """If the store can; markers are not counted as sessions."""
    site = Site(Clears())
    site.request(lambda session: session.regenerate(), site.start({"a": 1}))
    site.start({}, "ada")
    assert ending.destroy(site.manager, terminal.Terminal(json=False), everybody()) == 0
    assert capsys.readouterr().out == "2\n" and site.manager.store.cleared == 1  # type: ignore[attr-defined]
    assert list(site.manager.store.keys()) == []


def test_destroy_all_leaves_alone_what_it_cannot_read(capsys: pytest.CaptureFixture[str]) -> None:
    """Then the store is not emptied: what is there may be another program's."""
    site = Site(Clears())
    site.start({}, "ada")
    site.manager.store.create("k" * 43, b"somebody else's", 60.0)
    assert ending.destroy(site.manager, terminal.Terminal(json=False), everybody()) == 1
    assert capsys.readouterr().out == "1\n" and site.manager.store.cleared == 0  # type: ignore[attr-defined]
    assert site.live() == [] and site.manager.store.load("k" * 43) is not None


def test_destroy_all_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sessions cannot be ended, after some passes."""
    site = manager()
    site.issue({}, "ada")
    monkeypatch.setattr(site, "destroy", lambda key: False)
    assert end_each(site, Reader(site), time.time(), terminal.Progress("")) == 0


class TestCheck:
    """What only an unlucky configuration shows."""

    def findings(self, manager: SessionManager) -> list[str]:
        return [message for _, message in check.examine(manager).findings]

    def test_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Milliseconds that a request would wait."""
        monkeypatch.setattr(check, "SLOW", 0.0)
        assert [message[:12] for message in self.findings(manager())[1:3]] == ["a read takes", "a write take"]

    def test_clocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine years behind, and sessions from the future."""
        site = manager()
        site.store.create("k" * 43, JSONCodec().pack(Record(9e9, None, False, {})), 60.0)
        monkeypatch.setattr(check, "EPOCH", 9e9)
        found = " ".join(self.findings(site))
        assert "years behind" in found and "began in the future" in found

    def test_versions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client library that is too old."""

        class RedisStore(MemoryStore):
            """By its name."""

        monkeypatch.setattr(check.importlib.metadata, "version", lambda name: "4.6.0")
        assert "redis 4.6.0 is too old: 6 is needed" in self.findings(manager(store=RedisStore()))
        monkeypatch.setattr(check.importlib.metadata, "version", lambda name: "6.0.0")
        assert not any("too old" in message for message in self.findings(manager(store=RedisStore())))

    def test_the_oldest_clients_are_those_of_the_extras(self) -> None:
        """What is too old is what this package's metadata does not allow."""
        extras = importlib.metadata.requires("wsgisession") or []
        for client, least in check.CLIENTS.values():
            assert any(
                re.match(rf"{client}(\[.*\])?>={re.escape(least)};", line.replace(" ", "")) for line in extras
            )

    @pytest.mark.parametrize(("minor", "patch"), [((3, 51), 3), ((3, 50), 7), ((3, 44), 6)], ids=str)
    def test_sqlite_with_the_fix(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, minor: tuple[int, int], patch: int
    ) -> None:
        """Has nothing to be said beside its version; the version before has a race."""
        site = SessionManager(f"sqlite:///{tmp_path}/s.db")
        monkeypatch.setattr("sqlite3.sqlite_version_info", (*minor, patch))
        assert "race" not in check.versions(site)["sqlite"]
        monkeypatch.setattr("sqlite3.sqlite_version_info", (*minor, patch - 1))
        assert "race" in check.versions(site)["sqlite"]

    def test_an_identity_made_otherwise(self) -> None:
        """Its secret cannot be judged, and nothing fails."""

        class Other(Identity):
            def __init__(self, secrets: Any, more: int) -> None:
                super().__init__(secrets)

        site = manager(identity=lambda secrets: Other(secrets, 1))
        assert list(check.secret(site)) == []

    def test_an_outage(self) -> None:
        """A finding, and the report says that the store was not reached."""
        store = StoreDouble()
        store.fail("load", StoreError("redis://user:swordfish@host is down"), times=None)
        report = check.examine(manager(store=store))
        assert not report.works and "does not answer" in report.findings[-1][1]

    def test_a_store_that_refuses_to_write(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A full disk or server is told from one that does not answer; what can be read is looked at all the same."""
        full = StoreDouble()
        full.fail("create", StoreError("OOM command not allowed"), times=None)
        site = manager(store=full)
        report = check.examine(site)
        assert not report.works and "it answers, but refuses to write: OOM" in report.findings[-1][1]
        assert "read" in report.facts and "write" not in report.facts
        assert check.check(site, terminal.Terminal(json=False), Namespace()) == 3
        assert "refuses to write" in capsys.readouterr().out

    def test_what_the_engine_says_of_itself(self) -> None:
        """Its version and the settings that matter are among the facts; if it refuses, they are left out."""

        class Talks(MemoryStore):
            def settings(self) -> dict[str, str]:
                return {"server": "7.2.4", "maxmemory": "0"}

        class Refuses(MemoryStore):
            def settings(self) -> dict[str, str]:
                raise StoreError("NOPERM")

        facts = check.examine(manager(store=Talks())).facts
        assert (facts["server"], facts["maxmemory"]) == ("7.2.4", "0")
        assert "server" not in check.examine(manager(store=Refuses())).facts

    def test_an_identity_without_a_least_length(self) -> None:
        """Is judged by the usual one."""

        class Own:
            """Has what an identity needs, and no more."""

            def __init__(self, secrets: list[bytes]) -> None:
                made = Identity(secrets)
                self.new_id, self.key, self.sign, self.unsign = made.new_id, made.key, made.sign, made.unsign

        assert list(check.secret(manager(identity=Own, secret="x" * 40))) != []
        assert list(check.secret(manager(identity=Own))) == []

    def test_a_store_that_cannot_say(self) -> None:
        """A refused diagnosis is a finding; a store without one has none."""

        class Refuses(MemoryStore):
            def diagnose(self) -> Any:
                yield "one thing"
                raise StoreError("NOPERM")

        assert self.findings(manager(store=Refuses()))[1:] == [
            "one thing",
            "not everything could be looked at: NOPERM",
        ]


def test_what_sqlite_says_of_itself(tmp_path: Path) -> None:
    """Where the file is, how large it is, and how it is written."""
    facts = check.examine(SessionManager(f"sqlite:///{tmp_path}/s.db")).facts
    assert (facts["file"], facts["journal_mode"], facts["synchronous"]) == (
        f"{tmp_path}/s.db",
        "wal",
        "NORMAL",
    )
    assert facts["size"].endswith(" bytes")


def test_a_store_that_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line and exit code 3."""
    (tmp_path / "s.db").write_text("no database at all, but long enough to be looked at" * 100)
    assert main(["list", "--store", f"sqlite:///{tmp_path}/s.db"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((0, 150000, 0, 3), ["clocks"]),
        ((None, 120000, 0, 3), ["too old"]),
        ((None, 150000, 10001, 2), ["purge", "index"]),
        ((None, 150000, 10000, 3), []),
    ],
    ids=["clock", "version", "dead rows and no index", "sound"],
)
def test_what_postgresql_may_have_to_be_told(numbers: tuple[int | None, ...], said: list[str]) -> None:
    """From what it answers: its clock in microseconds, its version, expired rows, indexes."""
    pytest.importorskip("psycopg")
    store = PostgresStore(lambda: None)
    answer = [int(time.time() * 1e6) if number is None else number for number in numbers]
    result = SimpleNamespace(get_value=lambda row, column: answer[column].to_bytes(8, signed=True))
    store._run = lambda *values: result  # type: ignore[method-assign]
    found = list(store.diagnose())
    assert len(found) == len(said) and all(word in finding for word, finding in zip(said, found, strict=True))


def test_a_stream_that_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a program runs main() with its own standard output, that is written to as it is."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["secret"]) == 0 and len(sys.stdout.getvalue()) == 44
