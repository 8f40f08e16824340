"""A plain WSGI application, as somebody would write it who checks types."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from wsgiref.types import StartResponse, WSGIEnvironment

from wsgisession import (
    Cookie,
    JSONCodec,
    Session,
    SessionError,
    SessionInfo,
    SessionManager,
    SessionMiddleware,
    get_session,
)
from wsgisession.stores import RedisStore, SQLiteStore, from_url

SECRETS = ("a new secret that has at least 32 bytes", b"an old secret that has at least 32 bytes")


def visits(session: Session) -> int:
    count: int = session.get("visits", 0) + 1
    session["visits"] = count
    return count


def cart(session: Session) -> list[str]:
    items: list[str] = session.setdefault("cart", [])
    items.append("tea")
    return items


def log_in(session: Session, user: str, stay: bool) -> None:
    session.owner = user
    session.persistent = stay
    session.idle_timeout = timedelta(minutes=30) if not stay else None
    session.regenerate()


def facts(session: Session) -> tuple[str | None, bool, float, str | None]:
    return session.key, session.new or session.gone, session.expires - session.created, session.owner


def spend(session: Session) -> bool:
    credits: int = session["credits"]
    session["credits"] = credits - 1
    return credits > 0


def others(session: Session) -> list[tuple[str, float]]:
    infos: list[SessionInfo] = session.siblings()
    return [(info.key, info.used) for info in infos]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    session = get_session(environ)
    session.passive = environ["PATH_INFO"] == "/poll"
    paid = session.atomic(spend)
    try:
        saved = session.save()
    except SessionError:
        saved = False
    text = f"{visits(session)} {cart(session)} {facts(session)} {others(session)} {paid and saved}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    get_session(environ, "shop.session").destroy()


application = SessionMiddleware(
    app,
    secret=SECRETS,
    store="sqlite:///sessions.db",
    cookie=Cookie(name="shop", samesite="Strict", formerly=("sid",)),
    idle_timeout=timedelta(hours=1),
    lifetime=86400,
    remember=2592000.0,
    codec=JSONCodec(types={"complex": (complex, str, complex)}),
)
outer = SessionMiddleware(
    application, secret="a secret that has at least 32 bytes", environ_key="shop.session"
)
streamed = SessionMiddleware(
    stream, secret=[b"a secret that has at least 32 bytes"], store=from_url("memory:")
)
manager: SessionManager = application.manager
pair: str = manager.issue({"cart": ["tea"]}, "ada", secure=True)
opened: Session | None = manager.open("key")
stores: list[type[SQLiteStore] | type[RedisStore]] = [SQLiteStore, RedisStore]
ended: int = manager.destroy_owned("ada", keep="key") + sum(
    manager.destroy(info.key) for info in manager.sessions()
)
