"""The observer `tensorboard`: every metric of every update as a curve. TensorBoard is imported when a run starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from esper_core.builtin.config import TensorBoardConfig
from esper_core.system.files import make_folder, writing
from esper_core.system.packages import require_package

if TYPE_CHECKING:
    from esper_core.learning.trainer import Update
    from esper_core.runs.directory import RunDirectory

FOLDER = "tensorboard"


class TensorBoard:
    """Writes `tensorboard/` in the directory of a run; look with `tensorboard --logdir runs`."""

    def __init__(self, config: TensorBoardConfig, context: None = None) -> None:
        require_package("tensorboard", "observer 'tensorboard'", "esper-core")
        self.config = config
        self._writer: Any = None

    def on_start(self, run: RunDirectory) -> None:
        """Begin to write; what a resumed run does anew hides what was written of it before."""
        from torch.utils.tensorboard import SummaryWriter

        lines, folder = run.metrics(), run.path / FOLDER
        with writing(folder):
            make_folder(folder, run.path)
        first = lines[-1]["update"] + 1 if lines else None
        self._writer = SummaryWriter(str(folder), purge_step=first, flush_secs=self.config.flush)

    def on_update(self, update: Update) -> None:
        """Write the metrics that are defined, and the timing."""
        for tag, value in scalars(update.metrics, update.timing):
            self._writer.add_scalar(tag, value, update.index)

    def on_finish(self, run: RunDirectory) -> None:
        """Write what is left."""
        self._writer.close()


def scalars(metrics: Mapping[str, float | None], timing: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield tag and value of all that is defined; `kl` and `kl/op` are a group, all without parts one named `run`."""
    groups = {name.partition("/")[0] for name in metrics if "/" in name}
    for name, value in metrics.items():
        if value is not None:
            yield name if name.partition("/")[0] in groups else f"run/{name}", value
    for name, value in timing.items():
        if isinstance(value, Mapping):
            yield from ((f"timing/{name}/{part}", seconds) for part, seconds in value.items())
        elif value is not None:
            yield f"timing/{name}", value
