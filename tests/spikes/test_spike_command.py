"""`esper spike list` and `esper spike run`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from esper_core import ComponentSpec
from esper_core.cli import spike
from esper_core.contracts.errors import FactoryError, PluginError, SlotIdError
from esper_core.registry.index import Component
from esper_core.spikes.verdict import Category, Failure, Verdict

RUNNER = CliRunner()


def red(policy: str = "net") -> Verdict:
    failure = Failure(category="b", check="test_x[N=5]", slots=5, message="no slot 4", file="/net.py", line=7)
    whole, part = (
        Category(name="a", declared=2, passed=2),
        Category(name="b", declared=4, passed=1, failed=1, skipped=1),
    )
    categories = (whole, part)
    return Verdict(spike="probe", policy=policy, slots=(2, 5), categories=categories, failures=(failure,), seconds=1.0)


class Probe:
    """A spike that is always RED and remembers what it was asked."""

    asked: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, config: object, context: object) -> None: ...

    def run(self, plan: Any, index: Any, **options: Any) -> Any:
        Probe.asked = {"plan": plan, **options}
        return red(plan.policy)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spike, "build_spike", lambda component: Probe(None, None))


def test_list_names_the_installed_spikes() -> None:
    result = RUNNER.invoke(spike.app, ["list", "--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["dynamic-slots"]["distribution"] == "esper-spike-dynamic-slots"
    text = RUNNER.invoke(spike.app, ["list"]).stdout
    assert text.startswith("dynamic-slots")
    assert "any number of slots" in text


def test_a_real_run_prints_one_json_document() -> None:
    arguments = ["run", "dynamic-slots", "--policy", "lstm-v1", "--slots", "1,2", "--json"]
    result = RUNNER.invoke(spike.app, [*arguments, "-o", "network.hidden_dim=16"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["verdict"], content["policy"], content["slots"]) == ("GREEN", "lstm-v1", [1, 2])
    assert all(c["passed"] == c["declared"] > 0 for c in content["categories"])
    assert result.stderr.splitlines() == ["checking network construction", "checking forward/backward"]


@pytest.mark.usefixtures("probe")
def test_red_exits_with_five_and_says_why() -> None:
    result = RUNNER.invoke(spike.app, ["run", "dynamic_slots", "--policy", "lstm-v1", "--slots", "2,5,2"])
    assert result.exit_code == 5
    assert Probe.asked["slots"] == (2, 5)
    assert result.stdout.splitlines() == [
        "probe on lstm-v1, slots 2, 5",
        "",
        "  a  2 of 2 passed",
        "  b  1 of 4 passed, 1 failed, 1 skipped, 1 did not run",
        "",
        "  test_x[N=5]: no slot 4",
        "    /net.py:7",
        "",
        "RED after 1.0 s",
    ]


@pytest.mark.usefixtures("probe")
def test_red_as_json_exits_with_five_too() -> None:
    result = RUNNER.invoke(spike.app, ["run", "dynamic-slots", "--policy", "lstm-v1", "--json"])
    assert result.exit_code == 5
    assert json.loads(result.stdout)["verdict"] == "RED"
    assert Probe.asked["slots"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r0c0,r0c1", "'r0c0' is not a slot count"),
        ("1,,2", "'' is not a slot count"),
        ("0", "at least one slot, not 0"),
        ("1,-2", "not -2"),
        ("3,65", "at most 64"),
    ],
)
def test_impossible_slot_counts(text: str, words: str) -> None:
    with pytest.raises(SlotIdError, match=words):
        spike.parse_slot_counts(text)


def test_slot_counts() -> None:
    assert spike.parse_slot_counts("1, 2,8,2") == (1, 2, 8)


@pytest.mark.usefixtures("probe")
def test_what_is_no_verdict_is_the_plugins_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Probe, "run", lambda self, plan, index, **options: "fine")
    result = RUNNER.invoke(spike.app, ["run", "dynamic-slots", "--policy", "lstm-v1"])
    assert isinstance(result.exception, PluginError)
    assert "returned a str, not a Verdict" in str(result.exception)


@pytest.mark.parametrize(
    ("factory", "error", "words"),
    [
        ("builtins:dict", FactoryError, "raised TypeError while it was built"),
        ("collections:ChainMap", PluginError, "made a ChainMap without `run`"),
        ("nowhere_at_all:Spike", FactoryError, "no module 'nowhere_at_all'"),
    ],
)
def test_factories_that_make_no_spike(factory: str, error: type[Exception], words: str) -> None:
    component = Component(ComponentSpec(kind="spike", name="odd", factory=factory), "odd", "odd", "1")
    with pytest.raises(error, match=words):
        spike.build_spike(component)


def test_listing_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'pytest'), None))\n"
        "from esper_core.cli.spike import app\n"
        "app(['list'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "dynamic-slots" in done.stdout
