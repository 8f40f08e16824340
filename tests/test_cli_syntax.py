"""What is typed at the command line: slips, near names, values, the version, completions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wsgisession.__main__ import build_parser, main
from wsgisession.cli.syntax import Syntax
from wsgisession.stores import SQLiteStore


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a wrong command line gets."""
    with pytest.raises(SystemExit, match="^2$"):
        main(arguments)
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("wsgisession: ")
    return err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("lsit", "no command 'lsit'; did you mean list?"),
        ("Stats", "no command 'Stats'; did you mean stats?"),
        ("delete", "no command 'delete'; did you mean destroy?"),
        ("frobnicate", "no command 'frobnicate'; there are list, show"),
        ("sqlite:///s.db list", "the command comes first, then the store"),
        ("--json list", "'--json' cannot come before the command"),
        ("--limt 3 list", "'--limt' cannot come before the command"),
        ("--versoin", "there is no '--versoin'; did you mean --version?"),
        ("list --onwer ada", "list has no option '--onwer'; did you mean --owner?"),
        ("list --onwer=ada", "list has no option '--onwer'; did you mean --owner?"),
        ("destroy --al --yes", "destroy has no option '--al'; did you mean --all?"),
        ("stats --limit 3", "stats has no option '--limit'"),
        ("list -x", "list has no option '-x'"),
        ("list sqlite:///s.db one", "one argument too many (number 2 after list)"),
        ("list one", "one argument too many (number 1 after list)"),
        ("copy a:b c:d e:f", "one argument too many (number 3 after copy)"),
        ("copy a:b", "required: TO"),
        ("list a:b c:d", "list works on one store, and more than one is named"),
        ("destroy --all --store a:b --store=c:d --yes", "destroy works on one store"),
        ("show", "required: KEY"),
        ("destroy", "KEY"),
        ("destroy --all --owner ada", "--all"),
        ("", "name a command"),
    ],
)
def test_a_slip_is_named(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what was not recognised, what was meant, and where the help is."""
    line = told(typed.split(), capsys)
    assert said in line and "--help" in line


@pytest.mark.parametrize(
    "typed",
    [
        "list --limit {}",
        "list --since {}",
        "list --sort {}",
        "list --json={}",
        "show {}",
        "destroy {}",
        "list {}",
    ],
)
def test_a_wrong_value_is_not_repeated(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be a password or a token; the line says what to write instead."""
    assert "swordfish" not in told(typed.format("swordfish").split(), capsys)


@pytest.mark.parametrize("typed", ["-pswordfish", "--swordfish:1", "--password=swordfish", "swordfish,1"])
def test_a_word_that_may_be_a_secret_is_not_repeated(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what has the form of a command or an option is."""
    assert "swordfish" not in told(["list", typed], capsys)
    assert "swordfish" not in told([typed], capsys)


@pytest.mark.parametrize("typed", ["0", "-5", "٣", "1.5"])
def test_a_limit_is_a_whole_number(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At least 1."""
    assert "above 0" in told(["list", "--limit", typed], capsys)


@pytest.mark.parametrize("typed", ["yesterday", "5", "2026-13-01", "1y", "", "1" * 30 + "d"])
def test_a_moment_is_a_duration_or_a_date(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything else says what to write."""
    assert "write 30min, 2h, 7d, or a moment such as" in told(["list", "--since", typed], capsys)


@pytest.mark.parametrize(
    "words", [["stats", ""], ["stats", "--store", ""], ["destroy", "", "--all", "--yes"]]
)
def test_an_empty_store_is_not_the_variables(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable of the shell that is not set names no store, and above all no other one to destroy."""
    monkeypatch.setenv("WSGISESSION_STORE", "sqlite:////missing/sessions.db")
    assert main(words) == 2 and "name a store" in capsys.readouterr().err


def test_copy_wants_two_names(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither is read from the environment."""
    url = f"sqlite:///{tmp_path}/s.db"
    SQLiteStore(tmp_path / "s.db").close()
    monkeypatch.setenv("WSGISESSION_STORE", url)
    for words in (["copy", "", f"sqlite:///{tmp_path}/to.db"], ["copy", url, ""]):
        assert main(words) == 2 and "name a store" in capsys.readouterr().err


def test_an_owner_may_look_like_anything() -> None:
    """An option's value is not taken for an option, a store or a key."""
    for owner in ("a:b", "list", "A" * 43, "--sort"):
        assert Syntax().parse(["list", f"--owner={owner}"]).owner == owner
    assert Syntax().parse(["list", "--owner", "a:b"]).owner == "a:b"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    """What is installed, in one line."""
    with pytest.raises(SystemExit, match="^0$"):
        main(["--version"])
    name, number = capsys.readouterr().out.split()
    assert name == "wsgisession" and number.count(".") == 2


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("de", ["destroy"]), ("list --s", ["--store", "--since", "--sort"]), ("destroy --o", ["--owner"])],
)
def test_completion(typed: str, offered: list[str], tmp_path: Path) -> None:
    """shtab makes a script of the parser, and bash completes commands and options by it."""
    shtab = pytest.importorskip("shtab")
    script = tmp_path / "completion"
    script.write_text(shtab.complete(build_parser(), "bash"))
    words = ["wsgisession", *typed.split()]
    ask = f"""source {script}; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
        $(complete -p wsgisession | sed 's/.*-F \\([^ ]*\\) .*/\\1/') wsgisession {words[-1]} {words[-2]}
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=30)
    assert [word.strip() for word in done.stdout.split()] == offered, done.stderr + sys.version
