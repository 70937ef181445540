"""The one Redactor: takes secrets out of text before it reaches a log, a trace, the audit or an error body."""

import logging

from . import secret_shapes

MARK = "[redacted]"


class Redactor:
    """Knows what secrets look like, and the very secrets that this server was configured with.

    The latter are found whatever they look like; a value under eight characters would hit ordinary words: refused.
    """

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> bool:
        """Never show this value again; False if it is too short to be told from ordinary text."""
        if len(secret) < 8:
            return False
        # Longest first, so that a secret that holds another one leaves nothing of itself.
        self._secrets = tuple(sorted({*self._secrets, secret}, key=lambda value: (-len(value), value)))
        return True

    def __call__(self, text: str, /) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MARK)
        return secret_shapes.mask(text)


class RedactingFilter(logging.Filter):
    """For a handler: a record passes, its message and traceback without secrets."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self._redactor(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._redactor(record.exc_text)
        return True


class RedactingFormatter(logging.Formatter):
    """For a handler that formats more than the message: the finished line without secrets."""

    def __init__(self, redactor: Redactor, fmt: str | None = None, datefmt: str | None = None) -> None:
        super().__init__(fmt, datefmt)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor(super().format(record))
