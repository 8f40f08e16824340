"""A pytest plugin: Pyramid's own tests of sessions get the session factory of ``wsgisession.pyramid``."""

from __future__ import annotations

from typing import Any

import pyramid.session
from pyramid.config import Configurator
from pyramid.interfaces import ISessionFactory

# Pyramid's argument: our setting.
SETTINGS = {
    "cookie_name": "cookie.name",
    "path": "cookie.path",
    "domain": "cookie.domain",
    "secure": "cookie.secure",
    "httponly": "cookie.httponly",
    "timeout": "idle_timeout",
}


def factory(serializer: Any, **options: Any) -> Any:
    """Be ``pyramid.session.BaseCookieSessionFactory``; an option that we do not have is dropped."""
    settings = {f"wsgisession.{SETTINGS[name]}": value for name, value in options.items() if name in SETTINGS}
    config = Configurator(
        settings={"wsgisession.secret": "a secret of at least 32 bytes, for these tests", **settings}
    )
    config.include("wsgisession.pyramid")
    config.commit()
    return config.registry.queryUtility(ISessionFactory)


pyramid.session.BaseCookieSessionFactory = factory
