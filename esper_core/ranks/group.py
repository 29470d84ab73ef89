"""Ranks that talk: rank 0 tells, all others hear and answer. What is sent is pickled, tensors as arrays."""

from __future__ import annotations

import io
import pickle
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from esper_core.contracts.errors import EsperError, UserError
from esper_core.contracts.foreign import described
from esper_core.ranks.launch import INTERFACE, Launch

JOIN_SECONDS = 60.0
"""How long ranks wait for each other at the start."""

LEAST_MINUTES = 30
"""How long ranks wait for each other at least later on; it is a minute a step where that is longer.

Whoever ends closes its connections, which is heard at once. This is for machines that vanish from the network.
"""


SIGNAL_SECONDS = 0.5
"""How long a signal is waited for once another rank is gone."""


class Ranks:
    """All ranks, as one of them sees them."""

    def __init__(self, launch: Launch, group: Any) -> None:
        self.rank, self.count, self._group = launch.rank, launch.count, group

    def tell(self, value: Any) -> None:
        """Send something from rank 0 to all others."""
        sent = _written(value)
        with self._talking():
            dist.broadcast(torch.tensor([len(sent)]), 0, group=self._group)
            dist.broadcast(sent, 0, group=self._group)

    def hear(self) -> Any:
        """Return what rank 0 tells; waits for it."""
        size = torch.zeros(1, dtype=torch.int64)
        with self._talking():
            dist.broadcast(size, 0, group=self._group)
            found = torch.zeros(int(size), dtype=torch.uint8)
            dist.broadcast(found, 0, group=self._group)
        return _read(found)

    def answer(self, value: Any) -> None:
        """Send something to rank 0, which gathers what all others answer."""
        sent = _written(value)
        with self._talking():
            dist.send(torch.tensor([len(sent)]), 0, group=self._group)
            dist.send(sent, 0, group=self._group)

    def gather(self, own: Any) -> list[Any]:
        """Return what rank 0 has itself, and what the others answer, in the order of ranks; waits for all."""
        found, size = [own], torch.zeros(1, dtype=torch.int64)
        for rank in range(1, self.count):
            with self._talking(rank):
                dist.recv(size, rank, group=self._group)
                answer = torch.zeros(int(size), dtype=torch.uint8)
                dist.recv(answer, rank, group=self._group)
            found.append(_read(answer))
        return found

    @contextmanager
    def _talking(self, rank: int | None = None) -> Iterator[None]:
        other = ("another rank" if self.rank == 0 else "rank 0") if rank is None else f"rank {rank}"
        try:
            yield
        except RuntimeError as error:
            # Whoever stops all ranks sends a signal to each: it is on its way, and says better what has happened.
            time.sleep(SIGNAL_SECONDS)
            raise EsperError(
                f"Rank {self.rank} of {self.count} waited for {other}, which is gone.",
                hint="What ended it is said above, or on the machine where it ran.",
            ) from error


@contextmanager
def joined(launch: Launch, steps: int) -> Iterator[Ranks]:
    """Let ranks find each other; they are parted in the end. `steps` are those of a rollout.

    Raises:
        UserError: an address cannot be reached; the message names it, and the variable that says it.
    """
    launch.check_interface()
    _check_reachable(launch)
    try:
        group = _in_time(lambda: _connected(launch, steps))
    except (RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(
            f"{str(launch).capitalize()} found {launch.address}:{launch.port}, but not the others: "
            f"{described(error).splitlines()[0]}.",
            hint=f"Were all {launch.count} started? {INTERFACE} names the network interface that they talk over, one "
            "that all machines share.",
        ) from error
    try:
        yield Ranks(launch, group)
    finally:
        dist.destroy_process_group()


def _connected(launch: Launch, steps: int) -> Any:
    """Return the group of all ranks."""
    seconds = timedelta(seconds=JOIN_SECONDS)
    store = dist.TCPStore(launch.address, launch.port, launch.count, launch.opens, seconds)
    known = dist.PrefixStore(_session(store, launch), store)
    dist.init_process_group("gloo", timeout=seconds, store=known, rank=launch.rank, world_size=launch.count)
    # Waiting for a rollout takes longer than finding each other.
    return dist.new_group(timeout=timedelta(minutes=max(LEAST_MINUTES, steps)), backend="gloo")


def _session(store: Any, launch: Launch) -> str:
    """Return a name that all ranks, and none that was there before them, have agreed on.

    A launcher that starts ranks again lets them meet where those before have met, whose addresses are still there. So
    every rank leaves a name; rank 0 says which it has found until each has found its own among them.

    Raises:
        TimeoutError: some do not come.
    """
    own, deadline = secrets.token_hex(8), time.monotonic() + JOIN_SECONDS
    others = range(1, launch.count)
    if launch.rank:
        store.set(f"esper/{launch.rank}", own)
    while time.monotonic() < deadline:
        if launch.rank:
            if store.check(["esper/session"]):
                session = store.get("esper/session").decode()
                if session.split()[launch.rank] == own:
                    store.set(f"{session}/{launch.rank}", own)
                    return session
        elif store.check([f"esper/{rank}" for rank in others]):
            session = " ".join([own, *(store.get(f"esper/{rank}").decode() for rank in others)])
            store.set("esper/session", session)
            if store.check([f"{session}/{rank}" for rank in others]):
                return session
        time.sleep(0.02)
    raise TimeoutError(f"they did not come within {JOIN_SECONDS:.0f} seconds")


def _in_time(call: Callable[[], Any]) -> Any:
    """Return what a call returns; raises TimeoutError where it takes too long: not all that waits has an end."""
    found: list[Any] = []

    def attempt() -> None:
        try:
            found.append((call(), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=attempt, daemon=True, name="esper-joining")
    thread.start()
    thread.join(3 * JOIN_SECONDS)
    if not found:
        raise TimeoutError(f"they did not answer within {3 * JOIN_SECONDS:.0f} seconds")
    result, error = found[0]
    if error is not None:
        raise error
    return result


def _check_reachable(launch: Launch) -> None:
    """Raise UserError where ranks cannot meet: the port may open later, but the address must exist."""
    if launch.opens:
        return
    deadline, last = time.monotonic() + JOIN_SECONDS, ""
    while True:
        try:
            socket.create_connection((launch.address, launch.port), timeout=5.0).close()
            return
        except OSError as error:
            last = error.strerror or str(error)
            hopeless = isinstance(error, socket.gaierror)
        if hopeless or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    raise UserError(
        f"{str(launch).capitalize()} cannot reach the others at {launch.address}:{launch.port}: {last}.",
        hint="MASTER_ADDR and MASTER_PORT say where they meet: the machine of rank 0, by a name or address that all "
        "machines know, and a port that nothing else uses. With torchrun it is --rdzv-endpoint or --master-addr.",
    )


class _Pickler(pickle.Pickler):
    """Writes tensors as arrays: a view of one takes its storage with it otherwise."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to write a value, where it is a tensor."""
        if type(value) is Tensor:
            return torch.from_numpy, (value.detach().to("cpu").contiguous().numpy(),)
        return NotImplemented


def _written(value: Any) -> Tensor:
    into = io.BytesIO()
    _Pickler(into, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return torch.frombuffer(into.getbuffer(), dtype=torch.uint8)


def _read(found: Tensor) -> Any:
    return pickle.loads(found.numpy().tobytes())
