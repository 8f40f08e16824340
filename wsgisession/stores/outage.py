"""What to do about an engine that does not answer: fail at once, and let one operation a second find out
whether it is back.

A server that hangs (stopped, swapped out, behind a cable that was cut) costs each request that asks it a whole
time-out. If every request waited for that, all workers would soon be waiting, also for visitors whose pages
need no session. So after the first time-out nobody asks for a second. After that one operation in each second
may ask, until one gets an answer.

There is no lock, and nothing that somebody has to give back. A turn is a second of its own. If the one
that takes it is interrupted, it has used up this second and no other. So a signal handler, a finalizer or a fork at any
point leaves nothing closed.

Knows nothing of engines, and no clock: the caller says what the time is.
"""

from __future__ import annotations

PAUSE = 1.0  # seconds without any attempt after a time-out, and seconds for each attempt after that


class Outage:
    """Whether one engine (one node of a Cluster) may be asked, by what became of the last ones who did.

    ``now`` is always ``time.monotonic()``. An engine that reports an error has answered, and so has a machine
    that refuses the connection: only a wait without an answer is an outage.
    """

    __slots__ = ("_silence",)

    def __init__(self) -> None:
        self._silence: _Silence | None = None

    @property
    def lasts(self) -> bool:
        """True if the engine's last word was none: who may ask it now tries something out."""
        return self._silence is not None

    def admits(self, now: float) -> bool:
        """Return whether the caller may ask the engine now. During an outage True uses up this second's
        attempt.
        """
        silence = self._silence
        return silence is None or silence.take_turn(now)

    def silent(self, now: float) -> None:
        """The engine has not answered in time: an outage begins, or goes on."""
        self._silence = _Silence(now)

    def answered(self) -> None:
        """The engine has answered, whatever it said: the outage is over."""
        self._silence = None


class _Silence:
    """An outage since its last time-out."""

    __slots__ = ("_since", "_taken")

    def __init__(self, since: float) -> None:
        self._since = since
        self._taken: dict[int, object] = {}  # who has taken the last seconds' turns

    def take_turn(self, now: float) -> bool:
        turn = int((now - self._since) / PAUSE)
        if turn < 1:
            return False
        me = object()
        # One step, with and without a GIL: of any number of threads that come this far one is first.
        if self._taken.setdefault(turn, me) is not me:
            return False
        for past in [taken for taken in tuple(self._taken) if taken < turn]:
            self._taken.pop(past, None)
        return True
