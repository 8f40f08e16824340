"""One session in two languages: the real Express, express-session and connect-redis on Node, and this library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.express import ExpressServer, Reply
from support.redis_servers import shared_redis
from support.web import Site

from wsgisession import Session, express
from wsgisession.express import TAKEN

pytestmark = pytest.mark.wide

OLD, NEW = "a test's secret of at least 32 bytes", "another test's secret, as long as that"
DAY = 86400


@pytest.fixture(scope="module")
def node() -> Iterator[ExpressServer]:
    with ExpressServer(shared_redis().port, [OLD]) as server:
        yield server


@pytest.fixture
def client() -> Iterator[Any]:
    with shared_redis().client() as client:
        client.flushdb()
        yield client


@pytest.fixture
def python(client: Any) -> Site:
    return Site(secret=OLD, **express.options(client))


def login(session: Session) -> None:
    session["user"] = "ada"
    session.owner = "7"


def items(session: Session) -> dict[str, Any]:
    return session.copy()


def record(client: Any, cookie: str, name: str = "connect.sid") -> Any:
    """Return what is stored for a cookie."""
    payload = client.get(f"sess:{id_of(cookie, name)}")
    return payload and json.loads(payload)


def id_of(cookie: str, name: str = "connect.sid") -> str:
    unsigned = express.ExpressIdentity([NEW.encode(), OLD.encode()]).unsign(name, cookie.partition("=")[2])
    assert cookie.startswith(f"{name}=") and unsigned is not None
    return unsigned[0]


def left(client: Any, cookie: str) -> float:
    """Return the seconds the key has left."""
    return float(client.pttl(f"sess:{id_of(cookie)}") / 1000)


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=10)


class TestExpressBegins:
    """Express logs in; Python goes on."""

    @pytest.fixture
    def cookie(self, node: ExpressServer) -> str:
        return node.do("", "regenerate", ["set", {"user": "ada", "cart": [{"sku": "Ä1", "qty": 2}]}]).cookie

    def test_python_reads(self, python: Site, cookie: str) -> None:
        """What Express stored; reading sets nothing."""
        answer = python.request(items, cookie)
        assert (answer.result, answer.set_cookie) == (
            {"user": "ada", "cart": [{"sku": "Ä1", "qty": 2}]},
            None,
        )

    def test_python_writes(self, python: Site, node: ExpressServer, cookie: str) -> None:
        """Express reads it, nested changes too, and writes back."""
        python.request(lambda session: (session["cart"].append("ß"), session.update(theme="dark")), cookie)
        reply = node.do(cookie, "read", ["evaluate", "session.cart.push(session.theme)"])
        assert reply.results[0] == {"user": "ada", "cart": [{"sku": "Ä1", "qty": 2}, "ß"], "theme": "dark"}
        assert python.read(cookie)["cart"][1:] == ["ß", "dark"]

    def test_python_regenerates(self, python: Site, node: ExpressServer, cookie: str) -> None:
        """The data moves; the old id is dead on both sides."""
        new = python.request(lambda session: session.regenerate(), cookie).cookie
        assert new != cookie and node.do(new, "read").result["user"] == python.read(new)["user"] == "ada"
        assert node.do(cookie, "read").result == python.read(cookie) == {}

    def test_python_destroys(self, python: Site, node: ExpressServer, client: Any, cookie: str) -> None:
        """The session is gone on both sides, and Redis is empty."""
        answer = python.request(lambda session: session.destroy(), cookie)
        assert answer.set_cookie and answer.set_cookie.startswith("connect.sid=; Max-Age=0")
        assert node.do(cookie, "read").result == python.read(cookie) == {} and client.keys() == []

    def test_python_takes_the_session_over_into_a_login(
        self, python: Site, node: ExpressServer, cookie: str
    ) -> None:
        """An owner set here survives Express' saves, and lists the session."""
        new = python.request(login, cookie).cookie
        node.do(new, ["set", {"theme": "dark"}])
        [info] = python.manager.owned_by("7")
        assert info.key == id_of(new) and python.read(new)["theme"] == "dark"
        assert python.manager.destroy_owned("7") == 1 and node.do(new, "read").result == {}


class TestPythonBegins:
    """Python logs in; Express goes on."""

    @pytest.fixture
    def cookie(self, python: Site) -> str:
        return python.request(lambda session: (login(session), session.update(cart=["Ä1"]))).cookie

    def test_express_reads(self, node: ExpressServer, cookie: str) -> None:
        """What Python stored; reading sets nothing."""
        assert node.do(cookie, "read", "id") == Reply([{"user": "ada", "cart": ["Ä1"]}, id_of(cookie)], None)

    def test_express_writes(self, python: Site, node: ExpressServer, cookie: str) -> None:
        """Python reads it; the owner and the time of the login stay."""
        before = python.request(lambda session: session.created, cookie).result
        node.do(
            cookie,
            ["evaluate", "session.cart.push('ß'); session.half = 0.5; session.big = 2**53; session.n = null"],
        )
        answer = python.request(lambda session: (items(session), session.owner, session.created), cookie)
        assert answer.result == (
            {"user": "ada", "cart": ["Ä1", "ß"], "half": 0.5, "big": 2**53, "n": None},
            "7",
            before,
        )

    def test_express_regenerates(self, python: Site, node: ExpressServer, cookie: str) -> None:
        """The old id is dead on both sides, and Express' new session is Python's too; nobody owns it."""
        new = node.do(cookie, "regenerate", ["set", {"user": "eve"}]).cookie
        assert python.read(cookie) == node.do(cookie, "read").result == {}
        assert python.read(new) == {"user": "eve"} and python.manager.owned_by("7") == []

    def test_express_destroys(self, python: Site, node: ExpressServer, cookie: str) -> None:
        """Python has no session any more, and lists none."""
        node.do(cookie, "destroy")
        answer = python.request(lambda session: (session.new, items(session)), cookie)
        assert answer.result == (True, {}) and python.manager.owned_by("7") == []

    def test_express_sets_the_same_cookie_again(self, client: Any) -> None:
        """With the attributes it has here, where it is rolling."""
        python = Site(secret=OLD, **express.options(client, path="/do", samesite="Strict"))
        mine = python.request(login).set_cookie
        with ExpressServer(shared_redis().port, [OLD], rolling=True, cookie={"path": "/do"}) as node:
            assert node.do(python.start({"a": 1}), "read").set_cookie is not None
            theirs = node.do(str(mine).partition(";")[0], "read").set_cookie
        assert mine == theirs


class TestSafety:
    """What one side takes for its own, the other does too, and nothing else."""

    @pytest.mark.parametrize(
        "forge",
        [
            lambda cookie: f"connect.sid={id_of(cookie)}",
            lambda cookie: f"connect.sid=s%3A{id_of(cookie)}",
            lambda cookie: cookie[:-3] + ("AAA" if cookie[-3:] != "AAA" else "BBB"),
            lambda cookie: cookie.replace("connect.sid=s%3A", "connect.sid=s%3AX"),
        ],
        ids=["unsigned", "without a signature", "another signature", "another id"],
    )
    def test_a_forged_cookie_is_nothing(self, python: Site, node: ExpressServer, forge: Any) -> None:
        """On both sides, for sessions that either side began."""
        for cookie in (python.request(login).cookie, node.do("", ["set", {"user": "ada"}]).cookie):
            assert node.do(cookie, "read").result == python.read(cookie) == {"user": "ada"}
            assert node.do(forge(cookie), "read").result == python.read(forge(cookie)) == {}

    def test_neither_adopts_an_id_without_a_record(self, python: Site, node: ExpressServer) -> None:
        """Validly signed, but ended: both begin with an id of their own."""
        cookie = python.request(login).cookie
        node.do(cookie, "destroy")
        fresh = [python.request(login, cookie).cookie, node.do(cookie, ["set", {"a": 1}]).cookie]
        assert len({cookie, *fresh}) == 3

    def test_secrets_rotate_on_both_sides(self, client: Any) -> None:
        """One side after the other: nobody is logged out, and at the end the old secret is worth nothing."""
        options = express.options(client)
        port = shared_redis().port
        python, rotated, done = (Site(secret=secrets, **options) for secrets in (OLD, [OLD, NEW], [NEW, OLD]))
        nodes = (ExpressServer(port, secrets) for secrets in ([OLD, NEW], [NEW, OLD], [NEW]))
        with next(nodes) as both, next(nodes) as newer, next(nodes) as new:
            theirs = newer.do("", ["set", {"user": "ada"}]).cookie  # the first to sign with the new secret
            assert rotated.read(theirs) == both.do(theirs, "read").result == {"user": "ada"}
            assert python.read(theirs) == {}
            mine = python.request(login).cookie
            assert newer.do(mine, "read").result == {"user": "ada"} and new.do(mine, "read").result == {}
            renewed = done.request(items, mine).cookie  # ours sets it again, with the new secret
            assert id_of(renewed) == id_of(mine) and new.do(renewed, "read").result == {"user": "ada"}
            assert Site(secret=NEW, **options).read(mine) == {}

    def test_short_and_odd_secrets(self, client: Any) -> None:
        """Text is UTF-8 on both sides; a key longer than a block of SHA-256 is hashed first."""
        for secret in ("cat", "ключ" * 10, "x" * 65, "x" * 200):
            python = Site(secret=secret, **express.options(client))
            with ExpressServer(shared_redis().port, [secret]) as node:
                assert node.do(python.start({"a": 1}), "read").result == {"a": 1}
                assert python.read(node.do("", ["set", {"b": 1}]).cookie) == {"b": 1}

    def test_another_name_and_prefix(self, client: Any) -> None:
        """As express-session and connect-redis are told."""
        python = Site(secret=OLD, **express.options(client, "shop.sid", "shop:"))
        with ExpressServer(shared_redis().port, [OLD], store={"prefix": "shop:"}, name="shop.sid") as node:
            assert node.do(python.start({"a": 1}), "read").result == {"a": 1}
            cookie = node.do("", ["set", {"b": 1}]).cookie
            assert cookie.startswith("shop.sid=") and python.read(cookie) == {"b": 1}
        assert {key[:5] for key in client.keys()} == {b"shop:"}


class TestRecords:
    """What a record holds."""

    def test_unknown_members_survive(self, python: Site, node: ExpressServer, client: Any) -> None:
        """Python's write keeps what another writer left at the top, in the cookie and beside the owner."""
        cookie = node.do("", ["set", {"user": "ada"}]).cookie
        whole = record(client, cookie)
        whole["cookie"].update(priority="high", later=[1])
        whole.update(wsgisession={"later": {"a": 1}}, toString="odd")
        client.set(f"sess:{id_of(cookie)}", json.dumps(whole), keepttl=True)
        python.request(lambda session: session.update(a=1), cookie)
        after = record(client, cookie)
        assert after["cookie"] == whole["cookie"] and after["toString"] == "odd"
        assert after["wsgisession"]["later"] == {"a": 1}
        assert node.do(cookie, "read").result == {"user": "ada", "a": 1}

    def test_strings_that_utf_8_cannot_hold_survive(self, python: Site, node: ExpressServer) -> None:
        """There and back, through a write on each side."""
        text = "\\ud83d\\u2028é\\udc00\\ud83d"
        cookie = node.do("", ["evaluate", f"session.text = '{text}'; session['\\udc00'] = 1"]).cookie
        found = python.read(cookie)
        assert found == {"text": json.loads(f'"{text}"'), "\udc00": 1}
        python.request(lambda session: session.update(again=session["text"], **{"\ud83d": "\ud83d"}), cookie)
        check = f"return [session.text === '{text}', session.again === '{text}', session['\\ud83d'] === '\\ud83d']"
        assert node.do(cookie, ["evaluate", check], ["set", {"saved": 1}]).results[0] == [True] * 3
        assert python.read(cookie) == {**found, "again": found["text"], "\ud83d": "\ud83d", "saved": 1}

    @pytest.mark.parametrize(
        "value",
        "0.1 1e21 1e-7 5e-324 1.7976931348623157e308 -0.5 2**53 -(2**53) 1234.5678 [{},[],'']".split(),
    )
    def test_values_come_back_from_a_round_trip(self, python: Site, node: ExpressServer, value: str) -> None:
        """Written by Express, read, stored and read here, and the same to Express."""
        cookie = node.do("", ["evaluate", f"session.a = {value}"]).cookie
        python.request(lambda session: session.update(b=session["a"]), cookie)
        check = f"return [session.a, session.b, {value}].map((each) => JSON.stringify(each))"
        assert len(set(node.do(cookie, ["evaluate", check]).result)) == 1

    def test_dates_are_text(self, python: Site, node: ExpressServer) -> None:
        """As JSON has them."""
        cookie = node.do("", ["evaluate", "session.at = new Date(0)"]).cookie
        assert python.read(cookie) == {"at": "1970-01-01T00:00:00.000Z"}

    def test_every_name_that_express_session_takes_is_refused_here(self, node: ExpressServer) -> None:
        """Asked of the object itself."""
        names = """
            const names = new Set();
            for (let each = session; each; each = Object.getPrototypeOf(each))
                Object.getOwnPropertyNames(each).forEach((name) => names.add(name));
            return [...names]
        """
        [taken] = node.do("", ["evaluate", names]).results
        assert set(taken) | {"wsgisession"} == TAKEN

    def test_expresss_own_listing_skips_our_index(self, python: Site, node: ExpressServer) -> None:
        """``store.all()`` sees sessions alone."""
        python.request(login)
        [listed] = node.do("", "all").results
        assert [each["user"] for each in listed] == ["ada"]


class TestExpiry:
    """The key's TTL, ``cookie.maxAge`` and our own timeouts."""

    def test_max_age_is_honoured(self, python: Site, client: Any) -> None:
        """A session of Express' with ``cookie.maxAge``: our refresh sets key and cookie to it, never past it."""
        with ExpressServer(shared_redis().port, [OLD], cookie={"maxAge": 600_000}) as node:
            cookie = node.do("", ["set", {"user": "ada"}]).cookie
            assert left(client, cookie) == about(600)
            assert python.request(items, cookie).set_cookie is None
            client.expire(f"sess:{id_of(cookie)}", 500)
            answer = python.request(items, cookie)
            assert answer.set_cookie and "Max-Age=600;" in answer.set_cookie
            assert left(client, cookie) == about(600)
            new = python.request(login, cookie)
            assert new.set_cookie and "Max-Age=600;" in new.set_cookie
            assert left(client, new.cookie) == about(600)
            assert "Expires=" in str(node.do(new.cookie, ["set", {"a": 1}]).set_cookie)

    def test_what_express_keeps_fresh_is_not_renewed(self, python: Site, client: Any) -> None:
        """Its reading moves the key and not the cookie, and ours finds nothing due; with ``rolling`` it moves both."""
        for options in ({}, {"rolling": True}):
            with ExpressServer(shared_redis().port, [OLD], cookie={"maxAge": 600_000}, **options) as node:
                cookie = node.do("", ["set", {"user": "ada"}]).cookie
                client.expire(f"sess:{id_of(cookie)}", 60)
                assert (node.do(cookie, "read").set_cookie is not None) is bool(options)
                assert left(client, cookie) == about(600)
                assert python.request(items, cookie).set_cookie is None

    def test_max_age_set_for_one_session(self, python: Site, node: ExpressServer, client: Any) -> None:
        """``req.session.cookie.maxAge = …``, on either side's session."""
        for cookie in (node.do("", ["set", {"a": 1}]).cookie, python.start({"a": 1})):
            node.do(cookie, ["maxAge", 900_000], ["set", {"b": 1}])
            assert left(client, cookie) == about(900)
            client.expire(f"sess:{id_of(cookie)}", 60)
            assert python.request(items, cookie).set_cookie and left(client, cookie) == about(900)

    def test_express_refreshes_what_python_began(
        self, python: Site, node: ExpressServer, client: Any
    ) -> None:
        """By connect-redis' own day; the next use in Python sets the idle timeout again, which is shorter."""
        cookie = python.start({"a": 1})
        assert left(client, cookie) == about(7200)
        node.do(cookie, "read")
        assert left(client, cookie) == about(DAY)
        python.request(lambda session: session.update(b=1), cookie)
        assert left(client, cookie) == about(7200)


class TestOverlap:
    """Requests that meet, in a forced order; more of them, with Express' part done by hand, in test_express_sessions.py."""

    @pytest.fixture
    def cookie(self, node: ExpressServer) -> str:
        return node.do("", ["set", {"log": []}]).cookie

    def test_express_overwrites_blindly(self, python: Site, node: ExpressServer, cookie: str) -> None:
        """As the page says: our write lies inside a request of Express' that saves too."""
        running = node.begin(cookie, ["set", {"theirs": 1}], ["wait", "gate"])
        python.request(lambda session: session.update(ours=1), cookie)
        node.release()
        running.result()
        assert python.read(cookie) == {"log": [], "theirs": 1}

    def test_a_request_of_express_that_only_reads_overwrites_nothing(
        self, python: Site, node: ExpressServer, cookie: str
    ) -> None:
        """With ``resave: false`` it touches the key alone."""
        running = node.begin(cookie, "read", ["wait", "gate"])
        python.request(lambda session: session.update(ours=1), cookie)
        node.release()
        running.result()
        assert python.read(cookie) == {"log": [], "ours": 1}

    @pytest.mark.parametrize("end", [Session.destroy, Session.regenerate], ids=["destroy", "regenerate"])
    def test_what_python_ended_is_not_revived_by_a_read_in_express(
        self, python: Site, node: ExpressServer, client: Any, cookie: str, end: Any
    ) -> None:
        """One that only reads and is still running: the id stays dead."""
        running = node.begin(cookie, "read", ["wait", "gate"])
        python.request(end, cookie)
        node.release()
        running.result()
        assert record(client, cookie) is None and python.read(cookie) == node.do(cookie, "read").result == {}
