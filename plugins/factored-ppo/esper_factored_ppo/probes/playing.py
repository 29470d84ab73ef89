"""Playing a probe: training the components of a plan on its environment and measuring what came of it."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer
from esper_core.registry.index import Index
from esper_core.registry.plan import Plan
from esper_factored_ppo.probes.plan import probe_plan, with_probes
from esper_factored_ppo.probes.probe import Probe


def play(probe: Probe, plan: Plan, index: Index, seed: int) -> Iterator[Trainer]:
    """Train on a probe and yield the trainer after every update in which the policy learned.

    Args:
        probe: What to train on.
        plan: What to train, from `without_environment`.
        index: Where its components are looked up.
        seed: Seed of the run.
    """
    index = with_probes(index)
    trainer = open_session(probe_plan(plan, index, probe, seed), index)
    network = trainer.policy.network
    # A policy that nothing moves acts as it began, near uniformly, while the critic learns what that is worth.
    network.requires_grad_(False)
    for _ in trainer.run(probe.critic_updates):
        pass
    network.requires_grad_(True)
    for _ in trainer.run(probe.critic_updates + probe.updates):
        yield trainer


def measure(probe: Probe, plan: Plan, index: Index, seed: int) -> dict[str, float]:
    """Train on a probe and return what it measures at the end: quantity → number."""
    *_, trainer = play(probe, plan, index, seed)
    return probe.measure(trainer)
