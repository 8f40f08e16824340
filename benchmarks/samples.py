"""What every benchmark shares: a small session, larger ones, and the environ of a request. Knows no library."""

from __future__ import annotations

import json
from typing import Any

SMALL = {
    "user": "ada@example.org",
    "views": 7,
    "language": "en",
    "theme": "dark",
    "seen": 1764018000,
    "name": "A. L.",
}
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def of_size(size: int) -> dict[str, Any]:
    """Return a session of about so many bytes of JSON: 20 carts beside the small keys."""
    data: dict[str, Any] = dict(SMALL)
    item = {"sku": "AB-12345", "qty": 2, "price": 19.99, "gift": False, "note": "to the door"}
    each = size // 20 // len(json.dumps(item)) or 1
    for number in range(20):
        data[f"cart{number}"] = [{**item, "qty": number + index} for index in range(each)]
    return data
