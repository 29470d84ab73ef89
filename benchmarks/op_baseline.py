"""Does the operation head learn? Both baselines of `op-conditioned-critic` on the probe P7, update by update.

    python benchmarks/op_baseline.py

First the exact gradient of the operation's logits on the probe under a uniform policy, for critics Q̂ = k·Q. Then what
learning makes of it: the critic is fitted first, while the policy stays as it began; then both learn. Each line is
π(best) after an update, the mean over seeds, and the lowest and highest of them.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from attrs import evolve

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.loading import load_index
from esper_factored_ppo.probes.environments import bandit
from esper_factored_ppo.probes.plan import WIDTH, find_probe, without_environment
from esper_factored_ppo.probes.playing import play

PROBE, BAR = "P7 op-only bandit", 40


def gradient_length(baseline: torch.Tensor) -> float:
    """Return the length of E[∇ log π(op)·(Q − b)] by the logits of a uniform policy, for a baseline b `[O]`."""
    logits = torch.zeros(len(bandit.PAY), requires_grad=True)
    log_probs = logits.log_softmax(0)
    (log_probs.exp().detach() * log_probs * (torch.tensor(bandit.PAY) - baseline)).sum().backward()
    assert logits.grad is not None
    return float(logits.grad.norm())


def enumerate_baselines() -> None:
    """Print the exact gradient's length under every baseline."""
    worth = torch.tensor(bandit.PAY)
    truth = gradient_length(torch.zeros_like(worth))
    print("exact gradient of the operation's logits\n baseline     length  share of the truth")
    rows = {"V(s)": worth.mean().expand_as(worth)} | {f"Q̂ = {k:g}·Q": k * worth for k in (0.5, 0.9, 1.0)}
    for name, baseline in rows.items():
        length = gradient_length(baseline)
        print(f" {name:11}  {length:.4f}  {length / truth:.0%}")


def curves(baseline: str, seeds: int) -> list[list[float]]:
    """Return π(best) after every update, one list per seed."""
    index = load_index()
    options = [f"critic.baseline={baseline}"]
    request = PlanRequest(
        policy="lstm-v2", environment="growth", uses={"critic": "op-conditioned-critic"}, options=options
    )
    plan = without_environment(make_plan(request, index), index, width=WIDTH)
    probe = evolve(find_probe(PROBE), seeds=tuple(range(seeds)))
    return [[probe.measure(trainer)["π(best)"] for trainer in play(probe, plan, index, seed)] for seed in probe.seeds]


def plot(title: str, runs: list[list[float]], every: int) -> None:
    """Print one line per update shown: mean, range, and the mean as a bar."""
    print(f"\n{title}\n update  mean   lowest  highest")
    for update in range(0, len(runs[0]), every):
        values = [run[update] for run in runs]
        mean = statistics.fmean(values)
        print(f"{update + 1:7}  {mean:.2f}   {min(values):.2f}    {max(values):.2f}     |{'#' * round(BAR * mean)}")


def main() -> None:
    """Print both curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="Runs of each baseline.")
    parser.add_argument("--every", type=int, default=3, help="Updates from one line to the next.")
    parser.add_argument("--noise", type=float, default=bandit.NOISE, help="Standard deviation of the pay.")
    said = parser.parse_args()
    bandit.NOISE = said.noise
    enumerate_baselines()
    for baseline, meaning in (("expected", "V(s), the default"), ("sampled", "Q(s, op taken)")):
        plot(f"baseline={baseline}: {meaning}", curves(baseline, said.seeds), said.every)


if __name__ == "__main__":
    main()
