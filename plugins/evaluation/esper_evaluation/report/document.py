"""A page: everything in one file, without scripts and without a network. It knows nothing of what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from esper_core.contracts.errors import UserError
from esper_core.system.files import check_creatable, replace_synced, writing
from esper_core.system.printable import visible
from esper_evaluation.report import charts
from esper_evaluation.report.charts import LineChart, ShareChart
from esper_evaluation.report.figures import (
    Facts,
    HeatMap,
    Intervals,
    Link,
    Notice,
    Picture,
    Table,
    Timeline,
    Topology,
    short,
)

ELSEWHERE = "Choose another place."
MARK = b'<meta name="generator" content="esper report">'
"""What every page begins with, so that nothing else is written over."""

Figure = LineChart | ShareChart | HeatMap | Timeline | Topology | Table | Picture | Facts | Intervals | Notice


@frozen
class Tile:
    """A figure at the top of the page."""

    label: str
    value: str
    note: str = ""


@frozen
class Chapter:
    """A heading, what it is about, and its figures. Without figures, `text` says why."""

    name: str
    title: str
    text: str
    figures: Sequence[Figure]


@frozen
class Document:
    """What a page says.

    Attributes:
        kicker, title, subtitle, origin: Its head: what kind of page it is, of what, made of what, from where.
        name: What it is about, for the title of the window.
    """

    kicker: str
    title: str
    subtitle: str
    name: str
    origin: str
    tiles: Sequence[Tile]
    chapters: Sequence[Chapter]

    def render(self) -> str:
        """Return the page."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            # Every text is escaped, whatever the name of the template: it may come from anywhere.
            autoescape=True,
            loader=PackageLoader("esper_evaluation.report"),
            undefined=StrictUndefined,
            # What turns the direction of writing or is no text at all would forge a page, or could not be written.
            finalize=lambda value: visible(value) if type(value) is str else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["short"] = short
        environment.globals["charts"] = charts
        environment.tests["link"] = lambda value: isinstance(value, Link)
        return environment.get_template("report.html.jinja").render(document=self)


def check_replaceable(path: Path) -> None:
    """Check that a page can be written to a path, before it is made.

    Raises:
        UserError: there is a file that is not a report.
        EsperError: nothing can be written there.
    """
    with writing(path, ELSEWHERE):
        check_creatable(path)
        if path.exists() and MARK not in path.read_bytes()[:1000]:
            raise UserError(f"{path} is there already, and is not a report.", hint=ELSEWHERE)


def write_page(html: str, path: Path) -> None:
    """Write a page; raises EsperError where it cannot be, and one that was there before stays."""
    with writing(path, ELSEWHERE):
        # The name of a folder need not be text; what no encoding knows is shown with a backslash.
        replace_synced(path, html.encode("utf-8", "backslashreplace"))
