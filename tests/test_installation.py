"""What an installation weighs, and what is no part of it."""

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_BYTES = 225_000_000  # what Python compiles, and what is lost in half-filled blocks, take the rest of 250 MB
WITHOUT_DRIVER = "import sys; sys.modules['psycopg'] = None; from mooring.cli import main; main()"


def locked() -> dict[str, str]:
    """The packages of the runtime's lock, and the marker of each."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    found = (re.match(r"([a-z0-9-]+)==\S+(?: ; (.*?))? \\$", line) for line in lines)
    return {match[1]: match[2] or "" for match in found if match}


def size_bytes(package: str) -> int:
    """What its files take, but for those that Python compiles."""
    files = distribution(package).files or ()
    return sum(file.locate().stat().st_size for file in files if file.suffix != ".pyc")


def test_the_runtime_leaves_room_below_250_megabytes() -> None:
    everywhere = [name for name, marker in locked().items() if "emscripten" not in marker]
    sizes = {name: size_bytes(name) for name in everywhere}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) <= MOST_BYTES, largest


def test_the_runtime_has_no_driver_of_a_database_that_most_do_not_use() -> None:
    assert not [name for name in locked() if name.startswith("psycopg")]


def test_without_its_driver_postgresql_is_refused_with_the_command_that_installs_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVER, "runs", "list"],
        env={"MOORING_HOME": str(tmp_path), "MOORING_STORAGE__URL": "postgresql://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "mooring: PostgreSQL needs the package 'psycopg'. Run: pip install 'mooring[postgres]'\n"
