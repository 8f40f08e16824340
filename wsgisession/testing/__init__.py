"""The contract of a store as a test class. If you write a store, subclass it and run pytest.

::

    from wsgisession.testing import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture(autouse=True)
        def place(self, tmp_path):
            self.path = tmp_path / "sessions"

        def make_store(self):               # a store without any record in it
            return MyStore(self.path)

        def reopen(self, store):            # the same records through a second door
            return MyStore(self.path)

A store that also has ``load_many``, ``count`` and ``clear`` subclasses ``BulkStoreContract`` instead.

Every test is one clause of ``wsgisession.stores.base``; its docstring says which. If your store has a clock that tests
can move, override ``advance``. Otherwise the test waits, a few hundredths of a second at a time. For readable failures,
call ``pytest.register_assert_rewrite("wsgisession.testing")`` in ``conftest.py`` before the import. Only this package
needs pytest; nothing else of wsgisession imports it.

Re-exports the public names and nothing else. Knows no clause: the clauses of every store are in ``contract``, the
others in ``bulk``.
"""

from .bulk import PAGE, BulkStoreContract
from .contract import ROUNDS, SLACK, STEPS, THREADS, StoreContract, each_operation, with_and_without_a_ttl
from .helpers import LONG, PATIENCE, all_end, in_child, new_key, new_payload, together
from .samples import NO_KEYS, NO_OWNERS, OPERATIONS, OWNERS, PAYLOADS, Operation
from .steps import Outside, Steps

__all__ = [
    "LONG",
    "NO_KEYS",
    "NO_OWNERS",
    "OPERATIONS",
    "OWNERS",
    "PAGE",
    "PATIENCE",
    "PAYLOADS",
    "ROUNDS",
    "SLACK",
    "STEPS",
    "THREADS",
    "BulkStoreContract",
    "Operation",
    "Outside",
    "Steps",
    "StoreContract",
    "all_end",
    "each_operation",
    "in_child",
    "new_key",
    "new_payload",
    "together",
    "with_and_without_a_ttl",
]
