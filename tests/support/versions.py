"""Sessions and what grew out of them, for properties of merging."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

# Few keys and few values, so that the sides meet.
SMALL = st.recursive(
    st.sampled_from([0, 1, True, 1.0, "a", None]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.sets(st.sampled_from([1, 2, "x"]), max_size=2),
        st.tuples(inner),
    ),
    max_leaves=6,
)
SESSIONS = st.dictionaries(st.sampled_from("abcd"), SMALL, max_size=4)


@st.composite
def changed(draw: st.DrawFn, base: dict[str, Any]) -> dict[str, Any]:
    """A session that grew out of ``base``: keys set and deleted, lists appended to, dicts changed inside."""
    session = deepcopy(base)
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from("abcd"))
        value = session.get(key)
        act = draw(st.integers(0, 3))
        if act == 0:
            session.pop(key, None)
        elif act == 1 and type(value) is list:
            value.append(draw(SMALL))
        elif act == 2 and type(value) is dict:
            value[draw(st.sampled_from("abc"))] = draw(SMALL)
        else:
            session[key] = draw(SMALL)
    return session


@st.composite
def versions(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A session and two that grew out of it."""
    base = draw(SESSIONS)
    return base, draw(changed(base)), draw(changed(base))
