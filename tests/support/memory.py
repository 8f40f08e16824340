"""How much memory stays taken."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable


def kept_by(act: Callable[[], object]) -> int:
    """Return how many bytes are still taken after a function has returned."""
    gc.collect()
    tracemalloc.start()
    try:
        act()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
