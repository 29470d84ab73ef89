"""A frame of the live view: it fits, and it shows what there is and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from rich.cells import cell_len

from esper_core.cli.frame import Picture, draw
from esper_core.contracts.board import Board, Cell, Row

CELLS = (
    Cell("FOSSILIZED", "conv_light", 1.0, "good"),
    Cell("BLENDING", "depthwise", 0.5, "active"),
    Cell("DORMANT"),
    Cell("EMBARGOED", tone="bad"),
    Cell("TRAINING", "a_blueprint_with_a_long_name", 0.0, "active"),
)
PLACES = [f"r0c{i}" for i in range(5)]


def board(rows: int) -> Board:
    return Board(PLACES, [Row(f"host {e}  13/40", "0.61 vs 0.42", CELLS) for e in range(rows)])


PACE: Any = SimpleNamespace(updates=40, steps=100, total=400, elapsed=100.0, left=253.0, speed=44.1)
PICTURE = Picture(
    "lstm-v2  5 slots  growth",
    PACE,
    board,
    12,
    "collect 13/40",
    curves={"return": [0.1, 0.2], "gain": [0.3, 0.4], "grown": [0.5, 0.9], "static": [0.42, 0.42]},
    operations={"WAIT": 0.62, "GERMINATE": 0.38},
    entropies={"op": 0.83, "alpha_target": 0.5},
    warnings=["ratio-exploded  ratio_max/op 12  since update 3"],
)


def lines(picture: Picture, width: int, height: int) -> list[str]:
    return draw(picture, width, height).plain.split("\n")


@pytest.mark.parametrize("width", [20, 81, 200])
@pytest.mark.parametrize("height", [2, 8, 23, 50])
def test_it_fits(width: int, height: int) -> None:
    found = lines(PICTURE, width, height)
    assert len(found) <= height and max(map(cell_len, found)) <= width


def test_it_says_how_far_and_how_fast() -> None:
    first, second, *_ = lines(PICTURE, 80, 50)
    assert first.startswith("lstm-v2  5 slots  growth ")
    assert first.endswith("update 12/40  collect 13/40  44.1 steps/s  ETA 4:13")
    assert second.endswith("  25%  1:40") and second.count("█") == (80 - 11) // 4


def test_curves_have_one_scale_and_bars_are_as_long_as_their_share() -> None:
    half, found = 39, lines(PICTURE, 80, 50)
    assert any("grown         0.900  ▂█" in line and "static        0.420  ▁▁" in line for line in found)
    (row,) = [line for line in found if line.startswith("WAIT")]
    left, right = row[:half], row[half + 2 :]
    assert left.split()[:2] == ["WAIT", "62%"] and left.count("█") == int(0.62 * (half - 9 - 7))
    assert right.split()[:2] == ["op", "0.83"] and right.count("█") == int(0.83 * (half - 12 - 7))


def test_the_board_has_a_cell_per_slot() -> None:
    found = lines(PICTURE, 80, 50)
    at = next(i for i, line in enumerate(found) if "r0c0" in line)
    assert found[at].split() == [f"r0c{i}" for i in range(5)]
    assert found[at + 1].split() == ["host", "0", "13/40", "conv_light", "depthwise", "·", "·", "a_blueprint…"]
    assert found[at + 2].split()[3:] == ["fossilized", "█", "blending", "▅", "dormant", "embargoed", "training", "▁"]
    nine = Board([f"r0c{i}" for i in range(9)], [Row("host 0", "", (CELLS * 2)[:9])])
    (header,) = [line for line in lines(evolve(PICTURE, board=lambda rows: nine), 80, 50) if "r0c0" in line]
    assert header.split() == ["+4", "more", *PLACES], "those that do not fit are counted"


@pytest.mark.parametrize("height", range(2, 60))
def test_as_many_environments_are_asked_for_as_are_shown(height: int) -> None:
    asked = [0]
    picture = evolve(PICTURE, board=lambda rows: (asked.append(rows), board(rows))[1])
    text = "\n".join(lines(picture, 80, height))
    assert text.count("13/40  conv_light") == asked[-1] <= 4, "none of them was drawn in vain"
    assert asked[-1] == 0 or "ratio-exploded" in text, "and there is room for the warnings"
