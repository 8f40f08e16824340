"""What the server tests serve: counts, keeps a name, waits at gates, says which process it is."""

import os
import time
from pathlib import Path
from urllib.parse import parse_qs

from wsgisession import SessionMiddleware

FOLDER = Path(__file__).parent


def count(session):
    session["count"] = session.get("count", 0) + 1
    return session["count"]


def opened(gate):
    """Wait until the client opens a gate, by making a file of that name; False if it does not."""
    deadline = time.monotonic() + 20
    while not (FOLDER / gate).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return time.monotonic() < deadline


def stream(session):
    """The last chunk is made only when the client says that it has the first."""
    yield b"first\n"
    session["streamed"] = opened(session["gate"])
    yield b"last\n" if session["streamed"] else b"the first chunk never arrived\n"


def app(environ, start_response):
    session = environ["wsgisession.session"]
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    headers = [("Content-Type", "text/plain"), ("X-Process", str(os.getpid()))]
    path = environ["PATH_INFO"]
    if path == "/raise":
        session["raised"] = True
        raise RuntimeError("on purpose")
    if path == "/login":
        session.owner = query["user"]
        start_response("303 See Other", [*headers, ("Location", "/show")])
        return []
    if path == "/stream":
        session["gate"] = query["gate"]
        start_response("200 OK", headers)
        return stream(session)
    if path == "/logout":
        session.destroy()
    body = ""
    if path == "/hold":
        (FOLDER / "held").touch()
        session["held"] = opened(query["gate"])
        body = "finished"
    if path == "/count":
        body = str(session.atomic(count))
    if path == "/add":
        session.setdefault("items", []).append(query["item"])
    if path == "/show":
        body = f"{session.owner} {session.get('count')} {sorted(session.get('items', []))} {session.get('streamed')}"
    body = body.encode()
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [body]


application = SessionMiddleware(
    app, secret=os.environ["SESSION_SECRET"], store=f"sqlite:///{FOLDER / 'sessions.db'}"
)
