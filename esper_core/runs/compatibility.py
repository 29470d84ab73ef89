"""Whether a checkpoint fits a plan and what is installed; where it does not, a table and the command that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.composition.blocks import action_blocks, changed_blocks, observed_blocks
from esper_core.composition.config import structure, structure_config
from esper_core.composition.fit import ANY_SLOTS
from esper_core.composition.lookup import PlannedComponent, find_planned
from esper_core.composition.plan import Plan, describe_plan, takes_any_slots
from esper_core.composition.selection import TRAIN
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import CheckpointMismatch, ConfigError
from esper_core.learning.config import TrainConfig
from esper_core.registry.distributions import reinstall_advice
from esper_core.registry.resolve import absence, absent_plugins
from esper_core.runs import provenance
from esper_core.system.machine import libraries

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_core.runs.header import Header

FITTED = ("features", "network", "critic")
"""Kinds that weights must fit; environment and loss may be others."""

SHOWN = 8
"""Weights that do not fit, of which a refusal tells."""


@frozen
class Difference:
    """One row of the table; `kind` is that of the component that it comes from, empty for the slots."""

    what: str
    saved: str
    here: str
    kind: str = ""


def check_fit(header: Header, plan: Plan, index: Index) -> tuple[str, ...]:
    """Compare a checkpoint with a plan and with what is installed; return differences that do not matter.

    One that matters raises CheckpointMismatch, with a table of what was saved and what is here.
    """
    saved = header.plan
    needed = [c for c in saved.components if c.kind in FITTED or c in plan.components]
    _check_installed(header, needed, index)
    for planned in (c for c in needed if c in plan.components):
        component = find_planned(index, planned)
        row = Difference(f"options of {planned.key}", f"version {planned.version}", f"version {component.version}")
        with _refusing(header, row, partial(_reinstall, header, [planned.kind], index)):
            structure_config(component, planned.config)
    with _refusing(
        header, Difference("options of the trainer", "", ""), partial(provenance.core_advice, header.content)
    ):
        structure(TrainConfig, plan.train, prefix=TRAIN, owner="the trainer")
    rows = []
    if saved.slots != plan.slots and not takes_any_slots(saved, index):
        what = f"slots ({len(saved.slots)} → {len(plan.slots)})"
        rows.append(Difference(what, ", ".join(saved.slots), ", ".join(plan.slots)))
    chosen = [row for row in _chosen_otherwise(saved, plan) if row.kind in FITTED]
    contents = _contents(header, plan, index)
    if everything := [*rows, *chosen, *contents]:
        if rows:
            advice = _slot_advice(saved, plan)
        elif chosen:
            advice = f"Use {' '.join(f'--use {row.kind}={saved.component(row.kind).name}' for row in chosen)}."
        elif changed := _options_otherwise(saved, plan, ("environment", *FITTED)):
            advice = f"Leave out what may have changed it: {'; '.join(changed)}."
        else:
            advice = _reinstall(header, [row.kind for row in contents], index)
        raise _mismatch(header, everything, advice)
    return tuple(_notes(header, plan, index))


def check_weights(
    header: Header, saved: Mapping[str, Sequence[int]], here: Mapping[str, Sequence[int]], plan: Plan, index: Index
) -> None:
    """Compare the shapes of saved weights with those of a policy, by name; raises CheckpointMismatch with a table."""
    names = [name for name in dict.fromkeys((*here, *saved)) if saved.get(name) != here.get(name)]
    if not names:
        return
    rows = [
        Difference(f"weights '{name}'", *(str(list(side[name])) if name in side else "none" for side in (saved, here)))
        for name in names[:SHOWN]
    ]
    rows += [Difference(f"{len(names) - SHOWN} more", "", "")] * (len(names) > SHOWN)
    changed = _options_otherwise(header.plan, plan, FITTED)
    network = plan.component("network").name
    if changed:
        hint = f"Leave out what may have changed them: {'; '.join(changed)}."
    elif header.plan.slots != plan.slots:
        hint = f"The network '{network}' provides '{ANY_SLOTS}', which is not true of it: report this to its author."
    else:
        hint = _reinstall(header, FITTED, index)
    raise _mismatch(header, rows, hint)


@contextmanager
def _refusing(header: Header, row: Difference, hint: Callable[[], str]) -> Iterator[None]:
    """Report saved options that are not allowed here; the hint, which takes long, is made where it is needed."""
    try:
        yield
    except ConfigError as error:
        refused = _mismatch(header, [row], hint())
        refused.message += f"\n{error.message}"
        raise refused from error


def _check_installed(header: Header, needed: Sequence[PlannedComponent], index: Index) -> None:
    installed = {(c.kind, c.name, normalise_name(c.distribution)) for c in index.components}
    missing = [c for c in needed if (c.kind, c.name, normalise_name(c.distribution)) not in installed]
    if missing:
        why = {c.distribution: absence(index, c.distribution) for c in missing}
        rows = [
            Difference(f"{c.kind} '{c.name}'", f"{c.distribution} {c.version}", why[c.distribution]) for c in missing
        ]
        missed = reinstall_advice(
            (c.distribution, c.version) for c in missing if why[c.distribution] == "not installed"
        )
        advice = f"Install what is missing: {missed}" if missed else ""
        raise _mismatch(header, rows, f"{advice}\n{absent_plugins(index)}".strip())


def _slot_advice(saved: Plan, plan: Plan) -> str:
    trained, wanted, use = len(saved.slots), len(plan.slots), f"--slots {','.join(saved.slots)}"
    if trained == wanted:
        return f"A slot is part of what the weights mean: use {use}."
    return (
        f"Checkpoints are not portable across slots: what was trained with {trained} loads with {trained} and with no "
        "other number, because the observation and the slot head have one part per slot. "
        f"Use {use}, or train a new run with {wanted}."
    )


def _chosen_otherwise(saved: Plan, plan: Plan) -> list[Difference]:
    """Return the kinds of which two plans chose different components, and what each chose."""
    rows = []
    for kind in dict.fromkeys((*saved.kinds, *plan.kinds)):
        there, here = (", ".join(sorted(c.name for c in p.of_kind(kind))) or "none" for p in (saved, plan))
        if there != here:
            rows.append(Difference(kind, there, here, kind))
    return rows


def _options_otherwise(saved: Plan, plan: Plan, kinds: Sequence[str]) -> list[str]:
    """Return the options of which two plans have other values, of components that both have: what each has."""
    rows = []
    for there in (c for kind in kinds for c in saved.of_kind(kind)):
        here = next((c.config for c in plan.of_kind(there.kind) if c.name == there.name), there.config)
        names = [name for name in there.config if name in here and here[name] != there.config[name]]
        rows += [f"{there.kind}.{name} was {there.config[name]} and is {here[name]}" for name in names]
    return rows


def _contents(header: Header, plan: Plan, index: Index) -> list[Difference]:
    known, rows = describe_plan(plan, index), []
    observed, done = header.content["feature_schema"], header.content["actions"]
    if header.plan.slots != plan.slots and takes_any_slots(plan, index):
        changed = changed_blocks(observed.get("blocks"), observed_blocks(known.feature_schema))
        rows += [Difference(f"feature schema, {what}", there, here, "features") for what, there, here in changed]
        there, here = done.get("blocks"), action_blocks(known.actions)
        if there != here:
            rows.append(Difference("actions, but for slots", there or "not recorded", here, "environment"))
    else:
        if (there := observed["digest"]) != (here := known.feature_schema.digest):
            rows.append(Difference("feature schema", there, here, "features"))
        if (there := done["digest"]) != (here := known.actions.digest):
            rows.append(Difference("actions", there, here, "environment"))
    for key, version in provenance.weights_versions(plan, index).items():
        kind, recorded = key.partition("/")[0], header.content["weights_versions"].get(key, version)
        if recorded != version and kind in FITTED:
            rows.append(Difference(f"weights of {key}", f"version {recorded}", f"version {version}", kind))
    return rows


def _reinstall(header: Header, kinds: Iterable[str], index: Index) -> str:
    """Return the command that brings back the distributions that components of these kinds came from."""
    saved: Mapping[str, Any] = header.content["distributions"]
    names = dict.fromkeys(c.distribution for kind in kinds for c in header.plan.of_kind(kind))
    wanted = reinstall_advice((name, saved[name]["version"]) for name in names if name in saved)
    installed = {normalise_name(c.distribution): c.version for c in index.components}
    changed = [n for n in names if n in saved and installed.get(normalise_name(n)) == saved[n]["version"]]
    if changed:
        return (
            f"The source of {' and '.join(changed)} has changed under the same version. Bring back what it was, or "
            f"install it afresh: {wanted.replace('pip install', 'pip install --force-reinstall')}"
        )
    return f"Install what it was written with: {wanted}"


def _notes(header: Header, plan: Plan, index: Index) -> list[str]:
    notes = [
        f"The {row.kind} is '{row.here}'; the checkpoint was written with '{row.saved}'."
        for row in _chosen_otherwise(header.plan, plan)
        if row.kind not in FITTED
    ]
    notes += [f"{row}." for row in _options_otherwise(header.plan, plan, FITTED)]
    for name, installed in provenance.distributions(plan, index).items():
        recorded: Mapping[str, Any] = header.content["distributions"].get(name, installed)
        # What is distributed says versions alone: sources around it change, and it does not.
        known = {key: text for key, text in installed.items() if key in recorded}
        if known != recorded:
            notes.append(f"{name} is {_shown(known)}; the checkpoint was written with {_shown(recorded)}.")
    for name, version in header.content["libraries"].items():
        if (found := libraries().get(name, "not installed")) != version:
            written = f"the checkpoint was written with {version}, so numbers may differ a little."
            notes.append(f"{name} is {found}; {written}")
    return notes


def _shown(distribution: Mapping[str, Any]) -> str:
    version, source = distribution["version"], distribution.get("source")
    return version if source is None else f"{version} (source {source})"


def _mismatch(header: Header, rows: Sequence[Difference], hint: str) -> CheckpointMismatch:
    table = [("", "saved", "here"), *((row.what, row.saved, row.here) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(2)]
    lines = [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in table]
    return CheckpointMismatch("\n".join([f"The checkpoint {header.path} does not fit:", *lines]), hint=hint)
