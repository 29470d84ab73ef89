"""Trying a cell: it is built, and trained for one update."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType

import torch
from torch import nn

from esper_core.composition.build import build_parts
from esper_core.composition.fit import ANY_SLOTS
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, takes_any_slots
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import EsperError
from esper_core.contracts.foreign import asks_to_stop
from esper_core.contracts.slots import MAX_SLOTS, SlotConfig
from esper_core.learning.session import open_session
from esper_core.registry.index import Component, Index
from esper_testing.matrix.cell import Cell, Measurement, plan_cell


class NotTrained(EsperError):
    """An update ended, but it is not what training is."""


def try_cell(cell: Cell, index: Index, recipes: Recipes) -> Measurement:
    """Build a cell and train it for one update; whatever its components raise is measured, not raised.

    It works when the update ends, every weight is finite and at least one has moved. Weights that are said to fit any
    number of slots must be those of another number too.
    """
    started = time.perf_counter()
    components: list[Component] = list(cell.components.values())
    try:
        plan = plan_cell(cell, index, recipes)
        components = [find_planned(index, planned) for planned in plan.components]
        trainer = open_session(plan, index)
        try:
            before = [parameter.detach().clone() for parameter in trainer.policy.parameters()]
            for _ in trainer.run(1):
                pass
            _check_weights(before, list(trainer.policy.parameters()))
            if takes_any_slots(plan, index):
                _check_any_slots(plan, index, trainer.policy)
        finally:
            with trainer.owners["environment"].doing("closing"):
                trainer.environment.close()
    except BaseException as error:
        if asks_to_stop(error):
            raise
        return Measurement("fails", _message(error), _culprit(error, components), time.perf_counter() - started)
    return Measurement("works", seconds=time.perf_counter() - started)


def _check_weights(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> None:
    if not all(bool(parameter.isfinite().all()) for parameter in after):
        raise NotTrained("After one update some weights are not finite.")
    if all(torch.equal(old, new) for old, new in zip(before, after, strict=True)):
        raise NotTrained("One update has moved no weight.")


def _check_any_slots(plan: Plan, index: Index, policy: nn.Module) -> None:
    """Check that network and critic have weights of the same names and shapes with one slot more, or less."""
    count = len(plan.slots)
    other = count + 1 if count < MAX_SLOTS else count - 1
    parts = build_parts(plan.at(SlotConfig.for_grid(1, other)), index, only={"network", "critic"})
    here, there = ({name: tuple(v.shape) for name, v in part.state_dict().items()} for part in (policy, _policy(parts)))
    if names := [name for name in dict.fromkeys((*here, *there)) if here.get(name) != there.get(name)]:
        network = find_planned(index, plan.component("network"))
        raise NotTrained(
            f"{network} provides '{ANY_SLOTS}', but with {other} slots other weights than with {count}: "
            f"{', '.join(names[:3])}{' and more' * (len(names) > 3)}."
        )


def _policy(parts: Mapping[str, nn.Module]) -> nn.Module:
    return nn.ModuleDict({kind: parts[kind] for kind in ("network", "critic")})


def _message(error: BaseException) -> str:
    if isinstance(error, EsperError):
        return error.message
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _culprit(error: BaseException, components: Sequence[Component]) -> str:
    """Return the component that a message names first, else the one whose code the traceback ends in; else nothing."""
    if isinstance(error, EsperError):
        named = sorted((error.message.find(str(component)), component.key) for component in components)
        found = [key for position, key in named if position >= 0]
        if found:
            return found[0]
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    for module in reversed(_modules(root.__traceback__)):
        for depth in (None, 1):
            for component in components:
                if _package(module, depth) == _package(component.spec.factory.partition(":")[0], depth):
                    return component.key
    return ""


def _package(module: str, depth: int | None) -> str:
    return ".".join(module.split(".")[:depth])


def _modules(trace: TracebackType | None) -> list[str]:
    """Return the names of the modules in a traceback, the outermost first."""
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(trace)]
