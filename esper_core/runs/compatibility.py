"""Whether a checkpoint fits a plan and what is installed; where it does not, a table and the command that helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.composition.config import BadOption, structure, structure_config
from esper_core.composition.lookup import PlannedComponent, find_planned
from esper_core.composition.plan import Plan, describe_plan
from esper_core.composition.selection import TRAIN
from esper_core.contracts.components import normalise_name
from esper_core.contracts.errors import CheckpointMismatch, ConfigError
from esper_core.learning.config import TrainConfig
from esper_core.registry.bringing import bring_back
from esper_core.registry.resolve import absence, absent_plugins
from esper_core.runs import provenance
from esper_core.system.machine import libraries

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_core.runs.header import Header

FITTED = ("features", "network", "critic")
"""Kinds that weights must fit; environment and loss may be others."""


@frozen
class Difference:
    """One row of the table; `kind` is that of the component that it comes from, empty for the slots."""

    what: str
    saved: str
    here: str
    kind: str = ""


def check_fit(header: Header, plan: Plan, index: Index) -> tuple[str, ...]:
    """Compare a checkpoint with a plan and with what is installed; return differences that do not matter.

    Raises:
        CheckpointMismatch: a difference that matters.
    """
    saved = header.plan
    needed = [c for c in saved.components if c.kind in FITTED or c in plan.components]
    _check_installed(header, needed, index)
    _check_options(header, [c for c in needed if c in plan.components], index)
    try:
        structure(TrainConfig, plan.train, prefix=TRAIN, owner="the trainer")
    except BadOption as error:
        rows = [Difference(f"train.{error.key}", str(plan.train[error.key]), "not allowed")]
        refused = _mismatch(header, rows, provenance.core_advice(header.content))
        refused.message += f"\n{error.message}"
        raise refused from error
    slots = []
    if saved.slots != plan.slots:
        what = f"slots ({len(saved.slots)} → {len(plan.slots)})"
        slots = [Difference(what, ", ".join(saved.slots), ", ".join(plan.slots))]
    chosen = [row for row in _chosen_otherwise(saved, plan) if row.kind in FITTED]
    rows = [*slots, *chosen, *_contents(header, plan, index)]
    if slots:
        raise _mismatch(header, rows, _slot_advice(saved, plan))
    if chosen:
        choices = " ".join(f"--use {row.kind}={saved.component(row.kind).name}" for row in chosen)
        raise _mismatch(header, rows, f"Use {choices}.")
    if rows:
        raise _mismatch(header, rows, _reinstall(header, [row.kind for row in rows], index))
    return tuple(_notes(header, plan, index))


def _check_installed(header: Header, needed: Sequence[PlannedComponent], index: Index) -> None:
    installed = {(c.kind, c.name, normalise_name(c.distribution)) for c in index.components}
    missing = [c for c in needed if (c.kind, c.name, normalise_name(c.distribution)) not in installed]
    if missing:
        why = {c.distribution: absence(index, c.distribution) for c in missing}
        rows = [
            Difference(f"{c.kind} '{c.name}'", f"{c.distribution} {c.version}", why[c.distribution]) for c in missing
        ]
        missed = bring_back((c.distribution, c.version) for c in missing if why[c.distribution] == "not installed")
        advice = f"Install what is missing: {missed}" if missed else ""
        raise _mismatch(header, rows, f"{advice}\n{absent_plugins(index)}".strip())


def _check_options(header: Header, needed: Sequence[PlannedComponent], index: Index) -> None:
    for planned in needed:
        component = find_planned(index, planned)
        try:
            structure_config(component, planned.config)
        except ConfigError as error:
            row = Difference(f"options of {planned.key}", f"version {planned.version}", f"version {component.version}")
            refused = _mismatch(header, [row], _reinstall(header, [planned.kind], index))
            refused.message += f"\n{error.message}"
            raise refused from error


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


def _contents(header: Header, plan: Plan, index: Index) -> list[Difference]:
    known, rows = describe_plan(plan, index), []
    schema, actions = header.content["feature_schema"]["digest"], header.content["actions"]["digest"]
    if schema != known.feature_schema.digest:
        rows.append(Difference("feature schema", schema, known.feature_schema.digest, "features"))
    if actions != known.actions.digest:
        rows.append(Difference("actions", actions, known.actions.digest, "environment"))
    for key, version in provenance.weights_versions(plan, index).items():
        kind, recorded = key.partition("/")[0], header.content["weights_versions"].get(key, version)
        if recorded != version and kind in FITTED:
            rows.append(Difference(f"weights of {key}", f"version {recorded}", f"version {version}", kind))
    return rows


def _reinstall(header: Header, kinds: Iterable[str], index: Index) -> str:
    """Return the command that brings back the distributions that components of these kinds came from."""
    saved: Mapping[str, Any] = header.content["distributions"]
    names = dict.fromkeys(c.distribution for kind in kinds for c in header.plan.of_kind(kind))
    wanted = bring_back((name, saved[name]["version"]) for name in names if name in saved)
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
    for name, installed in provenance.distributions(plan, index).items():
        recorded: Mapping[str, Any] = header.content["distributions"].get(name, installed)
        if recorded["version"] != installed["version"]:
            notes.append(f"{name} is {installed['version']}; the checkpoint was written with {recorded['version']}.")
        elif recorded["source"] != installed["source"]:
            change = f"{recorded['source']} → {installed['source']}"
            said = f"The source of {name} {installed['version']} has changed since the checkpoint was written"
            notes.append(f"{said} ({change}).")
    here = libraries()
    for name, version in header.content["libraries"].items():
        if (found := here.get(name, "not installed")) != version:
            written = f"the checkpoint was written with {version}, so numbers may differ a little."
            notes.append(f"{name} is {found}; {written}")
    return notes


def _mismatch(header: Header, rows: Sequence[Difference], hint: str) -> CheckpointMismatch:
    table = [("", "saved", "here"), *((row.what, row.saved, row.here) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(2)]
    lines = [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in table]
    return CheckpointMismatch("\n".join([f"The checkpoint {header.path} does not fit:", *lines]), hint=hint)
