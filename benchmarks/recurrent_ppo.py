"""Our trainer beside sb3-contrib's: what is learned in equal environment steps, and how long learning takes.

    python benchmarks/recurrent_ppo.py                     # 10 seeds of every task; goes on where it was stopped
    python benchmarks/recurrent_ppo.py --table             # the table of what there is
    python benchmarks/recurrent_ppo.py --tasks recall --seeds 3

Needs the extra `dev`. RecurrentPPO learns CartPole without velocities and a cue-recall task; MaskablePPO, which has no
memory, learns sb3-contrib's environments with invalid actions. Width, steps and all hyperparameters are the same, those
of sb3-contrib's own performance test of RecurrentPPO; the discount of 0.4 is that of its test of masks.

What differs by design: ours collects one whole episode per environment, theirs 128 steps in each of 8 environments, so
ours has as many environments as make a rollout of about as many steps, 1,024; in CartPole, where episodes have 8 to 500
steps, it has 8. Ours has one LSTM for actor and critic where theirs has two, and uses it for the masked tasks too. Ours
normalises returns.

`return` is the mean of 20 episodes of the greedy policy after training: for ours, the policy of the last update that
ended within the steps allowed. Every seed's result is one line of the results file, and a line that is there is not run
again. Times are worth something only where nothing else wants the cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from attrs import evolve, frozen
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.envs import InvalidActionEnvDiscrete, InvalidActionEnvMultiDiscrete
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer
from esper_core.registry.build import build_parts
from esper_core.registry.index import load_index
from esper_core.registry.plan import PlanRequest, make_plan

ENVS, STEPS, WIDTH, EPISODES = 8, 128, 64, 20
LR, LAMBDA, PASSES, MINIBATCHES, CLIP, ENTROPY, VALUE, GRAD_NORM = 7e-4, 0.95, 10, 4, 0.2, 0.0, 0.5, 1.0


class CartPoleWithoutVelocities(CartPoleEnv):
    """Shows position and angle, each as a share of its bound."""

    def __init__(self) -> None:
        super().__init__()
        self._bounds = self.observation_space.high[[0, 2]]
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, **given: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        seen, info = super().reset(**given)
        return self._hide(seen), info

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step."""
        seen, reward, *ends, info = super().step(action)
        return self._hide(seen), float(reward), *ends, info

    def _hide(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.clip(seen[[0, 2]] / self._bounds, -1.0, 1.0).astype(np.float32)


class CueRecall(gymnasium.Env[NDArray[np.float32], int]):
    """Shows one of four cues at the first step, nothing for ten, and pays 1 for naming the cue at the last."""

    CUES, DELAY = 4, 10

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(self.CUES)
        self.observation_space = spaces.Box(0.0, 1.0, (self.CUES + 1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self.t, self.cue = 0, int(self.np_random.integers(self.CUES))
        return self._see(), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step."""
        last = self.t == self.DELAY + 1
        self.t += 1
        return self._see(), float(last and int(action) == self.cue), last, False, {}

    def _see(self) -> NDArray[np.float32]:
        seen = np.zeros(self.CUES + 1, np.float32)
        seen[self.cue] = self.t == 0
        seen[self.CUES] = self.t == self.DELAY + 1
        return seen


class Seeded:
    """Draws an invalid-action environment's targets from its seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode."""
        if seed is not None:
            self.action_space.seed(seed)  # type: ignore[attr-defined]
        return super().reset(seed=seed, options=options)  # type: ignore[misc]


class InvalidDiscrete(Seeded, InvalidActionEnvDiscrete):
    """Pays 1 for naming one of 80 numbers, which is shown; 60 of the others are illegal."""

    def __init__(self) -> None:
        super().__init__(dim=80, n_invalid_actions=60)


class InvalidMultiDiscrete(Seeded, InvalidActionEnvMultiDiscrete):
    """The same for two numbers at once, among 10 and 20; 20 of their values are illegal."""

    def __init__(self) -> None:
        super().__init__(dims=[10, 20], n_invalid_actions=20)


@frozen
class Task:
    """What is learned.

    Attributes:
        id: Of the environment.
        make: Makes one.
        horizon: Its time limit.
        envs: Environments side by side in ours.
        steps: Environment steps allowed, a multiple of what one rollout of theirs takes.
        gamma: Discount.
        masked: MaskablePPO learns it and not RecurrentPPO.
        best: The highest return there is.
    """

    id: str
    make: Callable[[], gymnasium.Env[Any, Any]]
    horizon: int
    envs: int
    steps: int
    gamma: float
    masked: bool
    best: float


TASKS = {
    "cartpole": Task("CartPoleWithoutVelocities-v0", CartPoleWithoutVelocities, 500, 8, 51_200, 0.98, False, 500.0),
    "recall": Task("CueRecall-v0", CueRecall, 12, 85, 51_200, 0.98, False, 1.0),
    "invalid": Task("InvalidDiscrete-v0", InvalidDiscrete, 100, 10, 10_240, 0.4, True, 100.0),
    "invalid-multi": Task("InvalidMultiDiscrete-v0", InvalidMultiDiscrete, 100, 10, 10_240, 0.4, True, 100.0),
}


def ours(task: Task, seed: int) -> dict[str, float]:
    """Train our policy, and return what came of it."""
    options = {
        "environment.id": f'"{task.id}"',
        "network.hidden_dim": WIDTH,
        "train.lr": LR,
        "train.gamma": task.gamma,
        "train.gae_lambda": LAMBDA,
        "train.passes": PASSES,
        "train.minibatches": MINIBATCHES,
        "train.max_grad_norm": GRAD_NORM,
        "train.warnings": "false",
        "loss.clip": CLIP,
        "loss.entropy": ENTROPY,
        "loss.value_coefficient": VALUE,
        "loss.target_kl": 0.0,
    }
    written = [f"{key}={value}" for key, value in options.items()]
    index = load_index()
    request = PlanRequest(
        policy="lstm-v1", environment="gymnasium", envs=task.envs, seed=seed, device="cpu", options=written
    )
    plan = make_plan(request, index)
    trainer = open_session(plan, index)
    steps, seconds, learning, policy = 0, 0.0, 0.0, None
    for update in trainer.run(10**9):
        if update.environment_steps > task.steps:
            break
        steps, policy = update.environment_steps, deepcopy(trainer.policy.state_dict())
        seconds += update.timing["seconds"]
        learning += update.timing["phases"]["update"]
    if policy is None:
        raise SystemExit(f"{task.id}: {task.steps} steps are less than one update takes")
    trainer.policy.load_state_dict(policy)
    trainer.environment.close()
    parts = build_parts(evolve(plan, envs=EPISODES, seed=seed + 10_000), index, only={"environment"})
    result = greedy_return(trainer, parts["environment"])
    return {"return": result, "steps": steps, "seconds": seconds, "update_seconds": learning}


@torch.no_grad()
def greedy_return(trainer: Trainer, environment: Any) -> float:
    """Return the mean return of one greedy episode in every environment."""
    collector = trainer._collector
    state, _ = environment.reset()
    recurrent = trainer.policy.initial_state(environment.num_envs)
    start = torch.ones(environment.num_envs, dtype=torch.bool)
    total = torch.zeros(environment.num_envs)
    for _ in range(environment.horizon):
        features, masks = collector.features(state), collector.masks(state)
        acted = trainer.policy.get_action(features, masks, recurrent, deterministic=True, episode_start=start)
        recurrent, start = acted.state, torch.zeros_like(start)
        state, reward, *_ = environment.step(acted.actions)
        total += reward
    environment.close()
    return float(total.mean())


def theirs(task: Task, seed: int) -> dict[str, float]:
    """Train sb3-contrib's policy, and return what came of it."""
    torch.set_num_threads(1)
    kind, evaluate = (MaskablePPO, evaluate_masked) if task.masked else (RecurrentPPO, evaluate_policy)
    learning = 0.0

    class Timed(kind):  # type: ignore[misc, valid-type]
        def train(self) -> None:
            nonlocal learning
            started = time.perf_counter()
            super().train()
            learning += time.perf_counter() - started

    net: dict[str, Any] = {"net_arch": {"pi": [WIDTH], "vf": [WIDTH]}, "ortho_init": False}
    recurrent = {} if task.masked else {"lstm_hidden_size": WIDTH}
    model = Timed(
        "MlpPolicy" if task.masked else "MlpLstmPolicy",
        make_vec_env(task.id, ENVS, seed=seed),
        n_steps=STEPS,
        batch_size=ENVS * STEPS // MINIBATCHES,
        n_epochs=PASSES,
        learning_rate=LR,
        gamma=task.gamma,
        gae_lambda=LAMBDA,
        clip_range=CLIP,
        ent_coef=ENTROPY,
        vf_coef=VALUE,
        max_grad_norm=GRAD_NORM,
        policy_kwargs=net | recurrent,
        seed=seed,
        device="cpu",
    )
    started = time.perf_counter()
    model.learn(task.steps)
    seconds = time.perf_counter() - started
    world = make_vec_env(task.id, 1, seed=seed + 10_000)
    mean, _ = evaluate(model, world, n_eval_episodes=EPISODES, deterministic=True)
    steps = model.num_timesteps
    return {"return": float(mean), "steps": steps, "seconds": seconds, "update_seconds": learning}


LIBRARIES = {"esper": ours, "sb3-contrib": theirs}


def interquartile(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the middle half along the last axis."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the interquartile mean and its 95 % bootstrap interval."""
    known = np.array(values)
    drawn = known[np.random.default_rng(0).integers(len(known), size=(10_000, len(known)))]
    low, high = np.quantile(interquartile(drawn), [0.025, 0.975])
    return float(interquartile(known)), float(low), float(high)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the results that are there; a line that was cut off in writing is not."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| task | trainer | seeds | return (IQM, 95 %) | best | steps | steps/s | update, µs/step |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, task in TASKS.items():
        for library in LIBRARIES:
            rows = [r for r in results if (r["task"], r["library"]) == (name, library)]
            if not rows:
                continue
            iqm, low, high = interval([row["return"] for row in rows])
            steps = np.mean([row["steps"] for row in rows])
            pace = np.median([row["steps"] / row["seconds"] for row in rows])
            learning = np.median([row["update_seconds"] / row["steps"] for row in rows]) * 1e6
            yield (
                f"| {name} | {library} | {len(rows)} | {iqm:.3g} ({low:.3g} to {high:.3g}) | {task.best:g} "
                f"| {steps:,.0f} | {pace:,.0f} | {learning:,.0f} |"
            )


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each, from 0")
    parser.add_argument("--results", type=Path, default=Path("runs/recurrent_ppo.jsonl"), help="one line per run")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    for task in TASKS.values():
        gymnasium.register(task.id, task.make, max_episode_steps=task.horizon)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    missing = (
        (name, library, seed)
        for seed in range(arguments.seeds)
        for name in arguments.tasks
        for library in LIBRARIES
        if (name, library, seed) not in {(r["task"], r["library"], r["seed"]) for r in read(arguments.results)}
    )
    for name, library, seed in islice(missing, 0 if arguments.table else None):
        result = {"task": name, "library": library, "seed": seed, **LIBRARIES[library](TASKS[name], seed)}
        with arguments.results.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    print("\n".join(table(read(arguments.results))))


if __name__ == "__main__":
    main()
