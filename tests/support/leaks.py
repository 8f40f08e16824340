"""What must never be written: the ids, tokens and secrets of a whole test run. Collects what was written, and finds them.

``install`` listens to the logger ``wsgisession`` at every level and notes every id, token and secret that this process makes.
Tests that start processes hand over what those wrote with ``written``. Ids that another process made are found as well:
whatever is followed by a signature is a token, and whatever has a key that was written somewhere is an id.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from wsgisession.identity import Identity, check_secrets, digest

_RUN = re.compile(r"[A-Za-z0-9_-]{43,}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}")


class Leaks:
    """What is secret, and what was written."""

    def __init__(self) -> None:
        self.secret: set[str] = set()  # ids and signatures, 43 characters each
        self.secrets: set[str] = set()  # what signs
        self.texts: dict[str, None] = {}

    def written(self, text: str | bytes) -> None:
        """Take note of something that a person may read."""
        if text:
            self.texts[text if isinstance(text, str) else text.decode("utf-8", "replace")] = None

    def found(self) -> list[str]:
        """Return each text that has an id, a token or a secret in it, with what that is."""
        runs = {text: {piece for run in _RUN.findall(text) for piece in _windows(run)} for text in self.texts}
        seen = set().union(*runs.values())
        ids = self.secret | {piece for piece in seen if digest(piece) in seen}
        leaks = []
        for text, pieces in runs.items():
            bad = {
                *(pieces & ids),
                *_TOKEN.findall(text),
                *(secret for secret in self.secrets if secret in text),
            }
            leaks += [f"{one} in: {text[:500]}" for one in sorted(bad)]
        return leaks


def _windows(run: str) -> Iterable[str]:
    return (run[start : start + 43] for start in range(len(run) - 42))


leaks = Leaks()
"""This run's."""


def install() -> None:
    """Listen from now on, and note what is secret."""
    logger = logging.getLogger("wsgisession")
    enabled, log = logger.isEnabledFor, logger.log

    # Not a handler and a level: each test that looks at the log sets its own level, and expects no more than that.
    def heard(level: int, message: str, *values: object, **options: Any) -> None:
        leaks.written(f"{message % values if values else message} {options}")
        if enabled(level):
            log(level, message, *values, **options)

    logger.isEnabledFor, logger.log = lambda level: True, heard  # type: ignore[method-assign,assignment]
    new_id, sign, init = Identity.new_id, Identity.sign, Identity.__init__

    def noted_id(self: Identity) -> str:
        id = new_id(self)
        leaks.secret.add(id)
        return id

    def noted_token(self: Identity, name: str, id: str) -> str:
        token = sign(self, name, id)
        leaks.secret.add(token.rpartition(".")[2])
        return token

    def noted_secrets(self: Identity, secrets: Any) -> None:
        init(self, secrets)
        leaks.secrets.update(
            one.decode("utf-8", "replace") for one in check_secrets(secrets, 0) if len(set(one)) > 3
        )

    Identity.new_id, Identity.sign, Identity.__init__ = noted_id, noted_token, noted_secrets  # type: ignore[method-assign]
