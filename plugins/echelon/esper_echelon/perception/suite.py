"""The 706 numbers of the suite observation by block. Importing this module imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from esper_echelon.perception.layout import BLOCKS, FLAT_OBS_DIM, SUITE_DESCRIPTOR_DIM

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FLAT_OBS_DIM", "SUITE_DESCRIPTOR_DIM", "SuiteObservation", "flat_obs_to_suite_obs"]


class SuiteObservation(NamedTuple):
    """The observation by block, in the order of the layout. In both masks 1 is padding and 0 is real.

    Attributes:
        contacts: `[..., 20, 25]`.
        contact_mask: `[..., 20]`.
        squad: `[..., 12, 10]`.
        squad_mask: `[..., 12]`.
        ego_state: `[..., 32]`.
        suite_descriptor: `[..., 14]`.
        panel_stats: `[..., 8]`.
    """

    contacts: Tensor
    contact_mask: Tensor
    squad: Tensor
    squad_mask: Tensor
    ego_state: Tensor
    suite_descriptor: Tensor
    panel_stats: Tensor

    def flat(self) -> Tensor:
        """Return the blocks side by side, `[..., 706]`: the inverse of `flat_obs_to_suite_obs`."""
        import torch

        lead = self.ego_state.shape[:-1]
        return torch.cat([block.reshape(*lead, -1) for block in self], dim=-1)


def flat_obs_to_suite_obs(flat: Tensor) -> SuiteObservation:
    """Return the blocks of `flat [..., 706]`, which may have any leading axes.

    Raises:
        ValueError: it has another width.
    """
    if not flat.shape or flat.shape[-1] != FLAT_OBS_DIM:
        raise ValueError(f"the observation is {list(flat.shape)}, expected [..., {FLAT_OBS_DIM}]")
    lead = flat.shape[:-1]
    # A mask is one number per row, so it loses the axis of its single name; the others of one row lose that of rows.
    forms = {block: (block.rows, len(block.names)) for block in BLOCKS}
    return SuiteObservation(
        *(flat[..., block.at].reshape(*lead, *(size for size in form if size > 1)) for block, form in forms.items())
    )
