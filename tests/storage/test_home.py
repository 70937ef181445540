"""The home is found like .git, and keeps its secrets for its owner."""

from pathlib import Path

import pytest

from mooring.core.errors import ConfigError
from mooring.storage import Home
from mooring.storage.home import Secrets


def test_the_home_is_found_upward_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOORING_HOME", raising=False)
    (tmp_path / ".mooring").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert Home.locate(below).path == tmp_path / ".mooring"


def test_the_environment_names_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path / "elsewhere"))
    assert Home.locate(tmp_path).path == tmp_path / "elsewhere"


def test_a_home_of_someone_else_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOORING_HOME", raising=False)
    (tmp_path / ".mooring").mkdir()
    monkeypatch.setattr("os.getuid", lambda: 123_456)
    below = tmp_path / "a"
    below.mkdir()
    assert Home.locate(below).path == below / ".mooring"


def test_a_new_home_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.path.stat().st_mode & 0o077 == 0
    assert home.run_dir.is_dir()
    assert (home.path / ".gitignore").read_text() == "*\n"


def test_a_home_that_cannot_be_made_says_which_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="MOORING_HOME"):
        Home(tmp_path / "file" / "home")


def test_every_process_of_a_home_has_the_same_secret(tmp_path: Path) -> None:
    assert Home(tmp_path).secrets.current == Home(tmp_path).secrets.current
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_rotated_secret_keeps_its_old_versions_until_they_are_dropped(tmp_path: Path) -> None:
    secrets = Home(tmp_path).secrets
    other_process = Home(tmp_path).secrets
    first = secrets.current
    assert secrets.rotate() == 2
    assert secrets.current != first
    assert secrets.get(1) == first
    assert other_process.get(2) == secrets.current
    secrets.drop(1)
    with pytest.raises(ConfigError, match=r"Version 1 .* secret.key"):
        Home(tmp_path).secrets.get(1)


def test_the_newest_secret_cannot_be_dropped(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Rotate first"):
        Home(tmp_path).secrets.drop(1)


def test_a_secret_that_others_can_read_is_refused_with_the_command(tmp_path: Path) -> None:
    Home(tmp_path).secrets.rotate()
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Secrets(tmp_path / "secret.key")


@pytest.mark.parametrize(("content", "said"), [("{nonsense", "damaged"), ("", "empty")])
def test_a_damaged_secret_is_never_replaced(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "secret.key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=said):
        Secrets(file)
    assert file.read_text() == content
