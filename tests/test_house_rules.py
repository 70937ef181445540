"""Each house rule finds what it forbids, says what to do, and leaves alone what is allowed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def judged(root: Path, place: str, body: str, docstring: str = '"""A file."""\n') -> str:
    """What the script prints about a tree with this one file."""
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(docstring + body)
    command = [sys.executable, str(ROOT / "scripts/house_rules.py"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if done.stdout else 0), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("place", "body", "finding"),
    [
        ("src/mooring/a/b.py", "def f():\n    import os\n", "b.py:3: an import inside a function"),
        ("src/mooring/a/b.py", "try:\n    pass\nexcept Exception:\n    pass\n", "b.py:4: catches Exception"),
        ("src/mooring/a/b.py", "try:\n    pass\nexcept (ValueError, BaseException):\n    pass\n", "catches Exception"),
        ("src/mooring/a/b.py", "try:\n    pass\nexcept:\n    pass\n", "catches Exception"),
        ("src/mooring/a/b.py", "x = eval('1')\n", "eval(): data is never run as code"),
        ("src/mooring/a/b.py", "import pickle\n", "imports pickle"),
        ("tests/test_b.py", "from pickle import loads\n", "imports pickle"),
        ("src/mooring/a/b.py", "run('ls', shell=True)\n", "pass a list of arguments"),
        ("src/mooring/a/b.py", "os.system('ls')\n", "use subprocess"),
        ("src/mooring/a/b.py", "x = 1\n" * 400, "401 lines, 400 at most"),
        ("src/mooring/a/repository.py", "def find(tx, call_id):\n    pass\n", "find() does not take project_id first"),
        ("src/mooring/a/repository/calls.py", "def find(tx):\n    pass\n", "does not take project_id first"),
        (
            "src/mooring/a/repository.py",
            "class R:\n    def f(self, x):\n        tx.one(x)\n",
            "f() does not take project_id",
        ),
    ],
)
def test_what_is_forbidden_is_found(tmp_path: Path, place: str, body: str, finding: str) -> None:
    assert finding in judged(tmp_path, place, body)


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("src/mooring/cli/b.py", "def f():\n    import os\n"),
        ("src/mooring/core/registry.py", "def f():\n    import os\n"),
        ("src/mooring/server/b.py", "try:\n    pass\nexcept Exception:\n    pass\n"),
        ("src/mooring/processes/worker.py", "try:\n    pass\nexcept Exception:\n    pass\n"),
        ("src/mooring/a/b.py", "try:\n    pass\nexcept Exception:  # edge: users' code\n    pass\n"),
        ("src/mooring/a/b.py", "try:\n    pass\nexcept BaseException:\n    close()\n    raise\n"),
        ("src/mooring/a/b.py", "run(['ls'], shell=False)\n"),
        ("src/mooring/a/repository.py", "def find(tx, project_id, call_id):\n    pass\n"),
        ("src/mooring/a/repository.py", "@cross_project('why')\ndef find(tx, call_id):\n    pass\n"),
        ("src/mooring/a/repository.py", "def record(row):\n    return row\n"),
        ("src/mooring/a/repository.py", "def _page(tx, limit):\n    pass\n"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, place: str, body: str) -> None:
    assert judged(tmp_path, place, body) == ""


def test_a_module_without_a_docstring_is_found(tmp_path: Path) -> None:
    assert "no module docstring" in judged(tmp_path, "src/mooring/a/b.py", "x = 1\n", docstring="")
