"""The cookie gets another name, becomes Secure, or another domain: ``Cookie(formerly=…)`` logs nobody out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.visitor import Visitor
from support.web import SECRET, Site

from wsgisession import Cookie, MemoryStore, Session

NEW_SECRET = "another secret of at least 32 bytes"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Move:
    """A way to move: the cookie before, the cookie now, and whether the visitor comes by https."""

    def __init__(self, before: Cookie, now: Cookie, https: bool = False, https_before: bool = False) -> None:
        self.before, self.now, self.https, self.https_before = before, now, https, https_before


MOVES = {
    "a new name": Move(Cookie(), Cookie(name="shop", formerly=("sid",))),
    "two names ago": Move(Cookie(name="old"), Cookie(name="shop", formerly=("sid", "old"))),
    "Secure behind a proxy": Move(Cookie(), Cookie(secure=True, formerly=("sid",))),
    "https": Move(Cookie(), Cookie(formerly=("sid",)), https=True),
    "without the prefix": Move(
        Cookie(), Cookie(host_prefix=False, formerly=("__Host-sid",)), https=True, https_before=True
    ),
    "a domain": Move(Cookie(), Cookie(name="shop", domain="example.org", formerly=("sid",))),
    "a domain, from the prefix": Move(
        Cookie(), Cookie(domain="example.org", formerly=("__Host-sid",)), https=True, https_before=True
    ),
    "another path": Move(Cookie(name="old"), Cookie(path="/shop", formerly=("old",))),
}


def log_in(session: Session) -> None:
    session.owner = "ada"


def moved(store: MemoryStore, move: Move, handler: Callable[[Session], Any], **options: Any) -> Visitor:
    """Return a visitor of before who has visited the site of now once."""
    before = Visitor(Site(store, cookie=move.before))
    before.visit(lambda session: session.update(cart=["tea"]), https=move.https_before)
    visitor = Visitor(Site(store, cookie=move.now, **options), before.jar)
    visitor.visit(handler, https=move.https)
    return visitor


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
class TestMoving:
    @pytest.mark.parametrize("handler", [dict, lambda s: s.update(more=1)], ids=["read", "write"])
    def test_the_session_goes_on_under_the_present_cookie(
        self, store: MemoryStore, move: Move, handler: Any
    ) -> None:
        """The response sets that and expires the former one; nothing else changes, and the next sets nothing."""
        visitor = moved(store, move, handler)
        ((name, domain, path), _), *others = visitor.jar.items()
        assert name == move.now.wire_name(move.now.is_secure("https" if move.https else "http"))
        assert (domain, path) == (move.now.domain or "", move.now.path)
        assert others == []
        answer = visitor.send(lambda session: session["cart"], https=move.https)
        assert answer.result == ["tea"] and answer.set_cookie is None

    def test_a_request_that_leaves_it_alone_moves_nothing(self, store: MemoryStore, move: Move) -> None:
        """Nothing for nothing."""
        visitor = moved(store, move, lambda session: None)
        assert [name for name, _, _ in visitor.jar] == [move.before.wire_name(move.https_before)]

    def test_destroy_covers_the_former_name(self, store: MemoryStore, move: Move) -> None:
        """The session is ended and both cookies are expired."""
        visitor = moved(store, move, Session.destroy)
        assert Site(store).live() == []
        assert visitor.jar == {}

    def test_a_login_moves_too(self, store: MemoryStore, move: Move) -> None:
        """One request does both; a late one with the former cookie finds its session gone."""
        late = moved(store, move, lambda session: None)
        visitor = Visitor(late.site, late.jar)
        visitor.visit(log_in, https=move.https)
        assert visitor.visit(lambda s: (s.owner, s["cart"]), https=move.https) == ("ada", ["tea"])
        answer = late.send(lambda session: (session.update(late=1), session.gone), https=move.https)
        assert answer.result[1] is True and not any(name == "Set-Cookie" for name, _ in answer.headers)


PRESENT = Cookie(name="shop", formerly=("sid",))


@pytest.fixture
def both(store: MemoryStore) -> Visitor:
    """A visitor with a live session under either name."""
    former, present = Visitor(Site(store)), Visitor(Site(store, cookie=PRESENT))
    former.visit(lambda session: session.update(name="former"))
    present.visit(lambda session: session.update(name="present"))
    return Visitor(present.site, former.jar | present.jar)


class TestBothNames:
    def test_the_present_one_counts(self, both: Visitor) -> None:
        """Nobody looks at the former one where the present one has the session."""
        answer = both.send(dict)
        assert answer.result == {"name": "present"} and answer.set_cookie is None

    def test_destroy_ends_both(self, store: MemoryStore, both: Visitor) -> None:
        """And expires both cookies."""
        both.visit(Session.destroy)
        assert both.jar == {} and Site(store).live() == []

    def test_a_login_leaves_one_that_means_anything(self, store: MemoryStore, both: Visitor) -> None:
        """The session under the former name ends, its cookie is expired, and late requests change nothing."""
        late = Visitor(both.site, both.jar)
        both.visit(log_in)
        assert [name for name, _, _ in both.jar] == ["shop"] and len(Site(store).live()) == 1
        assert both.visit(lambda s: (s.owner, s["name"])) == ("ada", "present")
        former_alone = Visitor(
            both.site, {place: value for place, value in late.jar.items() if place[0] == "sid"}
        )
        for visitor in (late, former_alone):
            answer = visitor.send(lambda session: (session.update(late=1), session.gone))
            assert answer.result[1] is True and not any(name == "Set-Cookie" for name, _ in answer.headers)

    def test_after_a_new_id_of_the_present_one_the_former_one_is_not_asked(self, both: Visitor) -> None:
        """A late request whose present cookie has changed its id: the newer cookie is on its way."""
        late = Visitor(both.site, both.jar)
        both.visit(Session.regenerate)
        answer = late.send(lambda session: (session.update(late=1), session.gone))
        assert answer.result[1] is True and not any(name == "Set-Cookie" for name, _ in answer.headers)
        assert both.visit(dict) == {"name": "present"}

    def test_a_dead_present_one_leaves_the_word_to_the_former_one(
        self, store: MemoryStore, both: Visitor
    ) -> None:
        """Its session goes on under the present name."""
        (key,) = [
            key for key in Site(store).live() if dict(both.site.manager.open(key) or {})["name"] == "present"
        ]
        both.site.manager.destroy(key)
        assert both.visit(dict) == {"name": "former"}
        assert [name for name, _, _ in both.jar] == ["shop"]
        assert both.visit(dict) == {"name": "former"}

    def test_two_live_former_ones_contradict_each_other(self, store: MemoryStore) -> None:
        """As two of the present name do."""
        site = Site(store, cookie=Cookie(name="shop", formerly=("sid", "old")))
        cookies = f"{Site(store).start({'n': 1})}; {Site(store).start({'n': 2})}"
        answer = site.request(lambda session: (dict(session), session.gone), cookies)
        assert answer.result == ({}, True) and answer.set_cookie is None


class TestSecrets:
    def test_a_new_secret_at_the_same_time(self, store: MemoryStore) -> None:
        """The former cookie, signed with the old secret, becomes the present one, signed with the new one."""
        visitor = moved(store, MOVES["a new name"], dict, secret=[NEW_SECRET, SECRET])
        assert [name for name, _, _ in visitor.jar] == ["shop"]
        later = Visitor(Site(store, cookie=Cookie(name="shop"), secret=NEW_SECRET), visitor.jar)
        assert later.visit(dict) == {"cart": ["tea"]}

    def test_a_secret_that_was_dropped(self, store: MemoryStore) -> None:
        """The former cookie is worthless, and no business of ours: it is not expired."""
        visitor = moved(store, MOVES["a new name"], lambda s: s.update(a=1), secret=NEW_SECRET)
        assert sorted(name for name, _, _ in visitor.jar) == ["shop", "sid"]
        assert visitor.visit(dict) == {"a": 1}

    def test_a_cookie_under_another_name_is_worthless(self, store: MemoryStore) -> None:
        """The MAC covers the name: a former cookie that is sent under the present name is forged."""
        value = Site(store).start({"a": 1}).partition("=")[2]
        assert Site(store, cookie=PRESENT).request(dict, f"shop={value}").result == {}


class TestFailures:
    @pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
    def test_an_error_page_moves_nothing(self, store: MemoryStore, status: str) -> None:
        """The next good response does."""
        cookie = Site(store).start({"a": 1})
        site = Site(store, cookie=PRESENT)
        assert site.request(dict, cookie, status=status).set_cookie is None
        assert site.request(dict, cookie).headers[-2][1].startswith("shop=")

    def test_a_persistent_one_keeps_its_max_age(self, store: MemoryStore) -> None:
        """The present cookie has what is left."""
        cookie = Site(store).request(lambda s: (s.update(a=1), setattr(s, "persistent", True))).cookie
        Site(store).manager.store.touch(*Site(store).live(), 2500000)
        present = Site(store, cookie=PRESENT).request(dict, cookie).headers[-2][1]
        assert present.startswith("shop=") and "Max-Age=2500000" in present


def test_one_present_name_may_be_a_former_one() -> None:
    """With ``secure="auto"``, since the other scheme moves there."""
    assert Cookie(formerly=("sid",)).names("http") == ("sid",)
    assert Cookie(formerly=("sid",)).names("https") == ("__Host-sid", "sid")


@pytest.mark.parametrize(
    ("name", "cookie", "words", "without"),
    [
        ("__Host-sid", Cookie(name="shop", domain="example.org"), {"Secure", "Path=/"}, "Domain"),
        ("__host-http-sid", Cookie(name="shop", path="/shop"), {"Secure", "Path=/", "HttpOnly"}, "Domain"),
        (
            "__Secure-sid",
            Cookie(name="shop", domain="example.org"),
            {"Secure", "Domain=example.org"},
            "Max-Age=1",
        ),
        ("__Http-sid", Cookie(name="shop"), {"Secure", "HttpOnly"}, "Domain"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_a_former_name_with_a_prefix_is_expired_by_its_rules(
    name: str, cookie: Cookie, words: set[str], without: str
) -> None:
    """A browser would refuse the deletion otherwise."""
    values = cookie.expire_former(name, secure=False)
    assert words <= set(values[0].split("; ")) and without not in values[0]
    assert all(value.startswith(f"{name}=; Max-Age=0") for value in values)
