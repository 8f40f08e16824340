"""A page that counts its views: run ``python3 demo.py`` and open the address it prints, in two browsers.

It shows what a session holds, logs in and out, and ends this user's other sessions. Its login has no password: it is an
example of sessions, not of logins. Served by ``wsgiref`` here; for any other WSGI server there is ``application``:
``WSGISESSION_STORE=sqlite:///demo.db gunicorn -w 4 demo:application``.
"""

from __future__ import annotations

import sys

# Before what an older Python cannot import.
if sys.version_info < (3, 11):
    sys.exit("demo.py needs Python 3.11 or newer, and this is Python %d.%d" % sys.version_info[:2])

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from html import escape
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from threading import Thread
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from wsgisession import MemoryStore, Session, SessionError, SessionMiddleware
from wsgisession.stores import from_url

MOST_ITEMS, LONGEST, LARGEST_FORM = (
    20,
    80,
    4096,
)  # items in the list, characters of one, bytes of a posted form


class Refused(Exception):
    """What the visitor sent is not what our forms send: a status, and a sentence for the visitor."""


def count(session: Session) -> int:
    """Count one view. Inside atomic(), so that requests that overlap count exactly."""
    session.setdefault("csrf", secrets.token_urlsafe(16))  # what our own forms carry, and nobody else knows
    session["views"] = session.get("views", 0) + 1
    return int(session["views"])


def add(session: Session, form: dict[str, str]) -> None:
    """POST /add: one more item in a nested list. No flag is needed, the change is noticed."""
    item = entry(form, "item")

    def append(session: Session) -> None:
        items = session.setdefault("cart", {"items": []})["items"]
        if len(items) >= MOST_ITEMS:
            raise Refused("400 Bad Request", "The list is full.")
        items.append(item)

    session.atomic(
        append
    )  # the length and the change belong together; without a limit, append alone would do


def login(session: Session, form: dict[str, str]) -> None:
    """POST /login: a new owner implies a new id. The token changes too: nobody may know one from before the login."""
    session.owner = entry(form, "name")
    session["csrf"] = secrets.token_urlsafe(16)


def logout(session: Session, form: dict[str, str]) -> None:
    """POST /logout: end the session, now."""
    session.destroy()


def logout_others(session: Session, form: dict[str, str]) -> None:
    """POST /logout-others: end this user's other sessions, wherever they are."""
    if session.owner is not None:
        session.destroy_siblings()


ACTIONS: dict[str, Callable[[Session, dict[str, str]], None]] = {
    "/add": add,
    "/login": login,
    "/logout": logout,
    "/logout-others": logout_others,
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application: a page, four forms, and the bare count at /views."""
    session: Session = environ["wsgisession.session"]
    path, method = environ.get("PATH_INFO") or "/", environ["REQUEST_METHOD"]

    def answer(status: str, text: str, kind: str = "text/plain", *more: tuple[str, str]) -> Iterable[bytes]:
        body = text.encode("utf-8", "replace")
        own = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(status, [*own, *SAFETY, *more])
        return [b"" if method == "HEAD" else body]

    if path in ACTIONS:
        if method != "POST":
            return answer("405 Method Not Allowed", "POST only", "text/plain", ("Allow", "POST"))
        try:
            ACTIONS[path](session, read_form(environ, session))
        except Refused as refused:
            status, reason = refused.args
            return answer(status, reason)
        return answer("303 See Other", "", "text/plain", ("Location", "/"))
    if path not in ("/", "/views"):
        return answer("404 Not Found", "Nothing here")  # a favicon too: no view is counted
    if method not in ("GET", "HEAD"):
        return answer("405 Method Not Allowed", "GET only", "text/plain", ("Allow", "GET, HEAD"))
    views = session.atomic(count)
    if path == "/views":
        return answer("200 OK", f"Number of views {views}\n", "text/plain", ("Cache-Control", "no-store"))
    return answer("200 OK", page(session, views), "text/html", ("Cache-Control", "no-store"))


def read_form(environ: WSGIEnvironment, session: Session) -> dict[str, str]:
    """Return the fields of a posted form, the first of each name, once it has shown that it comes from our own page."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise Refused("400 Bad Request", "The form's length is no number.")
    if len(length) > 9 or int(length) > LARGEST_FORM:
        raise Refused("413 Content Too Large", "The form is too long.")
    try:
        sent = environ["wsgi.input"].read(int(length)).decode("ascii")
        fields = parse_qs(sent, max_num_fields=20, errors="strict")
    except (ValueError, OSError):  # what is no form, and a visitor who stopped half way
        raise Refused("400 Bad Request", "This is no form.") from None
    form = {name: values[0] for name, values in fields.items()}
    token = session.get("csrf", "")
    # Compared in constant time, and as bytes: what a visitor sends need not be ASCII.
    if not token or not hmac.compare_digest(form.get("csrf", "").encode(), token.encode()):
        raise Refused("403 Forbidden", "This form is not from this page, or too old. Go back and reload it.")
    return form


def entry(form: dict[str, str], name: str) -> str:
    """Return what was typed into a field."""
    text = form.get(name, "").strip()
    if not 1 <= len(text) <= LONGEST or re.search(r"[\x00-\x1f\x7f]", text):
        raise Refused("400 Bad Request", f"Type 1 to {LONGEST} characters, please.")
    return text


def page(session: Session, views: int) -> str:
    """Return the page. Everything that came from a visitor is escaped."""

    def form(action: str, button: str, field: str = "") -> str:
        hidden = f'<input type="hidden" name="csrf" value="{escape(session.get("csrf", ""))}">'
        return f'<form method="post" action="{action}">{hidden}{field}<button>{button}</button></form>'

    def field(name: str, label: str) -> str:
        return (
            f'<label>{label} <input name="{name}" maxlength="{LONGEST}" required autocomplete="off"></label>'
        )

    data = json.dumps({name: value for name, value in session.items() if name != "csrf"}, ensure_ascii=False)
    times = {"created": moment(session.created), "expires": moment(session.expires)}
    facts = {"key": session.key or "none: nothing is stored", **times, "data": data}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    items = session.get("cart", {"items": []})["items"]
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    adding = (
        form("/add", "Add", field("item", "New item"))
        if len(items) < MOST_ITEMS
        else "<p>The list is full.</p>"
    )
    if session.owner is None:
        who = "<h2>Log in</h2>" + form("/login", "Log in", field("name", "Your name (no password: a demo)"))
    else:
        others = "".join(
            f"<li>since {moment(info.created)}, key {escape(info.key[:8])}…</li>"
            for info in session.siblings()
        )
        elsewhere = (
            f"<ul>{others}</ul>" + form("/logout-others", "Log out everywhere else")
            if others
            else "<p>Nowhere.</p>"
        )
        who = f"<h2>Logged in as {escape(session.owner)}</h2>{form('/logout', 'Log out')}"
        who += f"</section><section><h2>Logged in elsewhere</h2>{elsewhere}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>wsgisession: {views} views</title><style>{STYLE}</style></head>
<body><main>
<h1>Number of views {views}</h1>
<p>This browser's session. Open the page in another browser, and it has its own.</p>
<section><h2>The session</h2><dl>{rows}</dl></section>
<section><h2>Items</h2>{f"<ol>{listed}</ol>" if listed else "<p>None yet.</p>"}{adding}</section>
<section>{who}</section>
</main></body></html>
"""


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


STYLE = """
:root { color-scheme: light dark; --fg: #1c2430; --bg: #f6f7f9; --card: #fff; --line: #c9d0da; --edge: #6b7686;
  --dim: #566171; --accent: #14539a }
@media (prefers-color-scheme: dark) {
  :root { --fg: #e6eaf0; --bg: #12161c; --card: #1b212a; --line: #3a4452; --edge: #8592a3; --dim: #a3afbe;
    --accent: #8ec2ff } }
* { box-sizing: border-box }
body { margin: 0; font: 1rem/1.55 system-ui, sans-serif; color: var(--fg); background: var(--bg) }
main { max-width: 42rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: clamp(1.6rem, 6vw, 2.4rem); margin: 0 0 .25rem } h2 { font-size: 1.05rem; margin: 0 0 .6rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin-top: 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem .9rem; margin: 0; align-items: baseline }
dt { color: var(--dim) } dd { margin: 0; font: .9em/1.6 ui-monospace, monospace; overflow-wrap: anywhere }
ul, ol { margin: 0 0 .8rem; padding-left: 1.6rem; overflow-wrap: anywhere }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end } label { flex: 1 1 12rem }
input { display: block; width: 100%; font: inherit; padding: .5rem .6rem; color: inherit; background: var(--bg);
  border: 1px solid var(--edge); border-radius: .4rem }
button { font: inherit; padding: .5rem .9rem; border: 1px solid var(--accent); border-radius: .4rem; cursor: pointer;
  background: var(--accent); color: var(--card) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
"""

# Nothing runs on the page and nothing comes from elsewhere; our one style sheet is named by its hash.
POLICY = "default-src 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; style-src "
POLICY += f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
SAFETY = [
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
]


STORE = os.environ.get("WSGISESSION_STORE", "memory:")


def make_application(url: str) -> tuple[SessionMiddleware, str]:
    """Wrap the application; return it, and a sentence about its secret."""
    store = from_url(url)
    if secret := os.environ.get("WSGISESSION_SECRET"):
        told = "The secret is the one in WSGISESSION_SECRET."
    elif isinstance(store, MemoryStore):
        secret = secrets.token_urlsafe(32)
        told = "WSGISESSION_SECRET is not set: a secret was made for this run."
    else:
        secret = kept_secret("demo.secret")
        told = "WSGISESSION_SECRET is not set: a secret was made, and is kept in demo.secret."
    return SessionMiddleware(app, secret=secret, store=store), told


def kept_secret(path: str) -> str:
    """Return the first line of a file: if sessions outlive the process, so must the secret that signs their cookies.

    Workers that start together may all find the file empty and append a line; then each reads the one that came first.
    """
    with open(path, "a+", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.seek(0)
        if not file.readline():
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
        file.seek(0)
        return file.readline().strip()


class Server(ThreadingMixIn, WSGIServer):
    """wsgiref's server, a thread for each request."""

    daemon_threads = True  # Ctrl-C does not wait for a browser that keeps a connection open
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who leaves, or never says anything, is no error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(WSGIRequestHandler):
    timeout = 30  # seconds a visitor may be silent

    def log_message(self, format: str, *arguments: object) -> None:
        """No line for each request."""


def main(arguments: list[str] | None = None) -> int:
    """Serve the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="A page that counts its views, in a session.",
        epilog="WSGISESSION_SECRET signs the cookies: at least 32 bytes, as python3 -m wsgisession secret makes them.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--store",
        default=STORE,
        metavar="URL",
        help="memory:, sqlite:///demo.db, … (default: WSGISESSION_STORE, or memory:)",
    )
    options = parser.parse_args(arguments)
    address = f"[{options.host}]" if ":" in options.host else options.host
    Server.address_family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    doing = "start"
    try:
        application, told = make_application(options.store)
        application.manager.store.load("nobody")  # a store that is down is told now, not to the first visitor
        doing = f"serve http://{address}:{options.port}"
        server = make_server(options.host, options.port, application, Server, Handler)
    except (ImportError, OSError, OverflowError, SessionError, ValueError) as error:
        print(f"demo.py: cannot {doing}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    if not ip_address(str(server.server_address[0])).is_loopback:
        print(
            "Warning: others can reach this address, and the demo's login has no password.", file=sys.stderr
        )
    ends = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and a polite kill
    for number in ends:
        signal.signal(number, lambda *_: Thread(target=server.shutdown).start())
    with closing(application.manager.store), server:
        print(f"{told}\nOpen http://{address}:{server.server_port} (Ctrl-C ends it)", flush=True)
        server.serve_forever(poll_interval=0.1)
        for number in ends:
            signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the end
    print("\nBye.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

application, _ = make_application(STORE)  # for any WSGI server that imports this file
