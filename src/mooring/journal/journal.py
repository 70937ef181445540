"""The journal: everything that touches the outside world, written before (the intent) and after (the result).

The straight line is `begin_attempt` and `finish_attempt` in `attempts.py`. The parts stand on each other in the order
in which a call needs them; this class is their sum.
"""

from .ledger import Ledger


class Journal(Ledger):
    """One journal per process, over one database."""
