"""Plays `my-rule` beside uniform legal play: `python -m my_rule`."""

from __future__ import annotations

import torch

from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve


def play(name: str, plan: Plan, index: Index) -> float:
    """Let a rule play one episode in every environment of a plan, and return the mean sum of rewards."""
    context = build_environment(plan, index)
    environment, masks = context.parts["environment"], context.parts["masks"]
    rule = build_beside(resolve(index, "rule", name), index, context)
    generator = torch.Generator().manual_seed(plan.seed)
    try:
        state, _ = environment.reset(seed=plan.seed)
        rule.reset(plan.envs)
        total = torch.zeros(plan.envs)
        for _ in range(environment.horizon):
            state, reward, *_ = environment.step(rule(state, masks(state), generator))
            total += reward
    finally:
        environment.close()
    return float(total.mean())


def main() -> None:
    """Print what both earn in the same episodes."""
    torch.set_num_threads(1)
    index = load_index()
    request = PlanRequest(policy="lstm-v1", environment="growth", envs=4, epochs=20, seed=0, device="cpu")
    plan = make_plan(request, index)
    for name in ("my-rule", "random"):
        print(f"{name:20} {play(name, plan, index):+.3f}")


if __name__ == "__main__":
    main()
