"""An exception from outside, at many lines of some requests; ``wide/test_interruptions_everywhere.py`` has all of both."""

from __future__ import annotations

import pytest
from support.interruptions import at_every_line


@pytest.mark.parametrize("swallowed", [False, True], ids=["goes through", "is caught"])
@pytest.mark.parametrize("request_", ["write", "login"])
def test_an_exception_at_any_line(request_: str, swallowed: bool) -> None:
    """Whatever is half done then, what is stored and what the browser holds is sound."""
    at_every_line(request_, "ada", swallowed, step=5)
