"""`esper train`: what it prints, what it leaves behind, and that equal seeds make equal runs."""

import json
import math
import re
from pathlib import Path

import pytest

from tests.cli.resuming import SMALL, lines_of, without_timing


@pytest.fixture
def train(esper, tmp_path):
    """Return a function that trains a small policy: the run's folder, and what was printed as JSON."""

    def train(*arguments: str) -> tuple[Path, dict]:
        done = esper("train", "--policy", "lstm-v2", "--slots", "2", "--updates", "2", *SMALL, *arguments, "--json")
        assert done.returncode == 0 and done.stdout.count("\n") == 1, "one line of JSON"
        printed = json.loads(done.stdout)
        return tmp_path / printed["run"], printed

    return train


def test_equal_seeds_make_equal_runs_and_others_do_not(train):
    first, second, other = (train("--seed", seed)[0] for seed in ("3", "3", "4"))
    assert first != second
    assert without_timing(first) == without_timing(second) != without_timing(other)
    assert (first / "events.jsonl").read_bytes() == (second / "events.jsonl").read_bytes()
    weights = "checkpoints/000002/policy.safetensors"
    assert (first / weights).read_bytes() == (second / weights).read_bytes() != (other / weights).read_bytes()


def test_what_depends_on_the_clock_lies_under_timing(train):
    for line in lines_of(train()[0]):
        timing = line["timing"]
        numbers = [v for v in (*line.values(), *timing.values()) if isinstance(v, float)]
        assert len(numbers) > 30 and all(map(math.isfinite, numbers))
        assert line["ratio_at_start"] == 1.0 and line["behaviour_log_prob_gap"] < 1e-4
        assert sum(timing["phases"].values()) == pytest.approx(timing["seconds"]) and timing["steps_per_second"] > 0
        assert {"host_training", "validation", "features", "masks", "policy", "update"} < set(timing["phases"])
        assert not any("second" in key or "time" in key for key in line if key != "timing")


def test_people_see_progress_and_a_result(esper, tmp_path):
    done = esper("train", "--policy", "lstm-v2", "--slots", "2", "--updates", "4", *SMALL)
    assert done.returncode == 0, done.stderr
    assert re.search(r"update 1/4  step \d+/32  [\d.]+ steps/s  ETA \d+:\d\d", done.stderr)
    assert "update 4/4  return" in done.stderr
    for words in ("4 updates, 32 environment steps", "grown hosts", "static host", "→", "esper runs show runs/"):
        assert words in done.stdout, done.stdout
    command = re.search(r"esper (runs show (\S+))", done.stdout)
    assert (tmp_path / command[2] / "run.json").exists()
    shown = esper(*command[1].split()).stdout
    assert "4 of 4" in shown and "000004" in shown and re.search(r"spent on .*host training \d+%", shown)
    assert re.search(r"^ +entropy .* kl$", shown, re.M) and re.search(r"^  blueprint( +\S+){9,}$", shown, re.M)


def test_a_warning_is_said_once_and_kept(esper, tmp_path):
    bounds = ("--updates", "3", *SMALL, "-o", 'train.thresholds=["state-large=0.001"]', "--json")
    done = esper("train", "--policy", "lstm-v2", "--slots", "2", *bounds)
    said = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert [re.sub(r"[\d.]+(e-\d+)?$", "…", line) for line in said] == [
        f"warning: recurrent state {part}: root mean square …" for part in ("h", "c")
    ], "not again in every update"
    folder = tmp_path / json.loads(done.stdout)["run"]
    lines = lines_of(folder)
    assert [[(w["threshold"], w["head"], w["since"]) for w in line["warnings"]] for line in lines] == [
        [("state-large", "h", 1), ("state-large", "c", 1)]
    ] * 3
    assert all(w["value"] == line[w["metric"]] for line in lines for w in line["warnings"])
    shown = esper("runs", "show", str(folder)).stdout
    assert all(shown.count(line.replace("warning", "updates 1 to 3")) == 1 for line in said), shown


def test_a_dry_run_prints_the_plan_and_builds_nothing(esper, tmp_path):
    arguments = ("train", "--policy", "lstm-v2", "--critic", "state-value", "-o", "network.hidden_dim=64", "--dry-run")
    chosen = {c["kind"]: c for c in json.loads(esper(*arguments).stdout)["components"]}
    assert chosen["critic"]["name"] == "state-value" and chosen["network"]["config"]["hidden_dim"] == 64
    assert not (tmp_path / "runs").exists()


STUBBORN = """
from esper_core import ComponentSpec, hookimpl
@hookimpl
def esper_components():
    yield ComponentSpec(kind="host", name="stubborn", factory="esper_growth.hosts.uniform:NarrowHost", summary="s",
                        known_failures={"exports": "it asks numpy"})
"""


def test_what_a_chosen_component_cannot_do_is_said_before_training(esper, install):
    site, dry = install("esper-stubborn", STUBBORN), ("train", "--policy", "lstm-v2", "--dry-run")
    said = "warning: host 'stubborn' (esper-stubborn 1.0) is known to fail its check 'exports': it asks numpy\n"
    assert said in esper(*dry, "--host", "stubborn", path=site).stderr
    assert "stubborn'" not in esper(*dry, path=site).stderr, "not chosen"
