"""House rule: every statement is bound to a project, or says why not."""

import ast
from pathlib import Path

import mooring.journal.repository

FOLDER = Path(mooring.journal.repository.__file__).parent


def test_every_function_with_a_transaction_takes_the_project_first_or_says_why_not() -> None:
    bad: list[str] = []
    for file in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef) or [one.arg for one in node.args.args[:1]] != ["tx"]:
                continue
            is_marked = any("cross_project" in ast.unparse(decorator) for decorator in node.decorator_list)
            is_bound = [one.arg for one in node.args.args[:2]] == ["tx", "project_id"]
            if is_marked == is_bound:
                bad.append(f"{file.name}:{node.name}")
    assert not bad, f"Take project_id after tx, or mark with @cross_project(reason): {bad}"


def test_there_is_no_sql_outside_the_repository() -> None:
    for file in FOLDER.parent.glob("*.py"):
        text = file.read_text()
        assert not any(word in text for word in ("SELECT ", "INSERT INTO", "UPDATE runs", "DELETE FROM")), file.name
