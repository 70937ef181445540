"""Exit codes: what a script can tell from the number alone. `docs/reference/cli.md` shows this table."""

from enum import IntEnum

from mooring.core.errors import (
    Blocked,
    BudgetExceeded,
    CallUncertain,
    ConfigError,
    EgressDenied,
    InvalidRequest,
    KeyReused,
    MooringError,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    RateLimited,
    StorageFull,
    Unavailable,
)


class Exit(IntEnum):
    """What the number means."""

    DONE = 0
    FAILED = 1
    WRONG = 2
    UNREACHABLE = 3
    REFUSED = 4
    NOT_FOUND = 5
    INTERRUPTED = 130
    UNREAD = 141


MEANINGS = {
    Exit.DONE: "done, and what was verified holds",
    Exit.FAILED: "it failed, or what was verified does not hold; `ask`: the documents do not say",
    Exit.WRONG: "the command line or the configuration is wrong; nothing was done",
    Exit.UNREACHABLE: "the server is not there, starts, or ends; try again when it runs",
    Exit.REFUSED: "refused: a budget, a limit, a guard, a key, a full disk, or a call that waits for a decision",
    Exit.NOT_FOUND: "there is no such run, call, key, document or home",
    Exit.INTERRUPTED: "Ctrl-C",
    Exit.UNREAD: "who read the output closed it (`… | head -1`)",
}

# The first class that fits decides; what fits none has failed.
_BY_ERROR: tuple[tuple[type[MooringError], Exit], ...] = (
    (ConfigError, Exit.WRONG),
    (InvalidRequest, Exit.WRONG),
    (Unavailable, Exit.UNREACHABLE),
    (NotFound, Exit.NOT_FOUND),
    (BudgetExceeded, Exit.REFUSED),
    (RateLimited, Exit.REFUSED),
    (Blocked, Exit.REFUSED),
    (PermissionDenied, Exit.REFUSED),
    (NotAuthenticated, Exit.REFUSED),
    (EgressDenied, Exit.REFUSED),
    (KeyReused, Exit.REFUSED),
    (CallUncertain, Exit.REFUSED),
    (StorageFull, Exit.REFUSED),
)


def exit_of(error: MooringError) -> Exit:
    """The exit code of an error of ours."""
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), Exit.FAILED)
