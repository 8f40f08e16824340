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

from .bulk import BulkStoreContract
from .contract import StoreContract
from .helpers import LONG, PATIENCE, in_child, new_key, new_payload, together
from .steps import Outside, Steps

__all__ = [
    "LONG",
    "PATIENCE",
    "BulkStoreContract",
    "Outside",
    "Steps",
    "StoreContract",
    "in_child",
    "new_key",
    "new_payload",
    "together",
]
