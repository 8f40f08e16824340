"""The README's promises, one class each."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from support.breadth import breadth
from support.store_double import StoreDouble
from support.web import SECRET, Site, together

from wsgisession import (
    MemoryStore,
    Session,
    SessionConflict,
    SessionError,
    SessionManager,
    SessionTooLarge,
    StoreError,
    UnsupportedType,
)
from wsgisession.turns import Turns

THREADS, REQUESTS = 8, breadth.much(50, 100)


def repeating() -> StoreDouble:
    """Return a store whose replies are lost once: the client library sends each write again, before anybody else's."""
    store = StoreDouble()
    store.repeat("create", times=None)
    store.repeat("replace", times=None)
    return store


def put(key: str, value: Any) -> Any:
    """Return a handler that assigns one key."""
    return lambda session: session.__setitem__(key, value)


def count_up(session: Session) -> None:
    session["views"] += 1


@pytest.fixture
def store() -> StoreDouble:
    return StoreDouble()


@pytest.fixture
def site(store: StoreDouble) -> Site:
    return Site(store)


class TestNoLostWrites:
    """Promise 1: overlapping requests of one session keep each other's changes."""

    pytestmark = pytest.mark.both

    def overlap(self, site: Site, cookie: str, change: Any) -> None:
        """Run all requests, each with a millisecond between its read and its write."""

        def work(thread: int) -> None:
            for number in range(REQUESTS):

                def handler(session: Session, number: int = number) -> None:
                    dict(session)
                    time.sleep(0.001)
                    change(session, thread, number)

                site.request(handler, cookie)

        together(THREADS, work)

    def test_different_keys(self) -> None:
        """Eight threads, each with its own key: none of their hundreds of updates is lost."""
        site = Site()
        cookie = site.start({"start": True})

        def change(session: Session, thread: int, number: int) -> None:
            key = f"thread {thread}"
            session[key] = session.get(key, 0) + 1

        self.overlap(site, cookie, change)
        assert site.read(cookie) == {"start": True} | {
            f"thread {thread}": REQUESTS for thread in range(THREADS)
        }

    def test_appended_items(self) -> None:
        """Items appended to one list by eight threads are all there, once, and each thread's in its order."""
        site = Site(max_size=10**6)
        cookie = site.start({"log": []})
        self.overlap(site, cookie, lambda session, thread, number: session["log"].append([thread, number]))
        log = site.read(cookie)["log"]
        assert len(log) == THREADS * REQUESTS
        for thread in range(THREADS):
            assert [number for owner, number in log if owner == thread] == list(range(REQUESTS))

    def test_keys_of_one_nested_dict(self) -> None:
        """Eight threads that count in their own key of one nested dict lose nothing."""
        site = Site()
        cookie = site.start({"counts": {str(thread): 0 for thread in range(THREADS)}})

        def change(session: Session, thread: int, number: int) -> None:
            session["counts"][str(thread)] += 1

        self.overlap(site, cookie, change)
        assert site.read(cookie) == {"counts": {str(thread): REQUESTS for thread in range(THREADS)}}

    @pytest.mark.parametrize(
        "kind", [MemoryStore, repeating], ids=["every reply arrives", "every reply is lost once"]
    )
    def test_an_atomic_counter_is_exact(self, kind: Any) -> None:
        """atomic() makes a read-modify-write exact, also where commands are repeated."""
        site = Site(kind())
        cookie = site.start({"views": 0})

        def count(session: Session) -> None:
            session["views"] += 1

        together(
            THREADS,
            lambda _: [site.request(lambda session: session.atomic(count), cookie) for _ in range(50)],
        )
        assert site.read(cookie) == {"views": THREADS * 50}

    def test_the_later_save_wins_for_a_plain_value(self, site: Site, store: StoreDouble) -> None:
        """Two requests that assign the same key: the one that saves last."""
        cookie = site.start({"colour": "red"})
        store.before("replace", lambda: site.request(put("colour", "green"), cookie))
        site.request(put("colour", "blue"), cookie)
        assert site.read(cookie) == {"colour": "blue"}

    def test_held_containers_stay_part_of_the_session(self, site: Site, store: StoreDouble) -> None:
        """A list held over a merging save() still counts afterwards."""
        cookie = site.start({"cart": [{"sku": "A"}]})

        def handler(session: Session) -> None:
            cart = session["cart"]
            item = {"sku": "mine"}
            cart.append(item)
            store.before(
                "replace", lambda: site.request(lambda other: other["cart"].append({"sku": "theirs"}), cookie)
            )
            assert session.save() is True
            assert cart is session["cart"]
            assert [entry["sku"] for entry in cart] == ["A", "theirs", "mine"]
            item["qty"] = 2
            cart[0]["qty"] = 1

        site.request(handler, cookie)
        assert site.read(cookie) == {
            "cart": [{"sku": "A", "qty": 1}, {"sku": "theirs"}, {"sku": "mine", "qty": 2}]
        }

    def test_the_same_item_appended_twice_is_there_twice(self, site: Site, store: StoreDouble) -> None:
        """Two requests that append an equal item are two items; the same new list in both is one."""
        cookie = site.start({"log": ["a"]})

        def append(session: Session) -> None:
            session["log"].append("x")
            session["new"] = ["first"]

        store.before("replace", lambda: site.request(append, cookie))
        site.request(append, cookie)
        assert site.read(cookie) == {"log": ["a", "x", "x"], "new": ["first"]}

    def test_a_save_whose_reply_is_lost(self, site: Site, store: StoreDouble) -> None:
        """The application catches the error and goes on: the commit knows its own write and applies nothing twice."""
        cookie = site.start({"log": ["a"]})

        def handler(session: Session) -> None:
            session["log"].append("x")
            session.persistent = True
            store.lose_reply("replace")
            with pytest.raises(StoreError):
                session.save()
            session["log"].append("y")

        site.request(handler, cookie)
        assert site.read(cookie) == {"log": ["a", "x", "y"]}

    def test_persistence_merges_like_a_value(self, site: Site, store: StoreDouble) -> None:
        """ "Remember me" set elsewhere survives a save of something else."""
        cookie = site.start({"a": 1})
        store.before(
            "replace", lambda: site.request(lambda other: setattr(other, "persistent", True), cookie)
        )
        site.request(put("b", 2), cookie)
        assert site.request(lambda session: session.persistent, cookie).result is True

    @pytest.mark.parametrize("way", ["commit", "atomic", "regenerate"])
    def test_who_was_overtaken_reads_after_the_pause(self, site: Site, store: StoreDouble, way: str) -> None:
        """Others that save during each pause do not make the next swap fail: no writer is starved."""
        cookie = site.start({"views": 1})
        numbers = iter(range(1000))

        def meanwhile(*_: Any) -> None:
            other = SessionManager(store, secret=SECRET).open(key)
            assert other is not None
            other["other"] = next(numbers)
            other.save()

        (key,) = site.live()
        site.manager.records.sleep = meanwhile
        store.before("replace", meanwhile)
        handlers = {
            "commit": count_up,
            "atomic": lambda session: session.atomic(count_up),
            "regenerate": Session.regenerate,
        }
        answer = site.request(handlers[way], cookie)
        assert next(numbers) == 2
        assert site.read(answer.set_cookie.partition(";")[0] if answer.set_cookie else cookie)["other"] == 1

    def test_swaps_that_never_succeed_end_in_a_conflict(self, site: Site, store: StoreDouble) -> None:
        """A store that keeps refusing is an error after a bounded time, not a hang."""
        cookie = site.start({"a": 1})
        site.manager.records.sleep = lambda seconds: None
        store.replace = lambda *args, **kwargs: False  # type: ignore[method-assign]
        delete, store.delete = store.delete, lambda *args, **kwargs: False  # type: ignore[method-assign]
        with pytest.raises(SessionConflict):
            site.request(put("a", 2), cookie)
        with pytest.raises(SessionConflict):
            site.request(lambda session: session.destroy(), cookie)
        store.delete = delete  # type: ignore[method-assign]
        (key,) = site.live()
        swap = store.store.replace
        store.replace = lambda *args: args[0] != key and swap(*args)  # type: ignore[method-assign]
        with pytest.raises(SessionConflict):
            site.request(lambda session: session.regenerate(), cookie)
        assert site.live() == [key]

    @pytest.mark.parametrize(
        "handler", [put("a", 2), lambda session: session.atomic(count_up)], ids=["save", "atomic"]
    )
    def test_the_queue_is_waited_for_once(
        self, site: Site, store: StoreDouble, handler: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If the swap keeps failing, the wait for others is one turn, and not one for each attempt."""
        cookie = site.start({"a": 1, "views": 1})
        taken: list[str] = []
        queue = Turns.queue
        monkeypatch.setattr(Turns, "queue", lambda turns, key: taken.append(key) or queue(turns, key))
        site.manager.records.sleep = lambda seconds: None
        store.replace = lambda *args, **kwargs: False  # type: ignore[method-assign]
        with pytest.raises(SessionConflict):
            site.request(handler, cookie)
        assert taken == site.live()


class TestAtomic:
    """atomic(): exact, undone on an error, and nothing else goes on inside."""

    def test_it_runs_again_on_fresh_data(self, site: Site, store: StoreDouble) -> None:
        """Where another request saved in between, the function sees its data, and the result is the last run's."""
        cookie = site.start({"views": 1, "log": []})
        runs: list[int] = []

        def count(session: Session) -> int:
            runs.append(session["views"])
            session["log"].append(session["views"])
            session["views"] += 1
            return int(session["views"])

        def handler(session: Session) -> int:
            held = session["log"]
            store.before("replace", lambda: site.request(put("views", 10), cookie))
            result = session.atomic(count)
            assert held is session["log"]
            return result

        assert site.request(handler, cookie).result == 11
        assert runs == [1, 10]
        assert site.read(cookie) == {"views": 11, "log": [10]}

    def test_a_turn_that_never_comes_is_no_deadlock(
        self, site: Site, store: StoreDouble, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A turn that was never given back, because a child was forked meanwhile, is over after a moment."""
        cookie = site.start({"views": 1})
        (key,) = site.live()
        turns = Turns()
        next(iter(turns.queue(key).gen))  # type: ignore[attr-defined]
        queue = Turns.queue
        monkeypatch.setattr(Turns, "queue", lambda _, key: queue(turns, key))
        store.before("replace", lambda: site.request(put("views", 10), cookie))
        site.request(lambda session: session.atomic(count_up), cookie)
        store.before("replace", lambda: site.request(put("other", 1), cookie))
        site.request(lambda session: session.update(more=1), cookie)
        assert site.read(cookie) == {"views": 11, "other": 1, "more": 1}

    def test_an_error_undoes_it(self, site: Site) -> None:
        """What the function changed is undone, what was pending before is saved, and the error goes on."""
        cookie = site.start({"cart": ["a"], "n": 1})

        def bad(session: Session) -> None:
            session["cart"].append("b")
            session["n"] = 2
            session.persistent = True
            raise ZeroDivisionError

        def handler(session: Session) -> None:
            session["pending"] = True
            cart = session["cart"]
            with pytest.raises(ZeroDivisionError):
                session.atomic(bad)
            assert (
                cart == ["a"]
                and cart is session["cart"]
                and session["n"] == 1
                and session.persistent is False
            )

        assert site.request(handler, cookie).set_cookie is None
        assert site.read(cookie) == {"cart": ["a"], "n": 1, "pending": True}

    def test_an_error_in_a_new_session_leaves_none(self, site: Site) -> None:
        """A first visit whose atomic() fails stores nothing."""

        def bad(session: Session) -> None:
            session["n"] = 2
            raise ZeroDivisionError

        def handler(session: Session) -> None:
            with pytest.raises(ZeroDivisionError):
                session.atomic(bad)

        assert site.request(handler).set_cookie is None
        assert site.manager.count() == 0

    @pytest.mark.parametrize(
        "forbidden",
        [
            lambda session: session.save(),
            lambda session: session.atomic(len),
            lambda session: session.reload(),
            lambda session: session.regenerate(),
            lambda session: session.destroy(),
            lambda session: setattr(session, "owner", "bob"),
        ],
        ids=["save", "atomic", "reload", "regenerate", "destroy", "another owner"],
    )
    def test_what_has_no_place_inside(self, site: Site, forbidden: Any) -> None:
        """Inside atomic() whatever saves or changes the id is an error."""
        cookie = site.start({"a": 1}, "ada")

        def handler(session: Session) -> None:
            with pytest.raises(SessionError, match="atomic"):
                session.atomic(forbidden)

        site.request(handler, cookie)
        assert site.read(cookie) == {"a": 1}

    def test_a_conflict_without_end_is_undone(self, site: Site, store: StoreDouble) -> None:
        """Past the bound: SessionConflict, and nothing pending."""
        cookie = site.start({"views": 1})
        site.manager.records.sleep = lambda seconds: None
        store.replace = lambda *args, **kwargs: False  # type: ignore[method-assign]

        def handler(session: Session) -> int:
            with pytest.raises(SessionConflict):
                session.atomic(put("views", 2))
            return int(session["views"])

        assert site.request(handler, cookie).result == 1

    def test_a_conflict_names_the_session(self, site: Site, store: StoreDouble, caplog: Any) -> None:
        """The one that is used, where the visitor also brought the cookie of one that ended."""
        dead, cookie = site.start({"views": 1}), site.start({"views": 1})
        site.request(lambda session: session.destroy(), dead)
        site.manager.records.sleep = lambda seconds: None
        store.replace = lambda *args, **kwargs: False  # type: ignore[method-assign]
        with pytest.raises(SessionConflict):
            site.request(lambda session: session.atomic(put("views", 2)), f"{cookie}; {dead}")
        assert [record.key for record in caplog.records if record.levelname == "ERROR"] == site.live()

    def test_on_a_session_that_vanishes(self, site: Site) -> None:
        """The result is returned, and nothing is stored."""
        cookie = site.start({"views": 1})

        def vanish(session: Session) -> str:
            site.request(lambda other: other.destroy(), cookie)
            session["views"] = 2
            return "done"

        def handler(session: Session) -> Any:
            return session.atomic(vanish), session.gone, session.atomic(len)

        assert site.request(handler, cookie).result == ("done", True, 0)
        assert site.live() == []


class TestGoneIsGone:
    """Promise 2: a destroyed, expired or regenerated session is never written back."""

    @pytest.mark.parametrize("end", ["destroy", "manager", "delete"])
    def test_destroyed_elsewhere(self, site: Site, store: StoreDouble, end: str) -> None:
        """Load, destroy elsewhere, save: never revived, no error, no cookie."""
        cookie = site.start({"a": 1})
        (key,) = site.live()

        def handler(session: Session) -> Any:
            session["a"] = 2
            if end == "destroy":
                site.request(lambda other: other.destroy(), cookie)
            elif end == "manager":
                assert site.manager.destroy(key) is True
            else:
                assert store.delete(key)
            return session.save(), session.gone, session.new, dict(session), session.key

        answer = site.request(handler, cookie)
        assert answer.result == (False, True, False, {}, None)
        assert answer.set_cookie is None
        assert site.live() == []

    def test_regenerated_elsewhere(self, site: Site) -> None:
        """Load, regenerate elsewhere, save: neither id is revived, the late write is dropped, no cookie."""
        cookie = site.start({"a": 1})
        fresh: list[str] = []

        def handler(session: Session) -> None:
            session["late"] = True
            fresh.append(site.request(lambda other: other.regenerate(), cookie).cookie)

        assert site.request(handler, cookie).set_cookie is None
        assert site.read(fresh[0]) == {"a": 1}
        assert len(site.live()) == 1

    def test_a_write_that_landed_before_the_regenerate_is_kept(self, site: Site, store: StoreDouble) -> None:
        """The swap of the old record sees it, and it moves to the new id."""
        cookie = site.start({"a": 1})
        store.before("replace", lambda: site.request(put("b", 2), cookie))
        answer = site.request(lambda session: session.regenerate(), cookie)
        assert site.read(answer.cookie) == {"a": 1, "b": 2}
        assert len(site.live()) == 1

    def test_a_request_with_the_old_cookie_after_the_login(self, site: Site) -> None:
        """It is anonymous, its writes show and are dropped, and it sets no cookie."""
        cookie = site.start({"a": 1})
        login = site.request(lambda session: setattr(session, "owner", "ada"), cookie)

        def late(session: Session) -> Any:
            seen = dict(session), session.owner, session.gone, session.new
            session["late"] = 1
            return seen, dict(session), session.save()

        answer = site.request(late, cookie)
        assert answer.result == (({}, None, True, False), {"late": 1}, False)
        assert answer.set_cookie is None
        assert site.read(login.cookie) == {"a": 1}

    def test_a_late_logout_follows_the_regenerate(self, site: Site) -> None:
        """destroy() with the old cookie ends the session that regenerate() made of it, twice over."""
        cookie = site.start({"a": 1}, "ada")
        second = site.request(lambda session: session.regenerate(), cookie).cookie
        site.request(lambda session: session.regenerate(), second)
        answer = site.request(lambda session: session.destroy(), cookie)
        assert site.live() == []
        assert answer.set_cookie is not None and "Max-Age=0" in answer.set_cookie

    def test_destroying_what_vanished_meanwhile(self, site: Site, store: StoreDouble) -> None:
        """For example, the logout was clicked twice: the cookie is removed anyway, and the next write begins a new
        session.
        """
        cookie = site.start({"a": 1})

        def handler(session: Session) -> bool:
            dict(session)
            store.delete(site.live()[0])
            session.destroy()
            return session.gone

        answer = site.request(handler, cookie)
        assert answer.result is False and answer.set_cookie is not None and "Max-Age=0" in answer.set_cookie

    def test_a_store_that_fails_half_way_through_a_regenerate(self, site: Site, store: StoreDouble) -> None:
        """The session is still there, under exactly one id."""
        cookie = site.start({"a": 1})
        store.fail("replace")
        with pytest.raises(StoreError):
            site.request(lambda session: session.regenerate(), cookie)
        assert site.read(cookie) == {"a": 1}
        assert len(site.live()) == 1

    def test_a_store_that_stays_down_half_way(self, site: Site, store: StoreDouble, caplog: Any) -> None:
        """The error is the first one. The half that is left to expire has an id that nobody holds."""
        cookie = site.start({"a": 1})
        store.fail("replace")
        store.fail("delete")
        with pytest.raises(StoreError), caplog.at_level(logging.ERROR, "wsgisession"):
            site.request(lambda session: session.regenerate(), cookie)
        # The second is in the next line's count.
        assert [record.event for record in caplog.records] == ["store error"]
        assert site.read(cookie) == {"a": 1}

    def test_a_regenerate_of_what_vanished(self, site: Site, store: StoreDouble) -> None:
        """The new half is taken back, everything is dropped, no cookie."""
        cookie = site.start({"a": 1})
        (key,) = site.live()
        store.before("replace", lambda: store.delete(key))
        answer = site.request(lambda session: session.regenerate(), cookie)
        assert answer.set_cookie is None
        assert site.manager.count() == 0

    def test_a_regenerate_revoked_half_way(self, site: Site, store: StoreDouble) -> None:
        """Where the new record is ended before the old one's swap succeeds, the visitor ends up logged out."""
        cookie = site.start({"a": 1}, "ada")

        def meanwhile() -> None:
            site.request(put("b", 2), cookie)
            site.manager.destroy_owned("ada", keep=[key])

        (key,) = site.live()
        store.before("replace", meanwhile)
        assert site.request(lambda session: session.regenerate(), cookie).set_cookie is None

    def test_a_regenerate_whose_new_half_was_changed_half_way(self, site: Site, store: StoreDouble) -> None:
        """For example by a job that lists sessions: the record whose id nobody has does not stay."""
        cookie = site.start({"a": 1})
        (key,) = site.live()

        def meanwhile() -> None:
            site.request(put("b", 2), cookie)
            for new in set(site.live()) - {key}:
                opened = site.manager.open(new)
                assert opened is not None
                opened["c"] = 3
                assert opened.save()

        store.before("replace", meanwhile)
        assert site.request(lambda session: session.regenerate(), cookie).set_cookie is None
        assert site.live() == [key] and site.read(cookie) == {"a": 1, "b": 2}

    def test_one_users_late_write_never_reaches_another(self, site: Site, store: StoreDouble) -> None:
        """From one owner to another ours alone counts; from nobody to one, late writes come along."""
        cookie = site.start({"a": 1}, "ada")
        store.before("replace", lambda: site.request(put("secret", "ada's"), cookie))
        answer = site.request(lambda session: setattr(session, "owner", "bob"), cookie)
        assert site.read(answer.cookie) == {}
        cookie = site.start({"a": 1})
        store.before("replace", lambda: site.request(put("cart", [1]), cookie))
        answer = site.request(lambda session: setattr(session, "owner", "bob"), cookie)
        assert site.read(answer.cookie) == {"a": 1, "cart": [1]}

    def test_touch_of_what_vanished(self, site: Site, store: StoreDouble) -> None:
        """A refresh never revives; the session is found gone."""
        cookie = site.start({"a": 1})
        (key,) = site.live()
        store.store.touch(key, 60)
        store.before("touch", lambda: store.delete(key))

        def handler(session: Session) -> bool:
            return session["a"] == 1 and session.save()

        assert site.request(handler, cookie).result is False
        assert site.live() == []

    def test_a_login_starts_afresh_from_a_detached_session(self, site: Site) -> None:
        """It takes this request's writes along."""
        cookie = site.start({"a": 1})
        site.request(lambda session: session.destroy(), cookie)

        def login(session: Session) -> None:
            session["next"] = "/basket"
            session.owner = "ada"

        answer = site.request(login, cookie)
        assert site.read(answer.cookie) == {"next": "/basket"}
        assert site.manager.owned_by("ada") != []

    def test_two_live_cookies_contradict_each_other(self, site: Site, caplog: Any) -> None:
        """The session is detached; destroy() ends both."""
        first, second = site.start({"a": 1}), site.start({"b": 2})
        answer = site.request(lambda session: (session.gone, dict(session)), f"{first}; {second}")
        assert answer.result == (True, {}) and answer.set_cookie is None
        assert [record.event for record in caplog.records] == ["misconfiguration"]
        assert site.request(lambda session: session.destroy(), f"{first}; {second}").set_cookie is not None
        assert site.live() == []


class TestSavedBeforeSent:
    """Promise 3: data is in the store before the first header leaves."""

    def test_a_redirect_never_outruns_its_session(self, site: Site) -> None:
        """When the server gets the headers, another request already reads the data."""
        seen: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> Any:
            seen.append(site.read(dict(headers)["Set-Cookie"].partition(";")[0]))

        environ = {"wsgi.url_scheme": "http", "test.handler": put("a", 1), "test.status": "303 See Other"}
        site.middleware(environ, start_response)
        assert seen == [{"a": 1}]

    def test_too_much_is_refused_before_any_header(self, store: StoreDouble) -> None:
        """SessionTooLarge, and the stored session is what it was; merged ones count too."""
        site = Site(store, max_size=200)
        cookie = site.start({"log": ["x" * 20]})
        with pytest.raises(SessionTooLarge, match="max_size"):
            site.request(put("big", "x" * 200), cookie)
        store.before("replace", lambda: site.request(lambda other: other["log"].append("y" * 50), cookie))
        with pytest.raises(SessionTooLarge):
            site.request(lambda session: session["log"].append("z" * 90), cookie)
        assert site.read(cookie) == {"log": ["x" * 20, "y" * 50]}


class TestWhatYouPutIn:
    """Promise 4: what you put in comes back."""

    def test_nested_mutation_needs_no_flag(self, site: Site) -> None:
        """A change three levels down is stored."""
        cookie = site.start({"a": {"b": [{"c": 1}]}})
        site.request(lambda session: session["a"]["b"][0].update(c=2), cookie)
        assert site.read(cookie) == {"a": {"b": [{"c": 2}]}}

    def test_an_own_type_is_refused_at_once(self, site: Site) -> None:
        """A value whose own type is unsupported is refused where it is assigned."""

        def handler(session: Session) -> None:
            with pytest.raises(UnsupportedType, match=r"session\['user'\]"):
                session["user"] = object()

        assert site.request(handler).set_cookie is None

    def test_what_hides_inside_is_refused_with_its_path(self, site: Site) -> None:
        """At the commit, while the request can still fail cleanly."""
        with pytest.raises(UnsupportedType, match=r"session\['cart'\]\[2\]"):
            site.request(put("cart", [1, 2, object()]))
        assert site.manager.count() == 0

    def test_an_error_leaves_no_trace_in_loaded_data(self, site: Site) -> None:
        """Data loaded by a request that fails is not shared with the next."""
        cookie = site.start({"a": [1]})

        def handler(session: Session) -> None:
            session["a"].append(2)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            site.request(handler, cookie)
        assert site.read(cookie) == {"a": [1]}


class TestNothingForNothing:
    """Promise 5: what is not touched costs nothing, and reads write nothing."""

    def test_an_untouched_request(self, site: Site, store: StoreDouble) -> None:
        """No store call, no cookie parsing, unchanged headers; repr is no touch."""
        cookie = site.start({"a": 1})
        store.calls.clear()
        answer = site.request(repr, cookie)
        assert store.calls == []
        assert answer.headers == [("Content-Type", "text/plain")]

    def test_visitors_who_store_nothing(self, site: Site, store: StoreDouble) -> None:
        """They get no cookie and leave no record, whatever they look at."""
        answer = site.request(
            lambda session: (len(session), "a" in session, list(session), session.get("a"), session.new)
        )
        assert answer.result == (0, False, [], None, True)
        assert answer.set_cookie is None
        assert store.calls == [] and site.manager.count() == 0

    def test_reads_write_nothing(self, site: Site, store: StoreDouble) -> None:
        """One load is all; values read, even mutable ones, are not written back."""
        cookie = site.start({"a": [1], "b": 2})
        store.calls.clear()
        site.request(dict, cookie)
        site.request(lambda session: session.update(b=2), cookie)
        assert store.calls == ["load", "load"]

    def test_an_expiry_is_refreshed_at_most_once_per_tenth(self, store: StoreDouble) -> None:
        """Due when it would move by a tenth of the idle timeout, and not before."""
        site = Site(store, idle_timeout=1000)
        cookie = site.start({"a": 1})
        (key,) = site.live()
        for left, touched in ((990, False), (901, False), (899, True), (950, False)):
            store.store.touch(key, left)
            store.calls.clear()
            site.request(dict, cookie)
            assert ("touch" in store.calls) is touched

    def test_a_touch_that_fails_is_one_logged_error(self, store: StoreDouble, caplog: Any) -> None:
        """The page is served all the same."""
        site = Site(store, idle_timeout=1000)
        cookie = site.start({"a": 1})
        store.store.touch(site.live()[0], 10)
        store.fail("touch")
        assert site.request(dict, cookie).result == {"a": 1}
        assert [record.event for record in caplog.records] == ["store error"]


class TestForged:
    """Promise 6: a forged cookie never reaches the store."""

    @pytest.mark.parametrize("last", range(64))
    def test_one_canonical_spelling(self, site: Site, store: StoreDouble, last: int) -> None:
        """Of all last characters exactly one is accepted; the others make no store call."""
        cookie = site.start({"a": 1})
        character = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last]
        store.calls.clear()
        changed = cookie[:-1] + character
        assert site.read(changed) == ({"a": 1} if changed == cookie else {})
        assert store.calls == (["load"] if changed == cookie else [])

    def test_a_flood_is_one_line(self, site: Site, store: StoreDouble, caplog: Any) -> None:
        """A thousand forged cookies: no store call, one log line that counts and one that advises, without the cookie."""
        for number in range(1000):
            site.read(f"sid={number:043}.{number:043}")
        assert store.calls == []
        assert [record.event for record in caplog.records] == ["bad signature", "misconfiguration"]
        assert "0000" not in caplog.text

    def test_a_signed_id_without_a_record_is_never_adopted(self, site: Site, store: StoreDouble) -> None:
        """A write makes a new id."""
        cookie = site.start({"a": 1})
        store.delete(site.live()[0])
        answer = site.request(put("b", 2), cookie)
        assert answer.cookie != cookie
        assert site.read(cookie) == {}


class TestTheIdLivesInTheCookie:
    """Promise 7: stores, logs and the application know a session by its key."""

    def test_the_id_is_nowhere_else(self, site: Site, store: StoreDouble, caplog: Any) -> None:
        """Not in a payload, a listing, a repr or the log, at DEBUG level."""
        caplog.set_level(logging.DEBUG, "wsgisession")
        cookie = site.start({"a": 1}, "ada")
        fresh = site.request(lambda session: session.regenerate(), cookie).cookie
        site.request(lambda session: session.destroy(), fresh)
        site.read(cookie)
        told = repr(list(store.keys())) + caplog.text + repr([store.load(key) for key in store.keys()])
        told += repr(
            site.request(lambda session: (repr(session), session.key, session.siblings), fresh).result
        )
        for token in (cookie, fresh):
            id, _, signature = token.partition("=")[2].partition(".")
            assert id not in told and signature not in told
        assert SECRET not in caplog.text and "regenerated" in caplog.text


class TestFailsClosed:
    """Promise 8: a store outage is an error, never a fresh empty session."""

    @pytest.mark.parametrize("call", ["load", "replace"])
    def test_an_outage_is_an_error(self, site: Site, store: StoreDouble, call: str) -> None:
        """The request fails, and nothing is lost."""
        cookie = site.start({"a": 1})
        store.fail(call)
        with pytest.raises(StoreError):
            site.request(put("a", 2), cookie)
        assert site.read(cookie) == {"a": 1}

    def test_an_outage_stays_an_error_for_a_second_touch(self, site: Site, store: StoreDouble) -> None:
        """Where the second of two cookies could not be looked up, the session of the first is not forgotten."""
        live, dead = site.start({"a": 1}), site.start({"a": 2})
        assert site.manager.destroy(site.live()[-1])
        both = f"{live}; {dead}" if site.read(live) else f"{dead}; {live}"

        def handler(session: Session) -> dict[str, Any]:
            store.fail("load", call=2)
            with pytest.raises(StoreError):
                session.get("a")
            return session.copy()

        assert site.request(handler, both).result != {}

    def test_a_caught_outage_still_varies(self, site: Site, store: StoreDouble) -> None:
        """A page served in spite of the outage depends on the cookie, and no cookie is set."""
        cookie = site.start({"a": 1})
        store.fail("load")

        def handler(session: Session) -> None:
            with pytest.raises(StoreError):
                dict(session)

        answer = site.request(handler, cookie)
        assert ("Vary", "Cookie") in answer.headers and answer.set_cookie is None

    @pytest.mark.parametrize("call", ["delete", None], ids=["delete", "everything"])
    def test_a_failed_logout_never_looks_like_a_success(
        self, site: Site, store: StoreDouble, call: str | None
    ) -> None:
        """destroy() raises, and the session is still there."""
        cookie = site.start({"a": 1})
        store.fail(call, times=None)
        with pytest.raises(StoreError):
            site.request(lambda session: session.destroy(), cookie)
        store.rest()
        assert site.read(cookie) == {"a": 1}

    def test_a_store_that_breaks_its_contract(self, site: Site, store: StoreDouble) -> None:
        """create() of a random id that is "taken" is an error."""
        store.create = lambda *args, **kwargs: False  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="contract"):
            site.request(put("a", 1))
