"""Environments in processes: the same results, and failures that are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from esper_core.contracts.errors import EsperError, PluginError

MASKED = {"info": lambda env: {"action_mask": np.array([1, env.t % 2, 1])} if env.np_random.random() < 0.5 else {}}
"""What is legal is said now and then, and so by some environments and not by others."""


def results(environment: Any, steps: int = 25) -> list[Any]:
    """Return everything that comes of steps, of rows begun anew, and of a run that goes on elsewhere."""
    found: list[Any] = [environment.reset(seed=3)[0]]
    for t in range(steps):
        state, *rest, info = environment.step({"action": torch.arange(5) % 2})
        found += [state, *rest, info["events"]]
        ended = (rest[1] | rest[2]).numpy()
        if ended.any() and t % 2:
            found.append(environment.reset(options={"reset_mask": ended})[0])
        if t == steps // 2:
            saved = environment.state()
            environment.load_state(saved)
            found.append(saved)
    environment.close()
    return [
        {k: v.tolist() if hasattr(v, "tolist") else v for k, v in f.items()} if isinstance(f, dict) else str(f)
        for f in found
    ]


@pytest.mark.parametrize("script", [{}, MASKED], ids=["cartpole", "masked"])
def test_results_are_the_same_for_any_number_of_workers(build: Any, scripted: Any, script: Any) -> None:
    name = "CartPole-v1"
    if script:
        scripted(**script)
        name = "Scripted-v0"
    alone, *shared = [
        results(build(name, f"workers={workers}", "horizon=9", envs=5)["environment"]) for workers in (0, 1, 2, 8)
    ]
    assert all(found == alone for found in shared)


def test_a_failure_in_a_process_is_named_as_it_is_here(scripted: Any) -> None:
    for option in ("workers=0", "workers=2"):
        environment = scripted(option, pay=lambda env: np.nan)["environment"]
        environment.reset(seed=0)
        with pytest.raises(PluginError, match="'Scripted-v0' returned the reward nan at step 0 in environment 0;"):
            environment.step({"action": torch.zeros(2, dtype=torch.int64)})
        environment.close()


def test_a_process_that_is_gone_is_said(build: Any) -> None:
    environment = build("CartPole-v1", "workers=2")["environment"]
    environment.reset(seed=0)
    child = environment._group._children[1]
    child.process.kill()
    child.process.join()
    with pytest.raises(EsperError, match="A process for playing Gymnasium environments ended unexpectedly"):
        environment.step({"action": torch.zeros(2, dtype=torch.int64)})
    environment.close()
    assert not any(part.process.is_alive() for part in environment._group._children)
