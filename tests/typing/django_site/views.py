"""Views that use all of a session, for type checkers: no ``Any``, nothing is ignored."""

from collections.abc import Callable

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, JsonResponse

from wsgisession import Session, SessionInfo, SessionManager
from wsgisession.django import SessionStore, get_session, manager


def add(request: HttpRequest, item: str) -> JsonResponse:
    """Django's own interface."""
    cart: list[str] = request.session.setdefault("cart", [])
    cart.append(item)
    request.session["count"] = len(cart)
    request.session.set_expiry(300)
    return JsonResponse({"cart": cart, "left": request.session.get_expiry_age()})


def elsewhere(request: HttpRequest) -> JsonResponse:
    """Ours."""
    session: Session = get_session(request)
    others: list[SessionInfo] = session.siblings()
    ended: int = session.destroy_siblings()
    owner: str | None = session.owner
    return JsonResponse({"others": [info.key for info in others], "ended": ended, "owner": owner})


def count(request: HttpRequest) -> HttpResponse:
    """A read-modify-write."""

    def add(session: Session) -> int:
        number: int = session.get("number", 0) + 1
        session["number"] = number
        return number

    number: int = get_session(request).atomic(add)
    return HttpResponse(str(number))


async def later(request: HttpRequest) -> HttpResponse:
    """Awaited."""
    await request.session.aset("seen", True)
    await request.session.acycle_key()
    return HttpResponse(str(await request.session.aget("seen", False)))


def block(user: User) -> int:
    """A job."""
    sessions: SessionManager = manager()
    return sessions.destroy_owned(str(user.pk))


def stored(session_key: str) -> bool:
    """An engine by hand."""
    store = SessionStore(session_key)
    store["a"] = 1
    store.save()
    key: str | None = store.wsgisession.key
    return key is not None and store.exists(session_key)


VIEWS: list[Callable[..., object]] = [add, elsewhere, count, later]
