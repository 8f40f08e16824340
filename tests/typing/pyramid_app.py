"""A Pyramid application, as somebody would write it who checks types. Pyramid itself has no types."""

from pyramid.config import Configurator
from pyramid.request import Request

from wsgisession import SessionManager
from wsgisession.pyramid import PyramidSession, get_manager, get_session


def show(request: Request) -> dict[str, object]:
    session = get_session(request)
    session.flash("hello", queue="news")
    messages: list[object] = session.pop_flash("news")
    cart: list[str] = session.setdefault("cart", [])
    began: int = session.created
    token: str = session.get_csrf_token()
    return {
        "owner": session.owner,
        "cart": cart,
        "messages": messages,
        "began": began,
        "token": token,
        "news": news(session),
    }


def news(session: PyramidSession) -> list[str]:
    return [str(message) for message in session.peek_flash("news")]


def log_out(request: Request) -> dict[str, object]:
    session = get_session(request)
    others: int = session.destroy_siblings()
    session.invalidate()
    return {"others": others}


def ended(request: Request, owner: str) -> int:
    manager: SessionManager = get_manager(request.registry)
    return manager.destroy_owned(owner)


config = Configurator(settings={"wsgisession.secret": "a secret that has at least 32 bytes"})
config.include("wsgisession.pyramid")
config.add_route("show", "/")
config.add_view(show, route_name="show", renderer="json")
application = config.make_wsgi_app()
