"""The slots of a few environments, for display while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from esper_core.contracts.board import Board, Cell, Row
from esper_growth.lifecycle import SlotTable
from esper_growth.progress import Progress
from esper_growth.stages import HAS_MODULE, Stage

TONES = dict.fromkeys(HAS_MODULE, "active") | {
    Stage.FOSSILIZED: "good",
    Stage.PRUNED: "bad",
    Stage.EMBARGOED: "bad",
    Stage.RESETTING: "bad",
}


def slot_board(
    envs: Sequence[int],
    slots: SlotTable,
    progress: Progress,
    static_accuracy: Tensor,
    *,
    epochs: int,
    slot_ids: Sequence[str],
    labels: Sequence[str],
) -> Board:
    """Return stage, blueprint and alpha of every slot of some environments.

    Args:
        envs: The environments.
        slots: State of the slots.
        progress: Measurements.
        static_accuracy: What the hosts reach when nothing is grown, `[E]`.
        epochs: Epochs of an episode.
        slot_ids: Names of the slots.
        labels: Names of the blueprints.
    """
    rows = []
    for env in envs:
        accuracy, static = float(progress.accuracy[env]), float(static_accuracy[env])
        columns = (slots.stage[env].tolist(), slots.blueprint[env].tolist(), slots.alpha[env].tolist())
        cells = [
            Cell(
                state=Stage(stage).name,
                content=labels[blueprint] if blueprint >= 0 else "",
                level=alpha if stage in HAS_MODULE else None,
                tone=TONES.get(Stage(stage), "idle"),
            )
            for stage, blueprint, alpha in zip(*columns, strict=True)
        ]
        rows.append(Row(f"host {env}  {int(progress.epoch[env])}/{epochs}", f"{accuracy:.2f} vs {static:.2f}", cells))
    return Board(slot_ids, rows)
