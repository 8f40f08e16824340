"""What happens after a response has ended, and around its edges: late threads, bodies asked again, odd calls."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from wsgiref.util import FileWrapper

import pytest
from support.server import BODIES, KEY, Make, Server, wrap
from support.web import SECRET, Site

from wsgisession import (
    HeadersSent,
    Session,
    SessionError,
    SessionManager,
    SessionMiddleware,
    SessionTooLarge,
    get_session,
)
from wsgisession.record import Marker

CHANGES: dict[str, Callable[[Session], Any]] = {
    "assign": lambda s: s.__setitem__("job", "done"),
    "delete": lambda s: s.__delitem__("job"),
    "pop": lambda s: s.pop("job"),
    "clear": lambda s: s.clear(),
    "update": lambda s: s.update(more=1),
    "setdefault": lambda s: s.setdefault("more", 1),
    "login": lambda s: setattr(s, "owner", "ada"),
    "regenerate": lambda s: s.regenerate(),
    "persistent": lambda s: setattr(s, "persistent", True),
    "idle_timeout": lambda s: setattr(s, "idle_timeout", 900),
    "atomic": lambda s: s.atomic(lambda s: s.__setitem__("job", "done")),
}


def kept(make: Make, touch: bool = True) -> tuple[SessionMiddleware, str, Session]:
    """Return a middleware, a cookie, and the session of a request that is over: a thread has kept it."""
    held: list[Session] = []

    def app(environ: Any, start_response: Any) -> Any:
        held.append(environ[KEY])
        if touch:
            environ[KEY]["job"] = "running"
        start_response("200 OK", [])
        return make([])

    middleware = wrap(app)
    cookie = middleware.manager.issue({"job": "waiting"})
    server = Server(middleware, cookie, **{"wsgi.file_wrapper": FileWrapper})
    server.run()
    return middleware, cookie, held[0]


class TestAThreadThatKeptTheSession:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
    @pytest.mark.parametrize("make", BODIES.values(), ids=BODIES.keys())
    def test_a_change_is_an_error_where_it_is_made(self, make: Any, change: Any) -> None:
        """It would be lost in silence otherwise. The error says how a session is changed outside a request."""
        middleware, cookie, session = kept(make)
        with pytest.raises(HeadersSent, match=r"manager\.open\(key\)"):
            change(session)
        assert Site(middleware.manager.store).read(cookie) == {"job": "running"}

    @pytest.mark.parametrize("touch", [True, False], ids=["touched", "untouched"])
    def test_the_error_says_what_to_do(self, touch: bool) -> None:
        """``manager.open(key)`` and ``save()``: that works."""
        middleware, cookie, session = kept(BODIES["list"], touch)
        with pytest.raises(HeadersSent, match=r"manager\.open\(key\).*save\(\)"):
            session["job"] = "done"
        assert session.key is not None
        opened = middleware.manager.open(session.key)
        assert opened is not None
        opened["job"] = "done"
        assert opened.save()
        assert Site(middleware.manager.store).read(cookie) == {"job": "done"}

    def test_reading_goes_on(self) -> None:
        """So does asking for its key, and ending it."""
        middleware, cookie, session = kept(BODIES["list"])
        assert session["job"] == "running" and dict(session) == {"job": "running"} and not session.gone
        session.reload()
        session.destroy()
        assert Site(middleware.manager.store).read(cookie) == {}

    def test_a_change_in_place_can_still_be_saved(self) -> None:
        """Nobody can notice it, but ``save()`` stores it."""
        middleware, cookie, session = kept(BODIES["list"])
        store = Site(middleware.manager.store)
        store.request(lambda s: s.update(jobs=[]), cookie)
        session.reload()
        session["jobs"].append("done")
        assert session.save() and store.read(cookie)["jobs"] == ["done"]

    def test_what_changes_nothing_is_no_error(self) -> None:
        """To remove what is not there."""
        _, _, session = kept(BODIES["list"])
        session.destroy()
        assert session.pop("nothing", 1) == 1
        session.clear()


class TestServersAndFrameworks:
    def test_exc_info_by_name(self) -> None:
        """WebOb passes it so."""

        def app(environ: Any, start_response: Any) -> Any:
            environ[KEY]["a"] = 1
            start_response("200 OK", [], exc_info=None)
            try:
                raise ValueError("page")
            except ValueError:
                start_response("400 Bad Request", [("X-Error", "1")], exc_info=sys.exc_info())
            return [b"sorry"]

        server = Server(wrap(app)).run()
        assert server.status == "400 Bad Request" and server.cookie is not None

    def test_everything_by_name(self) -> None:
        """status and headers too."""

        def app(environ: Any, start_response: Any) -> Any:
            start_response(status="200 OK", headers=[("X-A", "1")])
            return [b"ok"]

        assert Server(wrap(app)).run().headers == [("X-A", "1")]

    @pytest.mark.parametrize("status", [b"200 OK", 200, None, type("Status", (str,), {})("200 OK")], ids=repr)
    def test_a_status_of_another_type(self, status: Any) -> None:
        """A TypeError that names the type and shows what to pass."""

        def app(environ: Any, start_response: Any) -> Any:
            start_response(status, [])
            return [b"ok"]

        with pytest.raises(TypeError, match=rf"'200 OK', not {type(status).__name__}"):
            Server(wrap(app)).run()

    @pytest.mark.parametrize("how", ["ended", "failed", "closed"])
    def test_a_body_that_has_ended_stays_ended(self, how: str) -> None:
        """Asked again, it does not run the application again."""
        runs: list[int] = []

        class Again:
            """Starts again whenever it is asked."""

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> bytes:
                runs.append(1)
                if how == "failed":
                    raise ValueError("page")
                if how == "ended" and len(runs) > 1:
                    raise StopIteration
                return b"ok"

        def app(environ: Any, start_response: Any) -> Any:
            environ[KEY]["a"] = 1
            start_response("200 OK", [])
            return Again()

        server = Server(wrap(app))
        body = server.app(server.environ, server.start_response)
        if how == "failed":
            with pytest.raises(ValueError, match="page"):
                next(body)
        elif how == "ended":
            assert list(body) == [b"ok"]
        else:
            next(body)
            body.close()
        count = len(runs)
        for _ in range(2):
            assert list(body) == []
        assert len(runs) == count


class TestGetSession:
    def test_it_is_the_one_in_environ(self) -> None:
        """Under the usual key, or under that of the middleware."""
        seen: list[bool] = []

        def app(environ: Any, start_response: Any) -> Any:
            seen.append(get_session(environ, "my.session") is environ["my.session"])
            with pytest.raises(SessionError, match="wsgisession.session"):
                get_session(environ)
            start_response("200 OK", [])
            return [b"ok"]

        Server(wrap(app, environ_key="my.session")).run()
        assert seen == [True]

    @pytest.mark.parametrize(
        "environ", [{}, {KEY: None}, {KEY: {"views": 1}}], ids=["nothing", "None", "a dict"]
    )
    def test_without_a_middleware(self, environ: Any) -> None:
        """A SessionError that says what to do."""
        with pytest.raises(SessionError, match=r"SessionMiddleware\(app, secret=…\)"):
            get_session(environ)


class TestTooLarge:
    @pytest.mark.parametrize(
        "handler",
        [
            lambda s: s.update(small=1, results="x" * 2000),
            lambda s: (
                s.update(small="y" * 300, results="x" * 500),
                s.save(),
                s["results"].__len__(),
                s.update(more="z" * 400),
            ),
        ],
        ids=["at once", "grown"],
    )
    def test_it_names_the_largest_item(self, handler: Any) -> None:
        """And its size, the sum and the limit."""
        with pytest.raises(
            SessionTooLarge,
            match=r"takes \d+ bytes, max_size allows 1000, and \d+ of them are session\['results'\]",
        ):
            Site(max_size=1000).request(handler)

    def test_a_session_without_items(self) -> None:
        """A limit below any session is named alone."""
        with pytest.raises(SessionTooLarge, match="max_size allows 10;"):
            SessionManager(secret=SECRET, max_size=10).issue({}, "ada")


class TestMarkersInACircle:
    """By a mistake, or by somebody who can write to the store."""

    @pytest.fixture
    def site(self) -> Site:
        site = Site()
        store, pack = site.manager.store, site.manager.codec.pack
        for key, successor in (("A" * 43, "B" * 43), ("B" * 43, "A" * 43), ("C" * 43, "C" * 43)):
            assert store.create(key, pack(Marker(successor, False)), 60)
        site.manager.records.sleep = lambda seconds: None
        return site

    @pytest.mark.parametrize("key", ["A" * 43, "C" * 43], ids=["two", "itself"])
    def test_they_lead_nowhere(self, site: Site, key: str) -> None:
        """Every way that follows markers ends."""
        for number in range(2):
            site.start({"n": number}, "ada")
        assert site.manager.destroy(key) is False
        assert site.manager.open(key) is None
        assert site.manager.destroy_owned("ada", keep=key) == 2

    def test_a_cookie_that_leads_into_one(self, site: Site) -> None:
        """Gone, and a login leads on."""
        cookie = site.start({"a": 1})
        (key,) = site.live()
        site.rewrite(key, lambda _: site.manager.codec.pack(Marker("A" * 43, True)))
        assert site.request(lambda s: s.gone, cookie).result is True
        answer = site.request(
            lambda s: (setattr(s, "owner", "ada"), s.siblings(), s.destroy_siblings()), cookie
        )
        assert answer.result == (None, [], 0)
        assert site.request(lambda s: s.owner, answer.cookie).result == "ada"

    def test_a_long_chain_is_not_walked_to_its_end(self, site: Site) -> None:
        """Nobody changes an id that often within a minute."""
        cookie = site.start({"a": 1})
        (key,) = site.live()
        for _ in range(12):
            cookie = site.request(Session.regenerate, cookie).cookie
        assert site.manager.destroy(key) is False and len(site.live()) == 1
