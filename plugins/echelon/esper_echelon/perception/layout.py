"""The 706 numbers that a mech sees: one layout from which constants, slices, names and widths follow."""

from __future__ import annotations

from itertools import accumulate

from attrs import frozen

from esper_echelon.simulation.tables import CHASSIS, SUITES, TIMERS

MAX_CONTACTS = max(suite.contacts for suite in SUITES)
MAX_SQUAD = max(suite.squad for suite in SUITES)

_CLASSES = tuple(f"is_{chassis.name}" for chassis in CHASSIS)

CONTACT = (
    *("x", "y", "z", "velocity_x", "velocity_y", "velocity_z", "sin_yaw", "cos_yaw"),
    *("hp", "heat", "stability", "fallen", "legged", "friendly", "hostile", "neutral"),
    *_CLASSES,
    *("painted", "visible", "lead_pitch", "closing", "crossing"),
)
SQUAD = ("x", "y", "z", "velocity_x", "velocity_y", "hp", "heat", "stability", "engaged", "leader")
EGO = (
    *("hp", "leg_hp", "heat", "headroom", "stability", "fallen", "legged", "shutdown", "sin_yaw", "cos_yaw"),
    *("velocity_x", "velocity_y", "velocity_z", *(f"{timer}_cooldown" for timer in TIMERS)),
    *("targeted", "under_fire", "painted", "incoming_missile", "damage_x", "damage_y"),
    *("in_zone", "zone_x", "zone_y", "zone_radius", "control", "score", "enemy_score", "time", "suppressed"),
)
DESCRIPTOR = (
    *(f"suite_{suite.name.replace('-', '_')}" for suite in SUITES),
    *("contact_slots", "range_factor", "fidelity", "detail"),
    *("sees_engaged", "gives_orders", "contact_reports", "much_intel"),
)
PANEL = ("contacts", "intel", "has_order", "squad", "threat", "friends", "alert", "detail")


@frozen
class Block:
    """One part of the observation: `rows` of `names`, from `start` on."""

    name: str
    rows: int
    names: tuple[str, ...]
    start: int = 0

    @property
    def size(self) -> int:
        """Numbers in it."""
        return self.rows * len(self.names)

    @property
    def at(self) -> slice:
        """Where it lies."""
        return slice(self.start, self.start + self.size)

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each number."""
        if self.rows == 1:
            return tuple(f"{self.name}.{name}" for name in self.names)
        return tuple(f"{self.name}.{row}.{name}" for row in range(self.rows) for name in self.names)


def _laid_out(*blocks: Block) -> tuple[Block, ...]:
    starts = accumulate((block.size for block in blocks), initial=0)
    return tuple(Block(b.name, b.rows, b.names, start) for b, start in zip(blocks, starts, strict=False))


BLOCKS = _laid_out(
    Block("contacts", MAX_CONTACTS, CONTACT),
    Block("contact_mask", MAX_CONTACTS, ("padding",)),
    Block("squad", MAX_SQUAD, SQUAD),
    Block("squad_mask", MAX_SQUAD, ("padding",)),
    Block("ego", 1, EGO),
    Block("descriptor", 1, DESCRIPTOR),
    Block("panel", 1, PANEL),
)
"""The blocks in their order. In both masks 1 is padding and 0 is real."""

CONTACTS_AT, CONTACT_MASK_AT, SQUAD_AT, SQUAD_MASK_AT, EGO_AT, DESCRIPTOR_AT, PANEL_AT = (b.at for b in BLOCKS)
FLAT_OBS_DIM = sum(block.size for block in BLOCKS)
SUITE_DESCRIPTOR_DIM = len(DESCRIPTOR)
COLUMNS = tuple(column for block in BLOCKS for column in block.columns)
