"""What a checkpoint says about itself: `state.json`, read and verified without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from esper_core.composition.plan import Plan
from esper_core.contracts.errors import CheckpointMismatch
from esper_core.contracts.plain import from_exact
from esper_core.runs.records import read_record, reading

CHECKPOINT_SCHEMA = 2
STATE_FILE, CHECKPOINTS = "state.json", "checkpoints"
BEST_BY = "return"
OTHER_CHECKPOINT = "Use another checkpoint of the run."
"""What to do about a checkpoint that cannot be read."""


@frozen
class Header:
    """What `state.json` in the folder of a checkpoint says; its digest, which is verified, vouches for its shape."""

    path: Path
    content: dict[str, Any] = field(repr=False)

    @property
    def update(self) -> int:
        """Updates done when it was written."""
        return int(self.content["update"])

    @property
    def score(self) -> float | None:
        """Return of the last update, by which the best checkpoint is known; None where undefined."""
        value = self.content["best_by"].get(BEST_BY)
        return None if value is None else float(value)

    @property
    def plan(self) -> Plan:
        """The plan it was written with; raises CheckpointMismatch when it cannot be read."""
        with reading(self.path / STATE_FILE, OTHER_CHECKPOINT):
            return Plan.from_json(self.content["plan"])

    @property
    def counters(self) -> dict[str, Any]:
        """The trainer's counters."""
        counters: dict[str, Any] = from_exact(self.content["counters"])
        return counters


def read_header(path: Path) -> Header:
    """Read and verify `state.json`, without torch; raises CheckpointMismatch."""
    file = path / STATE_FILE
    if not file.exists():
        raise CheckpointMismatch(f"{path} is not a checkpoint: it has no {STATE_FILE}.", hint=OTHER_CHECKPOINT)
    content = read_record(file, CHECKPOINT_SCHEMA, OTHER_CHECKPOINT)
    saved, actual = content.get("digest"), content_digest(content)
    if saved != actual:
        raise CheckpointMismatch(f"{file} was altered: its digest is {actual}, not {saved}.", hint=OTHER_CHECKPOINT)
    return Header(path, content)


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the digest of a `state.json`, all but its own digest."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()
