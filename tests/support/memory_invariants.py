"""Inside a MemoryStore: what it holds, and what is so whenever nobody is at work in it.

The one place of the tests that knows the names of its parts.
"""

from __future__ import annotations

from wsgisession.stores.memory import MemoryStore
from wsgisession.stores.memory_shard import SIZE, Shard, unpack


def shards(store: MemoryStore) -> list[Shard]:
    """Return the parts that hold its records."""
    return store._shards


def held(store: MemoryStore) -> tuple[int, int]:
    """Return how many records it holds, and their bytes; those that expired and were not reclaimed yet count too."""
    return store._totals.records, store._totals.size


def key_in(shard: int, number: int = 0) -> str:
    """Return the ``number``-th of some keys that live in this shard."""
    keys = (key for key in map(str, range(1_000_000)) if hash(key) % 256 == shard)
    return next(key for count, key in enumerate(keys) if count == number)


def check(store: MemoryStore, ordered: bool = True) -> None:
    """Check that totals, wheel and owner index say exactly what the records say.

    What was undone, or done inside something else, may stand elsewhere in the order of writes: not
    ``ordered``.
    """
    sizes: list[int] = []
    for number, shard in enumerate(store._shards):
        check_wheel(shard)
        assert store._dues[number] <= min(shard.buckets, default=store._dues[number])
        stamps = [[unpack(held)[2] for held in part.values()] for part in (shard.anonymous, shard.owned)]
        assert not ordered or stamps == [sorted(part) for part in stamps]
        owned: dict[bytes, set[str]] = {}
        for key, held in [*shard.anonymous.items(), *shard.owned.items()]:
            length = unpack(held)[3]
            assert (key in shard.owned) == (length > 0)
            sizes.append(len(held) - SIZE - length)
            if length:
                owned.setdefault(held[SIZE : SIZE + length], set()).add(key)
        assert owned == {name: set(shard.owned_by(name)) for name in [*shard.first, *shard.more]}
        assert sum(map(len, owned.values())) == len(shard.first) + sum(map(len, shard.more.values()))
    totals = store._totals
    assert (totals.records, totals.size) == (len(sizes), sum(sizes))
    assert totals.records <= totals.max_records and totals.size <= totals.max_bytes


def check_wheel(shard: Shard) -> None:
    """Check that each record is on the wheel once, not later than it expires, under one key object."""
    on_wheel = {key: due for due, bucket in shard.buckets.items() for key in bucket}
    records = [*shard.anonymous.items(), *shard.owned.items()]
    assert sum(map(len, shard.buckets.values())) == len(on_wheel)
    assert all(shard.buckets.values())
    assert on_wheel == {key: unpack(held)[1] for key, held in records}
    assert all(unpack(held)[1] <= unpack(held)[0] for _, held in records)
    indexed = {*shard.first.values(), *(key for keys in shard.more.values() for key in keys)}
    objects = {id(key) for key, _ in records}
    assert objects == {id(key) for bucket in shard.buckets.values() for key in bucket}
    assert objects >= {id(key) for key in indexed}
