"""No password reaches the output: from a URL, the environment, a module that cannot be imported, or a slip."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import call, run

from wsgisession.cli.target import redacted

SECRET = "SECR3T"
NOWHERE = "127.0.0.1:1"  # no server listens on port 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", f"redis://:{SECRET}@{NOWHERE}/0"],
        ["list", f"redis://:{SECRET}@127.0.0.1:notaport/0"],
        ["list", "--store", f"redis://:{SECRET}@h h/0"],
        ["list", f"redis://u:a@{SECRET}@h"],
        ["list", f"redis://u:a?{SECRET}=1@h"],
        ["list", f"redis+cluster://:{SECRET}@{NOWHERE}"],
        ["list", f"redis+sentinel://:{SECRET}@{NOWHERE}/mymaster"],
        ["list", f"postgresql://u:{SECRET}@{NOWHERE}/db"],
        ["check", f"postgresql://u:{SECRET}@{NOWHERE}/db"],
        ["copy", f"redis://:{SECRET}@{NOWHERE}/0", f"postgresql://u:{SECRET}@{NOWHERE}/db"],
        ["lsit", f"redis://:{SECRET}@h"],
        ["list", f"--sotre=redis://:{SECRET}@h"],
        ["list", f"{SECRET}"],
        [f"redis://:{SECRET}@h"],
        [f"--password={SECRET}"],
    ],
    ids=" ".join,
)
def test_a_url(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Right or wrong, given as an argument."""
    done = call(capsys, *arguments)
    assert done.code in (2, 3) and SECRET not in done.out + done.err and "Traceback" not in done.err


@pytest.mark.parametrize("url", [f"redis://:{SECRET}@{NOWHERE}/0", SECRET])
def test_the_environment(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same."""
    monkeypatch.setenv("WSGISESSION_STORE", url)
    done = call(capsys, "list")
    assert done.code in (2, 3) and SECRET not in done.out + done.err and done.err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        f"raise RuntimeError('redis://u:{SECRET}@h/\\n\\x1b[1m')",
        f"raise KeyError('token={SECRET}')",
        f"raise ImportError('{SECRET}')",
        f"raise SystemExit('{SECRET}')",
        f"class {SECRET}Error(Exception): pass\nraise ValueError({SECRET}Error())",
    ],
)
def test_a_module_that_cannot_be_imported(line: str, tmp_path: Path) -> None:
    """Says what was raised in which line, and not the exception's own words, which may be anything."""
    (tmp_path / "settings.py").write_text(f"\n{line}\n")
    (tmp_path / "site_of_mine.py").write_text("import os\nimport settings\n")
    done = run("list", "site_of_mine:app", cwd=tmp_path)
    assert done.code == 2 and SECRET not in done.out + done.err
    assert done.err.count("\n") == 1 and "\x1b" not in done.err
    assert "raised in settings.py line" in done.err and "python3 -c 'import site_of_mine'" in done.err


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """The module that is not there, the line that is no Python, and the application's line that led to an error elsewhere."""
    cases = {
        "import nowhere_at_all": "no module named 'nowhere_at_all'",
        "x = = 1": "invalid syntax, broken.py line 1",
        "import os\nos.environ['NOT_SET']": "KeyError, raised in broken.py line 2",
        "raise ImportError('no C extension')": "ImportError, raised in broken.py line 1",
    }
    for text, said in cases.items():
        (tmp_path / "broken.py").write_text(text)
        assert said in run("list", "broken:app", cwd=tmp_path).err


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (f"cannot reach redis://u:{SECRET}@host:1/0", "cannot reach redis://…@host:1/0"),
        (f"redis://u:a@{SECRET}@host", "redis://…@host"),
        (
            f"postgresql://u:a/{SECRET}@h and redis://:{SECRET}@[::1]:1/0",
            "postgresql://…@h and redis://…@[::1]:1/0",
        ),
        (f"password='a {SECRET}' host=h", "password=… host=h"),
        (f'{{"secret_key": "{SECRET}", "a": 1}}', '{"secret_key": …, "a": 1}'),
        (f"token={SECRET}&x=1", "token=…&x=1"),
        ("http://[::1]:80/a@b two\nlines", "http://[::1]:80/a@b two lines"),
        ("no password was given", "no password was given"),
        ("write redis://[user:password@]host[:port]", "write redis://[user:password@]host[:port]"),
        (f"write redis://[user:password@]{SECRET}@host", "write redis://…@host"),
    ],
)
def test_the_last_line_of_defence(message: str, shown: str) -> None:
    """Whatever an engine says is cleaned once more before it is written."""
    assert redacted(message) == shown
