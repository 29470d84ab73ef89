"""Training the components of a plan on a probe, and measuring the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from esper_core.composition.plan import Plan
from esper_core.learning.session import open_session
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
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
    with _frozen(trainer.policy):
        for _ in trainer.run(probe.critic_updates):
            pass
    for _ in trainer.run(probe.critic_updates + probe.updates):
        yield trainer


@contextmanager
def _frozen(policy: Policy) -> Iterator[None]:
    """Keep the network at its initial weights, so that operations stay near uniform while the critic learns."""
    learned = [p for name, p in policy.named_parameters() if name.startswith("network.") and p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    yield
    for parameter in learned:
        parameter.requires_grad_(True)


def measure(probe: Probe, plan: Plan, index: Index, seed: int) -> dict[str, float]:
    """Train on a probe and return its final measurements: quantity → number."""
    *_, trainer = play(probe, plan, index, seed)
    return probe.measure(trainer)
