"""Lines of JSON: what is written can be read, and a full disk is named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from esper_core.contracts.errors import EsperError
from esper_core.contracts.reading import read_lines
from esper_core.runs.files import append_line, append_text, json_line


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    lines = [{"a": 1}, {"text": "two\nlines → one", "b": [1.5, None]}]
    for line in lines:
        append_line(tmp_path / "x.jsonl", line)
    assert [line.entry for line in read_lines(tmp_path / "x.jsonl")] == lines
    assert (tmp_path / "x.jsonl").read_text().count("\n") == 2


def test_numbers_that_json_lacks_become_null() -> None:
    line = json_line({"a": math.nan, "b": {"c": [math.inf, -math.inf, 0.5]}, "d": 3})
    assert json.loads(line) == {"a": None, "b": {"c": [None, None, 0.5]}, "d": 3}


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    full = tmp_path / "metrics.jsonl"
    full.symlink_to("/dev/full")
    with pytest.raises(EsperError, match=r"metrics\.jsonl cannot be written: No space left on device") as caught:
        append_text(full, "x\n")
    assert caught.value.exit_code == 1 and "Make room" in caught.value.hint
