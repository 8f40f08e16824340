"""What each contender loses when requests of one session overlap: a library may be fast because it loses data.

Eight threads send 200 requests each with the cookie of one browser. Every thread counts in its own key, with a
millisecond between reading and writing. Another test logs out while a request runs. Knows no timing except that
millisecond.
"""

from __future__ import annotations

import logging
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import App, request
from benchmarks.peers import Action, Contender

THREADS, REQUESTS = 8, 200
PATIENCE = 5.0  # seconds for a request that waits for another


class Browser:
    """All threads share it: the cookie that the latest response set."""

    def __init__(self, cookie: str) -> None:
        self.cookie = cookie

    def send(self, app: App) -> str:
        """Send one request and return its status, or "raised" if there is none."""
        try:
            answer = request(app, self.cookie)
        except Exception as error:
            return f"raised {type(error).__name__}"
        if answer.cookie and not answer.cookie.endswith("="):
            self.cookie = answer.cookie
        return answer.status


def run(contender: Contender, *, quick: bool = False) -> dict[str, Any]:
    """Return the lost updates, the requests that ended with an error, the seconds, and the result of a logout."""
    with _quiet():
        return {**_lost(contender, 20 if quick else REQUESTS), "late_request": _late(contender)}


def _lost(contender: Contender, requests: int) -> dict[str, Any]:
    keys = [f"counter{number}" for number in range(THREADS)]
    start = contender.app(Action(lambda session: session.setdefault("user", "ada"), writes=True))
    browser = Browser(request(start).cookie or "")
    failed: list[str] = []

    def work(key: str) -> None:
        def count(session: Any) -> None:
            seen = session.get(key, 0)
            time.sleep(0.001)
            session[key] = seen + 1

        app = contender.app(Action(count, writes=True))
        for _ in range(requests):
            status = browser.send(app)
            if not status.startswith("200"):
                failed.append(status)

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    answer = request(
        contender.app(Action(lambda session: sum(session.get(key, 0) for key in keys))), browser.cookie
    )
    total = THREADS * requests
    return {
        "updates": total,
        "lost": total - int(answer.body),
        "errors": len(failed),
        "seconds": round(seconds, 2),
    }


def _late(contender: Contender) -> str:
    """Say what happens to a session that is logged out while another of its requests runs."""
    login = contender.app(Action(lambda session: session.__setitem__("user", "ada"), writes=True))
    cookie = request(login).cookie or ""
    reading, go_on = threading.Event(), threading.Event()
    answers: dict[str, str] = {}

    def slow(session: Any) -> None:
        session.get("user")
        reading.set()
        go_on.wait(PATIENCE)
        session["late"] = True

    def send(name: str, app: App) -> threading.Thread:
        def work() -> None:
            answers[name] = Browser(cookie).send(app)

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    late = send("late", contender.app(Action(slow, writes=True)))
    reading.wait(PATIENCE)
    logout = send("logout", contender.app(Action(contender.end)))
    logout.join(0.5)  # it may have to wait for the other request
    waited = logout.is_alive()
    go_on.set()
    late.join()
    logout.join()
    seen = request(contender.app(Action(lambda session: session.get("user", "nobody"))), cookie)
    if seen.body == b"ada":
        return "revived" if _revocable(contender) else "cannot be revoked"
    if not answers["late"].startswith("200"):
        return f"refused ({answers['late'][:15]})"
    return "gone, but the logout had to wait" if waited else "gone"


def _revocable(contender: Contender) -> bool:
    """Whether a logout ends the session if no other request runs."""
    login = contender.app(Action(lambda session: session.__setitem__("user", "ada"), writes=True))
    cookie = request(login).cookie or ""
    request(contender.app(Action(contender.end)), cookie)
    return (
        request(contender.app(Action(lambda session: session.get("user", "nobody"))), cookie).body != b"ada"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the contenders log and warn about out of the tables."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
