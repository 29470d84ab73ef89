"""Evaluating runs, from Python and for the command. Torch is imported when episodes are played."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esper_core.api.installed import give_local, load_installed
from esper_core.api.planning import Options, Slots, read_options, slots_text
from esper_core.api.training import as_run, process_left_as_found
from esper_core.api.viewing import draw_bar, in_notebook
from esper_core.contracts.errors import ConfigError
from esper_core.registry.index import Index
from esper_core.runs.brought import to_write
from esper_core.runs.directory import RunDirectory
from esper_core.runs.shards import Share, ShareDone
from esper_evaluation.arms import filmed_arm
from esper_evaluation.evaluation import Evaluation
from esper_evaluation.filming import check_film
from esper_evaluation.looked import IQM, PAIRED, look_at
from esper_evaluation.merging import merge
from esper_evaluation.question import Question, ask

if TYPE_CHECKING:
    from esper_evaluation.contest import Contest
    from esper_evaluation.programme import Played
    from esper_evaluation.progress import OnProgress

FIGURE_FILE = "comparison.png"
MIN_INSTANCES = 2
Run = RunDirectory | str | Path


def evaluate(
    runs: Run | Sequence[Run],
    *,
    at: int | str = "last",
    arms: Sequence[str] | None = None,
    instances: int = 20,
    fresh: int | None = None,
    again: bool = False,
    primary: str = IQM,
    search_episodes: int | None = None,
    by: str | None = None,
    slots: Slots = None,
    uses: Mapping[str, str] | None = None,
    options: Options = (),
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
        fresh: The first of them, counted among those that the environment holds out from 0 on; nobody may have looked
            at any before. Without it they are the first ones.
        again: Take them although somebody has; the record says so.
        primary: What decides: "iqm", the difference of the IQMs to the rule that is best on these instances; or
            "paired-mean", the mean of the differences, kind by kind, to the rule that is best on training instances.
        search_episodes: Episodes of the search for `best-fixed`; as many as the policy was trained with without.
        by: A word that the environment says of an episode, such as "host": arms are compared within its groups too.
        slots: A count, or ids such as `["r0c0", "r0c2"]`: all arms play with these instead of those that the policy
            was trained with. Its network must provide `network:any-slots`.
        uses: Where all arms play, unlike in training: kind → name, such as `{"task": "synthetic"}`. The policy stays.
        options: Options there, as `plan` takes them.
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
    counts = ("instances", instances, MIN_INSTANCES), ("search_episodes", search_episodes, 1), ("fresh", fresh, 0)
    for name, count, least in counts:
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
            raise ConfigError(f"{name} cannot be {count!r:.80}.", hint=f"It is a whole number, {least} or more.")
    found = [to_write(as_run(run, out), Path(out)) for run in several]
    for run in found:
        give_local(use, run.plan)
    index, recipes = load_installed()
    try:
        return evaluate_runs(
            ask(
                found,
                index,
                recipes,
                at=str(at),
                arms=arms,
                instances=instances,
                search_episodes=search_episodes,
                fresh=fresh,
                primary=primary,
                again=again,
                slots=slots_text(slots),
                uses=uses or {},
                options=read_options(options),
            ),
            index,
            named=arms is not None,
            by=by,
            record=None if record is None else Path(record),
            device=device,
            on_progress=on_progress or (_bar() if in_notebook() else _silent),
            warn=lambda message: logging.getLogger("esper").warning("%s", message),
        )
    except KeyboardInterrupt as error:
        error.add_note("Every batch of episodes that was finished is kept; the same call plays the others.")
        raise


def evaluate_runs(
    question: Question,
    index: Index,
    *,
    named: bool,
    by: str | None,
    record: Path | None,
    device: str | None,
    on_progress: OnProgress,
    warn: Callable[[str], None],
) -> Evaluation:
    """Answer a question; `warn` takes in one line at a time. Otherwise as `evaluate`; `named` says that arms were."""
    starring = None
    if record is not None:
        check_film(record)
        starring = filmed_arm(question.arms, named=named)
    entrants, chosen = question.entrants, question.arms
    notes: list[str] = []
    with process_left_as_found(), _contest(question, index, by, device, notes, warn) as contest:
        look_at(entrants[0].run, question.look)
        played = contest.run(
            chosen,
            question.look.count,
            question.search.batches,
            on_progress,
            first=question.look.first,
            draws=question.draws,
        )
    film = None
    if record is not None and starring is not None:
        from esper_evaluation.recording import film_episode

        with process_left_as_found():
            film_episode(starring, entrants, index, record, device=device)
        film = record
    return _concluded(question, played, by, film, notes)


def evaluate_share(
    question: Question,
    index: Index,
    share: Share,
    *,
    by: str | None,
    device: str | None,
    on_progress: OnProgress,
    warn: Callable[[str], None],
) -> ShareDone:
    """Play a share of what a question asks for into a file of its own, and go on with it where it was left.

    Raises:
        UserError: another process plays it, or it was begun under other circumstances.
        EsperError: as for `evaluate`.
    """
    shards = question.shards
    with process_left_as_found(), _contest(question, index, by, device, [], warn) as contest:
        look_at(question.entrants[0].run, question.look)
        done = contest.run_share(
            question.arms,
            question.look.count,
            question.search.batches,
            shards,
            share,
            on_progress,
            first=question.look.first,
            draws=question.draws,
        )
    return ShareDone(share, *done, shards.path(share))


def merge_shares(question: Question, *, by: str | None) -> Evaluation:
    """Answer a question with what its shards have brought; no torch is imported.

    Raises:
        UserError: shards are missing, unfinished, or do not belong together.
        EsperError: a shard or the records are damaged, or cannot be written.
    """
    played = merge(
        question.shards, question.entrants, question.arms, question.search, question.known, by, question.draws
    )
    # Not before: what is refused has looked at nothing. Who played the shards has said so.
    look_at(question.entrants[0].run, question.look)
    return _concluded(question, played, by, None, ())


@contextmanager
def _contest(
    question: Question,
    index: Index,
    by: str | None,
    device: str | None,
    notes: list[str],
    warn: Callable[[str], None],
) -> Iterator[Contest]:
    """Yield a contest, and say what is to be said about it; that is added to the notes."""
    from esper_evaluation.contest import Contest

    def note(message: str) -> None:
        notes.append(message)
        warn(message)

    contest = Contest(question.entrants, index, device=device, by=by)
    try:
        for message in contest.notes:
            note(message)
        yield contest
    finally:
        contest.close(note)


def _concluded(
    question: Question, played: Played, by: str | None, film: Path | None, notes: Sequence[str]
) -> Evaluation:
    """Compare what was played, and draw it."""
    from esper_evaluation.comparison import compare
    from esper_evaluation.figure import draw

    known, arms = question.known, question.arms
    found = (played.values, played.instances, played.seeds, played.tags)
    comparison = compare(
        arms,
        known.outcomes,
        *found,
        by,
        together=max(1, len(known.sides)),
        declared=question.look.primary,
        training=played.training if question.look.primary == PAIRED else None,
    )
    figure = played.folder / FIGURE_FILE
    draw(comparison, [arm.name for arm in arms if arm.learned], figure)
    return Evaluation(
        comparison,
        question.look,
        question.entrants,
        played.found,
        played.selector,
        played.chosen,
        question.trained,
        played.played,
        played.folder,
        figure,
        film,
        tuple(notes),
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
