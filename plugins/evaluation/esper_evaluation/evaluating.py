"""Evaluating runs, from Python and for the command. Torch is imported when episodes are played."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esper_core.api.installed import give_local, load_installed
from esper_core.api.planning import Slots, slots_text
from esper_core.api.training import as_run, process_left_as_found
from esper_core.api.viewing import draw_bar, in_notebook
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import describe_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import ConfigError, UserError
from esper_core.contracts.slots import SlotConfig
from esper_core.registry.index import Index
from esper_core.runs.compatibility import check_fit
from esper_core.runs.directory import RunDirectory
from esper_evaluation.arms import choose_arms, filmed_arm
from esper_evaluation.entrants import choose_entrants, search_batches, training_episodes
from esper_evaluation.evaluation import Evaluation
from esper_evaluation.filming import check_film

if TYPE_CHECKING:
    from esper_evaluation.contest import OnProgress

FIGURE_FILE = "comparison.png"
MIN_INSTANCES = 2

Run = RunDirectory | str | Path


def evaluate(
    runs: Run | Sequence[Run],
    *,
    at: int | str = "last",
    arms: Sequence[str] | None = None,
    instances: int = 20,
    search_episodes: int | None = None,
    by: str | None = None,
    slots: Slots = None,
    record: str | Path | None = None,
    out: str | Path = "runs",
    device: str | None = None,
    use: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Compare a trained policy with rules and schedules, as `esper evaluate` does; see docs/evaluation.md.

    Episodes are kept in the folder of the first run, batch by batch, and those on record are not played again. Nothing
    is printed: warnings go to the logger "esper", and are notes of what is returned.

    Args:
        runs: A run, its path, or the beginning of its name in `out`; several are seeds of one policy.
        at: Checkpoint: "last", "best" (the highest return), or the number of an update.
        arms: Arms that take part; all that apply without.
        instances: Held-out instances that each arm plays, 2 or more.
        search_episodes: Episodes of the search for `best-fixed`; as many as the policy was trained with without.
        by: A word that the environment says of an episode, such as "host": arms are compared within its groups too.
        slots: A count, or ids such as `["r0c0", "r0c2"]`: all arms play with these instead of those that the policy
            was trained with. Its network must provide `network:any-slots`.
        record: Where to write a film of an episode, *.gif or *.mp4: of the first arm that is named, or `policy-greedy`.
        out: Directory of runs, for names.
        device: torch device instead of the run's own.
        use: Classes and objects of one's own that the runs were begun with: kind → class or object.
        on_progress: Called after every step with the episodes played, a float, with how many there are to play, and
            with the names of the arms that play. Without it a notebook shows a bar.

    Raises:
        UserError: there is no such run, checkpoint or arm; the runs are not seeds of one policy; or the environment
            cannot be evaluated.
        CheckpointMismatch: a checkpoint is damaged, or does not fit what is installed.
        PluginError: an environment, a rule or a policy fails or breaks its contract.
        EsperError: the records are damaged, or cannot be written.
    """
    several = list(runs) if isinstance(runs, Sequence) and not isinstance(runs, str) else [runs]
    if isinstance(arms, str) or not all(isinstance(name, str) for name in arms or ()):
        raise ConfigError(f"arms cannot be {arms!r:.80}.", hint='Write a list, such as ["policy", "static"].')
    for name, count, least in (("instances", instances, MIN_INSTANCES), ("search_episodes", search_episodes, 1)):
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
            raise ConfigError(f"{name} cannot be {count!r:.80}.", hint=f"It is a whole number, {least} or more.")
    found = [as_run(run, out) for run in several]
    for run in found:
        give_local(use, run.plan)
    index, recipes = load_installed()
    try:
        return evaluate_runs(
            found,
            index,
            recipes,
            at=str(at),
            arms=arms,
            instances=instances,
            search_episodes=search_episodes,
            by=by,
            slots=slots_text(slots),
            record=None if record is None else Path(record),
            device=device,
            on_progress=on_progress or (_bar() if in_notebook() else _silent),
            warn=lambda message: logging.getLogger("esper").warning("%s", message),
        )
    except KeyboardInterrupt as error:
        error.add_note("Every batch of episodes that was finished is kept; the same call plays the others.")
        raise


def evaluate_runs(
    runs: Sequence[RunDirectory],
    index: Index,
    recipes: Recipes,
    *,
    at: str,
    arms: Sequence[str] | None,
    instances: int,
    search_episodes: int | None,
    by: str | None,
    slots: str | None,
    record: Path | None,
    device: str | None,
    on_progress: OnProgress,
    warn: Callable[[str], None],
) -> Evaluation:
    """Evaluate runs with what is installed; `warn` takes in one line at a time. Otherwise as `evaluate`."""
    if not runs:
        raise UserError("There is no run to evaluate.", hint="Name one or more.")
    entrants = choose_entrants(runs, at, None if slots is None else SlotConfig.parse(slots))
    plan = entrants[0].plan
    for entrant in entrants:
        check_fit(entrant.header, entrant.plan, index)
    known, environment = describe_plan(plan, index), find_planned(index, plan.component("environment"))
    chosen = choose_arms(arms, index, known, environment, recipes.pins)
    together = max(1, len(known.sides))
    if instances % together:
        raise ConfigError(
            f"{instances} instances leave a seed with one side: {environment} plays each from {together}.",
            hint=f"Use --instances {instances + 1}.",
        )
    trained = training_episodes(entrants, known.horizon)
    batches = search_batches(entrants, trained if search_episodes is None else search_episodes)

    starring = None
    if record is not None:
        check_film(record)
        starring = filmed_arm(chosen, named=arms is not None)
    notes: list[str] = []

    def note(message: str) -> None:
        notes.append(message)
        warn(message)

    with process_left_as_found():
        from esper_evaluation.comparison import compare
        from esper_evaluation.contest import Contest
        from esper_evaluation.figure import draw

        contest = Contest(entrants, index, device=device, by=by)
        try:
            for message in contest.notes:
                note(message)
            played = contest.run(chosen, instances, batches, on_progress)
        finally:
            contest.close(note)
        found = (played.values, played.instances, played.seeds, played.tags)
        comparison = compare(chosen, known.outcomes, *found, by, together=together)
        if record is not None and starring is not None:
            from esper_evaluation.recording import film_episode

            film_episode(starring, entrants, index, record, device=device)
    figure = played.folder / FIGURE_FILE
    draw(comparison, [arm.name for arm in chosen if arm.learned], figure)
    return Evaluation(
        comparison, entrants, played.found, trained, played.played, played.folder, figure, record, tuple(notes)
    )


def _silent(done: float, total: int, what: str) -> None:
    pass


def _bar() -> OnProgress:
    """Return what draws a bar in a notebook, once something is played."""
    drawn: Any = None

    def show(done: float, total: int, what: str) -> None:
        nonlocal drawn
        if drawn is None:
            drawn = draw_bar(total, 0)
        drawn.progress = done

    return show
