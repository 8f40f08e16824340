"""Every command against one store, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import Done, run
from support.web import SECRET

from wsgisession import SessionManager

APPLICATION = f"""
from wsgisession import Cookie, Identity, JSONCodec, MemoryStore, SessionManager, SessionMiddleware

print("this is no result")

class Money(int):
    pass

def application(environ, start_response):
    raise NotImplementedError

class Flask:  # the application can be called, and so can what stands in wsgi_app
    def __init__(self):
        self.wsgi_app = application
    def __call__(self, environ, start_response):
        return self.wsgi_app(environ, start_response)

class ProxyFix(Flask):
    def __init__(self, app):
        self.app = app

codec = JSONCodec(types={{"money": (Money, int, Money)}})
app = SessionMiddleware(application, secret={SECRET!r}, store="sqlite:///s.db", codec=codec)
manager = app.manager
flask = Flask()
flask.wsgi_app = app

class Extension:  # as wsgisession.flask has it
    manager = app.manager

extension = Extension()

def create_app():
    return flask

def broken_factory():
    raise ValueError("redis://u:swordfish@h")

class Proxy:  # as current_app, which stands for nothing outside a request
    def __getattr__(self, name):
        raise RuntimeError("redis://u:swordfish@h")

proxy = Proxy()

around = Flask()
around.wsgi_app = ProxyFix(ProxyFix(app))
weak = SessionMiddleware(application, secret="a string of at least 32 bytes, kept out of the repository",
                         store="sqlite:///s.db", cookie=Cookie(secure=False, httponly=False, domain="example.org"))
memory = SessionMiddleware(application, secret={SECRET!r})
memory.manager.issue({{"a": 1}}, "ada")

class KeyIsId(Identity):
    key_is_id = True
    def key(self, id):
        return id

plain = SessionManager("sqlite:///plain.db", secret={SECRET!r}, identity=KeyIsId)
"""

DATA = {"views": 7, "cart": [{"sku": "A1"}], "tags": {"x"}, "\x1b[31m": "\x9b\u202e\ud800ü"}


class Commands:
    """Subclasses give ``name_store``."""

    def name_store(self, place: Path) -> tuple[str, SessionManager]:
        """Return what --store takes, and a manager of the same sessions; ``place`` is the current directory."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def sessions(self, tmp_path: Path) -> None:
        self.place = tmp_path
        self.store, self.manager = self.name_store(tmp_path)
        self.manager.issue(DATA, "ada")
        self.manager.issue({"n": 2}, "ada")
        self.manager.issue({"n": 3}, "b\x1b[31m\tb\u202e")
        self.manager.issue({"n": 4})

    def run(self, *arguments: str) -> Done:
        return run(*arguments, store=self.store, cwd=self.place)

    def key(self) -> str:
        """Return the key of the session that has DATA."""
        return next(
            info.key for info in self.manager.owned_by("ada") if len(self.manager.open(info.key) or ()) > 1
        )

    def test_list(self) -> None:
        """Key, beginning, end and owner of each, with tabs; control characters as escapes."""
        done = self.run("list")
        assert (done.code, done.err) == (0, "")
        assert {row[0] for row in done.rows} == {info.key for info in self.manager.sessions()}
        assert sorted(row[3] for row in done.rows) == ["", "ada", "ada", "b\\x1b[31m\\tb\\u202e"]
        assert all(len(row) == 4 and row[1].endswith("Z") and row[2].endswith("Z") for row in done.rows)

    def test_list_of_an_owner_as_json(self) -> None:
        """One object on a line; the numbers are what SessionInfo has."""
        infos = self.manager.owned_by("ada")
        found = [json.loads(line) for line in self.run("list", "--owner", "ada", "--json").out.splitlines()]
        assert [one["key"] for one in found] == [info.key for info in infos]
        assert [(one["owner"], one["created"]) for one in found] == [("ada", info.created) for info in infos]

    def test_show(self) -> None:
        """Everything of one session; nothing that moves a terminal's cursor."""
        key = self.key()
        done = self.run("show", key)
        assert (done.code, done.err) == (0, "")
        facts = {row[0]: row[1] for row in done.rows if len(row) == 2}
        assert (facts["key"], facts["owner"], facts["persistent"]) == (key, "ada", "no")
        data = {row[1]: row[2] for row in done.rows if row[0] == "data"}
        assert data == {
            '"views"': "7",
            '"cart"': '[{"sku": "A1"}]',
            '"tags"': '{"~set": ["x"]}',
            '"\\u001b[31m"': '"\\u009b\\u202e\\ud800ü"',
        }
        shown = json.loads(self.run("show", "--json", key).out)
        assert shown["data"]["views"] == 7 and shown["undecodable"] == [] and shown["size"] > 0

    def test_destroy_one(self) -> None:
        """Gone at once; a second time there is none."""
        key = self.key()
        assert self.run("destroy", "--yes", key)[:2] == (0, "1\n")
        assert self.manager.open(key) is None
        for command in (("destroy", "--yes", key), ("show", key)):
            done = self.run(*command)
            assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)

    def test_destroy_an_owners(self) -> None:
        """Theirs alone; a second time nobody is left to end, and the exit code says so."""
        done = self.run("destroy", "--owner", "ada", "--yes", "--json")
        assert (done.code, json.loads(done.out)) == (0, {"destroyed": 2})
        assert [info.owner for info in self.manager.sessions() if info.owner == "ada"] == []
        assert len(list(self.manager.sessions())) == 2
        done = self.run("destroy", "--owner", "ada", "--yes", "--json")
        assert (done.code, json.loads(done.out), done.err.count("\n")) == (1, {"destroyed": 0}, 1)

    def test_destroy_all(self) -> None:
        """Everybody is logged out."""
        assert self.run("destroy", "--all", "--yes")[:2] == (0, "4\n")
        assert list(self.manager.sessions()) == []

    def test_destruction_needs_an_answer(self) -> None:
        """Without a terminal and without --yes nothing is destroyed, and the exit code says usage."""
        for which in (["--all"], ["--owner", "ada"], [self.key()]):
            done = self.run("destroy", *which)
            assert (done.code, done.out) == (2, "") and "--yes" in done.err
        assert len(list(self.manager.sessions())) == 4

    def test_purge(self) -> None:
        """Says how many expired records it removed."""
        done = self.run("purge")
        assert (done.code, done.err) == (0, "") and done.out.strip().isdigit()
        assert "purged" in json.loads(self.run("purge", "--json").out)

    def test_stats(self) -> None:
        """Sessions, owners, sizes and ages, each class counted."""
        rows = self.run("stats").rows
        facts: Any = {row[0]: row[1] for row in rows if len(row) == 2}
        assert (facts["sessions"], facts["owners"], facts["anonymous"]) == ("4", "2", "1")
        assert ["age", "under 1 min", "4"] in rows and ["size", "under 256 B", "4"] in rows
        found = json.loads(self.run("stats", "--json").out)
        assert found["sessions"] == 4 and found["bytes"]["total"] > 100 and sum(found["age"].values()) == 4

    def test_count(self) -> None:
        """How many there are."""
        assert self.run("count").out == "4\n" and json.loads(self.run("count", "--json").out) == {"count": 4}

    def test_copy(self) -> None:
        """Every session is in the other store with its data, owner and time left; a second time none is missing."""
        url = f"sqlite:///{self.place}/copy.db"
        assert self.run("copy", self.store, url).rows == [["copied", "4"], ["already there", "0"]]
        there = manager_of(url)
        assert [info.key for info in there.owned_by("ada")] == [
            info.key for info in self.manager.owned_by("ada")
        ]
        for info in self.manager.sessions():
            ours, theirs = self.manager.open(info.key), there.open(info.key)
            assert ours == theirs and ours is not None and theirs is not None
            assert ours.created == theirs.created and abs(ours.expires - theirs.expires) < 10
        done = self.run("copy", self.store, url, "--json")
        assert (done.code, json.loads(done.out)) == (0, {"copied": 0, "already_there": 4, "markers": 0})

    def test_check(self) -> None:
        """A sound configuration has no findings; what is installed and how fast the store is are facts. Nothing is left."""
        done = self.run("check")
        assert (done.code, done.err) == (0, ""), done
        facts = {row[1]: row[2] for row in done.rows if row[0] == "fact"}
        assert facts["store"] == type(self.manager.store).__name__ and facts["read"].endswith(" ms")
        assert done.out.endswith("\nno findings\n")
        assert json.loads(self.run("check", "--json").out)["findings"] == []
        assert self.manager.count() == 4


def manager_of(url: str) -> SessionManager:
    return SessionManager(url, secret=SECRET)
