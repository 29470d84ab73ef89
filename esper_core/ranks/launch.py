"""What a launcher, such as torchrun, says in the environment: which of how many processes this is. No torch."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from attrs import frozen

from esper_core.contracts.errors import UserError

INTERFACE = "GLOO_SOCKET_IFNAME"
"""The variable that names the network interface that ranks talk over."""

SAID = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@frozen
class Launch:
    """One process of several that were started together.

    Attributes:
        rank: Its number, from 0 on.
        count: How many there are.
        nodes: Machines that they are on, as far as the launcher says.
        address, port: Where they find each other.
        opens: Whether this one opens the port; torchrun does it itself.
    """

    rank: int
    count: int
    nodes: int
    address: str
    port: int
    opens: bool

    @classmethod
    def here(cls, variables: Mapping[str, str] = os.environ) -> Launch | None:
        """Return what was said; None for a process that plays alone.

        Raises:
            UserError: a variable is missing, or is no number.
        """
        if variables.get("WORLD_SIZE", "1") == "1" or "RANK" not in variables:
            return None
        if missing := [name for name in SAID if name not in variables]:
            raise UserError(
                f"RANK and WORLD_SIZE are set, but {' and '.join(missing)} not, so ranks cannot find each other.",
                hint="Start them with torchrun, or unset RANK to train in one process.",
            )
        try:
            rank, count, port = (int(variables[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
            nodes = int(variables.get("GROUP_WORLD_SIZE", "1"))
        except ValueError as error:
            raise UserError(
                f"RANK, WORLD_SIZE, MASTER_PORT or GROUP_WORLD_SIZE is no number: {error}.",
                hint="Start ranks with torchrun, which sets them.",
            ) from error
        opens = rank == 0 and variables.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        return cls(rank, count, nodes, variables["MASTER_ADDR"], port, opens)

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.count}"

    def check_interface(self, variables: Mapping[str, str] = os.environ) -> None:
        """Raise UserError where ranks are on several machines and gloo would talk over one that stays within this."""
        if self.nodes < 2:
            return
        name = variables.get(INTERFACE)
        found = _own_address() if name is None else name
        loopback = found.startswith("127.") or found in ("", "::1", "localhost") or found == "lo"
        if loopback:
            said = (
                f"{INTERFACE} is '{name}'" if name is not None else f"this machine's name means '{found or 'nothing'}'"
            )
            raise UserError(
                f"Ranks are on {self.nodes} machines, but {said}, which other machines cannot reach.",
                hint=f"Name one network interface that they share, such as {INTERFACE}=eth0, on every machine.",
            )


def _own_address() -> str:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
