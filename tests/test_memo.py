"""Memo: what a function said for the few small arguments that come again and again."""

from __future__ import annotations

from wsgisession.memo import Memo


def short(word: str) -> bool:
    return len(word) < 5


def test_a_result_is_kept() -> None:
    """The function is asked once for each argument."""
    asked: list[str] = []
    memo = Memo(lambda word: asked.append(word) or word.upper(), short)
    assert [memo["a"], memo["b"], memo["a"]] == ["A", "B", "A"]
    assert asked == ["a", "b"]


def test_what_is_too_large_is_not_kept() -> None:
    """It is answered all the same."""
    memo = Memo(str.upper, short)
    assert memo["longer"] == "LONGER"
    assert not memo


def test_it_never_grows_past_its_bound() -> None:
    """With one more it begins again."""
    memo = Memo(str, lambda number: True, most=3)
    assert [memo[number] for number in range(4)] == ["0", "1", "2", "3"]
    assert list(memo) == [3]
