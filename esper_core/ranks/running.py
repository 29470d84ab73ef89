"""Rank 0 joins the others, who follow it to the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from esper_core.composition.build import ONLY_TRAINING, build_parts
from esper_core.composition.plan import Plan, describe_plan, owners_of
from esper_core.contracts.errors import EsperError
from esper_core.contracts.share import Share
from esper_core.learning.randomness import seed_all
from esper_core.learning.rollout import room_for
from esper_core.learning.session import check_rollout, open_session
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.ranks.agreement import Facts, difference, different_processors
from esper_core.ranks.group import Ranks, joined
from esper_core.ranks.launch import Launch
from esper_core.ranks.leading import Leader
from esper_core.ranks.playing import End, SharePlayer
from esper_core.registry.index import Index


class Leading:
    """Rank 0, joined with the others: opens the session of a run; `records` are what is recorded of every rank."""

    def __init__(self, ranks: Ranks, facts: list[Facts]) -> None:
        self._ranks = ranks
        self.records = [known.record() for known in facts]
        self.warnings = different_processors(facts)

    def open_session(self, plan: Plan, index: Index) -> Trainer:
        """Return the trainer of all rows, of which every rank plays a share."""
        known = describe_plan(plan, index)
        return open_session(plan, index, Leader(self._ranks, plan.envs * known.rows, known.rows))


@contextmanager
def leading(launch: Launch, plan: Plan, index: Index) -> Iterator[Leading]:
    """Join the other ranks as rank 0, tell them what is trained, and find out whether they have the same installed.

    Raises:
        UserError: they cannot be reached, or have something else installed; the message has a table then.
    """
    with joined(launch, describe_plan(plan, index).horizon) as ranks:
        ranks.tell(plan.to_json())
        facts = ranks.gather(Facts.here(plan, index))
        wrong = difference(facts)
        ranks.tell(wrong is None)
        if wrong is not None:
            raise wrong
        yield Leading(ranks, facts)


def follow(launch: Launch, index: Index) -> bool:
    """Do what rank 0 says until nothing follows; return whether anything did: it refuses where ranks differ.

    Raises:
        EsperError: what went wrong here, with which rank this is; rank 0 hears of it, for this one ends.
    """
    try:
        # The horizon is not known yet; a rank that waits for rank 0 waits for its learning.
        with joined(launch, 0) as ranks:
            plan = Plan.from_json(ranks.hear())
            ranks.answer(Facts.here(plan, index))
            if not ranks.hear():
                return False
            _follow(ranks, plan, index)
            return True
    except EsperError as error:
        error.message = f"{str(launch).capitalize()}: {error.message}" if not _says(error, launch) else error.message
        error.args = (error.message,)
        raise


def _says(error: EsperError, launch: Launch) -> bool:
    return error.message.lower().startswith(str(launch))


def _follow(ranks: Ranks, plan: Plan, index: Index) -> None:
    known, owners = describe_plan(plan, index), owners_of(plan, index)
    config = check_rollout(plan, known)
    total, restarts = plan.envs * known.rows, bool(config.rollout_steps)
    share = Share.of(ranks.rank, ranks.count, total, known.rows)
    torch.set_num_threads(plan.threads)
    seed_all(plan.seed)
    only = {*plan.kinds, *known.uses} - {*ONLY_TRAINING}
    parts: dict[str, Any] = build_parts(plan, index, only=only, share=share)
    environment = parts["environment"]
    seed_all(plan.seed)
    policy = Policy(parts["network"], parts["critic"], environment.actions, plan.precision, owners)
    rollout = room_for(policy, parts["features"].schema, config, share.count, environment.horizon)
    player = SharePlayer(
        policy,
        parts["features"],
        parts["masks"],
        environment,
        rollout,
        share,
        owners,
        restarts=restarts,
        rows=known.rows,
    )
    try:
        while not isinstance(order := ranks.hear(), End):
            ranks.answer(player.obey(order))
    finally:
        environment.close()
