"""Django's test runner, which also writes down what came of the tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner


class Runner(DiscoverRunner):
    """Writes the outcomes into the file that the environment variable OUTCOMES names."""

    def run_suite(self, suite: Any, **options: Any) -> Any:
        """Run the tests, and write down which of them did not pass."""
        result = super().run_suite(suite, **options)
        outcomes = {
            "run": result.testsRun,
            "failed": [test.id() for test, _ in [*result.failures, *result.errors]],
            "unexpected": [test.id() for test in result.unexpectedSuccesses],
            "left out": [test.id() for test, _ in [*result.skipped, *result.expectedFailures]],
        }
        Path(os.environ["OUTCOMES"]).write_text(json.dumps(outcomes))
        return result
