"""A Flask application, as somebody would write it who checks types."""

import flask
from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from wsgisession import Session, SessionMiddleware, get_session
from wsgisession.flask import Sessions, session
from wsgisession.testclient import log_in

app = Flask(__name__)
app.secret_key = "a secret that has at least 32 bytes"
sessions = Sessions(app, store="memory:", remember=2592000)


def log_out_elsewhere(current: Session) -> int:
    return current.destroy_siblings()


@app.get("/")
def show() -> dict[str, object]:
    views: int = session.get("views", 0) + 1
    session["views"] = views
    cart: list[str] = session.setdefault("cart", [])
    flask.session["theirs"] = flask.session.permanent
    return {"owner": session.owner, "cart": cart, "same": get_session(request.environ) is session}


@app.post("/login")
def login() -> Response:
    session.owner = request.form["user"]
    session.permanent = "stay" in request.form
    session.modified = True
    log_out_elsewhere(session)
    return redirect("/", 303)


@app.post("/logout")
def logout() -> Response:
    session.destroy()
    return redirect("/", 303)


def create_app() -> Flask:
    made = Flask(__name__)
    Sessions().init_app(made)
    return made


def by_hand(flask_app: Flask) -> SessionMiddleware:
    return SessionMiddleware(flask_app.wsgi_app, secret=b"a secret that has at least 32 bytes")


def test_cart() -> None:
    client = app.test_client()
    log_in(client, "ada", {"cart": ["tea"]})
    assert client.get("/").text
    owners: list[str | None] = [info.owner for info in sessions.manager.sessions()]
    assert owners == ["ada"]
