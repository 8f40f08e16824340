"""An adapter if there is no such framework."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

GONE = "raise ModuleNotFoundError('gone', name=__name__)"


@pytest.mark.parametrize(
    ("adapter", "text", "message"),
    [
        ("flask", GONE, "wsgisession.flask needs Flask: pip install flask"),
        ("pyramid", GONE, "wsgisession.pyramid needs Pyramid: pip install pyramid"),
        ("django", GONE, "wsgisession.django needs Django: pip install django"),
        ("flask", "import what_flask_needs", "No module named 'what_flask_needs'"),
        ("pyramid", "import pyramid.gone", "No module named 'pyramid.gone'; 'pyramid' is not a package"),
        ("django", "import what_django_needs", "No module named 'what_django_needs'"),
    ],
    ids=["Flask", "Pyramid", "Django", "what Flask needs", "a part of Pyramid", "what Django needs"],
)
def test_what_is_missing_is_named(
    adapter: str, text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that says what to install; one about something else stays what it is."""
    for name in [*sys.modules]:
        if name.split(".")[0] == adapter or name.startswith(f"wsgisession.{adapter}"):
            monkeypatch.delitem(sys.modules, name)
    (tmp_path / f"{adapter}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.import_module(f"wsgisession.{adapter}")
    assert str(caught.value) == message
