"""The rules that play anywhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from esper_core import ActionSpec, Head
from esper_core.contracts.actions import ContinuousHead
from esper_core.contracts.protocols import Masks
from esper_evaluation.rules import Random, Static

SPEC = ActionSpec((Head("turn", ("left", "right", "none"), neutral=2), ContinuousHead("push", ("x", "y"), -1.0, 3.0)))


@pytest.mark.parametrize("name", ["static", "random"])
def test_they_pass_every_check_of_their_kind(conforms: Callable[[str], None], name: str) -> None:
    conforms(f"rule/{name}")


@pytest.mark.parametrize("rule", [Static, Random])
def test_they_keep_to_masks_and_bounds(rule: type[Static]) -> None:
    class Told:
        actions = SPEC

    legal = torch.tensor([[True, True, False]]).expand(4096, 3)
    acted = rule(None, Told())({}, Masks({"turn": legal}), torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    pushed = acted["push"]
    assert pushed.dtype == torch.float32 and pushed.shape == (4096, 2)
    if rule is Static:
        assert acted["turn"].unique().tolist() == [0] and torch.equal(pushed, torch.ones_like(pushed))
        return
    assert torch.bincount(acted["turn"]).tolist()[2:] == [] and abs(float(acted["turn"].double().mean()) - 0.5) < 0.05
    assert -1 <= float(pushed.min()) < -0.98 and 2.98 < float(pushed.max()) <= 3
    assert float(pushed.mean()) == pytest.approx(1.0, abs=0.08)
