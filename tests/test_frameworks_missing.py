"""An adapter if there is no such framework."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("adapter", "text", "message"),
    [
        (
            "flask",
            "raise ModuleNotFoundError('gone', name='flask')",
            "wsgisession.flask needs Flask: pip install flask",
        ),
        ("flask", "import what_flask_needs", "No module named 'what_flask_needs'"),
        ("pyramid", "import pyramid.gone", "No module named 'pyramid.gone'; 'pyramid' is not a package"),
        (
            "pyramid",
            "raise ModuleNotFoundError('gone', name='pyramid')",
            "wsgisession.pyramid needs Pyramid: pip install pyramid",
        ),
    ],
    ids=["Flask", "what Flask needs", "a part of Pyramid", "Pyramid"],
)
def test_what_is_missing_is_named(
    adapter: str, text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that says what to install; one about something else stays what it is."""
    for name in [*sys.modules]:
        if name.split(".")[0] == adapter or name == f"wsgisession.{adapter}":
            monkeypatch.delitem(sys.modules, name)
    (tmp_path / f"{adapter}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"wsgisession.{adapter}")
    assert str(caught.value) == message
