"""The contenders: each has an application with its session, and the same application without a session to compare.

Each has the configuration that its documentation shows first. If something is changed, a note says why. Knows nothing
of timing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks import floor
from benchmarks.measure import App, scratch

SECRET = "a secret of the benchmarks, at least 32 bytes"


class Action(NamedTuple):
    """What an application does with the session; ``writes``: it calls save afterwards, if the library needs that."""

    run: Callable[[Any], Any]
    writes: bool = False


class Contender:
    """One session layer. ``app(None)`` does not touch the session, ``bare()`` has none."""

    name: str
    group = "plain WSGI"  # contenders of a group have the same bare application
    needs: tuple[str, ...] = ()  # modules

    def __init__(self) -> None:
        self.home = scratch()

    def bare(self) -> App:
        """Return the application without sessions."""
        return plain(None, "")

    def app(self, action: Action | None) -> App:
        """Return a new application on this contender's only store."""
        raise NotImplementedError

    def end(self, session: Any) -> None:
        """Log out."""
        raise NotImplementedError


def plain(action: Action | None, key: str, save: Callable[[Any], object] | None = None) -> App:
    """Return the application that every contender of plain WSGI wraps."""
    if action is None:

        def untouched(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok"]

        return untouched
    run, saved = action.run, save if action.writes else None

    def touching(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        session = environ[key]
        body = run(session)
        if saved is not None:
            saved(session)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok" if body is None else str(body).encode()]

    return touching


class Ours(Contender):
    name = "wsgisession"
    url: str | None = None

    def __init__(self) -> None:
        super().__init__()
        from wsgisession import MemoryStore
        from wsgisession.stores import from_url

        self.store: Any = MemoryStore() if self.url is None else from_url(self.url.format(home=self.home))

    def app(self, action: Action | None) -> App:
        from wsgisession import SessionMiddleware

        # Sessions of 100 KB are measured too.
        return SessionMiddleware(
            plain(action, "wsgisession.session"), secret=SECRET, store=self.store, max_size=2**20
        )

    def end(self, session: Any) -> None:
        session.destroy()


class OursSQLite(Ours):
    name = "wsgisession SQLite"
    url = "sqlite:///{home}/sessions.db"


class Floor(Contender):
    name = "floor"

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, dict[str, str]] = {}

    def app(self, action: Action | None) -> App:
        return floor.middleware(plain(action, floor.KEY), self.store)


class Beaker(Contender):
    name = "Beaker memory"
    needs = ("beaker",)
    type = "memory"

    def options(self) -> dict[str, Any]:
        return {"session.type": self.type, "session.data_dir": str(self.home)}

    def app(self, action: Action | None) -> App:
        from beaker.middleware import SessionMiddleware

        options = {"session.secret": SECRET, "session.key": "beaker", **self.options()}
        return SessionMiddleware(plain(action, "beaker.session", lambda session: session.save()), options)  # type: ignore[no-any-return]

    def end(self, session: Any) -> None:
        session.delete()


class BeakerFile(Beaker):
    name = "Beaker file"
    type = "file"


def available(classes: list[type[Contender]]) -> tuple[list[Contender], list[str]]:
    """Return the contenders whose libraries are installed, and the names of the others."""
    from importlib.util import find_spec

    found, missing = [], []
    for kind in classes:
        if all(find_spec(module) for module in kind.needs):
            found.append(kind())
        else:
            missing.append(kind.name)
    return found, missing


def everyone() -> tuple[list[Contender], list[str]]:
    """Return all contenders of the main table."""
    from benchmarks.frameworks import CherryPy, DjangoDB, DjangoMemory, FlaskSession, Pyramid

    return available(
        [Floor, Ours, OursSQLite, Beaker, BeakerFile, FlaskSession, DjangoMemory, DjangoDB, Pyramid, CherryPy]
    )
