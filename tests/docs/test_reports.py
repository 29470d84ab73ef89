"""docs/reports.md explains every chapter of a report, and shows some."""

from __future__ import annotations

import re
from pathlib import Path

from esper_evaluation.report import chapters

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reports.md").read_text(encoding="utf-8")


def test_every_chapter_is_explained() -> None:
    files = (Path(chapters.__file__).with_name(f"{name}.py") for name in ("chapters", "slots", "opponents"))
    source = "".join(file.read_text() for file in files)
    titles = set(re.findall(r'Chapter\(\s*"\w+",\s*"([^"]+)"', source)) | {"What grew"}
    explained = PAGE.split("| chapter |")[1].split("\n\n")[0].lower()
    assert len(titles) == 10
    assert [title for title in titles if title.lower() not in explained] == []
