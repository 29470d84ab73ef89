"""JSON from anywhere: regular files alone, bounded, and damage and full disks are named."""

from __future__ import annotations

import math
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from esper_core.contracts.errors import DamagedFile, EsperError
from esper_core.system import json_files
from esper_core.system.json_files import append_lines, finite, parse_json, read_bytes, read_json, read_lines
from esper_core.system.shape import shaped
from tests.disk import full_disk

DEEP = "[" * 100_000


def entries(path: Path) -> list[dict[str, Any]]:
    return [line.entry for line in read_lines(path)]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_never_waited_for(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "x.json"
    make(path)
    for read in (read_json, entries):
        with pytest.raises(DamagedFile, match=r"x\.json is not a regular file") as caught:
            read(path)
        assert caught.value.exit_code == 4


def test_no_file_is_read_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    tracemalloc.start()
    with pytest.raises(DamagedFile, match="more than 1,000 bytes"):
        read_bytes(path, 1000)
    with pytest.raises(DamagedFile, match=r"x\.json:1: this line is damaged: it has more than 16,777,216 bytes"):
        entries(path)
    assert tracemalloc.get_traced_memory()[1] < 5 * json_files.LINE
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{\n "a": 1,\n}', r"x\.json is damaged: it is not JSON: .* line 3"),
        ('"\udcff"', "utf-8"),
        (DEEP, "within one another"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
    ],
)
def test_what_is_no_json_for_everybody_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DamagedFile, match=reason):
        parse_json(text.encode(errors="surrogateescape"), "x.json")


def test_what_was_appended_is_read_and_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    lines = [{"a": 1}, {"text": "two\nlines → one", "b": [1.5, math.nan]}, {"folder": os.fsdecode(b"caf\xe9")}]
    assert entries(tmp_path / "x.jsonl") == [], "a missing file has no lines"
    append_lines(tmp_path / "x.jsonl", lines[:1], tmp_path)
    append_lines(tmp_path / "x.jsonl", lines[1:], tmp_path)
    with (tmp_path / "x.jsonl").open("a") as stream:
        stream.write('{"a": 2, "b"')  # left by a killed process
    assert entries(tmp_path / "x.jsonl") == [lines[0], {**lines[1], "b": [1.5, None]}, lines[2]]
    assert finite({"b": {"c": [math.inf, -math.inf, 0.5]}, "d": 3}) == {"b": {"c": [None, None, 0.5]}, "d": 3}


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(EsperError, match="cannot be written: No space left on device") as caught:
        append_lines(tmp_path / "metrics.jsonl", [{"a": 1}], tmp_path)
    assert caught.value.message.startswith(str(tmp_path / "metrics.jsonl"))
    assert caught.value.exit_code == 1 and "Make room" in caught.value.hint


@pytest.mark.parametrize("damage", ['{"a": 2, "b"', "[1, 2]", '{"a":' + DEEP])
def test_damage_within_is_named_with_its_line_and_what_can_be_pasted(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "the lines.jsonl"
    path.write_text(f'{{"a": 1}}\n{damage}\n{{"a": 3}}\n')
    with pytest.raises(DamagedFile, match=r"the lines\.jsonl:2: this line is damaged") as caught:
        entries(path)
    assert f"sed -i 2d '{path}'" in caught.value.hint


@frozen
class Inner:
    number: float


@frozen
class Outer:
    name: str
    inner: Inner
    counts: dict[str, list[int]]
    maybe: Inner | None = None


SOUND: dict[str, Any] = {"name": "x", "inner": {"number": 1}, "counts": {"a": [1, 2]}}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"name": 7}, "'name' is an integer, not a string"),
        ({"inner": {}}, "'inner.number' is missing"),
        ({"inner": {"number": "1"}}, "'inner.number' is a string, not a number"),
        ({"inner": {"number": True}}, "'inner.number' is true or false, not a number"),
        ({"counts": {"a": "12"}}, "'counts.a' is a string, not a list"),
        ({"counts": {"a": [1, 1.5]}}, r"'counts.a\[1\]' is a number, not an integer"),
        ({"maybe": {"number": 1, "more": 2}}, r"'maybe\.more' is not known"),
    ],
)
def test_another_shape_is_named_with_its_place(changed: dict[str, Any], reason: str) -> None:
    assert shaped(Outer, {**SOUND, "more": 1}, "x") == Outer("x", Inner(1), {"a": [1, 2]})
    with pytest.raises(DamagedFile, match=f"x.json is damaged: {reason}"):
        shaped(Outer, {**SOUND, **changed}, "x.json", exactly=True)
