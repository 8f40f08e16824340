"""A page that counts its views, and shows what its sessions can do: run ``python3 demo.py`` and open the address it prints.

Everything works as plain forms. A small script sends requests that overlap, and counts a time-out down. The login has no
password: it is an example of sessions, not of logins. Served by ``wsgiref`` here; for any other WSGI server there is
``application``: ``WSGISESSION_STORE=sqlite:///demo.db gunicorn -w 4 demo:application``.

To learn the library, read the actions, from ``count`` to ``elsewhere``. After them come the application, the page and the server.
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
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import date
from decimal import Decimal
from html import escape
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from wsgisession import MemoryStore, Session, SessionError, SessionMiddleware, UnsupportedType, get_session
from wsgisession.stores import from_url

# Items in the cart, characters of one, bytes of a posted form.
MOST_ITEMS, LONGEST, LARGEST_FORM = 20, 80, 4096
# Seconds: each of the two requests at once, the late one, the short time-out.
SLOW, LATE, SHORT = 2, 3, 20
VALUES = {"price": Decimal("19.90"), "born": date(1815, 12, 10), "sizes": {36, 38}, "place": (51.5, -0.1)}

Form = dict[str, str]
Told = tuple[str, str]  # what an action answers: the section that it belongs to, a sentence for the visitor


class Refused(Exception):
    """What the visitor sent is not what our forms send: a status, what happened in a few words, and a sentence."""


def count(session: Session) -> int:
    """Count one view. Inside atomic(), so that requests that overlap count exactly."""
    # Our own forms contain it, and nobody else knows it.
    session.setdefault("csrf", secrets.token_urlsafe(16))
    session["views"] = session.get("views", 0) + 1
    session["seen"] = time.time()
    return int(session["views"])


def add(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /add: one more item in a nested list. No flag is needed, the change is noticed."""
    item = entry(form, "item")

    def append(session: Session) -> None:
        room(session).append(item)
        session.pop("overwritten", None)

    session.atomic(append)  # because the length is checked; without a limit, append alone would be enough
    return "race", f"{item} is in the cart."


def room(session: Session) -> list[str]:
    """Return the cart's items, if there is room for one more."""
    items: list[str] = session.setdefault("cart", {"items": []})["items"]
    if len(items) >= MOST_ITEMS:
        raise Refused("400 Bad Request", "The list is full.", "Empty the cart first.")
    return items


def slow(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /slow: read the cart, work for a while, and add to it. Two at once are merged, and both items are kept.

    Beside it, the same cart as a tuple. A tuple is one plain value, so the later save overwrites it. That is what a library
    which loads and overwrites does to everything.
    """
    item, items = entry(form, "item"), room(session)
    overwriting = (*items, item)
    time.sleep(SLOW)
    items.append(item)
    session["overwritten"] = overwriting
    return "race", f"Added {item}." if session.save() else f"{item} was dropped: the session had ended."


def empty(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /empty: delete the cart's items. The session goes on."""
    session.pop("cart", None)
    session.pop("overwritten", None)
    return "race", "The cart is empty."


def late(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /late: a request that writes three seconds after it has read. If the session ended meanwhile, it writes nothing."""
    time.sleep(LATE)
    session["late"] = "written by the late request"
    if session.save():
        return "late", "The late request was saved: nobody logged out while it ran. Try again, and log out."
    return "late", "The late request was dropped: session.save() returned False."


def types(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /types: store types that JSON does not have. The page reads them back in another request."""
    session["values"] = VALUES
    return "types", "Stored. The table shows what this next request read back."


def refusal(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /object: store an object, deep inside a value. The error says where it is, before anything is saved."""
    session["order"] = {"lines": ["tea", "milk", object()]}
    told = "Stored."
    try:
        session.save()
    except UnsupportedType as error:
        session.reload()  # drops the change; everything else is as it was
        told = f"Refused. {error}"
    return "types", told


def login(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /login: a new owner gives the session a new id. The token changes too, because somebody may know the old
    one.
    """
    session.owner = entry(form, "name")
    session.persistent = "remember" in form
    session["csrf"] = secrets.token_urlsafe(16)
    session["device"] = device(environ.get("HTTP_USER_AGENT", ""))
    return "who", f"Hello, {session.owner}. Your session has a new id, and your cart is still there."


def logout(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /logout: end the session, now."""
    session.destroy()
    return "who", ""


def end(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /end: end one session of this user: this one, or one of the list. Other people's are not in the list."""
    key = form.get("key", "")
    if key == session.key:
        return logout(session, form, environ)
    others = {info.key: info for info in session.siblings()} if session.owner else {}
    if key not in others or not environ["demo.manager"].destroy(key):
        return "where", "That session has ended already."
    return "where", f"Ended: {named(others[key].data)}. Its next request begins a new session."


def logout_others(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /logout-others: end this user's other sessions."""
    ended = session.destroy_siblings() if session.owner is not None else 0
    return "where", f"Sessions that ended: {ended}."


def pretend(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /pretend: a session of this user outside any request, for people who have only one browser."""
    if session.owner is not None:
        environ["demo.manager"].issue({"device": "A pretended phone", "seen": time.time()}, session.owner)
    return "where", "A second device is logged in."


def timeout(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /timeout: give this session its own time-out, or the usual one again."""
    session.idle_timeout = SHORT if "short" in form else None
    return (
        "timeout",
        f"This session has {'a time-out of its own' if 'short' in form else 'the usual time-out'}.",
    )


def elsewhere(session: Session, form: Form, environ: WSGIEnvironment) -> Told:
    """POST /elsewhere: end this session as another device would. This browser does not notice."""
    environ["demo.manager"].destroy(session.key)
    return "old", "The session has ended, and this browser does not know. Now send a form."


ACTIONS: dict[str, Callable[[Session, Form, WSGIEnvironment], Told]] = {
    "/add": add,
    "/slow": slow,
    "/empty": empty,
    "/late": late,
    "/types": types,
    "/object": refusal,
    "/login": login,
    "/logout": logout,
    "/end": end,
    "/logout-others": logout_others,
    "/pretend": pretend,
    "/timeout": timeout,
    "/elsewhere": elsewhere,
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The application: the page, its forms, the bare count at /views, and what is left of the time-out at /left."""
    session, path, method = get_session(environ), environ.get("PATH_INFO") or "/", environ["REQUEST_METHOD"]

    def answer(status: str, text: str, kind: str = "text/plain", *more: tuple[str, str]) -> Iterable[bytes]:
        body = text.encode("utf-8", "replace")
        own = [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response(status, [*own, *SAFETY, ("Cache-Control", "no-store"), *more])
        return [b"" if method == "HEAD" else body]

    def notice(status: str, title: str, text: str, *more: tuple[str, str]) -> Iterable[bytes]:
        """A page with one message. Our script gets the message alone."""
        if plain:
            return answer(status, text, "text/plain", *more)
        return answer(status, document(NOTICE.format(escape(title), escape(text)), title), "text/html", *more)

    plain = environ.get("HTTP_ACCEPT") == "text/plain"
    if path in ACTIONS:
        if method != "POST":
            return notice("405 Method Not Allowed", "Not this way", "POST only", ("Allow", "POST"))
        try:
            where, sentence = ACTIONS[path](session, read_form(environ, session), environ)
        except Refused as refused:
            return notice(*refused.args)
        if plain or session.gone:  # a session that has ended keeps no sentence for the next page
            return notice("200 OK", "Your session has ended", sentence)
        if sentence:
            session["said"] = (where, sentence)
        return answer("303 See Other", "", "text/plain", ("Location", "/#said" if sentence else "/"))
    if path not in ("/", "/views", "/left"):  # a favicon too: no view is counted
        return notice("404 Not Found", "Nothing here", "There is no page at this address.")
    if method not in ("GET", "HEAD"):
        return notice("405 Method Not Allowed", "Not this way", "GET only", ("Allow", "GET, HEAD"))
    if path == "/left":
        return answer("200 OK", json.dumps(left(session, environ)), "application/json")
    views = session.atomic(count)
    if path == "/views":
        return answer("200 OK", f"Number of views {views}\n")
    return answer("200 OK", page(session, views), "text/html")


def left(session: Session, environ: WSGIEnvironment) -> dict[str, Any]:
    """GET /left: how long the session still has. With ``passive``, asking is no use of the session. Otherwise it would
    never end.
    """
    session.passive = True
    seconds = None if session.new or session.gone else round(session.expires - time.time())
    return {"left": seconds, "text": span(seconds or 0), "cookie": has_cookie(environ)}


def has_cookie(environ: WSGIEnvironment) -> bool:
    """True if the browser sent a cookie of our name. Only the library knows whether it is valid."""
    return "sid=" in environ.get("HTTP_COOKIE", "")


def read_form(environ: WSGIEnvironment, session: Session) -> Form:
    """Return the fields of a posted form, the first of each name, once it has shown that it comes from our own page."""
    length, bad = environ.get("CONTENT_LENGTH") or "0", "That did not work"
    if not (length.isascii() and length.isdigit()):
        raise Refused("400 Bad Request", bad, "The form's length is no number.")
    if len(length) > 9 or int(length) > LARGEST_FORM:
        raise Refused("413 Content Too Large", bad, "The form is too long.")
    try:
        sent = environ["wsgi.input"].read(int(length)).decode("ascii")
        fields = parse_qs(sent, max_num_fields=20, errors="strict")
    except (ValueError, OSError):  # it is no form, or the visitor stopped half way
        raise Refused("400 Bad Request", bad, "This is no form.") from None
    form = {name: values[0] for name, values in fields.items()}
    token = session.get("csrf", "")
    # Compared in constant time, and as bytes: what a visitor sends need not be ASCII.
    if not token or not hmac.compare_digest(form.get("csrf", "").encode(), token.encode()):
        raise Refused("403 Forbidden", *what_happened(session, environ))
    return form


def what_happened(session: Session, environ: WSGIEnvironment) -> tuple[str, str]:
    """Say why a form is not accepted. The common reason: it was open while the session ended somewhere else."""
    unused = "What you sent was not used, and nothing was changed."
    if not session.new and not session.gone:
        return "This form is too old", f"This browser has logged in or out since, in another tab. {unused}"
    if has_cookie(environ):
        ways = "It was logged out, here or on another device, or its time ran out."
        return "Your session has ended", f"This form belongs to a session that is over. {ways} {unused}"
    ways = "You logged out in another tab, or your browser keeps no cookies."
    return "There is no session", f"This form came without a session's cookie. {ways} {unused}"


def entry(form: Form, name: str) -> str:
    """Return what was typed into a field."""
    text = form.get(name, "").strip()
    if not 1 <= len(text) <= LONGEST or re.search(r"[\x00-\x1f\x7f]", text):
        raise Refused("400 Bad Request", "That did not work", f"Type 1 to {LONGEST} characters, please.")
    return text


BROWSERS = {"Edg/": "Edge", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari", "curl/": "curl"}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "Windows": "Windows",
    "Mac OS": "macOS",
    "Linux": "Linux",
}


def device(agent: str) -> str:
    """Name a browser in words, by its User-Agent header."""
    browser = next((name for mark, name in BROWSERS.items() if mark in agent), "A browser")
    system = next((f" on {name}" for mark, name in SYSTEMS.items() if mark in agent), "")
    return browser + system


def named(data: Mapping[str, Any]) -> str:
    return str(data.get("device", device("")))


def span(seconds: float) -> str:
    """Return a duration as people say it: "20 seconds", "2 hours"."""
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    name, size = next((unit for unit in units if seconds > 0.99 * unit[1]), units[-1])
    number = max(round(seconds / size), 0)
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def ago(moment: float) -> str:
    passed = time.time() - moment
    return "just now" if passed < 5 else f"{span(passed)} ago"


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


# The page. Everything that came from a visitor is escaped.


def page(session: Session, views: int) -> str:
    """Return the page, with the sentence that the last action left for one of its sections."""
    where, sentence = session.pop("said", ("", ""))

    def panel(name: str) -> str:
        note = f'<p class="said" id="said" tabindex="-1">{escape(sentence)}</p>' if name == where else ""
        empty = f'<p class="said" id="{name}-said" tabindex="-1"></p>'  # for our script
        return f'<div class="panel">{note}{empty}{PANELS[name](session)}</div>'

    return document(PAGE.format(views=views, **{name: panel(name) for name in PANELS}))


def document(body: str, title: str = "wsgisession: server-side sessions for any WSGI application") -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head>
<body>{HEADER}{body}<p id="live" class="unseen" role="status"></p><script>{SCRIPT}</script></body></html>
"""


TAB = ' target="_blank"'


def form(
    session: Session, action: str, button: str, fields: str = "", kind: str = "quiet", more: str = ""
) -> str:
    fields += hidden("csrf", session.get("csrf", ""))
    return (
        f'<form method="post" action="{action}"{more}>{fields}<button class="{kind}">{button}</button></form>'
    )


def hidden(name: str, value: str | None) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value or "")}">'


def field(name: str, label: str) -> str:
    return f'<label>{label} <input name="{name}" maxlength="{LONGEST}" required autocomplete="off"></label>'


def script_button(name: str, label: str, more: str = "") -> str:
    """Return a button that only our script can use, because its action needs requests that overlap."""
    return f'<button type="button" class="js" id="{name}-run" data-run="{name}"{more}>{label}</button>'


def who_panel(session: Session) -> str:
    if session.owner is None:
        remember = '<label class="check"><input type="checkbox" name="remember"> Remember me</label>'
        name = field("name", "Your name (no password: a demo)")
        return "<h2>Log in</h2>" + form(session, "/login", "Log in", name + remember, "")
    lasts = "This browser remembers you." if session.persistent else "This lasts until the browser closes."
    title = f"<h2>Logged in as {escape(session.owner)}</h2><p>Logged in {ago(session.created)}. {lasts}</p>"
    return title + form(session, "/logout", "Log out")


def race_panel(session: Session) -> str:
    items = session.get("cart", {"items": []})["items"]
    carts = f"<div><h3>The cart</h3>{listed(map(escape, items))}</div>"
    if (overwritten := session.get("overwritten")) is not None:
        lost = (Counter(items) - Counter(overwritten)).elements()
        rows = [*map(escape, overwritten), *(f"<del>{escape(item)}</del> <b>lost</b>" for item in lost)]
        carts += f"<div><h3>Load and overwrite</h3>{listed(rows)}</div>"
    adding = form(session, "/add", "Add", field("item", "New item"))
    tabs = [form(session, "/slow", f"Add {item}", hidden("item", item), "", TAB) for item in ("tea", "milk")]
    return f"""{script_button("race", "Add tea and milk at once")}
<noscript><p>Press both within {SLOW} seconds. Each opens a tab. Then load this page again.</p>{"".join(tabs)}</noscript>
<div class="lanes" aria-hidden="true"><i>adds tea</i><i>adds milk</i></div><div class="pair">{carts}</div>
{adding if len(items) < MOST_ITEMS else "<p>The list is full.</p>"}{form(session, "/empty", "Empty the cart") if items else ""}"""


def listed(items: Iterable[str]) -> str:
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f"<ol>{rows}</ol>" if rows else "<p>None yet.</p>"


def late_panel(session: Session) -> str:
    tab = form(session, "/late", "Start the late request", kind="", more=TAB)
    logout = script_button("logout", "Log out meanwhile", " disabled")
    return f"""<div class="row">{script_button("late", "Start the late request")}{logout}</div>
<noscript><p>It opens a tab. Log out here, at the top, within {LATE} seconds, and look there.</p>{tab}</noscript>
<div class="lanes late" aria-hidden="true"><i>the late request</i></div>"""


def types_panel(session: Session) -> str:
    back, rows, same = session.get("values", {}), "", 0
    for name, value in VALUES.items():
        read = back.get(name)
        same += type(read) is type(value) and read == value
        cell = f"{written(read) if back else '–'}<small>JSON alone: {written(JSON_ALONE[name])}</small>"
        rows += f'<tr><th scope="row">{written(value)}</th><td>{cell}</td></tr>'
    told = f"{same} of {len(VALUES)} came back equal, of the same type." if back else "Nothing is stored yet."
    return f"""<table><caption>{told}</caption><thead><tr><th scope="col">put in</th>
<th scope="col">read back</th></tr></thead><tbody>{rows}</tbody></table>
<div class="row">{form(session, "/types", "Put them in", kind="")}{form(session, "/object", "Store an object")}</div>"""


def written(value: object) -> str:
    return escape(repr(value).removeprefix("datetime."))


def where_panel(session: Session) -> str:
    if session.owner is None:
        return '<p>Nobody is logged in. <a href="#who">Log in</a>, and this lists your devices.</p>'

    def row(key: str | None, name: str, created: float, seen: str) -> str:
        words = f'End<span class="unseen"> the session of {escape(name)}, {seen}</span>'
        facts = f"<div><b>{escape(name)}</b><small>Logged in {ago(created)} · {seen}</small></div>"
        return f"<li>{facts}{form(session, '/end', words, hidden('key', key))}</li>"

    others = ""
    for info in session.siblings():
        seen = info.data.get("seen", info.used)  # used alone is exact to a tenth of the time-out
        others += row(info.key, named(info.data), info.created, f"used {ago(seen)}")
    here = row(session.key, named(session), session.created, "this device")
    nowhere = "<p>Nowhere. Log in with the same name in another browser.</p>"
    everywhere = form(session, "/logout-others", "Log out everywhere else") if others else ""
    return f"""<h3>Here</h3><ul role="list">{here}</ul><h3>Logged in elsewhere</h3>{f'<ul role="list">{others}</ul>' if others else nowhere}
<div class="row">{everywhere}{form(session, "/pretend", "Pretend a second device")}</div>"""


def timeout_panel(session: Session) -> str:
    remains = round(session.expires - time.time())
    if session.idle_timeout is None:
        button = form(session, "/timeout", f"Give it {SHORT} seconds", hidden("short", "yes"), "")
        return f"<p>Without use, this session ends in {span(remains)}.</p>{button}"
    return f"""<p>Without use, this session ends in <b id="countdown" role="timer">{span(remains)}</b>.</p>
<progress id="bar" max="{SHORT}" value="{remains}" aria-hidden="true"></progress>
<p class="js">This page has asked <b id="polls">0</b> times how long is left. To ask is no use of the session.</p>
{form(session, "/timeout", "Back to the usual time-out")}"""


def sides_panel(session: Session) -> str:
    times = {"created": moment(session.created), "expires": moment(session.expires)}
    facts = {"key": session.key or "none: nothing is stored", "owner": session.owner or "nobody", **times}
    data = {f"[{name!r}]": repr(value) for name, value in session.items() if name != "csrf"}
    lasts = "30 days after the last use (Max-Age)" if session.persistent else "until the browser closes"
    cookie = {"sid": "43 random characters, a dot, a signature", "data": "none", "lasts": lasts}
    cookie["other sites"] = "cannot send it with a form (SameSite=Lax)"
    return f"""<div class="pair"><div><h3>The server holds</h3>{defined(facts | data)}</div><div><h3>The browser holds</h3>
{defined(cookie)}<dl class="js"><dt>scripts see</dt><dd id="scripts-see"></dd></dl></div></div>"""


def defined(facts: dict[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in facts.items())}</dl>"


def old_panel(session: Session) -> str:
    return f"""<ol><li><p>End this session as another device would.</p>{script_button("old", "End it from elsewhere")}
<noscript><p>Log in with the same name in another browser, and press End there.</p></noscript></li>
<li><p>Send a form of this page, which is old by now.</p>
{form(session, "/add", "Add biscuits to the cart", hidden("item", "biscuits"))}</li></ol>"""


SHOWN = (who_panel, race_panel, late_panel, types_panel, where_panel, timeout_panel, sides_panel, old_panel)
PANELS = {show.__name__.removesuffix("_panel"): show for show in SHOWN}
JSON_ALONE = {"price": "19.90", "born": "1815-12-10", "sizes": [36, 38], "place": [51.5, -0.1]}
HEADER = """<header><svg viewBox="0 0 64 64" width="40" height="40" aria-hidden="true"><rect width="64" height="64" rx="14"
fill="#14539a"/><g fill="none" stroke-width="6.5" stroke-linecap="round" stroke-linejoin="round"><path stroke="#8ec2ff"
d="M29 19 40.5 45 52 19"/><path stroke="#14539a" stroke-width="11" stroke-linecap="butt" d="M12 19 23.5 45 35 19"/>
<path stroke="#fff" d="M12 19 23.5 45 35 19"/></g></svg>
<p><strong>wsgisession</strong> <span>Server-side sessions for any WSGI application</span></p></header>
"""
NOTICE = '<main class="notice"><h1>{}</h1><p>{}</p><p><a class="button" href="/">Open the page again</a></p></main>'
PAGE = f"""<main>
<section class="hero" id="who"><div class="about"><h1>Number of views {{views}}</h1>
<p>A session of this browser counts them. Open the page in another browser, and that one begins at 1.</p>
<nav aria-label="On this page"><a href="#race">Two at once</a> <a href="#late">The late request</a> <a href="#types">Types</a>
<a href="#where">Who is where</a> <a href="#timeout">Time-out</a> <a href="#sides">Both sides</a> <a href="#old">An old form</a></nav>
</div>{{who}}</section>
<section id="race" aria-labelledby="h-race"><div class="about"><h2 id="h-race">Two requests at once</h2>
<p>Both read the cart, work for {SLOW} seconds, then add an item. Most session libraries load a session and write all of it back, so
the request that ends last overwrites the other. Here both items are kept.</p>
<pre><code>items = session["cart"]["items"]
slow_work()
items.append("tea")</code></pre></div>{{race}}</section>
<section id="late" aria-labelledby="h-late"><div class="about"><h2 id="h-late">The late request</h2>
<p>It reads the session, and writes {LATE} seconds later. Log out while it runs. Gone is gone: what it writes is dropped, and its
answer sets no cookie. Most session libraries would log you in again.</p>
<pre><code>slow_work()
session["late"] = "written"
session.save()  # False</code></pre></div>{{late}}</section>
<section id="types" aria-labelledby="h-types"><div class="about"><h2 id="h-types">What you put in comes back</h2>
<p>Equal and of the same type, however deep it is nested. What would not come back is refused, and the error says where it is.</p>
<pre><code>session["price"] = Decimal("19.90")
session["sizes"] = {{{{36, 38}}}}</code></pre></div>{{types}}</section>
<section id="where" aria-labelledby="h-where"><div class="about"><h2 id="h-where">Who is where</h2>
<p>A login names the owner of a session. So users can see all their sessions, and end each of them at once.</p>
<pre><code>session.owner = "ada"  # a new id
session.persistent = True
session.siblings()
manager.destroy(key)</code></pre></div>{{where}}</section>
<section id="timeout" aria-labelledby="h-timeout"><div class="about"><h2 id="h-timeout">A time-out of its own</h2>
<p>Sessions here end after two hours without use, or after 30 days if you are remembered. One session can have less. A poll that
is marked as passive is no use: this page asks all the time, and still the session ends.</p>
<pre><code>session.idle_timeout = {SHORT}
session.passive = True  # a poll</code></pre></div>{{timeout}}</section>
<section id="sides" aria-labelledby="h-sides"><div class="about"><h2 id="h-sides">Both sides</h2>
<p>The cookie holds a random id and its signature. The server knows the session by its key, the SHA-256 of the id. So neither the
store nor its backup gives anybody a session.</p>
<pre><code>session.key, session.owner
session.created, session.expires
dict(session)</code></pre></div>{{sides}}</section>
<section id="old" aria-labelledby="h-old"><div class="about"><h2 id="h-old">An old form</h2>
<p>A form stays open in one browser, while another one ends its session. The form is refused, and a page says what happened.</p>
<pre><code>if session.new:  # it has ended
    return what_happened()</code></pre></div>{{old}}</section>
</main>
"""

STYLE = """
:root { color-scheme: light dark; --fg: #1c2430; --bg: #f6f7f9; --card: #fff; --code: #eceff4; --line: #d5dbe3; --edge: #6b7686;
  --dim: #556070; --accent: #14539a; --on: #fff; --lost: #b3202b; --shade: 0 1px 2px #1c243014, 0 8px 24px #1c24300f }
@media (prefers-color-scheme: dark) {
  :root { --fg: #e6eaf0; --bg: #11151b; --card: #1a2029; --code: #232b37; --line: #323c4a; --edge: #8592a3; --dim: #a5b0be;
    --accent: #8ec2ff; --on: #0d1b2c; --lost: #ff938a; --shade: none } }
* { box-sizing: border-box }
body { margin: 0; font: 1rem/1.6 system-ui, sans-serif; color: var(--fg); background: var(--bg); -webkit-text-size-adjust: 100% }
header, main { max-width: 70rem; margin: 0 auto; padding: 0 1.25rem; overflow-wrap: anywhere }
header { display: flex; gap: .8rem; align-items: center; padding-top: 1.25rem; line-height: 1.3 }
header svg { flex: none } header strong { display: block } header span, .about > p { color: var(--dim) }
h1 { font-size: clamp(2rem, 6vw, 3.2rem); line-height: 1.1; letter-spacing: -.025em; margin: 0 0 1rem; text-wrap: balance;
  font-variant-numeric: tabular-nums }
h2 { font-size: 1.35rem; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .6rem } .panel h2 { font-size: 1.1rem }
h3 { font-size: .95rem; margin: 0 0 .35rem } p { margin: 0 } small { display: block; color: var(--dim); font-size: .85rem }
section { display: grid; gap: 1.25rem; padding: 2.5rem 0; border-top: 1px solid var(--line) } .hero { border: 0 }
section > div { min-width: 0 } .about > p { max-width: 36rem; margin-bottom: 1rem }
@media (min-width: 56rem) { section { grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 3rem; padding: 3rem 0 }
  .hero { grid-template-columns: minmax(0, 7fr) minmax(0, 5fr) } #sides { grid-template-columns: 1fr; gap: 1.5rem }
  #sides .about { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); column-gap: 3rem }
  #sides h2 { grid-column: 1 / -1 } #sides pre { align-self: start } }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: 1.25rem; box-shadow: var(--shade);
  align-self: start; display: grid; gap: 1rem; grid-template-columns: minmax(0, 1fr); justify-items: start }
.panel > * { margin: 0; width: 100% } .panel > button { width: auto }
nav { display: flex; flex-wrap: wrap; gap: .5rem } a { color: var(--accent); text-underline-offset: .2em }
nav a { padding: .2rem .8rem; border: 1px solid var(--line); border-radius: 2rem; text-decoration: none; background: var(--card) }
pre, dd, td, tbody th { font: .85rem/1.6 ui-monospace, monospace }
pre { margin: 0; padding: .75rem 1rem; border-radius: .6rem; background: var(--code); white-space: pre-wrap; max-width: 36rem }
ol, ul, dl { margin: 0 } ol { padding-left: 1.4rem } ul { list-style: none; padding: 0 } li + li { margin-top: .3rem }
#old li + li { margin-top: 1rem } #old li > p { margin-bottom: .5rem } del { color: var(--dim) } del + b { color: var(--lost) }
ul li { display: flex; gap: 1rem; justify-content: space-between; align-items: center; padding: .6rem 0; border-top: 1px solid var(--line) }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr)); gap: 1.25rem 2rem }
#sides .pair { grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)) }
dl { display: grid; grid-template-columns: minmax(6.5rem, auto) 1fr } dt, dd { padding: .3rem 0; margin: 0 } dt { padding-right: 1rem }
dt { color: var(--dim); font-size: .85rem } dl > * { border-top: 1px solid var(--line) }
table { border-collapse: collapse } td small { font-size: 1em } caption { text-align: left; margin-bottom: .6rem } td { width: 50% }
th, td { text-align: left; vertical-align: top; padding: .45rem .8rem .45rem 0; border-top: 1px solid var(--line); font-weight: 400 }
thead th { border: 0; padding-top: 0; color: var(--dim); font-size: .85rem }
form, .row { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end } label { flex: 1 1 12rem } li form { flex: none }
input { display: block; width: 100%; font: inherit; padding: .5rem .7rem; color: inherit; background: var(--bg);
  border: 1px solid var(--edge); border-radius: .5rem; margin-top: .2rem; min-height: 2.75rem }
.check { display: flex; gap: .6rem; align-items: center; flex-basis: 100% }
.check input { width: 1.5rem; min-height: 1.5rem; margin: 0; flex: none; accent-color: var(--accent) }
button, .button { font: inherit; font-weight: 600; padding: .5rem 1.1rem; min-height: 2.75rem; border: 1px solid var(--accent);
  border-radius: .5rem; cursor: pointer; background: var(--accent); color: var(--on); text-decoration: none; display: inline-block }
.quiet { background: none; color: var(--accent) } button:hover, .button:hover { filter: brightness(1.12) }
button:disabled, button[aria-disabled=true] { background: var(--code); border-color: var(--line); color: var(--dim); cursor: default }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
.said { border-left: 4px solid var(--accent); padding: .5rem .8rem; background: var(--code); border-radius: .3rem }
.said:empty, .lanes { display: none } .said:focus { outline: 2px solid var(--accent) } .lanes.on { display: grid; gap: .4rem }
.lanes i { font: .85rem/1.6 system-ui, sans-serif; padding: .4rem .8rem; border-radius: .4rem; background: var(--code)
  linear-gradient(var(--accent), var(--accent)) no-repeat 0 100% / 0 4px; animation: fill SLOWs linear forwards }
.late i { animation-duration: LATEs } @keyframes fill { to { background-size: 100% 4px } }
progress { height: .6rem; accent-color: var(--accent) } noscript > * { margin-bottom: .75rem }
@media (max-width: 30rem) { td, tbody th { font-size: .8rem; padding-right: .5rem } }
.notice { padding-top: 3rem } .notice p { max-width: 40rem; margin-bottom: 1.25rem }
.unseen { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
@media (scripting: none) { .js { display: none } }
@media (prefers-reduced-motion: reduce) { .lanes i { animation: none; background-size: 100% 4px } }
""".replace("SLOWs", f"{SLOW}s").replace("LATEs", f"{LATE}s")

SCRIPT = """
"use strict";
const $ = id => document.getElementById(id);
const say = (name, text) => {  // for the eye in its section, for a screen reader in one place that always stays
  $("said")?.remove();
  $(name + "-said").textContent = $("live").textContent = text };
const ask = async () => (await fetch("/left")).json();
const post = async (path, fields) => {
  const body = new URLSearchParams({csrf: document.querySelector("[name=csrf]").value, ...fields});
  return (await fetch(path, {method: "POST", headers: {Accept: "text/plain"}, body})).text() };
const look = () => { $("scripts-see").textContent = document.cookie.includes("sid=") ? "it" : "nothing (HttpOnly)" };
const renew = async (name, text) => {  // the page once more, in its place: what the session holds now, and its token
  const answer = await (await fetch("/")).text(), at = document.activeElement.id;
  document.querySelector("main").replaceWith(new DOMParser().parseFromString(answer, "text/html").querySelector("main"));
  old = false;
  look();
  say(name, text);
  ($(at) || $(name + "-said")).focus({preventScroll: true}) };
const run = {
  async race() {
    say("race", "Two requests are running.");
    const told = await Promise.all([post("/slow", {item: "tea"}), post("/slow", {item: "milk"})]);
    const kept = told.every(text => text.startsWith("Added")) ? " Both ran at the same time, and both are kept." : "";
    await renew("race", [...new Set(told)].join(" ") + kept) },
  async late() {
    say("late", "The request is running. Log out now.");
    $("logout-run").disabled = false;
    $("logout-run").focus();
    const told = await post("/late"), {cookie} = await ask();  // asked before the page begins another session
    await renew("late", told + (cookie ? "" : " Its answer set no cookie: the browser has none."));
    $("late-run").focus({preventScroll: true}) },
  async logout() {
    await post("/logout");
    say("late", "You are logged out. The late request is still running.") },
  async old() {
    say("old", await post("/elsewhere"));
    old = true } };
let busy = 0, polls = 0, old = false;  // old: this page is to stay as it is, so it does not ask
document.addEventListener("click", async event => {
  const button = event.target.closest("[data-run]");
  if (!button || button.ariaDisabled) return;
  const name = button.dataset.run, lanes = button.closest(".panel").querySelector(".lanes");
  button.ariaDisabled = "true";
  lanes?.classList.add("on");
  busy++;
  try { await run[name]() } catch { say(name === "logout" ? "late" : name, "The server does not answer.") }
  busy--;
  button.ariaDisabled = null;
  if (name !== "logout") lanes?.classList.remove("on") });
const asking = () => $("countdown") && !busy && !old;
const poll = async () => {
  const {left, text} = asking() ? await ask().catch(() => ({})) : {};
  if (left !== undefined && asking()) {
    polls++;
    if (left === null) { await renew("timeout", `The session has ended. ${polls} polls did not keep it alive.`); polls = 0 }
    else { $("countdown").textContent = text; $("bar").value = left; $("polls").textContent = polls } }
  setTimeout(poll, 1000) };
if ($("scripts-see")) { look(); poll() }
"""


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# Nothing comes from elsewhere; our one style sheet and our one script are named by their hashes.
POLICY = (
    "default-src 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
)
POLICY += f"style-src {source(STYLE)}; script-src {source(SCRIPT)}"
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
    return with_sessions(secret=secret, store=store), told


def with_sessions(**options: Any) -> SessionMiddleware:
    """Wrap the application; it finds the manager in its environ, to end one session of a list."""

    def inner(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["demo.manager"] = site.manager
        return app(environ, start_response)

    site = SessionMiddleware(inner, **options)
    return site


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
