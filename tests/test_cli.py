"""The command line on a file and on an application's middleware, its errors, and what a terminal shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cli import call, environment, on_terminal, run
from support.cli_commands import APPLICATION, Commands, manager_of
from support.docs import blocks
from support.web import SECRET, Site

from wsgisession import Identity, SessionManager, __version__
from wsgisession.__main__ import main
from wsgisession.cli.syntax import Syntax
from wsgisession.cli.text import duration, histogram, moment, raw, size
from wsgisession.identity import digest

PAGE = "docs/reference/command-line.md"


class TestFile(Commands):
    """A URL."""

    def name_store(self, place: Path) -> tuple[str, SessionManager]:
        url = f"sqlite:///{place}/s.db"
        return url, manager_of(url)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "site_of_mine.py").write_text(APPLICATION)
    return tmp_path


@pytest.fixture
def manager(place: Path) -> SessionManager:
    return manager_of(f"sqlite:///{place}/s.db")


class TestTargets:
    """Which sessions a command is about."""

    @pytest.mark.parametrize(
        "name", ["manager", "flask", "flask.wsgi_app", "around", "create_app", "extension"]
    )
    def test_the_sessions_are_found_inside(self, name: str, place: Path, manager: SessionManager) -> None:
        """In a manager, an application's ``wsgi_app``, under other middlewares, in what a factory returns.

        --store goes before the environment.
        """
        manager.issue({}, "ada")
        done = run("list", "--store", f"site_of_mine:{name}", store="redis://nowhere", cwd=place)
        assert done.code == 0 and done.rows[0][3] == "ada"

    @pytest.mark.parametrize(
        "order", [("site_of_mine:manager", "KEY"), ("KEY", "site_of_mine:manager")], ids=["first", "last"]
    )
    def test_a_store_stands_anywhere(
        self, order: tuple[str, ...], place: Path, manager: SessionManager
    ) -> None:
        """A store has a colon and a key has none, so no option is needed."""
        manager.issue({}, "ada")
        (key,) = manager.store.keys()
        done = run("show", *(key if word == "KEY" else word for word in order), cwd=place)
        assert done.code == 0 and key in done.out
        assert run("list", "site_of_mine:manager", "--owner", "a:b", cwd=place).rows == []

    def test_memory_is_refused(self) -> None:
        """With the reason."""
        done = run("list", store="memory:")
        assert done.code == 2 and "inside one process" in done.err

    def test_an_applications_memory_is_told_of(self, place: Path) -> None:
        """What importing it stored can be seen, and the note says that it is not the server's."""
        done = run("list", store="site_of_mine:memory", cwd=place)
        assert done.code == 0 and len(done.rows) == 1 and "not the sessions of a server" in done.err
        done = run("check", store="site_of_mine:memory", cwd=place)
        assert done.code == 1 and "MemoryStore keeps" in done.out

    @pytest.mark.parametrize(
        ("store", "said"),
        [
            (None, "WSGISESSION_STORE"),
            ("nowhere_at_all:app", "importing nowhere_at_all failed: ModuleNotFoundError"),
            ("site_of_mine:nothing", "no 'nothing' in it"),
            ("site_of_mine:codec", "no SessionMiddleware or SessionManager"),
            ("site_of_mine:app.manager.store", "is no SessionMiddleware"),
            ("site_of_mine:application", "does not wrap or return one"),
            (
                "site_of_mine:broken_factory",
                "calling site_of_mine:broken_factory failed: ValueError, raised in site_of_mine.py",
            ),
            (
                "site_of_mine:proxy",
                "looking at site_of_mine:proxy failed: RuntimeError, raised in site_of_mine.py",
            ),
            ("foo://user:swordfish@host/x", "no store has a URL like this"),
            ("redis://user:swordfish@host/x/y z", "bad store URL"),
            ("postgresql://user:swordfish@host/?nope=1", "module:middleware"),
        ],
    )
    def test_what_cannot_be_used(self, place: Path, store: str | None, said: str) -> None:
        """One line, exit code 2, no traceback and no password."""
        done = run("list", store=store, cwd=place)
        assert (done.code, done.out) == (2, "")
        told = done.err.replace("this is no result\n", "")
        assert said in told and told.count("\n") == 1 and "swordfish" not in told and "Traceback" not in told


class TestNothingThere:
    """The command line never makes a store: cron runs in the home directory, and would find nothing for months."""

    @pytest.mark.parametrize(
        "words", ["list", "count", "stats", "purge", "check", "destroy --all --yes", "show " + "k" * 43]
    )
    def test_a_file_that_does_not_exist(self, words: str, place: Path) -> None:
        """One line with the whole path, exit code 3, and no file afterwards."""
        before = sorted(place.iterdir())
        done = run(*words.split(), store="sqlite:///s.db", cwd=place)
        assert (done.code, done.out, done.err.count("\n")) == (3, "", 1) and str(place / "s.db") in done.err
        assert sorted(place.iterdir()) == before

    def test_an_empty_file(self, place: Path) -> None:
        """Is no store either, and stays empty."""
        (place / "s.db").touch()
        done = run("list", store="sqlite:///s.db", cwd=place)
        assert done.code == 3 and str(place / "s.db") in done.err and (place / "s.db").read_bytes() == b""

    def test_a_copy_makes_what_it_copies_to(self, place: Path, manager: SessionManager) -> None:
        """And not what it copies from."""
        assert run("copy", f"sqlite:///{place}/s.db", "sqlite:///new.db", cwd=place).code == 0
        assert (place / "new.db").exists()
        assert run("copy", "sqlite:///nothing.db", "sqlite:///new.db", cwd=place).code == 3
        assert not (place / "nothing.db").exists()


class TestSyntax:
    """What argparse makes of the arguments."""

    @pytest.mark.parametrize("dashes", ["-", "--"])
    def test_a_key_may_begin_with_a_dash(
        self, dashes: str, place: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is a key, and no option."""
        manager_of(f"sqlite:///{place}/s.db")
        assert main(["show", "--store", f"sqlite:///{place}/s.db", dashes.ljust(43, "a")]) == 1
        assert "no live session has this key" in capsys.readouterr().err

    def test_secret(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Alone needs no store, and prints a new one that a manager takes."""
        assert (main(["secret", "--json"]), main(["secret", "--json"])) == (0, 0)
        one, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert re.fullmatch(r"[\w-]{43}", one["secret"]) and one.keys() == {"secret"} and one != other
        assert SessionManager(secret=one["secret"]).issue()


class TestTerminal:
    """What a person sees."""

    def test_tables(self, place: Path, manager: SessionManager) -> None:
        """Headings, aligned columns, a histogram."""
        manager.issue({"a": {"b": 1}}, "ada")
        manager.issue()
        (info,) = manager.owned_by("ada")
        store = f"sqlite:///{place}/s.db"
        code, screen = on_terminal("list", store=store)
        assert code == 0 and re.search(
            rf"^KEY +AGE +LEFT +OWNER\n(.*\n)?{info.key}  \d s +[12] h +ada$", screen, re.M
        )
        assert "2 sessions" in screen
        code, screen = on_terminal("show", info.key, store=store)
        assert code == 0 and '  "a": {"b": 1}' in screen and "expires     20" in screen
        code, screen = on_terminal("stats", store=store)
        assert code == 0 and "  under 1 min  2  ########################################" in screen
        code, screen = on_terminal("check", store=store)
        assert code == 0 and screen.endswith("no findings\n")

    @pytest.mark.parametrize(
        ("which", "answer", "code", "left"),
        [
            *(("key", "y\n", 0, 0), ("owner", "YES\n", 0, 0), ("all", "y\n", 0, 0)),
            *(("key", "n\n", 1, 1), ("owner", "\n", 1, 1), ("all", "yep\n", 1, 1)),
        ],
    )
    def test_a_question(
        self, place: Path, manager: SessionManager, answer: str, code: int, left: int, which: str
    ) -> None:
        """Only a yes destroys."""
        manager.issue({"a": 1}, "ada")
        ((key, *_),) = manager.sessions()
        arguments = {"key": [key], "owner": ["--owner", "ada"], "all": ["--all"]}[which]
        found, screen = on_terminal("destroy", *arguments, store=f"sqlite:///{place}/s.db", answer=answer)
        assert found == code and len(list(manager.sessions())) == left
        assert "[y/N]" in screen and ("1 session destroyed" in screen) is (code == 0)

    def test_findings(self, place: Path) -> None:
        """One warning each: a published secret, and what weakens the cookie; a file that others can read."""
        manager_of(f"sqlite:///{place}/s.db").issue({"a": 1})
        os.chmod(place / "s.db", 0o644)
        code, screen = on_terminal("check", store="site_of_mine:weak", cwd=place)
        assert code == 1 and screen.count("warning: ") == 5 and "5 findings" in screen
        for word in ("secret: ", "secure=False", "httponly=False", "domain", "mode 0644"):
            assert word in screen


class TestStreams:
    """Pipes that break, disks that are full, Ctrl-C."""

    def pipe(self, place: Path, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "wsgisession", "list"]
        return subprocess.Popen(
            command, env=environment(f"sqlite:///{place}/s.db"), cwd=place, stderr=subprocess.PIPE, **options
        )

    def test_a_reader_that_leaves(self, place: Path, manager: SessionManager) -> None:
        """Exit code 141, and not a word."""
        for _ in range(1000):
            manager.issue({}, "ada")
        with self.pipe(place, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b"" and process.wait() == 141

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    def test_a_full_disk(self, place: Path, manager: SessionManager) -> None:
        """One line."""
        manager.issue({}, "ada")
        with open("/dev/full", "wb") as full:
            _, err = (process := self.pipe(place, stdout=full)).communicate()
        assert process.returncode == 3 and err.startswith(b"wsgisession: ") and err.count(b"\n") == 1

    def test_control_c(self, place: Path) -> None:
        """Exit code 130, no traceback."""
        (place / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
        done = run("list", store="slow:app", cwd=place)
        assert (done.code, done.out, done.err) == (128 + signal.SIGINT, "", "\n")


class TestOddities:
    """Records and identities of other kinds."""

    def test_a_value_that_cannot_be_decoded(self, place: Path, manager: SessionManager) -> None:
        """Is shown as it is stored, and the rest beside it; with the application's codec it can be."""
        script = "from site_of_mine import Money, app; app.manager.issue({'price': Money(3), 'n': 1}, 'ada')"
        subprocess.run([sys.executable, "-c", script], cwd=place, check=True, capture_output=True)
        ((key, *_),) = manager.sessions()
        done = run("show", key, store=f"sqlite:///{place}/s.db")
        assert done.code == 0 and ["data", '"price"', '{"~money": 3}'] in done.rows
        assert ["data", '"n"', "1"] in done.rows
        assert '"price" cannot be decoded' in done.err
        assert "decoded" not in run("show", key, store="site_of_mine:app", cwd=place).err

    def test_a_record_that_cannot_be_read(
        self, place: Path, manager: SessionManager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Is counted, left alone and never named: its key may be an id."""
        key = "k" * 43
        manager.store.create(key, b"somebody else's", 60.0, "ada")
        manager.issue({}, "ada")
        for command in ("list", "list --owner ada", f"show {key}", "stats", "destroy --all --yes", "check"):
            assert main([*command.split(), "--store", f"sqlite:///{place}/s.db"]) == 1
            written = "".join(capsys.readouterr())
            assert "module:middleware" in written and key not in written
        assert manager.store.load(key) is not None and list(manager.sessions()) == []

    def test_a_record_of_a_later_version(
        self, place: Path, manager: SessionManager, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What could be read is shown, and the exit code says that the store holds more; it can be ended all the same."""
        key, store = "k" * 43, f"sqlite:///{place}/s.db"
        manager.issue({"a": 1}, "ada")

        def put() -> None:
            assert manager.store.create(key, b'[9,"abcdefgh",1.0,"ada",false,[],"new"]', 60.0, "ada")

        put()
        for command in ("list", "list --owner ada", "stats"):
            done = call(capsys, *command.split(), store)
            assert done.code == 3 and done.out != ""
            assert f"({__version__}) wrote 1 record;" in done.err and key not in done.out + done.err
        assert call(capsys, "show", key, store).code == 3
        assert call(capsys, "destroy", key, "--yes", store)[:2] == (0, "1\n")
        put()
        assert call(capsys, "destroy", "--all", "--yes", store)[:2] == (0, "2\n")
        put()
        manager.store.create("f" * 43, b"foreign", 60.0)
        assert call(capsys, "destroy", "--all", "--yes", store)[:2] == (1, "1\n")
        assert list(manager.store.keys()) == ["f" * 43]

    def test_a_key_that_is_the_id(self, place: Path) -> None:
        """People see its SHA-256, and commands take that."""

        class KeyIsId(Identity):
            key_is_id = True

            def key(self, id: str) -> str:
                return id

        manager = SessionManager(f"sqlite:///{place}/plain.db", secret=SECRET, identity=KeyIsId)
        id = manager.issue({"a": 1}, "ada").partition("=")[2].partition(".")[0]
        store = "site_of_mine:plain"
        assert [row[0] for row in run("list", store=store, cwd=place).rows] == [digest(id)]
        assert run("show", digest(id), store=store, cwd=place).code == 0
        assert run("destroy", "--yes", id, store=store, cwd=place).code == 1
        assert run("destroy", "--yes", digest(id), store=store, cwd=place).code == 0
        assert manager.owned_by("ada") == []

    def test_a_key_from_before_a_change_of_id(self, place: Path) -> None:
        """Ends what the session became."""
        site = Site(f"sqlite:///{place}/s.db")
        cookie = site.start({"a": 1})
        (key,) = site.live()
        fresh = site.request(lambda session: session.regenerate(), cookie).cookie
        assert run("destroy", "--yes", key, store=f"sqlite:///{place}/s.db").code == 0
        assert site.read(fresh) == {}


def test_texts() -> None:
    """Durations, sizes, moments that no calendar has, lines that are no JSON."""
    assert [duration(seconds) for seconds in (-1, 59, 3600, 3720, 90061, 86400 * 400)] == [
        *("0 s", "59 s", "1 h", "1 h 2 min", "1 d 1 h", "400 d"),
    ]
    assert [size(count) for count in (0, 1023, 1024, 1536, 2**20, 2**50)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1024.0 TiB"),
    ]
    assert moment(0) == "1970-01-01T00:00:00Z" and moment(1e20) == "100000000000000000000"
    assert raw(b"\xff{") == "\\xff{" and raw(b"[" * 100_000) == "[" * 100_000
    assert histogram([]) == [] and histogram([("a", 0)]) == ["  a  0"]


HELP = [block.text.partition("\n") for block in blocks(PAGE, "console") if "--help" in block.text]


@pytest.mark.parametrize(
    ("command", "text"), [(command, text) for command, _, text in HELP], ids=[one[0][2:] for one in HELP]
)
def test_the_docs_show_the_help_as_printed(
    command: str, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page of help, to the letter, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="^0$"):
        main(command.removeprefix("$ wsgisession ").split())
    assert capsys.readouterr().out == text


def test_every_command_has_its_help_in_the_docs() -> None:
    """The one of the whole, and one for each command."""
    commands = {
        command.removeprefix("$ wsgisession ").removesuffix("--help").strip() for command, _, _ in HELP
    }
    assert commands == {"", *Syntax().commands}
