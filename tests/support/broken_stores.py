"""Stores that break the contract in one point each, and the clause that has to notice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

from support.plain_store import PlainStore

LONG = 3600.0


class LoadsBytearrays(PlainStore):
    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (bytearray(found[0]), found[1])


class LoadsWholeSeconds(PlainStore):
    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], int(found[1]))


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
    def delete(self, key: str) -> Any:
        done = super().delete(key)
        if done:
            self.records[key] = b"", 0.0, None
        return done


class ReplaceCreates(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl, owner) or self.create(key, payload, ttl, owner)


class ReplaceRevivesTheDeleted(PlainStore):
    def delete(self, key: str) -> Any:
        payload = self.records.get(key, (None,))[0]
        done = super().delete(key)
        if done and payload is not None:
            self.records[key] = payload, 0.0, None
        return done

    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        if self.records.get(key, (None,))[0] != expected:
            return super().replace(key, expected, payload, ttl, owner)
        self.records[key] = payload, self.clock() + ttl, owner
        return True


class ReplaceTakesAnythingForExpected(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, found[0] if found else expected, payload, ttl, owner)


class ReplaceRenewsInVain(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        self.touch(key, ttl)
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
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, expected, payload, found[1] if found else ttl, owner)


class ReplaceOnlyProlongs(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().replace(key, expected, payload, max(ttl, found[1] if found else 0), owner)


class ReplaceKeepsTheOwner(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl, self.records.get(key, (0, 0, owner))[2])


class ReplaceClearsNoOwner(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, ttl, owner or self.records.get(key, (0, 0, owner))[2])


class TouchCreates(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        return super().touch(key, ttl, owner) or self.create(key, b"", ttl, owner)


class TouchRevivesTheDead(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        if key in self.records:
            payload, _, owner = self.records[key]
            self.records[key] = payload, self.clock() + ttl, owner
        return key in self.records


class TouchDoesNothing(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        return self.load(key) is not None


class TouchFails(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        return False


class TouchOnlyProlongs(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        found = self.load(key)
        return super().touch(key, max(ttl, found[1] if found else 0), owner)


class TouchSetsTheOwner(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        done = super().touch(key, ttl)
        if done:
            self.records[key] = *self.records[key][:2], owner
        return done


class TouchCarriesData(PlainStore):
    def touch(self, key: str, ttl: float, owner: str | None = None) -> Any:
        payload, _, owner = self.records[key]
        time.sleep(0.005)
        self.records[key] = payload, self.clock() + ttl, owner
        return True


class RoundsTimesUp(PlainStore):
    def create(self, key: str, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().create(key, payload, ceil(ttl), owner)


class CutsTimes(PlainStore):
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        return super().replace(key, expected, payload, int(ttl), owner)


class TimeStandsStill(PlainStore):
    def load(self, key: str) -> Any:
        found = super().load(key)
        return found and (found[0], 100.0)


class DeletesAnything(PlainStore):
    def delete(self, key: str) -> Any:
        super().delete(key)
        return True


class DeleteOnlyHides(PlainStore):
    def delete(self, key: str) -> Any:
        record = self.records.get(key)
        done = super().delete(key)
        if record and done:
            self.records[key] = b"hidden", *record[1:]
        return done


class DeleteTakesTheOwnersOthersAlong(PlainStore):
    def delete(self, key: str) -> Any:
        owner = self.records.get(key, (0, 0, None))[2]
        for other in [other for other, record in self.records.items() if record[2] == owner]:
            super().delete(other)
        return True


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
        self.listing = threading.RLock()

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
    def replace(self, key: str, expected: bytes, payload: bytes, ttl: float, owner: str | None = None) -> Any:
        if self.records.get(key, (None,))[0] != expected:
            return False
        time.sleep(0.005)
        self.records[key] = payload, self.clock() + ttl, owner
        return True


class LooksThenDeletes(PlainStore):
    def delete(self, key: str) -> Any:
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
        self.own_lock = threading.Lock()

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


BROKEN: list[tuple[type[PlainStore], str]] = [
    (RaisesForUnknownKeys, "test_load_of_an_unknown_key_is_none"),
    (LoadCreates, "test_load_of_an_unknown_key_is_none"),
    (LoadCreates, "test_load_creates_nothing"),
    (LoadsBytearrays, "test_load_returns_bytes_and_seconds"),
    (LoadsWholeSeconds, "test_load_returns_bytes_and_seconds"),
    (LoadsWholeSeconds, "test_whole_seconds_may_be_ints"),
    (LoadRenews, "test_load_does_not_renew"),
    (OpensItsOwnRecords, "test_a_second_store_sees_the_same_records"),
    (FoldsKeys, "test_keys_are_compared_exactly"),
    (PayloadsAreText, "test_payloads_are_any_bytes"),
    (PayloadsEndAtNUL, "test_payloads_are_any_bytes"),
    (ReplaceCutsAt64K, "test_payloads_are_any_bytes"),
    (CreateGivesEverythingAnHour, "test_create_puts_a_record_under_a_free_key"),
    (CreateOverwrites, "test_create_never_overwrites"),
    (CreateRenews, "test_create_never_overwrites"),
    (CreateIsNeverRepeated, "test_create_again_after_a_lost_reply_is_true"),
    (CreateRemembersWhatItMade, "test_create_again_after_a_replace_is_false"),
    (CreateComparesBeginnings, "test_create_compares_the_whole_payload"),
    (CreateStopsAtDeadRecords, "test_create_succeeds_over_a_dead_record"),
    (CreateTakesTheDeadForARepetition, "test_create_over_a_dead_record_with_its_own_payload_lives"),
    (CreateRefusesFreedKeys, "test_create_after_delete_succeeds"),
    (ReplaceKeepsTheExpiry, "test_replace_swaps_payload_and_expiry"),
    (ReplaceOnlyProlongs, "test_replace_swaps_payload_and_expiry"),
    (ReplaceCreates, "test_replace_never_creates"),
    (ReplaceRevivesTheDeleted, "test_replace_of_a_deleted_record_is_false"),
    (ReplaceTakesAnythingForExpected, "test_replace_of_a_changed_record_is_false"),
    (ReplaceRenewsInVain, "test_replace_of_a_changed_record_is_false"),
    (ReplaceComparesLengthAndBeginning, "test_replace_compares_the_whole_payload"),
    (ReplaceIsNeverRepeated, "test_replace_again_after_a_lost_reply_is_true"),
    (ReplaceRemembersWhatItMade, "test_replace_again_after_another_replace_is_false"),
    (ReplaceRevivesTheDeleted, "test_replace_of_a_dead_record_is_false"),
    (ReplaceKeepsTheOwner, "test_replace_sets_the_owner"),
    (ReplaceClearsNoOwner, "test_replace_with_none_clears_the_owner"),
    (ReplaceKeepsTheExpiry, "test_replace_outlives_the_first_expiry"),
    (ReplaceOnlyProlongs, "test_replace_can_end_a_record_sooner"),
    (TouchDoesNothing, "test_touch_sets_the_expiry_and_nothing_else"),
    (TouchOnlyProlongs, "test_touch_sets_the_expiry_and_nothing_else"),
    (TouchCreates, "test_touch_never_creates"),
    (TouchRevivesTheDead, "test_touch_of_a_dead_record_is_false"),
    (TouchSetsTheOwner, "test_touch_never_changes_the_owner"),
    (TouchDoesNothing, "test_touch_outlives_the_first_expiry"),
    (TouchFails, "test_touch_outlives_the_first_expiry"),
    (IndexExpiresOnItsOwn, "test_touch_outlives_the_first_expiry"),
    (IndexExpiresOnItsOwn, "test_replace_outlives_the_first_expiry"),
    (TouchOnlyProlongs, "test_touch_can_end_a_record_sooner"),
    (RoundsTimesUp, "test_time_is_kept_to_the_millisecond"),
    (CutsTimes, "test_time_is_kept_to_the_millisecond"),
    (TimeStandsStill, "test_what_is_left_shrinks"),
    (RoundsTimesUp, "test_a_record_ends_to_the_fraction_of_a_second"),
    (ListsTheDead, "test_a_record_ends_to_the_fraction_of_a_second"),
    (DeleteOnlyHides, "test_delete_removes"),
    (DeleteTakesTheOwnersOthersAlong, "test_delete_removes"),
    (DeletesAnything, "test_delete_of_an_unknown_key_is_false"),
    (ShortOwnersOnly, "test_owned_by_finds_any_name"),
    (ListsOwnedAsList, "test_owned_by_names_live_records_only"),
    (ListsTheDeadOwned, "test_owned_by_names_live_records_only"),
    (ListsTheFirstFiftyOwned, "test_owned_by_is_never_too_few"),
    (IndexExpiresWithItsShortestMember, "test_owned_by_survives_the_end_of_a_short_record"),
    (ListsTheDead, "test_keys_names_every_live_record_once"),
    (ListsOwnedKeysOnly, "test_keys_names_every_live_record_once"),
    (ListsWhatIsBeingChanged, "test_keys_may_be_left_half_way_while_others_write"),
    (ListsUnderALock, "test_keys_may_be_left_half_way_while_others_write"),
    (PurgesNothing, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesWithoutEnd, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesTheLiving, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesWhatWasShort, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesWithoutAnAnswer, "test_purge_removes_the_dead_and_says_how_many"),
    (PurgesWithoutEnd, "test_purge_of_an_empty_store_is_zero"),
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
]
