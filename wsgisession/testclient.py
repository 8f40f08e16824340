"""log_in: logs in a test client without a login form. For tests of applications.

::

    from wsgisession.testclient import log_in

    client = app.test_client()  # Flask's, Werkzeug's or WebTest's
    log_in(client, "ada", {"cart": ["A1"]})

It imports no framework: it knows a client by its cookie jar and an application by its ``manager``. It does
not know what a password is.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import Cookie as JarCookie
from http.cookiejar import CookieJar
from typing import Any

from wsgisession.cookie import Cookie
from wsgisession.manager import SessionManager


def log_in(
    client: Any,
    owner: str | None = None,
    data: Mapping[str, Any] | None = None,
    *,
    manager: SessionManager | None = None,
    secure: bool | None = None,
) -> None:
    """Store a new session and put its cookie into a test client.

    Args:
        client: A client of Flask, Werkzeug or WebTest. Django's own has ``force_login()``.
        owner: Who is logged in.
        data: The data of the session.
        manager: The application's sessions. None: find them, if nothing else wraps the application.
        secure: True if the client sends its requests to ``https://``. None: to ``http://``, unless the cookie
            says ``secure=True``.

    Raises:
        TypeError: It is no such client, or the sessions of its application cannot be found.
    """
    manager = _manager(client) if manager is None else manager
    name, _, token = manager.issue(data, owner, secure=secure).partition("=")
    cookie = manager.cookie
    if isinstance(getattr(client, "cookiejar", None), CookieJar):
        # WebTest. Its own set_cookie() would put quotes around the token.
        host = client.extra_environ.get("HTTP_HOST", "localhost").partition(":")[0]
        client.cookiejar.set_cookie(_for_jar(name, token, cookie, host))
    elif callable(getattr(client, "set_cookie", None)):
        domain = {"domain": cookie.domain, "origin_only": False} if cookie.domain else {}
        client.set_cookie(name, token, path=cookie.path, **domain)
    else:
        raise TypeError(f"log_in() takes a client of Flask, Werkzeug or WebTest, not {type(client).__name__}")


def _manager(client: Any) -> SessionManager:
    """Return the sessions of the application behind a client, from its middleware or from its adapter."""
    app = getattr(client, "app", None) or getattr(client, "application", None)
    candidates = (
        getattr(app, "manager", None),  # SessionMiddleware
        getattr(getattr(app, "extensions", {}).get("wsgisession"), "manager", None),  # Flask
        getattr(getattr(app, "wsgi_app", None), "manager", None),  # Flask, wrapped by hand
        getattr(app, "registry", {}).get("wsgisession.manager"),  # Pyramid
    )
    for manager in candidates:
        if isinstance(manager, SessionManager):
            return manager
    raise TypeError(
        "log_in() cannot find this application's sessions; pass manager=…, the one of its middleware"
    )


def _for_jar(name: str, token: str, cookie: Cookie, host: str) -> JarCookie:
    """Return the cookie as if a response had set it, so that a later one replaces it."""
    domain = f".{cookie.domain.lstrip('.')}" if cookie.domain else host if "." in host else f"{host}.local"
    return JarCookie(
        version=0,
        name=name,
        value=token,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=cookie.domain is not None,
        domain_initial_dot=domain.startswith("."),
        path=cookie.path,
        path_specified=True,
        secure=False,
        expires=None,
        discard=True,
        comment=None,
        comment_url=None,
        rest={},
    )
