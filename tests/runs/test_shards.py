"""Shards: how jobs are shared out, what a file holds, and what keeps files from being merged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper_core.contracts.errors import DamagedFile, UserError
from esper_core.runs.shards import Shards, Share, divide

ASKED, UNDER = {"instances": 4, "seeds": {1: "a"}}, {"about": {"torch": "2.13"}, "sides": (1, 2)}


def whole(result: Any) -> None:
    if not isinstance(result, int):
        raise ValueError("it is no whole number")


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path / "shards", tmp_path, "these sums", ASKED)


def put(shards: Shards, number: int, of: int = 2, under: Any = UNDER, **results: int) -> Path:
    with shards.doing(Share(number, of), under, whole) as shard:
        shard.add(results)
    return shard.path


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 70))
def test_every_job_is_in_one_share_and_none_has_far_more_than_another(costs: list[int], of: int) -> None:
    shares = divide(costs, of)
    assert len(shares) == of and sorted(job for share in shares for job in share) == list(range(len(costs)))
    burdens = [sum(costs[job] for job in share) for share in shares]
    assert max(burdens) - min(burdens) <= max(costs, default=0)


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "1/200000", "٣/٤", ""])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UserError, match="shard"):
        Share.parse(text)
    assert str(Share.parse(" 3 / 8 ")) == "3/8"


def test_a_share_goes_on_where_it_was_left_and_all_are_read_together(shards: Shards) -> None:
    path = put(shards, 1, a=1)
    with path.open("a") as file:
        file.write('{"job": "b", "res')
    with pytest.raises(UserError, match=r"1/2 is unfinished, 1 of 2 are done \(.*jsonl\); 2/2 is missing\.") as raised:
        shards.merge(whole).check_complete([["a", "b"], ["c"]])
    assert "--shard instead of --merge" in raised.value.hint
    with shards.doing(Share(1, 2), UNDER, whole) as shard:
        assert shard.results == {"a": 1}
        shard.add({"b": 2})
    put(shards, 2, c=3)
    merged = shards.merge(whole)
    merged.check_complete([["a", "b"], ["c"]])
    assert merged.results == {"a": 1, "b": 2, "c": 3} and merged.under == {**UNDER, "sides": [1, 2]}
    assert put(shards, 1) == path, "what it was begun under is the same as ever"


def test_a_share_is_begun_again_where_not_even_its_first_line_was_written(shards: Shards) -> None:
    path = put(shards, 1, of=1, a=1)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UserError, match="There are no shards of these sums in"):
        shards.merge(whole)
    assert put(shards, 1, of=1, a=2) == path and shards.merge(whole).results == {"a": 2}


def test_one_process_works_on_a_share(shards: Shards) -> None:
    with shards.doing(Share(1, 2), UNDER, whole):
        put(shards, 2, c=3)
        with pytest.raises(UserError, match=rf"Process {os.getpid()} on .* works on shard 1/2, {shards.folder}"):
            put(shards, 1)


def test_what_is_of_something_else_is_named(shards: Shards, tmp_path: Path) -> None:
    other = put(Shards(shards.folder, tmp_path, "", {**ASKED, "instances": 5}), 2, d=4)
    foreign = rf"{other} is of something else: instances was 5 and is 4\."
    with pytest.raises(UserError, match=f"no shards of these sums in {shards.folder}. {foreign}"):
        shards.merge(whole)
    put(shards, 1, a=1)
    with pytest.raises(UserError, match=f"2/2 is missing. {foreign}"):
        shards.merge(whole).check_complete([["a"], ["c"]])
    put(shards, 2, c=3)
    shards.merge(whole).check_complete([["a"], ["c"]])


def test_what_does_not_belong_together_is_named(shards: Shards) -> None:
    newer = {**UNDER, "about": {"torch": "2.14"}}
    first, second = put(shards, 1, a=1), put(shards, 2, under=newer, c=3)
    with pytest.raises(UserError, match=rf"{second} does not belong with {first}: torch was 2.13 and is 2.14\."):
        shards.merge(whole)
    with pytest.raises(UserError, match=rf"{second} was begun under something else: torch was 2.14 and is 2.13\."):
        put(shards, 2, c=3)
    second.unlink()
    put(shards, 2, c=3)
    copy = first.with_name("x.jsonl")
    copy.write_bytes(first.read_bytes())
    with pytest.raises(UserError, match=rf"Shard 1/2 is there twice: {first} and {copy}\."):
        shards.merge(whole)
    copy.unlink()
    third = put(shards, 3, of=3)
    with pytest.raises(UserError, match=rf"{first} is one of 2 shards, and {third} one of 3\."):
        shards.merge(whole)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"job": "a", "result": 2}', "'a' had another result before; two processes"),
        ('{"job": "b", "result": "x"}', "it is no whole number"),
        ('{"job": 3, "result": 2}', "'job' is an integer"),
        ("[", "it is not JSON"),
    ],
)
def test_a_damaged_line_is_named(shards: Shards, line: str, says: str) -> None:
    path = put(shards, 1, of=1, a=1)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(DamagedFile, match=f"{path}:3: .*{says}"):
        shards.merge(whole)
    path.write_text(path.read_text().replace("[1, 1]", "[2, 1]"))
    with pytest.raises(DamagedFile, match=f"{path}:1: .*it names no shard"):
        shards.merge(whole)
