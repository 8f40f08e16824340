"""The adapter for Django if there is no Django."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest


def import_adapter(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Import it with the modules of a folder, as if nothing had been imported before."""
    for name in [
        name
        for name in sys.modules
        if name.split(".")[0] == "django" or name.startswith("wsgisession.django")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)
    importlib.import_module("wsgisession.django")


def test_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Django itself is missing."""
    (tmp_path / "django.py").write_text("raise ModuleNotFoundError('No module named django', name='django')")
    with pytest.raises(ModuleNotFoundError, match="^wsgisession.django needs Django: pip install django$"):
        import_adapter(monkeypatch, tmp_path)


def test_another_error_stays_what_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Something that Django needs is missing."""
    (tmp_path / "django.py").write_text("import something_that_django_needs")
    with pytest.raises(ModuleNotFoundError, match="something_that_django_needs"):
        import_adapter(monkeypatch, tmp_path)
