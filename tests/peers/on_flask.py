"""A pytest plugin: every Flask application of a suite has the sessions of ``wsgisession.flask``.

The suites' keys are short ("test key"), so the shortest one allowed is one byte here. An application that
brings a session interface of its own keeps it: ``Sessions`` refuses to replace it.
"""

from __future__ import annotations

from typing import Any

import flask
from flask.sessions import SecureCookieSessionInterface

from wsgisession import Identity
from wsgisession.flask import Sessions


class ShortKeys(Identity):
    min_secret = 1


make = flask.Flask.__init__


def make_with_sessions(app: flask.Flask, *args: Any, **options: Any) -> None:
    make(app, *args, **options)
    if type(app.session_interface) is SecureCookieSessionInterface:
        Sessions(app, identity=ShortKeys)


flask.Flask.__init__ = make_with_sessions  # type: ignore[method-assign]
