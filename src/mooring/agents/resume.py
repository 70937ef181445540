"""What a tool step that began before may do now. Pure: the table of DESIGN's repeat classes."""

from typing import Literal

from mooring.core.tools import Repeat
from mooring.journal.records import CallState

Resume = Literal["run", "collect", "reconcile", "wait", "park"]


def resume_rule(repeat: Repeat, state: CallState | None, *, has_reconcile: bool) -> Resume:
    """run: (again) · collect: the recorded result · reconcile: ask the tool's function · wait: until the old process is
    proven dead · park: a person decides.
    """
    if state is None:
        return "run"
    if state in ("completed", "failed", "blocked"):
        return "collect"
    if repeat in ("safe", "keyed"):
        return "run"
    if state == "running":
        return "wait"
    return "reconcile" if has_reconcile else "park"
