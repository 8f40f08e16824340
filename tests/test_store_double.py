"""The store double of the tests: it keeps the contract of what it wraps, and steps in where it is told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.clock import Clock
from support.plain_store import PlainStore
from support.store_double import StoreDouble

from wsgisession import StoreError


@pytest.fixture
def store() -> StoreDouble:
    store = StoreDouble()
    store.store.create("a", b"1", 60, "ada")
    return store


def test_it_writes_down_what_it_is_asked(store: StoreDouble) -> None:
    """Names and arguments of the calls, in order."""
    store.load("a")
    store.touch("a", 60, expected=b"1")
    assert list(store.owned_by("ada")) == ["a"]
    assert store.calls == ["load", "touch", "owned_by"]
    assert store.arguments == [(("a",), {}), (("a", 60), {"expected": b"1"}), (("ada",), {})]


def test_optional_operations_are_those_of_the_store(store: StoreDouble) -> None:
    """What the wrapped store lacks, the double lacks; what it has is a call like any other."""

    class Bare(PlainStore):
        load_many = property()  # type: ignore[assignment]

    assert not hasattr(StoreDouble(Bare(Clock())), "load_many")
    assert not hasattr(store, "diagnose")
    assert store.count() == 1 and store.load_many(["b"]) == [None]
    assert store.calls == ["count", "load_many"]
    assert list(StoreDouble(PlainStore(Clock())).diagnose()) == []


@pytest.mark.parametrize(
    ("operation", "call", "times", "stepped_in_before"),
    [
        ("load", 1, 1, [1]),
        ("load", 2, 1, [3]),
        ("load", 1, 2, [1, 3]),
        ("load", 2, None, [3, 4]),
        (None, 2, 1, [2]),
        (None, 1, None, [1, 2, 3, 4]),
        ("delete", 1, 1, []),
    ],
    ids=["next", "second", "twice", "from the second on", "second of any", "each", "never"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_it_steps_in_at_the_call_it_is_told(
    store: StoreDouble,
    when: str,
    operation: str | None,
    call: int,
    times: int | None,
    stepped_in_before: list[int],
) -> None:
    """The n-th call of an operation, or of any, from now; once, several times, or for ever."""
    seen: list[int] = []
    getattr(store, when)(operation, lambda: seen.append(len(store.calls)), call=call, times=times)
    for name in ("load", "touch", "load", "load"):
        assert getattr(store, name)(*{"load": ("a",), "touch": ("a", 60)}[name])
    assert seen == stepped_in_before


@pytest.mark.parametrize(
    ("tell", "carried_out"),
    [
        (lambda store, error: store.fail("delete", error), False),
        (lambda store, error: store.lose_reply("delete", error), True),
        (lambda store, error: store.fail(None, error, times=None), False),
    ],
    ids=["fails", "loses its reply", "an outage"],
)
@pytest.mark.parametrize("error", [None, KeyboardInterrupt()], ids=["StoreError", "any exception"])
def test_it_fails(
    store: StoreDouble, tell: Callable[..., None], carried_out: bool, error: BaseException | None
) -> None:
    """A call fails before it is carried out, or after; with a StoreError, or what it is told."""
    tell(store, error)
    with pytest.raises(StoreError if error is None else KeyboardInterrupt):
        store.delete("a")
    store.rest()
    assert (store.load("a") is None) is carried_out
    assert store.delete("a") is not carried_out


def test_it_repeats_a_command(store: StoreDouble) -> None:
    """As a client library does whose reply was lost: the second reply counts."""
    store.repeat("delete")
    assert store.delete("a") is False
    assert store.load("a") is None


def test_a_listing_is_what_it_was_when_it_was_called(store: StoreDouble) -> None:
    """What comes after the call changes nothing about its answer."""
    store.after("keys", lambda: store.store.delete("a"))
    assert list(store.keys()) == ["a"]
    assert list(store.keys()) == []
