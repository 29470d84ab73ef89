"""Planning: which component is chosen and why, what its options become, and what cannot be planned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esper_core.composition import plan as plans
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.composition.recipes import Recipes, load_recipes
from esper_core.contracts.errors import (
    CheckpointMismatch,
    ConfigError,
    EsperError,
    IncompatiblePlan,
    PluginError,
    RegistryFileError,
    UnknownComponent,
)
from esper_core.diagnosis.check import check_recipes
from esper_core.registry.index import Index


def plan(index: Index, recipes: Recipes | None = None, **said: Any) -> Plan:
    said.setdefault("policy", "small-net")
    uses = {"environment": "toy", **said.pop("uses", {})}
    return make_plan(PlanRequest(uses=uses, **said), index, recipes)


def names(made: Plan) -> dict[str, str]:
    return {planned.kind: planned.name for planned in made.components}


def recipes_of(folder: Path, text: str) -> Recipes:
    (folder / "registry.toml").write_text(f"schema = 1\n{text}")
    return load_recipes(folder / "registry.toml")


def test_a_plan_is_the_closure_of_defaults(index: Index) -> None:
    made = plan(index)
    assert names(made) == {
        "network": "small-net",
        "environment": "toy",
        "features": "wide",  # the network's default
        "critic": "picky",  # the network's default
        "masks": "open",  # the environment's default
        "loss": "only-loss",  # the only one installed
        "trinket": "plain",  # the environment's default, of a kind that core does not know
        "gadget": "small-one",  # drawn on by the environment
    }
    slots = ("r0c0", "r0c1", "r0c2")
    assert (made.policy, made.slots, made.seed, made.envs, made.updates) == ("small-net", slots, 0, 8, 40)
    assert (made.device, made.threads, made.precision, made.train["lr"]) == ("auto", 1, "float32", 3e-4)
    environment = {"epochs": 4, "gadgets": ["Small_one"], "publish_extra": True, "fail": ""}
    assert made.component("environment").config == environment
    assert (made.component("critic").config["colour"], made.component("loss").config) == ("red", {})


def test_a_plan_survives_json(index: Index) -> None:
    options = ["critic.pair=[4, 5]", "train.lr=1e-3", "critic.table={a = nan}"]
    made = plan(index, slots="r0c0,r1c2", options=options, seed=7, device="cuda:1", precision="bf16")
    content = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert Plan.from_json(content) == made, "a number that is none equals itself"
    assert made != plan(index, slots="r0c0,r1c2", options=[*options, "critic.table={a = inf}"])
    del content["threads"]
    assert Plan.from_json(content) == made, "recorded before there was a choice"
    for damage, message in (
        ({"schema": 99}, "schema 99"),
        ({"components": [{"kind": "network"}]}, "damaged"),
        ({"train": {"lr": {"$float": "1"}}}, "damaged: '\\$float' marks nothing"),
    ):
        with pytest.raises(CheckpointMismatch, match=message):
            Plan.from_json({**content, **damage})


def test_precedence(index: Index, tmp_path: Path) -> None:
    def critic(text: str, **uses: str) -> str:
        return names(plan(index, recipes_of(tmp_path, text), policy="mine", uses=uses))["critic"]

    recipe = '[policy.mine]\nnetwork = "small-net"\n'
    assert critic(recipe) == "picky"  # the network's default
    assert critic('[defaults]\ncritic = "simple"\n' + recipe) == "simple"
    assert critic('[defaults]\ncritic = "simple"\n' + recipe + 'critic = "picky"') == "picky"
    assert critic(recipe + 'critic = "picky"', critic="simple") == "simple"
    text = '[defaults]\nmasks = "closed"\n[policy.mine]\nnetwork = "small-net"'
    assert names(plan(index, recipes_of(tmp_path, text), policy="mine"))["masks"] == "closed", "not the environment's"
    assert names(plan(index, uses={"trinket": "fancy"}))["trinket"] == "fancy"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("network.sise=1", "There is no option 'network.sise'. Did you mean 'size'?"),
        ("network.plain-net.size=1", "the plan has no network 'plain-net'"),
        ("gadget.size=1", "'gadget.size' could mean any of small-one"),
        ("gadget.small-one.size=0", "'gadget.small-one.size' cannot be 0."),
        ("train.minibatches=2", "'train.minibatches' is called 'train.num_minibatches' now."),
        ("train.adam.lr=1", "reads train.key=VALUE"),
        ("environment.fail=value", "cannot be used like this: these options are impossible."),
        ("train.teacher_weight=2", "'train.teacher_weight=2' concerns nothing: no rule teaches in this plan"),
    ],
)
def test_a_wrong_option_is_a_clear_error(index: Index, option: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(index, options=[option])
    assert message in caught.value.message


TABLE = '[policy.mine]\nnetwork = "small-net"\nenvironment = "toy"\n[policy.mine.options]\n'


def test_an_option_of_a_recipe_may_be_a_table(index: Index, tmp_path: Path) -> None:
    inline, dotted = "critic.table = {limit = inf, deep = {x = 1}}", "critic.table.limit = inf\ncritic.table.deep.x = 1"
    for written in (inline, dotted):
        made = plan(index, recipes_of(tmp_path, TABLE + written), policy="mine")
        assert made.component("critic").config["table"] == {"limit": float("inf"), "deep": {"x": 1}}
    recipes = recipes_of(tmp_path, TABLE + "critic.tabel = {limit = 1}")
    words = r"registry\.toml:6: There is no option 'critic\.tabel'\. Did you mean 'table'\?"
    with pytest.raises(RegistryFileError, match=words) as caught:
        plan(index, recipes, policy="mine")
    assert [error.message for error in check_recipes(recipes, index)] == [caught.value.message]


def test_components_that_do_not_fit_together(index: Index) -> None:
    with pytest.raises(IncompatiblePlan) as caught:
        plan(index, options=["environment.publish_extra=false"])
    words = "features 'wide' (toy-world 1.0) reads the state field 'extra', which environment 'toy' (toy-world 1.0)"
    assert words in caught.value.message and "toy publishes: level." in caught.value.hint
    with pytest.raises(IncompatiblePlan) as caught:
        plan(index, policy="plain-net", uses={"critic": "picky"})
    assert caught.value.message == (
        "critic 'picky' (toy-world 1.0) requires 'network:op-logits'; "
        "network 'plain-net' (toy-world 1.0) provides nothing."
    )
    assert "network=small-net" in caught.value.hint


def test_opponents_need_an_environment_with_two_sides(index: Index) -> None:
    asked: dict[str, Any] = {"wanted": ("opponents",), "options": ["opponents.size=5", "environment.sides=[]"]}
    duel = {"environment": "duel", "masks": "open"}
    with pytest.raises(IncompatiblePlan) as caught:
        plan(index, uses=duel, **asked)
    who = "opponents 'rivals' (toy-world 1.0)"
    assert caught.value.message == (
        f"{who} plays the other side of a match, but environment 'duel' (toy-world 1.0) has no two sides."
    )
    assert caught.value.hint == "Choose one that has with --use environment=NAME: duel."
    made = plan(index, uses=duel, wanted=("opponents",), options=["opponents.size=5"])
    assert made.component("opponents").config == {"size": 5, "folder": ""}, "the only one installed"
    assert "opponents" not in names(plan(index, uses=duel)), "none is needed"


def test_arrays_need_a_network_that_reads_them(index: Index) -> None:
    images = ["features.image=true"]
    with pytest.raises(IncompatiblePlan) as caught:
        plan(index, options=images)
    says = "features 'wide' (toy-world 1.0) has arrays, such as images, which network 'small-net' (toy-world 1.0)"
    assert caught.value.message == f"{says} does not read: 'image' [8, 8]."
    assert "No network here provides 'network:arrays'" in caught.value.hint
    reads = evolve(
        next(c.spec for c in index.components if c.name == "plain-net"),
        provides=("network:op-logits", "network:arrays"),
    )
    seeing = evolve(index, components=[evolve(c, spec=reads) if c.name == "plain-net" else c for c in index.components])
    with pytest.raises(IncompatiblePlan) as caught:
        plan(seeing, options=images)
    assert "--use network=NAME: plain-net" in caught.value.hint
    plan(seeing, uses={"network": "plain-net"}, options=images)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"options": ["environment.fail=bug"]}, "failed while describing itself: RuntimeError: a bug"),
        ({"options": ["environment.fail=nonsense"]}, "returned a str instead of EnvironmentDescription"),
        ({"uses": {"environment": "undescribed", "masks": "open"}}, "has no description"),
    ],
)
def test_an_environment_that_does_not_describe_itself(index: Index, said: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        plan(index, **said)


def test_which_policy_is_meant_when_nothing_is_said(index: Index, tmp_path: Path) -> None:
    for text in ('policy = "small-net"', 'network = "small-net"'):
        recipes = recipes_of(tmp_path, f"[defaults]\n{text}")
        assert plan(index, recipes, policy=None).policy == "small-net"
    assert plan(index, recipes, policy=None, uses={"network": "plain-net", "critic": "simple"}).policy == "plain-net"
    with pytest.raises(IncompatiblePlan, match="Nothing says which policy") as caught:
        plan(index, policy=None)
    assert "incomplete, plain-net, small-net" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said", "error", "message"),
    [
        ('[resolve]\n"critic/picky" = "else"', {}, UnknownComponent, "pins critic 'picky' from 'else'"),
        ("", {"uses": {"gadget": "small-one"}}, ConfigError, "says itself which gadget components it uses"),
        ("", {"environment": "epochless"}, ConfigError, "named twice"),
        ("", {"workers": 2}, ConfigError, "environment 'toy' .* has no option 'workers', so --workers"),
        ('[policy.x]\ncritic = "simple"', {"policy": "x"}, RegistryFileError, r"toml:2: No network named 'x'"),
        ('[defaults]\nprecision = "half"', {}, RegistryFileError, r"toml:3: precision cannot be 'half'"),
        ("", {"envs": 0}, ConfigError, "--envs cannot be 0"),
        ("", {"seed": 2**63}, ConfigError, "--seed cannot be"),
        ("", {"device": "CPU!"}, ConfigError, "--device cannot be 'CPU!'"),
        ("", {"precision": "bf61"}, ConfigError, "--precision cannot be 'bf61'. Did you mean 'bf16'"),
    ],
)
def test_what_cannot_be_planned(
    index: Index, tmp_path: Path, text: str, said: dict[str, Any], error: type[EsperError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        plan(index, recipes_of(tmp_path, text), **said)
    assert caught.value.exit_code == 2


def test_options_of_a_recipe(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, TABLE + 'critic.whole = 5\ncritic.text = "r"\ntrain.lr = 1')
    made = plan(index, recipes, policy="mine", options=["critic.whole=6"])
    assert (made.component("critic").config["whole"], made.component("critic").config["text"]) == (6, "r")
    assert made.train["lr"] == 1.0
    options = ["critic.whole=16", "critic.whole=32", "gadget.little.size=9", "critic.picky.text=b"]
    made = plan(index, options=options)
    assert (made.component("critic").config["whole"], made.component("critic").config["text"]) == (32, "b")
    assert made.component("gadget").config == {"size": 9}
    assert plan(index, recipes, policy="mine", uses={"critic": "simple"}).component("critic").config == {}
    assert plan(index, recipes, policy="mine", uses={"critic": "picky"}).component("critic").config["whole"] == 5


def test_epochs_are_an_option_of_the_environment(index: Index, tmp_path: Path) -> None:
    recipes, epochless = recipes_of(tmp_path, "[defaults]\nepochs = 7"), {"environment": "epochless", "masks": "open"}

    def epochs(recipes: Recipes | None = None, **said: Any) -> Any:
        return plan(index, recipes, **said).component("environment").config.get("epochs")

    assert epochs(epochs=9) == epochs(epochs=9, options=["environment.epochs=9"]) == 9
    assert (epochs(recipes), epochs(recipes, options=["environment.epochs=8"])) == (7, 8)
    assert epochs(recipes, uses=epochless) is None, "a default concerns who can"
    with pytest.raises(ConfigError, match=r"chosen twice: --epochs 9 and -o environment\.epochs=8"):
        epochs(epochs=9, options=["environment.epochs=8"])


def test_settings_of_the_registry_file(index: Index, tmp_path: Path) -> None:
    text = '[defaults]\nslots = 5\nenvs = 2\nupdates = 3\nseed = 4\ndevice = "cpu"\nthreads = 2\nprecision = "bf16"'
    recipes = recipes_of(tmp_path, text)

    def settings(made: Plan) -> tuple[Any, ...]:
        return len(made.slots), made.envs, made.updates, made.seed, made.device, made.threads, made.precision

    assert settings(plan(index, recipes)) == (5, 2, 3, 4, "cpu", 2, "bf16")
    said = {"slots": "1", "envs": 7, "updates": 8, "seed": 0, "device": "auto", "threads": 4, "precision": "float32"}
    assert settings(plan(index, recipes, **said)) == (1, 7, 8, 0, "auto", 4, "float32")


def test_an_adapter_is_chosen_by_its_name_alone(index: Index) -> None:
    (loss,) = index.of_kind("loss")
    adapter = evolve(loss, spec=evolve(loss.spec, name="adapter", only_by_name=True))
    others = tuple(component for component in index.components if component.kind != "loss")
    both = evolve(index, components=(*others, loss, adapter))
    assert names(plan(both))["loss"] == "only-loss"
    assert names(plan(both, uses={"loss": "adapter"}))["loss"] == "adapter"
    with pytest.raises(IncompatiblePlan, match="Nothing says which loss to use with network 'small-net'") as caught:
        plan(evolve(index, components=(*others, adapter)))
    assert "--use loss=NAME: adapter" in caught.value.hint
    with pytest.raises(UnknownComponent, match="No loss is installed"):
        plan(evolve(index, components=others))


def test_what_the_environment_says_outweighs_the_network(index: Index) -> None:
    (toy,) = [component for component in index.components if component.key == "environment/toy"]
    flat = evolve(toy, spec=evolve(toy.spec, defaults={**toy.spec.defaults, "features": "flat"}))
    changed = tuple(flat if component is toy else component for component in index.components)
    assert names(plan(evolve(index, components=changed)))["features"] == "flat"


def test_a_wrong_name_says_who_said_it(index: Index, tmp_path: Path) -> None:
    without = evolve(index, components=tuple(c for c in index.components if c.name != "picky"))
    with pytest.raises(UnknownComponent, match="named by the defaults of network 'small-net'"):
        plan(without)
    with pytest.raises(UnknownComponent, match=r"'nope'\. It is named by the options of environment 'toy'"):
        plan(index, options=["environment.gadgets=['nope']"])
    recipes = recipes_of(tmp_path, '[policy.mine]\nnetwork = "small-net"')
    with pytest.raises(UnknownComponent, match=r"^No policy named 'small-met'\. Did you mean 'small-net'") as caught:
        plan(index, recipes, policy="small-met")
    assert "incomplete, mine, plain-net, small-net" in caught.value.hint


def test_rollouts_are_whole_episodes_for_what_does_not_restart(index: Index) -> None:
    assert plan(index).train["rollout_steps"] == 0, "what the environment wants"
    with pytest.raises(
        IncompatiblePlan, match=r"rollout_steps is 8, but environment 'toy'.* plays whole episodes only"
    ):
        plan(index, options=["train.rollout_steps=8"])


def test_the_trainer_does_what_the_environment_wants_where_nobody_says_otherwise(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanting(train: dict[str, Any]) -> None:
        monkeypatch.setattr(plans, "describe_environment", lambda *given: evolve(described(*given), train=train))

    described = plans.describe_environment
    wanting({"lr": 0.5, "update_epochs": 7})
    train = plan(index, options=["train.lr=0.25"]).train
    assert (train["lr"], train["update_epochs"]) == (0.25, 7)
    wanting({"lrr": 0.5})
    with pytest.raises(PluginError, match=r"environment 'toy'.* wants what the trainer does not take: .*'train\.lrr'"):
        plan(index)
