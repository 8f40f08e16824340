"""Other processes of a test: jobs in forked ones that begin at the same moment, and programs in interpreters of their own."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Sequence

PATIENCE = 60.0  # seconds; a child that takes longer hangs


def in_children(jobs: Sequence[Callable[[], object]]) -> list[int | None]:
    """Run jobs at once, each in a forked process that waits for all the others; return their exit codes."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> None:
        barrier.wait(PATIENCE)
        job()

    children = [context.Process(target=run, args=(job,), daemon=True) for job in jobs]
    for child in children:
        child.start()
    for child in children:
        child.join(PATIENCE)
    return [child.exitcode for child in children]


def run_program(text: str, *arguments: str, timeout: float = PATIENCE) -> None:
    """Run a program in an interpreter of its own; a failure shows what it said."""
    command = [sys.executable, "-c", text, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr + done.stdout
