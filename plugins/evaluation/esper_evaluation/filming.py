"""Films of episodes, GIF or MP4. What encodes them need not be installed before one is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.contracts.errors import EsperError, UserError
from esper_core.system.files import check_creatable, replace_synced, writing
from esper_core.system.packages import pip_install

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEEDED = {".gif": ("imageio",), ".mp4": ("imageio", "imageio_ffmpeg")}
"""Ending → modules that write such a film."""


@frozen
class Film:
    """A film that is being written; `writer` is imageio's."""

    writer: Any

    def add(self, frame: NDArray[Any]) -> None:
        """Add a picture, uint8 `[height, width, 3]`."""
        self.writer.append_data(frame)


def check_film(path: Path) -> None:
    """Find out before any work is done whether a film can be written.

    Raises:
        UserError: the name ends in neither .gif nor .mp4, or something is not installed.
        EsperError: the file cannot be written.
    """
    needed = NEEDED.get(path.suffix.lower())
    if needed is None:
        raise UserError(f"A film cannot be written to {path}.", hint="Its name must end in .gif or .mp4.")
    for name in needed:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"{path.suffix.lower()} films need {name.replace('_', '-')}, which is not installed.",
                hint=pip_install(["esper-evaluation[record]"]),
            ) from error
    with writing(path):
        check_creatable(path)


@contextmanager
def filming(path: Path, pace: float) -> Iterator[Film]:
    """Yield a film of `pace` pictures a second that is there, all of it, when nothing was raised within.

    Raises:
        EsperError: it cannot be encoded or written.
    """
    import imageio.v2 as imageio

    with TemporaryDirectory(prefix="esper-") as folder:
        draft = Path(folder) / f"film{path.suffix.lower()}"
        # A GIF holds milliseconds; the coder of MP4 needs even sides, and would otherwise want multiples of 16.
        how: dict[str, Any] = {"fps": pace, "macro_block_size": 2}
        if draft.suffix == ".gif":
            how = {"duration": 1000 / pace, "loop": 0}
        writer = imageio.get_writer(draft, **how)
        try:
            yield Film(writer)
        finally:
            try:
                writer.close()
            except (OSError, RuntimeError, ValueError) as error:
                raise EsperError(f"{path} could not be encoded: {error}") from error
        with writing(path):
            replace_synced(path, draft.read_bytes())
