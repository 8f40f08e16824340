"""Every store, and ``from_url``: the public names, nothing else. Knows no details; each store has its own module."""

from wsgisession.stores.base import Store
from wsgisession.stores.memory import MemoryStore
from wsgisession.stores.postgres import PostgresStore
from wsgisession.stores.redis import RedisStore
from wsgisession.stores.sqlite import SQLiteStore
from wsgisession.stores.url import from_url

__all__ = ["MemoryStore", "PostgresStore", "RedisStore", "SQLiteStore", "Store", "from_url"]
