"""A Bottle application, as somebody would write it who checks types. Bottle itself has no types."""

from bottle import Bottle, request

from wsgisession import Session, SessionMiddleware, get_session

app = Bottle()


def current() -> Session:
    return get_session(request.environ)


def show() -> dict[str, object]:
    session = current()
    views: int = session.get("views", 0) + 1
    session["views"] = views
    return {"owner": session.owner, "views": views}


app.route("/", "GET", show)
application = SessionMiddleware(app, secret=["a secret that has at least 32 bytes"])
