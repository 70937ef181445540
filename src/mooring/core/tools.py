"""What a tool declares, and what a crash in the middle of it means."""

from typing import Literal

import msgspec

from .messages import ToolSpec

Touches = Literal["read", "write", "egress", "exec"]
Repeat = Literal["safe", "keyed", "never"]


class ToolPolicy(msgspec.Struct, frozen=True):
    """`touches` is what policy asks about; `repeat` what a crash in mid-call means.

    safe: run it again. keyed: run it again with the same key. never: the call stays uncertain until its old process is
    proven dead and a `reconcile` function or a person has decided.
    """

    touches: Touches = "read"
    repeat: Repeat = "safe"
    timeout_seconds: float = 60.0
    needs_approval: bool = False


class DeclaredTool(msgspec.Struct, frozen=True):
    """A tool as model and policy see it; how to run it is its room's business."""

    spec: ToolSpec
    policy: ToolPolicy


def default_repeat(touches: Touches) -> Repeat:
    """`safe` for reads, `never` for all that leaves a mark."""
    return "safe" if touches == "read" else "never"
