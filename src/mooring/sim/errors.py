"""What goes wrong inside the double on purpose; none of these is one of Mooring's own errors."""


class SimError(Exception):
    """The root."""


class BadRequest(SimError):
    """The caller's request is refused; `message` and `param` go on the wire."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.status = status
        self.code = code


class BadHttp(SimError):
    """What came is no HTTP request that the double takes; `status` is the answer, then the connection closes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class EffectsFull(SimError):
    """No room for another effect."""


class KeyConflict(SimError):
    """The idempotency key came with another body."""


class Cut(SimError):
    """The answer ends here: with a reset, or with an orderly close of the connection."""

    def __init__(self, *, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset
