"""Log lines as JSON: one object each, with the ids of what it is about, through the redactor like every sink."""

import logging
from datetime import UTC, datetime

import msgspec

from mooring.core.seams import Redactor

LOGGED = ("mooring.request", "mooring.run")  # these speak of every request and run, and only where lines are JSON


class JsonFormatter(logging.Formatter):
    """`at`, `level`, `logger`, `message`, and what the record's `facts` hold; a traceback as `error`."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):
            line.update({name: value for name, value in facts.items() if value is not None})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return self._redact(msgspec.json.encode(line).decode())


def use_json(redact: Redactor, handler: logging.Handler) -> None:
    """Make the handler write JSON, and let requests and runs speak."""
    handler.setFormatter(JsonFormatter(redact))
    for name in LOGGED:
        logging.getLogger(name).setLevel(logging.INFO)
