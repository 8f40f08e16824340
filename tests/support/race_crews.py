"""Who runs the races: four threads over one middleware, or four processes that each build their own over the store's URL.

Knows nothing of what a race is about.
"""

from __future__ import annotations

import multiprocessing
import threading
import traceback
from collections.abc import Callable
from typing import Any

from support.races import ACTORS, RACES, Actor, Race
from support.web import Site

PATIENCE = 60.0  # seconds until an actor that does not come to a meeting counts as lost


def perform(
    race: Race, site: Site, number: int, cookies: list[str], rounds: int, meet: Callable[[], object]
) -> list[Any]:
    """Play one actor's part of all rounds and return its reports."""
    return [race.act(Actor(site, number, round, cookies, meet)) for round in range(rounds)]


class Threads:
    """Four threads of this process, over one middleware."""

    def __init__(self, store: Any) -> None:
        self.site = Site(store)

    def run(self, name: str, cookies: list[str], rounds: int) -> list[list[Any]]:
        """Run a race and return its reports, by actor, then by round. The first error of an actor is raised here."""
        barrier = threading.Barrier(ACTORS)
        reports: list[list[Any]] = [[] for _ in range(ACTORS)]
        errors: list[BaseException] = []

        def work(number: int) -> None:
            try:
                reports[number] = perform(
                    RACES[name], self.site, number, cookies, rounds, lambda: barrier.wait(PATIENCE)
                )
            except BaseException as error:
                errors.append(error)
                barrier.abort()

        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(ACTORS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            raise error
        return reports

    def close(self) -> None:
        """End the threads' store."""
        self.site.manager.store.close()


class Processes:
    """Four new processes, started once for any number of races. ``site`` is this process' own, which prepares and checks."""

    def __init__(self, url: str) -> None:
        self.site = Site(url)
        context = multiprocessing.get_context("spawn")
        self.barrier = context.Barrier(ACTORS)
        self.pipes: list[Any] = []
        self.processes: list[Any] = []
        for number in range(ACTORS):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(url, number, self.barrier, theirs), daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def run(self, name: str, cookies: list[str], rounds: int) -> list[list[Any]]:
        """Run a race and return its reports, by actor, then by round. An actor's error is raised here, with its traceback."""
        for pipe in self.pipes:
            pipe.send((name, cookies, rounds))
        answers = [pipe.recv() for pipe in self.pipes]
        failed = [error for _, error in answers if error]
        if failed:
            self.barrier.reset()
            raise AssertionError("\n".join(failed))
        return [reports for reports, _ in answers]

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(PATIENCE)
        self.site.manager.store.close()


def _serve(url: str, number: int, barrier: Any, pipe: Any) -> None:
    """Run one actor's part of every race that comes through the pipe."""
    site = Site(url)
    while (job := pipe.recv()) is not None:
        name, cookies, rounds = job
        try:
            pipe.send(
                (perform(RACES[name], site, number, cookies, rounds, lambda: barrier.wait(PATIENCE)), None)
            )
        except BaseException:
            barrier.abort()
            pipe.send(([], f"actor {number}: {traceback.format_exc()}"))
    site.manager.store.close()
