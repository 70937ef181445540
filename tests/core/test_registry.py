"""The registry: a typo suggests the right name, a missing package its install command."""

import sys

import pytest

from mooring.core.errors import ConfigError
from mooring.core.registry import Registry, did_you_mean


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    folder = tmp_path / "shapes_under_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "circle.py").write_text("Shape = 'round'\n")
    (folder / "knot.py").write_text("import package_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry(
        "shape", "mooring.shapes", "shapes_under_test", "Shape", extras={"package_that_is_not_there": "knots"}
    )
    for name in [name for name in sys.modules if name.startswith("shapes_under_test")]:
        del sys.modules[name]


def test_a_built_in_is_found_by_its_file_name(shapes: Registry[str]) -> None:
    assert shapes.names() == ["circle", "knot"]
    assert shapes.get("circle") == "round"


def test_a_typo_suggests_the_right_name(shapes: Registry[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        shapes.get("cirle")
    assert str(caught.value) == "Unknown shape 'cirle'. Did you mean 'circle'?"


def test_a_missing_package_prints_its_install_command(shapes: Registry[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        shapes.get("knot")
    assert "pip install 'mooring[knots]'" in str(caught.value)


def test_a_name_that_resembles_nothing_lists_what_there_is() -> None:
    assert did_you_mean("zzz", ["a", "b"]) == "Known: a, b."
    assert did_you_mean("zzz", []) == "None is registered."
