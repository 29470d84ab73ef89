"""Our trainer beside sb3-contrib's: what is learned in equal environment steps, and how long learning takes.

    python benchmarks/recurrent_ppo.py                     # 10 seeds of every task; goes on where it was stopped
    python benchmarks/recurrent_ppo.py --table             # the table of what there is
    python benchmarks/recurrent_ppo.py --tasks recall --seeds 3

Needs the extra `dev`. RecurrentPPO learns CartPole without velocities and a cue-recall task with the settings of
sb3-contrib's own test_ppo_lstm_performance; MaskablePPO, which has no memory, learns sb3-contrib's environments with
invalid actions with those of its test_identity. Ours gets the same settings. Both see the same observations, which
nobody normalises: VecNormalize would make the rare cue larger, and so decide the comparison. Returns are normalised by
ours, and by VecNormalize for theirs, in the recurrent tasks only, as in that test.

`lstm` and `mlp` (networks.py) have the layers of theirs, so that trainers are compared and nothing else. `lstm-v1` is
what ours is usually used with, in the same width: one LSTM for actor and critic, more layers, normalised. On the masked
tasks it shows what a memory for nothing costs.

Rollouts of ours are whole episodes. Where episodes have one length, both have as many environments as make a rollout of
them, and so equal rollouts and minibatches. In CartPole, where they have 8 to 500 steps, ours learns from 8 episodes at
a time and theirs from 128 steps in each of 8 environments, so ours takes more gradient steps while episodes are short;
the table counts them. Ours normalises advantages over the rollout, theirs over each minibatch.

`return` is the mean of 20 episodes of the greedy policy, half-way and after training: for ours, the policy of the last
update that ended within these steps. Every seed's result is one line of the results file, and a line that is there is
not run again. Both use one thread and are run in turns; times are compared seed by seed, so that whatever else wants
the cores slows either of them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import networks
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
from stable_baselines3.common.vec_env import VecNormalize

from esper_core.composition.build import build_environment
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.protocols import FeatureExtractor, MaskProvider
from esper_core.learning.session import open_session
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_evaluation.statistics import Bootstrap, pooled_iqm

WIDTH, EPISODES = 64, 20


class CartPoleWithoutVelocities(CartPoleEnv):
    """Shows position and angle, each as a share of where the episode ends."""

    def __init__(self) -> None:
        super().__init__()
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
        return np.clip(seen[[0, 2]] / (self.x_threshold, self.theta_threshold_radians), -1.0, 1.0).astype(np.float32)


class CueRecall(gymnasium.Env[NDArray[np.float32], int]):
    """Shows one of four cues at the first step, nothing for ten, and pays 1 for naming the cue when asked at the last.

    Cues and question are patterns of 32 signs, the same in every environment.
    """

    CUES, DELAY, WIDTH = 4, 10, 32
    PATTERNS = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (CUES + 1, WIDTH))

    def __init__(self) -> None:
        self.action_space = spaces.Discrete(self.CUES)
        self.observation_space = spaces.Box(-1.0, 1.0, (self.WIDTH,), np.float32)

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
        shown = {0: self.cue, self.DELAY + 1: self.CUES}
        return self.PATTERNS[shown[self.t]].copy() if self.t in shown else np.zeros(self.WIDTH, np.float32)


class Seeded:
    """Draws an invalid-action environment's targets from its seed."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start an episode."""
        if seed is not None:
            self.action_space.seed(seed)  # type: ignore[attr-defined]
        return super().reset(seed=seed, options=options)  # type: ignore[misc]


class InvalidDiscrete(Seeded, InvalidActionEnvDiscrete):
    """Pays 1 for naming one of 70 numbers, which is shown; 55 of the others are illegal."""

    def __init__(self) -> None:
        super().__init__(dim=70, ep_length=64, n_invalid_actions=55)


class InvalidMultiDiscrete(Seeded, InvalidActionEnvMultiDiscrete):
    """The same for two numbers at once, among 10 and 20; 20 of their values are illegal."""

    def __init__(self) -> None:
        super().__init__(dims=[10, 20], ep_length=64, n_invalid_actions=20)


@frozen
class Settings:
    """What both trainers are told. There is no entropy bonus and no early stop."""

    lr: float
    gamma: float
    gae_lambda: float
    passes: int
    minibatches: int
    clip: float
    max_grad_norm: float
    value: float = 0.5


RECURRENT = Settings(7e-4, 0.99, 0.98, 10, 4, 0.2, 1.0)
MASKED = Settings(3e-4, 0.1, 0.95, 2, 32, 0.4, 0.5)


@frozen
class Task:
    """What is learned.

    Attributes:
        id: Of the environment.
        make: Makes one.
        horizon: Its time limit.
        envs: Environments side by side.
        rollout: Steps in each of them that theirs learns from at a time.
        steps: Environment steps allowed, an even multiple of what one rollout of theirs takes.
        settings: Of both trainers.
        networks: Those of ours.
        best: The highest return there is.
    """

    id: str
    make: Callable[[], gymnasium.Env[Any, Any]]
    horizon: int
    envs: int
    rollout: int
    steps: int
    settings: Settings
    networks: tuple[str, ...]
    best: float

    @property
    def masked(self) -> bool:
        """MaskablePPO learns it and not RecurrentPPO."""
        return self.settings is MASKED


TASKS = {
    "cartpole": Task(
        "CartPoleWithoutVelocities-v0",
        CartPoleWithoutVelocities,
        500,
        8,
        128,
        26_624,
        RECURRENT,
        ("lstm", "lstm-v1"),
        500.0,
    ),
    "recall": Task("CueRecall-v0", CueRecall, 12, 85, 12, 30_600, RECURRENT, ("lstm", "lstm-v1"), 1.0),
    "invalid": Task("InvalidDiscrete-v0", InvalidDiscrete, 64, 32, 64, 4_096, MASKED, ("mlp", "lstm-v1"), 64.0),
    "invalid-multi": Task(
        "InvalidMultiDiscrete-v0", InvalidMultiDiscrete, 64, 32, 64, 4_096, MASKED, ("mlp", "lstm-v1"), 64.0
    ),
}

THEIRS = "sb3-contrib"


def ours(task: Task, network: str, seed: int) -> dict[str, float]:
    """Train our policy, and return what came of it."""
    settings = task.settings
    options = {
        "environment.id": f'"{task.id}"',
        "network.hidden_dim": WIDTH,
        "train.lr": settings.lr,
        "train.gamma": settings.gamma,
        "train.gae_lambda": settings.gae_lambda,
        "train.update_epochs": settings.passes,
        "train.num_minibatches": settings.minibatches,
        "train.max_grad_norm": settings.max_grad_norm,
        "train.normalise_returns": str(not task.masked).lower(),
        "train.warnings": "false",
        "loss.clip": settings.clip,
        "loss.entropy": 0.0,
        # Ours weighs half the squared error, theirs all of it.
        "loss.value_coefficient": 2 * settings.value,
        "loss.target_kl": 0.0,
    }
    written = tuple(f"{key}={value}" for key, value in options.items())
    index = with_networks(load_index())
    request = PlanRequest(
        policy=network, environment="gymnasium", envs=task.envs, seed=seed, device="cpu", options=written
    )
    plan = make_plan(request, index)
    trainer = open_session(plan, index)
    updates, steps, seconds, learning, weights = 0, 0, 0.0, 0.0, {}
    for update in trainer.run(10**9):
        if update.environment_steps > task.steps:
            break
        updates, steps = update.index, update.environment_steps
        weights["return"] = deepcopy(trainer.policy.state_dict())
        if steps <= task.steps // 2:
            weights["return_half_way"] = weights["return"]
        seconds += update.timing["seconds"]
        learning += update.timing["phases"]["update"]
    trainer.environment.close()
    test = evolve(plan, envs=EPISODES, seed=seed + 10_000)
    returns = {}
    for name, known in weights.items():
        trainer.policy.load_state_dict(known)
        parts = build_environment(test, index).parts
        returns[name] = greedy_return(trainer.policy, parts["environment"], parts["features"], parts["masks"])
    return {
        **returns,
        "steps": steps,
        "gradient_steps": updates * settings.passes * settings.minibatches,
        "seconds": seconds,
        "update_seconds": learning,
    }


def with_networks(index: Index) -> Index:
    """Return an index that has `mlp` and `lstm` too, as if the plugin of `lstm-v1` brought them."""
    beside = resolve(index, "network", "lstm-v1")
    return Index(index.plugins, index.kinds, (*index.components, *(evolve(beside, spec=s) for s in networks.SPECS)))


@torch.no_grad()
def greedy_return(policy: Policy, environment: Any, features: FeatureExtractor, masks: MaskProvider) -> float:
    """Return the mean return of one greedy episode in every environment."""
    state, _ = environment.reset()
    recurrent = policy.initial_state(environment.num_envs)
    start = torch.ones(environment.num_envs, dtype=torch.bool)
    total = torch.zeros(environment.num_envs)
    for _ in range(environment.horizon):
        acted = policy.get_action(features(state), masks(state), recurrent, deterministic=True, episode_start=start)
        recurrent, start = acted.state, torch.zeros_like(start)
        state, reward, *_ = environment.step(acted.actions)
        total += reward
    environment.close()
    return float(total.mean())


def theirs(task: Task, seed: int) -> dict[str, float]:
    """Train sb3-contrib's policy, and return what came of it."""
    torch.set_num_threads(1)
    kind, evaluate = (MaskablePPO, evaluate_masked) if task.masked else (RecurrentPPO, evaluate_policy)
    settings, learning = task.settings, 0.0

    class Timed(kind):  # type: ignore[misc, valid-type]
        def train(self) -> None:
            nonlocal learning
            started = time.perf_counter()
            super().train()
            learning += time.perf_counter() - started

    recurrent = {"net_arch": {"vf": [WIDTH], "pi": []}, "lstm_hidden_size": WIDTH, "ortho_init": False}
    vector, test = make_vec_env(task.id, task.envs, seed=seed), make_vec_env(task.id, 1, seed=seed + 10_000)
    if not task.masked:
        vector = VecNormalize(vector, norm_obs=False, gamma=settings.gamma)
    model = Timed(
        "MlpPolicy" if task.masked else "MlpLstmPolicy",
        vector,
        n_steps=task.rollout,
        batch_size=task.envs * task.rollout // settings.minibatches,
        n_epochs=settings.passes,
        learning_rate=settings.lr,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip,
        ent_coef=0.0,
        vf_coef=settings.value,
        max_grad_norm=settings.max_grad_norm,
        policy_kwargs={"net_arch": [WIDTH, WIDTH]} if task.masked else recurrent,
        seed=seed,
        device="cpu",
    )
    seconds, returns = 0.0, {}
    for name in ("return_half_way", "return"):
        started = time.perf_counter()
        model.learn(task.steps // 2, reset_num_timesteps=False)
        seconds += time.perf_counter() - started
        returns[name] = float(evaluate(model, test, n_eval_episodes=EPISODES, deterministic=True)[0])
    rollouts = model.num_timesteps // (task.envs * task.rollout)
    return {
        **returns,
        "steps": model.num_timesteps,
        "gradient_steps": rollouts * settings.passes * settings.minibatches,
        "seconds": seconds,
        "update_seconds": learning,
    }


def run(name: str, trainer: str, seed: int) -> dict[str, Any]:
    """Train once, and return the line of the results file."""
    task = TASKS[name]
    came = theirs(task, seed) if trainer == THEIRS else ours(task, trainer, seed)
    return {"task": name, "trainer": trainer, "seed": seed, **came}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the interquartile mean and its 95 % bootstrap interval."""
    known = np.array([values])
    found = Bootstrap.draw(len(values), 1).sampled(pooled_iqm, known).estimate
    return found.value, found.low, found.high


def read(path: Path) -> list[dict[str, Any]]:
    """Return the results that are there; a line that was cut off in writing is not."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table. Times are medians over seeds; × is by how many times ours is faster."""
    columns = ("task", "trainer", "seeds", "return half-way (IQM, 95 %)", "return (IQM, 95 %)", "best", "steps")
    times = ("gradient steps", "µs/step", "×", "of which update", "×")
    yield f"| {' | '.join(columns + times)} |"
    yield "|---" * len(columns + times) + "|"
    for name, task in TASKS.items():
        of = {
            trainer: {row["seed"]: row for row in results if (row["task"], row["trainer"]) == (name, trainer)}
            for trainer in (*task.networks, THEIRS)
        }
        for trainer, rows in of.items():
            if not rows:
                continue
            reached = [
                "{:.3g} ({:.3g} to {:.3g})".format(*interval([row[key] for row in rows.values()]))
                for key in ("return_half_way", "return")
            ]
            done = [f"{np.mean([row[key] for row in rows.values()]):,.0f}" for key in ("steps", "gradient_steps")]
            cells = [name, trainer if trainer == THEIRS else f"esper, {trainer}", str(len(rows)), *reached]
            cells += [f"{task.best:g}", *done]
            for key in ("seconds", "update_seconds"):
                factors = [cost(of[THEIRS][seed], key) / cost(rows[seed], key) for seed in rows if seed in of[THEIRS]]
                cells.append(f"{1e6 * median(cost(row, key) for row in rows.values()):,.0f}")
                cells.append(f"{median(factors):.2g}" if factors and trainer != THEIRS else "")
            yield f"| {' | '.join(cells)} |"


def cost(row: dict[str, Any], key: str) -> float:
    """Return the seconds per environment step that a run took of one kind."""
    return float(row[key] / row["steps"])


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
    known = {(row["task"], row["trainer"], row["seed"]) for row in read(arguments.results)}
    wanted = (
        (name, trainer, seed)
        for seed in range(arguments.seeds)
        for name in arguments.tasks
        for trainer in (*TASKS[name].networks, THEIRS)
    )
    for key in () if arguments.table else wanted:
        if key in known:
            continue
        result = run(*key)
        with arguments.results.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)
    print("\n".join(table(read(arguments.results))))


if __name__ == "__main__":
    main()
