"""What to do if an engine does not answer: fail at once, and let one operation a second try whether it is back.

A server that hangs (stopped, swapped out, behind a cable that was cut) costs each request that asks it a whole
time-out. If every request waited so long, all workers would soon be waiting, and visitors whose pages need no session
would wait too. So for one second after the first time-out nobody asks. Then one operation in each second may ask, until
one gets an answer.

There is no lock, and nothing that somebody has to give back. Each second is one turn. If the operation that takes a
turn is interrupted, only this second is used up. So a signal handler, a finalizer or a fork at any point leaves nothing
closed.

Knows nothing of engines, and no clock: the caller passes the time.
"""

from __future__ import annotations

PAUSE = 1.0  # seconds without any attempt after a time-out, and seconds for each attempt after that


class Outage:
    """Whether one engine (one node of a Cluster) may be asked, judged by what happened to the last operations.

    ``now`` is always ``time.monotonic()``. An engine that reports an error has answered, and so has a machine
    that refuses the connection: only a wait without an answer is an outage.
    """

    __slots__ = ("_silence",)

    def __init__(self) -> None:
        # When the last time-out was, and who has taken a turn, by second
        self._silence: tuple[float, dict[int, object]] | None = None

    @property
    def lasts(self) -> bool:
        """True if the engine did not answer last time: an operation that may ask it now is a trial."""
        return self._silence is not None

    def admits(self, now: float) -> bool:
        """Return whether the caller may ask the engine now. During an outage True uses up this second's attempt."""
        silence = self._silence
        if silence is None:
            return True
        since, taken = silence
        turn, me = int((now - since) / PAUSE), object()
        # setdefault is one step, with and without a GIL: of all threads that come here, exactly one is first.
        if turn < 1 or taken.setdefault(turn, me) is not me:
            return False
        for past in [one for one in tuple(taken) if one < turn]:
            taken.pop(past, None)
        return True

    def silent(self, now: float) -> None:
        """The engine has not answered in time: an outage begins, or goes on."""
        self._silence = now, {}

    def answered(self) -> None:
        """The engine has answered, whatever it said: the outage is over."""
        self._silence = None
