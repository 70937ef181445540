"""What a program needs to declare agents and to talk to a server. Imports `net` and `core` only, never the journal.

Read `client.py` first (the calls), then `app.py` and `tool.py` (what is declared), then `context.py` (a tool's view).
`sync.py` is made from `client.py`.
"""

from .app import Agent, App, Collection, Limits
from .client import AsyncClient, AsyncRun
from .context import AsyncContext, Context
from .discovery import Endpoint
from .events import ApprovalNeeded, Finished, TextDelta, ToolCall, ToolResult
from .results import Answer, Citation, Completion, RunFact
from .sync import Client, Run
from .tool import Done, NotDone, Tool, tool

__all__ = [
    "Agent",
    "Answer",
    "App",
    "ApprovalNeeded",
    "AsyncClient",
    "AsyncContext",
    "AsyncRun",
    "Citation",
    "Client",
    "Collection",
    "Completion",
    "Context",
    "Done",
    "Endpoint",
    "Finished",
    "Limits",
    "NotDone",
    "Run",
    "RunFact",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolResult",
    "tool",
]
