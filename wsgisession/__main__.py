"""The command line: ``python -m wsgisession secret`` prints a new secret. Knows no store yet."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="wsgisession", description="Sessions from the command line.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("secret", help="print a new secret: 256 bits from the operating system, base64url")
    parser.parse_args(arguments)
    print(secrets.token_urlsafe(32))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
