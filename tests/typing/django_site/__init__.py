"""A small Django application, checked by mypy and pyright; it is never run."""
