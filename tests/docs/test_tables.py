"""Published numbers are those of the records that are kept of them."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from esper_core.system.json_files import json_bytes

ROOT = Path(__file__).parents[2]
MOST = 5_000_000
"""Bytes of all records."""


def _load() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tables"] = module
    spec.loader.exec_module(module)
    return module


tables = _load()
kept = importlib.import_module("record")
KEPT = sorted(path.name.removesuffix(kept.SUFFIX) for path in kept.RECORDS.glob(f"*{kept.SUFFIX}"))
BLOCKS = [block for page in tables.pages() for block in tables.blocks(page)]


def is_large(block: Any) -> bool:
    """Whether a quote needs arms of a large record to be resampled, one after the other."""
    within = block.name in KEPT and len(kept.read(block.name).instances) > 100
    return within and block.what.split()[0] in {"against", "arms", "iqm", *kept.read(block.name).arms}


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, marks=pytest.mark.slow if is_large(block) else ()) for block in BLOCKS],
    ids=lambda block: f"{block.page.stem}: {block.name} {block.what}",
)
def test_pages_say_what_records_say(block: Any) -> None:
    assert block.text == tables.said(block.name, block.what), "python benchmarks/tables.py --write puts it right"


def test_every_record_is_quoted_and_all_are_small() -> None:
    across = importlib.import_module("any_slots").names() | importlib.import_module("effects").names()
    assert {block.name for block in BLOCKS} - tables.ACROSS.keys() == set(KEPT) - across
    assert sum(path.stat().st_size for path in kept.RECORDS.rglob("*.xz")) < MOST


def test_what_is_kept_of_training_is_what_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept of a run that is unfinished, or was begun with another command."""
    experiment = importlib.import_module("experiment")
    monkeypatch.setattr(experiment, "RECORDS", tmp_path / "training")
    run = experiment.Run("0-3", 1, ["--registry", str(experiment.MIXED), "--slots", "3"])
    never = run._replace(seed=2)
    folder = tmp_path / "runs" / run.label
    (folder / "lstm-slots-s3").mkdir(parents=True)
    (folder / experiment.COMMAND).write_text(run.command)
    lines = [{"update": n, "return": 0.1 * n, "kl": None} for n in (1, 2)]
    opened = SimpleNamespace(metrics=lambda: lines, plan=SimpleNamespace(updates=2))
    monkeypatch.setattr(experiment, "RunDirectory", SimpleNamespace(open=lambda path: opened))
    trained = experiment.Experiment("try", ("return", "kl"), tmp_path / "runs")
    for wrong, words in ((never, "is not finished"), (run._replace(words=["--slots", "5"]), "was begun with")):
        with pytest.raises(SystemExit, match=words):
            trained.keep([run, wrong])
    other, foreign = run._replace(words=["--slots", "5"]), run._replace(name="foreign")
    (tmp_path / "runs" / foreign.label / "lstm-v2-s3").mkdir(parents=True)
    for wrong, words in (
        (other, "was begun with esper train"),
        (foreign, "was begun with something that is not known"),
    ):
        with pytest.raises(SystemExit, match=words):
            trained.prepare(SimpleNamespace(read=False), [run, wrong])
    assert not [*trained.compare([run])], "nothing is kept yet"
    trained.keep([run])
    assert [*trained.compare([run, never])] == ["0-3-1: 2 updates, as recorded"]
    monkeypatch.setitem(lines[1], "return", 0.3)
    assert [*trained.compare([run])] == ["0-3-1: 2 updates, another than is recorded, from update 2 on"]
    monkeypatch.setitem(lines[1], "return", 0.2)
    kept = evolve(trained, folder=None)
    assert kept.lines(run) == [{"return": 0.1 * n, "kl": None} for n in (1, 2)] and kept.lines(never) == []
    assert experiment._read("try")[run.label]["command"] == run.command
    assert run.command == "esper train --registry benchmarks/mixed.toml --slots 3 --seed 1"


def test_half_an_experiment_is_not_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = importlib.import_module("experiment")
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=["one", "other"])
    monkeypatch.setattr(sys, "argv", ["evidence.py", "runs", "--keep", "--only", "one"])
    with pytest.raises(SystemExit):
        experiment.Experiment("evidence", ("return",)).chosen(parser)
    assert "--keep keeps all of them" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["evidence.py", "runs", "--keep"])
    of, _ = experiment.Experiment("evidence", ("return",)).chosen(argparse.ArgumentParser())
    assert of.folder == Path("runs")


def test_another_number_is_put_right() -> None:
    page = (kept.RECORDS / "README.md").read_text()
    assert tables.rewritten(page) == page
    assert tables.rewritten(page.replace("-->8<!--", "-->9<!--")) == page


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("polcy won", "the record short says nothing of 'polcy won'"),
        ("difference policy statc", "has no arm 'statc'; there are "),
        ("difference policy static host=huge", "has no host that is huge"),
        ("difference policy static host=huge task=x", "has too few words or too many"),
        ("difference policy lstm-v1-at-5:policy", "short and the record lstm-v1-at-5 are of other instances"),
        ("arms policy,nope", "has no arm 'nope'"),
        ("by nope", "has no tag 'nope'; there are host"),
        ("policy won", "has no outcome 'won'; there are test_accuracy"),
        ("training", "no rule has played training instances"),
    ],
)
def test_what_a_record_does_not_say(what: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tables.said("short", what)


@pytest.mark.parametrize(
    ("before", "after"),
    [("<!-- end -->", ""), ("<!-- kept short instances -->", ""), ("<!-- kept short seeds", "<!--  kept short seeds")],
)
def test_half_a_quote_is_an_error_and_takes_in_nothing(before: str, after: str) -> None:
    page = "Of <!-- kept short instances -->8<!-- end --> and `<!-- kept` <!-- kept short seeds -->2<!-- end -->.\n"
    tables.check_markers(page, Path("page.md"))
    with pytest.raises(ValueError, match=r"page.md, line 1: '<!--.*is not half of a quote"):
        tables.check_markers(page.replace(before, after, 1), Path("page.md"))


def test_averages_are_means_over_instances_and_seeds() -> None:
    found = kept.read("short")
    mean = np.array(found.values["policy"]["added_parameters"]).mean()
    assert tables.said("short", "average policy added_parameters") == f"{mean:,.3f}"
    known = kept.read("trained-3-at-3")
    values = np.array(known.values["policy"]["added_parameters"]).mean(axis=0)
    kinds = [f"{host}, {task}" for host, task in zip(known.tags["host"], known.tags["task"], strict=True)]
    of_kind = values[[kind == kinds[3] for kind in kinds]].mean()
    table = tables.said("trained-3-at-3", "averages added_parameters policy,static").splitlines()
    (line,) = [line for line in table if line.startswith(f"| {kinds[3]} |")]
    assert line.split(" | ")[2] == f"{of_kind:,.0f}" and line.endswith(" | 0 |")
    assert (
        tables.said("short", "averages added_parameters policy,static")
        .rstrip()
        .splitlines()[-1]
        .startswith("| all | 8 | ")
    )


def test_differences_within_kinds_make_up_those_of_all() -> None:
    """A mean over instances, over those where a tag is one of some, and the same kind by kind."""
    name = "trained-3-at-3"
    record = kept.read(name)
    first = record.outcomes[0]["name"]
    apart = (np.array(record.values["policy"][first]) - np.array(record.values["static"][first])).mean(axis=0)
    weak = [number for number, host in enumerate(record.tags["host"]) if not host.startswith("capable")]
    hosts = ",".join({record.tags["host"][number] for number in weak})
    assert 0 < len(weak) < len(apart)
    assert tables.said(name, f"difference policy static host={hosts}").startswith(f"{said_of(apart[weak].mean())} [")
    assert f"`static` | {said_of(apart.mean())} [" in tables.said(name, "against")
    taught = (
        np.array(kept.read("taught-at-3").values["policy"][first]).mean()
        - np.array(record.values["policy"][first]).mean()
    )
    assert tables.said(name, "difference policy taught-at-3:policy").startswith(f"{said_of(-taught)} [")
    _, *kinds, total = [line.split(" | ") for line in tables.said(name, "kinds static").splitlines() if "| " in line]
    assert sum(int(count) for _, count, _ in kinds[1:]) == int(total[1]) == len(apart)
    assert total[2].startswith(f"{said_of(apart.mean())} [")


def said_of(number: float) -> str:
    return f"{number:+.3f}".replace("-", "\N{MINUS SIGN}")


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `esper evaluate --json` said where the short record comes from, with its episodes as a run keeps them."""
    record = kept.read("short")
    outcomes = [outcome["name"] for outcome in record.outcomes]
    seeds = {
        arm: [int(s) for s in record.policies] if len(rows[outcomes[0]]) > 1 else [None]
        for arm, rows in record.values.items()
    }
    lines = [
        {
            "arm": arm,
            "version": record.policies.get(str(seed), ""),
            "seed": seed,
            "instance": instance,
            "outcomes": {name: rows[name][row][column] for name in outcomes},
            "tags": {word: own[column] for word, own in record.tags.items()},
        }
        for arm, rows in record.values.items()
        for row, seed in enumerate(seeds[arm])
        for column, instance in enumerate(record.instances)
    ]
    (tmp_path / "episodes.jsonl").write_bytes(b"".join(map(json_bytes, lines)))
    (tmp_path / "about.json").write_bytes(json_bytes(record.about))
    monkeypatch.setattr(kept, "sides_of", lambda run: record.together)
    return {
        **json.loads(json.dumps(record.compared().to_json())),
        "records": str(tmp_path),
        "runs": ["runs/short"],
        "checkpoints": record.updates,
        "slots": record.slots,
        "search": record.search,
    }


def test_what_is_kept_is_what_was_played(
    evaluated: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, short = kept.measured(evaluated), kept.read("short")
    (tmp_path / "records").mkdir()
    monkeypatch.setattr(kept, "RECORDS", tmp_path / "records")
    kept.keep(record, "again")
    assert kept.read("again") == record == short


def test_what_does_not_follow_from_episodes_is_not_kept(evaluated: dict[str, Any]) -> None:
    evaluated["primary"]["delta"] += 0.001
    with pytest.raises(ValueError, match=r"does not follow from .*episodes.jsonl: delta was"):
        kept.measured(evaluated)
    with pytest.raises(ValueError, match="not what `esper evaluate --json` prints"):
        kept.measured({"delta": 0.001})


def test_tables_of_several_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference is that of the paired means; a policy without a lead has no share of one to give."""
    any_slots, short = importlib.import_module("any_slots"), kept.read("short")
    monkeypatch.setattr(any_slots, "read", lambda name: short)
    found = any_slots.difference(("trained-3", "policy"), ("trained-3", "static"), 3)
    first = short.outcomes[0]["name"]
    apart = np.array(short.values["policy"][first]) - np.array(short.values["static"][first])
    assert found.value == pytest.approx(apart.mean()) and found.low < found.value < found.high
    assert any_slots.share("trained-1-to-5", "lstm-v1", 3) == "too uncertain"
    moved = evolve(short, instances=[number + 1 for number in short.instances])
    monkeypatch.setattr(any_slots, "read", lambda name: moved if name == "lstm-v1-at-3" else short)
    with pytest.raises(ValueError, match="lstm-v1 with 3 slots and trained-3 with 3 slots are of other instances"):
        any_slots.difference(("lstm-v1", "policy"), ("trained-3", "policy"), 3)
