"""``list`` and ``show``: what fits a terminal, what is chosen, in which order, and values of every kind."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.cli import call, on_terminal
from support.cli_commands import manager_of

from wsgisession import JSONCodec, MemoryStore, Record, SessionManager
from wsgisession.__main__ import main
from wsgisession.cli import listing, reader
from wsgisession.cli.terminal import Terminal
from wsgisession.cli.text import brief, clipped

Capsys = pytest.CaptureFixture[str]
HOUR = 3600.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/s.db"


@pytest.fixture
def manager(url: str) -> SessionManager:
    """Four sessions: their owners, hours since they began, hours until they end, and bytes of data."""
    site = manager_of(url)
    for owner, age, left, size in (("cy", 1, 9, 10), ("al", 3, 7, 900), (None, 2, 8, 50), ("bo", 30, 1, 400)):
        put(site, str(owner), owner, age * HOUR, left * HOUR, b'"%s"' % (b"x" * size))
    return site


def put(
    site: SessionManager, key: str, owner: str | None, age: float, left: float, line: bytes = b"1"
) -> str:
    """Store a session of that age, and return its key."""
    long = key.ljust(43, "-")
    payload = JSONCodec().pack(Record(time.time() - age, owner, False, {"a": line}))
    assert site.store.create(long, payload, left, owner)
    return long


def names(done: Any) -> list[str]:
    assert done.code == 0, done
    return [row[0].rstrip("-") for row in done.rows]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("created", ["cy", "None", "al", "bo"]),
        ("expires", ["bo", "al", "None", "cy"]),
        ("owner", ["al", "bo", "cy", "None"]),
        ("size", ["al", "bo", "None", "cy"]),
    ],
)
@pytest.mark.parametrize("limit", [None, 2, 4, 9])
def test_the_order(
    by: str, order: list[str], limit: int | None, url: str, manager: SessionManager, capsys: Capsys
) -> None:
    """Newest first, soonest to end, by name with nobody last, largest first; a limit keeps the first of these."""
    options = [] if limit is None else ["--limit", str(limit)]
    assert names(call(capsys, "list", url, "--sort", by, *options)) == order[:limit]


def test_an_idle_timeout_of_its_own(url: str, manager: SessionManager, capsys: Capsys) -> None:
    """Is shown for the session that has one."""
    long = "own".ljust(43, "-")
    payload = JSONCodec().pack(Record(time.time(), None, False, {}, idle_timeout=1800.0))
    manager.store.create(long, payload, HOUR)
    found = {
        one["key"]: one["idle_timeout"]
        for one in map(json.loads, call(capsys, "list", url, "--json").out.splitlines())
    }
    assert found.pop(long) == 1800.0 and set(found.values()) == {None}
    assert ["idle timeout", "1800"] in call(capsys, "show", long, url).rows
    assert "idle timeout  30 min" in on_terminal("show", long, url)[1]
    assert json.loads(call(capsys, "show", long, url, "--json").out)["idle_timeout"] == 1800.0


def test_a_limit_alone(url: str, manager: SessionManager, capsys: Capsys) -> None:
    """So many, in the store's order; a person is told that there are more."""
    assert names(call(capsys, "list", url, "--limit", "3")) == ["cy", "al", "None"]
    assert on_terminal("list", url, "--limit", "3")[1].endswith("wsgisession: 3 sessions; there are more\n")
    assert on_terminal("list", url, "--limit", "4")[1].endswith("wsgisession: 4 sessions\n")


def test_an_owners_can_be_limited_too(url: str, manager: SessionManager, capsys: Capsys) -> None:
    """Their newest, as without a limit newest first."""
    put(manager, "al2", "al", 1, HOUR)
    assert names(call(capsys, "list", url, "--owner", "al")) == ["al2", "al"]
    assert names(call(capsys, "list", url, "--owner", "al", "--limit", "1")) == ["al2"]


@pytest.mark.parametrize("command", ["list", "destroy --yes"])
@pytest.mark.parametrize("owner", ["", "a" * 256, "a\0b", "a\ud800"], ids=ascii)
def test_what_is_no_owner_is_said_in_the_words_of_the_shell(
    command: str, owner: str, url: str, capsys: Capsys
) -> None:
    """It names the option, and does not say what to pass in Python."""
    done = call(capsys, *command.split(), url, "--owner", owner)
    assert done.code == 2 and done.err.startswith("wsgisession: --owner: an owner has ")
    assert "None" not in done.err


@pytest.mark.parametrize("when", ["150min", "2h", "1d", "5s"])
def test_since_a_while(when: str, url: str, manager: SessionManager, capsys: Capsys) -> None:
    """Those that began within that time."""
    put(manager, "now", None, 0, HOUR)
    expected = {
        "150min": ["cy", "None", "now"],
        "2h": ["cy", "now"],
        "1d": ["cy", "al", "None", "now"],
        "5s": ["now"],
    }
    assert names(call(capsys, "list", url, "--since", when)) == expected[when]


def test_since_a_moment(url: str, manager: SessionManager, capsys: Capsys) -> None:
    """A date or a time, with a zone or in UTC."""
    there = time.gmtime(time.time() - 2.5 * HOUR)
    for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S+00:00"):
        assert names(call(capsys, "list", url, "--since", time.strftime(form, there))) == ["cy", "None"]
    assert len(names(call(capsys, "list", url, "--since", "2001-01-01"))) == 4


def test_a_table_fits_eighty_columns(url: str, manager: SessionManager) -> None:
    """Whatever an owner is called; what is cut off ends in an ellipsis."""
    put(manager, "long", "an owner with a name as long as an address@example.org", HOUR, HOUR)
    put(manager, "wide", "名前" * 20, 400 * 24 * HOUR, 400 * 24 * HOUR)
    code, screen = on_terminal("list", url)
    lines = screen.splitlines()
    assert code == 0 and len(lines) == 8
    assert max(len(line) + line.count("名") + line.count("前") for line in lines) == 80
    assert "an owner with a …" in screen and screen.count("…") == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abcde", "abcde"), ("abcdef", "abcd…"), ("名前名", "名前…"), ("e\u0301" * 5, "e\u0301" * 5), ("", "")],
    ids=["fits", "too long", "wide characters", "combining characters", "nothing"],
)
def test_clipping(text: str, shown: str) -> None:
    """By columns of the terminal, not by characters."""
    assert clipped(text, 5) == shown


def test_short_durations() -> None:
    """One unit."""
    assert [brief(seconds) for seconds in (-5, 0, 59, 3720, 90061)] == ["0 s", "0 s", "59 s", "1 h", "1 d"]


def test_sorting_with_a_limit_keeps_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing of many sessions needs no more memory than one of few."""
    monkeypatch.setattr(Terminal, "dump", lambda self, value: None)
    monkeypatch.setattr(reader, "SEEN", 1000)

    def peak(count: int) -> int:
        site = SessionManager(Endless(count))
        options = SimpleNamespace(owner=None, since=None, sort="size", limit=10)
        tracemalloc.start()
        assert listing.list_(site, Terminal(json=True), options) == 0  # type: ignore[arg-type]
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(20_000) < 1.3 * peak(5_000)


class Endless(MemoryStore):
    """So many sessions that are nowhere."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.total = count
        self.payload = JSONCodec().pack(Record(1.0, None, False, {"a": b"1"}))

    def keys(self) -> Iterator[str]:
        return (f"{number:043}" for number in range(self.total))

    def load(self, key: str) -> tuple[bytes, float]:
        return self.payload, 60.0

    def load_many(self, keys: list[str]) -> list[tuple[bytes, float]]:
        return [(self.payload, 60.0) for _ in keys]


DEEP = {depth: b"[" * depth + b"]" * depth for depth in (100, 101, 900, 960, 990, 1000, 100_000)}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"NaN", "NaN"),
        (b"[1e999]", "[1e999]"),
        (b"-Infinity", "-Infinity"),
        (b'{"a": 1.5}', {"a": 1.5}),
        (b"\xff", "\\xff"),
        (b"9" * 5000, "9" * 5000),
        (DEEP[100], json.loads(DEEP[100])),
        *((DEEP[depth], DEEP[depth].decode()) for depth in list(DEEP)[1:]),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_value_of_every_kind(
    line: bytes, shown: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """JSON is shown as it is, anything else as text: what is written is JSON that every reader takes, and no traceback."""
    url = f"sqlite:///{tmp_path}/s.db"
    key = put(manager_of(url), "k", None, 0, HOUR, line)
    assert main(["show", "--json", key, url]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["data"] == {"a": shown}
    assert main(["show", key, url]) == 0
    assert main(["list", url]) == 0
