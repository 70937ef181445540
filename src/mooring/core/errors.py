"""The one tree of errors. A class exists only where a caller would act differently.

`status` and `code` go on the wire; `is_retryable` says whether the same call may be sent again as it is.
`hint` says what to do next; `param` names the field at fault; `retry_after_seconds` when it is worth another try.
"""

from typing import ClassVar


class MooringError(Exception):
    """The root: something went wrong inside; the message says what, the hint what to do."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    is_retryable: ClassVar[bool] = False
    retry_after_seconds: float | None = None

    def __init__(self, message: str, *, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.param = param

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class ConfigError(MooringError):
    """A setting, a name or an installation is wrong; nothing was started."""

    code = "config_error"


class InvalidRequest(MooringError):
    """The caller's body or parameters cannot be understood."""

    status = 400
    code = "invalid_request"


class NotAuthenticated(MooringError):
    """No key, or one that is unknown, expired or revoked."""

    status = 401
    code = "invalid_api_key"


class PermissionDenied(MooringError):
    """The key is good, but not for this."""

    status = 403
    code = "permission_denied"


class NotFound(MooringError):
    """No such thing in this project."""

    status = 404
    code = "not_found"


class TooLarge(MooringError):
    """A body, header, event or answer is over its limit."""

    status = 413
    code = "too_large"


class RateLimited(MooringError):
    """Too many requests for now.

    `retry_after_seconds` says when to come back.
    """

    status = 429
    code = "rate_limit_exceeded"
    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        hint: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, param=param)
        self.retry_after_seconds = retry_after_seconds


class BudgetExceeded(MooringError):
    """The reservation would pass the cap of a budget. 402, because SDKs retry a 429 at once."""

    status = 402
    code = "budget_exceeded"


class Blocked(MooringError):
    """A guardrail refused the input, the output or a tool call."""

    status = 400
    code = "content_blocked"


class KeyReused(MooringError):
    """The idempotency key came with another body."""

    status = 409
    code = "key_reused"


class CallUncertain(MooringError):
    """Nobody can know whether the effect happened; it is listed and waits for `mooring runs resolve`."""

    status = 409
    code = "call_uncertain"


class LeaseLost(MooringError):
    """Another worker owns the run now; whoever gets this must stop working on it."""

    status = 409
    code = "lease_lost"


class UpstreamError(MooringError):
    """The provider failed.

    `upstream_status` is its HTTP status when there was one; `retry_after_seconds` is what it asked for;
    `is_billable` is true when the provider may have charged for the attempt.
    """

    status = 502
    code = "upstream_error"
    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        retry_after_seconds: float | None = None,
        is_billable: bool = False,
        hint: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, param=param)
        self.upstream_status = upstream_status
        self.retry_after_seconds = retry_after_seconds
        self.is_billable = is_billable


class UpstreamTimeout(UpstreamError):
    """A deadline passed: connect, first byte, idle or total."""

    status = 504
    code = "upstream_timeout"


class UpstreamDisconnected(UpstreamError):
    """The connection was refused, reset or closed before the answer was whole."""

    code = "upstream_disconnected"


class UpstreamMalformed(UpstreamError):
    """The provider answered with something that its wire format does not allow."""

    code = "upstream_malformed"


class UpstreamRejected(UpstreamError):
    """The provider understood the request and refuses it; sending it again or elsewhere does not help."""

    status = 400
    code = "upstream_rejected"
    is_retryable = False


class NoTargetLeft(MooringError):
    """Every target of the model was tried, or rests; the message lists what each one answered.

    `retry_after_seconds` is when the first of them is tried again, where all rest.
    """

    status = 502
    code = "no_target_left"
    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        hint: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, param=param)
        self.retry_after_seconds = retry_after_seconds


class EgressDenied(MooringError):
    """The egress policy forbids the address."""

    status = 403
    code = "egress_denied"


class StorageError(MooringError):
    """The database refused or failed; nothing was sent."""

    status = 503
    code = "storage_error"
    is_retryable = True
    retry_after_seconds = 1.0


class StorageFull(StorageError):
    """The disk is full: new calls are refused, running ones are kept."""

    code = "storage_full"
    retry_after_seconds = 5.0  # as often as it is looked whether there is room again


class Unavailable(MooringError):
    """The server starts, drains or is overloaded."""

    status = 503
    code = "unavailable"
    is_retryable = True
    retry_after_seconds = 1.0


class ToolFailed(MooringError):
    """A tool raised; the model sees the message."""

    code = "tool_failed"


class LimitReached(MooringError):
    """A run reached its limit of steps, cost or time."""

    status = 422
    code = "limit_reached"


class ReplayDiverged(MooringError):
    """A replayed run asked for something that its journal does not hold; the message names the step."""

    status = 409
    code = "replay_diverged"
