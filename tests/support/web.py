"""A site whose every request says what it does with the session, for scripted interleavings of requests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

from wsgisession import Session, SessionMiddleware, testing

SECRET = "a test's secret of at least 32 bytes"

Handler = Callable[[Session], Any]


class Answer(NamedTuple):
    """What came back: the result of the handler, and the response."""

    result: Any
    status: str
    headers: list[tuple[str, str]]

    @property
    def set_cookie(self) -> str | None:
        """The one Set-Cookie header; what expires cookies of former names comes after it."""
        found = [value for name, value in self.headers if name == "Set-Cookie"]
        names = [value.partition("=")[0] for value in found]
        assert len(set(names)) == len(names) and all("; Max-Age=0" in value for value in found[1:])
        return found[0] if found else None

    @property
    def cookie(self) -> str:
        """The name=value pair a browser would send from now on."""
        assert self.set_cookie is not None
        return self.set_cookie.partition(";")[0]

    @property
    def key(self) -> str | None:
        return self.result


class Site:
    """One middleware; ``request(handler, cookie)`` runs one request."""

    def __init__(self, store: Any = None, **options: Any) -> None:
        self.middleware = SessionMiddleware(
            self._app, secret=options.pop("secret", SECRET), store=store, **options
        )
        self.manager = self.middleware.manager

    def _app(self, environ: Any, start_response: Any) -> list[bytes]:
        session = environ["wsgisession.session"]
        environ["test.result"] = environ["test.handler"](session)
        start_response(environ["test.status"], [("Content-Type", "text/plain")])
        return [b"ok"]

    def request(
        self, handler: Handler, cookie: str = "", *, status: str = "200 OK", https: bool = False
    ) -> Answer:
        """Run one request to its end."""
        environ: dict[str, Any] = {"test.handler": handler, "test.status": status}
        setup_testing_defaults(environ)
        environ["wsgi.url_scheme"] = "https" if https else "http"
        if cookie:
            environ["HTTP_COOKIE"] = cookie
        seen: list[Any] = []
        body = self.middleware(environ, lambda *args: seen.append(args[:2]) or (lambda data: None))
        assert list(body) == [b"ok"]
        return Answer(environ["test.result"], *seen[-1])

    def start(self, data: dict[str, Any] | None = None, owner: str | None = None) -> str:
        """Store a session and return its cookie."""
        return self.manager.issue(data, owner)

    def read(self, cookie: str) -> dict[str, Any]:
        """Return what a new request with this cookie finds."""
        return self.request(lambda session: session.copy(), cookie).result  # type: ignore[no-any-return]

    def rewrite(self, key: str, change: Callable[[bytes], bytes]) -> None:
        """Put another payload in place of a stored one, as another program may."""
        store = self.manager.store
        found = store.load(key)
        assert found is not None and store.replace(key, found[0], change(found[0]), None)

    def left(self, key: str | None = None) -> float:
        """Return the seconds that what is under a key still has, or the one live session; 0 if nothing is there."""
        if key is None:
            (key,) = self.live()
        found = self.manager.store.load(key)
        return 0 if found is None else found[1]

    def live(self) -> list[str]:
        """Return the keys of the live sessions, tombstones left out."""
        return [info.key for info in self.manager.sessions()]


def together(count: int, work: Callable[[int], object]) -> None:
    """Run ``work(0) … work(count - 1)`` at the same time, one thread each; the first error is raised here."""
    testing.together([partial(work, number) for number in range(count)])
