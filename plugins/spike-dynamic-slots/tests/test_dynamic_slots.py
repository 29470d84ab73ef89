"""The spike is GREEN for what works with any number of slots, and RED, with the right check, for what does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from esper_core.builtin import plugin as core
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_core.registry.plan import PlanRequest, make_plan
from esper_core.spikes.verdict import Verdict
from esper_spike_dynamic_slots.categories import CATEGORIES, CHECKS
from esper_spike_dynamic_slots.config import DynamicSlotsConfig
from esper_spike_dynamic_slots.spike import DynamicSlots

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def judge() -> Iterator[Callable[..., Verdict]]:
    """Return a function that runs the spike on one of the networks of the small world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FIXTURES))
        index = Index.from_plugins({"core": core, "small": import_module("slot_world")})
        assert not index.failures, index.failures

        def run(network: str, slots: tuple[int, ...] | None = (1, 3, 5), **options: Any) -> Verdict:
            plan = make_plan(PlanRequest(policy=network, slots="2"), index)
            return DynamicSlots(DynamicSlotsConfig()).run(plan, index, slots=slots, **options)

        yield run


def failed(verdict: Verdict) -> dict[str, set[int | None]]:
    """Return check → slot counts at which it failed."""
    found: dict[str, set[int | None]] = {}
    for failure in verdict.failures:
        found.setdefault(failure.check.partition("[")[0], set()).add(failure.slots)
    return found


def test_a_network_that_follows_n_is_green(judge: Callable[..., Verdict]) -> None:
    seen = []
    verdict = judge("net", on_result=seen.append)
    assert verdict.failures == ()
    assert verdict.colour == "GREEN"
    assert {c.name: (c.declared, c.passed) for c in verdict.categories} == {
        "network construction": (21, 21),
        "forward/backward": (15, 15),
    }
    assert (verdict.spike, verdict.policy, verdict.slots) == ("dynamic-slots", "net", (1, 3, 5))
    assert len(seen) == 36
    assert verdict.seconds > 0


def test_slot_counts_default_to_the_config_and_are_tried_once(judge: Callable[..., Verdict]) -> None:
    assert judge("net", slots=None).slots == (1, 2, 3, 4, 5, 8)
    assert judge("net", slots=(2, 2)).slots == (2,)


def test_one_category_alone_and_fewer_slot_counts(judge: Callable[..., Verdict]) -> None:
    verdict = judge("net", slots=None, only="forward/backward", quick=True)
    assert verdict.slots == DynamicSlotsConfig().quick_slots == (1, 4)
    assert [(c.name, c.declared, c.passed) for c in verdict.categories] == [("forward/backward", 10, 10)]
    assert verdict.colour == "GREEN"
    with pytest.raises(UserError, match="Did you mean 'network construction'"):
        judge("net", only="network constructio")


@pytest.mark.parametrize(
    ("network", "check", "slots"),
    [
        ("three-slot-head", "test_the_slot_head_has_one_output_per_slot", {1, 5}),
        ("three-slot-head", "test_every_head_has_the_width_of_its_labels", {1, 5}),
        ("three-slot-eyes", "test_every_slot_reaches_the_logits", {5}),
        ("three-slot-eyes", "test_every_slot_of_the_observation_gets_a_gradient", {5}),
        ("dead-head", "test_every_output_of_the_slot_head_gets_a_gradient", {1, 3, 5}),
        ("dead-head", "test_every_parameter_gets_a_gradient", {1, 3, 5}),
        ("unused", "test_every_parameter_gets_a_gradient", {1, 3, 5}),
        ("three-slots-inside", "test_it_is_built", {1, 5}),
        ("three-slots-inside", "test_the_forward_pass_fits_and_is_finite", {1, 5}),
        ("batch-first-state", "test_the_recurrent_state_has_one_row_per_environment", {1, 3, 5}),
        ("fixed", "test_the_input_width_follows_the_schema", {1, 3, 5}),
        ("nans", "test_the_forward_pass_fits_and_is_finite", {1, 3, 5}),
    ],
)
def test_what_does_not_follow_n_is_red(
    judge: Callable[..., Verdict], network: str, check: str, slots: set[int]
) -> None:
    verdict = judge(network)
    assert verdict.colour == "RED"
    assert failed(verdict)[check] == slots


def test_what_is_hard_coded_to_three_is_green_at_three(judge: Callable[..., Verdict]) -> None:
    assert judge("three-slot-head", slots=(3,)).colour == "GREEN"
    assert judge("three-slot-eyes", slots=(1, 2, 3)).colour == "GREEN"


def test_an_unused_layer_is_named(judge: Callable[..., Verdict]) -> None:
    (failure,) = judge("unused", slots=(2,)).failures
    assert failure.message == "no gradient for network.spare.weight, network.spare.bias"


def test_a_failure_while_building_is_located_in_the_network(judge: Callable[..., Verdict]) -> None:
    failures = judge("three-slots-inside", slots=(5,)).failures
    assert {failure.file for failure in failures if "larger" not in failure.message} == {
        str(FIXTURES / "slot_world.py")
    }
    line = next(failure.line for failure in failures if failure.check.startswith("test_it_is_built"))
    assert "torch.zeros(3) + torch.zeros(" in (FIXTURES / "slot_world.py").read_text().splitlines()[line - 1]


def test_declared_counts_are_those_of_the_modules() -> None:
    for checks in CATEGORIES:
        tree = ast.parse(checks.path.read_text())
        tests = [n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        assert len(tests) == checks.count, checks.module
        assert f'CATEGORY = "{checks.category}"' in checks.path.read_text()
    assert {checks.module for checks in CATEGORIES} == {path.name for path in CHECKS.glob("test_*.py")}


def test_the_checks_run_in_any_test_suite() -> None:
    """A plugin author runs them with pytest itself, on the installed policy of their choice."""
    arguments = ["-p", "esper_spike_dynamic_slots.fixtures", "--esper-policy", "lstm-v1", "--esper-slots", "2,5"]
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "esper_spike_dynamic_slots.checks", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKS.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 passed" in done.stdout


def test_the_plugin_imports_neither_torch_nor_pytest() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'pytest', '_pytest'), None))\n"
        "import esper_spike_dynamic_slots.plugin as plugin, esper_spike_dynamic_slots.config\n"
        "print([spec.key if hasattr(spec, 'key') else spec.name for spec in plugin.esper_components()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "dynamic-slots" in done.stdout
