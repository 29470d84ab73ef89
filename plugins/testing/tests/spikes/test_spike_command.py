"""`esper spike list` and `esper spike run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from esper_core.contracts.errors import PluginError, SlotIdError, UserError
from esper_core.plan import build
from esper_testing.commands import spike
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import Blocker, Category, Failure, Place, ProbeResult, Skip, Verdict

RUNNER = CliRunner()
APP = typer.Typer()
APP.command("list")(spike.list_spikes)
APP.command("run")(spike.run_spike)


def red(policy: str = "net") -> Verdict:
    failure = Failure(category="b", check="test_x[N=5]", slots=5, message="no slot 4", file="/net.py", line=7)
    whole, part = (
        Category(name="a", declared=2, passed=2),
        Category(name="b", declared=4, passed=1, failed=1, skipped=1),
    )
    blocker = Blocker(
        description="four slots, and no more",
        kind="hard-coded",
        file="/net.py",
        line=7,
        complexity="medium",
        consumers=[Place("/head.py", 3, "Head(4)")],
    )
    return Verdict(
        spike="probe",
        policy=policy,
        slots=(2, 5),
        categories=(whole, part),
        failures=(failure,),
        skips=(Skip(category="b", check="test_y[N=2]", slots=2, reason="no memory"),),
        blockers=(blocker,),
        seconds=1.0,
    )


class Probe:
    """A spike that is always RED and remembers what it was asked."""

    asked: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, config: object, context: object) -> None: ...

    def run(self, plan: Any, index: Any, **options: Any) -> Any:
        Probe.asked = {"plan": plan, **options}
        return red(plan.policy)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "build_beside", lambda component, index: Probe(None, None))


def test_list_names_the_installed_spikes() -> None:
    result = RUNNER.invoke(APP, ["list", "--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["dynamic-slots"]["distribution"] == "esper-spike-dynamic-slots"
    text = RUNNER.invoke(APP, ["list"]).stdout
    assert text.startswith("dynamic-slots")
    assert "any number of slots" in text


def test_a_real_run_prints_one_json_document() -> None:
    arguments = ["run", "dynamic-slots", "--policy", "lstm-v1", "--slots", "1,2", "--json", "--only", "entropy"]
    result = RUNNER.invoke(APP, [*arguments, "-o", "network.hidden_dim=16"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["verdict"], content["policy"], content["slots"]) == ("GREEN", "lstm-v1", [1, 2])
    assert [c["name"] for c in content["categories"]] == ["entropy"]
    assert all(c["passed"] == c["declared"] > 0 for c in content["categories"])
    assert result.stderr.splitlines() == ["checking entropy"]


@pytest.mark.slow
def test_a_whole_run_on_an_installed_policy_and_its_report(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    arguments = ["run", "dynamic-slots", "--policy", "lstm-v1", "--slots", "2,5", "--json", "--report", str(report)]
    result = RUNNER.invoke(APP, [*arguments, "-o", "network.hidden_dim=16"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["verdict"], len(content["categories"]), content["blockers"]) == ("GREEN", 11, [])
    assert content["compatibility"] == {"2": {"2": True, "5": False}, "5": {"2": False, "5": True}}
    text = report.read_text()
    assert text.startswith("# dynamic-slots on lstm-v1: GREEN\n")
    assert "| saved with N=2 | yes | no |" in text
    assert "Use --slots r0c0,r0c1." in text
    assert "**Go.**" in text


@pytest.mark.usefixtures("probe")
def test_red_exits_with_five_and_says_why() -> None:
    result = RUNNER.invoke(APP, ["run", "dynamic_slots", "--policy", "lstm-v1", "--slots", "2,5,2"])
    assert result.exit_code == 5
    assert Probe.asked["slots"] == (2, 5)
    assert result.stdout.splitlines() == [
        "probe on lstm-v1, slots 2, 5",
        "",
        "  a  2 of 2 passed",
        "  b  1 of 4 passed, 1 failed, 1 skipped, 1 did not run",
        "",
        "  test_x, slots 5: no slot 4",
        "    /net.py:7",
        "",
        "  blocker: /net.py:7",
        "    four slots, and no more",
        "    hard-coded; complexity medium, 1 other line to follow",
        "",
        "  1 skipped: no memory",
        "",
        "RED after 1.0 s",
    ]


@pytest.mark.usefixtures("probe")
def test_of_many_failures_some_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [
        Failure(category="a", check=f"test_{check}[N={slots}]", slots=slots, message="no", file="a.py", line=check)
        for slots in (5, 2)
        for check in range(10)
    ]
    whole = Verdict(spike="s", policy="p", categories=[Category(name="a", declared=20, failed=20)], failures=failures)
    monkeypatch.setattr(Probe, "run", lambda self, plan, index, **options: whole)
    result = RUNNER.invoke(APP, ["run", "dynamic-slots", "--policy", "lstm-v1"])
    assert result.stdout.count("slots 2, 5: no") == 8
    assert "  2 more such failures; --json and --report list all" in result.stdout


@pytest.mark.usefixtures("probe")
def test_the_report_is_written_and_says_how_to_get_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "report.md"
    arguments = ["spike", "run", "dynamic-slots", "--policy", "lstm-v1", "--report", str(report)]
    monkeypatch.setattr(sys, "argv", ["/somewhere/esper", *arguments])
    result = RUNNER.invoke(APP, arguments[1:])
    assert result.stdout.splitlines()[-1] == f"The report is {report}"
    assert f"```bash\nesper {' '.join(arguments)}\n```" in report.read_text()


@pytest.mark.usefixtures("probe")
@pytest.mark.parametrize("name", ["", "no/such/folder/report.md"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path, name: str) -> None:
    Probe.asked = {}
    arguments = ["run", "dynamic-slots", "--policy", "lstm-v1", "--report", str(tmp_path / name)]
    result = RUNNER.invoke(APP, arguments)
    assert isinstance(result.exception, UserError)
    assert f"The report cannot be written to {tmp_path / name}" in result.exception.message
    assert Probe.asked == {}


@pytest.mark.usefixtures("probe")
def test_red_as_json_exits_with_five_too() -> None:
    result = RUNNER.invoke(APP, ["run", "dynamic-slots", "--policy", "lstm-v1", "--json"])
    assert result.exit_code == 5
    assert json.loads(result.stdout)["verdict"] == "RED"
    assert Probe.asked["slots"] is None


@pytest.mark.usefixtures("probe")
def test_a_spike_learns_what_was_said_and_what_follows_from_it() -> None:
    arguments = [
        "--policy",
        "lstm-v1",
        "--critic",
        "op-conditioned-critic",
        "--use",
        "loss=factored-ppo",
        "--seed",
        "3",
    ]
    options = ["-o", "network.hidden_dim=16", "--only", "a part", "--quick", "--slots", "4"]
    assert RUNNER.invoke(APP, ["run", "dynamic-slots", *arguments, *options]).exit_code == 5
    plan, request = Probe.asked["plan"], Probe.asked["request"]
    assert (plan.component("critic").name, plan.component("network").config["hidden_dim"]) == (
        "op-conditioned-critic",
        16,
    )
    assert (plan.seed, len(plan.slots)) == (3, 4)
    assert request.uses == {"critic": "op-conditioned-critic", "loss": "factored-ppo"}
    assert list(request.options) == ["network.hidden_dim=16"]
    assert (Probe.asked["only"], Probe.asked["quick"], Probe.asked["slots"]) == ("a part", True, (4,))


@pytest.mark.usefixtures("probe")
def test_what_was_measured_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (
        ProbeResult(name="P1 a", expected="V = 1", measured={"V": (1.0, 0.5, None)}, passed=False, seconds=2.0),
        ProbeResult(name="P2 bc", expected="V = 2", measured={"V": (2.0,), "w": (None,)}, passed=True, seconds=1.0),
    )
    whole = Verdict(spike="s", policy="p", categories=[Category(name="probes", declared=2, passed=2)], probes=rows)
    monkeypatch.setattr(Probe, "run", lambda self, plan, index, **options: whole)
    result = RUNNER.invoke(APP, ["run", "dynamic-slots", "--policy", "lstm-v1"])
    assert result.stdout.splitlines() == [
        "s on p",
        "",
        "probe          seconds  measured   expected",
        "P1 a   FAILED  2.0      V 0.5 … 1  V = 1",
        "P2 bc  passed  1.0      V 2, w -   V = 2",
        "",
        "GREEN after 0.0 s",
    ]


NAMES = ("P1 one", "P10 ten", "P12 long 10", "P12 long 30", "network construction")


@pytest.mark.parametrize(
    ("only", "found"),
    [
        (None, NAMES),
        ("P1", ("P1 one",)),
        ("p12", ("P12 long 10", "P12 long 30")),
        ("P12  long", ("P12 long 10", "P12 long 30")),
        ("p10 TEN", ("P10 ten",)),
        ("network", ("network construction",)),
    ],
)
def test_names_of_parts(only: str | None, found: tuple[str, ...]) -> None:
    assert matching(only, NAMES, what="parts") == found


@pytest.mark.parametrize(
    ("only", "guess"), [("P100", "'P10'"), ("netwerk construction", "'network construction'"), ("", ""), ("zzz", "")]
)
def test_unknown_parts(only: str, guess: str) -> None:
    with pytest.raises(UserError) as caught:
        matching(only, NAMES, what="parts")
    assert caught.value.message == f"There is no '{only}' here." + (f" Did you mean {guess}?" if guess else "")
    assert caught.value.hint == f"The parts: {', '.join(NAMES)}."


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
    result = RUNNER.invoke(APP, ["run", "dynamic-slots", "--policy", "lstm-v1"])
    assert isinstance(result.exception, PluginError)
    assert "returned a str, not a Verdict" in str(result.exception)
