"""The ballast: given back when the disk is full, by whichever process meets that."""

from pathlib import Path

import pytest

from mooring.storage import ballast
from mooring.storage.ballast import Ballast


def test_a_process_learns_that_another_has_given_it_back_and_fills_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.0)
    mine, others = (Ballast(tmp_path / "ballast", size_bytes=4096) for _ in range(2))
    assert not mine.is_full
    assert others.free()
    assert mine.is_full
    assert not (tmp_path / "ballast").exists(), "the space is the other's for now"
    assert not mine.is_full
    assert (tmp_path / "ballast").stat().st_size == 4096


def test_a_home_that_never_had_room_for_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.0)
    found = Ballast(tmp_path / "nowhere" / "ballast", size_bytes=4096)
    assert found.is_full
    (tmp_path / "nowhere").mkdir()
    assert not found.is_full
