"""The plain loop: what a user of PyTorch would write to train the same network, one network and one optimiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper_growth.bench import layouts
from esper_growth.bench.hosts import HostBench

PLAIN = "plain loop"
CHANNELS_FIRST, CHANNELS_LAST, TOKENS = "channels-first", "channels-last", "tokens"
GROUP_NORM, BATCH_NORM = "group-norm", "batch-norm"


class PlainNetwork(nn.Module):
    """A host with something grown behind its first segments, added as it is: nothing bounds its size."""

    def __init__(self, segments: list[nn.Module], branches: list[nn.Module]) -> None:
        super().__init__()
        self.segments, self.branches = nn.ModuleList(segments), nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, classes]`."""
        for slot, segment in enumerate(self.segments):
            x = segment(x)
            if slot < len(self.branches):
                x = x + self.branches[slot](x)
        return x


class PlainLoop:
    """Trains one network in one of the ways it can be written; `ways` lists them.

    Args:
        bench: What is trained.
        occupied: Slots in which something has grown.
        way: One of `ways`, such as 'channels-last batch-norm'.
    """

    def __init__(self, bench: HostBench, occupied: int, way: str) -> None:
        problem, config = bench.problems.at(0), bench.config
        branches = [problem.builder.branch(0, slot, 1, bench.seed) for slot in range(occupied)]
        network: nn.Module = PlainNetwork(list(problem.builder.host(0).segments), branches)  # type: ignore[arg-type]
        self.inputs, self.targets = problem.task.train.inputs, problem.task.train.targets
        layout, _, norm = way.partition(" ")
        axes = self.inputs.dim() - 2
        if norm == BATCH_NORM:
            network = layouts.with_batch_norm(network, axes)
        if layout == CHANNELS_LAST:
            network, self.inputs = layouts.channels_last(network, axes), layouts.images(self.inputs)
        if layout == TOKENS:
            network, self.inputs = layouts.token_wise(network), layouts.tokens(self.inputs)
        self.network, self.batch_size = network, config.batch_size
        self.optimizer = torch.optim.SGD(network.parameters(), lr=config.host_lr, momentum=config.momentum)

    def train_epoch(self) -> None:
        """Train for one epoch."""
        for rows in torch.randperm(len(self.targets)).split(self.batch_size):
            logits = self.network(self.inputs[rows])
            loss = functional.cross_entropy(logits, self.targets[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def ways(bench: HostBench) -> tuple[str, ...]:
    """Return how the network of a host can be written; the first is how its author wrote it."""
    if bench.parts["host"].topology == "sequence":
        return CHANNELS_FIRST, TOKENS
    return tuple(f"{layout} {norm}" for layout in (CHANNELS_FIRST, CHANNELS_LAST) for norm in (GROUP_NORM, BATCH_NORM))
