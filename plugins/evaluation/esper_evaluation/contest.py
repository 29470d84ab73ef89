"""Contests: all arms play the same instances. What is on record is not played again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from attrs import evolve, frozen

from esper_core.api.player import Player, load_player
from esper_core.composition.build import build_beside, build_environment, resolve_device
from esper_core.composition.plan import Plan, PlanDescription, describe_plan, owners_of
from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.foreign import close_safely
from esper_core.contracts.plain import NotPlain, plain
from esper_core.contracts.protocols import Environment, Evaluable, MaskProvider, Replayable, Rule
from esper_core.policy.boundary import check_tensor
from esper_core.registry.index import Index
from esper_core.runs.shards import Shards, Share
from esper_evaluation.arms import FIXED, GREEDY, MATCHED, POLICY, REPLAY, SELECTOR, Arm
from esper_evaluation.circumstances import circumstances, set_aside
from esper_evaluation.entrants import Entrant
from esper_evaluation.programme import Played, Programme, check_told, made_of
from esper_evaluation.progress import OnProgress, Progress
from esper_evaluation.records import Drawing, Key, Records, check_result, folder_of
from esper_evaluation.schedule import Matched, Schedule, search_batch
from esper_evaluation.search import Found, Search
from esper_evaluation.selecting import Selecting, Watching
from esper_evaluation.selector import Selector
from esper_testing.player import ForeignRule, PlayerRule, Separately, derived_seed, play


@frozen
class _Job:
    """An episode to be played."""

    key: Key
    rule: Rule
    topology: Any = None

    @property
    def chosen(self) -> str | None:
        """The rule that was chosen for it, where one was."""
        return self.rule.chosen if isinstance(self.rule, Selecting) else None


class Contest:
    """An environment with the policies that play in it. Close it after use.

    Args:
        entrants: The policies, all of one plan.
        index: What is installed.
        device: torch device instead of the plan's.
        envs: Episodes that are played side by side, instead of as many as in training. No result depends on it but that
            of the search.
        by: What the environment has to say in words about every episode, such as its host.

    Attributes:
        notes: Differences between checkpoints and what is installed that do not matter enough to refuse; and why
            episodes on record are not used, where there are any but none of these circumstances.

    Raises:
        UserError: the environment cannot be evaluated.
        CheckpointMismatch: a checkpoint is damaged or does not fit what is installed.
    """

    def __init__(
        self,
        entrants: Sequence[Entrant],
        index: Index,
        *,
        device: str | None = None,
        envs: int | None = None,
        by: str | None = None,
    ) -> None:
        first = entrants[0].plan
        self._by = by
        self.plan: Plan = evolve(first, device=device or first.device, envs=envs or first.envs)
        self.index, self.entrants = index, {entrant.seed: entrant for entrant in entrants}
        self.device = resolve_device(self.plan.device)
        self.known: PlanDescription = describe_plan(self.plan, index)
        self.name = self.plan.component("environment").name
        if not self.known.outcomes:
            raise self._not_evaluable("its description names no outcomes")
        torch.set_num_threads(self.plan.threads)
        self.context = build_environment(self.plan, index)
        self.owners = owners_of(self.plan, index)
        self.environment: Environment = self.context.parts["environment"]
        self.masks: MaskProvider = self.context.parts["masks"]
        try:
            needed = [name for name in vars(Evaluable) if not name.startswith("_")]
            lacking = [name for name in needed if not hasattr(self.environment, name)]
            if lacking or not isinstance(self.environment, Evaluable):
                raise self._not_evaluable(f"it lacks {', '.join(lacking)}")
            self.evaluable: Evaluable = self.environment
            self._players = {e.seed: load_player(e.header, index, device=self.device, plan=e.plan) for e in entrants}
            self._about = circumstances(self.plan, index, self.device, self.context.parts["environment"])
        except BaseException:
            self.close(lambda _: None)  # what has failed before says more
            raise
        self.place = entrants[0].run.path
        self.folder = folder_of(self.place, self._about)
        noted = [note for player in self._players.values() for note in player.notes]
        self.notes = [*dict.fromkeys(noted), *set_aside(self.folder.parent, self._about)]

    def player(self, seed: int) -> Player:
        """Return the player of a policy seed."""
        return self._players[seed]

    def close(self, say: Callable[[str], None]) -> None:
        """Free the environment's processes; `say` takes in one line where that fails."""
        close_safely(self.owners["environment"], self.environment.close, say)

    def run(
        self,
        arms: Sequence[Arm],
        instances: int,
        batches: int,
        on_progress: OnProgress,
        *,
        first: int = 0,
        draws: int = 0,
    ) -> Played:
        """Play what is not on record, and return what all arms achieved.

        Args:
            arms: Who takes part.
            instances: How many held-out instances are played.
            batches: Batches that the search for `best-fixed` may play.
            on_progress: Called after every step.
            first: The first of them, among those that the environment holds out.
            draws: Batches of training instances that rules play, so that the best can be chosen there.

        Raises:
            UserError: episodes do not say what they are to be told apart by.
            EsperError: the records are damaged or cannot be written, or an environment, a rule or a policy fails.
        """
        programme = self._programme(arms, instances, batches, first, draws)
        records = Records.open(self.place, self._about)
        missing = programme.missing(records)
        found, selector = self._perform(programme, records, on_progress)
        return programme.played(records, self.known.outcomes, found, selector, missing, self.folder)

    def run_share(
        self,
        arms: Sequence[Arm],
        instances: int,
        batches: int,
        shards: Shards,
        share: Share,
        on_progress: OnProgress,
        *,
        first: int = 0,
        draws: int = 0,
    ) -> tuple[int, int]:
        """Play what is not on record of a share, into its file among `shards`; return how many episodes of how many.

        All else is as for `run`.

        Raises:
            UserError: as for `run`; or another process works on the share, or it was begun under other circumstances.
            EsperError: as for `run`.
        """
        whole = self._programme(arms, instances, batches, first, draws)
        mine = whole.shares(share.of, max(1, len(self.known.sides)))[share.number - 1]
        under = {"about": self._about, "instances": whole.instances, "rules": whole.rules}
        with shards.doing(share, under, check_result) as shard:
            records = Records.in_shard(self.place, self._about, shard)
            missing = mine.missing(records)
            self._perform(mine, records, on_progress)
            return missing, mine.count

    def _programme(self, arms: Sequence[Arm], instances: int, batches: int, first: int, draws: int) -> Programme:
        """Return what is to be played, on held-out instances."""
        owner = self.owners["environment"]
        with owner.doing("holding out instances"):
            numbers = self.evaluable.held_out(first + instances)
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise owner.breach(f"held_out returned {numbers!r:.80}, not a list of whole numbers")
        if len(set(numbers)) != (wanted := first + instances):
            raise PluginError(f"The environment '{self.name}' holds out {len(set(numbers))} of {wanted} instances.")
        checkpoints = {seed: entrant.version for seed, entrant in self.entrants.items()}
        return Programme.whole(
            arms, checkpoints, made_of(arms), Search(batches, self.plan.envs), numbers[first:], draws
        )

    def _perform(
        self, programme: Programme, records: Records, on_progress: OnProgress
    ) -> tuple[Found | None, Selector | None]:
        """Play what is not on record; return what the search found, and the tree, where there are any."""
        self._check_told([line["tags"] for line in records.lines.values()])
        progress = Progress(programme.missing(records), self.environment.horizon, on_progress)
        for drawing in programme.undrawn(records):
            self._draw(next(arm for arm in programme.arms if arm.name == drawing.arm), drawing, records, progress)
        *phases, last = programme.phases()
        for phase in phases:
            self._play_all(_missing(phase, records), records, progress)
        found = self._search(programme, records, progress) if programme.scheduled else None
        selector = programme.selector(records, self.known.world, self.known.outcomes[0])
        choosing = None if selector is None else self._selecting(selector, programme.arms)
        self._play_all(_missing(last, records), records, progress, found, choosing)
        return found, selector

    def _selecting(self, selector: Selector, arms: Sequence[Arm]) -> Callable[[], Selecting]:
        """Return what makes a rule that chooses among the rules that take part."""
        rules = {arm.name: arm for arm in arms if arm.name in selector.rules}
        return lambda: Selecting(selector, lambda name: self._rule(rules[name]))

    def watch(self, arm: Arm, look: Callable[[], None]) -> int:
        """Play an arm's episode on the first held-out instance in the only environment; return how often was looked.

        `look` is called before each step, and in the end. The arm is a policy or a rule.
        """
        (instance,) = self.evaluable.held_out(1)
        seed = next(iter(self.entrants)) if arm.learned else None
        job = self._job(arm, Key(arm.name, "", seed, instance), None, None)
        owners = self.owners
        looked = 0

        def on_step(t: int) -> None:
            nonlocal looked
            with owners["environment"].doing("being filmed"):
                look()
            looked += 1

        rule = Separately([job.rule], [derived_seed(arm.name, seed, instance)])
        options = {"instances": [instance]}
        rows = self.known.rows
        played = play(self.environment, self.masks, rule, options=options, on_step=on_step, owners=owners, rows=rows)
        on_step(len(played.actions))
        return looked

    # Who plays ------------------------------------------------------------------------------------------------------

    def _rule(self, arm: Arm) -> Rule:
        """Return an arm's rule, for one environment."""
        assert arm.rule is not None, "only rules choose by themselves"
        rule = build_beside(arm.rule, self.index, evolve(self.context, num_envs=self.known.rows))
        return ForeignRule(rule, arm.rule.owner, self.known.actions)

    def _job(
        self,
        arm: Arm,
        key: Key,
        records: Records | None,
        found: Found | None,
        choosing: Callable[[], Selecting] | None = None,
    ) -> _Job:
        """Return an episode with who plays it; arms that need no others need no records."""
        spec = self.known.actions
        if arm.rule is not None:
            return _Job(key, self._rule(arm))
        if arm.name == SELECTOR:
            assert choosing is not None, "the tree comes before its rules are played"
            return _Job(key, choosing())
        if key.seed is None:
            assert found is not None, "the search comes before its schedule is played"
            return _Job(key, Schedule(spec, found.rows))
        player = self._players[key.seed]
        source = {} if records is None else records.lines.get(key._replace(arm=arm.needs), {})
        makers: dict[str, Callable[[], _Job]] = {
            POLICY: lambda: _Job(key, PlayerRule(player, deterministic=False)),
            GREEDY: lambda: _Job(key, PlayerRule(player, deterministic=True)),
            MATCHED: lambda: _Job(key, Matched(spec, source["ops"])),
            REPLAY: lambda: _Job(key, Schedule(spec, ()), topology=source["topology"]),
        }
        return makers[arm.name]()

    # Playing --------------------------------------------------------------------------------------------------------

    def _play_all(
        self,
        wanted: Sequence[tuple[Arm, Key]],
        records: Records,
        progress: Progress,
        found: Found | None = None,
        choosing: Callable[[], Selecting] | None = None,
    ) -> None:
        """Play episodes, as many side by side as there are environments, and write each batch down."""
        jobs = [self._job(arm, key, records, found, choosing) for arm, key in wanted]
        for first in range(0, len(jobs), self.plan.envs):
            records.add(self._play(jobs[first : first + self.plan.envs], progress))

    def _play(self, batch: Sequence[_Job], progress: Progress) -> dict[Key, dict[str, Any]]:
        """Play a batch and return what is to be written down; nothing is done in environments that are left over."""
        filled = [*batch, *[batch[-1]] * (self.plan.envs - len(batch))]
        options: dict[str, Any] = {"instances": [job.key.instance for job in filled]}
        if batch[0].key.arm == REPLAY:
            options["topologies"] = [job.topology for job in filled]
        idle = Schedule(self.known.actions, ())
        rules = [*(job.rule for job in batch), *[idle] * (len(filled) - len(batch))]
        seeds = [derived_seed(job.key.arm, job.key.seed, job.key.instance) for job in filled]
        names = ", ".join(dict.fromkeys(job.key.arm for job in batch))
        played = play(
            self.environment,
            self.masks,
            Separately(rules, seeds),
            options=options,
            on_step=lambda t: progress.step(t, len(batch), names),
            owners=self.owners,
            rows=self.known.rows,
        )
        outcomes, topologies, tags = self._outcomes(), self._topologies(), played.tags()
        lengths = played.match_lengths()
        self._check_told(tags[: len(batch)])
        progress.add(len(batch), names)
        # What a match of several rows did has no use: no arm is made of it.
        root = self.known.actions.root if self.known.rows == 1 else None
        return {
            job.key: {
                "outcomes": {name: value[env] for name, value in outcomes.items()},
                "length": lengths[env],
                "ops": None if root is None else played.column(root, env),
                "topology": topologies[env],
                "tags": tags[env],
                "chosen": job.chosen,
            }
            for env, job in enumerate(batch)
        }

    def _draw(self, arm: Arm, drawing: Drawing, records: Records, progress: Progress) -> None:
        """Let a rule play the training instances that a batch draws, the same for all rules, and write that down."""
        envs, what = self.plan.envs, f"{arm.name} on training instances"
        jobs = [self._job(arm, Key(arm.name, "", None, env), None, None) for env in range(envs)]
        seeds = [derived_seed("training", drawing.batch, env) for env in range(envs)]
        watching = Watching([job.rule for job in jobs], seeds, self.known.world)
        play(
            self.environment,
            self.masks,
            watching,
            seed=derived_seed("training", drawing.batch),
            on_step=lambda t: progress.step(t, envs, what),
            owners=self.owners,
            rows=self.known.rows,
        )
        records.add_drawing(drawing, self._outcomes(), watching.world)
        progress.add(envs, what)

    def _outcomes(self) -> dict[str, list[float]]:
        """Return what came of the episodes that have ended: name → one number per environment."""
        owner = self.owners["environment"]
        with owner.doing("saying what came of the episodes"):
            said = self.evaluable.outcomes()
        names = [outcome.name for outcome in self.known.outcomes]
        if not isinstance(said, Mapping) or not set(names) <= set(said):
            raise owner.breach(f"its outcomes are {said!r:.200}, not a table with {', '.join(names)}")
        for name in names:
            value = said[name]
            check_tensor(owner, f"its outcome '{name}'", value, "float64", (self.plan.envs,))
            if not bool(value.isfinite().all()):
                raise owner.breach(f"its outcome '{name}' is {value.tolist()}, not {self.plan.envs} finite numbers")
        return {name: said[name].tolist() for name in names}

    def _topologies(self) -> list[Any]:
        """Return what was made permanent in each environment, in plain values; None where nothing can be."""
        if not self.known.replayable:
            return [None] * self.plan.envs
        owner, environment = self.owners["environment"], self.context.parts["environment"]
        if not isinstance(environment, Replayable):
            raise owner.breach("its description says it is replayable, and it lacks topologies")
        with owner.doing("saying what was made permanent"):
            said: Any = environment.topologies()
        if not isinstance(said, list) or len(said) != self.plan.envs:
            raise owner.breach(f"topologies returned a {type(said).__name__}, not a list of {self.plan.envs}")
        try:
            topologies: list[Any] = plain(said)
        except NotPlain as problem:
            raise owner.breach(f"what topologies returned cannot be saved: {problem}") from problem
        return topologies

    def _check_told(self, tags: Sequence[Mapping[str, str]]) -> None:
        check_told(self._by, self.name, tags)

    def _search(self, programme: Programme, records: Records, progress: Progress) -> Found:
        """Go on with the search, and write down each batch."""
        what = f"search for {FIXED}"

        def play_batch(batch: int, chosen: Sequence[Any]) -> dict[str, Any]:
            on_step = lambda t: progress.step(t, self.plan.envs, what)  # noqa: E731
            line = search_batch(self.environment, self.masks, batch, chosen, on_step, self.owners)
            records.add_batch(programme.batches()[batch], line)
            progress.add(self.plan.envs, what)
            return line

        return programme.search.run(programme.searched(records), play_batch)

    def _not_evaluable(self, why: str) -> UserError:
        return UserError(
            f"The environment '{self.name}' cannot be evaluated: {why}.",
            hint="Its author can make it an esper_core.contracts.protocols.Evaluable; see docs/evaluation.md.",
        )


def _missing(phase: Sequence[tuple[Arm, Key]], records: Records) -> list[tuple[Arm, Key]]:
    return [(arm, key) for arm, key in phase if key not in records.lines]
