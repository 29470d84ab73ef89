"""What acting and learning cost with 3 and with 8 slots.

    python benchmarks/slots.py
    python benchmarks/slots.py --envs 4 --steps 64 --policies lstm-slots

Each policy acts in rows side by side, step after step, and learns from the rollout in one epoch, on states that are
random (`esper_bench`'s). Policies and numbers of slots take turns, on one thread; times are medians, and ratios medians
of the ratios of turns.
"""

from __future__ import annotations

import argparse
from statistics import median

import torch

from esper_bench.noise import Noise
from esper_core.composition.build import build_parts
from esper_core.composition.plan import PlanRequest, describe_plan, make_plan
from esper_core.learning.config import TrainConfig
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index

COUNTS = FEW, MANY = 3, 8
OTHER = "lstm-v2"


def make_trainer(policy: str, slots: int, envs: int, steps: int, index: Index) -> Trainer:
    """Return a trainer of a policy on an environment that costs nothing."""
    plan = make_plan(PlanRequest(policy=policy, slots=str(slots), envs=envs, device="cpu"), index)
    known = describe_plan(plan, index)
    parts = build_parts(plan, index, only={*plan.kinds, *known.uses} - {"environment"})
    return Trainer(
        policy=Policy(parts["network"], parts["critic"], known.actions),
        features=parts["features"],
        masks=parts["masks"],
        loss=parts["loss"],
        environment=Noise(known, envs, steps, "cpu"),
        config=TrainConfig(**{**plan.train, "update_epochs": 1, "num_minibatches": 1}),
        seed=plan.seed,
    )


def main() -> None:
    """Print a line per policy and number of slots, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="+", default=["lstm-slots", OTHER])
    parser.add_argument("--envs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40, help="of an episode")
    parser.add_argument("--turns", type=int, default=15)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    index = load_index()
    cases = [(policy, slots) for policy in asked.policies for slots in COUNTS]
    trainers = {case: make_trainer(*case, asked.envs, asked.steps, index) for case in cases}
    runs = {case: trainer.run(asked.turns + 1) for case, trainer in trainers.items()}
    found: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
    for turn in range(asked.turns + 1):
        for case, run in runs.items():
            phases = next(run).timing["phases"]
            if turn:  # the first warms up
                found[case].append({"acting": phases["policy"], "learning": phases["update"]})
    print(f"{asked.envs} rows, {asked.steps} steps, ms per update")
    for policy, slots in cases:
        acting, learning = (1e3 * median(t[what] for t in found[policy, slots]) for what in ("acting", "learning"))
        print(f"{policy:12} {slots} slots  acting {acting:7.1f}  learning {learning:7.1f}")
    pairs = [((p, MANY), (p, FEW)) for p in asked.policies]
    pairs += [((p, MANY), (OTHER, MANY)) for p in asked.policies if p != OTHER and OTHER in asked.policies]
    for a, b in pairs:
        ratios = {
            what: median(x[what] / y[what] for x, y in zip(found[a], found[b], strict=True))
            for what in ("acting", "learning")
        }
        print(f"{a[0]} {a[1]} / {b[0]} {b[1]}: acting {ratios['acting']:.2f}, learning {ratios['learning']:.2f}")


if __name__ == "__main__":
    main()
