"""Claims against measurements: whoever claims too much is RED, whoever claims too little YELLOW."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from esper_core import ComponentSpec
from esper_core.composition.recipes import Recipes
from esper_core.registry.index import Component, Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_testing.matrix.cell import KINDS, Cell, Measurement, choose, make_cells, plan_cell
from esper_testing.matrix.pairs import pairs
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


def canary(kind: str, name: str, factory: str, **more: Any) -> ComponentSpec:
    return ComponentSpec(kind=kind, name=name, factory=f"plugins.testing.tests.matrix.canaries:{factory}", **more)


def features(name: str, describe: str, **more: Any) -> ComponentSpec:
    factory, config = "esper_obs_v3.features:ObsV3", "esper_obs_v3.config:ObsV3Config"
    return ComponentSpec(kind="features", name=name, factory=factory, config=config, describe=describe, **more)


CANARIES = (
    canary("network", "hesitant", "Hesitant", config=LSTM),
    canary("loss", "crashing", "Crashing", config=PPO),
    canary("loss", "numb", "Numb", config=PPO),
    canary("loss", "poisonous", "Poisonous", config=PPO),
    canary("loss", "leaving", "leaving", config=PPO),
    canary("critic", "incomplete", "incomplete"),
    canary("critic", "nowhere", "NoSuchCritic"),
    features("hungry", "esper_obs_v3.schema:describe", reads=("mood",)),
    features("buggy", "plugins.testing.tests.matrix.canaries:undescribable"),
    ComponentSpec(kind="loss", name="factored-ppo", factory="esper_factored_ppo.loss:FactoredPpo", config=PPO),
)


@pytest.fixture(scope="module")
def index() -> Index:
    installed = load_index()
    extra = [Component(spec, "acme", "acme", "1.0") for spec in CANARIES]
    return evolve(installed, components=(*installed.components, *extra))


def cells(
    index: Index, *, slots: tuple[int, ...] = (2,), options: tuple[str, ...] = TINY, **only: list[str]
) -> list[Cell]:
    usual = {**USUAL, "loss": ["esper-factored-ppo:factored-ppo"]}
    return make_cells(
        index,
        Recipes(),
        environment=resolve(index, "environment", "growth"),
        slots=slots,
        only={**usual, **only},
        uses={},
        options=options,
        seed=0,
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
    ("only", "component", "error"),
    [
        ({"loss": ["crashing"]}, "loss/crashing", "ValueError: there is no field 'surprise'"),
        ({"loss": ["poisonous"]}, "", "finite"),
        ({"loss": ["numb"]}, "", "One update has moved no weight."),
        ({"loss": ["leaving"]}, "loss/leaving", "failed while being built: SystemExit: 7"),
        ({"critic": ["incomplete"]}, "critic/incomplete", "it lacks rescale_"),
        ({"critic": ["nowhere"]}, "critic/nowhere", "has no attribute 'NoSuchCritic'"),
        ({"features": ["buggy"]}, "features/buggy", "failed while describing itself: RuntimeError"),
    ],
)
def test_an_over_claim_is_red_and_names_the_component(
    index: Index, only: dict[str, list[str]], component: str, error: str
) -> None:
    cell = tried(index, **only)
    assert (cell.prediction.fits, cell.measurement.status, cell.agreement) == (True, "fails", "over-claim")
    assert cell.measurement.component == component and error in cell.measurement.error
    result = Matrix("environment/growth", [cell], 1.0)
    assert (result.colour, result.exit_code) == ("RED", 5)


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


def test_red_beats_yellow_and_untested_is_counted(index: Index) -> None:
    row = cells(index, slots=(1, 2, 3, 4))
    row[0].measurement = Measurement("fails", "no", "loss/x", 0.5)
    row[1].prediction, row[1].measurement = evolve(row[1].prediction, fits=False), Measurement("works")
    row[2].measurement = Measurement("works")
    document = Matrix("environment/growth", row, 1.23456).to_json()
    assert (document["verdict"], document["untested"], document["seconds"]) == ("RED", 1, 1.235)
    found = [(cell["measured"]["status"], cell["agreement"]) for cell in document["cells"]]
    assert found == [("fails", "over-claim"), ("works", "under-claim"), ("works", "agrees"), ("untested", None)]
    assert document["cells"][0]["measured"] == {"status": "fails", "error": "no", "component": "loss/x", "seconds": 0.5}


def test_every_combination_has_a_cell(index: Index) -> None:
    both = cells(
        index,
        slots=(1, 3),
        network=["lstm-v1", "hesitant"],
        critic=["state-value", "op-conditioned-critic"],
        loss=["esper-factored-ppo:factored-ppo", "acme:factored-ppo", "acme:factored_ppo"],
    )
    assert len({tuple(cell.row.values()) for cell in both}) == len(both) == 2 * 2 * 2 * 2
    assert {cell.row["loss"] for cell in both} == {"esper-factored-ppo:factored-ppo", "acme:factored-ppo"}
    assert [list(cell.row) for cell in both] == [["slots", *KINDS]] * len(both)


def test_an_adapter_is_combined_only_where_it_is_named(index: Index) -> None:
    spec = evolve(resolve(index, "masks", "lifecycle").spec, name="adapter", only_by_name=True)
    index = evolve(index, components=(*index.components, Component(spec, "acme", "acme", "1.0")))
    growth = resolve(index, "environment", "growth")
    naming = evolve(growth, spec=evolve(growth.spec, defaults={**growth.spec.defaults, "masks": "adapter"}))
    only = {**USUAL, "loss": ["esper-factored-ppo:factored-ppo"]}
    del only["masks"]

    def masks(environment: Component, **named: list[str]) -> list[str]:
        given: dict[str, Any] = {"slots": (2,), "uses": {}, "options": TINY, "seed": 0}
        made = make_cells(index, Recipes(), environment=environment, only={**only, **named}, **given)
        return [str(cell.row["masks"]) for cell in made]

    assert masks(growth) == ["lifecycle"]
    assert sorted(masks(naming)) == ["adapter", "lifecycle"]
    assert masks(growth, masks=["adapter"]) == ["adapter"]


def test_pairs_are_tested_where_everything_fits(index: Index) -> None:
    every = cells(
        index,
        slots=(1, 3),
        features=["obs-v3", "flat", "hungry"],
        network=["lstm-v1", "hesitant"],
        critic=["state-value", "op-conditioned-critic"],
    )
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
