"""A user's file becomes an app; its mistakes are told."""

from pathlib import Path

import pytest

from mooring.agents import load, load_app
from mooring.core.errors import ConfigError
from mooring.core.text import digest

APP = """
from mooring import App
import neighbour_of_the_app
app = App("shop")
app.agent(neighbour_of_the_app.NAME, model="m")
"""


def put(folder: Path, text: str) -> Path:
    file = folder / "app.py"
    file.write_text(text)
    (folder / "neighbour_of_the_app.py").write_text('NAME = "support"\n')
    return file


def test_an_app_loads_with_its_neighbours_and_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    file = put(tmp_path, APP)
    loaded = load(file)
    assert list(loaded.app.agents) == ["support"]
    assert loaded.digest == digest(file.read_bytes())
    assert loaded.app.code == (str(file.resolve()), loaded.digest.hex())


def test_the_same_bytes_load_once_and_changed_ones_anew(tmp_path: Path) -> None:
    file = put(tmp_path, 'from mooring import App\napp = App("a")\n')
    first = load_app(file)
    assert load_app(file) is first
    file.write_text('from mooring import App\napp = App("bb")\n')
    assert load_app(file).name == "bb"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1", "declares no App"),
        ('import mooring\na = mooring.App("a")\nb = mooring.App("b")', "declares 2 Apps and none is named 'app'"),
        ("1 / 0", "does not load: ZeroDivisionError"),
        ("def", "does not load: SyntaxError"),
        (
            'import mooring\napp = mooring.App("a")\napp.agent("s", model="m").run("Hi")',
            'starts agent .s. when it is loaded. Put the start under: if __name__ == "__main__":',
        ),
    ],
)
def test_a_file_that_is_no_app_says_why(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_app(put(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.py cannot be read: No such file"):
        load_app(tmp_path / "nothing.py")
