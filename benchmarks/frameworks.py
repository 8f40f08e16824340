"""The contenders that are part of a framework: the same view with the framework's sessions and without.

Each has the configuration that its documentation shows first. If something is changed, a note says why. Knows nothing
of timing.
"""

from __future__ import annotations

import warnings
from typing import Any

from benchmarks.measure import App
from benchmarks.peers import SECRET, Action, Contender


def _perform(action: Action | None, session: Any) -> str:
    if action is None:
        return "ok"
    body = action.run(session)
    return "ok" if body is None else str(body)


class FlaskSession(Contender):
    name = "Flask-Session SimpleCache"
    group = "Flask"
    needs = ("flask_session", "cachelib")

    def __init__(self) -> None:
        super().__init__()
        from cachelib import SimpleCache

        self.cache = SimpleCache(threshold=1_000_000)  # by default it drops sessions above 500

    def _flask(self, action: Action | None) -> Any:
        import flask

        app = flask.Flask("benchmark")
        app.add_url_rule("/", "view", lambda: _perform(action, flask.session))
        return app

    def bare(self) -> App:
        return self._flask(None)  # type: ignore[no-any-return]  # without a secret key it has no session either

    def app(self, action: Action | None) -> App:
        from flask_session import Session

        app = self._flask(action)
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=self.cache)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the documentation advises other backends
            Session(app)
        return app  # type: ignore[no-any-return]

    def end(self, session: Any) -> None:
        session.clear()


class Django(Contender):
    group = "Django"
    needs = ("django",)
    engine: str

    def __init__(self) -> None:
        super().__init__()
        from django.conf import settings

        if not settings.configured:
            _configure_django(str(self.home / "django.db"))

    def _handler(self, middleware: list[str]) -> App:
        from django.conf import settings
        from django.core.handlers.wsgi import WSGIHandler

        settings.MIDDLEWARE, settings.SESSION_ENGINE = middleware, self.engine
        return WSGIHandler()  # type: ignore[no-any-return]  # it reads the settings now

    def bare(self) -> App:
        return self._with_view(self._handler([]), None)

    def app(self, action: Action | None) -> App:
        return self._with_view(
            self._handler(["django.contrib.sessions.middleware.SessionMiddleware"]), action
        )

    def _with_view(self, handler: App, action: Action | None) -> App:
        def run(environ: dict[str, Any], start_response: Any) -> Any:
            environ["benchmark.action"] = action  # all views share one URL configuration
            return handler(environ, start_response)

        return run

    def end(self, session: Any) -> None:
        session.flush()


class DjangoMemory(Django):
    name = "Django locmem"
    engine = "django.contrib.sessions.backends.cache"


class DjangoDB(Django):
    name = "Django db (SQLite, WAL)"
    engine = "django.contrib.sessions.backends.db"


def _configure_django(database: str) -> None:
    import django
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    settings.configure(
        SECRET_KEY=SECRET,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=["django.contrib.sessions"],
        LOGGING_CONFIG=None,
        # By default it drops sessions above 300.
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                "OPTIONS": {"MAX_ENTRIES": 1_000_000},
            }
        },
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": database,
                "CONN_MAX_AGE": None,
                "OPTIONS": {
                    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                    "timeout": 20,
                },
            }
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)
    connection.close()


def _django_view(request: Any) -> Any:
    from django.http import HttpResponse

    return HttpResponse(_perform(request.environ["benchmark.action"], getattr(request, "session", None)))


class _LazyPatterns(list[Any]):
    """Django's URL configuration, made when Django first looks: this module is imported without it, too."""

    def __iter__(self) -> Any:
        from django.urls import path

        return iter([path("", _django_view)])

    def __reversed__(self) -> Any:
        return iter(self)


urlpatterns = _LazyPatterns()


class Pyramid(Contender):
    name = "Pyramid signed cookie"
    group = "Pyramid"
    needs = ("pyramid",)

    def _router(self, action: Action | None, **options: Any) -> App:
        from pyramid.config import Configurator
        from pyramid.response import Response

        config = Configurator(**options)
        config.add_route("home", "/")
        touch = (lambda request: request.session) if options else (lambda request: None)

        def view(request: Any) -> Any:
            return Response(_perform(action, None if action is None else touch(request)))

        config.add_view(view, route_name="home")
        return config.make_wsgi_app()  # type: ignore[no-any-return]

    def bare(self) -> App:
        return self._router(None)

    def app(self, action: Action | None) -> App:
        from pyramid.session import SignedCookieSessionFactory

        return self._router(action, session_factory=SignedCookieSessionFactory(SECRET))

    def end(self, session: Any) -> None:
        session.invalidate()


class CherryPy(Contender):
    name = "CherryPy RamSession"
    group = "CherryPy"
    needs = ("cherrypy",)

    def _mounted(self, action: Action | None, config: dict[str, Any]) -> App:
        import cherrypy

        cherrypy.config.update({"environment": "embedded", "log.screen": False})

        class Root:
            @cherrypy.expose
            def index(self) -> bytes:
                return _perform(action, None if action is None else cherrypy.session).encode()

        app = cherrypy.Application(Root(), "", {"/": config})
        app.log.access_log.handlers, app.log.access_log.propagate = [], False
        return app  # type: ignore[no-any-return]

    def bare(self) -> App:
        return self._mounted(None, {})

    def app(self, action: Action | None) -> App:
        return self._mounted(action, {"tools.sessions.on": True})

    def end(self, session: Any) -> None:
        session.delete()
