"""One login per user, with one more switch between the two devices than the narrow test has."""

from __future__ import annotations

import pytest
from support.one_login import one_login_per_user
from support.schedules import plans

pytestmark = pytest.mark.wide


@pytest.mark.parametrize("before", [None, {"cart": 1}], ids=["new visitors", "with carts"])
def test_whoever_comes_in_where_one_is_left(before: dict[str, int] | None) -> None:
    """Each call of the store of one device in between any two of the other's, with three switches."""
    for plan in plans(3, 11):
        one_login_per_user(before, plan)
