"""Blobs are whole or absent, and of one project."""

import errno
import os
from pathlib import Path

import pytest

from mooring.core.errors import NotFound, StorageError, StorageFull
from mooring.storage import Blobs


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, is_synced=True)
    digest = blobs.put("shop", b"x" * 100_000)
    assert blobs.get("shop", digest) == b"x" * 100_000


def test_another_project_cannot_see_it(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put("shop", b"secret")
    with pytest.raises(NotFound):
        blobs.get("rival", digest)


def test_a_projects_name_never_leaves_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    Blobs(root).put("../../outside", b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and root not in path.parents] == []


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    assert blobs.put("shop", b"abc") == blobs.put("shop", b"abc")
    assert blobs.size_bytes("shop") == 3


def test_what_was_deleted_is_gone_and_deleting_it_again_is_no_error(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put("shop", b"abc")
    blobs.delete("shop", digest)
    blobs.delete("shop", digest)
    with pytest.raises(NotFound):
        blobs.get("shop", digest)


def test_a_damaged_blob_is_an_error_never_an_answer(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put("shop", b"abc")
    next(path for path in tmp_path.rglob("*") if path.is_file()).write_bytes(b"abd")
    with pytest.raises(StorageError, match="damaged"):
        blobs.get("shop", digest)


def test_a_sweep_removes_old_orphans_and_drafts_only(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    named, orphan, young = (blobs.put("shop", data) for data in (b"named", b"orphan", b"young"))
    draft = next(tmp_path.glob("*/*")) / "draft-0123"
    draft.write_bytes(b"half")
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != young.hex():
            os.utime(file, (0, 0))
    assert blobs.sweep("shop", lambda digest: digest == named) == len(b"orphan") + len(b"half")
    assert blobs.get("shop", named) == b"named"
    assert blobs.get("shop", young) == b"young"
    with pytest.raises(NotFound):
        blobs.get("shop", orphan)


def test_putting_an_old_orphan_again_saves_it_from_the_sweep(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put("shop", b"abc")
    os.utime(next(path for path in tmp_path.rglob("*") if path.is_file()), (0, 0))
    blobs.put("shop", b"abc")
    assert blobs.sweep("shop", lambda _digest: False) == 0
    assert blobs.get("shop", digest) == b"abc"


def test_a_full_disk_is_said_and_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageFull):
        Blobs(tmp_path).put("shop", b"abc")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
