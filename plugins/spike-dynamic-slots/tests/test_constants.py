"""What counts as a slot count in source, and what does not."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from esper_spike_dynamic_slots.constants import find_constants
from esper_spike_dynamic_slots.source import Definition, Module


def found(folder: Path, code: str, values: set[int], words: tuple[str, ...] = ()) -> list[tuple[str, str, int]]:
    """Return form, name and value of what is found in a piece of code."""
    file = folder / "piece.py"
    file.write_text(dedent(code))
    module = Module("piece", file)
    definitions = [Definition(module, name, node) for name, node in module.definitions.items()]
    return [(c.form, c.name, c.value) for d in definitions for c in find_constants(d, values, words)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NUM_SLOTS = 3", ("constant", "NUM_SLOTS", 3)),
        ("SLOT_IDS = ('early', 'mid', 'late')", ("constant", "SLOT_IDS", 3)),
        ("_SLOT_ID_TO_INDEX = {'early': 0, 'mid': 1, 'late': 2}", ("constant", "_SLOT_ID_TO_INDEX", 3)),
        ("class Slot(Enum):\n    A = 0\n    B = 1\n    C = 2", ("constant", "Slot", 3)),
        ("def make(width, num_slots=3): ...", ("default", "make", 3)),
        ("class Net:\n    def __init__(self):\n        self.num_slots = 3", ("constant", "num_slots", 3)),
        ("class Config:\n    num_slots: int = option(3, low=1)", ("default", "config.num_slots", 3)),
        ("class Config:\n    num_slots: int = field(default=3)", ("default", "config.num_slots", 3)),
        ("def make():\n    return Head(num_slots=3)", ("constant", "make", 3)),
        ("def make():\n    return nn.Linear(8, 3)", ("number", "make", 3)),
        ("def make(h):\n    return nn.Linear(8, 3 if h.slot else h.size)", ("number", "make", 3)),
        ("def make(n):\n    return torch.zeros(max(n, 3))", ("number", "make", 3)),
        ("def make(x):\n    return x[:, :3]", ("number", "make", 3)),
        ("def make(x):\n    return x < 3", ("number", "make", 3)),
        ("def make(x):\n    return 31 + 3 * 30", ("number", "make", 3)),
    ],
)
def test_slot_counts(tmp_path: Path, code: str, expected: tuple[str, str, int]) -> None:
    assert found(tmp_path, code, {3}) == [expected]
    assert found(tmp_path, code, {4}) == []


@pytest.mark.parametrize(
    "code",
    [
        "CHANNELS = 3",
        "PLACES = ('a', 'b', 'c')",
        "__slots__ = ('a', 'b', 'c')",
        "def make(x):\n    return x + 3",
        "def make(x):\n    return f(3)",
        "def make(depth=3): ...",
        "NUM_SLOTS = True",
        "class Stage(Enum):\n    A = 0\n    B = 1\n    C = 2",
        '"""Three slots: num_slots = 3."""\nX = 1',
    ],
)
def test_other_numbers(tmp_path: Path, code: str) -> None:
    assert found(tmp_path, code, {3}) == []


def test_names_a_collection_that_broke_and_the_length_of_what_is_written_down(tmp_path: Path) -> None:
    assert found(tmp_path, "NUM_SLOTS = 3", set()) == [("constant", "NUM_SLOTS", 3)]
    assert found(tmp_path, "def make():\n    return nn.Linear(8, 3)", set()) == [], "no name, no suspect"
    code = "PLACES = ('a', 'b', 'c')"
    assert found(tmp_path, code, {3}, ("PLACES",)) == [("constant", "PLACES", 3)]
    assert found(tmp_path, f"{code}\nNUM_SLOTS = len(PLACES)", {3}) == [("constant", "NUM_SLOTS", 3)]
