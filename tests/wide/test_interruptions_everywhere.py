"""An exception from outside, at every line of every kind of request."""

from __future__ import annotations

import pytest
from support.interruptions import REQUESTS, at_every_line

pytestmark = pytest.mark.wide


@pytest.mark.parametrize("swallowed", [False, True], ids=["goes through", "is caught"])
@pytest.mark.parametrize("owner", [None, "ada"], ids=["anonymous", "logged in"])
@pytest.mark.parametrize("request_", REQUESTS)
def test_an_exception_at_any_line(request_: str, owner: str | None, swallowed: bool) -> None:
    """Whatever is half done then, what is stored and what the browser holds is sound."""
    at_every_line(request_, owner, swallowed)
