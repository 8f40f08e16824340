"""Why there is no connection to PostgreSQL, in our own words.

libpq's message can contain the host, the role and, if the URL is malformed, the password. So it is not repeated. It is
searched for known phrases, and it stays in the chained exception. PostgreSQL reports no code for a connection that it
refuses. A server may be set to a language other than English; then only the kind of error is named.

Knows nothing of stores, and not how to connect.
"""

from __future__ import annotations

import re
from typing import Any

# A pattern for libpq's text, and what it means. The first match counts: the server's own phrases come before words that
# could be part of a name, such as "ssl".
CAUSES = {
    "failed to resolve host|could not translate host name|name or service not known": "the host's name is"
    " unknown",
    "connection refused": "the connection was refused; is the server running, and is the port right?",
    "no route to host|network is unreachable": "the host cannot be reached from this machine",
    "no pg_hba.conf entry for .*(no encryption|SSL off)": "the server allows no connection without TLS from"
    " here (pg_hba.conf); write ?sslmode=require",
    "pg_hba.conf": "the server allows no connection from here, or not for this role or database"
    " (pg_hba.conf)",
    "authentication failed|no password supplied|login failed": "the role's name or the password is wrong",
    "no such user|role .* does not exist": "there is no such role",
    "no such database|database .* does not exist": "there is no such database",
    "permission denied for database": "the role may not use this database (GRANT CONNECT)",
    "not permitted to log in": "the role may not log in (ALTER ROLE … LOGIN)",
    "too many (clients|connections)|connection slots are reserved|no more connections allowed": "there are"
    " too many connections; start fewer workers, raise the limit, or use PgBouncer",
    "server login has been failing|server_login_retry|pgbouncer cannot connect to server": "PgBouncer has"
    " no connection to the server, and tries again after its server_login_retry",
    "starting up|shutting down|in recovery mode|not yet accepting": "the server is starting or stopping",
    "query_wait_timeout": "PgBouncer had no connection to the server to spare",
    "session is (not )?read-only|is not in hot standby|in hot standby mode": "no host is what"
    " target_session_attrs asks for",
    "socket .*(no such file|permission denied)": "there is no such socket, or this user may not use it",
    "does not support SSL": "TLS: the server does not offer it, and sslmode asks for it",
    "certificate verify failed|does not match host name": "TLS: the server's certificate is not trusted, or"
    " another host's; check sslrootcert and the host",
    "root certificate|certificate file|private key": "TLS: a file with certificates or a key cannot be used",
    "ssl|tls": "TLS: the two sides did not agree",
    "closed the connection|connection reset|eof detected": "the server ended it",
}

# The errors of psycopg's pool itself, which say nothing about the server.
POOL = {
    "PoolTimeout": "the pool had none to spare in time; if the server is down, the log of psycopg.pool says why",
    "PoolClosed": "the pool is closed; call pool.open() when the worker starts",
    "TooManyRequests": "too many requests wait for the pool",
}
SILENCE = "the server has not answered in time"


def is_the_pools(error: Any) -> bool:
    """Whether this is an error of the caller's pool, and not of the server or the network."""
    return type(error).__name__ in POOL


def cause(error: Any) -> str:
    """Return why there is no connection. No word of the error's own message is in it."""
    name, text = type(error).__name__, str(error)
    if is_the_pools(error):
        return POOL[name]
    if "timeout expired" in text:
        return SILENCE
    if name == "ProgrammingError":
        return "the connection string cannot be read"
    return next((words for pattern, words in CAUSES.items() if re.search(pattern, text, re.IGNORECASE)), name)
