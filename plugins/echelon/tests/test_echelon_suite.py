"""The suite observation in blocks and as features, and what the package exports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import esper_echelon
from esper_core import ActionSpec, ContinuousHead, SlotConfig, StateField, StateSpec
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext
from esper_echelon import FLAT_OBS_DIM, SUITE_DESCRIPTOR_DIM, SuiteObservation, flat_obs_to_suite_obs
from esper_echelon.features import SuiteFeatures
from esper_echelon.layout import COLUMNS, CONTACT_MASK_AT, CONTACTS_AT, SQUAD_AT, SQUAD_MASK_AT


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (2, 3, 5)])
def test_every_number_goes_to_its_block_whatever_the_leading_axes(lead: tuple[int, ...]) -> None:
    count = torch.Size(lead).numel()
    flat = torch.arange(count * FLAT_OBS_DIM, dtype=torch.float64).reshape(*lead, FLAT_OBS_DIM)
    suite = flat_obs_to_suite_obs(flat)
    shapes = [tuple(block.shape) for block in suite]
    assert shapes == [(*lead, *s) for s in ((20, 25), (20,), (12, 10), (12,), (32,), (SUITE_DESCRIPTOR_DIM,), (8,))]
    first = SuiteObservation(*(block.reshape(count, *block.shape[len(lead) :])[0] for block in suite))
    assert [float(block.flatten()[0]) for block in first] == [0, 500, 520, 640, 652, 684, 698]
    assert float(first.contacts[3, 2]) == 77 and float(first.squad[1, 9]) == 539, "row by row"
    assert torch.equal(suite.flat(), flat)


@pytest.mark.parametrize("shape", [(4, 705), (4, 707), (706, 4), (0,), ()])
def test_another_width_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[\.\.\., 706\]"):
        flat_obs_to_suite_obs(torch.zeros(shape))


def context(*shape: int) -> BuildContext:
    field = StateField("suite", ("E", *shape), "float", "", "", -2.0, 2.0)
    actions = ActionSpec((ContinuousHead("act", ("x",)),))
    slots, state = SlotConfig.for_grid(1, 1), StateSpec((field,))
    return BuildContext(slots, actions, state, None, 0, 0.99, 2, 0, "cpu", torch.float64)


def test_features_are_the_field_under_its_names_with_zeros_in_padding() -> None:
    extract = SuiteFeatures(None, context(706))
    assert extract.schema.names == COLUMNS and len(set(COLUMNS)) == extract.schema.dim == 706
    assert COLUMNS[0] == "contacts.0.x" and COLUMNS[652 + 8] == "ego.sin_yaw" and COLUMNS[-1] == "panel.detail"
    assert (extract.schema.base[25].formula, extract.schema.base[-1].formula) == (
        *("x relative to the mech / the map's side", "level of detail about the squad / 2"),
    )
    suite = torch.rand(2, 706) + 0.1
    for rows, mask, width in ((CONTACTS_AT, CONTACT_MASK_AT, 25), (SQUAD_AT, SQUAD_MASK_AT, 10)):
        suite[:, mask] = 0.0
        suite[1, mask.stop - 1] = 1.0
        suite[1, rows.stop - width : rows.stop] = torch.nan
    expected = suite.nan_to_num(0.0).double()
    found = extract({"suite": suite})
    assert torch.equal(found.obs, expected) and not found.indices and not found.arrays
    assert suite.isnan().sum() == 35, "the state stays as it is"


def test_another_field_called_suite_is_refused() -> None:
    with pytest.raises(IncompatiblePlan, match=r"expected float \['E', 706\]"):
        SuiteFeatures(None, context(700))


def test_exports_are_there_and_importing_them_imports_no_torch() -> None:
    assert all(getattr(esper_echelon, name) is not None for name in esper_echelon.__all__)
    assert set(esper_echelon.__all__) <= set(dir(esper_echelon))
    with pytest.raises(AttributeError, match="no attribute 'Arenas'"):
        esper_echelon.Arenas  # noqa: B018
    code = """
import sys, esper_echelon
assert esper_echelon.FLAT_OBS_DIM == 706 and esper_echelon.SuiteObservation and esper_echelon.flat_obs_to_suite_obs
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
