"""The fence between projects: repository functions take `tx, project_id`, or say why they do not."""

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
