"""Sessions in Express' format, in a real Redis: as with any other store, and with the rules connect-redis has for its keys.

What Express does to a record is done here by hand; ``tests/wide/test_express.py`` does it with Express itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.clock import Clock
from support.redis_servers import shared_redis
from support.web import SECRET, Answer, Site

from wsgisession import MemoryStore, Session, SessionMiddleware, express

ID = "q8Jd_0sB-xW3vR1kZy7mLpT5nU2cAeFh"
TOKEN = express.ExpressIdentity([SECRET.encode()]).sign("connect.sid", ID)
COOKIE = f"connect.sid={TOKEN}"
DAY = 86400


class Express:
    """The record of one session, written and read as connect-redis would."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def save(self, ttl: int | None = DAY, max_age: int | None = None, **items: Any) -> None:
        cookie = {"originalMaxAge": max_age, "expires": None, "httpOnly": True, "path": "/"}
        self.client.set(f"sess:{ID}", json.dumps({"cookie": cookie, **items}, separators=(",", ":")), ex=ttl)

    def load(self, id: str = ID) -> Any:
        payload = self.client.get(f"sess:{id}")
        return payload and json.loads(payload)

    def left(self, id: str = ID) -> float:
        """Return the seconds the key has left."""
        return float(self.client.pttl(f"sess:{id}") / 1000)


@pytest.fixture
def client() -> Iterator[Any]:
    with shared_redis().client(db=3) as client:
        client.flushdb()
        yield client


@pytest.fixture
def theirs(client: Any) -> Express:
    return Express(client)


@pytest.fixture
def site(client: Any) -> Site:
    return Site(**express.options(client))


def write(session: Session) -> None:
    session["written"] = True


def views(session: Session) -> Any:
    return session.get("views")


def about(seconds: float) -> Any:
    """Some seconds later than written."""
    return pytest.approx(seconds, abs=5)


def id_of(answer: Answer) -> str:
    """Return the id that a response's cookie carries."""
    unsigned = express.ExpressIdentity([SECRET.encode()]).unsign(
        "connect.sid", answer.cookie.partition("=")[2]
    )
    assert unsigned is not None
    return unsigned[0]


class TestOptions:
    """One call gives them all."""

    def test_they_are_four(self, client: Any) -> None:
        """Those that the middleware takes."""
        assert sorted(express.options(client)) == ["codec", "cookie", "identity", "store"]

    def test_the_name_is_sent_as_it_is(self, client: Any) -> None:
        """Over https too, for Express knows no other."""
        cookie = express.options(client, "a.sid")["cookie"]
        assert [cookie.wire_name(True), cookie.wire_name(False)] == ["a.sid"] * 2

    def test_a_host_cookie_is_named_so(self, client: Any) -> None:
        """On both sides; the option that would add the prefix on one is refused."""
        assert express.options(client, "__Host-sid", secure=True)["cookie"].wire_name(True) == "__Host-sid"
        with pytest.raises(TypeError, match="leave host_prefix out"):
            express.options(client, host_prefix=True)

    def test_what_cookie_takes_goes_to_the_cookie(self, client: Any, theirs: Express) -> None:
        """And into the records, so Express sets the same one."""
        site = Site(**express.options(client, path="/shop", samesite="Strict"))
        answer = site.request(write)
        assert answer.set_cookie and answer.set_cookie.endswith("; Path=/shop; HttpOnly; SameSite=Strict")
        assert theirs.load(id_of(answer))["cookie"]["path"] == "/shop"

    def test_the_prefix_is_connect_redis(self, client: Any) -> None:
        """Whatever it is there."""
        Site(**express.options(client, prefix="shop:")).request(write)
        assert [key[:5] for key in client.keys()] == [b"shop:"]

    @pytest.mark.parametrize("client", ["redis://", None, MemoryStore()], ids=["url", "none", "store"])
    def test_a_client_is_one_of_redis_py(self, client: Any) -> None:
        """As for RedisStore."""
        with pytest.raises(TypeError, match="redis-py"):
            express.options(client)

    def test_wrong_cookies_are_refused(self, client: Any) -> None:
        """With the words of Cookie."""
        with pytest.raises(ValueError, match="samesite"):
            express.options(client, samesite="none")
        with pytest.raises(TypeError, match="max_age"):
            express.options(client, max_age=5)


class TestReading:
    """A session that Express began."""

    def test_its_items_are_there(self, site: Site, theirs: Express) -> None:
        """Reading writes nothing and sets nothing."""
        theirs.save(views=3, user={"name": "Zoë"})
        before = theirs.client.get(f"sess:{ID}")
        answer = site.request(lambda session: session.copy(), COOKIE)
        assert (answer.result, answer.set_cookie) == ({"views": 3, "user": {"name": "Zoë"}}, None)
        assert theirs.client.get(f"sess:{ID}") == before and theirs.client.keys("*owner*") == []

    def test_a_record_nobody_can_read_is_no_session(
        self, site: Site, theirs: Express, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One logged error, without the id; a write starts another session and leaves it."""
        theirs.client.set(f"sess:{ID}", '{"views":1}', ex=DAY)
        answer = site.request(write, COOKIE)
        assert id_of(answer) != ID and theirs.load() == {"views": 1}
        [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert error.__dict__["event"] == "unreadable" and ID not in error.getMessage()


class TestWriting:
    """What is left for Express to read."""

    def test_the_rest_of_the_record_stays(self, site: Site, theirs: Express) -> None:
        """Its cookie, its items; ours are beside them."""
        theirs.save(max_age=DAY * 1000, views=3)
        before = theirs.load()
        site.request(write, COOKIE)
        after = theirs.load()
        assert after.pop("wsgisession").keys() == {"version", "nonce", "created", "owner", "persistent"}
        assert after == {**before, "written": True}

    def test_two_writers_lose_nothing(self, site: Site, theirs: Express) -> None:
        """An overlapping request's changes are merged, Express' record or not."""
        theirs.save(views=3, cart=["a"])

        def outer(session: Session) -> None:
            session["cart"].append("mine")
            session["outer"] = 1
            site.request(lambda inner: (inner["cart"].append("theirs"), inner.update(inner=2)), COOKIE)

        site.request(outer, COOKIE)
        assert site.read(COOKIE) == {"views": 3, "cart": ["a", "theirs", "mine"], "outer": 1, "inner": 2}

    def test_what_express_saved_meanwhile_is_merged(self, site: Site, theirs: Express) -> None:
        """Its saves are blind, ours are not; what it says of the cookie counts from then on."""
        theirs.save(views=3)

        def handler(session: Session) -> None:
            session["mine"] = 1
            theirs.save(views=4, max_age=60_000)

        site.request(handler, COOKIE)
        record = theirs.load()
        assert record["views"] == 4 and record["mine"] == 1 and record["cookie"]["originalMaxAge"] == 60_000

    def test_what_express_ended_meanwhile_stays_ended(self, site: Site, theirs: Express) -> None:
        """The late write is dropped, and sets no cookie."""
        theirs.save(views=3)

        def handler(session: Session) -> None:
            session["mine"] = 1
            theirs.client.delete(f"sess:{ID}")

        assert site.request(handler, COOKIE).set_cookie is None and theirs.load() is None


class TestExpiry:
    """The key's TTL is the truth; originalMaxAge is the session's idle timeout."""

    def test_stale_expires_do_not_matter(self, site: Site, theirs: Express) -> None:
        """Express refreshes the key alone."""
        cookie = {"originalMaxAge": 1000, "expires": "2001-01-01T00:00:00.000Z"}
        theirs.client.set(f"sess:{ID}", json.dumps({"cookie": cookie, "views": 3}), ex=DAY)
        assert site.request(views, COOKIE).result == 3

    def test_a_refresh_sets_key_and_cookie_to_original_max_age(self, site: Site, theirs: Express) -> None:
        """Where a tenth of it has passed."""
        theirs.save(ttl=530, max_age=600_000, views=3)
        answer = site.request(views, COOKIE)
        assert theirs.left() == about(600) and answer.set_cookie and "Max-Age=600;" in answer.set_cookie
        assert site.request(views, COOKIE).set_cookie is None

    def test_a_key_that_lives_longer_is_shortened(self, site: Site, theirs: Express) -> None:
        """By reads and by writes: it never stays past originalMaxAge, and the cookie follows."""
        theirs.save(ttl=5000, max_age=600_000, views=3)
        answer = site.request(write, COOKIE)
        assert theirs.left() == about(600) and answer.set_cookie and "Max-Age=600;" in answer.set_cookie

    def test_without_original_max_age_ours_counts(self, site: Site, theirs: Express) -> None:
        """And the cookie is one for the browser's session, as it is in Express."""
        theirs.save(ttl=60, views=3)
        assert site.request(views, COOKIE).set_cookie is None
        assert theirs.left() == about(7200)

    def test_a_regenerated_session_keeps_it(self, site: Site, theirs: Express) -> None:
        """The cookie member moves along with the data."""
        theirs.save(max_age=600_000, views=3)
        answer = site.request(lambda session: setattr(session, "owner", "ada"), COOKIE)
        assert theirs.load(id_of(answer))["cookie"]["originalMaxAge"] == 600_000
        assert (
            theirs.left(id_of(answer)) == about(600)
            and answer.set_cookie
            and "Max-Age=600;" in answer.set_cookie
        )

    @pytest.mark.parametrize("max_age", [None, 600_000], ids=["session cookie", "maxAge"])
    @pytest.mark.parametrize("handler", [views, write], ids=["read", "write"])
    def test_a_key_without_a_ttl_gets_one(
        self, site: Site, theirs: Express, max_age: int | None, handler: Any
    ) -> None:
        """Where connect-redis was told disableTTL."""
        theirs.save(ttl=None, max_age=max_age)
        site.request(handler, COOKIE)
        assert theirs.left() == about(600 if max_age else 7200)

    def test_a_key_without_a_ttl_survives_a_write_outside_a_request(
        self, site: Site, theirs: Express
    ) -> None:
        """Though no cookie can follow there."""
        theirs.save(ttl=None, max_age=600_000)
        session = site.manager.open(ID)
        assert session is not None
        session["job"] = "done"
        assert session.save() and theirs.load()["job"] == "done" and theirs.left() == about(600)


class TestEnding:
    """There are no tombstones."""

    def test_regenerate_deletes_the_old_record(self, site: Site, theirs: Express) -> None:
        """The data is under the new id; who comes late with the old cookie is a new visitor."""
        theirs.save(views=3)
        answer = site.request(lambda session: session.regenerate(), COOKIE)
        assert theirs.load() is None and theirs.load(id_of(answer))["views"] == 3
        late = site.request(lambda session: (session.new, session.gone, session.copy()), COOKIE)
        assert late.result == (True, False, {})

    def test_destroy_deletes_the_record(self, site: Site, theirs: Express) -> None:
        """And the cookie; nothing is left in Redis."""
        theirs.save(views=3)
        answer = site.request(lambda session: session.destroy(), COOKIE)
        assert answer.set_cookie and answer.set_cookie.startswith("connect.sid=; Max-Age=0;")
        assert theirs.client.keys() == []

    def test_of_two_regenerates_one_wins(self, site: Site, theirs: Express) -> None:
        """One live id is left, whatever overlaps."""
        theirs.save(views=3)

        def handler(session: Session) -> None:
            session.regenerate()
            answers.append(site.request(lambda inner: inner.regenerate(), COOKIE))

        answers: list[Answer] = []
        answers.append(site.request(handler, COOKIE))
        assert [answer.set_cookie is None for answer in answers] == [False, True]
        assert site.live() == [id_of(answers[0])]


class TestOwners:
    """Sessions that belong to somebody since Python said so."""

    def test_they_are_listed_and_ended_together(self, site: Site, theirs: Express) -> None:
        """Express' own save keeps the owner, because it keeps members that it does not know."""
        mine, other = site.start(owner="ada"), site.start({"a": 1}, owner="ada")
        id = str(express.ExpressIdentity([SECRET.encode()]).unsign("", other.partition("=")[2])[0])  # type: ignore[index]
        record = theirs.load(id)
        theirs.client.set(f"sess:{id}", json.dumps({**record, "a": 2}), ex=DAY)
        listed = site.request(lambda session: session.siblings(), mine).result
        assert [(info.key, info.owner) for info in listed] == [(id, "ada")]
        assert site.request(lambda session: session.destroy_siblings(), mine).result == 1
        assert theirs.load(id) is None and site.read(mine) == {}

    def test_the_index_outlasts_what_express_refreshes(self, site: Site, theirs: Express) -> None:
        """It knows a session for 400 days after we last wrote or refreshed it."""
        site.start(owner="ada")
        assert theirs.client.ttl("sess:owner:ada") > 399 * DAY


def test_no_log_shows_an_id(site: Site, theirs: Express, caplog: pytest.LogCaptureFixture) -> None:
    """They show its SHA-256, in the text and in the fields, whatever happens to the session."""
    caplog.set_level(logging.DEBUG, "wsgisession")
    theirs.save(views=3)

    def conflict(session: Session) -> None:
        session["a"] = 1
        site.request(write, COOKIE)

    site.request(conflict, COOKIE)
    answer = site.request(lambda session: setattr(session, "owner", "ada"), COOKIE)
    site.request(views, COOKIE)
    other = site.request(lambda session: setattr(session, "owner", "ada"))
    site.request(lambda session: session.destroy_siblings(), answer.cookie)
    site.request(lambda session: (session.update(a=2), site.manager.destroy(id_of(answer))), answer.cookie)
    site.request(lambda session: session.destroy(), site.start())
    happened = {record.__dict__.get("event") for record in caplog.records}
    assert happened >= {"created", "conflict", "regenerated", "unknown id", "revoked", "dropped", "destroyed"}
    ids = {ID, id_of(answer), id_of(other)}
    assert not [record for record in caplog.records for id in ids if id in str(record.__dict__)]


def test_it_works_without_redis_too(clock: Clock) -> None:
    """Cookie and records depend on no store."""
    options = {
        "identity": express.ExpressIdentity,
        "codec": express.ExpressCodec(clock=clock),
        "clock": clock,
    }
    site = Site(MemoryStore(), **options)
    answer = site.request(write)
    assert site.read(answer.cookie) == {"written": True}
    assert site.request(lambda session: session.created, answer.cookie).result == clock.now
    assert isinstance(site.middleware, SessionMiddleware)
