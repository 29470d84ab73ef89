"""What growth is worth to each host: test accuracy of the host as it is, and with a seed in every slot.

    python benchmarks/hosts.py
    python benchmarks/hosts.py --host capable --width 16 --samples 100    # of another width, with fewer samples

`all-on` germinates one blueprint in every slot in the first epoch and adds it fully from epoch 5 on. Both arms
train the same instances, with the same data order, for as many epochs, in the runtime that training uses.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

import torch
from surroundings import surroundings

from esper_core.composition.build import build_beside
from esper_core.composition.config import structure_config
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_growth.actions import Algorithm
from esper_growth.choice import choose
from esper_growth.config import GrowthConfig
from esper_growth.model import SeedSetting
from esper_growth.problems import Problems
from esper_growth.stages import Stage
from esper_growth.tasks.classification import ClassificationTask

RAMP = 5


class Problem(NamedTuple):
    """A task, its options, a host, and the blueprint that is grown everywhere."""

    task: str
    options: Mapping[str, Any]
    host: str
    blueprint: str


PLAIN, SHUFFLED = {"train_samples": 1000}, {"train_samples": 1000, "shuffle": True}
PROBLEMS = (
    Problem("digits", {}, "pointwise", "conv-light"),
    Problem("digits", {}, "narrow", "conv-light"),
    Problem("digits", {}, "capable", "conv-light"),
    Problem("mnist1d", PLAIN, "pointwise", "conv-light"),
    Problem("mnist1d", PLAIN, "narrow", "conv-light"),
    Problem("mnist1d", PLAIN, "capable", "conv-light"),
    Problem("mnist1d", SHUFFLED, "pointwise", "conv-light"),
    Problem("mnist1d", SHUFFLED, "narrow", "conv-light"),
    Problem("mnist1d", SHUFFLED, "capable", "conv-light"),
    Problem("mnist1d", PLAIN, "transformer", "mlp"),
    Problem("mnist1d", PLAIN, "transformer", "flex-attention"),
    Problem("mnist1d", SHUFFLED, "transformer", "mlp"),
)


def accuracies(
    problem: Problem, index: Index, config: GrowthConfig, slots: int, instances: int, width: int | None = None
) -> dict[bool, list[float]]:
    """Return test accuracies by instance, without and with a seed in every slot."""
    context = surroundings(slots, instances)

    def build(kind: str, name: str, options: Mapping[str, Any] | None = None) -> Any:
        (component,) = [c for c in index.of_kind(kind) if c.name == name]
        return build_beside(component, index, context, structure_config(component, dict(options or {})))

    task = build("task", problem.task, problem.options)
    # What the runtime measures on is called validation; nothing here is chosen by it.
    task = ClassificationTask(task.name, task.classes, task.train, task.test, task.test)
    host = build("host", problem.host, {"width": width} if width else {})
    branch = build("blueprint", problem.blueprint)
    problems = Problems(task, host, {"it": branch}, slots)
    kind = choose(config, problems, "float32")
    active, found = [True] * instances, {}
    for grown in (False, True):
        with closing(kind(config, problems)) as runtime:
            runtime.start(range(instances))
            for env in range(instances if grown else 0):
                for slot in range(slots):
                    runtime.germinate(env, slot, "it", Algorithm.ADD)
            for epoch in range(config.epochs):
                alpha = min(1.0, epoch / RAMP)
                stage = Stage.BLENDING if alpha else Stage.TRAINING
                seeds = dict.fromkeys(range(slots if grown else 0), SeedSetting(stage, alpha, Algorithm.ADD, False))
                runtime.train_epoch([seeds] * instances, active)
            found[grown] = runtime.validate([seeds] * instances, active, pairs=False).accuracy.tolist()
    return found


def main() -> None:
    """Print one line per problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=3, help="Slots of every host.")
    parser.add_argument("--epochs", type=int, default=40, help="Host epochs.")
    parser.add_argument("--instances", type=int, default=2, help="Hosts per arm, numbered from 0.")
    parser.add_argument("--host", help="This host alone.")
    parser.add_argument("--width", type=int, help="Its channels; its own without it.")
    parser.add_argument("--samples", type=int, help="Training samples; the task's own without it.")
    chosen = parser.parse_args()
    if chosen.width and not chosen.host:
        parser.error("--width is that of --host")
    torch.set_num_threads(1)
    index, config = load_index(), GrowthConfig(epochs=chosen.epochs, workers=1)
    print(f"{'task':18}{'host':13}{'blueprint':16}{'static':>8}{'all-on':>8}{'gap':>8}   least and largest gap")
    for problem in PROBLEMS:
        if chosen.host in (None, problem.host):
            if chosen.samples:
                problem = problem._replace(options={**problem.options, "train_samples": chosen.samples})
            found = accuracies(problem, index, config, chosen.slots, chosen.instances, chosen.width)
            gaps = [on - off for off, on in zip(found[False], found[True], strict=True)]
            task = problem.task + (", shuffled" if problem.options.get("shuffle") else "")
            means = "".join(f"{statistics.mean(values):8.3f}" for values in (found[False], found[True], gaps))
            print(
                f"{task:18}{problem.host:13}{problem.blueprint:16}{means}   {min(gaps):+.3f} {max(gaps):+.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
