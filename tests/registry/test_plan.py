"""Planning: which component is chosen and why, what its options become, and what cannot be planned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from esper_core import ComponentSpec
from esper_core.contracts.errors import (
    CheckpointMismatch,
    ConfigError,
    EsperError,
    IncompatiblePlan,
    PluginError,
    RegistryFileError,
    SlotIdError,
    UnknownComponent,
)
from esper_core.diagnosis.check import check_recipes
from esper_core.plan.plan import Plan, PlanRequest, describe_plan, make_plan
from esper_core.plan.recipes import Recipes, load_recipes
from esper_core.registry.index import Component, Index
from esper_core.registry.loading import load_index


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
    assert names(plan(index)) == {
        "network": "small-net",
        "environment": "toy",
        "features": "wide",  # the network's default
        "critic": "picky",  # the network's default
        "masks": "open",  # the environment's default
        "loss": "only-loss",  # the only one installed
        "trinket": "plain",  # the environment's default, of a kind that core does not know
        "gadget": "small-one",  # drawn on by the environment
    }


def test_defaults_of_a_plan(index: Index) -> None:
    made = plan(index)
    assert (made.policy, made.slots, made.seed, made.envs, made.updates, made.device) == (
        "small-net",
        ("r0c0", "r0c1", "r0c2"),
        0,
        8,
        40,
        "auto",
    )
    assert made.train["lr"] == 3e-4


def test_every_config_is_complete(index: Index) -> None:
    made = plan(index)
    assert made.component("environment").config == {
        "epochs": 4,
        "gadgets": ["Small_one"],
        "publish_extra": True,
        "fail": "",
    }
    assert made.component("critic").config["colour"] == "red"
    assert made.component("loss").config == {}


def test_a_plan_survives_json(index: Index) -> None:
    made = plan(index, slots="r0c0,r1c2", options=["critic.pair=[4, 5]", "train.lr=1e-3"], seed=7, device="cuda:1")
    assert Plan.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"schema": 99}, "schema 99"),
        ({"schema": None}, "schema None"),
        ({"surprise": 1}, "damaged"),
        ({"components": [{"kind": "network"}]}, "damaged"),
        ({"components": 5}, "damaged"),
        ({"train": {"lr": {"$float": "1"}}}, "damaged: '\\$float' marks nothing"),
        (
            {"components": [{"kind": "loss", "name": "x", "distribution": "d", "version": "1", "factory": "os:abort"}]},
            "damaged: .*factory",
        ),
    ],
)
def test_what_is_no_plan_is_refused(index: Index, damage: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointMismatch, match=message):
        Plan.from_json({**plan(index).to_json(), **damage})


def test_a_plan_without_a_key_is_refused(index: Index) -> None:
    content = plan(index).to_json()
    content.pop("components")
    with pytest.raises(CheckpointMismatch, match="damaged"):
        Plan.from_json(content)


def test_asking_a_plan_for_components(index: Index) -> None:
    made = plan(index, options=["environment.gadgets=['big-one', 'small-one']"])
    assert [planned.name for planned in made.of_kind("gadget")] == ["big-one", "small-one"]
    for kind in ("gadget", "nothing"):
        with pytest.raises(KeyError, match=kind):
            made.component(kind)


def test_precedence(index: Index, tmp_path: Path) -> None:
    def critic(text: str, **uses: str) -> str:
        return names(plan(index, recipes_of(tmp_path, text), policy="mine", uses=uses))["critic"]

    recipe = '[policy.mine]\nnetwork = "small-net"\n'
    assert critic(recipe) == "picky"  # the network's default
    assert critic('[defaults]\ncritic = "simple"\n' + recipe) == "simple"
    assert critic('[defaults]\ncritic = "simple"\n' + recipe + 'critic = "picky"') == "picky"
    assert critic(recipe + 'critic = "picky"', critic="simple") == "simple"


def test_the_registry_file_beats_the_defaults_of_the_environment(index: Index, tmp_path: Path) -> None:
    text = '[defaults]\nmasks = "closed"\n[policy.mine]\nnetwork = "small-net"'
    assert names(plan(index, recipes_of(tmp_path, text), policy="mine"))["masks"] == "closed"
    assert names(plan(index))["masks"] == "open"


def test_a_recipe_with_the_name_of_its_network_need_not_repeat_it(index: Index, tmp_path: Path) -> None:
    made = plan(index, recipes_of(tmp_path, '[policy.small_net]\ncritic = "simple"'))
    assert (names(made)["network"], names(made)["critic"], made.policy) == ("small-net", "simple", "small-net")


def test_a_recipe_without_any_network(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, '[policy.mine]\ncritic = "simple"')
    with pytest.raises(RegistryFileError, match=r"registry\.toml:2: No network named 'mine'"):
        plan(index, recipes, policy="mine")


@pytest.mark.parametrize("written", ["small-net", "Small_Net", "tiny_net", "toy-world:small-net", "toy:tiny-net"])
def test_policies_have_spellings(index: Index, written: str) -> None:
    made = plan(index, policy=written)
    assert (made.policy, names(made)["network"]) == ("small-net", "small-net")


def test_which_policy_is_meant_when_nothing_is_said(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, '[defaults]\npolicy = "small-net"')
    assert plan(index, recipes, policy=None).policy == "small-net"
    assert plan(index, recipes, policy=None, uses={"network": "plain-net", "critic": "simple"}).policy == "plain-net"
    by_kind = recipes_of(tmp_path, '[defaults]\nnetwork = "small-net"')
    assert plan(index, by_kind, policy=None).policy == "small-net"
    with pytest.raises(IncompatiblePlan, match="Nothing says which policy") as caught:
        plan(index, policy=None)
    assert "incomplete, plain-net, small-net" in caught.value.hint


def test_an_unknown_policy(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, '[policy.special]\nnetwork = "small-net"')
    with pytest.raises(UnknownComponent) as caught:
        plan(index, recipes, policy="small-met")
    assert caught.value.message == "No policy named 'small-met'. Did you mean 'small-net'?"
    assert "incomplete, plain-net, small-net, special" in caught.value.hint
    with pytest.raises(UnknownComponent, match="Did you mean 'special'"):
        plan(index, recipes, policy="speciall")
    wrong = recipes_of(tmp_path, '[defaults]\npolicy = "speciall"')
    with pytest.raises(RegistryFileError, match=r"registry\.toml:3: No policy named 'speciall'"):
        plan(index, wrong, policy=None)


def test_a_kind_that_nothing_is_said_about(index: Index) -> None:
    with pytest.raises(IncompatiblePlan, match=r"Nothing says which critic to use with network 'plain-net'") as caught:
        plan(index, policy="plain-net")
    assert "--use critic=NAME: picky, simple" in caught.value.hint


def test_an_adapter_is_chosen_by_its_name_alone(index: Index) -> None:
    def with_loss(*specs: ComponentSpec) -> Index:
        (loss,) = index.of_kind("loss")
        others = (evolve(loss, spec=spec) for spec in specs)
        return Index(index.plugins, index.kinds, (*index.components, *others))

    (loss,) = index.of_kind("loss")
    adapter = evolve(loss.spec, name="adapter", only_by_name=True)
    assert names(plan(with_loss(adapter)))["loss"] == "only-loss"
    assert names(plan(with_loss(adapter), uses={"loss": "adapter"}))["loss"] == "adapter"
    with pytest.raises(IncompatiblePlan, match="Nothing says which loss"):
        plan(with_loss(evolve(adapter, only_by_name=False)))
    alone = Index(index.plugins, index.kinds, tuple(c for c in with_loss(adapter).components if c.name != "only-loss"))
    with pytest.raises(IncompatiblePlan, match="Nothing says which loss") as caught:
        plan(alone)
    assert "adapter" in caught.value.hint


def test_what_the_environment_says_outweighs_the_network(index: Index) -> None:
    def says_features(component: Component) -> Component:
        defaults = {**component.spec.defaults, "features": "flat"}
        return evolve(component, spec=evolve(component.spec, defaults=defaults))

    changed = [says_features(c) if c.key == "environment/toy" else c for c in index.components]
    assert names(plan(index))["features"] == "wide"
    assert names(plan(Index(index.plugins, index.kinds, tuple(changed))))["features"] == "flat"


def test_a_kind_without_components(index: Index) -> None:
    without = Index(index.plugins, index.kinds, tuple(c for c in index.components if c.kind != "loss"))
    with pytest.raises(UnknownComponent, match="No loss is installed"):
        plan(without)


def test_a_wrong_default_names_who_said_it(index: Index, tmp_path: Path) -> None:
    without = Index(index.plugins, index.kinds, tuple(c for c in index.components if c.name != "picky"))
    with pytest.raises(UnknownComponent, match="named by the defaults of network 'small-net'"):
        plan(without)
    with pytest.raises(UnknownComponent, match=r"'nope'\. It is named by the options of environment 'toy'"):
        plan(index, options=["environment.gadgets=['nope']"])
    recipes = recipes_of(tmp_path, '[policy.mine]\nnetwork = "small-net"\ncritic = "piky"')
    with pytest.raises(RegistryFileError, match=r"registry\.toml:4: No critic named 'piky'\. Did you mean 'picky'"):
        plan(index, recipes, policy="mine")


def test_a_pin_of_the_registry_file_counts(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, '[resolve]\n"critic/picky" = "elsewhere"')
    with pytest.raises(UnknownComponent, match="pins critic 'picky' from 'elsewhere'"):
        plan(index, recipes)


def test_any_kind_can_be_named(index: Index) -> None:
    assert names(plan(index, uses={"trinket": "fancy"}))["trinket"] == "fancy"
    with pytest.raises(UnknownComponent, match=r"no kind 'trinkt'\. Did you mean 'trinket'"):
        plan(index, uses={"trinkt": "fancy"})


def test_what_the_environment_draws_on_is_not_chosen_beside_it(index: Index) -> None:
    with pytest.raises(ConfigError, match="says itself which gadget components it uses"):
        plan(index, uses={"gadget": "small-one"})


def test_the_environment_has_a_shorthand(index: Index) -> None:
    request = PlanRequest(policy="small-net", environment="toy")
    assert names(make_plan(request, index))["environment"] == "toy"
    with pytest.raises(ConfigError, match="named twice"):
        make_plan(PlanRequest(policy="small-net", environment="toy", uses={"environment": "epochless"}), index)


def test_options_reach_their_component(index: Index) -> None:
    made = plan(
        index,
        options=["critic.whole=16", "critic.whole=32", "train.lr=1e-3", "gadget.little.size=9", "critic.picky.text=b"],
    )
    assert made.component("critic").config["whole"] == 32
    assert made.component("critic").config["text"] == "b"
    assert made.component("gadget").config == {"size": 9}
    assert made.train["lr"] == 0.001


def test_options_of_a_recipe_yield_to_the_command_line(index: Index, tmp_path: Path) -> None:
    text = (
        '[policy.mine]\nnetwork = "small-net"\n[policy.mine.options]\ncritic.whole = 5\ncritic.text = "r"\ntrain.lr = 1'
    )
    made = plan(index, recipes_of(tmp_path, text), policy="mine", options=["critic.whole=6"])
    assert (made.component("critic").config["whole"], made.component("critic").config["text"]) == (6, "r")
    assert made.train["lr"] == 1.0


def test_options_of_a_recipe_go_with_the_component_they_are_about(index: Index, tmp_path: Path) -> None:
    text = '[policy.mine]\nnetwork = "small-net"\n[policy.mine.options]\ncritic.whole = 5'
    recipes = recipes_of(tmp_path, text)
    assert plan(index, recipes, policy="mine", uses={"critic": "simple"}).component("critic").config == {}
    assert plan(index, recipes, policy="mine", uses={"critic": "picky"}).component("critic").config["whole"] == 5


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("netwrk.size=1", "there is no kind 'netwrk'. Did you mean 'network'?"),
        ("network.sise=1", "There is no option 'network.sise'. Did you mean 'size'?"),
        ("network.size=big", "'network.size' cannot be 'big'"),
        ("network.size=0", "'network.size' cannot be 0."),
        ("network.plain-net.size=1", "the plan has no network 'plain-net'"),
        ("gadget.size=1", "'gadget.size' could mean any of small-one"),
        ("gadget.small-one.size=0", "'gadget.small-one.size' cannot be 0."),
        ("gadget.big-one.size=1", "the plan has no gadget 'big-one'"),
        ("rule.x=1", "the plan has no rule"),
        ("train.lrr=1", "There is no option 'train.lrr'. Did you mean 'lr'?"),
        ("train.lr=fast", "'train.lr' cannot be 'fast'"),
        ("train.minibatches=2", "'train.minibatches' is called 'train.num_minibatches' now."),
        ("train.adam.lr=1", "reads train.key=VALUE"),
        ("environment.epochs=101", "'environment.epochs' cannot be 101."),
        ("environment.fail=value", "cannot be used like this: these options are impossible."),
    ],
)
def test_a_wrong_option_is_a_clear_error(index: Index, option: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(index, options=[option])
    assert message in caught.value.message


TABLE = '[policy.mine]\nnetwork = "small-net"\nenvironment = "toy"\n[policy.mine.options]\n'


@pytest.mark.parametrize(
    "written",
    [
        "critic.table = {limit = inf, deep = {x = 1}}",
        "critic.table.limit = inf\ncritic.table.deep.x = 1",
        "critic.picky.table = {limit = inf, deep = {x = 1}}",
        "[policy.mine.options.critic.table]\nlimit = inf\ndeep = {x = 1}",
    ],
)
def test_an_option_of_a_recipe_may_be_a_table(index: Index, tmp_path: Path, written: str) -> None:
    made = plan(index, recipes_of(tmp_path, TABLE + written), policy="mine")
    expected = {"limit": float("inf"), "deep": {"x": 1}}
    assert made.component("critic").config["table"] == expected
    there = Plan.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False)))
    assert there.component("critic").config["table"] == expected


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("critic.tabel = {limit = 1}", "There is no option 'critic.tabel'. Did you mean 'table'?"),
        ("critic.pikcy = {whole = 1}", "the plan has no critic 'pikcy'"),
        ("critic.table = {when = 2026-01-31}", "it holds a date at 'when'"),
        ("critic.text = 2026-01-31", "'critic.text' cannot be 2026-01-31: it is a date"),
        ("train.lr = {a = 1}", "'train.lr' cannot be {a = 1}"),
    ],
)
def test_a_wrong_table_of_a_recipe_names_its_line(index: Index, tmp_path: Path, written: str, words: str) -> None:
    recipes = recipes_of(tmp_path, TABLE + written)
    with pytest.raises(RegistryFileError, match=r"registry\.toml:6: ") as caught:
        plan(index, recipes, policy="mine")
    assert words in caught.value.message
    found = check_recipes(recipes, index)
    assert [error.message for error in found] == [caught.value.message]


def test_numbers_that_are_none_make_equal_plans(index: Index) -> None:
    one, other = (plan(index, options=["critic.table={a = nan}"]) for _ in range(2))
    assert one == other == Plan.from_json(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    assert one != plan(index, options=["critic.table={a = inf}"])


def test_a_wrong_option_of_a_recipe_names_its_line(index: Index, tmp_path: Path) -> None:
    text = '[policy.mine]\nnetwork = "small-net"\n[policy.mine.options]\n\nnetwork.sise = 5'
    with pytest.raises(RegistryFileError, match=r"registry\.toml:6: There is no option 'network\.sise'"):
        plan(index, recipes_of(tmp_path, text), policy="mine")


def test_epochs_are_an_option_of_the_environment(index: Index, tmp_path: Path) -> None:
    assert plan(index, epochs=9).component("environment").config["epochs"] == 9
    assert plan(index, epochs=9, options=["environment.epochs=9"]).component("environment").config["epochs"] == 9
    with pytest.raises(ConfigError, match=r"chosen twice: --epochs 9 and -o environment\.epochs=8"):
        plan(index, epochs=9, options=["environment.epochs=8"])
    with pytest.raises(ConfigError, match=r"environment 'epochless' .* has no option 'epochs'"):
        plan(index, epochs=9, uses={"environment": "epochless", "masks": "open"})
    recipes = recipes_of(tmp_path, "[defaults]\nepochs = 7")
    assert plan(index, recipes).component("environment").config["epochs"] == 7
    assert plan(index, recipes, options=["environment.epochs=8"]).component("environment").config["epochs"] == 8
    assert plan(index, recipes, uses={"environment": "epochless", "masks": "open"}).component("environment")


def test_settings_of_the_registry_file(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, '[defaults]\nslots = 5\nenvs = 2\nupdates = 3\nseed = 4\ndevice = "cpu"')
    made = plan(index, recipes)
    assert (len(made.slots), made.envs, made.updates, made.seed, made.device) == (5, 2, 3, 4, "cpu")
    said = plan(index, recipes, slots="1", envs=7, updates=8, seed=0, device="auto")
    assert (len(said.slots), said.envs, said.updates, said.seed, said.device) == (1, 7, 8, 0, "auto")


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"slots": "0"}, SlotIdError, "at least one slot"),
        ({"slots": "r0c0,r0c0"}, SlotIdError, "twice"),
        ({"slots": "x"}, SlotIdError, "no slot|not a slot"),
        ({"envs": 0}, ConfigError, "--envs cannot be 0"),
        ({"updates": -1}, ConfigError, "--updates cannot be -1"),
        ({"seed": -1}, ConfigError, "--seed cannot be -1"),
        ({"seed": 2**63}, ConfigError, "--seed cannot be"),
        ({"device": "CPU!"}, ConfigError, "--device cannot be 'CPU!'"),
    ],
)
def test_flags_have_limits(index: Index, said: dict[str, Any], error: type[EsperError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        plan(index, **said)
    assert caught.value.exit_code == 2


def test_a_state_field_that_nobody_publishes(index: Index) -> None:
    with pytest.raises(IncompatiblePlan) as caught:
        plan(index, options=["environment.publish_extra=false"])
    assert "features 'wide' (toy-world 1.0) reads the state field 'extra'" in caught.value.message
    assert "environment 'toy' (toy-world 1.0) does not publish" in caught.value.message
    assert "toy publishes: level." in caught.value.hint


def test_threads_and_precision(index: Index, tmp_path: Path) -> None:
    assert (plan(index).threads, plan(index).precision) == (1, "float32")
    made = plan(index, threads=4, precision="bf16")
    assert (made.to_json()["threads"], made.to_json()["precision"]) == (4, "bf16")
    recipes = recipes_of(tmp_path, '[defaults]\nthreads = 2\nprecision = "bf16"')
    assert (plan(index, recipes).threads, plan(index, recipes).precision) == (2, "bf16")
    assert plan(index, recipes, precision="float32").precision == "float32"


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ({"precision": "bf61"}, "--precision cannot be 'bf61'. Did you mean 'bf16'?", "Allowed: float32, bf16."),
        ({"precision": "float16"}, "--precision cannot be 'float16'.", "Allowed: float32, bf16."),
        ({"threads": 0}, "--threads cannot be 0.", "Allowed: a whole number from 1 to 1024."),
    ],
)
def test_threads_and_precisions_that_there_are_not(index: Index, said: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(index, **said)
    assert caught.value.message.startswith(message) and caught.value.hint == hint


def test_a_precision_in_the_registry_file_is_placed(index: Index, tmp_path: Path) -> None:
    recipes = recipes_of(tmp_path, '[defaults]\nprecision = "half"')
    with pytest.raises(RegistryFileError, match=r"registry\.toml:3: precision cannot be 'half'"):
        plan(index, recipes)


def test_a_plan_recorded_before_there_was_a_choice_is_read(index: Index) -> None:
    content = plan(index).to_json()
    del content["threads"], content["precision"]
    assert Plan.from_json(content) == plan(index)


def test_workers_are_an_option_of_the_environment(tmp_path: Path) -> None:
    installed = load_index()

    def workers(*options: str, recipes: Recipes | None = None, **said: Any) -> int:
        request = PlanRequest(policy="lstm-v2", environment="growth", options=options, **said)
        return int(make_plan(request, installed, recipes).component("environment").config["workers"])

    assert (workers(), workers(workers=3), workers("environment.workers=3", workers=3)) == (0, 3, 3)
    with pytest.raises(ConfigError, match=r"chosen twice: --workers 2 and -o environment\.workers=3"):
        workers("environment.workers=3", workers=2)
    with pytest.raises(ConfigError, match=r"'environment\.workers' cannot be -1"):
        workers(workers=-1)
    recipes = recipes_of(tmp_path, "[defaults]\nworkers = 5")
    assert (workers(recipes=recipes), workers(recipes=recipes, workers=2)) == (5, 2)


def test_an_environment_without_workers_refuses_them(index: Index, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"environment 'toy' .* has no option 'workers', so --workers"):
        plan(index, workers=2)
    assert plan(index, recipes_of(tmp_path, "[defaults]\nworkers = 5")) == plan(index), "a default concerns who can"


def test_a_capability_that_nobody_provides(index: Index) -> None:
    with pytest.raises(IncompatiblePlan) as caught:
        plan(index, policy="plain-net", uses={"critic": "picky"})
    assert caught.value.message == (
        "critic 'picky' (toy-world 1.0) requires 'network:op-logits'; "
        "network 'plain-net' (toy-world 1.0) provides nothing."
    )
    assert "network=small-net" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"options": ["environment.fail=bug"]}, "failed while describing itself: RuntimeError: a bug"),
        ({"options": ["environment.fail=nonsense"]}, "returned a str, not an EnvironmentDescription"),
        ({"uses": {"environment": "undescribed", "masks": "open"}}, "has no description"),
    ],
)
def test_an_environment_that_does_not_describe_itself(index: Index, said: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        plan(index, **said)
    assert caught.value.exit_code == 3


def test_the_description_of_a_plan(index: Index) -> None:
    known = describe_plan(plan(index, slots="2", epochs=6, options=["features.size=5"]), index)
    assert known.slots.num_slots == 2
    assert known.actions.sizes == {"op": 2, "slot": 2}
    assert known.state_spec.names == ("level", "extra")
    assert known.horizon == 6
    assert known.feature_schema.dim == 5 + 2
    assert known.uses == {"gadget": ("Small_one",)}


def test_planning_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'gymnasium', 'sklearn', 'scipy')))\n"
        f"sys.path.insert(0, {str(Path(__file__).parent / 'fixtures')!r})\n"
        "from esper_core.builtin import plugin as core\n"
        "from toy_world import plugin\n"
        "from esper_core.diagnosis.check import check_recipes\n"
        "from esper_core.registry.index import Index\n"
        "from esper_core.plan.plan import PlanRequest, describe_plan, make_plan\n"
        "index = index_from_plugins({'core': core, 'toy': plugin})\n"
        "plan = make_plan(PlanRequest(policy='small-net', environment='toy', slots='5'), index)\n"
        "print(describe_plan(plan, index).feature_schema.dim)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "8\n"
