"""The store of shared sessions keeps the contract of stores, though its index remembers longer than RedisStore's."""

from __future__ import annotations

from typing import Any

import pytest
from support.redis_contract import RedisContract
from support.redis_servers import shared_redis

from wsgisession import express
from wsgisession.stores import RedisStore

pytestmark = pytest.mark.wide


class TestSharedStore(RedisContract):
    """Nothing weaker than any other store."""

    def connect(self) -> Any:
        return shared_redis().client()

    def make_store(self) -> RedisStore:
        self.clients.append(self.connect())
        store: RedisStore = express.options(self.clients[-1], prefix=self.prefix)["store"]
        return store
