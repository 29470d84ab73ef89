"""`esper cache`: what is kept is shown, and cleared without touching anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esper_core.cli.app import run
from esper_core.system.cache import Cache


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path))
    for name, file, content in (("static", "deep/1.json", b"12345"), ("kernels", "a.so", b"123")):
        cache = Cache.named(name)
        cache.keep(cache.folder / file, content)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    return tmp_path


def test_it_is_shown_and_cleared_and_nothing_else_is_touched(kept, capsys):
    assert run(["cache", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "directory": str(kept),
        "caches": [{"name": "kernels", "files": 1, "bytes": 3}, {"name": "static", "files": 1, "bytes": 5}],
    }
    assert run(["cache", "clear", "mine"]) == run(["cache", "clear", "statik"]) == 2
    assert "Did you mean 'static'?" in capsys.readouterr().err
    assert run(["cache", "clear", "kernels"]) == run(["cache", "show"]) == 0
    out = capsys.readouterr().out
    assert "1 file deleted: kernels." in out and "static" in out
    assert run(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cleared"] == {"static": 1}
    assert sorted(path.name for path in kept.iterdir()) == [".lock", "mine"] and (kept / "mine/thesis.tex").exists()
    assert run(["cache", "show"]) == 0 and "holds nothing" in capsys.readouterr().out
