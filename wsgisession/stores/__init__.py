"""Every store, and ``from_url``. Knows no more of them than how to make one."""

from wsgisession.stores.base import Store
from wsgisession.stores.memory import MemoryStore

__all__ = ["MemoryStore", "Store", "from_url"]


def from_url(url: str) -> Store:
    """Make a store from a URL."""
    if url != "memory:":
        raise ValueError("unknown store URL; write 'memory:'")
    return MemoryStore()
