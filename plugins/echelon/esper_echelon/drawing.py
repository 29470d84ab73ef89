"""A match seen from above, as pictures for films. Pillow draws them, and is imported when the first is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_core.contracts.errors import MissingPackage
from esper_core.system.packages import has_package, pip_install
from esper_echelon.simulation.ground import LAVA, WATER
from esper_echelon.simulation.tables import (
    CHASSIS,
    DECISION,
    DT,
    SCORE_TO_WIN,
    SMOKE_RADIUS,
    SMOKE_SECONDS,
)

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

    from esper_echelon.simulation.arena import Arena
    from esper_echelon.simulation.happenings import Happenings

PICTURES = "esper-echelon[pictures]"
"""What brings all that is drawn with."""

PACE = 1 / DECISION
"""Frames a second: one per decision."""

SIDE, HEAD = 560, 56
"""Pixels of the map's side, and of what stands above it; both are even, as films want it."""

SMOOTH = 2
"""Pixels that one pixel of the picture is made of, on each side."""

FLOOR, POOL, HOT = (236, 233, 226), (176, 205, 226), (235, 164, 120)
LOW, HIGH = (188, 182, 172), (104, 98, 90)
PAPER, INK, PALE, SMOKE = (250, 249, 246), (40, 40, 44), (150, 148, 142), (120, 122, 128)
TEAMS = ((31, 98, 173), (190, 52, 38))
"""Colours of the learner's team and of the other."""

TALLEST = 6.0
"""Height from which on an obstacle is as dark as any, m."""

_WIDTH = np.array([known.width for known in CHASSIS])
_HP = np.array([known.hp for known in CHASSIS])


def require_pillow() -> None:
    """Raise MissingPackage, with the line that installs it, where nothing can be drawn."""
    if not has_package("PIL"):
        raise MissingPackage("Films of matches need Pillow, which is not installed.", hint=pip_install([PICTURES]))


@frozen
class _Sheet:
    """Where things of a map lie in a picture."""

    ink: ImageDraw
    size: float

    @property
    def scale(self) -> float:
        """Pixels per metre."""
        return SMOOTH * SIDE / self.size

    def at(self, xy: NDArray[np.float64]) -> tuple[float, float]:
        """Return the pixel of a position in metres from the centre; y points up."""
        half = self.size / 2
        return (xy[0] + half) * self.scale, SMOOTH * HEAD + (half - xy[1]) * self.scale

    def disc(self, xy: Any, radius: float, **how: Any) -> None:
        """Draw a circle."""
        x, y = self.at(np.asarray(xy))
        r = max(radius * self.scale, 2.0)
        self.ink.ellipse((x - r, y - r, x + r, y + r), **how)

    def line(self, start: Any, end: Any, fill: tuple[int, ...], width: float) -> None:
        """Draw a line; its width is in pixels of the picture."""
        self.ink.line((*self.at(start), *self.at(end)), fill=fill, width=round(width * SMOOTH))


def picture(arena: Arena, match: int = 0, happenings: Happenings | None = None) -> NDArray[np.uint8]:
    """Return how a match looks, uint8 `[616, 560, 3]`, north up.

    Args:
        arena: Whose match it is.
        match: Its number.
        happenings: Those of the last decision; who hit whom is drawn as a line.
    """
    from PIL import Image, ImageDraw

    size = int(arena.grounds.size[match])
    whole = Image.new("RGB", (SMOOTH * SIDE, SMOOTH * (SIDE + HEAD)), PAPER)
    ground = Image.fromarray(_ground(arena, match, size))
    whole.paste(ground.resize((SMOOTH * SIDE, SMOOTH * SIDE), Image.Resampling.NEAREST), (0, SMOOTH * HEAD))
    sheet = _Sheet(ImageDraw.Draw(whole, "RGBA"), size)
    _zone(sheet, arena, match)
    if happenings is not None:
        _hits(sheet, arena, match, happenings)
    _mechs(sheet, arena, match)
    _flights(sheet, arena, match)
    _smoke(sheet, arena, match)
    _head(sheet.ink, arena, match)
    return np.asarray(whole.resize((SIDE, SIDE + HEAD), Image.Resampling.BOX))


def _ground(arena: Arena, match: int, size: int) -> NDArray[np.uint8]:
    heights = arena.grounds.heights[match, :size, :size].astype(np.float64)[..., None]
    kinds = arena.grounds.kinds[match, :size, :size]
    colours = np.array([FLOOR, POOL, HOT], np.float64)[np.select([kinds == WATER, kinds == LAVA], [1, 2], 0)]
    share = np.clip(heights / TALLEST, 0, 1)
    walls = (1 - share) * np.array(LOW) + share * np.array(HIGH)
    return np.ascontiguousarray(np.where(heights > 0, walls, colours).round().astype(np.uint8)[::-1])


def _zone(sheet: _Sheet, arena: Arena, match: int) -> None:
    control = float(arena.control[match])
    colour = TEAMS[control < 0] if control else PALE
    radius = float(arena.grounds.radius[match])
    strength = round(30 + 60 * abs(control))
    sheet.disc(arena.grounds.zone[match], radius, fill=(*colour, strength), outline=(*colour, 220), width=2 * SMOOTH)


def _hits(sheet: _Sheet, arena: Arena, match: int, happenings: Happenings) -> None:
    damage, position = happenings.damage, arena.mechs.position[match]
    for row in np.flatnonzero((damage.match == match) & (damage.source >= 0)).tolist():
        source = int(damage.source[row])
        colour = (*TEAMS[int(arena.roster.team[source])], 150)
        sheet.line(
            position[source], (damage.x[row], damage.y[row]), colour, 1 + min(float(damage.amount[row]), 50) / 20
        )


def _mechs(sheet: _Sheet, arena: Arena, match: int) -> None:
    mechs, roster = arena.mechs, arena.roster
    chassis, hot = roster.chassis, mechs.heat[match] / mechs.capacity
    for place in np.flatnonzero(mechs.present[match]).tolist():
        colour, xy = TEAMS[int(roster.team[place])], mechs.position[match, place]
        radius = _WIDTH[chassis[place]] / 2
        if not mechs.alive[match, place]:
            for turn in ((1, 1), (1, -1)):
                arm = np.array(turn) * radius * 0.8
                sheet.line(xy - arm, xy + arm, (*colour, 120), 1.5)
            continue
        if mechs.paint[match, :, place].any():
            sheet.disc(xy, radius + 0.5, outline=(214, 150, 20, 255), width=SMOOTH)
        rim = (222, 120, 30) if hot[place] > 0.9 else INK
        down = mechs.fallen[match, place] > 0 or hot[place] > 1
        sheet.disc(xy, radius, fill=(*colour, 110 if down else 235), outline=(*rim, 255), width=SMOOTH)
        sheet.line(xy, xy + mechs.heading[match, place] * (radius + 0.7), (*INK, 255), 1.5)
        if roster.leads[place]:
            sheet.disc(xy, radius * 0.35, fill=(255, 255, 255, 230))
        _bar(sheet, xy, radius, float(mechs.hp[match, place] / _HP[chassis[place]]))


def _bar(sheet: _Sheet, xy: NDArray[np.float64], radius: float, share: float) -> None:
    """Draw what is left of a mech above it."""
    start = xy + np.array([-1.0, radius + 0.7])
    sheet.line(start, start + np.array([2.0, 0.0]), (255, 255, 255, 200), 3)
    sheet.line(
        start, start + np.array([2.0 * share, 0.0]), (60, 150, 70, 255) if share > 0.35 else (200, 60, 40, 255), 3
    )


def _flights(sheet: _Sheet, arena: Arena, match: int) -> None:
    flights = arena.flights
    for row in np.flatnonzero(flights.match == match).tolist():
        colour, xy = TEAMS[int(arena.roster.team[flights.source[row]])], flights.position[row, :2]
        speed = flights.velocity[row, :2]
        sheet.line(xy - speed * DT, xy, (*colour, 255), 2)
        sheet.disc(xy, 0.2, fill=(*INK, 255))


def _smoke(sheet: _Sheet, arena: Arena, match: int) -> None:
    clouds = arena.clouds
    for cloud in np.flatnonzero(clouds.left[match] > 0).tolist():
        strength = round(60 + 110 * clouds.left[match, cloud] / SMOKE_SECONDS)
        sheet.disc((clouds.x[match, cloud], clouds.y[match, cloud]), SMOKE_RADIUS, fill=(*SMOKE, strength))


def _head(ink: ImageDraw, arena: Arena, match: int) -> None:
    """Write time, score and who is left above the map."""
    from PIL import ImageFont

    wide, font = SMOOTH * SIDE, ImageFont.load_default(SMOOTH * 15)
    living = arena.mechs.alive[match].reshape(2, -1).sum(1)
    middle, room = wide / 2, SMOOTH * 34
    ink.rectangle((0, 0, wide, SMOOTH * HEAD - 1), fill=PAPER)
    ink.text((middle, SMOOTH * 16), f"{arena.clock[match] * DECISION:.0f} s", INK, font, anchor="mm")
    for team, (edge, sign) in enumerate(((0, 1), (wide, -1))):
        colour, score = TEAMS[team], float(arena.score[match, team])
        long = (middle - 2 * SMOOTH * 12) * min(score / SCORE_TO_WIN, 1.0)
        start = edge + sign * SMOOTH * 12
        anchor = "lm" if sign > 0 else "rm"
        words = f"{('blue', 'red')[team]}: {living[team]} left, {score:.1f} points"
        ink.text((start, SMOOTH * 16), words, colour, font, anchor=anchor)
        ends = sorted((start, start + sign * long))
        ink.rectangle((ends[0], room, ends[1], room + SMOOTH * 10), fill=colour)
        full = sorted((start, start + sign * (middle - 2 * SMOOTH * 12)))
        ink.rectangle((full[0], room, full[1], room + SMOOTH * 10), outline=PALE, width=SMOOTH)
