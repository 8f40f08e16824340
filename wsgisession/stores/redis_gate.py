"""Keeps a fork from falling into the middle of an operation on Redis.

redis-py notices a new process id and opens new connections there. But it does so under the pool's own lock, which stays
locked for good in the child if another thread of the parent held it during the fork; a Cluster client has more of them. So
``os.fork`` waits until the operations in progress are over, and new ones wait until it is done.

Knows nothing of Redis, connections or sessions.
"""

from __future__ import annotations

import os
import threading
import time

# Seconds that a fork waits. A client without timeouts must not keep a process from forking for ever.
GRACE = 10.0


class Gate:
    """Lets any number of operations through at once (``with gate:``), and none while the process is being forked."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self.reset()

    def reset(self) -> None:
        """Start afresh: in a child, where nobody who was inside exists any more."""
        # By itself: a Condition's own ``with`` makes two more calls. Reentrant: a garbage collection may end a request here.
        self._lock = threading.RLock()
        self._turn = threading.Condition(self._lock)
        self._inside = 0
        self._forking = 0

    def __enter__(self) -> None:
        with self._lock:
            while self._forking:
                self._turn.wait()
            self._inside += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._forking:
                self._turn.notify_all()

    def shut(self) -> None:
        """Keep new operations waiting, and wait for those in progress."""
        with self._turn:
            self._forking += 1
            deadline = time.monotonic() + self._grace
            while self._inside and self._turn.wait(deadline - time.monotonic()):
                pass

    def open(self) -> None:
        """Let the waiting operations through, unless another thread forks too."""
        with self._turn:
            self._forking -= 1
            self._turn.notify_all()


# One for all stores of the process: a hook cannot be unregistered.
gate = Gate()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=gate.shut, after_in_parent=gate.open, after_in_child=gate.reset)
