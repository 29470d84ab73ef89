"""From what is asked for in Python to a plan. Torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from esper_core.api.beginning import plan_from
from esper_core.api.installed import load_installed, use_local
from esper_core.api.training import as_checkpoint
from esper_core.composition.config import Option, option_at
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.contracts.errors import ConfigError
from esper_core.runs.checkpoint import verify_checkpoint
from esper_core.runs.directory import RunDirectory

Options = Mapping[str, Any] | Sequence[str]
"""Options: `{"network.hidden_dim": 64}`, or as on the command line, `["network.hidden_dim=64"]`."""

Slots = int | str | Sequence[str] | Sequence[int] | None
"""Slots: a count, ids, or as on the command line; None for what is chosen otherwise."""


def plan(
    policy: str | None = None,
    slots: Slots = None,
    *,
    use: Mapping[str, Any] | None = None,
    options: Options = (),
    envs: int | None = None,
    updates: int | None = None,
    epochs: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
    registry: str | Path | None = None,
    init: RunDirectory | str | Path | None = None,
    at: int | str = "last",
    out: str | Path = "runs",
) -> Plan:
    """Choose the components and options of a run, as `esper train --dry-run` does; builds nothing.

    What is None is as in the run that it begins with, where `init` names one, else chosen by the registry file, else by
    the components' defaults.

    Args:
        policy: A recipe of the registry file, or a network; `policies()` lists them.
        slots: A count, or ids such as `["r0c0", "r0c2"]`; several counts, such as `[1, 2, 3]`, of which each update
            draws one, for a network whose weights fit any number.
        use: Components by kind: kind → name; or a class, function, object or `component(...)` of one's own, which
            this process alone knows.
        options: Options of components and of the trainer, by `KIND.key` or `KIND.NAME.key`.
        envs: Environments side by side, E.
        updates: Updates of the run.
        epochs: Steps of an episode, for an environment that has this option.
        workers: Processes of the environment, for one that has this option.
        seed: Seed of the run.
        device: torch device, or "auto".
        threads: Threads within one operation of the policy.
        precision: What networks compute in, "float32" or "bf16".
        registry: The registry file; `ESPER_REGISTRY`, or the nearest `registry.toml` upward without.
        init: A run whose weights it begins with, as `esper train --init` does: a run, its path, the beginning of its
            name in `out`, or the folder of a checkpoint.
        at: Which of its checkpoints: "last", "best", or the number of an update.
        out: Directory of runs, for its name.

    Raises:
        CheckpointMismatch: the weights cannot fit; the table says where.
        UserError: a name that means nothing, an option that does not exist or is not allowed, components that do not
            fit together.
        PluginError: a component that breaks its contract.
    """
    header = None if init is None else verify_checkpoint(as_checkpoint(init, at, out))
    uses = use_local(use)
    index, recipes = load_installed(registry)
    request = as_request(
        policy=policy,
        slots=slots,
        uses=uses,
        options=options,
        envs=envs,
        epochs=epochs,
        workers=workers,
        updates=updates,
        seed=seed,
        device=device,
        threads=threads,
        precision=precision,
    )
    return make_plan(request, index, recipes) if header is None else plan_from(header, request, index, recipes)


def as_request(*, policy: str | None, slots: Slots, options: Options, **settings: Any) -> PlanRequest:
    """Return a plan request; raises ConfigError for a value of the wrong type."""
    if policy is not None and not isinstance(policy, str):
        raise ConfigError(f"policy cannot be {policy!r:.80}.", hint='It is a name; a class is use={"network": MyNet}.')
    for name, value in settings.items():
        kind, means = (str, "a string") if name in ("device", "precision") else (int, "a whole number")
        if name != "uses" and value is not None and (isinstance(value, bool) or not isinstance(value, kind)):
            raise ConfigError(f"{name} cannot be {value!r:.80}.", hint=f"It is {means}.")
    return PlanRequest(policy=policy, slots=slots_text(slots), options=read_options(options), **settings)


def read_options(options: Options) -> tuple[str | Option, ...]:
    """Return options of either form as a plan request takes them; raises ConfigError."""
    if isinstance(options, Mapping):
        return tuple(option_at(path, value) for path, value in options.items())
    if isinstance(options, str) or not all(isinstance(text, str) for text in options):
        raise ConfigError(
            f"Options cannot be {options!r:.80}.", hint='Write a table, such as {"network.hidden_dim": 64}.'
        )
    return tuple(options)


def slots_text(slots: Slots) -> str | None:
    """Return slots as the command line takes them; raises ConfigError for a value of the wrong type."""
    if slots is None or isinstance(slots, str):
        return slots
    if isinstance(slots, int) and not isinstance(slots, bool):
        return str(slots)
    if isinstance(slots, Sequence) and {type(entry) for entry in slots} in ({str}, {int}):
        return ",".join(map(str, slots))
    raise ConfigError(f"slots cannot be {slots!r:.80}.", hint='Write a count, or ids such as ["r0c0", "r0c2"].')
