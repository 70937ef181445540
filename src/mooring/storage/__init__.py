"""Storage: one schema on SQLite or PostgreSQL, written by one thread per process in grouped transactions.

Read `database.py` first (the straight line), then `transaction.py` (what an operation sees), `writer.py` (group
commit) and `readers.py`; `sqlite.py` and `postgresql.py` hold what differs. Beside them: `schema.py` and
`migrations/`, `blobs.py`, `home.py`, `liveness.py`, `wakeups.py`, `ballast.py`.
May import `client`, `net` and `core`; knows no other room's tables.
"""

from .ballast import Ballast
from .blobs import Blobs
from .database import Database
from .home import Home
from .liveness import FileLock, ProcessLock
from .transaction import Lock, Tx
from .wakeups import Wakeups

__all__ = ["Ballast", "Blobs", "Database", "FileLock", "Home", "Lock", "ProcessLock", "Tx", "Wakeups"]
