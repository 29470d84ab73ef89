"""The cache: where users expect it, cleared of what esper wrote and of nothing else, by any number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.contracts.errors import UserError
from esper_core.system.cache import _TAG, LOCK_FILE, TAG_FILE, Cache, cache_directory, caches
from esper_core.system.files import temporary_name
from tests.runs import forking


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "root"))
    return tmp_path / "root"


@pytest.fixture
def cache(root: Path) -> Cache:
    """A cache of two files."""
    cache = Cache.named("static")
    cache.keep(cache.folder / "a.json", b"1")
    cache.keep(cache.folder / "deep" / "b.json", b"22")
    return cache


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != LOCK_FILE)


def test_it_lies_where_users_expect_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESPER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/esper")
    monkeypatch.setenv("ESPER_CACHE", "/elsewhere")
    assert cache_directory() == Path("/elsewhere")


def test_what_is_kept_is_listed_and_cleared(cache: Cache, root: Path) -> None:
    assert cache.files() == [cache.folder / "a.json", cache.folder / "deep" / "b.json"]
    assert caches() == [cache] and cache.name == "static"
    (cache.folder / "deep" / temporary_name()).write_text("left by a killed process")
    (root / temporary_name()).mkdir()
    cache.keep(cache.folder / "a.json", b"3")
    assert cache.clear() == 2
    assert everything(root) == [] and caches() == []
    cache.keep(cache.folder / "a.json", b"1")
    assert [path.name for path in cache.files()] == ["a.json"]


@pytest.mark.parametrize("kind", ["full", "tagged", "link"])
def test_a_folder_that_esper_did_not_make_is_never_taken(root: Path, tmp_path: Path, kind: str) -> None:
    folder, aim = root / "static.cache", tmp_path / "aim"
    for path in (root, aim):
        path.mkdir()
    folder.symlink_to(aim) if kind == "link" else folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    (aim / TAG_FILE).write_bytes(_TAG)
    if kind == "tagged":
        (folder / TAG_FILE).write_text("Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n")
    before = everything(root), everything(aim)
    cache = Cache.named("static")
    assert caches() == []
    for attempt in (lambda: cache.keep(folder / "a.json", b""), cache.clear):
        with pytest.raises(UserError, match="was not made by esper"):
            attempt()
    assert (everything(root), everything(aim)) == before


def _keep_often(cache: Cache, name: str) -> None:
    for number in range(30):
        cache.keep(cache.folder / name / f"{number}.json", name.encode())


def _clear_often(cache: Cache) -> None:
    for _ in range(30):
        cache.clear()


def test_processes_keep_and_clear_at_once(root: Path) -> None:
    cache = Cache.named("static")
    tasks = [(_keep_often, cache, "a"), (_keep_often, cache, "b"), (_clear_often, cache), (_clear_often, cache)]
    processes = [forking.start(*task) for task in tasks]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert all(path.read_text() == path.parent.name for path in cache.files())
    cache.clear()
    assert everything(root) == []
