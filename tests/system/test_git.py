"""The git commit of a folder is found, and nothing that a repository names is run for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from esper_core.system.git import git_commit

Git = Callable[..., str]


def run_git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "protocol.file.allow=always")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit, long enough ago that times tell."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "repository"
    (folder / "deep").mkdir(parents=True)
    run_git(folder, "init", "-q")
    for name in ("file", "deep/file", "big.bin"):
        (folder / name).write_text("1")
        os.utime(folder / name, (1, 1))
    (folder / "link").symlink_to("file")
    os.utime(folder / "link", (1, 1), follow_symlinks=False)
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "-m", "one")
    return folder


def changed(folder: Path) -> bool:
    found = git_commit(folder)
    assert found is not None and found["commit"] == run_git(folder, "rev-parse", "HEAD")
    return bool(found["changed"])


def test_outside_of_git_and_without_it_there_is_no_commit(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    nowhere = {"commit": None, "changed": False}
    assert git_commit(tmp_path) == nowhere, "variables point to no other repository"
    run_git(tmp_path, "init", "-q", "empty")
    assert git_commit(tmp_path / "empty") == nowhere
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(repository) == nowhere


def test_what_git_takes_too_long_for_is_said(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esper_core.system.git._TIMEOUT_SECONDS", 0)
    with pytest.warns(UserWarning, match="is not recorded: it took longer than 0 seconds"):
        assert git_commit(repository) is None


def test_a_clean_checkout_is_not_changed_wherever_one_stands(repository: Path) -> None:
    (repository / "untracked").write_text("")
    assert not changed(repository) and not changed(repository / "deep")
    for name in ("file", "big.bin"):
        os.utime(repository / name)
    assert not changed(repository), "another time is no other content"


CHANGES: dict[str, Callable[[Path], object]] = {
    "content of the same size": lambda folder: (folder / "file").write_text("2"),
    "folder removed": lambda folder: ((folder / "deep" / "file").unlink(), (folder / "deep").rmdir()),
    "staged": lambda folder: ((folder / "new").write_text(""), run_git(folder, "add", "new")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(repository: Path, change: Callable[[Path], object]) -> None:
    change(repository)
    assert changed(repository)


# Nothing is run -----------------------------------------------------------------------------------------------------


def hostile(repository: Path, program: Path) -> None:
    """Let every setting that names a program, as far as git reads or compares anything, name one."""
    names = ("core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass", "core.gitProxy")
    names += ("diff.external", "diff.x.command", "diff.x.textconv", "gpg.program")
    names += ("filter.x.clean", "filter.x.smudge", "filter.a=b.clean", "filter.y.process", "credential.helper")
    names += ("pager.status", "pager.rev-parse", "pager.config", "alias.status", "alias.rev-parse", "alias.config")
    for name in names:
        run_git(repository, "config", name, f"!{program}" if name.startswith("alias") else str(program))
    run_git(repository, "config", "filter.y.required", "true")
    run_git(repository, "config", "core.hooksPath", str(program.parent))
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (program.parent / hook).symlink_to(program)
    (repository / ".gitattributes").write_text("file filter=x diff=x\nbig.bin filter=y\ndeep/* filter=a=b\n")
    (repository / ".git" / "info" / "attributes").write_text("file filter=x diff=x\n")
    # Files that look changed are those that git would filter.
    for path in ("file", "deep/file", "big.bin"):
        os.utime(repository / path)


def ordinary(repository: Path, *arguments: str) -> None:
    """Look at a repository as one that is trusted."""
    command = ["timeout", "20", "git", "-C", str(repository), *arguments]
    nowhere = subprocess.DEVNULL
    subprocess.run(command, check=False, stdin=nowhere, stdout=nowhere, stderr=nowhere)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that leaves `witness` beside it."""
    path = tmp_path / "programs" / "program"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\ntouch {tmp_path}/witness\nexit 1\n")
    path.chmod(0o755)
    return path


def test_no_program_of_a_repository_is_run(repository: Path, program: Path, tmp_path: Path) -> None:
    hostile(repository, program)
    assert not changed(repository)
    (repository / "file").write_text("2")
    assert changed(repository)
    assert not (tmp_path / "witness").exists()
    ordinary(repository, "status")
    assert (tmp_path / "witness").exists(), "an ordinary look would have run one"
