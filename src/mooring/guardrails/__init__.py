"""Checks over canonical events, streaming hold-back, tool policy, and the one redactor.

Read `guardrails.py` (the straight line), then `check.py` (the contract), `panel.py` (a stage at work), `stream.py` and
`scanner.py` (hold-back), then a file of `checks/`. Imports `core` only.
"""

from .check import (
    ALLOW,
    BlockedByCheck,
    CheckSettings,
    GuardContext,
    GuardrailCheck,
    Span,
    Text,
    Verdict,
)
from .config import GuardrailsConfig
from .guardrails import Checked, Guardrails
from .redactor import RedactingFilter, RedactingFormatter, Redactor
from .stream import StreamGuard

__all__ = [
    "ALLOW",
    "BlockedByCheck",
    "CheckSettings",
    "Checked",
    "GuardContext",
    "GuardrailCheck",
    "Guardrails",
    "GuardrailsConfig",
    "RedactingFilter",
    "RedactingFormatter",
    "Redactor",
    "Span",
    "StreamGuard",
    "Text",
    "Verdict",
]
