"""Writing files: whole or not at all, as the umask allows, never through a link, by any number of processes at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.system.files import (
    LINK,
    append_synced,
    check_creatable,
    create_synced,
    make_folder,
    remove_folder,
    rename,
    replace_synced,
)
from tests.disk import full_disk

Write = Callable[[Path, Path], object]
"""From a file and the folder it must not lead out of."""

WRITES: dict[str, Write] = {
    "append": lambda path, within: append_synced(path, b"ours", within),
    "create": lambda path, within: create_synced(path, b"ours", within),
}
REPLACE: Write = lambda path, within: replace_synced(path, b"ours", within)  # noqa: E731
MOVES: dict[str, Write] = {
    "make": lambda path, within: make_folder(path, within),
    "remove": lambda path, within: remove_folder(path, within),
    "rename": lambda path, within: rename(path, path.with_name("other"), within),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the user's, with a file in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("theirs")
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_file_that_is_a_link_is_never_written_through(write: Write, place: Path, outside: Path) -> None:
    (place / "file").symlink_to(outside / "file")
    (place / "new").symlink_to(outside / "new")
    for name in ("file", "new"):
        with pytest.raises(OSError, match=LINK) as caught:
            write(place / name, place)
        assert caught.value.filename == str(place / name)
    assert contents(outside) == {"file": "theirs"}


def test_a_link_is_replaced_and_what_it_leads_to_stays(place: Path, outside: Path) -> None:
    (place / "file").symlink_to(outside / "file")
    replace_synced(place / "file", b"ours")
    assert not (place / "file").is_symlink() and contents(place) == {"file": "ours"}
    assert contents(outside) == {"file": "theirs"}


@pytest.mark.parametrize("write", [*WRITES.values(), REPLACE, *MOVES.values()], ids=[*WRITES, "replace", *MOVES])
@pytest.mark.parametrize("deep", [False, True])
def test_a_folder_that_is_a_link_leads_nowhere(write: Write, place: Path, outside: Path, deep: bool) -> None:
    (outside / "inner").mkdir()
    (outside / "inner" / "file").write_text("theirs")
    (place / "folder").symlink_to(outside)
    before = contents(outside)
    with pytest.raises(OSError, match=LINK) as caught:
        write(place / "folder" / ("inner/file" if deep else "file"), place)
    assert caught.value.filename == str(place / "folder")
    assert contents(outside) == before and names(outside) == ["file", "inner"]


def test_the_way_to_the_place_may_lead_through_links(tmp_path: Path, place: Path) -> None:
    (tmp_path / "runs").symlink_to(place)
    replace_synced(tmp_path / "runs" / "file", b"ours")
    make_folder(tmp_path / "runs" / "a" / "b", tmp_path / "runs")
    append_synced(tmp_path / "runs" / "a" / "b" / "file", b"too", tmp_path / "runs")
    assert contents(place) == {"file": "ours", "a/b/file": "too"}


def test_a_pipe_is_no_file_and_nobody_waits_for_it(place: Path) -> None:
    os.mkfifo(place / "pipe")
    for write in (*WRITES.values(), REPLACE):
        with pytest.raises(OSError, match=r"not a regular file|No such device|File exists"):
            write(place / "pipe", place)
    assert stat.S_ISFIFO((place / "pipe").stat().st_mode)


def test_a_device_or_a_folder_is_never_replaced(place: Path) -> None:
    (place / "null").symlink_to("/dev/null")
    (place / "folder").symlink_to(".")
    for path in (place / "null", place / "folder", Path("/dev/stdout")):
        for check in (lambda path: replace_synced(path, b"ours"), check_creatable):
            with pytest.raises(OSError, match="not a regular file"):
                check(path)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_umask_decides(mask: int, place: Path) -> None:
    before = os.umask(mask)
    try:
        make_folder(place / "folder", place)
        (place / "replaced").write_text("")
        (place / "replaced").chmod(0o600)
        for name in ("append", "create", "replaced"):
            {**WRITES, "replaced": REPLACE}[name](place / name, place)
            assert stat.S_IMODE((place / name).stat().st_mode) == 0o666 & ~mask, name
        assert stat.S_IMODE((place / "folder").stat().st_mode) == 0o777 & ~mask
    finally:
        os.umask(before)


def test_what_fails_leaves_what_was_there(place: Path) -> None:
    replace_synced(place / "file", b"earlier")
    with full_disk(), pytest.raises(OSError, match="No space left"):
        replace_synced(place / "file", b"later")
    assert contents(place) == {"file": "earlier"}


def test_a_write_in_parts_is_whole_and_the_disk_has_file_and_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, synced = os.write, []
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    for change in (REPLACE, WRITES["append"], lambda path, within: rename(path, path.with_name("other"), within)):
        change(place / "file", place)
    assert contents(place) == {"other": "oursours"}
    assert synced == [False, True, False, True], "file and folder, file, folder"
