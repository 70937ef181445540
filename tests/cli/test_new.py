"""`mooring new`: what it makes works at once, offline, and nothing that is there is overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli


def test_what_it_makes_passes_its_own_test_and_runs(cli: Cli, folder: Path) -> None:
    assert cli("new", "shop").out.endswith("  cd shop && python app.py\n")
    made = folder / "shop"
    assert sorted(path.name for path in made.iterdir()) == [
        ".mooring", "README.md", "app.py", "mooring.toml", "test_app.py",
    ]  # fmt: skip
    assert len((made / "app.py").read_text().splitlines()) <= 20
    assert len((made / "README.md").read_text().splitlines()) <= 10
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
    for arguments, says in (
        (["-m", "pytest", "-q", "-p", "no:cacheprovider"], "2 passed"),
        (["app.py"], "completed Done. look_up: order 81: a lamp, delivered on Monday"),
    ):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=made, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert says in done.stdout


def test_it_says_when_another_server_would_run_the_app(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MOORING_URL", "MOORING_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert cli("new", "alone").err == ""
    monkeypatch.setenv("MOORING_URL", "http://127.0.0.1:9")
    assert "To use its own: unset MOORING_URL" in cli("new", "shop").err


def test_it_overwrites_nothing(cli: Cli, folder: Path) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "mine.txt").write_text("mine")
    result = cli("new", "shop")
    assert result.code != 0
    assert "shop exists and is not empty. Choose another name, or remove it." in result.err
    assert [path.name for path in (folder / "shop").iterdir()] == ["mine.txt"]
    (folder / "file").write_text("mine")
    assert cli("new", "file").code != 0
    assert (folder / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["Shop", "1shop", "a b", "sh'op", ".."])
def test_a_name_that_no_app_can_have_is_refused(cli: Cli, folder: Path, name: str) -> None:
    assert "cannot be the name of an app" in cli("new", name).err
    assert not (folder / name / "app.py").exists()
