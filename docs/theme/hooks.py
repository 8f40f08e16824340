"""What mkdocs does for this site besides its configuration: the changelog is a page, and the version is shown.

Knows nothing of what the pages say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

import wsgisession

CHANGELOG = "changelog.md"


def on_config(config: Any) -> Any:
    """Give the templates the version, so that it is written in one place."""
    config.extra["release"] = wsgisession.__version__
    return config


def on_files(files: Files, config: Any) -> Files:
    """Show the file beside README.md as a page, without a copy of it."""
    source = Path(config.config_file_path).parent / "CHANGELOG.md"
    files.append(File.generated(config, CHANGELOG, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the changelog's links lead from the folder of the pages, not from the repository's root."""
    if page.file.src_uri == CHANGELOG:
        return markdown.replace("](docs/", "](")
    return markdown
