"""Mooring: the application server for generative AI.

The names below load when they are first used: `import mooring` costs nothing, and the server is not needed for them.
"""

import importlib
import importlib.util
from collections.abc import Callable
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
_SEAMS = "mooring.processes.seams"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mooring' has no attribute '{name}'")
    _fill_seams()
    value = getattr(importlib.import_module(_ELSEWHERE.get(name, "mooring.client")), name)
    globals()[name] = value
    return value


def _fill_seams() -> None:
    """`python app.py` can start a server and a worker where they are installed; they load when they are needed."""
    discovery = importlib.import_module("mooring.client.discovery")
    if importlib.util.find_spec(_SEAMS) is None:
        return

    def lazily(name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            return getattr(importlib.import_module(_SEAMS), name)(*args, **options)

        return call

    for name in ("start_temporary", "local_worker"):
        if getattr(discovery, name) is None:
            setattr(discovery, name, lazily(name))


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
