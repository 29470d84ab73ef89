"""`esper spike list` and `esper spike run`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from attrs import evolve

from esper_core.cli.app import run
from esper_core.composition import build
from esper_core.contracts.errors import SlotIdError, UserError
from esper_testing import api
from esper_testing.commands import spike
from esper_testing.spikes.only import matching
from esper_testing.spikes.verdict import Blocker, Category, Failure, Place, ProbeResult, Skip, Verdict

ON_LSTM = ("run", "dynamic-slots", "--policy", "lstm-v1")


class Told(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs `esper spike` in this process."""
    return lambda *words: Told(run(["spike", *words]), *capsys.readouterr())


RED = Verdict(
    spike="probe",
    policy="lstm-v1",
    slots=(2, 5),
    categories=(
        Category(name="a", declared=2, passed=2),
        Category(name="b", declared=4, passed=1, failed=1, skipped=1),
    ),
    failures=(Failure(category="b", check="test_x[N=5]", slots=5, message="no slot 4", file="/net.py", line=7),),
    skips=(Skip(category="b", check="test_y[N=2]", slots=2, reason="no memory"),),
    blockers=(
        Blocker(
            description="four slots, and no more",
            kind="hard-coded",
            file="/net.py",
            line=7,
            complexity="medium",
            consumers=[Place("/head.py", 3, "Head(4)")],
        ),
    ),
    seconds=1.0,
)


class Probe:
    """A spike with a given answer that remembers what it was asked."""

    answer: Any = RED
    asked: dict[str, Any]

    def run(self, plan: Any, index: Any, **options: Any) -> Any:
        self.asked = {"plan": plan, **options}
        return self.answer


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    probe = Probe()
    monkeypatch.setattr(build, "build_beside", lambda component, index, config: probe)
    return probe


def test_list_names_the_installed_spikes(tell: Any) -> None:
    rows = {row["name"]: row for row in json.loads(tell("list", "--json").out)}
    assert rows["dynamic-slots"]["distribution"] == "esper-spike-dynamic-slots"
    assert tell("list").out.startswith("dynamic-slots")


def test_a_real_run_prints_one_json_document(tell: Any) -> None:
    told = tell(*ON_LSTM, "--slots", "1,2", "--json", "--only", "entropy", "-o", "network.hidden_dim=16")
    assert (told.status, told.err.splitlines()) == (0, ["checking entropy"])
    content = json.loads(told.out)
    assert (content["verdict"], content["policy"], content["slots"]) == ("GREEN", "lstm-v1", [1, 2])
    (category,) = content["categories"]
    assert category["name"] == "entropy" and category["passed"] == category["declared"] > 0


def test_shards_are_merged_into_the_verdict_of_one_process(
    tell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = (*ON_LSTM, "--slots", "1,2", "--only", "entropy", "-o", "network.hidden_dim=16", "--json")
    whole = json.loads(tell(*small).out)
    first = json.loads(tell(*small, "--shard", "1/2").out)
    assert (first["new"], first["jobs"]) == (1, 1)
    assert "2/2 is missing" in tell(*small, "--merge").err
    assert json.loads(tell(*small, "--shard", "1/2").out)["new"] == 0
    tell(*small, "--shard", "2/2")
    assert {**json.loads(tell(*small, "--merge").out), "seconds": 0} == {**whole, "seconds": 0}
    assert "There are no shards of this spike" in tell(*small[:-3], "--merge").err
    assert "A shard has no verdict" in tell(*small, "--shard", "1/2", "--report", "x.md").err


def test_what_cannot_be_shared_out(tell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "load_reference", lambda *_: lambda config, context: Probe())
    told = tell(*ON_LSTM, "--shard", "1/2")
    assert told.status == 2 and "cannot be shared out" in told.err and "spikes.protocol.Divisible" in told.err


def test_red_exits_with_five_and_says_why(tell: Any, probe: Probe) -> None:
    told = tell("run", "dynamic_slots", "--policy", "lstm-v1", "--slots", "2,5,2")
    assert (told.status, probe.asked["slots"]) == (5, (2, 5))
    assert told.out.splitlines() == [
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
    told = tell(*ON_LSTM, "--json")
    content = json.loads(told.out)
    assert (told.status, content["verdict"], content["slots"], probe.asked["slots"]) == (5, "RED", [2, 5], None)
    failure, skip = {"file": "/net.py", "line": 7, "message": "no slot 4"}, {"reason": "no memory"}
    assert content["failures"] == [{"category": "b", "check": "test_x[N=5]", "slots": 5, **failure}]
    assert content["skips"] == [{"category": "b", "check": "test_y[N=2]", "slots": 2, **skip}]
    assert content["blockers"][0]["consumers"] == [{"file": "/head.py", "line": 3, "text": "Head(4)"}]


def test_of_many_failures_some_are_shown(tell: Any, probe: Probe) -> None:
    failures = [
        evolve(RED.failures[0], check=f"test_{check}[N={slots}]", slots=slots, message="no", line=check)
        for slots in (5, 2)
        for check in range(10)
    ]
    probe.answer = evolve(RED, failures=failures)
    text = tell(*ON_LSTM).out
    assert text.count("slots 2, 5: no") == 8
    assert "  2 more such failures; --json and --report list all" in text


def test_the_report_is_written_and_says_how_to_get_it_again(
    tell: Any, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*ON_LSTM, "--report", str(tmp_path / "report.md")]
    monkeypatch.setattr(sys, "argv", ["/somewhere/esper", "spike", *words])
    assert tell(*words).out.splitlines()[-1] == f"The report is {words[-1]}"
    assert f"```bash\nesper spike {' '.join(words)}\n```" in Path(words[-1]).read_text()
    del probe.asked
    told = tell(*ON_LSTM, "--report", str(tmp_path / "no" / "report.md"))
    assert told.status == 2 and f"The report cannot be written to {tmp_path / 'no'}" in told.err
    assert not hasattr(probe, "asked")


def test_a_spike_learns_what_was_said_and_what_follows_from_it(tell: Any, probe: Probe) -> None:
    chosen = ("--critic", "op-conditioned-critic", "--use", "loss=factored-ppo", "--seed", "3")
    tell(*ON_LSTM, *chosen, "-o", "network.hidden_dim=16", "--only", "a part", "--quick", "--slots", "4")
    plan, request = probe.asked["plan"], probe.asked["request"]
    assert plan.component("critic").name == "op-conditioned-critic"
    assert (plan.component("network").config["hidden_dim"], plan.seed, len(plan.slots)) == (16, 3, 4)
    assert request.uses == {"critic": "op-conditioned-critic", "loss": "factored-ppo"}
    assert list(request.options) == ["network.hidden_dim=16"]
    assert (probe.asked["only"], probe.asked["quick"], probe.asked["slots"]) == ("a part", True, (4,))


def test_what_was_measured_is_a_table(tell: Any, probe: Probe) -> None:
    rows = (
        ProbeResult(name="P1 a", expected="V = 1", measured={"V": (1.0, 0.5, None)}, passed=False, seconds=2.0),
        ProbeResult(name="P2 bc", expected="V = 2", measured={"V": (2.0,), "w": (None,)}, passed=True, seconds=1.0),
    )
    probe.answer = evolve(RED, probes=rows)
    assert tell(*ON_LSTM).out.splitlines()[2:5] == [
        "probe          seconds  measured   expected",
        "P1 a   FAILED  2.0      V 0.5 … 1  V = 1",
        "P2 bc  passed  1.0      V 2, w -   V = 2",
    ]


def test_what_is_no_verdict_is_the_plugins_fault(tell: Any, probe: Probe) -> None:
    probe.answer = "fine"
    told = tell(*ON_LSTM)
    assert told.status == 3 and "returned a str, not a Verdict" in told.err


NAMES = ("P1 one", "P10 ten", "P12 long 10", "P12 long 30", "network construction")


@pytest.mark.parametrize(
    ("only", "found"), [(None, NAMES), ("P1", ("P1 one",)), ("p12  LONG", ("P12 long 10", "P12 long 30"))]
)
def test_names_of_parts(only: str | None, found: tuple[str, ...]) -> None:
    assert matching(only, NAMES, what="parts") == found


def test_unknown_parts() -> None:
    with pytest.raises(UserError, match=r"no 'netwerk construction' here\. Did you mean 'network c") as caught:
        matching("netwerk construction", NAMES, what="parts")
    assert caught.value.hint == f"The parts: {', '.join(NAMES)}."
    with pytest.raises(UserError) as caught:
        matching("", NAMES, what="parts")
    assert caught.value.message == "There is no '' here."


def test_slot_counts() -> None:
    assert spike.parse_slot_counts("1, 2,8,2") == (1, 2, 8)
    for text, words in (("r0c0,r0c1", "'r0c0' is not a slot count"), ("1,-2", "not -2"), ("3,65", "at most 64")):
        with pytest.raises(SlotIdError, match=words):
            spike.parse_slot_counts(text)
