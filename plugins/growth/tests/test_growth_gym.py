"""Growth for other libraries: Gymnasium's checker, masks, and what becomes of an illegal pair."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from esper_core.contracts.errors import UnknownComponent
from esper_growth.actions import Op
from esper_growth.gym import GrowthEnv


def make(**options: Any) -> GrowthEnv:
    chosen = {"slots": 2, "epochs": 4, "instances": 2, **options}
    made = gymnasium.make("esper_growth.gym:esper/Growth-v0", **chosen).unwrapped
    assert isinstance(made, GrowthEnv)
    return made


def action(environment: GrowthEnv, **chosen: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([chosen.get(head.name, head.neutral) for head in environment.actions.heads])


def test_it_passes_gymnasiums_checker_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(), skip_render_check=True)


def test_an_illegal_pair_is_wait_without_success() -> None:
    environment = make(epochs=12)
    environment.reset(seed=0)
    # Either is legal by itself: GERMINATE on slot 1, and slot 0 once there is something to be done with it.
    chosen = {"op": Op.GERMINATE, "slot": 0, "blueprint": 1}
    for taken, legal in ((chosen, True), (chosen, False), ({}, True)):
        values, *_, info = environment.step(action(environment, **taken))
        seen = dict(zip(environment.names, values.tolist(), strict=True))
        assert info["legal"] == legal == bool(seen["last_op_success"])
        done = Op.GERMINATE if taken and legal else Op.WAIT
        assert seen["last_op"] == pytest.approx(done / (len(Op) - 1))
        assert info["action_mask"][Op.GERMINATE]


def test_the_mask_has_a_legal_value_for_every_head_and_allows_what_is_legal() -> None:
    environment, rng, done = make(epochs=12), np.random.default_rng(0), set()
    _, info = environment.reset(seed=0)
    ends = np.cumsum([head.size for head in environment.actions.heads])[:-1]
    for _ in range(12):
        assert np.array_equal(info["action_mask"], environment.action_masks())
        chosen = np.array([rng.choice(np.flatnonzero(head)) for head in np.split(info["action_mask"], ends)])
        *_, info = environment.step(chosen)
        done.add((int(chosen[0]), info["legal"]))
    assert {(Op.GERMINATE, True), (Op.WAIT, True)} <= done and (Op.WAIT, False) not in done


def test_unseeded_environments_differ_and_what_does_not_exist_is_named() -> None:
    first, second = (make(instances=1_000_000, epochs=1).reset()[1]["instance"] for _ in range(2))
    assert first != second
    with pytest.raises(UnknownComponent, match="digit"):
        make(task="digit")


BESIDE_EACH_OTHER = """
import functools, sys
import gymnasium, torch
from gymnasium.vector import AsyncVectorEnv

if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.ones(1_000_000).sum()  # from here on there is a pool of threads, which no fork copies
    options = {"slots": 2, "epochs": 2, "instances": 2, "workers": int(sys.argv[2])}
    make = functools.partial(gymnasium.make, "esper_growth.gym:esper/Growth-v0", **options)
    made = AsyncVectorEnv([make, make], context=sys.argv[1])
    made.reset(seed=0)
    ends = [made.step(0 * made.action_space.sample())[2].tolist() for _ in range(2)]
    made.close()
    assert ends == [[False, False], [True, True]], ends
    assert torch.get_num_threads() == 2
"""


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.slow)])
def test_processes_of_other_libraries_can_hold_it(tmp_path: Path, method: str, workers: int) -> None:
    if method == "fork" and sys.platform != "linux":
        pytest.skip("torch cannot be forked here")
    script = tmp_path / "beside_each_other.py"
    script.write_text(BESIDE_EACH_OTHER)
    command = ["timeout", "300", sys.executable, str(script), method, str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr or f"started by {method} it hangs"


@pytest.mark.slow
def test_a_masked_policy_of_another_library_trains_on_it() -> None:
    contrib = pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed")
    environment = make(epochs=8)
    model = contrib.MaskablePPO("MlpPolicy", environment, n_steps=32, batch_size=32, n_epochs=2, seed=0, device="cpu")
    before = [value.clone() for value in model.policy.parameters()]
    model.learn(64)
    assert any(not (old == new).all() for old, new in zip(before, model.policy.parameters(), strict=True))
    seen, info = environment.reset(seed=0)
    chosen, _ = model.predict(seen, action_masks=info["action_mask"], deterministic=True)
    assert isinstance(environment.step(chosen)[-1]["legal"], bool)
