"""Refusals that only the journal's callers need to tell apart."""

from mooring.core.errors import MooringError


class KeyTaken(MooringError):
    """Another call took the key in the meantime; nothing was written. Look at `call_id`: join it or replay it."""

    status = 409
    code = "key_taken"

    def __init__(self, call_id: bytes) -> None:
        super().__init__("Another call with this idempotency key came first.", hint="Join it, or read its answer.")
        self.call_id = call_id


class BudgetsChanged(MooringError):
    """The project has a budget that the intent does not know, or lacks one that it names: nothing was written.

    Ask which apply, and try again.
    """

    status = 409
    code = "budgets_changed"

    def __init__(self) -> None:
        super().__init__(
            "A budget was made or removed in the meantime.", hint="Ask the journal again which budgets apply."
        )
