"""Ways of computing the layers of a small host, side by side; the figures behind docs/performance.md.

    python benchmarks/host_kernels.py [--hosts 4] [--threads 1]

Each row is a layer of `--hosts` hosts with 16 channels on 8×8 pixels and a batch of 100, forward and backward: the
median time per host. All ways of a layer take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from esper_growth.actions import Algorithm
from esper_growth.fused.compiled import Compiled
from esper_growth.fused.join import Join
from esper_growth.fused.operations import Operations
from esper_growth.fused.stack import Stack
from esper_growth.fused.stock import Stock
from esper_growth.memory import keep_freed_memory
from esper_growth.model import capped

BATCH, CHANNELS, SIDE, GROUPS = 100, 16, 8, 8
REPEATS = 40

Step = Callable[[], object]


def main() -> None:
    """Print one table per layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=4, help="hosts that are computed together; 4")
    parser.add_argument("--threads", type=int, default=1, help="threads within an operation; 1")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    print(
        f"{chosen.hosts} hosts, {chosen.threads} thread(s), torch {torch.__version__}; µs per host, forward + backward"
    )
    for title, ways in layers(chosen.hosts):
        print(f"\n{title}")
        for name, microseconds in side_by_side(ways).items():
            print(f"  {name:52} {microseconds / chosen.hosts:8.0f}")


def layers(hosts: int) -> Iterator[tuple[str, dict[str, Step]]]:
    """Yield the name of each layer and the ways of computing it."""
    yield "3×3 convolution", convolution(hosts)
    yield "1×1 convolution", pointwise(hosts)
    yield "group norm, ReLU", norm(hosts, pool=False)
    yield "group norm, ReLU, 2×2 max-pool", norm(hosts, pool=True)
    yield "branch capped and added", join(hosts)


def convolution(hosts: int) -> dict[str, Step]:
    """Return ways of a 3×3 convolution with 16 channels per host."""
    x, weight = drawn(BATCH, hosts * CHANNELS, SIDE, SIDE), drawn(hosts, CHANNELS, CHANNELS, 3, 3)
    single, module = drawn(BATCH, CHANNELS, SIDE, SIDE), nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    one = module.weight

    def apart() -> None:
        for _ in range(hosts):
            back(functional.conv2d(single, one, padding=1), single, one)

    def unfolded(x: Tensor, weight: Tensor) -> Tensor:
        columns = functional.unfold(x.reshape(BATCH * hosts, CHANNELS, SIDE, SIDE), 3, padding=1)
        columns = columns.view(BATCH, hosts, CHANNELS * 9, SIDE * SIDE)
        return torch.matmul(weight.flatten(2), columns)

    def mapped(x: Tensor, weight: Tensor) -> Tensor:
        call = vmap(lambda w, h: functional_call(module, {"weight": w}, (h,)), in_dims=(0, 1), out_dims=1)
        return call(weight, x.unflatten(1, (hosts, CHANNELS)))

    last = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    return {
        "one host after the other": apart,
        "grouped": lambda: back(functional.conv2d(x, weight.flatten(0, 1), padding=1, groups=hosts), x, weight),
        "grouped, channels last": lambda: back(
            functional.conv2d(last, weight.flatten(0, 1), padding=1, groups=hosts), last, weight
        ),
        "vmap": lambda: back(mapped(x, weight), x, weight),
        "unfold and matrix product": lambda: back(unfolded(x, weight), x, weight),
    }


def pointwise(hosts: int) -> dict[str, Step]:
    """Return ways of a 1×1 convolution with 16 channels per host."""
    x, weight = drawn(BATCH, hosts, CHANNELS, SIDE * SIDE), drawn(hosts, CHANNELS, CHANNELS)

    def convolved() -> None:
        y = functional.conv2d(x.view(BATCH, -1, SIDE, SIDE), weight.view(-1, CHANNELS, 1, 1), groups=hosts)
        back(y, x, weight)

    return {
        "grouped convolution": convolved,
        "one product per sample and host": lambda: back(Stock().pointwise(x, weight), x, weight),
        "compiled": lambda: back(Compiled().pointwise(x, weight), x, weight),
    }


def norm(hosts: int, *, pool: bool) -> dict[str, Step]:
    """Return ways of a group norm with what follows."""
    x = drawn(BATCH, hosts * CHANNELS, SIDE, SIDE)
    weight, bias = drawn(hosts * CHANNELS), drawn(hosts * CHANNELS)

    def layers(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = functional.relu(functional.group_norm(x, hosts * GROUPS, weight, bias))
        return functional.max_pool2d(y, 2) if pool else y

    generated = torch.compile(layers, dynamic=False)
    started = time.perf_counter()
    back(generated(x, weight, bias), x, weight, bias)
    seconds = time.perf_counter() - started

    def ours(operations: Operations) -> Step:
        groups = hosts * GROUPS
        return lambda: back(operations.norm(x, weight, bias, groups, 1e-5, relu=True, pool=pool), x, weight, bias)

    return {
        "PyTorch's layers": lambda: back(layers(x, weight, bias), x, weight, bias),
        "PyTorch alone (kernels=torch)": ours(Stock()),
        f"torch.compile, after {seconds:.0f} s of compiling": lambda: back(generated(x, weight, bias), x, weight, bias),
        "compiled": ours(Compiled()),
    }


def join(hosts: int) -> dict[str, Step]:
    """Return ways of adding a capped branch; every host has one."""
    x, f = drawn(BATCH, hosts * CHANNELS, SIDE, SIDE), drawn(BATCH, hosts, CHANNELS * SIDE * SIDE)
    apart = x.detach().unflatten(1, (hosts, CHANNELS)).requires_grad_()
    branch = f.detach().view_as(apart).requires_grad_()
    seeds = Stack(lambda x, parameters, n: f, torch.float32)
    joined = Join(seeds, None, None, None, None, torch.ones(hosts), False, Algorithm.ADD, False)

    def plain() -> None:
        merged = apart.flatten(0, 1) + capped(branch.flatten(0, 1), apart.flatten(0, 1))
        back(merged, apart, branch)

    def ours(operations: Operations) -> Step:
        return lambda: back(operations.grow(x, [joined], hosts), x, f)

    return {"PyTorch's operations": plain, "PyTorch alone (kernels=torch)": ours(Stock()), "compiled": ours(Compiled())}


def drawn(*shape: int) -> Tensor:
    """Return a random tensor that requires its gradient."""
    return torch.randn(*shape).requires_grad_()


def back(y: Tensor, *inputs: Tensor) -> None:
    """Compute the gradients of a sum."""
    torch.autograd.grad(y, inputs, torch.ones_like(y))


def side_by_side(ways: dict[str, Step]) -> dict[str, float]:
    """Return the median microseconds of each way; they take turns after a warm-up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 3):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn >= 3:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) * 1e6 for name, times in taken.items()}


if __name__ == "__main__":
    main()
