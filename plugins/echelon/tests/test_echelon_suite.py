"""The suite observation in blocks and as features, and what the package exports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

import esper_echelon
from esper_core import ActionSpec, ContinuousHead, SlotConfig, StateField, StateSpec
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext
from esper_core.registry.loading import load_index
from esper_echelon import FLAT_OBS_DIM, SUITE_DESCRIPTOR_DIM, SuiteObservation, flat_obs_to_suite_obs
from esper_echelon.perception.features import SuiteFeatures
from esper_echelon.perception.layout import COLUMNS, CONTACT_MASK_AT, CONTACTS_AT, EGO, SQUAD_AT, SQUAD_MASK_AT
from esper_echelon.perception.observation import observe
from esper_echelon.simulation.arena import Arena
from esper_echelon.simulation.roster import Roster
from tests.command import Esper


@pytest.mark.parametrize(
    "key", ["features/suite", "network/combat-suite", "network/actor-critic-lstm", "critic/linear-value"]
)
def test_they_pass_every_check_of_their_kind(conforms: Callable[[str], None], key: str) -> None:
    conforms(key)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [(("combat-suite",), 193_939), (("actor-critic-lstm", "--environment", "echelon"), 240_403)],
)
def test_policy_show_counts(esper: Esper, words: tuple[str, ...], parameters: int) -> None:
    shown = json.loads(esper("policy", "show", *words, "--json").stdout)
    assert (shown["parameters"], shown["observation_dim"], shown["horizon"]) == (parameters, 706, 240)
    assert shown["heads"]["act"]["outputs"] == 18


def test_which_pieces_fit_is_known_before_anything_is_built() -> None:
    index = load_index()

    def plan(policy: str, environment: str = "echelon", **uses: str) -> list[str]:
        chosen = make_plan(PlanRequest(policy=policy, environment=environment, uses=uses), index).components
        return [component.name for component in chosen[:4]]

    assert plan("combat-suite") == ["combat-suite", "echelon", "suite", "linear-value"]
    assert plan("actor-critic-lstm") == ["actor-critic-lstm", "echelon", "suite", "linear-value"]
    assert plan("actor-critic-lstm", "growth") == ["actor-critic-lstm", "growth", "flat", "linear-value"]
    with pytest.raises(IncompatiblePlan, match="'suite', which environment 'growth'"):
        plan("combat-suite", "growth")
    with pytest.raises(IncompatiblePlan, match="requires 'features:suite'"):
        plan("combat-suite", features="flat")
    with pytest.raises(
        IncompatiblePlan, match=r"the actions of environment 'echelon' \(.*\) have no operation head"
    ) as caught:
        plan("actor-critic-lstm", critic="op-conditioned-critic")
    assert "linear-value, state-value" in caught.value.hint


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


def test_what_the_arena_shows_comes_back_whole_and_is_what_it_says() -> None:
    arena = Arena(Roster(2), 2)
    arena.begin(0, seed=1, size=30, packs=1, side=0)
    arena.begin(1, seed=2, size=40, packs=2, side=1)
    chance = np.random.default_rng(0)
    for _ in range(40):
        arena.step(chance.uniform(-1, 1, (2, 26, 9)))
    seen = torch.from_numpy(observe(arena))
    suite = flat_obs_to_suite_obs(seen)
    assert torch.equal(suite.flat(), seen) and suite.ego_state.shape == (2, 26, 32)
    assert torch.equal(
        SuiteFeatures(None, context(706))({"suite": seen.flatten(0, 1)}).obs, seen.flatten(0, 1).double()
    )
    masks, alive = torch.cat([suite.contact_mask, suite.squad_mask], -1), torch.from_numpy(arena.mechs.alive)
    assert ((masks == 0) | (masks == 1)).all() and (masks[~alive] == 1).all() and not (masks[alive] == 1).all(-1).any()
    real = suite.contacts[suite.contact_mask == 0]
    assert (real[:, 13:16].sum(-1) == 1).all() and (real[:, 21] == 1).all(), "one relation, and visible"
    yaw = suite.ego_state[alive][:, EGO.index("sin_yaw") :][:, :2]
    torch.testing.assert_close(
        yaw, torch.from_numpy(arena.mechs.heading[arena.mechs.alive][:, ::-1].astype(np.float32))
    )
    named = torch.from_numpy(np.broadcast_to(arena.roster.suite, (2, 26)).copy())
    assert torch.equal(suite.suite_descriptor[alive][:, :6].argmax(-1), named[alive])


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
