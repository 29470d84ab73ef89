"""`esper matrix` as users run it."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

TINY = (
    *("--slots", "2", "-o", "environment.epochs=4", "-o", "task.train_samples=100"),
    *("-o", "network.lstm-v1.hidden_dim=16", "-o", "network.lstm-v2.hidden_dim=16"),
)

BOASTFUL = """
from esper_core import ComponentSpec, hookimpl
@hookimpl
def esper_components():
    yield ComponentSpec(kind="critic", name="boastful", factory="acme_boastful:critic")
def critic(config, context):
    print("chatty")
    raise KeyError("no such thing")
"""


def test_every_cell_is_predicted_and_the_pairs_are_measured(esper):
    done = esper("matrix", *TINY, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    cells = told["cells"]
    assert told["verdict"] == "GREEN" and told["untested"] == sum(cell["agreement"] is None for cell in cells) > 0
    assert {cell["measured"]["status"] for cell in cells} == {"works", "untested"}
    assert all(cell["predicted"] == {"fits": True, "reason": None} for cell in cells)
    for one, other in (("features", "network"), ("network", "critic"), ("features", "critic")):
        tested = {(cell[one], cell[other]) for cell in cells if cell["agreement"]}
        assert tested == {(cell[one], cell[other]) for cell in cells}
    assert {cell["network"] for cell in cells} >= {"lstm-v1", "lstm-v2"}
    assert done.stderr.splitlines()[0].startswith("testing 1 of ")


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """Return a matrix without what a clock says."""
    del document["seconds"]
    for cell in document["cells"]:
        del cell["measured"]["seconds"]
    return document


@pytest.mark.slow
def test_shards_are_merged_into_the_matrix_of_one_process(esper, process, without_torch):
    only = ("network=lstm-v1", "critic=state-value", "features=flat", "features=obs-v3")
    few = ("matrix", *TINY, *(word for what in only for word in ("--only", what)), "--json")
    whole = timeless(json.loads(esper(*few).stdout))
    assert len(whole["cells"]) == 2
    first = json.loads(esper(*few, "--shard", "1/2").stdout)
    assert first["new"] == first["jobs"] == 1
    assert json.loads(esper(*few, "--shard", "1/2").stdout) == {**first, "new": 0}
    missing = esper(*few, "--merge")
    assert (
        missing.returncode == 2 and missing.stdout == "" and "Not all shards are done: 2/2 is missing" in missing.stderr
    )
    assert esper(*few, "--shard", "2/2").returncode == 0
    merged = process(*few, "--merge", path=without_torch)
    assert merged.returncode == 0 and timeless(json.loads(merged.stdout)) == whole
    other = esper(*few, "--seed", "1", "--merge")
    assert "There are no shards of this matrix" in other.stderr and "seed was nothing and is 1" in other.stderr


def test_an_over_claim_is_red(esper, install):
    site = install("acme-boastful", BOASTFUL)
    only = ("--only", "network=lstm-v1", "--only", "features=flat", "--only", "critic=boastful")
    done = esper("matrix", *TINY, *only, "--only", "critic=state-value", "--json", path=site)
    assert done.returncode == 5
    told = json.loads(done.stdout)
    boastful, sound = told["cells"]
    assert told["verdict"] == "RED" and sound["agreement"] == "agrees"
    assert (boastful["agreement"], boastful["measured"]["component"]) == ("over-claim", "critic/boastful")
    assert "failed while being built: KeyError" in boastful["measured"]["error"] and "chatty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "network"), "--only network cannot be read"),
        (("--only", "netwrok=lstm-v1"), "Did you mean 'network'?"),
        (("--only", "task=digits"), "The matrix combines no task."),
        (("--use", "critic=state-value"), "--only critic=NAME"),
        (("-o", "network.hiden_dim=3"), "Did you mean 'hidden_dim'?"),
        (("-o", "network.lstm-v2.hidden_dim=3", "-o", "train.lr=-1"), "train.lr"),
        (("--use", "blueprint=norm"), "says itself which blueprint components it uses"),
        (("--no-plugin", "factored-ppo"), "No loss is installed"),
    ],
)
def test_what_is_written_wrong(esper, arguments, words):
    done = esper("matrix", *arguments)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""


def test_ctrl_c_prints_what_is_known(begin):
    process = begin("matrix", "--slots", "2,3,4,5,6", *TINY[2:], "--full", "--json")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("testing 3 "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    told = json.loads(out)
    known = len(told["cells"]) - told["untested"]
    assert 2 <= known < len(told["cells"])
    assert process.returncode == 130 and f"Stopped after {known} of {len(told['cells'])} cells." in err
