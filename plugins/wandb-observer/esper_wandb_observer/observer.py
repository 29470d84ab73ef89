"""The observer `wandb`: a run of esper as a run of Weights & Biases. wandb is imported when a run starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esper_core.system.files import make_folder
from esper_core.system.packages import require_package
from esper_wandb_observer.config import WandbConfig

if TYPE_CHECKING:
    from esper_core.learning.trainer import Update
    from esper_core.runs.directory import RunDirectory

FOLDER = "wandb"
"""Folder that wandb writes in the run directory; a link of this name would lead it elsewhere."""


class Wandb:
    """Shows metrics, timing, warnings and the plan."""

    def __init__(self, config: WandbConfig, context: None = None) -> None:
        require_package("wandb", "observer 'wandb'", "esper-wandb-observer")
        self.config = config
        self._run: Any = None

    def on_start(self, run: RunDirectory) -> None:
        """Start a W&B run named after the run directory; a resumed run continues its W&B run."""
        import wandb

        config = self.config
        make_folder(run.path / FOLDER, run.path)
        self._run = wandb.init(
            project=config.project,
            entity=config.entity or None,
            group=config.group or None,
            tags=list(config.tags),
            mode=config.mode,
            id=run.name,
            name=run.name,
            resume="allow",
            dir=str(run.path),
            config={"plan": run.record["plan"], "distributions": run.record.get("distributions")},
        )

    def on_update(self, update: Update) -> None:
        """Log the defined metrics of an update as one step."""
        row: dict[str, Any] = {name: value for name, value in update.metrics.items() if value is not None}
        row["environment_steps"] = update.environment_steps
        row["warnings"] = len(update.warnings)
        row["timing/seconds"] = update.timing["seconds"]
        row["timing/steps_per_second"] = update.timing["steps_per_second"]
        row |= {f"timing/phases/{phase}": seconds for phase, seconds in update.timing["phases"].items()}
        self._run.log(row, step=update.index)

    def on_finish(self, run: RunDirectory) -> None:
        """Finish the W&B run."""
        self._run.finish()
