"""Our trainer beside Stable-Baselines3's and sb3-contrib's: what both learn in equal steps, and how long that takes.

    python benchmarks/peers.py --quick --seeds 5       # a tenth of the steps, for the times; a few minutes
    python benchmarks/peers.py                         # 10 seeds of every task; goes on where it was stopped
    python benchmarks/peers.py --table                 # the table of what there is
    python benchmarks/peers.py --tasks recall --seeds 3

Needs the extra `dev`. Every task has one of their trainers: PPO, MaskablePPO or RecurrentPPO. Ours gets the same layers
(networks.py), the same settings, and rollouts and minibatches of the same size: single steps where there is no memory,
whole rows of the rollout where there is one. Nothing that a trainer reports is switched off. What differs: ours
normalises advantages over the rollout, theirs over each minibatch. Where rewards are normalised, both divide them by
the running deviation of the discounted return, and ours normalises no returns for the critic on top. Both see
observations as they are, those of Pendulum and BipedalWalker through running means and deviations, as rl-zoo3 has it
for BipedalWalker; the greedy policy is tested with those of training, which stay as they are then.

RecurrentPPO and MaskablePPO have the settings of sb3-contrib's own tests, CartPole and Pendulum those of rl-zoo3 with
constant rates and without state-dependent exploration. Rewards of the tasks with a memory are normalised as in that
test; their observations are not: VecNormalize would make the rare cue larger, and so decide the comparison. `resets`
learns nothing: it is one LSTM with and without episodes that start inside its rows (resets.py).

`return` is the mean of 20 episodes of the greedy policy, half-way and after training. It differs much from one update
to the next, so `while learning` is there too: the mean return of what was sampled in the second half of training,
rollout by rollout. Every seed's result is one line of the results file, and a line that is there is not run again. Both
use one thread and take turns; times are compared seed by seed, so that whatever else wants the cores slows either.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import fmean, median
from typing import Any

import gymnasium
import networks
import numpy as np
import resets
import torch
import worlds
from attrs import evolve, frozen
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize, sync_envs_normalization

from esper_core.composition.build import build_environment
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.contracts.errors import EsperError
from esper_core.contracts.protocols import FeatureExtractor, MaskProvider
from esper_core.learning.session import open_session
from esper_core.policy.executed import executed
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_evaluation.statistics import Bootstrap, pooled_iqm

WIDTH, EPISODES, QUICK = 64, 20, 10


@frozen
class Task:
    """What is learned, and the settings of both trainers. There is no entropy bonus and no early stop.

    Attributes:
        id: Of the environment.
        network: That of ours.
        peer: The trainer of theirs.
        envs: Environments side by side.
        rollout: Steps in each of them that are learned from at a time.
        steps: Environment steps allowed, an even multiple of what one rollout takes.
        batch: Steps in a minibatch.
        epochs: Times a rollout is learned from.
        normalise: Rewards are normalised.
        normalise_obs: Observations are, too.
        best: The highest return there is, where that is known.
        make: Makes the environment, where Gymnasium does not have it.
        horizon: The time limit of one that is made.
    """

    id: str
    network: str
    peer: type[OnPolicyAlgorithm]
    envs: int
    rollout: int
    steps: int
    batch: int
    epochs: int
    lr: float
    gamma: float
    gae_lambda: float
    clip: float = 0.2
    max_grad_norm: float = 0.5
    normalise: bool = True
    normalise_obs: bool = False
    best: float | None = None
    make: Callable[[], gymnasium.Env[Any, Any]] | None = None
    horizon: int | None = None

    @property
    def minibatches(self) -> int:
        """Minibatches in a rollout."""
        return self.envs * self.rollout // self.batch


def _recurrent(name: str, envs: int, rollout: int, steps: int, **more: Any) -> Task:
    batch = envs * rollout // 4
    more["max_grad_norm"] = 1.0
    return Task(name, "peer-lstm", RecurrentPPO, envs, rollout, steps, batch, 10, 7e-4, 0.99, 0.98, **more)


def _invalid(name: str, make: Callable[[], gymnasium.Env[Any, Any]]) -> Task:
    kinds: Any = {"normalise": False, "best": 64.0, "make": make, "horizon": 64}
    return Task(name, "peer-mlp", MaskablePPO, 32, 64, 4_096, 64, 2, 3e-4, 0.1, 0.95, clip=0.4, **kinds)


TASKS = {
    "cartpole": Task("CartPole-v1", "peer-mlp", PPO, 8, 32, 51_200, 256, 20, 1e-3, 0.98, 0.8, best=500.0),
    "invalid": _invalid("InvalidDiscrete-v0", worlds.InvalidDiscrete),
    "invalid-multi": _invalid("InvalidMultiDiscrete-v0", worlds.InvalidMultiDiscrete),
    "cartpole-memory": _recurrent(
        "CartPoleWithoutVelocities-v0", 8, 128, 26_624, best=500.0, make=worlds.CartPoleWithoutVelocities, horizon=500
    ),
    "recall": _recurrent("CueRecall-v0", 85, 12, 30_600, best=1.0, make=worlds.CueRecall, horizon=12),
    "pendulum": Task("Pendulum-v1", "peer-mlp", PPO, 4, 1_024, 98_304, 64, 10, 1e-3, 0.9, 0.95, normalise_obs=True),
    "bipedal": Task(
        "BipedalWalker-v3", "peer-mlp", PPO, 16, 256, 245_760, 256, 10, 3e-4, 0.99, 0.95, normalise_obs=True, best=300.0
    ),
}

RESETS: dict[str, Any] = {"hidden": 512, "rows": 8, "steps": 128, "episode": 20.0, "pairs": 1}
"""The network, the rows and the mean length of an episode of `resets`."""

NAMES = (*TASKS, "resets")
OURS, THEIRS = "esper", "theirs"


def planned(task: Task, seed: int, own: Sequence[str] = ()) -> tuple[Plan, Index]:
    """Return the plan of our policy, with options of its `own`, and the index that it was made with."""
    memory = task.network == "peer-lstm"
    options = {
        "environment.id": f'"{task.id}"',
        # Theirs cuts numbers off at their bounds.
        "environment.squash": "false",
        "environment.scale_obs": "false",
        "environment.normalise_obs": str(task.normalise_obs).lower(),
        "environment.normalise_reward": str(task.normalise).lower(),
        "network.hidden_dim": WIDTH,
        "critic.orthogonal": str(not memory).lower(),
        "train.rollout_steps": task.rollout,
        "train.bptt_steps": 0 if memory else 1,
        "train.lr": task.lr,
        "train.gamma": task.gamma,
        "train.gae_lambda": task.gae_lambda,
        "train.update_epochs": task.epochs,
        "train.num_minibatches": task.minibatches,
        "train.max_grad_norm": task.max_grad_norm,
        "train.normalise_returns": "false",
        "loss.clip": task.clip,
        "loss.entropy": 0.0,
        # Ours weighs half the squared error, theirs half of all of it.
        "loss.value_coefficient": 1.0,
        "loss.target_kl": 0.0,
    }
    written = (*(f"{key}={value}" for key, value in options.items()), *own)
    index = with_networks(load_index())
    request = PlanRequest(
        policy=task.network, environment="gymnasium", envs=task.envs, seed=seed, device="cpu", options=written
    )
    return make_plan(request, index), index


def ours(task: Task, seed: int, steps: int, own: Sequence[str] = ()) -> dict[str, float | None]:
    """Train our policy, with options of its `own`, and return what came of it."""
    plan, index = planned(task, seed, own)
    trainer = open_session(plan, index)
    phases: Counter[str] = Counter()
    learned, sampled, update = {}, list[float | None](), None
    for update in trainer.run(steps // (task.envs * task.rollout)):
        phases.update(update.timing["phases"])
        sampled.append(update.metrics["return"])
        if update.environment_steps <= steps // 2:
            learned["return_half_way"] = deepcopy((trainer.policy, trainer.features))
    assert update is not None
    learned["return"] = (trainer.policy, trainer.features)
    trainer.environment.close()
    test = evolve(plan, envs=EPISODES, seed=seed + 10_000)
    returns = {}
    for name, (policy, features) in learned.items():
        # Features of their own: those of the environment would go on learning means and deviations.
        parts = build_environment(test, index).parts
        returns[name] = greedy_return(policy, parts["environment"], features, parts["masks"])
    return {
        **returns,
        "while_learning": second_half(sampled),
        "steps": update.environment_steps,
        "seconds": sum(phases.values()),
        "update_seconds": phases["update"],
        **{f"{phase}_seconds": seconds for phase, seconds in phases.items()},
    }


def with_networks(index: Index) -> Index:
    """Return an index that has `peer-mlp` and `peer-lstm` too, as if the plugin of `lstm-v1` brought them."""
    beside = resolve(index, "network", "lstm-v1")
    return Index(index.plugins, index.kinds, (*index.components, *(evolve(beside, spec=s) for s in networks.SPECS)))


@torch.no_grad()
def greedy_return(policy: Policy, environment: Any, features: FeatureExtractor, masks: MaskProvider) -> float:
    """Return the mean return of one greedy episode in every environment."""
    state, _ = environment.reset()
    recurrent = policy.initial_state(environment.num_envs)
    start = torch.ones(environment.num_envs, dtype=torch.bool)
    running = start
    while bool(running.any()):
        acted = policy.get_action(features(state), masks(state), recurrent, deterministic=True, episode_start=start)
        recurrent, start = acted.state, torch.zeros_like(start)
        state, _, terminated, truncated, _ = environment.step(executed(environment.actions, acted.actions))
        running = running & ~(terminated | truncated)
    returns = environment.outcomes()["return"]
    environment.close()
    return float(returns.mean())


def theirs(task: Task, seed: int, steps: int) -> dict[str, float | None]:
    """Train their policy, and return what came of it."""
    torch.set_num_threads(1)
    learning, sampled = 0.0, list[float | None]()

    class Timed(task.peer):  # type: ignore[name-defined]
        def train(self) -> None:
            nonlocal learning
            ended = [episode["r"] for episode in self.ep_info_buffer]
            sampled.append(fmean(ended) if ended else None)
            self.ep_info_buffer.clear()
            started = time.perf_counter()
            super().train()
            learning += time.perf_counter() - started

    memory = task.network == "peer-lstm"
    recurrent = {"net_arch": {"vf": [WIDTH], "pi": []}, "lstm_hidden_size": WIDTH, "ortho_init": False}
    vector, test = make_vec_env(task.id, task.envs, seed=seed), make_vec_env(task.id, 1, seed=seed + 10_000)
    if task.normalise:
        vector = VecNormalize(vector, norm_obs=task.normalise_obs, gamma=task.gamma)
        test = VecNormalize(test, training=False, norm_reward=False, norm_obs=task.normalise_obs)
    model = Timed(
        "MlpLstmPolicy" if memory else "MlpPolicy",
        vector,
        n_steps=task.rollout,
        batch_size=task.batch,
        n_epochs=task.epochs,
        learning_rate=task.lr,
        gamma=task.gamma,
        gae_lambda=task.gae_lambda,
        clip_range=task.clip,
        ent_coef=0.0,
        vf_coef=0.5,
        max_grad_norm=task.max_grad_norm,
        policy_kwargs=recurrent if memory else {"net_arch": [WIDTH, WIDTH]},
        seed=seed,
        device="cpu",
    )
    evaluate: Any = evaluate_masked if task.peer is MaskablePPO else evaluate_policy
    seconds, returns = 0.0, {}
    for name in ("return_half_way", "return"):
        started = time.perf_counter()
        model.learn(steps // 2, reset_num_timesteps=False)
        seconds += time.perf_counter() - started
        if task.normalise:
            sync_envs_normalization(vector, test)
        returns[name] = float(evaluate(model, test, n_eval_episodes=EPISODES, deterministic=True)[0])
    known = {**returns, "while_learning": second_half(sampled)}
    return {**known, "steps": model.num_timesteps, "seconds": seconds, "update_seconds": learning}


def second_half(sampled: Sequence[float | None]) -> float | None:
    """Return the mean over the rollouts of the second half in which an episode ended, of the mean return there."""
    known = [value for value in sampled[len(sampled) // 2 :] if value is not None]
    return fmean(known) if known else None


def pair(name: str, seed: int, quick: bool, own: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Train both, one after the other, and yield their lines of the results file."""
    said = {"task": name, "seed": seed, "quick": quick, "options": list(own)}
    if name == "resets":
        torch.manual_seed(seed)
        ((_, plain, _, whole),) = resets.paired(**RESETS)
        for trainer, seconds in ((OURS, whole), (THEIRS, plain)):
            yield {**said, "trainer": trainer, "steps": RESETS["rows"] * RESETS["steps"], "seconds": seconds}
        return
    task = TASKS[name]
    once = task.envs * task.rollout
    steps = 2 * once * max(1, task.steps // QUICK // (2 * once)) if quick else task.steps
    # Whoever is first has the colder caches.
    for trainer in (OURS, THEIRS) if seed % 2 else (THEIRS, OURS):
        came = ours(task, seed, steps, own) if trainer == OURS else theirs(task, seed, steps)
        yield {**said, "trainer": trainer, **came}


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the interquartile mean and its 95 % bootstrap interval."""
    known = np.array([values])
    found = Bootstrap.draw(len(values), 1).sampled(pooled_iqm, known).estimate
    return found.value, found.low, found.high


def read(path: Path) -> list[dict[str, Any]]:
    """Return the results that are there; a line that was cut off in writing is not. Another file ends the program."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    needed = {"task", "seed", "quick", "options", "trainer", "steps", "seconds"}
    try:
        rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        if all(needed <= row.keys() for row in rows):
            return rows
    except (ValueError, AttributeError):
        pass
    sys.exit(f"peers.py: {path} is no file of results; it is left as it is.")


def table(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a Markdown table: times are medians over seeds, × are ours over theirs, seed by seed."""
    kinds = {"while_learning": "while learning", "return_half_way": "return half-way", "return": "return"}
    columns = ("task", "trainer", "seeds", *(f"{said} (IQM, 95 %)" for said in kinds.values()), "best", "steps")
    times = ("µs/step", "× (range)", "of which update", "× (range)", "spent on")
    yield f"| {' | '.join(columns + times)} |"
    yield "|---" * len(columns + times) + "|"
    for name in NAMES:
        of = {
            trainer: {row["seed"]: row for row in results if (row["task"], row["trainer"]) == (name, trainer)}
            for trainer in (OURS, THEIRS)
        }
        for trainer, rows in of.items():
            if not rows:
                continue
            task, known = TASKS.get(name), list(rows.values())
            peer = "one call without resets" if task is None else task.peer.__name__
            cells = [name, OURS if trainer == OURS else peer, str(len(known))]
            for key in kinds:
                reached = [row[key] for row in known if row.get(key) is not None and not row["quick"]]
                cells.append("{:.4g} ({:.4g} to {:.4g})".format(*interval(reached)) if reached else "")
            cells.append("" if task is None or task.best is None else f"{task.best:g}")
            cells.append(f"{median(row['steps'] for row in known):,.0f}")
            for key in ("seconds", "update_seconds"):
                costs = [cost(row, key) for row in known if key in row]
                ratios = [
                    cost(row, key) / cost(of[THEIRS][seed], key)
                    for seed, row in rows.items()
                    if trainer == OURS and key in row and seed in of[THEIRS]
                ]
                cells.append(f"{1e6 * median(costs):,.0f}" if costs else "")
                cells.append(f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "")
            cells.append(spent(known))
            yield f"| {' | '.join(cells)} |"


def spent(rows: Sequence[dict[str, Any]]) -> str:
    """Return the phases that take a fiftieth of the time at least, by their share; those of ours are measured."""
    ends = "_seconds"
    phases = {key.removesuffix(ends) for row in rows for key in row if key.endswith(ends)}
    shares = {phase: median(row.get(phase + ends, 0.0) / row["seconds"] for row in rows) for phase in phases}
    known = sorted((phase for phase in shares if shares[phase] >= 0.02), key=lambda phase: -shares[phase])
    return ", ".join(f"{phase} {shares[phase]:.0%}" for phase in known)


def cost(row: dict[str, Any], key: str) -> float:
    """Return the seconds per environment step that a run took of one kind."""
    return float(row[key] / row["steps"])


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=10, help="seeds of each, from 0")
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps, in a results file of its own")
    parser.add_argument("-o", "--option", action="append", default=[], help="another option of ours; needs --results")
    parser.add_argument("--results", type=Path, help="one line per run; in runs/ if nothing is said")
    parser.add_argument("--table", action="store_true", help="run nothing")
    said = parser.parse_args()
    if said.option and said.results is None:
        parser.error("-o needs a results file of its own: --results FILE")
    if said.seeds < 1:
        parser.error("--seeds is 1 at least")
    for task in TASKS.values():
        if task.make is not None:
            gymnasium.register(task.id, task.make, max_episode_steps=task.horizon)
    path = said.results or Path("runs/peers-quick.jsonl" if said.quick else "runs/peers.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    results = read(path)
    if not said.table:
        if any((row["quick"], row["options"]) != (said.quick, said.option) for row in results):
            parser.error(f"{path} is of runs of another length, or with other options; name another with --results")
        try:
            for name in said.tasks:
                if name in TASKS:
                    planned(TASKS[name], 0, said.option)
        except EsperError as error:
            sys.exit(f"peers.py: {error}")
    known = {(row["task"], row["seed"], row["trainer"]) for row in results}
    for seed in range(0 if said.table else said.seeds):
        for name in said.tasks:
            if all((name, seed, trainer) in known for trainer in (OURS, THEIRS)):
                continue
            # Both anew, even where one is there: they must have run under the same load.
            lines = "".join(json.dumps(row) + "\n" for row in pair(name, seed, said.quick, said.option))
            with path.open("a", encoding="utf-8") as file:
                file.write(lines)
            print(lines, end="", flush=True)
    print("\n".join(table([row for row in read(path) if row["task"] in said.tasks])))


if __name__ == "__main__":
    main()
