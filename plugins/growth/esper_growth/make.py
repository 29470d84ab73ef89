"""The environment `growth` from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import torch

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.choice import choose
from esper_growth.config import GrowthConfig
from esper_growth.environment import HELD_OUT, GrowthEnvironment
from esper_growth.problems import Problems
from esper_growth.protocols import axes_of, fits, last_change_of
from esper_growth.runtime import HostRuntime, Settings
from esper_growth.static_curves import StaticCurves
from esper_growth.workers import shared_out


def growth(config: GrowthConfig, context: BuildContext) -> GrowthEnvironment:
    """Return the environment for a build context whose parts hold the task, the host and the blueprints."""
    task, host = context.parts["task"], context.parts["host"]
    num_slots = context.slots.num_slots
    if not fits(host, host.topology, axes_of(task)):
        axes = " or ".join(map(str, axes_of(task)))
        raise UserError(
            f"The host '{host.name}' does not take the task '{task.name}', whose samples have {axes} axes of space.",
            hint="Choose another host or task.",
        )
    if last_change_of(task) >= config.epochs:
        raise UserError(
            f"The task '{task.name}' changes up to epoch {last_change_of(task)}, and an episode ends with epoch "
            f"{config.epochs - 1}.",
            hint="Raise environment.epochs, or let the task change earlier.",
        )
    if config.first_instance + config.instances > HELD_OUT:
        raise UserError(
            f"environment.first_instance={config.first_instance} and environment.instances={config.instances} reach "
            f"beyond instance {HELD_OUT - 1:,}.",
            hint=f"Instances from {HELD_OUT:,} on are kept for evaluation.",
        )

    problems = Problems(task, host, context.parts["blueprint"], num_slots)
    make = partial(choose(config, problems, context.precision), config, problems, context.precision)
    device = torch.device(context.device)

    def runtime() -> HostRuntime:
        # A GPU is shared better by one process than by several.
        return shared_out(make, config.workers if device.type == "cpu" else 1, problems.shares)

    def train_static(instances: Sequence[int]) -> list[list[float]]:
        settings: Settings = [{} for _ in instances]
        active = [True] * len(instances)
        accuracies = []
        with closing(runtime()) as static:
            static.start(instances)
            for _ in range(config.epochs):
                static.train_epoch(settings, active)
                accuracies.append(static.validate(settings, active, pairs=False).accuracy.tolist())
        return [list(curve) for curve in zip(*accuracies, strict=True)]

    origins = {kind: context.origins.get(kind, ()) for kind in ("task", "host")}
    factories = {origin.module for made in origins.values() for origin in made}
    hosts = runtime()
    key = {
        "task": task.name,
        "host": host.name,
        "options": {kind: [dict(origin.options) for origin in made] for kind, made in origins.items()},
        "slots": num_slots,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "lr": config.host_lr,
        "momentum": config.momentum,
        "max_grad_norm": config.max_grad_norm,
        "runtime": hosts.name,
        "kernels": hosts.kernels,
        "dtype": str(context.dtype),
        "precision": context.precision,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    return GrowthEnvironment(
        config, context, hosts, StaticCurves.at(key, lambda i: factories | problems.modules(i), train_static), problems
    )
