"""Where headroom.py plays: episodes side by side, each by whoever it is told, kept batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define, evolve, field, frozen
from gap import problem
from record import RECORDS, SUFFIX, save, saved

from esper_core.api.player import load
from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import Plan, PlanRequest, describe_plan, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.contracts.protocols import BuildContext, Rule
from esper_core.registry.loading import load_index
from esper_core.registry.offers import offers
from esper_core.registry.resolve import resolve
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
from esper_core.system.content import digest
from esper_core.system.json_files import append_lines, read_lines
from esper_evaluation.circumstances import circumstances
from esper_evaluation.schedule import Schedule, Wandering, recorded
from esper_evaluation.search import Search
from esper_evaluation.selecting import Watching
from esper_evaluation.statistics import Values
from esper_testing.player import PlayerRule, derived_seed, play

RECIPES, RECIPE = Path(__file__).with_name("mixed.toml"), "taught-slots"
RECORD = RECORDS / "worlds" / f"headroom{SUFFIX}"
APART = 0.02
"""By how much the step sizes of repeats differ."""
ACCURACY = "test_accuracy"

Make = Callable[[], Rule]
Line = dict[str, Any]


@frozen
class Who:
    """Who plays: what tells them apart, and what makes a rule of them."""

    name: str
    make: Make


@define
class Field:
    """Where is played, and what was played there: one line per batch, written when it is done.

    Attributes:
        sizes: How much is played, by the names of the options.
        policy: Digest of the policy's checkpoint.
        kept: What was played, by job.
        fields: What the environment says of the world.
        path: File of the lines; without it nothing is played.
        plan: What is played; None where nothing is.
        show: Called with how many episodes are done, and of how many.
        total: Episodes that there are, as far as that is known.
        done: Those that are played or on record.
        asked: Their jobs.
    """

    sizes: Mapping[str, int]
    policy: str
    kept: dict[str, Line]
    fields: tuple[str, ...]
    path: Path | None = None
    plan: Plan | None = None
    show: Callable[..., None] = lambda *_: None
    total: int = 0
    done: int = 0
    asked: list[str] = field(factory=list)
    _contexts: dict[float, BuildContext] = field(factory=dict, repr=False)

    @classmethod
    def opened(cls, folder: Path, sizes: Mapping[str, int], options: Sequence[str], show: Callable[..., None]) -> Field:
        """Return one that plays what is missing in a folder; close it after use."""
        index = load_index()
        request = PlanRequest(
            policy=RECIPE, slots=str(sizes["slots"]), envs=sizes["envs"], options=options, seed=0, device="cpu"
        )
        plan = make_plan(request, index, load_recipes(RECIPES))
        header = read_header(choose_checkpoint(_pretrained(), "last"))
        arena = cls(
            sizes, str(header.content["digest"])[:16], {}, describe_plan(plan, index).world, plan=plan, show=show
        )
        here = circumstances(plan, index, "cpu", arena.context(1.0).parts["environment"])
        folder.mkdir(parents=True, exist_ok=True)
        arena.path = folder / f"{digest(here)}.jsonl"
        arena.kept = {line.entry["job"]: line.entry for line in read_lines(arena.path)}
        return arena

    @classmethod
    def recorded(cls) -> Field:
        """Return what is kept beside this file."""
        known = saved(RECORD)
        lines = {line["job"]: line for line in known["lines"]}
        return cls(known["sizes"], known["policy"], lines, tuple(known["fields"]))

    def keep(self) -> Path:
        """Write the record of what was asked for, compressed; return where."""
        lines = [self.kept[job] for job in self.asked]
        known = {"sizes": dict(self.sizes), "policy": self.policy, "fields": self.fields, "lines": lines}
        return save(RECORD, known)

    def close(self) -> None:
        """End the environments' processes."""
        for context in self._contexts.values():
            context.parts["environment"].close()

    def context(self, factor: float) -> BuildContext:
        """Return what is played in where hosts are trained with so many times their step size."""
        assert self.plan is not None, "who only reads plays nowhere"
        if factor not in self._contexts:
            own = self.plan.component("environment")
            changed = evolve(own, config={**own.config, "host_lr": own.config["host_lr"] * factor})
            components = tuple(changed if part is own else part for part in self.plan.components)
            self._contexts[factor] = build_environment(evolve(self.plan, components=components), load_index())
        return self._contexts[factor]

    def rule(self, name: str) -> Who:
        """Return an installed rule."""
        index = load_index()
        return Who(name, lambda: build_beside(resolve(index, "rule", name), index, self.context(1.0)))

    def learned(self) -> Who:
        """Return the policy."""
        return Who(f"policy {self.policy}", lambda: PlayerRule(_player(), deterministic=False))

    def schedule(self, rows: Sequence[Sequence[int]]) -> Who:
        """Return who acts by a schedule."""
        return Who(f"schedule {digest(rows)}", lambda: Schedule(self.context(1.0).actions, rows))

    def wandering(self) -> Who:
        """Return who draws a schedule."""
        return Who("wandering", lambda: Wandering(self.context(1.0).actions))

    def batch(
        self, name: str, episodes: Sequence[tuple[int, Who]], factor: float = 1.0, schedules: bool = False
    ) -> Line:
        """Return what came of a batch of episodes, which are played where they are not on record."""
        numbers, whos = [number for number, _ in episodes], [who.name for _, who in episodes]
        job = f"{name} by {digest(whos)} on {numbers}, step size × {factor}"
        if job not in self.kept:
            if self.path is None:
                raise ValueError(f"{RECORD} has no '{job}'")
            context = self.context(factor)
            rules = [who.make() for _, who in episodes]
            watching = Watching(rules, [derived_seed(job, env) for env in range(len(rules))], self.fields)
            environment, masks = context.parts["environment"], context.parts["masks"]
            played = play(environment, masks, watching, options={"instances": numbers})
            line = {
                "job": job,
                "accuracy": environment.outcomes()[ACCURACY].tolist(),
                "returns": played.returns(),
                "kinds": ["{}-{}, {}".format(*problem(told)) for told in played.tags()],
                "world": watching.world,
            }
            if schedules:
                line["schedules"] = [recorded(context.actions, played, env) for env in range(len(rules))]
            append_lines(self.path, [line], within=self.path.parent)
            self.kept[job] = line
        self.asked.append(job)
        self.done += len(numbers)
        self.show(self.done, max(self.done, self.total))
        return self.kept[job]

    def all(self, name: str, episodes: Sequence[tuple[int, Who]], factor: float = 1.0) -> list[Line]:
        """Return what came of episodes: an instance and who plays it."""
        found: list[Line] = []
        envs = self.sizes["envs"]
        for first in range(0, len(episodes), envs):
            some = episodes[first : first + envs]
            line = self.batch(name, [*some, *[some[-1]] * (envs - len(some))], factor)
            found += [{key: line[key][env] for key in ("accuracy", "kinds", "world")} for env in range(len(some))]
        return found

    def repeated(self, name: str, episodes: Sequence[tuple[int, Who]]) -> Values:
        """Return accuracies of episodes in every repeat, `[episodes, R]`."""
        repeats = self.sizes["repeats"]
        factors = [1 + APART * (repeat - (repeats - 1) / 2) for repeat in range(repeats)]
        return np.array([[line["accuracy"] for line in self.all(name, episodes, factor)] for factor in factors]).T

    def searched(self, kind: str, seed: int, numbers: Sequence[int]) -> list[list[int]]:
        """Return the best schedule that a search finds on instances of a kind, by return as a policy learns."""
        envs, episodes = self.sizes["envs"], self.sizes["episodes"]
        draws = np.random.default_rng(seed)

        def play_batch(batch: int, rows: Sequence[Any]) -> Line:
            whos = [self.wandering() if known is None else self.schedule(known) for known in rows]
            chosen = draws.choice(numbers, envs).tolist()
            name = f"search {seed} for {kind}, batch {batch}"
            return self.batch(name, [*zip(chosen, whos, strict=True)], schedules=rows[0] is None)

        return [list(row) for row in Search(max(1, episodes // envs), envs).run({}, play_batch).rows]


def _pretrained() -> RunDirectory:
    return RunDirectory.open(offers()["pretrained"].path)


@cache
def _player() -> Any:
    return load(_pretrained(), device="cpu")
