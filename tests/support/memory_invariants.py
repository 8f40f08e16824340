"""What holds inside a MemoryStore whenever nobody is at work in it."""

from __future__ import annotations

from math import inf

from wsgisession.stores.memory import MemoryStore
from wsgisession.stores.memory_shard import SIZE, Shard, unpack


def key_in(shard: int, number: int = 0) -> str:
    """Return the ``number``-th of some keys that live in this shard."""
    keys = (key for key in map(str, range(1_000_000)) if hash(key) % 256 == shard)
    return next(key for count, key in enumerate(keys) if count == number)


def check(store: MemoryStore) -> None:
    """Check that totals, wheel and owner index say exactly what the records say."""
    records = size = 0
    owned: dict[bytes, set[str]] = {}
    for number, shard in enumerate(store._shards):
        assert not shard.lock.locked()
        check_wheel(shard)
        assert store._dues[number] == (min(shard.labels) if shard.labels else inf)
        stamps = [[unpack(held)[2] for held in part.values()] for part in (shard.anonymous, shard.owned)]
        assert stamps == [sorted(part) for part in stamps]
        for key, held in [*shard.anonymous.items(), *shard.owned.items()]:
            length = unpack(held)[3]
            assert (key in shard.owned) == (length > 0)
            records += 1
            size += len(held) - SIZE - length
            if length:
                owned.setdefault(held[SIZE : SIZE + length], set()).add(key)
    assert (store._ledger.records, store._ledger.size) == (records, size)
    assert records <= store._ledger.max_records and size <= store._ledger.max_bytes
    assert owned == {name: set(part.keys(name)) for part in store._owners for name in part.index}


def check_wheel(shard: Shard) -> None:
    """Check that each record is on the wheel once, not later than it expires, under one key object."""
    assert sorted(shard.buckets) == sorted(shard.labels)
    on_wheel = {key: due for due, bucket in shard.buckets.items() for key in bucket}
    assert sum(map(len, shard.buckets.values())) == len(on_wheel)
    assert on_wheel == {key: unpack(held)[1] for part in (shard.anonymous, shard.owned) for key, held in part.items()}
    assert all(unpack(held)[1] <= unpack(held)[0] for held in [*shard.anonymous.values(), *shard.owned.values()])
    objects = {id(key) for part in (shard.anonymous, shard.owned) for key in part}
    assert objects == {id(key) for bucket in shard.buckets.values() for key in bucket}
