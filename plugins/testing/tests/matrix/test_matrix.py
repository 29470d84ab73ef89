"""Claims against measurements: whoever claims too much is RED, whoever claims too little YELLOW."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from esper_core import ComponentSpec
from esper_core.composition.recipes import Recipes
from esper_core.registry.index import Component, Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_factored_ppo.loss import FactoredPpo
from esper_lstm_v2.network import LstmNetwork
from esper_testing.matrix.cell import KINDS, Cell, choose, make_cells, plan_cell
from esper_testing.matrix.pairs import choose_pairwise, pairs
from esper_testing.matrix.trial import try_cell
from esper_testing.matrix.verdict import Matrix

TINY = ("environment.epochs=4", "task.train_samples=100", "network.hidden_dim=16")
USUAL = {
    "features": ["obs-v3"],
    "network": ["lstm-v1"],
    "critic": ["state-value"],
    "masks": ["lifecycle"],
    "loss": ["factored-ppo"],
}
LSTM, PPO = "esper_lstm_v2.config:LstmV1Config", "esper_factored_ppo.config:FactoredPpoConfig"


class Hesitant(LstmNetwork):
    """Reveals logits per operation, but does not say so."""


class Weighted(FactoredPpo):
    """A loss that is multiplied."""

    weight = 1.0

    def __call__(self, batch: Any, evaluation: Any) -> Any:
        result = super().__call__(batch, evaluation)
        return evolve(result, loss=result.loss * self.weight)


class Numb(Weighted):
    """Has no gradient."""

    weight = 0.0


class Poisonous(Weighted):
    """Is no number; the trainer must not carry on with it."""

    weight = math.nan


class Crashing(FactoredPpo):
    """Says that it fits everything, and fits nothing."""

    def __call__(self, batch: Any, evaluation: Any) -> Any:
        raise ValueError("there is no field 'surprise'")


def leaving(config: Any, context: Any) -> Any:
    raise SystemExit(7)


def incomplete(config: Any, context: Any) -> Any:
    return nn.Linear(1, 1)


def undescribable(*_: Any) -> Any:
    raise RuntimeError("this description has a bug")


def canary(kind: str, name: str, factory: str, **more: Any) -> ComponentSpec:
    factory = factory if ":" in factory else f"{__name__}:{factory}"
    return ComponentSpec(kind=kind, name=name, factory=factory, **more)


OBS = {"factory": "esper_obs_v3.features:ObsV3", "config": "esper_obs_v3.config:ObsV3Config"}
CANARIES = (
    canary("network", "hesitant", "Hesitant", config=LSTM),
    canary("network", "boastful", "Hesitant", config=LSTM, provides=("network:any-slots",)),
    *(canary("loss", name.lower(), name, config=PPO) for name in ("Crashing", "Numb", "Poisonous", "leaving")),
    canary("loss", "factored-ppo", "esper_factored_ppo.loss:FactoredPpo", config=PPO),
    canary("critic", "incomplete", "incomplete"),
    canary("critic", "nowhere", "NoSuchCritic"),
    canary("features", "hungry", describe="esper_obs_v3.schema:describe", reads=("mood",), **OBS),
    canary("features", "buggy", describe=f"{__name__}:undescribable", **OBS),
)


@pytest.fixture(scope="module")
def index() -> Index:
    installed = load_index()
    extra = [Component(spec, "acme", "acme", "1.0") for spec in CANARIES]
    return evolve(installed, components=(*installed.components, *extra))


def cells(
    index: Index,
    *,
    slots: tuple[int, ...] = (2,),
    options: tuple[str, ...] = TINY,
    environment: Component | None = None,
    **only: list[str] | None,
) -> list[Cell]:
    environment = environment or resolve(index, "environment", "growth")
    wanted = {**USUAL, "loss": ["esper-factored-ppo:factored-ppo"], **only}
    chosen = {kind: names for kind, names in wanted.items() if names}
    return make_cells(
        index, Recipes(), environment=environment, slots=slots, only=chosen, uses={}, options=options, seed=0
    )


def tried(index: Index, **only: list[str]) -> Cell:
    (cell,) = cells(index, **only)
    cell.measurement = try_cell(cell, index, Recipes())
    return cell


def test_what_is_said_to_fit_and_fits(index: Index) -> None:
    cell = tried(index)
    assert (cell.prediction.fits, cell.measurement.status, cell.agreement) == (True, "works", "agrees")
    assert cell.row == {"slots": 2, **{kind: names[0] for kind, names in USUAL.items()}}
    assert Matrix("environment/growth", [cell], 1.0).colour == "GREEN"


@pytest.mark.parametrize(
    ("key", "named", "error"),
    [
        ("loss/crashing", True, "ValueError: there is no field 'surprise'"),
        ("loss/poisonous", False, "finite"),
        ("loss/numb", False, "One update has moved no weight."),
        ("loss/leaving", True, "failed while being built: SystemExit: 7"),
        ("network/boastful", True, "with 3 slots other weights than with 2: network."),
        ("critic/incomplete", True, "it lacks rescale_"),
        ("critic/nowhere", True, "has no attribute 'NoSuchCritic'"),
        ("features/buggy", True, "failed while describing itself: RuntimeError"),
    ],
)
def test_an_over_claim_is_red_and_names_the_component(index: Index, key: str, named: bool, error: str) -> None:
    kind, _, name = key.partition("/")
    cell = tried(index, **{kind: [name]})
    assert (cell.prediction.fits, cell.measurement.status, cell.agreement) == (True, "fails", "over-claim")
    assert cell.measurement.component == (key if named else "") and error in cell.measurement.error
    result = Matrix("environment/growth", [cell], 1.0)
    assert (result.colour, result.exit_code) == ("RED", 5)


def test_weights_for_any_number_of_slots_are_believed_where_they_are(index: Index) -> None:
    cell = tried(index, network=["lstm-slots"], features=["obs-slots"])
    assert (cell.measurement.error, cell.agreement) == ("", "agrees")


def test_an_under_claim_is_yellow(index: Index) -> None:
    cell = tried(index, network=["hesitant"], critic=["op-conditioned-critic"])
    assert not cell.prediction.fits and "requires 'network:op-logits'" in cell.prediction.reason
    assert (cell.measurement.status, cell.agreement) == ("works", "under-claim")
    result = Matrix("environment/growth", [cell], 1.0)
    assert (result.colour, result.exit_code) == ("YELLOW", 0)


def test_a_missing_state_field_cannot_be_overridden(index: Index) -> None:
    cell = tried(index, features=["hungry"])
    assert not cell.prediction.fits and "reads the state field 'mood'" in cell.prediction.reason
    assert (cell.measurement.status, cell.agreement) == ("fails", "agrees")
    assert "'mood'" in cell.measurement.error and cell.measurement.component == "features/hungry"


BOTH: dict[str, Any] = {"network": ["lstm-v1", "hesitant"], "critic": ["state-value", "op-conditioned-critic"]}


def test_every_combination_has_a_cell(index: Index) -> None:
    losses = ["esper-factored-ppo:factored-ppo", "acme:factored-ppo", "acme:factored_ppo"]
    both = cells(index, slots=(1, 3), loss=losses, **BOTH)
    assert len({tuple(cell.row.values()) for cell in both}) == len(both) == 2 * 2 * 2 * 2
    assert {cell.row["loss"] for cell in both} == {"esper-factored-ppo:factored-ppo", "acme:factored-ppo"}
    assert [list(cell.row) for cell in both] == [["slots", *KINDS]] * len(both)


def test_an_adapter_is_combined_only_where_it_is_named(index: Index) -> None:
    spec = evolve(resolve(index, "masks", "lifecycle").spec, name="adapter", only_by_name=True)
    index = evolve(index, components=(*index.components, Component(spec, "acme", "acme", "1.0")))
    growth = resolve(index, "environment", "growth")
    naming = evolve(growth, spec=evolve(growth.spec, defaults={**growth.spec.defaults, "masks": "adapter"}))
    for environment, named, found in (
        (growth, None, {"lifecycle"}),
        (naming, None, {"adapter", "lifecycle"}),
        (growth, ["adapter"], {"adapter"}),
    ):
        assert {cell.row["masks"] for cell in cells(index, environment=environment, masks=named)} == found


def test_pairs_are_tested_where_everything_fits(index: Index) -> None:
    every = cells(index, slots=(1, 3), features=["obs-v3", "flat", "hungry"], **BOTH)
    chosen = choose(every, full=False)
    assert len(chosen) < len(every) and chosen == [cell for cell in every if cell in chosen]

    def met(cells: list[Cell], fits: bool) -> frozenset[Any]:
        return frozenset().union(*(pairs(cell.row) for cell in cells if cell.prediction.fits is fits))

    assert met(chosen, True) == met(every, True)
    assert met(chosen, True) | met(chosen, False) == met(every, True) | met(every, False)
    assert choose(every, full=True) == every


def test_an_option_that_names_a_component_concerns_its_cells_alone(index: Index) -> None:
    options = ("environment.epochs=9", "network.hesitant.hidden_dim=24", "train.lr=0.01")
    first, second = cells(index, network=["lstm-v1", "hesitant"], options=options)
    assert plan_cell(first, index, Recipes()).component("network").config["hidden_dim"] == 128
    assert plan_cell(second, index, Recipes()).component("network").config["hidden_dim"] == 24
    plan = plan_cell(first, index, Recipes())
    assert (plan.component("environment").config["epochs"], plan.component("environment").config["workers"]) == (9, 1)
    assert (plan.train["lr"], plan.envs, plan.device) == (0.01, 2, "cpu")


# Few rows, every pair

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def rows_of(sizes: list[int]) -> list[dict[str, int]]:
    names = [f"c{i}" for i in range(len(sizes))]
    return [dict(zip(names, values, strict=True)) for values in product(*map(range, sizes))]


@settings(deadline=None)
@given(SIZES)
def test_every_pair_of_values_occurs(sizes: list[int]) -> None:
    rows = rows_of(sizes)
    chosen = choose_pairwise(rows)
    for a, b in combinations(range(len(sizes)), 2):
        met = {(rows[number][f"c{a}"], rows[number][f"c{b}"]) for number in chosen}
        assert met == set(product(range(sizes[a]), range(sizes[b])))
    if len(sizes) == 1:
        assert [rows[number]["c0"] for number in chosen] == list(range(sizes[0]))

    # It is small, and has no row twice.
    assert len(set(chosen)) == len(chosen) <= math.prod(sizes)
    assert list(chosen) == sorted(chosen)
    # Two columns need as many rows as they have pairs; greedy needs at most about twice as many for all columns.
    largest = sorted(sizes, reverse=True)[:2]
    assert math.prod(largest) <= len(chosen) <= 2 * math.prod(largest) + 1


@settings(deadline=None)
@given(SIZES.filter(lambda sizes: math.prod(sizes) > 1), st.randoms())
def test_pairs_that_have_met_are_not_asked_for_again(sizes: list[int], random: object) -> None:
    rows = rows_of(sizes)
    half = rows[: len(rows) // 2]
    met = frozenset().union(*map(pairs, half))
    rest = rows[len(half) :]
    chosen = [rest[number] for number in choose_pairwise(rest, met)]
    assert frozenset().union(*map(pairs, rest)) <= met.union(*map(pairs, chosen))
    assert all(pairs(row) - met for row in chosen)
