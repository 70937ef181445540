"""The journal: calls, attempts, runs, the ledger, the durable queue. Everything else is a view of it.

Read `records.py` (the words), `journal.py` (the map of the parts), `attempts.py` (intent and result, the straight
line), then `calls.py`, `ledger.py`, `runs.py`, `tools.py`, `liveness.py`; `contents.py` keeps bytes as deltas;
`repository/` holds the SQL, and only it. May import `storage`, `client`, `net` and `core`.
"""

from .errors import KeyTaken
from .journal import Journal
from .ledger import Bill, BillLine, BudgetState, MeteredUsage, ReconcileReport
from .records import AttemptIntent, AttemptResult, CallAnswer, CallRecord, NewCall, NewRun, RunRecord, RunRef

__all__ = [
    "AttemptIntent",
    "AttemptResult",
    "Bill",
    "BillLine",
    "BudgetState",
    "CallAnswer",
    "CallRecord",
    "Journal",
    "KeyTaken",
    "MeteredUsage",
    "NewCall",
    "NewRun",
    "ReconcileReport",
    "RunRecord",
    "RunRef",
]
