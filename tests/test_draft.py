"""A draft meets what another request stored: line by line, decoding only what both changed."""

from __future__ import annotations

from copy import deepcopy
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.breadth import breadth
from support.versions import SESSIONS, SMALL, versions

from wsgisession import JSONCodec, Record, UnsupportedType
from wsgisession.draft import Draft
from wsgisession.merge import merge, same


class Noting(JSONCodec):
    """Notes what it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded: list[bytes] = []

    def decode(self, line: bytes) -> Any:
        self.decoded.append(line)
        return super().decode(line)


CODEC = JSONCodec()


def record(data: dict[str, bytes]) -> Record:
    return Record(0.0, None, False, data)


def lines(session: dict[str, Any]) -> dict[str, bytes]:
    return {key: CODEC.encode(value, key) for key, value in session.items()}


def shown(draft: Draft) -> dict[str, Any]:
    return {key: draft.get(key) for key in draft}


def change(draft: Draft, base: dict[str, Any], ours: dict[str, Any]) -> None:
    """Make a draft of ``base`` say ``ours``."""
    for key in base:
        if key not in ours:
            draft.delete(key)
    for key, value in ours.items():
        if key not in base or not same(base[key], value):
            draft.set(key, value)


@given(versions())
@settings(deadline=None, max_examples=breadth.much(40, 200))
def test_it_agrees_with_merge(sides: Any) -> None:
    """The draft shows, and would store, what merging the plain values gives, in the same order."""
    base, ours, theirs = sides
    draft = Draft(CODEC, record(lines(base)))
    change(draft, base, ours)
    expected = merge(*deepcopy((base, shown(draft), theirs)))
    draft.rebase(record(lines(theirs)))
    assert same(shown(draft), expected)
    if theirs != base:  # another order alone is nothing that merge looks at
        assert list(draft) == list(expected)
    stored = draft.record().data
    assert same({key: CODEC.decode(line) for key, line in stored.items()}, expected)
    assert list(stored) == list(draft)


@pytest.mark.parametrize("theirs", [{"x": b"2"}, {}], ids=["a merge", "nothing is left"])
def test_new_keys_are_stored_in_the_order_in_which_they_were_assigned(theirs: dict[str, bytes]) -> None:
    """Another request saves meanwhile: values that can change in place do not come before the others."""
    draft = Draft(CODEC, record({"x": b"1"}))
    change(draft, {}, {"a": 1, "b": [2], "c": 3, "d": {}})
    draft.rebase(record(theirs))
    assert list(draft) == list(draft.begun(0.0).data) == [*theirs, "a", "b", "c", "d"]


@given(versions())
@settings(deadline=None, max_examples=breadth.much(40, 200))
def test_what_the_application_holds_stays_part_of_it(sides: Any) -> None:
    """A dict or list handed out before the merge shows the merged data, and what it says later is stored."""
    base, ours, theirs = sides
    draft = Draft(CODEC, record(lines(base)))
    held = {key: draft.get(key) for key in draft}
    change(draft, base, deepcopy(ours))  # a merge may change what was assigned
    draft.rebase(record(lines(theirs)))
    for key in draft:
        value = draft.get(key)
        # By us: neither deleted nor assigned
        untouched = key in held and key in ours and same(base[key], ours[key])
        if untouched and type(value) is type(held[key]) in (dict, list):
            assert value is held[key]
        if type(value) is list:
            value.append("late")
            assert CODEC.decode(draft.record().data[key])[-1] == "late"


class Word(StrEnum):
    TEA = "tea"


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "merged"),
    [
        (
            {"drink": "tea", "n": 1},
            {"drink": Word.TEA, "n": 2},
            {"drink": "milk", "n": 1},
            {"drink": "milk", "n": 2},
        ),
        (["tea"], [Word.TEA, "ours"], ["tea", "theirs"], ["tea", "theirs", "ours"]),
        (None, [Word.TEA], ["tea"], ["tea"]),
    ],
    ids=["a dict", "a list", "a new list"],
)
def test_plain_enums_are_merged_as_what_is_stored(base: Any, ours: Any, theirs: Any, merged: Any) -> None:
    """A member in place of its own text is no change, so it does not undo what another request saved."""
    draft = Draft(JSONCodec(plain_enums=True), record({} if base is None else lines({"k": base})))
    draft.set("k", ours)
    draft.rebase(record(lines({"k": theirs})))
    assert same(draft.get("k"), merged) and draft.record().data == lines({"k": merged})


def test_only_what_both_changed_is_decoded() -> None:
    """Values of other keys may be unreadable, and nobody notices."""
    codec = Noting()
    draft = Draft(
        codec, record({"same": b"broken", "ours": b"1", "theirs": b"2", "both": b"[0]", "gone": b"3"})
    )
    draft.get("both").append(1)
    draft.set("ours", 9)
    draft.delete("gone")
    draft.set("new", 4)
    codec.decoded.clear()
    draft.rebase(
        record({"same": b"broken", "ours": b"1", "theirs": b"broken too", "both": b"[0,2]", "gone": b"3"})
    )
    assert draft.record().data == {
        "same": b"broken",
        "ours": b"9",
        "theirs": b"broken too",
        "both": b"[0,2,1]",
        "new": b"4",
    }
    assert codec.decoded == [b"[0]", b"[0,2]", b"[0,1]"]


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (b"bad", 2, b"3", b"2"),
        (b"1", 2, b"bad", b"2"),
        (b"1", None, b"bad", None),
        (None, 2, b"bad", b"2"),
    ],
)
def test_what_cannot_be_read_gives_way(
    base: bytes | None, ours: Any, theirs: bytes | None, expected: bytes | None
) -> None:
    """Where both changed a key and a version of it cannot be read, ours, the later save, stands."""
    draft = Draft(CODEC, record({} if base is None else {"k": base}))
    if ours is None:
        draft.delete("k")
    else:
        draft.set("k", ours)
    draft.rebase(record({} if theirs is None else {"k": theirs}))
    assert draft.record().data.get("k") == expected


@pytest.mark.parametrize("meet", ["merge", "restart"])
def test_a_value_handed_out_and_unreadable_by_now(meet: str) -> None:
    """Another request's line that cannot be read is found out when it is read, not before."""
    draft = Draft(CODEC, record({"k": b"[1]", "n": b"1"}))
    assert draft.get("k") == [1] and draft.get("n") == 1
    theirs = record({"k": b"broken", "n": b"1"})
    if meet == "merge":
        draft.rebase(theirs)
    else:
        draft.restart(theirs)
    with pytest.raises(ValueError):
        draft.get("k")
    assert draft.get("n") == 1


def test_both_deleted_it() -> None:
    """A key that both sides deleted is gone; one that another deleted goes from what was handed out."""
    draft = Draft(CODEC, record({"a": b"[1]", "b": b"2"}))
    draft.get("a")
    draft.delete("b")
    draft.rebase(record({}))
    assert list(draft) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ((False, 9.0), (True, None), (True, 9.0)),
        ((True, None), (False, 7.0), (True, 7.0)),
        ((False, 9.0), (False, 7.0), (False, 9.0)),
        ((False, None), (False, None), (False, None)),
    ],
    ids=["one each", "one each, the other way", "both the timeout", "nobody"],
)
def test_facts_merge_like_plain_values(ours: Any, theirs: Any, expected: Any) -> None:
    """persistent and idle_timeout: if one side changed it, that side; if both, ours."""
    draft = Draft(CODEC, record({}))
    draft.set_facts(persistent=ours[0], idle_timeout=ours[1])
    draft.rebase(Record(0.0, None, theirs[0], {}, idle_timeout=theirs[1]))
    for found in (draft.facts, draft.record()):
        assert (found.persistent, found.idle_timeout) == expected


class Refusing(JSONCodec):
    """Reads some numbers that it does not write, as a format shared with another language may."""

    def encode(self, value: Any, path: str) -> bytes:
        if value == 13 or (type(value) is list and 13 in value):
            raise UnsupportedType(f"{path}: bad luck")
        return super().encode(value, path)


def test_the_value_that_changed_is_blamed() -> None:
    """Not one that was only read, and could not be written either."""
    draft = Draft(Refusing(), record({"before": b"13", "cart": b"[]", "after": b"[13]"}))
    assert draft.get("before") == 13 and draft.get("after") == [13]
    draft.get("cart").append(13)
    with pytest.raises(UnsupportedType, match=r"session\['cart'\]"):
        draft.record()
    draft.set("cart", 1)
    draft.set("new", [13])
    with pytest.raises(UnsupportedType, match=r"session\['new'\]"):
        draft.record()


class Moody(JSONCodec):
    """Fails once for each value, as a function of the application's own may."""

    def encode(self, value: Any, path: str) -> bytes:
        if not path:
            raise UnsupportedType("bad luck")
        return super().encode(value, path)


def test_what_fails_only_once_fails() -> None:
    """Encoding it again to name its path works: it is refused all the same."""
    draft = Draft(Moody(), record({"a": b"1"}))
    draft.set("a", 2)
    with pytest.raises(UnsupportedType, match="bad luck"):
        draft.record()


def test_a_merge_that_fails_touches_nothing() -> None:
    """What both made of a key cannot be stored: the draft shows what it did, and the next try begins from there."""
    draft = Draft(Refusing(), record({"a": b"[1]", "b": b"[0]", "c": b"1"}))
    handed_out = draft.get("a")
    draft.get("b").append(5)
    theirs = record({"a": b"[1,2]", "b": b"[0,13]"})
    for _ in range(2):
        with pytest.raises(UnsupportedType, match=r"session\['b'\]"):
            draft.rebase(theirs)
        assert shown(draft) == {"a": [1], "b": [0, 5], "c": 1} and handed_out == [1]
    draft.set("b", 7)
    draft.rebase(theirs)
    assert shown(draft) == {"a": [1, 2], "b": 7} and handed_out == [1, 2]


@given(st.data())
@settings(deadline=None, max_examples=breadth.much(40, 200))
def test_it_stores_what_a_dict_would_hold(data: st.DataObject) -> None:
    """Whatever is read, assigned, changed inside, deleted and cleared, in any order, over several commits."""
    model = deepcopy(data.draw(SESSIONS))
    draft = Draft(CODEC, record(lines(model)))
    for _ in range(data.draw(st.integers(0, 8))):
        key = data.draw(st.sampled_from("abcd"))
        match data.draw(st.sampled_from(["read", "assign", "inside", "delete", "clear", "look", "commit"])):
            case "read":
                assert same(draft.get(key, None), model.get(key))
            case "assign":
                value = data.draw(SMALL)
                draft.set(key, deepcopy(value))
                model[key] = value
            case "inside" if type(model.get(key)) is list:
                draft.get(key).append(1)
                model[key].append(1)
            case "delete" if key in model:
                draft.delete(key)
                del model[key]
            case "clear":
                draft.clear()
                model.clear()
            case "look":
                assert (
                    list(draft) == list(model)
                    and len(draft) == len(model)
                    and (key in draft) == (key in model)
                )
            case "commit":
                draft.saved(draft.record())
                assert draft.record() is draft.base
    stored = draft.record()
    assert stored.data == lines(model) and list(stored.data) == list(model)
    again = CODEC.unpack(CODEC.pack(stored))
    assert again == stored and list(again.data) == list(model)


def test_a_change_of_one_value_leaves_the_others_as_they_came() -> None:
    """The very bytes, and neither the stored record nor the one to store shares what the other may change."""
    found = record({"a": b"1", "b": b'"long enough to be an object of its own"', "c": b"[]"})
    draft = Draft(CODEC, found)
    draft.set("a", 2)
    changed = draft.record()
    assert changed is not found and changed.data == {"a": b"2", "b": found.data["b"], "c": b"[]"}
    assert changed.data["b"] is found.data["b"] and found.data["a"] == b"1"
    draft.saved(changed)
    assert draft.record() is changed and not draft.pending()


def test_an_undone_change_of_a_lost_write_is_undone_in_the_store_too() -> None:
    """What is stored is this draft's own attempt; the value before it is what the next write brings back."""
    draft = Draft(CODEC, record({"n": b"0", "gone": b"1"}))
    written = record({"n": b"1", "gone": b"1"})
    draft.rebase(written, written)
    assert draft.record().data == {"n": b"0", "gone": b"1"} and draft.get("n") == 0


def test_a_key_that_comes_back_to_its_place_is_no_change() -> None:
    """The last one, deleted and assigned again."""
    draft = Draft(CODEC, record({"a": b"1", "b": b"2"}))
    draft.delete("b")
    draft.set("b", 2)
    assert draft.record() is draft.base
