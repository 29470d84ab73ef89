"""A folder is written whole or not at all, and never over anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_testing.scaffold.writing import write_folder

FILES = {"README.md": b"# net", "net/plugin.py": b"", "net/deep/er.py": b"x = 1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_files_are_there_and_nothing_else(tmp_path: Path) -> None:
    write_folder(tmp_path / "deep" / "down" / "net", FILES)
    assert contents(tmp_path / "deep" / "down" / "net") == FILES
    assert names(tmp_path / "deep" / "down") == ["net"]


@pytest.mark.parametrize("what", ["file", "folder", "link", "dangling"])
def test_nothing_is_overwritten(tmp_path: Path, what: str) -> None:
    target, elsewhere = tmp_path / "net", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if what == "file":
        target.write_bytes(b"mine")
    elif what == "folder":
        (target / "mine").mkdir(parents=True)
    else:
        target.symlink_to(elsewhere if what == "link" else tmp_path / "nowhere")
    before = names(tmp_path)
    with pytest.raises(UserError, match="exists and is"):
        write_folder(target, FILES)
    assert names(tmp_path) == before
    assert not names(elsewhere) and not (what == "file" and target.read_bytes() != b"mine")


def test_what_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_folder(tmp_path / "net", {**FILES, "net/plugin.py/below-a-file.py": b""})
    assert names(tmp_path) == []
