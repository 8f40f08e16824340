"""Helpers of the clauses: keys and payloads, jobs in threads and in a forked process. Knows no store."""

from __future__ import annotations

import faulthandler
import gc
import os
import threading
import traceback
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

T = TypeVar("T")

LONG = 3600.0  # seconds; longer than every test
PATIENCE = 30.0  # after so many seconds a wait counts as endless


def new_key() -> str:
    """Return a key like those of the library: 43 characters of base64url."""
    return urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()


def new_payload(start: bytes = b"payload ") -> bytes:
    """Return a payload that was never written before, as the contract demands."""
    return start + urlsafe_b64encode(os.urandom(12))


def together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run jobs at the same time, one thread each; return their results in order, or raise the first error."""
    barrier = threading.Barrier(len(jobs))
    results: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(number: int, job: Callable[[], T]) -> None:
        try:
            barrier.wait(PATIENCE)
            results[number] = job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(jobs)]
    for thread in threads:
        thread.start()
    ended = all_end(threads)
    for error in errors:
        raise error
    assert ended, "the store kept a thread waiting and waiting"
    return [results[number] for number in range(len(jobs))]


def all_end(threads: Sequence[threading.Thread]) -> bool:
    """Wait for threads; say whether all of them ended."""
    for thread in threads:
        thread.join(PATIENCE)
    return not any(thread.is_alive() for thread in threads)


def in_child(job: Callable[[], bool]) -> bool:
    """Return the result of a job in a forked process; False if it raises or does not end."""
    child = os.fork() or _leave_with(job)
    return os.waitpid(child, 0)[1] == 0


def _leave_with(job: Callable[[], bool]) -> NoReturn:
    """End this process with the result of a job, and without what the test runner would do at its end.

    If the job hangs, it is ended with a traceback of every thread. The garbage of the parent is not collected here,
    because finalizers may wait for threads that only the parent has.
    """
    verdict = False
    try:
        gc.disable()
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=2)
        verdict = job()
    except BaseException:
        traceback.print_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
        os._exit(0 if verdict else 1)  # a runner that measures coverage writes its data here
