"""The pages that follow from the code.

    python -m docs.generate            # or: make docs
    python -m docs.generate --check    # fails where a page is not what the code says

Only what the repository brings is written down, whatever else is installed.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from docs.generate.commands import commands
from docs.generate.configuration import configuration
from docs.generate.kinds import kind_page, overview
from docs.generate.metrics import metrics
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index

DOCS = Path(__file__).parents[1]


def pages() -> dict[Path, str]:
    """Return path → text of every generated page."""
    index = own_index()
    found = {
        DOCS / "kinds" / "README.md": overview(index),
        DOCS / "metrics.md": metrics(index),
        DOCS / "configuration.md": configuration(index),
        DOCS / "cli.md": commands(),
    }
    for kind in index.kinds.values():
        found[DOCS / "kinds" / f"{kind.name}.md"] = kind_page(kind, index)
    return found


@cache
def own_index() -> Index:
    """Return the index of the core and the plugins of this repository."""
    texts = [path.read_text(encoding="utf-8") for path in DOCS.parent.glob("plugins/*/pyproject.toml")]
    return load_index(only=[tomllib.loads(text)["project"]["name"] for text in texts])
