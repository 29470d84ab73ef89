"""`esper bench`: which workload it measures, what it prints, and how it ends."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from esper_core.composition.recipes import Recipes
from esper_core.registry.loading import load_index
from esper_testing.beside import choose_beside

RATIOS = ("over_plain_loop", "share_of_best")

STILL = """
from esper_core import ComponentSpec, hookimpl
from esper_bench.workload import Target

@hookimpl
def esper_components():
    yield ComponentSpec(kind="workload", name="still", factory="acme_bench:still", summary="takes no time")
    yield ComponentSpec(kind="workload", name="broken", factory="acme_bench:broken")
    yield ComponentSpec(kind="workload", name="strange", factory="acme_bench:strange")

OPTIONS = ["train.update_epochs=2"]


class Still:
    choices = {"policy": "lstm-v1", "slots": "2", "uses": {"environment": "growth"}, "options": OPTIONS}
    targets = (
        Target("over.empty", 2.0),
        Target("cost_ms", 1.0, smaller_is_better=True, meaning="per call"),
    )

    def measure(self, plan, index, *, quick, say):
        import torch
        print("acme: on stdout")
        say("looking at the clock")
        return {
            "steps": plan.train["update_epochs"], "threads_used": torch.get_num_threads(), "cost_ms": 0.5,
            "over": {"empty": 1.0, "occupied": 1.5},
            "workers": plan.component("environment").config["workers"],
            "rows": [{"hosts": 1, "rate": 2.5}, {"hosts": 4, "rate": 7.5}],
            "phases": {"policy": {"seconds": 1.0, "share": 1.0}},
        }

    def evidence(self, plan, index, figure, figures, ceilings):
        return {"per": "call", "bytes_moved": 8}

def still(config, context):
    return Still()

def broken(config, context):
    return object()

def strange(config, context):
    workload = Still()
    workload.choices = {"flavour": "sweet"}
    return workload
"""


@pytest.fixture
def site(install):
    return install("acme-bench", STILL)


def test_one_document_for_machines(esper, site):
    done = esper("bench", "--workload", "still", "--quick", "--json", path=site)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [document[name] for name in ("workload", "quick", "policy", "threads")] == ["still", True, "lstm-v1", 1]
    assert (document["cost_ms"], document["steps"], document["threads_used"], document["workers"]) == (0.5, 2, 1, 0)
    assert {name: row["reached"] for name, row in document["targets"].items()} == {"over.empty": False, "cost_ms": True}
    (figure,) = document["floor"]
    assert figure == "over.empty" and document["floor"][figure]["evidence"] == {"per": "call", "bytes_moved": 8}
    assert document["machine"]["ceilings"]["gflops"] > 0 and document["versions"]["torch"]
    assert "looking at the clock\n" in done.stderr and "acme: on stdout" in done.stderr


def test_a_table_for_people(esper, site):
    done = esper("bench", "--workload", "still", path=site)
    assert done.returncode == 0, done.stderr
    parts = (
        *("over.empty  1         ≥ 2     missed", "cost_ms     0.5       ≤ 1     reached  per call", "occupied  1.5"),
        *("  4      7.5", "policy  1.00     100.0%", "over.empty misses its target", "bytes_moved"),
        *("besides, on this machine", "threads_used  1", "gflops"),
    )
    found = [done.stdout.find(words) for words in parts]
    assert -1 not in found and found == sorted(found), "ratios come first, what depends on the machine last"
    assert "\n  empty" not in done.stdout, "no figure twice"
    assert "looking at the clock" in done.stderr


def test_flags_reach_the_plan(esper, site):
    flags = ("--policy", "lstm-v2", "--workers", "1", "--threads", "2", "-o", "train.update_epochs=5")
    document = json.loads(esper("bench", "--workload", "still", "--json", *flags, path=site).stdout)
    assert [document[name] for name in ("policy", "workers", "threads_used", "steps")] == ["lstm-v2", 1, 2, 5]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--workload", "stil"), 2, "Did you mean 'still'?"),
        (("--workload", "still", "--policy", "lstm-v9"), 2, "Did you mean 'lstm-v"),
        (("--workload", "broken"), 3, "which does not fulfil Workload: it lacks choices, targets, measure, evidence"),
        (("--workload", "strange"), 3, "its choices are not a plan"),
        (("--workers", "-1"), 2, "'environment.workers' cannot be -1"),
        (("-o", "environment.runtim=loop"), 2, "Did you mean 'runtime'?"),
        (("--threads", "0"), 2, "--threads"),
    ],
)
def test_mistakes(esper, site, arguments, code, words):
    done = esper("bench", *arguments, path=site)
    assert done.returncode == code and words in done.stderr and done.stdout == ""


def test_the_environment_names_the_workload_unless_the_registry_file_does():
    index = load_index()
    assert choose_beside(index, Recipes(), "workload", None).name == "digits"
    recipes = Recipes(defaults={"workload": "conv-small"})
    assert choose_beside(index, recipes, "workload", None).name == "conv-small"
    assert choose_beside(index, recipes, "workload", "digits").name == "digits"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_nothing_behind(begin, number, code):
    process = begin("bench", "--quick", "--workers", "2", "--json")
    deadline = time.monotonic() + 60
    while len(members(process.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert out == "" and "Traceback" not in err
    assert members(process.pid) == []


def members(group: int) -> list[int]:
    """Return the command's processes of a process group, those that train hosts included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z" and "esper_core.cli.app" in command:
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_the_real_thing(esper):
    done = esper("bench", "--workload", "conv-small", "--quick", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert all(min(document[name][what] for what in ("empty", "occupied")) > 0 for name in RATIOS)
    assert min(document["processes"]["two_over_one"], document["validation"]["ablated_over_plain"]) > 0
    assert {"environment_steps_per_second", "other_share", "phases"} < document.keys()
    missed = {name for name, row in document["targets"].items() if not row["reached"]}
    assert set(document.get("floor", {})) == missed
