"""Environments in processes: the same results, and failures that are named."""

from __future__ import annotations

import os
import signal
from multiprocessing import active_children, current_process
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from esper_core.cli.app import run
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
    child = environment._group._crew._children[1]
    child.process.kill()
    child.process.join()
    with pytest.raises(
        EsperError, match="Worker 1 of 2, with the environments 1 to 1: A process for playing Gymnasium"
    ):
        environment.step({"action": torch.zeros(2, dtype=torch.int64)})
    environment.close()
    assert not any(part.process.is_alive() for part in environment._group._crew._children)


def test_a_worker_that_is_killed_ends_the_command_by_its_name(
    scripted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pay(env: Any) -> float:
        if env.t == 3 and current_process().name == "esper-gymnasium-1":
            os.kill(os.getpid(), signal.SIGKILL)
        return 0.0

    scripted(pay=pay)
    monkeypatch.chdir(tmp_path)
    environment = ("--environment", "gymnasium", "-o", "environment.id=Scripted-v0", "--workers", "2")
    assert run(["train", "--policy", "mlp", *environment, "--envs", "3", "--updates", "1", "--plain"]) == 1
    said = capsys.readouterr().err
    assert "Error: Worker 1 of 2, with the environments 1 to 2: A process for playing Gymnasium environments" in said
    assert "ended unexpectedly (exit status -9).\nIt may have been killed for lack of memory: lower --envs" in said
    assert not [child for child in active_children() if child.name.startswith("esper-gymnasium")]
