"""The SQLite store: the contract, its file, its errors, its connections and forks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock

from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.testing import StoreContract


class TestContract(StoreContract):
    """Every clause, on a clock that is told the time."""

    owners_exactly = True

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path, self.clock = tmp_path / "sessions.db", Clock()

    def make_store(self) -> SQLiteStore:
        return SQLiteStore(self.path, clock=self.clock)

    def reopen(self, store: Any) -> SQLiteStore:
        return SQLiteStore(self.path, clock=self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
