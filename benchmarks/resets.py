"""What episodes that start inside a sequence cost a recurrent network.

    python benchmarks/resets.py
    python benchmarks/resets.py --hidden 64 --rows 16 --episode 100

An LSTM runs over rows of steps in which episodes of a mean length start anywhere (`run_with_resets`), forward and
backward, and beside it once over the same rows without any reset. The two take turns; a line is the median of their
ratios, on one thread.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from torch import Tensor, nn

from esper_core.contracts.protocols import LSTMState
from esper_core.policy.recurrent import run_with_resets


def seconds(lstm: nn.LSTM, inputs: Tensor, start: Tensor | None) -> tuple[float, float]:
    """Return the time of a forward pass, and of one with its backward pass; without `start` it is one plain call."""

    def run(some: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        output, last = lstm(some, tuple(state))
        return output, LSTMState(*last)

    lstm.zero_grad(set_to_none=True)
    inputs.grad = None
    state = LSTMState(*(torch.zeros(lstm.num_layers, len(inputs), lstm.hidden_size) for _ in range(2)))
    began = time.perf_counter()
    output, _ = run(inputs, state) if start is None else run_with_resets(run, inputs, state, start)
    forward = time.perf_counter()
    output.sum().backward()
    return forward - began, time.perf_counter() - began


def paired(hidden: int, rows: int, steps: int, episode: float, pairs: int) -> list[tuple[float, float, float, float]]:
    """Return, pair by pair, forward and whole time without and with resets; the module says what is run."""
    torch.set_num_threads(1)
    lstm = nn.LSTM(hidden, hidden, batch_first=True)
    inputs = torch.randn(rows, steps, hidden, requires_grad=True)
    seconds(lstm, inputs, None)
    found = []
    for _ in range(pairs):
        # Where episodes start is drawn anew for every pair: how many calls there are depends on it.
        start = torch.rand(rows, steps) < 1 / episode
        found.append((*seconds(lstm, inputs, None), *seconds(lstm, inputs, start)))
    return found


def main() -> None:
    """Print the ratio of times, forward and altogether, and the range of the pairs'."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512, help="width of the LSTM and of its input")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--steps", type=int, default=128, help="in each row")
    parser.add_argument("--episode", type=float, default=20.0, help="mean length; every step starts one as likely")
    parser.add_argument("--pairs", type=int, default=15)
    torch.manual_seed(0)
    plain_forward, plain, forward, whole = zip(*paired(**vars(parser.parse_args())), strict=True)
    for name, alone, found in (("forward", plain_forward, forward), ("forward and backward", plain, whole)):
        ratios = [a / b for a, b in zip(found, alone, strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:20}  {spread} times {1e3 * median(alone):.1f} ms")


if __name__ == "__main__":
    main()
