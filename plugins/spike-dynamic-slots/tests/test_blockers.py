"""Blockers are found: where the slot count is written, of what kind it is, and who uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from esper_spike_dynamic_slots.evidence import suspected
from esper_testing.spikes.verdict import Blocker, Verdict

Judge = Callable[..., Verdict]

FIXTURES = Path(__file__).parent / "fixtures"
HARD_CODED, NOT_PROPAGATED, SHAPE, OTHER = "slot-count-hard-coded", "slots-not-propagated", "shape-mismatch", "other"


def line_of(file: str, text: str) -> tuple[str, int]:
    """Return file and line of the only line that holds a text."""
    path = FIXTURES / file
    lines = [number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    assert len(lines) == 1, f"'{text}' is in the lines {lines} of {file}"
    return str(path), lines[0]


def places(blocker: Blocker) -> set[tuple[str, int]]:
    return {(place.file, place.line) for place in blocker.consumers}


@pytest.mark.parametrize(
    ("network", "chosen", "colour", "kind", "file", "text"),
    [
        ("three-slot-head", {}, "RED", HARD_CODED, "slot_world/networks.py", "= nn.Linear(WIDTH, 3)"),
        ("three-slot-eyes", {}, "RED", HARD_CODED, "slot_world/networks.py", "< 5 + 3 * 3"),
        ("three-slots-inside", {}, "RED", HARD_CODED, "slot_world/networks.py", "torch.zeros(3) + "),
        ("net", {"environment": "for-three"}, "YELLOW", HARD_CODED, "slot_world/environment.py", "PLACES = ("),
        ("net", {"features": "near-sighted"}, "RED", HARD_CODED, "slot_world/environment.py", "slots[:, 3 * 3 :]"),
        ("untold", {}, "RED", NOT_PROPAGATED, "slot_world/networks.py", "num_slots: int = 3"),
        ("unasked", {}, "RED", NOT_PROPAGATED, "slot_world/networks.py", "option(3"),
        ("misshapen", {}, "RED", SHAPE, "slot_world/networks.py", "self.pair.mean(1, keepdim=True)"),
        ("dead-head", {}, "RED", OTHER, "slot_world/networks.py", "class DeadHead(Net):"),
        ("gossip", {}, "RED", OTHER, "slot_world/networks.py", "class Gossip(Net):"),
        ("net", {"loss": "of-two"}, "RED", OTHER, "slot_world/environment.py", "class OfTwo(FactoredPpo):"),
    ],
)
def test_one_fault_is_one_blocker_in_its_line(
    judge: Judge, network: str, chosen: dict[str, str], colour: str, kind: str, file: str, text: str
) -> None:
    verdict = judge(network, **chosen)
    (blocker,) = verdict.blockers
    assert (blocker.file, blocker.line) == line_of(file, text)
    assert (verdict.colour, blocker.kind) == (colour, kind)
    assert f"{len(verdict.failures)} check" in blocker.description


def test_a_constant_and_what_it_counts_with_everyone_who_uses_them(judge: Judge) -> None:
    """As in the spike this plugin grew out of: an enum of three, a constant made of it, and their consumers."""
    verdict = judge("net", masks="constant")
    assert verdict.colour == "YELLOW"
    constant, enum = verdict.blockers  # and not `CHANNELS = 3`, which has nothing to do with slots
    assert {constant.kind, enum.kind} == {HARD_CODED}
    assert (constant.file, constant.line) == line_of("slot_world/layout.py", "NUM_SLOTS = len(SlotAction)")
    assert (enum.file, enum.line) == line_of("slot_world/layout.py", "class SlotAction(IntEnum):")
    uses = ("import NUM_SLOTS", "NUM_SLOTS, dtype", "layout.NUM_SLOTS")
    assert places(constant) == {line_of("slot_world/environment.py", use) for use in uses}
    assert places(enum) == {(constant.file, constant.line)}
    assert (constant.complexity, enum.complexity) == ("medium", "low")
    assert [place.text for place in enum.consumers] == ["NUM_SLOTS = len(SlotAction)"]


@pytest.mark.parametrize(("network", "reader"), [("unasked", "config.num_slots"), ("untold", "= SlotHead(WIDTH)")])
def test_who_reads_an_option_or_builds_the_head_is_its_consumer(judge: Judge, network: str, reader: str) -> None:
    (blocker,) = judge(network, only="network construction").blockers
    assert places(blocker) == {line_of("slot_world/networks.py", reader)}


@pytest.mark.parametrize(
    ("passing", "failing", "counts"),
    [
        ((3,), (1, 2, 4, 5), {3}),
        ((1, 3), (5,), {3, 4}),
        ((3, 4, 5, 8), (1, 2), {3}),
        ((2, 3, 4), (1,), set()),
        ((3, 4), (1, 2, 5), set()),
    ],
)
def test_the_slot_count_that_explains_what_passes(
    passing: tuple[int, ...], failing: tuple[int, ...], counts: set[int]
) -> None:
    assert suspected(passing, failing) == counts


def test_slot_counts_of_failures_are_named(judge: Judge) -> None:
    (blocker,) = judge("three-slot-eyes", slots=(1, 2, 3, 4, 5), only="network construction").blockers
    assert blocker.description.endswith("2 checks fail at slots 4, 5")
