"""The distributions of this repository, found through their entry points, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.diagnosis.check import check_recipes
from esper_core.registry.loading import load_index

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "numpy", "gymnasium", "sklearn", "scipy")


def without_torch(code: str) -> Any:
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))\n"
    done = subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_plugin_of_ours_loads_quickly_and_without_torch() -> None:
    records = without_torch(
        "import json\n"
        "from esper_core.registry.loading import load_index\n"
        "index = load_index()\n"
        "assert not index.unavailable, index.unavailable\n"
        "print(json.dumps([[r.plugin, r.distribution, r.status, r.error, r.import_ms] for r in index.plugins]))\n"
    )
    states = {plugin: (distribution, status, error) for plugin, distribution, status, error, _ in records}
    for plugin in ("core", "growth", "obs-v3", "lstm-v2", "op-conditioned-critic", "factored-ppo"):
        assert states[plugin] == (f"esper-{plugin}", "ok", None)
    assert all(milliseconds < 1000 for *_, milliseconds in records)


def test_lstm_policies_are_planned_without_torch() -> None:
    asked = {("lstm-v2", 3): 121, ("lstm_v1", 5): 181}
    planned = without_torch(
        "import json\n"
        "from esper_core.registry.loading import load_index\n"
        "from esper_core.composition.plan import PlanRequest, describe_plan, make_plan\n"
        "index, found = load_index(), []\n"
        f"for policy, slots in {list(asked)}:\n"
        "    request = PlanRequest(policy=policy, slots=str(slots), environment='growth', epochs=12)\n"
        "    plan = make_plan(request, index)\n"
        "    found.append([plan.to_json(), describe_plan(plan, index).feature_schema.dim])\n"
        "print(json.dumps(found))\n"
    )
    for (policy, slots), (plan, dim) in zip(asked, planned, strict=True):
        assert (len(plan["slots"]), dim) == (slots, asked[policy, slots])
        chosen = {c["kind"]: c["name"] for c in plan["components"] if c["kind"] != "blueprint"}
        critic = "op-conditioned-critic" if policy == "lstm-v2" else "state-value"
        names = [
            policy.replace("_", "-"),
            "growth",
            "obs-v3",
            critic,
            "lifecycle",
            "factored-ppo",
            "digits",
            "pointwise",
        ]
        assert list(chosen.values()) == names and len(plan["components"]) == len(names) + 12


def test_the_registry_file_of_this_repository_says_the_same_as_the_defaults_of_the_components() -> None:
    index, recipes = load_index(), load_recipes(ROOT / "registry.toml")
    assert set(recipes.policies) == {"lstm-v1", "lstm-v2"} and check_recipes(recipes, index) == ()
    for policy in recipes.policies:
        bare = make_plan(PlanRequest(policy=policy, environment="growth"), index)
        assert make_plan(PlanRequest(policy=policy), index, recipes) == bare
