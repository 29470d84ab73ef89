"""What episodes depend on, but for who acts and in which instance: other circumstances have other records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan
from esper_core.contracts.errors import DamagedFile
from esper_core.contracts.plain import to_exact
from esper_core.contracts.protocols import Environment, HasCircumstances
from esper_core.registry.index import Index
from esper_core.registry.sources import made_with
from esper_core.system.content import differences, digest
from esper_core.system.json_files import read_json
from esper_evaluation.records import ABOUT_FILE, EPISODES_FILE

RECORDS_SCHEMA = 5


def circumstances(plan: Plan, index: Index, device: str, environment: Environment) -> dict[str, Any]:
    """Return all that episodes depend on, JSON-able: plan, code of esper and of its components, and machine."""
    said = environment.circumstances() if isinstance(environment, HasCircumstances) else {}
    return {
        "schema": RECORDS_SCHEMA,
        "slots": list(plan.slots),
        "components": {c.key: [c.distribution, to_exact(c.config)] for c in plan.components},
        "precision": plan.precision,
        "threads": plan.threads,
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "environment": dict(said),
        **made_with((__name__, *(find_planned(index, planned).spec.module for planned in plan.components))),
    }


def set_aside(folder: Path, here: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the newest records in a folder of evaluations are not gone on with, where that is so.

    Args:
        folder: Where there is a folder for all circumstances so far, by their digest.
        here: The present circumstances.
    """
    kept = [path for path in folder.glob(f"*/{EPISODES_FILE}") if path.is_file() and _alike(path.parent, here)]
    if not kept or any(path.parent.name == digest(here) for path in kept):
        return
    newest = max(kept, key=lambda path: path.stat().st_mtime).parent
    try:
        before = read_json(newest / ABOUT_FILE)
        changes = list(differences(before, here))
    except (OSError, DamagedFile, AttributeError):
        changes = [f"{ABOUT_FILE} cannot be read"]
    yield f"Everything is played again; the episodes in {newest} stay there: {'; '.join(changes)}."


def _alike(folder: Path, here: Mapping[str, Any]) -> bool:
    """Return whether records may be of the same slots and components: others are no earlier version of this."""
    try:
        about = read_json(folder / ABOUT_FILE)
        return all(about[what] == here[what] for what in ("slots", "components"))
    except (OSError, DamagedFile, LookupError, TypeError):
        return True
