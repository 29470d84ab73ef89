"""Playing a policy on the same training instances again and again, to tell luck from instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from attrs import asdict, frozen
from torch import Tensor

from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import Masks, State
from esper_core.learning.boundary import take_reset, take_step
from esper_core.registry.index import Index
from esper_core.system.files import make_folder, writing
from esper_core.system.json_files import append_lines, cut, read_lines
from esper_core.system.shape import structured
from esper_evaluation.contest import Contest, OnProgress
from esper_evaluation.entrants import Entrant
from esper_evaluation.statistics import Values
from esper_testing.player import PlayerRule, Separately, derived_seed

REPEATS_FILE = "repeats.jsonl"


@frozen
class Repeat:
    """An episode; the shape of a line of the file.

    Attributes:
        version: Digest of the checkpoint that played.
        instance: Number of the training instance.
        repeat: Which of its episodes, from 0 on.
        total: Sum of the rewards.
        discounted: The same, discounted as in training; where time was up, with what the critic expects from there on.
        value: What the critic expected of that at the start.
    """

    version: str
    instance: int
    repeat: int
    total: float
    discounted: float
    value: float


@frozen
class Repeated:
    """Episodes of a policy, R on each of I instances: arrays `[I, R]`.

    Attributes:
        played: Episodes that were not on record.
    """

    total: Values
    discounted: Values
    value: Values
    played: int


class _Valued(PlayerRule):
    """A player as a rule, that keeps what its critic expected at the start, and says what it expects now.

    `told` is what critics alone are told of the state, `[1, P]`.
    """

    told: Tensor | None = None

    def reset(self, num_envs: int) -> None:
        self.first: Tensor | None = None
        super().reset(num_envs)

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        if self.first is None:
            self.first = self.expected(state)
        return super().__call__(state, masks, generator)

    def expected(self, state: State) -> Tensor:
        """Return what the critic expects, `[1]`, in units of reward."""
        return self._player.values(state, self.told).double().cpu()


def repeat(
    entrant: Entrant,
    index: Index,
    *,
    instances: int,
    episodes: int,
    device: str | None,
    on_progress: OnProgress,
    warn: Callable[[str], None],
) -> Repeated:
    """Play a policy as it acts in training on the training instances 0 to I − 1, each R times.

    Episodes are kept beside those of evaluations, batch by batch, and those on record are not played again. What comes
    of one depends on instance and repeat alone.

    Raises:
        UserError: the environment cannot be evaluated, plays several rows in a match, or holds these instances out.
        CheckpointMismatch: the checkpoint is damaged or does not fit what is installed.
        EsperError: what is on record is damaged or cannot be written, or a part fails.
    """
    contest = Contest([entrant], index, device=device)
    try:
        for note in contest.notes:
            warn(note)
        if contest.known.rows > 1:
            hint = "It is for environments whose rows are on their own."
            raise UserError(f"A match of '{contest.name}' has {contest.known.rows} rows.", hint=hint)
        if instances > (first := contest.evaluable.held_out(1)[0]):
            raise UserError(f"Instances from {first:,} on are held out.", hint=f"Use --instances {first} or fewer.")
        path, place = contest.folder / REPEATS_FILE, contest.place
        with writing(contest.folder, "Make the run's directory writable, or copy the run."):
            make_folder(contest.folder, place)
        lines = list(read_lines(path, partial(structured, Repeat)))
        cut(path, lines[-1].end if lines else 0, within=place)
        known = {(r.version, r.instance, r.repeat): r for r in (structured(Repeat, line.entry) for line in lines)}
        wanted = [(entrant.version, i, r) for i in range(instances) for r in range(episodes)]
        missing = [key for key in wanted if key not in known]
        on_progress(0, len(missing), "")
        for begin in range(0, len(missing), contest.plan.envs):
            batch = missing[begin : begin + contest.plan.envs]
            found = [Repeat(*key, *told) for key, told in zip(batch, _play(contest, entrant, batch), strict=False)]
            append_lines(path, map(asdict, found), within=place)
            known |= dict(zip(batch, found, strict=True))
            on_progress(begin + len(batch), len(missing), "")
        total, discounted, value = (
            np.array([getattr(known[key], name) for key in wanted]).reshape(instances, episodes)
            for name in ("total", "discounted", "value")
        )
        return Repeated(total, discounted, value, len(missing))
    finally:
        contest.close(warn)


def _play(contest: Contest, entrant: Entrant, batch: Sequence[tuple[str, int, int]]) -> list[tuple[float, ...]]:
    """Return sum of rewards, discounted return and first value of each episode of a batch, and of what fills it up."""
    environment, owner, gamma = contest.environment, contest.owners["environment"], contest.plan.train["gamma"]
    filled = [*batch, *[batch[-1]] * (contest.plan.envs - len(batch))]
    rules = [_Valued(contest.player(entrant.seed), deterministic=False) for _ in filled]
    together = Separately(rules, [derived_seed("repeat", instance, again) for _, instance, again in filled])
    said = environment.state_spec, environment.actions, len(filled)
    with owner.doing("starting episodes"):
        found: Any = environment.reset(options={"instances": [instance for _, instance, _ in filled]})
    state, _ = take_reset(owner, found, *said)
    _tell(rules, found[1])
    together.reset(len(filled))
    running, generator = torch.ones(len(filled), dtype=torch.bool), torch.Generator()
    total, discounted = torch.zeros(2, len(filled), dtype=torch.float64)
    for step in range(environment.horizon):
        with contest.owners["masks"].doing(f"saying what is legal at step {step}"):
            legal = contest.masks(state)
        actions = together(state, legal, generator)
        with owner.doing(f"taking step {step}"):
            found = environment.step(actions)
        stepped = take_step(owner, found, *said)
        _tell(rules, found[4])
        state, rewards = stepped.state, torch.where(running, stepped.reward.double().cpu(), 0.0)
        total += rewards
        discounted += gamma**step * rewards
        cut_off = running & stepped.truncated.cpu() & ~stepped.terminated.cpu()
        for env in cut_off.nonzero().flatten().tolist():
            own = {name: value[env : env + 1] for name, value in state.items()}
            discounted[env] += gamma ** (step + 1) * rules[env].expected(own)[0]
        running &= ~(stepped.terminated | stepped.truncated).cpu()
        if not bool(running.any()):
            break
    first = [float(rule.first[0]) for rule in rules if rule.first is not None]
    return list(zip(total.tolist(), discounted.tolist(), first, strict=True))


def _tell(rules: Sequence[_Valued], info: Mapping[str, Any]) -> None:
    """Let each rule know what critics alone are told of its row."""
    if (told := info.get("privileged")) is not None:
        for row, rule in enumerate(rules):
            rule.told = told[row : row + 1]
