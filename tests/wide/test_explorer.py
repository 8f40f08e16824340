"""Overlapping requests in every order, all of them."""

from __future__ import annotations

import pytest
from support.explorer.plan import meetings, walk_all
from support.explorer.report import orders

pytestmark = [pytest.mark.wide, pytest.mark.timeout(1200)]


def test_every_order_of_overlapping_requests() -> None:
    """Every pair of kinds, and the threes that matter; without a fault, and with one at each call: all promises are kept."""
    walked = list(walk_all(meetings()))
    print("\n".join(orders(walked)))
    assert [anomaly for one in walked for anomaly in one.anomalies] == []
