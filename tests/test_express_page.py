"""The Express page's Python: the call, as printed. Its walk-through is in ``tests/wide/test_express_walk.py``."""

from __future__ import annotations

from support.docs import ROOT, blocks, run

from wsgisession import SessionMiddleware
from wsgisession.express import TAKEN

PAGE = "docs/how-to/express.md"


def test_the_call_builds_a_middleware() -> None:
    """Without asking the Redis."""
    [call] = [block for block in blocks(PAGE) if block.title == "the call"]
    namespace: dict[str, object] = {
        "app": lambda environ, start_response: [],
        "SECRETS": ["x" * 32, "y" * 32],
    }
    run(PAGE, call, namespace)
    assert isinstance(namespace["app"], SessionMiddleware)


def test_no_other_python_is_on_the_page() -> None:
    """Than what is run: here, and in the walk-through."""
    assert [block.title for block in blocks(PAGE, "python")] == ["the call", "app.py"]


def test_the_page_names_the_names_that_are_refused() -> None:
    """All except those that every JavaScript object has."""
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    inherited = set(
        "constructor hasOwnProperty isPrototypeOf propertyIsEnumerable toLocaleString toString valueOf".split()
    )
    own = {name for name in TAKEN - inherited if not name.startswith("__")}
    assert len(own) == 10 and [name for name in own if f"`{name}`" not in page] == []
