"""The pages on stores: their examples run, and the fifth store keeps the contract."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.docs import ROOT, blocks, run, titled
from webtest import TestApp

from wsgisession import StoreError
from wsgisession.stores import RedisStore
from wsgisession.testing import StoreContract

OWN_STORE, STORES = "docs/how-to/own-store.md", "docs/how-to/stores.md"


def module(name: str) -> dict[str, Any]:
    """Import a file of the page as the reader saves it."""
    made = sys.modules[name] = ModuleType(name)
    made.__dict__["__name__"] = name
    exec(compile(titled(OWN_STORE, f"{name}.py"), f"{name}.py", "exec"), made.__dict__)
    return made.__dict__


FileStore = module("filestore")["FileStore"]
_Contract: Any = module("test_filestore")["TestFileStore"]


class TestFileStore(_Contract):
    """The example of a fifth store, by the test that the page prints."""


def test_the_page_prints_a_test_of_the_contract() -> None:
    """What is run above is the contract, whole."""
    assert issubclass(_Contract, StoreContract)
    assert {name for name in vars(_Contract) if name.startswith("test_")} == set()


def test_the_fifth_store_serves_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The middleware takes it, and the views are still there in another process' application."""
    monkeypatch.chdir(tmp_path)
    cookies = None
    for views in (1, 2):
        namespace: dict[str, Any] = {}
        for block in blocks(OWN_STORE, "python"):
            run(OWN_STORE, block, namespace)
        browser = TestApp(namespace["app"], cookiejar=cookies)
        assert browser.get("/").text == f"Number of views {views}"
        cookies = browser.cookiejar


@pytest.mark.parametrize("harm", ["a file in its place", "a directory in a file's place"])
def test_the_fifth_store_fails_clearly(tmp_path: Path, harm: str) -> None:
    """What the operating system raises is a StoreError."""
    if harm == "a file in its place":
        (tmp_path / "sessions").touch()
        with pytest.raises(StoreError, match="sessions in files"):
            FileStore(tmp_path / "sessions")
    else:
        (tmp_path / ".lock").mkdir()
        with pytest.raises(StoreError, match="sessions in files"):
            FileStore(tmp_path).load("key")


def test_the_clauses_that_are_named_exist() -> None:
    """The page speaks of the contract as it is."""
    text = (ROOT / OWN_STORE).read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named and named <= set(vars(StoreContract))


def test_the_examples_of_stores_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """No server is needed to build a store; the statements that are printed create the table."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks(STORES, "python"):
        run(STORES, block, namespace)
    printed = capsys.readouterr().out
    assert 'CREATE TABLE IF NOT EXISTS "shop_sessions"' in printed and printed.count(";\n") == 3
    assert sorted(path.suffix for path in tmp_path.glob("*.db")) == [".db", ".db"]


def test_the_rights_in_redis_are_those_that_the_store_names() -> None:
    """The ACL line of the page and of the class are one."""
    page = (ROOT / STORES).read_text(encoding="utf-8")
    [line] = re.findall(r"^ACL SETUSER .*$", page, re.MULTILINE)
    assert set(re.findall(r"\+[a-z]+", line)) == set(re.findall(r"\+[a-z]+", RedisStore.__doc__ or ""))


def test_every_url_of_the_table_has_a_scheme_of_a_store() -> None:
    """The table leaves out none of the schemes but the synonyms."""
    page = (ROOT / STORES).read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z+]+):", page))
    assert named >= {"memory", "sqlite", "redis", "rediss", "redis+sentinel", "redis+cluster", "postgresql"}
