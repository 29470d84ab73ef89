"""Ranks without a launcher: processes that are forked, which find each other at a port of this machine."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.runs import forking

PATIENCE = 90.0
"""Seconds that ranks may take on a busy machine."""


@frozen
class Rank:
    """A rank, and the file of what it says."""

    process: ForkProcess
    file: Path

    @property
    def said(self) -> str:
        return self.file.read_text() if self.file.exists() else ""


def launch(count: int, target: Callable[[int], Any], folder: Path, **variables: str) -> list[Rank]:
    """Call a function in so many forked processes, with their number, where a launcher's variables are set."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    told = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **variables}

    def call(rank: int) -> None:
        os.environ.update({**told, "RANK": str(rank)})
        target(rank)

    folder.mkdir(parents=True, exist_ok=True)
    ranks = []
    for rank in range(count):
        file = folder / f"rank-{rank}-{time.monotonic_ns()}"
        ranks.append(Rank(forking.start(call, rank, said=file), file))
    return ranks


def ended(ranks: Sequence[Rank], patience: float = PATIENCE) -> list[int]:
    """Return the statuses of ranks once all have ended; whoever has not is killed, and that is an error."""
    deadline = time.monotonic() + patience
    for rank in ranks:
        rank.process.join(max(0.0, deadline - time.monotonic()))
    late = [number for number, rank in enumerate(ranks) if rank.process.exitcode is None]
    for number in late:
        ranks[number].process.kill()
        ranks[number].process.join()
    if late:
        said = "\n".join(f"--- rank {number}\n{rank.said}" for number, rank in enumerate(ranks))
        raise TimeoutError(f"ranks {late} did not end:\n{said}")
    return [rank.process.exitcode or 0 for rank in ranks]


def command(*words: str) -> Callable[[int], None]:
    """Return a function that runs the command `esper` and ends the process."""

    def call(rank: int) -> None:
        from esper_core.cli import app

        sys.argv[0] = "esper"
        app.main(list(words))

    return call


def trained(count: int, folder: Path, *words: str, **variables: str) -> list[Rank]:
    """Train with so many ranks, which all must succeed; one is a process without a launcher."""
    told = variables if count > 1 else {"WORLD_SIZE": "1", **variables}
    ranks = launch(count, command("train", "--plain", "--no-tensorboard", *words), folder / "said", **told)
    statuses = ended(ranks)
    assert not any(statuses), "\n".join([str(statuses), *(rank.said for rank in ranks)])
    return ranks
