"""Every test that the page about failures elsewhere names exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_each_named_test_exists() -> None:
    page = (ROOT / "docs/explanation/failures.md").read_text(encoding="utf-8")
    named = set(NAMED.findall(page))
    assert len(named) > 40
    missing = [f"{path}::{name}" for path, name in sorted(named) if name not in names_in(ROOT / path)]
    assert not missing


def test_each_line_names_a_test() -> None:
    page = (ROOT / "docs/explanation/failures.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| What")]
    assert [row for row in rows if not NAMED.search(row)] == []


def names_in(path: Path) -> set[str]:
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
