"""Stores that break the contract in one point each, and the clause that has to notice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

from support.plain_store import PlainStore

from wsgisession.errors import StoreError

LONG = 3600.0


class Abandoned(BaseException):
    """The test is over. A thread that still waits for a lock would wait for ever."""


class Waits:
    """Locks whose waiting threads end when a test is over, so that none stays behind, least of all inside a profiler."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def lock(self, make: Callable[[], Any] = threading.Lock) -> WaitingLock:
        """Return a new lock."""
        return WaitingLock(make(), self._over)

    def abandon(self) -> None:
        """End all waits for the locks that there are."""
        self._over.set()
        self._over = threading.Event()


class WaitingLock:
    """A lock of ``Waits``."""

    def __init__(self, lock: Any, over: threading.Event) -> None:
        self._lock, self._over = lock, over

    def acquire(self) -> None:
        while not self._lock.acquire(timeout=0.02):
            if self._over.is_set():
                raise Abandoned

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


waits = Waits()
"""Those of the stores below."""


class LoadsWholeSeconds(PlainStore):
    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], int(found[1]))


class LoadsWholeSecondsAfterATouch(PlainStore):
    def touch(self, key: str, ttl: Any, *more: Any) -> Any:
        self.whole = type(ttl) is int
        return super().touch(key, ttl, *more)

    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], int(found[1]) if vars(self).get("whole") else found[1])


class LoadsWholeSecondsAfterAReplace(LoadsWholeSecondsAfterATouch):
    touch = PlainStore.touch

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        self.whole = type(ttl) is int
        return super().replace(key, expected, payload, ttl, owner)


class LoadsWhatItMade(PlainStore):
    """It does not ask again for what it has made itself."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.made: dict[str, bytes] = {}

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        done = super().create(key, payload, ttl, owner)
        if done:
            self.made[key] = payload
        return done

    def load(self, key: str) -> Any:
        found = super().load(key)
        gone = found is None and key not in self.records and key in self.made
        return (self.made[key], LONG) if gone else found

    def delete(self, key: str, expected: bytes | None = None) -> bool:
        done = super().delete(key, expected)
        if done:
            self.made.pop(key, None)
        return done


class LoadRenews(PlainStore):
    def load(self, key: str) -> Any:
        self.touch(key, LONG)
        return super().load(key)


class LoadCreates(PlainStore):
    def load(self, key: str) -> Any:
        self.create(key, b"", LONG)
        return super().load(key)


class RaisesForUnknownKeys(PlainStore):
    def load(self, key: str) -> Any:
        self.records[key]
        return super().load(key)


class FoldsKeys(PlainStore):
    def create(self, key: str, *args: Any) -> Any:
        return super().create(key.lower(), *args)

    def load(self, key: str) -> Any:
        return super().load(key.lower())


class PayloadsAreText(PlainStore):
    def create(self, key: str, payload: bytes, *args: Any) -> Any:
        return super().create(key, payload.decode("utf-8", "replace").encode(), *args)


class PayloadsEndAtNUL(PlainStore):
    def create(self, key: str, payload: bytes, *args: Any) -> Any:
        return super().create(key, payload.split(b"\0")[0], *args)


class ReplaceCutsAt64K(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, *args: Any) -> Any:
        return super().replace(key, expected, payload[: 2**16 - 1], *args)


class CreateOverwrites(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        self.records[key] = payload, self.clock() + ttl, owner
        return True


class CreateGivesEverythingAnHour(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().create(key, payload, 3600.0, owner)


class CreateRenews(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        self.touch(key, ttl)
        return super().create(key, payload, ttl, owner)


class CreateIsNeverRepeated(PlainStore):
    def create(self, key: str, *args: Any) -> Any:
        return False if self.load(key) else super().create(key, *args)


class CreateRemembersWhatItMade(PlainStore):
    made: set[bytes] = set()

    def create(self, key: str, payload: bytes, *args: Any) -> Any:
        again = payload in self.made
        self.made.add(payload)
        return super().create(key, payload, *args) or again


class CreateComparesBeginnings(PlainStore):
    def create(self, key: str, payload: bytes, *args: Any) -> Any:
        found = self.load(key)
        return super().create(key, payload, *args) or (found is not None and payload.startswith(found[0]))


class CreateStopsAtDeadRecords(PlainStore):
    def create(self, key: str, *args: Any) -> Any:
        return False if key in self.records else super().create(key, *args)


class CreateTakesTheDeadForARepetition(PlainStore):
    def create(self, key: str, payload: bytes, *args: Any) -> Any:
        return payload == self.records.get(key, (None,))[0] or super().create(key, payload, *args)


class CreateRefusesFreedKeys(CreateStopsAtDeadRecords):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        done = super().delete(key)
        if done:
            self.records[key] = b"", 0.0, None
        return done


class ReplaceCreates(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl, owner) or self.create(
            key, payload, ttl or LONG, owner
        )


class ReplaceRevivesTheDeleted(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        payload = self.records.get(key, (None,))[0]
        done = super().delete(key)
        if done and payload is not None:
            self.records[key] = payload, 0.0, None
        return done

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        if self.records.get(key, (None,))[0] != expected:
            return super().replace(key, expected, payload, ttl, owner)
        self.records[key] = payload, self.clock() + (ttl or LONG), owner
        return True


class ReplaceTakesAnythingForExpected(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, found[0] if found else expected, payload, ttl, owner)


class ReplaceRenewsInVain(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        self.touch(key, ttl or LONG)
        return super().replace(key, expected, payload, ttl, owner)


class ReplaceComparesLengthAndBeginning(PlainStore):
    def replace(self, key: str, expected: bytes, *args: Any) -> Any:
        found = self.load(key)
        return super().replace(key, found[0] if found and found[0].startswith(expected) else expected, *args)


class ReplaceIsNeverRepeated(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, *args: Any) -> Any:
        found = self.load(key)
        return found is not None and found[0] == expected and super().replace(key, expected, payload, *args)


class ReplaceRemembersWhatItMade(PlainStore):
    made: set[bytes] = set()

    def replace(self, key: str, expected: bytes, payload: bytes, *args: Any) -> Any:
        done = super().replace(key, expected, payload, *args) or payload in self.made
        self.made.add(payload)
        return done


class ReplaceKeepsTheExpiry(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, expected, payload, found[1] if found else ttl, owner)


class ReplaceOnlyProlongs(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, expected, payload, max(ttl, found[1] if found else 0), owner)


class ReplaceKeepsTheOwner(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl, self.records.get(key, (0, 0, owner))[2])


class ReplaceClearsNoOwner(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl, owner or self.records.get(key, (0, 0, owner))[2])


class TouchCreates(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        return super().touch(key, ttl, owner) or self.create(key, b"", ttl, owner)


class TouchRevivesTheDead(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        if key in self.records:
            payload, _, owner = self.records[key]
            self.records[key] = payload, self.clock() + ttl, owner
        return key in self.records


class TouchDoesNothing(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        return self.load(key) is not None


class RenewalEndsListingsOnly(PlainStore):
    """A renewed record is no longer listed after its end, and still loads."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.renewed: set[str] = set()

    def touch(self, key: str, *more: Any) -> Any:
        self.renewed.add(key)
        return super().touch(key, *more)

    def replace(self, key: str, *more: Any) -> Any:
        self.renewed.add(key)
        return super().replace(key, *more)

    def load(self, key: str) -> Any:
        found = super().load(key)
        late = found is None and key in self.renewed and key in self.records
        return (self.records[key][0], 0.001) if late else found


class TouchFails(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        return False


class TouchOnlyProlongs(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        found = self.load(key)
        return super().touch(key, max(ttl, found[1] if found else 0), owner)


class TouchSetsTheOwner(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        done = super().touch(key, ttl)
        if done:
            self.records[key] = *self.records[key][:2], owner
        return done


class TouchCarriesData(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        payload, _, owner = self.records[key]
        time.sleep(0.005)
        self.records[key] = payload, self.clock() + ttl, owner
        return True


class RoundsTimesUp(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().create(key, payload, ceil(ttl), owner)


class CutsTimes(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, int(ttl), owner)


class TimeStandsStill(PlainStore):
    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], 100.0)


class DeletesAnything(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        super().delete(key)
        return True


class DeleteOnlyHides(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        record = self.records.get(key)
        done = super().delete(key)
        if record and done:
            self.records[key] = b"hidden", *record[1:]
        return done


class ShortOwnersOnly(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().create(key, payload, ttl, owner and owner.encode()[:255].decode("utf-8", "ignore"))


class ListsOwnedAsList(PlainStore):
    def owned_by(self, owner: str) -> Any:
        return list(super().owned_by(owner))


class ListsTheDeadOwned(PlainStore):
    def owned_by(self, owner: str) -> Any:
        return iter([key for key, record in self.records.items() if record[2] == owner])


class ListsTheFirstFiftyOwned(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        mine = [record for record in self.records.values() if record[2] == owner]
        return super().create(key, payload, ttl, owner if len(mine) < 50 else None)


class IndexExpiresOnItsOwn(PlainStore):
    """The index lasts as long as the record was first given."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ends: dict[str, float] = {}

    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        self.ends[key] = self.clock() + ttl
        return super().create(key, payload, ttl, owner)

    def owned_by(self, owner: str) -> Iterator[str]:
        return (key for key in super().owned_by(owner) if self.ends[key] > self.clock())


class IndexExpiresWithItsShortestMember(IndexExpiresOnItsOwn):
    def owned_by(self, owner: str) -> Iterator[str]:
        return iter(list(super().owned_by(owner)) if min(self.ends.values()) > self.clock() else [])


class ListsTheDead(PlainStore):
    def keys(self) -> Iterator[str]:
        return iter(list(self.records))


class ListsOwnedKeysOnly(PlainStore):
    def keys(self) -> Iterator[str]:
        return iter([key for key in super().keys() if self.records[key][2]])


class ListsWhatIsBeingChanged(PlainStore):
    def keys(self) -> Iterator[str]:
        return (key for key in self.records)


class ListsUnderALock(PlainStore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.listing = waits.lock(threading.RLock)

    def keys(self) -> Iterator[str]:
        with self.listing:
            yield from super().keys()

    def create(self, *args: Any) -> Any:
        with self.listing:
            return super().create(*args)


class PurgesNothing(PlainStore):
    def purge(self) -> Any:
        return 0


class PurgesWithoutEnd(PlainStore):
    def purge(self) -> Any:
        return super().purge() + 1


class PurgesTheLiving(PlainStore):
    def purge(self) -> Any:
        expired = super().purge()
        if expired:
            self.records.pop(next(iter(self.records)))
        return expired


class PurgesWhatWasShort(IndexExpiresOnItsOwn):
    def purge(self) -> Any:
        dead = [key for key in self.records if self.ends[key] <= self.clock()]
        return sum(self.records.pop(key, None) is not None for key in dead)


class PurgesTheIndexOfTheDead(PlainStore):
    """With an owner's dead record, their whole listing goes."""

    def purge(self) -> Any:
        dead = {record[2] for key, record in self.records.items() if not self.live(key)}
        for key, record in self.records.items():
            if record[2] in dead and self.live(key):
                self.records[key] = *record[:2], None
        return super().purge()


class PurgesWithoutAnAnswer(PlainStore):
    def purge(self) -> Any:
        super().purge()


class ClosesOnce(PlainStore):
    def close(self) -> None:
        assert not hasattr(self, "closed"), "closed twice"
        self.closed = True


class ClosesForAll(PlainStore):
    def close(self) -> None:
        self.records.clear()


class OpensItsOwnRecords(PlainStore):
    def __init__(self, clock: Callable[[], float], records: Any = None) -> None:
        super().__init__(clock)


class LooksThenCreates(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        if self.load(key):
            return False
        time.sleep(0.005)
        self.records[key] = payload, self.clock() + ttl, owner
        return True


class LooksThenReplaces(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        if self.records.get(key, (None,))[0] != expected:
            return False
        time.sleep(0.005)
        self.records[key] = payload, self.clock() + (ttl or LONG), owner
        return True


class LooksThenDeletes(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        found = self.load(key)
        time.sleep(0.005)
        self.records.pop(key, None)
        return found is not None


class IndexesWithTheNextCreate(PlainStore):
    latest = ""

    def create(self, key: str, *args: Any) -> Any:
        self.latest = key
        return super().create(key, *args)

    def owned_by(self, owner: str) -> Iterator[str]:
        return (key for key in super().owned_by(owner) if key != self.latest)


class ForParentsOnly(PlainStore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.process = os.getpid()

    def load(self, key: str) -> Any:
        return super().load(key) if os.getpid() == self.process else None


class LockStaysLockedInTheChild(PlainStore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.own_lock = waits.lock()

    def replace(self, *args: Any) -> Any:
        with self.own_lock:
            time.sleep(0.005)
            return super().replace(*args)

    def touch(self, *args: Any) -> Any:
        with self.own_lock:
            return super().touch(*args)


class OneThreadOnly(PlainStore):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.thread = threading.get_ident()

    def replace(self, *args: Any) -> Any:
        assert threading.get_ident() == self.thread, "made in another thread"
        return super().replace(*args)


def without_a_ttl(kind: type[PlainStore]) -> type[PlainStore]:
    """Return a store whose ``replace`` is broken only where it is given no ttl."""

    class Half(kind):  # type: ignore[valid-type,misc]
        def replace(
            self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None
        ) -> Any:
            replace = PlainStore.replace if ttl else kind.replace
            return replace(self, key, expected, payload, ttl, owner)

    Half.__name__ = f"{kind.__name__}WithoutATtl"
    return Half


class ReplaceDrifts(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, expected, payload, ttl or (found[1] + 0.001 if found else LONG), owner)


class ReplaceLosesTheExpiry(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl or LONG, owner)


class ReplaceEndsNothing(PlainStore):
    """A record that was replaced without a ttl counts down, and stays at its last millisecond."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: set[str] = set()

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        done = super().replace(key, expected, payload, ttl, owner)
        if done and ttl is None:
            self.kept.add(key)
        return done

    def live(self, key: str) -> Any:
        found = super().live(key)
        return (
            (self.records[key][0], 0.001) if found is None and key in self.kept & {*self.records} else found
        )


class ReplaceAlwaysSetsTheOwner(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        done = super().replace(key, expected, payload, ttl, owner)
        if done:
            self.records[key] = *self.records[key][:2], owner
        return done


class TouchTakesEmptyForNone(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        return super().touch(key, ttl, owner, expected or None)


class TouchComparesTheDead(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        payload, _, owner = self.records.get(key, (None, 0.0, None))
        if payload is not None and expected == payload:
            self.records[key] = payload, self.clock() + ttl, owner
        return payload is not None and expected in (None, payload)


class LooksThenTouches(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None, expected: bytes | None = None) -> Any:
        found = self.load(key)
        time.sleep(0.005)
        return bool(found) and expected in (None, found and found[0]) and super().touch(key, ttl, owner)


class DeleteTakesEmptyForNone(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        return super().delete(key, expected or None)


class DeleteComparesTheDead(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        return super().delete(key, expected) or expected == self.records.pop(key, (None,))[0]


class LooksThenDeletesExpected(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        found = self.load(key)
        time.sleep(0.005)
        return bool(found) and expected in (None, found and found[0]) and super().delete(key)


class ShowsWholeMilliseconds(PlainStore):
    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], int(found[1] * 1000) / 1000)


class TakesNoExpiryForTheEnd(PlainStore):
    def load(self, key: str) -> Any:
        return super().load(key) if self.records.get(key, (0, 0.0))[1] is not None else None


class LoadsWhateverIsThere(PlainStore):
    def load(self, key: str) -> Any:
        return self.live(key)


class DeletesBytesOnly(PlainStore):
    def delete(self, key: str, expected: bytes | None = None) -> Any:
        return self.load(key) is not None and super().delete(key, expected)


class KeysMustBeASCII(PlainStore):
    def load(self, key: str) -> Any:
        if not key.isascii() or not 0 < len(key) < 64:
            raise StoreError("that is no key")
        return super().load(key)


class IndexLooksLikeARecord(PlainStore):
    def load(self, key: str) -> Any:
        owned = list(self.owned_by(key.removeprefix("owner:"))) if key.startswith("owner:") else []
        return (repr(owned).encode(), LONG) if owned else super().load(key)


class KeysAreCutAtNUL(PlainStore):
    def load(self, key: str) -> Any:
        return super().load(key) if "\0" not in key else (b"", LONG)


class OwnersMustBeText(PlainStore):
    def owned_by(self, owner: str) -> Iterator[str]:
        if "\ud800" in owner or len(owner) > 255:
            raise StoreError("that is no owner")
        return super().owned_by(owner)


class EmptyOwnerIsNone(PlainStore):
    def owned_by(self, owner: str) -> Iterator[str]:
        return iter([key for key in self.keys() if self.records[key][2] == (owner or None)])


class FindsNumbers(PlainStore):
    def diagnose(self) -> Any:
        return iter([1])


class DiagnosesByTrying(PlainStore):
    def diagnose(self) -> Any:
        self.records.clear()
        return iter(())


class SettingsAreNumbers(PlainStore):
    def settings(self) -> Any:
        return {"records": self.count()}


class SettlesWhenAsked(PlainStore):
    def settings(self) -> Any:
        self.records.clear()
        return {}


class StaysLocked(PlainStore):
    """A lock that only an operation that ends well gives back."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.own_lock = waits.lock()

    def alone(self, operation: Callable[..., Any], *args: Any) -> Any:
        self.own_lock.acquire()
        result = operation(*args)
        self.own_lock.release()
        return result

    def touch(self, *args: Any) -> Any:
        return self.alone(super().touch, *args)

    def load_many(self, *args: Any) -> Any:
        return self.alone(super().load_many, *args)


class WaitsForItself(StaysLocked):
    """A lock that is given back whatever happens, and that its own thread cannot take twice."""

    def alone(self, operation: Callable[..., Any], *args: Any) -> Any:
        with self.own_lock:
            return operation(*args)


class ChangesExceptions(PlainStore):
    def touch(self, *args: Any) -> Any:
        try:
            return super().touch(*args)
        except BaseException as error:
            raise StoreError("the engine failed") from error


class ReplacesInTwoSteps(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: Any, owner: str | None = None) -> Any:
        if self.delete(key, expected):
            return self.create(key, payload, ttl or LONG, owner)
        return False


class LoadsManyInAnyOrder(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return super().load_many(sorted(keys))


class LoadsManyWithoutGaps(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return [found for found in super().load_many(keys) if found]


class LoadsManyOnce(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return super().load_many(list(dict.fromkeys(keys)))


class LoadsManyOfAList(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return super().load_many(keys if isinstance(keys, list) else [])


class LoadsOnePage(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return [*super().load_many(keys[:1000]), *([None] * len(keys[1000:]))]


class LoadsPagesTwice(PlainStore):
    def load_many(self, keys: Any) -> Any:
        pages = [keys[start : start + 1001] for start in range(0, len(keys), 1000)]
        return [found for page in pages for found in super(LoadsPagesTwice, self).load_many(page)]


class LoadsManyWithTheirFullTime(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return [found and (found[0], float(round(found[1]))) for found in super().load_many(keys)]


class LoadManyRenews(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return [self.touch(key, LONG) and self.load(key) or None for key in keys]


class LoadsManyASCII(PlainStore):
    def load_many(self, keys: Any) -> Any:
        if not all(map(str.isascii, keys)):
            raise StoreError("that is no key")
        return super().load_many(keys)


class LoadsManyOfWhatIsThere(PlainStore):
    def load_many(self, keys: Any) -> Any:
        return [self.live(key) for key in keys]


class CountsTheDead(PlainStore):
    def count(self) -> int:
        return len(self.records)


class CountsTheOwned(PlainStore):
    def count(self) -> int:
        return sum(self.records[key][2] is not None for key in self.keys())


class ClearsOneBatch(PlainStore):
    def clear(self) -> int:
        return sum(map(self.delete, list(self.keys())[:1000]))


class ClearsTheOwned(PlainStore):
    def clear(self) -> int:
        return sum(self.delete(key) for key in list(self.keys()) if self.records[key][2])


class ClearCountsTheDead(PlainStore):
    def clear(self) -> int:
        count = len(self.records)
        self.records.clear()
        return count


class ClearOnlyHides(PlainStore):
    def clear(self) -> int:
        count = self.count()
        for key in self.records:
            self.records[key] = b"hidden", self.clock(), None
        return count

    def create(self, key: str, *args: Any) -> Any:
        return self.records.get(key, (None,))[0] != b"hidden" and super().create(key, *args)


class ClearsUntilNothingIsLeft(PlainStore):
    def clear(self) -> int:
        removed = idle = 0
        while idle < 100:  # on a busy machine the next record takes a moment to come
            keys = list(self.keys())
            removed += sum(map(self.delete, keys))
            idle = 0 if keys else idle + 1
            time.sleep(0.002)
        return removed


class ClearsWhatWasMadeMeanwhile(PlainStore):
    def clear(self) -> int:
        count = self.count()
        time.sleep(0.005)
        self.records.clear()
        return count


BROKEN: list[tuple[type[PlainStore], str]] = [
    (RaisesForUnknownKeys, "test_load_of_an_unknown_key_is_none"),
    (LoadCreates, "test_load_of_an_unknown_key_is_none"),
    (LoadsWholeSeconds, "test_load_returns_bytes_and_seconds"),
    (LoadsWhatItMade, "test_a_second_store_sees_the_same_records"),
    (RenewalEndsListingsOnly, "test_a_renewal_can_end_a_record_sooner"),
    (LoadsWholeSecondsAfterATouch, "test_whole_seconds_may_be_ints"),
    (LoadsWholeSecondsAfterAReplace, "test_whole_seconds_may_be_ints"),
    (LoadRenews, "test_load_does_not_renew"),
    (OpensItsOwnRecords, "test_one_of_many_creates_wins"),
    (FoldsKeys, "test_keys_are_compared_exactly"),
    (PayloadsAreText, "test_payloads_are_any_bytes"),
    (PayloadsEndAtNUL, "test_payloads_are_any_bytes"),
    (ReplaceCutsAt64K, "test_payloads_are_any_bytes"),
    (CreateGivesEverythingAnHour, "test_create_never_overwrites"),
    (CreateOverwrites, "test_create_never_overwrites"),
    (CreateRenews, "test_create_never_overwrites"),
    (CreateIsNeverRepeated, "test_create_again_after_a_lost_reply_is_true"),
    (CreateRemembersWhatItMade, "test_create_again_after_a_replace_is_false"),
    (CreateComparesBeginnings, "test_create_compares_the_whole_payload"),
    (CreateStopsAtDeadRecords, "test_create_succeeds_over_a_dead_record"),
    (CreateTakesTheDeadForARepetition, "test_create_over_a_dead_record_with_its_own_payload_lives"),
    (CreateRefusesFreedKeys, "test_delete_removes"),
    (ReplaceKeepsTheExpiry, "test_replace_swaps_payload_and_expiry"),
    (ReplaceOnlyProlongs, "test_replace_swaps_payload_and_expiry"),
    (ReplaceCreates, "test_replace_never_creates"),
    (ReplaceRevivesTheDeleted, "test_replace_never_creates"),
    (ReplaceTakesAnythingForExpected, "test_replace_of_a_changed_record_is_false"),
    (ReplaceRenewsInVain, "test_replace_of_a_changed_record_is_false"),
    (ReplaceComparesLengthAndBeginning, "test_replace_compares_the_whole_payload"),
    (ReplaceIsNeverRepeated, "test_replace_again_after_a_lost_reply_is_true"),
    (ReplaceRemembersWhatItMade, "test_replace_again_after_another_replace_is_false"),
    (ReplaceRevivesTheDeleted, "test_replace_of_a_dead_record_is_false"),
    (ReplaceKeepsTheOwner, "test_replace_sets_the_owner"),
    (ReplaceClearsNoOwner, "test_replace_with_none_clears_the_owner"),
    (ReplaceKeepsTheExpiry, "test_a_renewed_record_outlives_its_first_expiry"),
    (ReplaceOnlyProlongs, "test_a_renewal_can_end_a_record_sooner"),
    (TouchOnlyProlongs, "test_touch_sets_the_expiry_and_nothing_else"),
    (TouchCreates, "test_touch_of_no_record_is_false"),
    (TouchRevivesTheDead, "test_touch_of_no_record_is_false"),
    (TouchSetsTheOwner, "test_touch_never_changes_the_owner"),
    (TouchDoesNothing, "test_a_renewed_record_outlives_its_first_expiry"),
    (TouchFails, "test_a_renewed_record_outlives_its_first_expiry"),
    (IndexExpiresOnItsOwn, "test_a_renewed_record_outlives_its_first_expiry"),
    (TouchOnlyProlongs, "test_a_renewal_can_end_a_record_sooner"),
    (RoundsTimesUp, "test_time_is_kept_to_the_millisecond"),
    (CutsTimes, "test_time_is_kept_to_the_millisecond"),
    (TimeStandsStill, "test_what_is_left_shrinks"),
    (RoundsTimesUp, "test_a_record_ends_to_the_fraction_of_a_second"),
    (ListsTheDead, "test_a_record_ends_to_the_fraction_of_a_second"),
    (DeleteOnlyHides, "test_delete_removes"),
    (DeletesAnything, "test_delete_of_no_record_is_false"),
    (ShortOwnersOnly, "test_owned_by_finds_any_name"),
    (ListsOwnedAsList, "test_owned_by_names_live_records_only"),
    (ListsTheDeadOwned, "test_owned_by_names_live_records_only"),
    (ListsTheFirstFiftyOwned, "test_owned_by_is_never_too_few"),
    (IndexExpiresWithItsShortestMember, "test_owned_by_names_live_records_only"),
    (ListsTheDead, "test_keys_names_every_live_record_once"),
    (ListsOwnedKeysOnly, "test_keys_names_every_live_record_once"),
    (ListsWhatIsBeingChanged, "test_keys_may_be_left_half_way_while_others_write"),
    (ListsUnderALock, "test_keys_may_be_left_half_way_while_others_write"),
    (PurgesNothing, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesWithoutEnd, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesTheLiving, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesWhatWasShort, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesTheIndexOfTheDead, "test_owned_by_survives_the_end_of_a_short_record"),
    (PurgesWithoutAnAnswer, "test_purge_removes_the_dead_and_says_how_many"),
    (ClosesOnce, "test_close_leaves_the_records_to_others"),
    (ClosesForAll, "test_close_leaves_the_records_to_others"),
    (LooksThenCreates, "test_one_of_many_creates_wins"),
    (LooksThenReplaces, "test_one_of_many_replaces_wins"),
    (LooksThenReplaces, "test_compare_and_swap_counts_exactly"),
    (LooksThenReplaces, "test_delete_beats_replace_and_touch"),
    (TouchCarriesData, "test_touch_never_undoes_a_replace"),
    (LooksThenDeletes, "test_one_of_many_deletes_wins"),
    (IndexesWithTheNextCreate, "test_a_record_is_listed_as_soon_as_it_is_made"),
    (ForParentsOnly, "test_a_forked_child_uses_the_store"),
    (LockStaysLockedInTheChild, "test_a_fork_while_threads_write"),
    (OneThreadOnly, "test_a_fork_while_threads_write"),
    (OneThreadOnly, "test_one_of_many_replaces_wins"),
    *(
        (without_a_ttl(kind), clause)
        for kind, clause in (
            (ReplaceCreates, "test_replace_never_creates"),
            (ReplaceRevivesTheDeleted, "test_replace_never_creates"),
            (ReplaceTakesAnythingForExpected, "test_replace_of_a_changed_record_is_false"),
            (ReplaceRenewsInVain, "test_replace_of_a_changed_record_is_false"),
            (ReplaceComparesLengthAndBeginning, "test_replace_compares_the_whole_payload"),
            (ReplaceIsNeverRepeated, "test_replace_again_after_a_lost_reply_is_true"),
            (ReplaceRemembersWhatItMade, "test_replace_again_after_another_replace_is_false"),
            (ReplaceRevivesTheDeleted, "test_replace_of_a_dead_record_is_false"),
            (LooksThenReplaces, "test_one_of_many_replaces_wins"),
            (LooksThenReplaces, "test_delete_beats_replace_and_touch"),
        )
    ),
    (ReplaceDrifts, "test_replace_without_a_ttl_keeps_the_expiry"),
    (ReplaceLosesTheExpiry, "test_replace_without_a_ttl_keeps_the_expiry"),
    (ReplaceEndsNothing, "test_replace_without_a_ttl_ends_nothing_later"),
    (ReplaceAlwaysSetsTheOwner, "test_replace_without_a_ttl_keeps_the_owner"),
    (TouchTakesEmptyForNone, "test_touch_with_expected_compares_first"),
    (TouchComparesTheDead, "test_touch_of_no_record_is_false"),
    (LooksThenTouches, "test_touch_with_expected_never_renews_another_payload"),
    (DeleteTakesEmptyForNone, "test_delete_with_expected_compares_first"),
    (DeleteComparesTheDead, "test_delete_of_no_record_is_false"),
    (LooksThenDeletesExpected, "test_delete_with_expected_or_replace_wins"),
    (ShowsWholeMilliseconds, "test_the_seconds_left_are_never_zero"),
    (TakesNoExpiryForTheEnd, "test_a_record_whose_expiry_was_taken_away_is_about_to_end"),
    (KeysMustBeASCII, "test_what_is_no_key_is_not_found"),
    (IndexLooksLikeARecord, "test_what_is_no_key_is_not_found"),
    (KeysAreCutAtNUL, "test_what_is_no_key_is_not_found"),
    (OwnersMustBeText, "test_who_is_no_owner_owns_nothing"),
    (EmptyOwnerIsNone, "test_who_is_no_owner_owns_nothing"),
    (LoadsWhateverIsThere, "test_a_payload_that_is_no_bytes_is_a_store_error"),
    (DeletesBytesOnly, "test_a_payload_that_is_no_bytes_is_a_store_error"),
    (FindsNumbers, "test_diagnose_says_what_to_change"),
    (DiagnosesByTrying, "test_diagnose_says_what_to_change"),
    (SettingsAreNumbers, "test_settings_are_for_a_person"),
    (SettlesWhenAsked, "test_settings_are_for_a_person"),
    (StaysLocked, "test_an_exception_from_outside_leaves_a_store_that_works"),
    (ChangesExceptions, "test_an_exception_from_outside_leaves_a_store_that_works"),
    (ReplacesInTwoSteps, "test_an_exception_from_outside_leaves_a_store_that_works"),
    (WaitsForItself, "test_what_runs_inside_an_operation_may_use_the_store"),
    (LoadsManyInAnyOrder, "test_load_many_answers_in_the_order_of_the_keys"),
    (LoadsManyWithoutGaps, "test_load_many_answers_in_the_order_of_the_keys"),
    (LoadsManyOnce, "test_load_many_answers_in_the_order_of_the_keys"),
    (LoadsManyOfAList, "test_load_many_of_any_sequence"),
    (LoadsOnePage, "test_load_many_of_more_keys_than_a_page"),
    (LoadsPagesTwice, "test_load_many_of_more_keys_than_a_page"),
    (LoadsManyWithTheirFullTime, "test_load_many_returns_the_seconds_left"),
    (LoadManyRenews, "test_load_many_does_not_renew"),
    (LoadsManyASCII, "test_load_many_of_what_is_no_key_is_none"),
    (LoadsManyOfWhatIsThere, "test_load_many_of_a_payload_that_is_no_bytes_is_a_store_error"),
    (CountsTheDead, "test_count_is_the_number_of_live_records"),
    (CountsTheOwned, "test_count_is_the_number_of_live_records"),
    (ClearsTheOwned, "test_clear_removes_every_record"),
    (ClearCountsTheDead, "test_clear_removes_every_record"),
    (ClearsOneBatch, "test_clear_of_more_records_than_a_batch"),
    (ClearOnlyHides, "test_clear_leaves_a_store_to_go_on_with"),
    (ClearsUntilNothingIsLeft, "test_clear_ends_while_others_write"),
    (ClearsWhatWasMadeMeanwhile, "test_clear_ends_while_others_write"),
]
