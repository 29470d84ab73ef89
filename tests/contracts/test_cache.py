"""The cache: where users expect it, and nothing in it that is not esper's is ever taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.contracts.cache import TAG_FILE, cache_directory, cache_folder, cache_folders


def test_it_lies_where_users_expect_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ESPER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/esper")
    monkeypatch.setenv("ESPER_CACHE", "/elsewhere")
    assert cache_directory() == Path("/elsewhere")


def test_only_what_is_tagged_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    (tmp_path / "photos").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / TAG_FILE).write_text("Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n")
    assert cache_folders() == []
    assert cache_folder("static") == cache_folder("static") == tmp_path / "static"
    assert cache_folders() == [tmp_path / "static"]


def test_a_directory_that_is_not_there_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "nowhere"))
    assert cache_folders() == []
