"""The ground floor, commands, reading runs and every plugin's front door load without the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.diagnosis.check import check_recipes
from esper_core.registry.loading import load_index

BLOCK = "import sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'gymnasium', 'sklearn', 'scipy'), None))\n"
MODULES = """
import importlib, pkgutil, esper_core.contracts as package
for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):
    importlib.import_module(module.name)
import esper_core.cli.app, esper_core.runs.resume, esper_testing.spikes.verdict
print('[]')
"""
PLUGINS = """
import json
from importlib import import_module
from esper_core.registry.loading import load_index
index = load_index()
assert not index.unavailable, index.unavailable
for spec in (component.spec for component in index.components):
    for module, _, attribute in (text.partition(':') for text in (spec.config, spec.describe) if text):
        assert callable(getattr(import_module(module), attribute)), attribute
print(json.dumps([[r.plugin, r.distribution, r.status, r.import_ms < 1000] for r in index.plugins]))
"""
PLANS = """
import json
from esper_core.registry.loading import load_index
from esper_core.composition.plan import PlanRequest, describe_plan, make_plan
index, found = load_index(), []
for policy, slots in (("lstm-v2", "3"), ("lstm_v1", "5")):
    plan = make_plan(PlanRequest(policy=policy, slots=slots, environment='growth', epochs=12), index)
    names = [c.name for c in plan.components if c.kind != "blueprint"]
    found.append([names, len(plan.slots), len(plan.components), describe_plan(plan, index).feature_schema.dim])
print(json.dumps(found))
"""


def without_torch(code: str) -> list[list[object]]:
    done = subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout)
    return found


def test_contracts_commands_and_plugins_need_no_torch() -> None:
    without_torch(MODULES)
    states = {plugin: rest for plugin, *rest in without_torch(PLUGINS)}
    for plugin in ("core", "growth", "obs-v3", "lstm-v2", "op-conditioned-critic", "factored-ppo"):
        assert states[plugin] == [f"esper-{plugin}", "ok", True], "they load quickly, too"


def test_lstm_policies_are_planned_without_torch() -> None:
    others = ["lifecycle", "factored-ppo", "digits", "pointwise"]
    assert without_torch(PLANS) == [
        [["lstm-v2", "growth", "obs-v3", "op-conditioned-critic", *others], 3, 20, 121],
        [["lstm-v1", "growth", "obs-v3", "state-value", *others], 5, 20, 181],
    ]


def test_the_registry_file_of_this_repository_says_the_same_as_the_defaults_of_the_components() -> None:
    index, recipes = load_index(), load_recipes(Path(__file__).parents[2] / "registry.toml")
    networks = {"actor-critic-lstm", "combat-suite", "lstm-slots", "lstm-v1", "lstm-v2"}
    assert set(recipes.policies) == networks and check_recipes(recipes, index) == ()
    for policy, recipe in recipes.policies.items():
        bare = make_plan(PlanRequest(policy=policy, environment=recipe.uses.get("environment", "growth")), index)
        assert make_plan(PlanRequest(policy=policy), index, recipes) == bare
