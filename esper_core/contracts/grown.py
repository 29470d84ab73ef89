"""What an environment hands over so that a network it grew can leave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import field, frozen

if TYPE_CHECKING:
    from torch import Tensor, nn

_LINE = re.compile(r"[A-Za-z0-9 .,:;()+*/·×=<>_-]*")


def _check_notes(instance: object, attribute: object, notes: Mapping[str, str]) -> None:
    for name, note in notes.items():
        if not name.isidentifier() or not _LINE.fullmatch(note):
            raise ValueError(f"the note {note!r} about {name!r} is not a plain line about an attribute")


@frozen
class Grown:
    """A network ready to leave its environment.

    Attributes:
        network: A plain module from `[B, …]` to outputs, on the CPU, in evaluation mode. Layers of `torch.nn` are
            written down as such; any other module must compute with torch's functions alone.
        notes: Name of a child → one plain line about it, made of what is installed and never of text from a run.
        inputs: Examples `[B, …]` to compare outputs on.
        outputs: What the network makes of them where it was grown.
        facts: JSON-able facts about how it was grown and how good it is.
    """

    network: nn.Module
    notes: Mapping[str, str] = field(validator=_check_notes)
    inputs: Tensor
    outputs: Tensor
    facts: Mapping[str, Any]


@runtime_checkable
class Exportable(Protocol):
    """An environment that can hand over what it grew. Its `reset` takes `options={"instances": [...]}`."""

    def grown(self, env: int) -> Grown:
        """Return what an environment grew in the episode that has ended; only what is permanent belongs to it."""
