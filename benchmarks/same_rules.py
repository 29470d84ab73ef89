"""Episodes of rules that one evaluation has played, for that of another policy in the same place.

    python benchmarks/same_rules.py RUN OTHER --fresh 2000 -o environment.instances=400

RUN is the first run of a policy that was evaluated, OTHER that of a policy that will be, and the options are those of
its `esper evaluate`, which then plays what its policies play. What rules, `best-fixed` and `selector` do depends on
environment, slots, code and machine, not on who else plays: these are compared, and some episodes are played again in
a copy of OTHER and must be the same to the last digit. Otherwise nothing is taken, unless --tolerate allows for it.
That these instances are looked at is not written into `looked-at.jsonl`: no policy plays them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from esper_core.api.installed import load_installed
from esper_core.composition.build import build_environment, resolve_device
from esper_core.contracts.errors import EsperError
from esper_core.runs.directory import find_run
from esper_core.system.content import differences
from esper_core.system.json_files import read_json
from esper_evaluation.circumstances import circumstances
from esper_evaluation.evaluating import evaluate
from esper_evaluation.question import ask
from esper_evaluation.records import ABOUT_FILE, EVALUATION, Key, Records, folder_of

POLICY_KINDS = ("features", "network", "critic", "loss")
"""What a rule is not made of, and sees nothing of."""


def told(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return those circumstances that episodes of rules depend on."""
    kept = {key: c for key, c in about["components"].items() if key.split("/")[0] not in POLICY_KINDS}
    others = {name for key, (name, _) in about["components"].items() if key not in kept}
    foreign = others - {name for name, _ in kept.values()}
    sources = {name: source for name, source in about["sources"].items() if name not in foreign}
    return {**about, "components": kept, "sources": sources}


def known(run: Path, here: Mapping[str, Any]) -> Records:
    """Return what a run has on record of the same place, whoever its policies are."""
    noted = []
    for path in sorted((run / EVALUATION).glob(f"*/{ABOUT_FILE}")):
        about = read_json(path)
        found = [*differences(told(about), told(here))]
        if not found:
            return Records.open(run, about)
        noted.append(f"{path.parent}: {'; '.join(found)}")
    sys.exit(f"same_rules.py: {run} has no episodes of the same place. {' '.join(noted)}")


def of_rules(records: Records) -> dict[Key, Any]:
    """Return the episodes that no policy has played."""
    return {key: line for key, line in records.lines.items() if key.seed is None}


def differing(records: Records, other: Path, said: argparse.Namespace) -> Iterator[str]:
    """Play some episodes of rules again in a copy of the other run; yield those that are others."""
    rules = sorted({which.arm for which in records.drawings})
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / other.name
        shutil.copytree(other, copy, ignore=shutil.ignore_patterns(EVALUATION))
        found = evaluate(
            str(copy), arms=rules, instances=said.check, fresh=said.fresh, again=True, options=said.options
        )
        again = of_rules(Records.open(copy, read_json(found.records / ABOUT_FILE)))
    print(f"{len(again)} episodes of {', '.join(rules)} played again", file=sys.stderr)
    for key, line in again.items():
        if records.lines.get(key) != line:
            yield f"{key.arm} on {key.instance}"


def main() -> None:
    """Compare, play some again, and write the others' episodes down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the first run of a policy that was evaluated")
    parser.add_argument("other", type=Path, help="the first run of another policy")
    parser.add_argument("--fresh", type=int, default=0, metavar="FROM", help="the first instance that was played")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="KIND.KEY=VALUE")
    parser.add_argument("--tolerate", type=int, default=0, metavar="N", help="so many of those may be others (0)")
    parser.add_argument("--check", type=int, default=16, metavar="N", help="instances that rules play again (16)")
    said = parser.parse_args()
    index, recipes = load_installed()
    asked = {"at": "last", "arms": ["policy", "static"], "search_episodes": None, "fresh": None, "primary": "iqm"}
    place = {"again": False, "slots": None, "uses": {}, "options": said.options}
    said.other = find_run(str(said.other), Path("runs")).path
    question = ask([find_run(str(said.other), Path("runs"))], index, recipes, instances=said.check, **asked, **place)
    plan = question.entrants[0].plan
    environment = build_environment(plan, index).parts["environment"]
    here = circumstances(plan, index, resolve_device(plan.device), environment)
    environment.close()
    records = known(said.run, here)
    others = [*differing(records, said.other, said)]
    if others:
        print(f"not the same: {', '.join(others)}", file=sys.stderr)
    if len(others) > said.tolerate:
        sys.exit("same_rules.py: nothing is taken")
    own = Records.open(said.other, here)
    episodes = {key: line for key, line in of_rules(records).items() if key not in own.lines}
    if episodes:
        own.add(episodes)
    for batch in records.batches.keys() - own.batches.keys():
        own.add_batch(batch, records.batches[batch])
    for drawing in records.drawings.keys() - own.drawings.keys():
        line = records.drawings[drawing]
        own.add_drawing(drawing, line["outcomes"], line["world"])
    print(f"{len(episodes)} episodes of rules, and training instances: {folder_of(said.other, here)}")


if __name__ == "__main__":
    try:
        main()
    except EsperError as error:
        sys.exit(f"same_rules.py: {error}")
