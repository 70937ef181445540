"""Mooring: the application server for generative AI.

The names below load when they are first used: `import mooring` costs nothing, and the server is not needed for them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mooring.client import (
        Agent,
        Answer,
        App,
        ApprovalNeeded,
        AsyncClient,
        AsyncContext,
        Client,
        Completion,
        Context,
        Done,
        Finished,
        Limits,
        NotDone,
        Run,
        TextDelta,
        ToolCall,
        ToolResult,
        tool,
    )
    from mooring.core.seams import Hit

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Answer",
    "App",
    "ApprovalNeeded",
    "AsyncClient",
    "AsyncContext",
    "Client",
    "Completion",
    "Context",
    "Done",
    "Finished",
    "Hit",
    "Limits",
    "NotDone",
    "Run",
    "TextDelta",
    "ToolCall",
    "ToolResult",
    "tool",
]

_ELSEWHERE = {"Hit": "mooring.core.seams"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mooring' has no attribute '{name}'")
    value = getattr(importlib.import_module(_ELSEWHERE.get(name, "mooring.client")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
