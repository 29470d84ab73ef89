"""The directory of a run: `run.json`, `metrics.jsonl`, `events.jsonl` and `checkpoints/`."""

from __future__ import annotations

import datetime
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import Factory, asdict, define, field

from esper_core.composition.blocks import action_blocks, observed_blocks
from esper_core.composition.plan import Plan, describe_plan, takes_any_slots
from esper_core.contracts.errors import CheckpointMismatch, EsperError, PluginError, UserError, did_you_mean
from esper_core.registry.offers import offers
from esper_core.runs import provenance
from esper_core.runs.header import CHECKPOINTS
from esper_core.runs.records import RESERVED, AnyLine, RunRecord, check_event, check_metrics, read_record, reading
from esper_core.runs.words import Words
from esper_core.system.files import is_temporary, replace_synced, writing
from esper_core.system.git import git_commit
from esper_core.system.json_files import append_lines, cut, finite, json_bytes, read_lines
from esper_core.system.machine import libraries, machine
from esper_core.system.shape import shaped, structured

if TYPE_CHECKING:
    from esper_core.learning.trainer import Update
    from esper_core.registry.index import Index

RUN_SCHEMA = 1
RUN_FILE, METRICS_FILE, EVENTS_FILE = "run.json", "metrics.jsonl", "events.jsonl"

RESTORE = "Restore it from a copy."


@define
class RunDirectory:
    """The directory of one run.

    Attributes:
        path: Its absolute path.
        record: The content of `run.json`.
        given: The path as the user wrote it.
        brought: Distribution and version that bring it; empty for a run that was trained here.
    """

    path: Path
    record: dict[str, Any] = field(repr=False)
    given: Path = field(default=Factory(lambda self: self.path, takes_self=True), repr=False)
    brought: str = ""

    @classmethod
    def create(
        cls, out: Path, plan: Plan, index: Index, facts: Mapping[str, Any] | None = None, here: Path | None = None
    ) -> RunDirectory:
        """Create `<out>/<policy>-s<slots>-<date>-<short id>/` and write its `run.json`; raises UserError.

        `facts` are further entries of `run.json`, such as the number of parameters. The git commit noted is that of the
        folder `here`, else of the working directory, which a component may have changed.
        """
        description = describe_plan(plan, index)
        now = datetime.datetime.now(datetime.UTC)
        record = {
            "schema": RUN_SCHEMA,
            "created": now.isoformat(timespec="seconds"),
            "plan": plan.to_json(),
            "feature_schema": {
                "digest": description.feature_schema.digest,
                "dim": description.feature_schema.dim,
                "blocks": observed_blocks(description.feature_schema),
            },
            "actions": {
                "digest": description.actions.digest,
                "heads": description.actions.sizes,
                "blocks": action_blocks(description.actions),
            },
            "any_slots": takes_any_slots(plan, index),
            "horizon": description.horizon,
            "rows": description.rows,
            "weights_versions": provenance.weights_versions(plan, index),
            "words": asdict(Words.of(plan, index, description)),
            "seeds": {"run": plan.seed},
            **_circumstances(plan, index, here),
            **(facts or {}),
        }
        # File systems allow 255 characters in all.
        policy = re.sub(r"[^A-Za-z0-9._-]+", "-", plan.policy).strip("-.")[:100] or "run"
        with _writing_runs(out):
            slots = f"{plan.drawn[0]}to{plan.drawn[-1]}" if plan.drawn else len(plan.slots)
            path = _fresh_directory(Path(out).absolute(), f"{policy}-s{slots}-{now:%Y%m%d-%H%M%S}")
            (path / CHECKPOINTS).mkdir()
            replace_synced(path / RUN_FILE, json_bytes(record, indent=2))
        return cls(path, record, Path(out) / path.name)

    @classmethod
    def open(cls, path: Path, brought: str = "") -> RunDirectory:
        """Return the run at `path`, which a distribution may have brought; raises UserError where there is none.

        CheckpointMismatch: its `run.json` is damaged, or another version of esper-core wrote it.
        """
        given, path = path, path.absolute()
        file = path / RUN_FILE
        if not os.path.lexists(file):
            raise UserError(f"{path} is not a run: it has no {RUN_FILE}.", hint="See: esper runs list")
        record = read_record(file, RUN_SCHEMA, RESTORE)
        with reading(file, RESTORE):
            Plan.from_json(shaped(RunRecord, record, str(file)).plan)
        return cls(path, record, given, brought)

    def shown(self, path: Path | None = None) -> Path:
        """Return the run, or a path in it, as the user wrote it, relative to where esper was started."""
        return self.given if path is None else self.given / path.relative_to(self.path)

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.path.name

    @property
    def created(self) -> str:
        """When the run was created, ISO 8601 in UTC."""
        return str(self.record.get("created", ""))

    @property
    def plan(self) -> Plan:
        """What the run is made of."""
        return Plan.from_json(self.record["plan"])

    @property
    def words(self) -> Words:
        """What it calls what it reports."""
        return structured(Words, self.record.get("words", {}))

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def circumstances(self) -> dict[str, Any]:
        """Distributions, libraries and machine of the process that wrote it last."""
        resumed = self.record.get("resumed")
        return dict(resumed[-1] if resumed else self.record)

    # Writing --------------------------------------------------------------------------------------------------------

    def resume(self, update: int, plan: Plan, index: Index, facts: Mapping[str, Any], here: Path | None = None) -> None:
        """Cut the run back to an update, whose lines are the last that stay, and note in `run.json` that it is resumed.

        Of the plan only the number of updates may be another; facts and `here` are as for `create`. Raises EsperError
        where a line that must stay is damaged, or a file cannot be written.
        """
        lengths = self.lengths_up_to(update)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        made_with = {**_circumstances(plan, index, here), **facts}
        note = {"when": now, "update": update, "updates": plan.updates, **made_with}
        record = {**self.record, "plan": plan.to_json(), "resumed": [*self.record.get("resumed", []), note]}
        with writing(self.path / RUN_FILE):
            for entry in self.path.iterdir():
                if is_temporary(entry.name):
                    entry.unlink()
            replace_synced(self.path / RUN_FILE, json_bytes(record, indent=2))
        self.record = record
        for file, length in lengths.items():
            cut(file, length, within=self.path)

    def lengths_up_to(self, update: int) -> dict[Path, int]:
        """Return the length of each file of lines up to an update; raises EsperError for a damaged line."""
        lengths = {}
        for file in (self.path / EVENTS_FILE, self.path / METRICS_FILE):
            lines = read_lines(file, partial(structured, AnyLine))
            ends = [line.end for line in takewhile(lambda line: line.entry["update"] <= update, lines)]
            lengths[file] = ends[-1] if ends else 0
        return lengths

    def append_metrics(self, update: Update) -> dict[str, Any]:
        """Append the metrics line of an update and return it.

        Undefined metrics are null. All that depends on clock or machine is under `timing`. Raises EsperError where the
        file cannot be written, and PluginError for a metric whose name a line needs for something else.
        """
        for name in update.metrics.keys() & RESERVED:
            raise PluginError(
                f"A metric is called '{name}', which a metrics line needs for something else.",
                hint="Rename it in the environment's episode events or in the loss.",
            )
        counts = {"update": update.index, "environment_steps": update.environment_steps}
        warnings = [asdict(warning) for warning in update.warnings]
        line: dict[str, Any] = finite({**counts, **update.metrics, "warnings": warnings, "timing": update.timing})
        append_lines(self.path / METRICS_FILE, [line], within=self.path)
        return line

    def append_events(self, update: Update) -> None:
        """Append the environment's events of an update, one line each; raises EsperError."""
        lines = [{"update": update.index, **event} for event in update.events]
        append_lines(self.path / EVENTS_FILE, lines, within=self.path)

    # Reading --------------------------------------------------------------------------------------------------------

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metrics lines; raises DamagedFile for one that is damaged."""
        lines: list[dict[str, Any]] = []
        last = lambda: lines[-1]["update"] if lines else 0  # noqa: E731
        lines.extend(line.entry for line in read_lines(self.path / METRICS_FILE, lambda e: check_metrics(e, last())))
        return lines

    def events(self) -> list[dict[str, Any]]:
        """Return the environment's events; raises DamagedFile for a line that is damaged."""
        envs, horizon = self.plan.envs * self.record.get("rows", 1), self.record.get("horizon")
        lines = read_lines(self.path / EVENTS_FILE, lambda entry: check_event(entry, envs, horizon))
        return [line.entry for line in lines]


def _circumstances(plan: Plan, index: Index, here: Path | None) -> dict[str, Any]:
    return {
        "distributions": provenance.distributions(plan, index),
        "git": git_commit(here or Path.cwd()),
        "machine": machine(),
        "libraries": libraries(),
    }


def list_runs(out: Path) -> tuple[list[RunDirectory], list[str]]:
    """Return the runs in a directory, oldest first, and one sentence for each that cannot be read."""
    runs, damaged = [], []
    for name in _names(out):
        try:
            runs.append(RunDirectory.open(out / name))
        except EsperError as error:
            damaged.append(error.message)
    return sorted(runs, key=lambda run: (run.created, run.name)), damaged


def _names(out: Path) -> list[str]:
    """Return the names of the runs in a directory, and of what may be damaged ones."""
    with reading(out, "Make it readable, or choose another with --out."):
        entries = sorted(out.iterdir()) if out.is_dir() else []
        return [entry.name for entry in entries if os.path.lexists(entry / RUN_FILE)]


def find_run(text: str, out: Path) -> RunDirectory:
    """Return the run at the path `text`, or of this name, or the only one in `out` whose name begins with it.

    Names are those in `out`, then those of runs that installed distributions bring.

    Raises:
        UserError: there is none, or several.
        CheckpointMismatch: it is a file, or cannot be read.
        PluginError: two distributions bring runs of one name, or one is not there.
    """
    path = Path(text)
    if os.path.lexists(path / RUN_FILE):
        return RunDirectory.open(path.resolve() if path.name in ("", "..") else path)
    if path.parent.name == CHECKPOINTS and path.is_dir():
        run = path.parent.parent
        raise UserError(
            f"{path} is a checkpoint; what is asked for is its run, {run}.",
            hint=f"To resume from this checkpoint: esper train --resume {run} --at {path.name.lstrip('0')}",
        )
    if path.is_file():
        raise CheckpointMismatch(
            f"{path} is a file, and was not written by esper as a run.",
            hint=f"A run is a directory that holds {RUN_FILE} and {CHECKPOINTS}/. No pickle is ever loaded.",
        )
    names, brought = _names(out), offers()
    if text in brought and text not in names:
        return RunDirectory.open(brought[text].path, brought=brought[text].origin)
    found = [name for name in names if name == text] or [name for name in names if name.startswith(text)]
    if not text or not found:
        raise UserError(
            f"There is no run '{text}' in {out}.{did_you_mean(text, [*names, *brought])}",
            hint=f"RUN is a path, or the beginning of a name. See: esper runs list --out {out}",
        )
    if len(found) > 1:
        raise UserError(f"{len(found)} runs in {out} begin with '{text}'.", hint=f"They are: {', '.join(found)}.")
    return RunDirectory.open(out / found[0])


def check_writable(out: Path) -> None:
    """Find out before any work is done whether runs can be written to `out`; raises UserError."""
    with _writing_runs(out):
        _fresh_directory(out, ".esper").rmdir()


@contextmanager
def _writing_runs(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"No run can be written to {out}: {error.strerror or error}.",
            hint="Choose a writable directory with room with --out.",
        ) from error


def _fresh_directory(out: Path, stem: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    while (path := out / f"{stem}-{secrets.token_hex(2)}").exists():
        pass
    path.mkdir()
    return path
