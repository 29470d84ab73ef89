"""docs/reports.md: every command of the page works as written, and its promises are those of the code."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from esper_core.cli.app import run
from esper_evaluation.report import chapters
from tests.cli.resuming import SMALL

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reports.md").read_text(encoding="utf-8")


def test_every_command_of_the_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESPER_CACHE", str(tmp_path / "cache"))
    for policy in ("lstm-v1", "lstm-v2"):
        assert run(["train", "--policy", policy, "--slots", "2", "--updates", "1", *SMALL, "--plain"]) == 0
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].split() for block in blocks for line in block.splitlines()]
    assert {words[1] for words in lines} == {"report", "runs", "export"} and len(lines) == 8
    for words in lines:
        names = {"RUN": "lstm-v1", "OTHER": "lstm-v2"}
        assert run([names.get(word, word) for word in words[1:]]) == 0, capsys.readouterr().err
    assert (tmp_path / "page.html").exists() and (tmp_path / "grown.safetensors").exists()


def test_every_chapter_is_explained() -> None:
    source = Path(chapters.__file__).read_text() + Path(chapters.__file__).with_name("slots.py").read_text()
    titles = set(re.findall(r'Chapter\(\s*"\w+",\s*"([^"]+)"', source)) | {"What grew"}
    explained = PAGE.split("| chapter |")[1].split("\n\n")[0].lower()
    assert len(titles) == 9
    assert [title for title in titles if title.lower() not in explained] == []


def test_the_pictures_are_there() -> None:
    names = re.findall(r"\]\((images/[^)]+)\)", PAGE)
    assert len(names) == 2
    for name in names:
        data = (DOCS / name).read_bytes()
        width, height = struct.unpack(">II", data[16:24])
        assert data[:4] == b"\x89PNG" and width >= 1000 and height >= 600 and len(data) < 200_000
