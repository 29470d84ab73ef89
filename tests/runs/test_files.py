"""Lines of JSON: what is written can be read, and a full disk is named."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from esper_core.contracts.errors import EsperError
from esper_core.runs.files import append_lines, json_line
from esper_core.system.json_files import read_lines
from tests.disk import full_disk


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    lines = [{"a": 1}, {"text": "two\nlines → one", "b": [1.5, None]}, {"folder": os.fsdecode(b"caf\xe9")}]
    append_lines(tmp_path / "x.jsonl", lines[:1], tmp_path)
    append_lines(tmp_path / "x.jsonl", lines[1:], tmp_path)
    assert [line.entry for line in read_lines(tmp_path / "x.jsonl")] == lines
    assert (tmp_path / "x.jsonl").read_text().count("\n") == 3


def test_numbers_that_json_lacks_become_null() -> None:
    line = json_line({"a": math.nan, "b": {"c": [math.inf, -math.inf, 0.5]}, "d": 3})
    assert json.loads(line) == {"a": None, "b": {"c": [None, None, 0.5]}, "d": 3}


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(EsperError, match="cannot be written: No space left on device") as caught:
        append_lines(tmp_path / "metrics.jsonl", [{"a": 1}], tmp_path)
    assert caught.value.message.startswith(str(tmp_path / "metrics.jsonl"))
    assert caught.value.exit_code == 1 and "Make room" in caught.value.hint
