"""The floor: what a session must cost at least. It is only calls of the standard library, without any feature.

It finds the cookie, checks its HMAC, looks the session up in a dict, and decodes or encodes the one value that is touched.
It has no merge, no nested changes, no expiry, no limits, no headers except the cookie, and one thread. Knows nothing of
wsgisession.
"""

from __future__ import annotations

import hmac
import json
import secrets
from typing import Any

from benchmarks.measure import App

KEY = "floor.session"
NAME = "floor="


class Floor:
    """A session of the floor, loaded at first touch."""

    def __init__(self, store: dict[str, dict[str, str]], secret: bytes, header: str) -> None:
        self.store, self.secret, self.header = store, secret, header
        self.id: str | None = None
        self.lines: dict[str, str] | None = None
        self.changed: dict[str, Any] | None = None

    def load(self) -> dict[str, str]:
        if self.lines is not None:
            return self.lines
        start = self.header.find(NAME)
        if start >= 0:
            value = self.header[start + len(NAME) :].partition(";")[0]
            id, _, signature = value.partition(".")
            if hmac.compare_digest(self.sign(id), signature):
                self.id, self.lines = id, self.store.get(id)
        if self.lines is None:
            self.id, self.lines = None, {}
        return self.lines

    def sign(self, id: str) -> str:
        return hmac.digest(self.secret, id.encode(), "sha256").hex()

    def get(self, key: str, default: Any = None) -> Any:
        line = self.load().get(key)
        return default if line is None else json.loads(line)

    def __getitem__(self, key: str) -> Any:
        return json.loads(self.load()[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self.load()
        if self.changed is None:
            self.changed = {}
        self.changed[key] = value

    def save(self) -> str | None:
        """Store what was assigned; return the cookie of a new session."""
        if not self.changed:
            return None
        lines = dict(self.load())
        for key, value in self.changed.items():
            lines[key] = json.dumps(value)
        if self.id is not None:
            self.store[self.id] = lines
            return None
        id = secrets.token_urlsafe(32)
        self.store[id] = lines
        return f"{NAME}{id}.{self.sign(id)}; Path=/; HttpOnly; SameSite=Lax"


def middleware(app: App, store: dict[str, dict[str, str]]) -> App:
    """Return the application with the floor's session in its environ."""
    secret = b"a floor needs a secret as well: 32 bytes"

    def run(environ: dict[str, Any], start_response: Any) -> Any:
        session = environ[KEY] = Floor(store, secret, environ.get("HTTP_COOKIE", ""))

        def start(status: str, headers: list[tuple[str, str]]) -> Any:
            cookie = session.save()
            return start_response(status, headers if cookie is None else [*headers, ("Set-Cookie", cookie)])

        return app(environ, start)

    return run
