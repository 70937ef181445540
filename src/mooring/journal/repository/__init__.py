"""The journal's SQL, and only here: one module per subject, one function per statement.

Every function takes `tx, project_id` first; the few that cannot say why with `@cross_project(reason)`.
"""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def cross_project(reason: str) -> Callable[[Function], Function]:
    """Marks a statement that looks over the projects' fence, with the reason; a house rule lists them."""
    if not reason:
        raise ValueError("Say why this statement may look across projects.")

    def mark(function: Function) -> Function:
        function.__dict__["cross_project_reason"] = reason
        return function

    return mark
