"""Layout, ranges and contract of the features `obs-v3`."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core import ActionSpec, Head, StateField, StateSpec
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext
from esper_obs_v3.config import ObsV3Config
from esper_obs_v3.features import ObsV3
from esper_obs_v3.schema import STAGES, describe

Quiet = Callable[..., dict[str, Tensor]]


@pytest.mark.parametrize(("num_slots", "dim"), [(1, 61), (3, 121), (8, 271)])
def test_dimensions(extractor: Callable[..., ObsV3], quiet: Quiet, num_slots: int, dim: int) -> None:
    extract, state = extractor(num_slots), quiet({"blueprint": 7}, envs=4, num_slots=num_slots)
    features, schema = extract(state), extract.schema
    assert (len(schema.base), len(schema.per_slot)) == (31, 30)
    assert schema.dim == len(set(schema.names)) == dim and features.obs.shape == (4, dim)
    (block,) = schema.indices
    assert (block.name, block.width, block.vocabulary) == ("blueprint", num_slots, 13)
    assert list(features.indices) == ["blueprint"] and torch.equal(features.indices["blueprint"], state["blueprint"])


def test_what_is_trained_is_seen_where_it_is_asked_for(build: Callable[..., BuildContext], quiet: Quiet) -> None:
    config, plain = ObsV3Config(world=True), build(3)
    published = {
        "host_parameters": [1, 100, 1_000, 100_000, 10**9],
        "channels": [[6, 6, 6], [16, 16, 16], [8, 16, 32], [32, 32, 128], [512, 512, 512]],
        "train_samples": [10, 100, 1000, 2000, 10**6],
        "axes": [1, 2, 1, 2, 3],
    }
    sizes = [
        StateField(name, ("E", "N") if name == "channels" else ("E",), "int", "", "", 1, 10**9) for name in published
    ]
    for missing in published:
        spec = StateSpec((*plain.state_spec.fields, *(size for size in sizes if size.name != missing)))
        with pytest.raises(IncompatiblePlan, match=f"'{missing}'"):
            describe(config, plain.slots, plain.actions, spec)
    context = evolve(plain, state_spec=StateSpec((*plain.state_spec.fields, *sizes)))
    extract, state = ObsV3(config, context), quiet(envs=5)
    state |= {name: torch.tensor(values) for name, values in published.items()}
    seen, unseen = extract(state).obs, ObsV3(ObsV3Config(), context)(state).obs
    assert extract.schema.dim == seen.shape[1] == 125
    expected = {
        "host_size": [0, 0, 1 / 3, 1, 1],
        "host_width": [math.log2(6 / 16), 0, 0, 5 / 3, 2],
        "train_samples": [-2, -2, 0, math.log(2), 2],
        "two_axes": [0, 1, 0, 1, 1],
    }
    columns = [extract.schema.names.index(name) for name in expected]
    torch.testing.assert_close(seen[:, columns], torch.tensor(list(expected.values())).T)
    assert torch.equal(torch.cat([seen[:, : columns[0]], seen[:, columns[-1] + 1 :]], dim=1), unseen)


def test_it_passes_every_check_of_its_kind(conforms: Callable[[str], None]) -> None:
    """Among them: declared ranges, rows by themselves, the fields that are read, and that each moves its columns."""
    pytest.importorskip("esper_growth", reason="the environment that publishes what these features read")
    conforms("features/obs-v3")


def test_stages_mean_what_they_mean_to_growth() -> None:
    stages = pytest.importorskip("esper_growth.stages", reason="the growth environment is a distribution of its own")
    assert tuple(stage.name for stage in stages.Stage) == STAGES


def test_an_empty_slot_is_all_zero_whatever_is_published_of_it(extractor: Callable[..., ObsV3], quiet: Quiet) -> None:
    empty = {"stage": STAGES.index("DORMANT"), "blueprint": -1}
    features = extractor(2)(quiet({**empty, "alpha": 0.5, "gradient_norm": 3.0, "interaction_age": -1}, num_slots=2))
    assert (features.obs[:, 61:91] == 0).all() and (features.obs[:, 31] == 1).all()
    assert features.indices["blueprint"][:, 1].tolist() == [-1, -1]


def test_the_digest_is_pinned_and_covers_the_options(extractor: Callable[..., ObsV3]) -> None:
    """A new digest refuses every checkpoint: it changes only when a column's meaning does."""
    schema = extractor(3).schema
    assert schema.digest == "8da91cb61ff33062"
    assert extractor(3, freshness_decay=0.9).schema.digest != schema.digest
    assert extractor(3, parameter_budget=10_000).schema.digest != schema.digest
    assert extractor(5).schema.digest != schema.digest


def test_options_change_the_numbers(extractor: Callable[..., ObsV3], quiet: Quiet) -> None:
    extract = extractor(1, parameter_budget=99, freshness_decay=0.5)
    obs = extract(quiet({"seed_parameters": 99, "interaction_age": 3}, num_slots=1)).obs[0]
    columns = map(extract.schema.names.index, ("params_utilization", "slot0.counterfactual_fresh"))
    assert [float(obs[column]) for column in columns] == [1.0, 0.125]


def test_operations_come_from_the_environment(build: Callable[..., BuildContext]) -> None:
    context = build(2)
    actions = ActionSpec((Head("verb", ("REST", "GROW")), Head("blueprint", ("a", "b", "c"))), root="verb")
    schema = describe(ObsV3Config(), context.slots, actions, context.state_spec)
    assert [f.name for f in schema.base[25:]] == ["last_op.REST", "last_op.GROW"]
    assert schema.indices[0].vocabulary == 3


def test_environments_it_does_not_fit_are_refused(build: Callable[..., BuildContext]) -> None:
    context = build(2)
    with pytest.raises(IncompatiblePlan, match="action head 'blueprint'"):
        describe(ObsV3Config(), context.slots, ActionSpec((Head("op", ("WAIT",)),), root="op"), context.state_spec)

    for name, changes, message in (
        ("loss_history", {"shape": ("E", 7)}, "5 epochs of 'loss_history'"),
        ("stage", {"high": 10}, "know 10 stages"),
    ):
        fields = [evolve(field, **changes) if field.name == name else field for field in context.state_spec.fields]
        with pytest.raises(IncompatiblePlan, match=message):
            describe(ObsV3Config(), context.slots, context.actions, StateSpec(tuple(fields)))
