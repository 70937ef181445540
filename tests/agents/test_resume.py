"""What a crash in mid-call means, for each class of tool."""

import pytest

from mooring.agents.resume import resume_rule


@pytest.mark.parametrize(
    ("repeat", "state", "has_reconcile", "rule"),
    [
        ("safe", None, False, "run"),
        ("keyed", None, False, "run"),
        ("never", None, False, "run"),
        ("safe", "running", False, "run"),
        ("safe", "uncertain", False, "run"),
        ("keyed", "running", False, "run"),
        ("keyed", "uncertain", True, "run"),
        ("never", "running", False, "wait"),
        ("never", "running", True, "wait"),
        ("never", "uncertain", False, "park"),
        ("never", "uncertain", True, "reconcile"),
        ("never", "completed", False, "collect"),
        ("never", "failed", True, "collect"),
        ("safe", "completed", False, "collect"),
        ("keyed", "blocked", False, "collect"),
    ],
)
def test_the_table_of_repeat_classes(repeat: str, state: str | None, has_reconcile: bool, rule: str) -> None:
    assert resume_rule(repeat, state, has_reconcile=has_reconcile) == rule  # type: ignore[arg-type]
