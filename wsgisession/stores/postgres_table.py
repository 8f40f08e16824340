"""The table in which PostgresStore keeps sessions, and all its statements, as SQL.

``clock_timestamp()`` is used because ``now()`` does not move in a transaction.

A write that does not change expiry and owner does not name these columns, so no index changes. Then PostgreSQL puts the
new version of the row beside the old one (a HOT update) if there is room on the page. The fill factor makes this room.

Knows nothing of connections, transactions, or what a payload means.
"""

from __future__ import annotations

import re
from zlib import crc32

from wsgisession.stores.postgres_pipeline import Statement, named

PAGE = 1000  # records read or deleted in one transaction
COUNTED = 20_000  # records counted in one transaction, a few hundredths of a second

# PostgreSQL cuts identifiers at 63 bytes; the names of the indexes are longer by 8.
NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,54}\.)?[A-Za-z_][A-Za-z0-9_]{0,54}")

# owner is bytea: any name can be stored and compared whatever the database's encoding and collation.
CREATE_TABLE = """\
CREATE TABLE IF NOT EXISTS {table} (
    key text COLLATE "C" PRIMARY KEY, payload bytea NOT NULL, expires timestamptz NOT NULL, owner bytea)
    WITH (fillfactor = 70)"""
CREATE_EXPIRES = "CREATE INDEX IF NOT EXISTS {expires} ON {table} (expires)"
CREATE_OWNER = "CREATE INDEX IF NOT EXISTS {owner} ON {table} (owner, key) WHERE owner IS NOT NULL"

LOAD = "SELECT payload, (extract(epoch FROM expires - clock_timestamp()) * 1000000)::int8 FROM {table} WHERE key = $1"

LOAD_MANY = """\
SELECT key, payload, (extract(epoch FROM expires - clock_timestamp()) * 1000000)::int8 FROM {table} WHERE key = ANY($1)"""

# A command that is repeated after a lost reply finds its own payload: the payload matches, and nothing changes.
CREATE = """\
INSERT INTO {table} AS held (key, payload, expires, owner)
VALUES ($1, $2, clock_timestamp() + $3::int8 * interval '1 microsecond', $4)
ON CONFLICT (key) DO UPDATE SET payload = EXCLUDED.payload, owner = EXCLUDED.owner,
    expires = CASE WHEN held.expires > clock_timestamp() THEN held.expires ELSE EXCLUDED.expires END
WHERE held.expires <= clock_timestamp() OR held.payload = EXCLUDED.payload"""

# One statement: a second one, or a WITH, would look at the new payload at another moment than the swap.
REPLACE = """\
UPDATE {table} SET payload = $3 WHERE key = $1 AND expires > clock_timestamp() AND payload IN ($2, $3)"""

REPLACE_ALL = """\
UPDATE {table} SET payload = $3, owner = $5,
    expires = CASE WHEN payload = $3 THEN expires ELSE clock_timestamp() + $4::int8 * interval '1 microsecond' END
WHERE key = $1 AND expires > clock_timestamp() AND payload IN ($2, $3)"""

TOUCH = """\
UPDATE {table} SET expires = clock_timestamp() + $2::int8 * interval '1 microsecond'
WHERE key = $1 AND expires > clock_timestamp()"""

DELETE = "DELETE FROM {table} WHERE key = $1 AND expires > clock_timestamp()"

KEYS = "SELECT key FROM {table} WHERE key > $1 AND expires > clock_timestamp() ORDER BY key LIMIT {page}"

OWNED_BY = """\
SELECT key FROM {table} WHERE owner = $2 AND key > $1 AND expires > clock_timestamp() ORDER BY key LIMIT {page}"""

# In the order of the keys, so that nothing is counted twice. The expiries change while others write.
COUNT = """\
SELECT count(*), count(*) FILTER (WHERE expires > statement_timestamp()), max(key) FROM (
    SELECT key, expires FROM {table} WHERE key > $1 ORDER BY key LIMIT {counted}) AS page"""

ALL_KEYS = "SELECT key FROM {table} WHERE key > $1 ORDER BY key LIMIT {page}"

# Only keys that were read before. So if the command runs late, after the caller was interrupted, no new session ends.
CLEAR = """\
WITH gone AS (DELETE FROM {table} WHERE key = ANY($1) RETURNING expires > statement_timestamp() AS lived)
SELECT count(*) FILTER (WHERE lived) FROM gone"""

# A batch skips rows that others have locked, so it waits for nobody. A request that wants one of the batch's dead rows
# waits for this batch. statement_timestamp(), unlike clock_timestamp(), can be looked up in an index. It does not move
# within one batch.
PURGE = """\
DELETE FROM {table} WHERE key = ANY (ARRAY(
    SELECT key FROM {table} WHERE expires <= statement_timestamp() ORDER BY expires
    LIMIT {page} FOR UPDATE SKIP LOCKED))"""

# For operators: the clock, the version, the number of dead rows (at most 10,001), and of indexes.
DIAGNOSE = """\
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8, current_setting('server_version_num')::int8,
    (SELECT count(*) FROM (SELECT 1 FROM {table} WHERE expires <= statement_timestamp() LIMIT 10001) AS dead),
    (SELECT count(*) FROM pg_index WHERE indrelid = '{table}'::regclass)"""

SETTINGS = """\
SELECT current_setting('server_version'), current_setting('synchronous_commit'), current_setting('max_connections'),
    current_setting('autovacuum'), pg_size_pretty(pg_total_relation_size('{table}'::regclass))"""


class Table:
    """The statements for one table.

    Raises:
        ValueError: the name cannot be written into SQL as it is.
    """

    def __init__(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"table must be a name or schema.name of letters, digits and _, up to 55 each, not {name!r}"
            )
        self.name, self.page, self.counted = name, PAGE, COUNTED
        short = name.rpartition(".")[2]
        names = {
            "table": ".".join(f'"{part}"' for part in name.split(".")),
            "expires": f'"{short}_expires"',
            "owner": f'"{short}_owner"',
            "page": str(PAGE),
            "counted": str(COUNTED),
        }

        def sql(statement: str) -> bytes:
            return statement.format_map(names).encode()

        self.ddl = [statement.format_map(names) for statement in (CREATE_TABLE, CREATE_EXPIRES, CREATE_OWNER)]
        # One worker creates the table while the others wait: IF NOT EXISTS alone does not protect against a race.
        lock = b"SELECT pg_advisory_xact_lock(%d)" % crc32(f"wsgisession {name}".encode())
        self.make = [Statement(lock), *(Statement(statement.encode()) for statement in self.ddl)]
        # The statements of requests are prepared. The others, such as listings, run rarely.
        self.load, self.create = named(sql(LOAD)), named(sql(CREATE))
        self.replace, self.replace_all = named(sql(REPLACE)), named(sql(REPLACE_ALL))
        self.touch, self.touch_if = named(sql(TOUCH)), named(sql(TOUCH + " AND payload = $3"))
        self.delete, self.delete_if = named(sql(DELETE)), named(sql(DELETE + " AND payload = $2"))
        self.load_many, self.count = Statement(sql(LOAD_MANY)), Statement(sql(COUNT))
        self.keys, self.owned_by = Statement(sql(KEYS)), Statement(sql(OWNED_BY))
        self.all_keys, self.clear = Statement(sql(ALL_KEYS)), Statement(sql(CLEAR))
        self.purge = Statement(sql(PURGE))
        self.diagnose, self.settings = Statement(sql(DIAGNOSE)), Statement(sql(SETTINGS))
