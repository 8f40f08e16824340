"""A page that counts its views: run ``python3 demo.py`` and open the address it prints, in two browsers.

It shows what a session holds, logs in and out, and ends this user's other sessions. Its login has no password: it is an
example of sessions, not of logins. Served by ``wsgiref`` here; ``application`` is for any other WSGI server.
"""

from __future__ import annotations

import argparse
import hmac
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterable
from html import escape
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from wsgisession import Session, SessionMiddleware

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
MOST_ITEMS, LONGEST, LARGEST_FORM = 20, 80, 4096  # items in the list, characters of one, bytes of a posted form


class BadRequest(Exception):
    """What the visitor sent is not what our forms send; the status says how."""


def count(session: Session) -> int:
    """Count one view. Inside atomic(), so that requests that overlap count exactly."""
    session["views"] = session.get("views", 0) + 1
    return int(session["views"])


def csrf(session: Session) -> str:
    """Return the token that our own forms carry, made at first use."""
    return str(session.setdefault("csrf", secrets.token_urlsafe(16)))


def show(session: Session) -> str:
    """GET /: count, and show everything."""
    token = csrf(session)
    views = session.atomic(count)
    return page(session, views, token)


def add(session: Session, form: dict[str, str]) -> None:
    """POST /add: one more item in a nested list. No flag is needed, the change is noticed."""
    text = form.get("item", "").strip()[:LONGEST]
    items = session.setdefault("cart", {"items": []})["items"]
    if text and len(items) < MOST_ITEMS:
        items.append(text)


def login(session: Session, form: dict[str, str]) -> None:
    """POST /login: a new owner implies a new id. The token changes too: nobody may know one from before the login."""
    name = form.get("name", "").strip()[:LONGEST].replace("\0", "")
    if name:
        session.owner = name
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
    headers = [
        ("Content-Security-Policy", POLICY),
        ("Referrer-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
    ]

    def answer(status: str, text: str, kind: str = "text/plain", *more: tuple[str, str]) -> Iterable[bytes]:
        body = text.encode("utf-8", "replace")
        own = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(status, [*own, *headers, *more])
        return [b"" if method == "HEAD" else body]

    reading = method in ("GET", "HEAD")
    if path in ACTIONS:
        if method != "POST":
            return answer("405 Method Not Allowed", "POST only", "text/plain", ("Allow", "POST"))
        try:
            form = read_form(environ)
            # Compared in constant time, and as bytes: what a visitor sends need not be ASCII.
            expected = session.get("csrf", "")
            if not expected or not hmac.compare_digest(form.get("csrf", "").encode("utf-8", "replace"), expected.encode()):
                raise BadRequest("403 Forbidden")
        except BadRequest as error:
            return answer(str(error), "This form is not from this page, or too old. Go back and reload it.")
        ACTIONS[path](session, form)
        return answer("303 See Other", "", "text/plain", ("Location", "/"))
    if path not in ("/", "/views"):
        return answer("404 Not Found", "Nothing here")  # a favicon too: no view is counted
    if not reading:
        return answer("405 Method Not Allowed", "GET only", "text/plain", ("Allow", "GET, HEAD"))
    if path == "/views":
        return answer("200 OK", f"Number of views {session.atomic(count)}\n")
    return answer("200 OK", show(session), "text/html", ("Cache-Control", "no-store"))


def read_form(environ: WSGIEnvironment) -> dict[str, str]:
    """Return the fields of a posted form, the first of each name."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("400 Bad Request")
    if int(length) > LARGEST_FORM:
        raise BadRequest("413 Content Too Large")
    try:
        fields = parse_qs(environ["wsgi.input"].read(int(length)).decode(), max_num_fields=20)
    except ValueError:
        raise BadRequest("400 Bad Request") from None
    return {name: values[0] for name, values in fields.items()}


STYLE = """
:root { color-scheme: light dark; --fg: #1c2430; --bg: #f6f7f9; --card: #fff; --line: #c9d0da; --accent: #14539a; }
@media (prefers-color-scheme: dark) {
  :root { --fg: #e6eaf0; --bg: #12161c; --card: #1b212a; --line: #3a4452; --accent: #8ec2ff; } }
* { box-sizing: border-box }
body { margin: 0; font: 1rem/1.55 system-ui, sans-serif; color: var(--fg); background: var(--bg) }
main { max-width: 42rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
h1 { font-size: clamp(1.6rem, 6vw, 2.4rem); margin: 0 0 .25rem } h2 { font-size: 1.05rem; margin: 0 0 .6rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin-top: 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem .9rem; margin: 0 } dt { opacity: .8 }
dd { margin: 0; overflow-wrap: anywhere } ul, ol { margin: 0 0 .8rem; padding-left: 1.2rem; overflow-wrap: anywhere }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end } label { flex: 1 1 12rem }
input { display: block; width: 100%; font: inherit; padding: .45rem .6rem; color: inherit; background: var(--bg);
  border: 1px solid var(--line); border-radius: .4rem }
button { font: inherit; padding: .5rem .9rem; border: 1px solid var(--accent); border-radius: .4rem; cursor: pointer;
  background: var(--accent); color: var(--card) }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
"""


def page(session: Session, views: int, token: str) -> str:
    """Return the page. Everything that came from a visitor is escaped."""

    def form(action: str, button: str, field: str = "") -> str:
        hidden = f'<input type="hidden" name="csrf" value="{escape(token)}">'
        return f'<form method="post" action="{action}">{hidden}{field}<button>{button}</button></form>'

    def field(name: str, label: str) -> str:
        return f'<label>{label} <input name="{name}" maxlength="{LONGEST}" required autocomplete="off"></label>'

    items = session.get("cart", {"items": []})["items"]
    listed = "".join(f"<li>{escape(item)}</li>" for item in items)
    facts = {"key": session.key or "", "created": moment(session.created), "expires": moment(session.expires)}
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    adding = form("/add", "Add", field("item", "New item")) if len(items) < MOST_ITEMS else "<p>The list is full.</p>"
    if session.owner is None:
        who = "<h2>Log in</h2>" + form("/login", "Log in", field("name", "Your name (no password: a demo)"))
    else:
        others = "".join(f"<li>since {moment(info.created)}, key {escape(info.key[:8])}…</li>" for info in session.siblings())
        elsewhere = f"<ul>{others}</ul>" + form("/logout-others", "Log out everywhere else") if others else "<p>Nowhere.</p>"
        who = f"<h2>Logged in as {escape(session.owner)}</h2>{form('/logout', 'Log out')}"
        who += f"</section><section><h2>Also logged in</h2>{elsewhere}"
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


def make_application(store: str) -> tuple[SessionMiddleware, bool]:
    """Return the wrapped application, and whether its secret was made just now."""
    secret = os.environ.get("WSGISESSION_SECRET")
    return SessionMiddleware(app, secret=secret or secrets.token_urlsafe(32), store=store), not secret


class Server(ThreadingMixIn, WSGIServer):
    """wsgiref's server, a thread for each request."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """Does not look up the names of its visitors; logs as wsgiref does."""

    def address_string(self) -> str:
        return str(self.client_address[0])


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def interrupt(number: int, frame: object) -> None:
    """A polite kill ends the server as Ctrl-C does."""
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Serve the demo until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A page that counts its views, in a session.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument("--store", default="memory:", metavar="URL", help="where sessions live (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        application, made = make_application(options.store)
        server = make_server(options.host, options.port, application, Server, QuietHandler)
    except (OSError, OverflowError, ValueError) as error:
        print(f"demo.py: cannot serve http://{options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    if not is_loopback(options.host):
        print("Warning: others can reach this address, and the demo's login has no password.", file=sys.stderr)
    if made:
        print("A secret was made for this run; set WSGISESSION_SECRET to keep cookies valid over a restart.")
    signal.signal(signal.SIGTERM, interrupt)
    print(f"Open http://{options.host}:{server.server_port} (Ctrl-C ends it)", flush=True)
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nBye.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
