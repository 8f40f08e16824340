"""What the clauses try: payloads, owners, values that are no key, and every operation. Knows no clause."""

from __future__ import annotations

from collections.abc import Callable

from ..stores.base import Store
from .helpers import LONG, new_payload

# Takes a store, a key, its payload, and a new payload.
Operation = Callable[[Store, str, bytes, bytes], object]
# Takes a store, a key, its payload, a ttl, and the record's owner.
Renewal = Callable[[Store, str, bytes, float, str | None], bool]

PAYLOADS = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "NUL": b"a\0b\0",
    "newlines": b"\n[1]\r\n\n",
    "not UTF-8": b"\xff\xfe\x80",
    "looks like a number": b"0012",
    "quotes and escapes": b"'\"\\x41\\000%s:1?$1{}",
    "over 64 KiB": bytes(range(256)) * 300,
}
OWNERS = {
    "255 characters": "x" * 255,
    "255 wide characters": "\N{SNOWMAN}" * 255,
    "quotes": 'o\'hara "the" `quick` \\',
    "percent and underscore": "100%_s %(x)s",
    "braces, star, colon": "{a}:*?[b]:owner",
    "newline and tab": "a\n\tb\r",
    "spaces at the ends": " ada ",
    "beyond ASCII": "J\N{LATIN SMALL LETTER O WITH DIAERESIS}rg \N{GRINNING FACE}",
    "looks like a number": "007",
    "looks like null": "None",
}
# Values that may reach a store from a form or a command line, and that no record has as its key.
NO_KEYS = {
    "empty": "",
    "lone surrogate": "\ud800",
    "NUL": "a\0b",
    "line break": "a\nb",
    "beyond ASCII": "\N{SNOWMAN}" * 43,
    "looks like an index": "owner:ada",
    "a million characters": "k" * 1_000_000,
}
NO_OWNERS = {
    "empty": "",
    "lone surrogate": "\ud800",
    "NUL": "a\0b",
    "a million characters": "x" * 1_000_000,
}
RENEWALS: dict[str, Renewal] = {
    "replace": lambda store, key, old, ttl, owner: store.replace(key, old, new_payload(), ttl, owner),
    "touch": lambda store, key, old, ttl, owner: store.touch(key, ttl, owner),
}
# The operations that are interrupted, on a live record of "ada".
OPERATIONS: dict[str, Operation] = {
    "load": lambda store, key, payload, fresh: store.load(key),
    "create": lambda store, key, payload, fresh: store.create(key[::-1], fresh, LONG, "ada"),
    "replace": lambda store, key, payload, fresh: store.replace(key, payload, fresh, LONG, "bob"),
    "replace without a ttl": lambda store, key, payload, fresh: store.replace(
        key, payload, fresh, None, "ada"
    ),
    "touch": lambda store, key, payload, fresh: store.touch(key, LONG, "ada", payload),
    "delete": lambda store, key, payload, fresh: store.delete(key, payload),
    "owned_by": lambda store, key, payload, fresh: list(store.owned_by("ada")),
    "keys": lambda store, key, payload, fresh: list(store.keys()),
    "purge": lambda store, key, payload, fresh: store.purge(),
    # A store may lack these.
    "load_many": lambda store, key, payload, fresh: getattr(store, "load_many", list)([key]),
    "count": lambda store, key, payload, fresh: getattr(store, "count", int)(),
    "clear": lambda store, key, payload, fresh: getattr(store, "clear", int)(),
}
