"""A Django site whose every request says what it does with the session, for scripted interleavings of requests."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from weakref import WeakValueDictionary

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import path
from support.store_double import StoreDouble
from support.web import SECRET

Handler = Callable[[HttpRequest], Any]

FOLDER = Path(mkdtemp(prefix="django_site"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
APPS = ("auth", "contenttypes", "sessions", "messages")
MIDDLEWARE = ("sessions.middleware.Session", "auth.middleware.Authentication", "messages.middleware.Message")

settings.configure(
    SECRET_KEY=SECRET,
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[*(f"django.contrib.{name}" for name in APPS), "wsgisession.django"],
    MIDDLEWARE=[f"django.contrib.{name}Middleware" for name in MIDDLEWARE],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(FOLDER / "users.db")}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    USE_TZ=True,
    LOGGING_CONFIG=None,
    SESSION_ENGINE="wsgisession.django",
    WSGISESSION={"store": "memory:"},
)
django.setup()
call_command("migrate", verbosity=0)

# Not before the applications are there.
from django.contrib import auth  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.models import Session as Row  # noqa: E402, F401
from django.test import AsyncClient, Client, override_settings  # noqa: E402


class Call:
    """What one request is to do, and what came of it. The request says which call it is."""

    def __init__(self, handler: Handler, status: int = 200) -> None:
        self.handler, self.status, self.result = handler, status, None
        self.headers = {"call": str(id(self))}
        CALLS[self.headers["call"]] = self


CALLS: WeakValueDictionary[str, Call] = WeakValueDictionary()


def view(request: HttpRequest) -> HttpResponse:
    """Do what the test says."""
    call = CALLS[request.headers["call"]]
    call.result = call.handler(request)
    return HttpResponse("ok", status=call.status)


async def async_view(request: HttpRequest) -> HttpResponse:
    """Do the same, awaited."""
    call = CALLS[request.headers["call"]]
    call.result = await call.handler(request)
    return HttpResponse("ok")


urlpatterns = [path("", view), path("async", async_view)]


class Browser(Client):
    """A browser of its own cookies; ``visit(handler)`` is one request."""

    def visit(self, handler: Handler, *, status: int = 200) -> Any:
        """Run one request to its end and return what the handler returned; ``answer`` is the response."""
        call = Call(handler, status)
        self.answer = self.get("/", headers=call.headers)
        return call.result

    @property
    def cookie(self) -> Any:
        """What the last response set."""
        return self.answer.cookies.get("sessionid")

    def twin(self) -> Browser:
        """The same browser in another tab, as it stands now: later cookies are not shared."""
        other = Browser()
        other.cookies.load(self.cookies.output(header=""))
        return other


class AsyncBrowser(AsyncClient):
    """The same for async views."""

    async def visit(self, handler: Handler) -> Any:
        """Run one request to its end and return what the handler returned."""
        call = Call(handler)
        self.answer = await self.get("/async", headers=call.headers)
        return call.result


def user(name: str) -> Any:
    """Return the user of that name, made when first asked for."""
    return User.objects.get_or_create(username=name)[0]


@contextmanager
def own_store(store: Any = None) -> Iterator[StoreDouble]:
    """A test's own store, in place of the site's."""
    double = StoreDouble(store)
    with override_settings(WSGISESSION={"store": double}):
        yield double


# What requests do


def put(**items: Any) -> Handler:
    """Assign these items."""
    return lambda request: request.session.update(items)


def items(request: Any) -> dict[str, Any]:
    """Return all items."""
    return dict(request.session.items())


def log_in(name: str) -> Handler:
    """Log the user of that name in."""
    return lambda request: auth.login(request, user(name))
