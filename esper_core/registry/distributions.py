"""What the metadata of one installed distribution says. What is damaged there says nothing, and concerns no other."""

from __future__ import annotations

import contextlib
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from esper_core.contracts.components import normalise_name
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.system.json_files import parse_json


def read(distribution: metadata.Distribution, key: str) -> str:
    """Return an entry of a distribution's metadata, or an empty string."""
    # What a missing key or a missing METADATA file gives differs between versions of Python: None or an error.
    with contextlib.suppress(Exception):
        return distribution.metadata[key] or ""
    return ""


def name_of(distribution: metadata.Distribution) -> str:
    """Return the normalised name of a distribution, or an empty string."""
    with contextlib.suppress(Exception):
        return normalise_name(read(distribution, "Name"))
    return ""


def text_of(distribution: metadata.Distribution, file: str) -> str:
    """Return the text of a file among a distribution's metadata, or an empty string."""
    with contextlib.suppress(Exception):
        return distribution.read_text(file) or ""
    return ""


def has_plugins(distribution: metadata.Distribution) -> bool:
    """Return whether a distribution has entry points of ours, whether or not they can be read."""
    return f"[{ENTRY_POINT_GROUP}]" in text_of(distribution, "entry_points.txt")


def plugin_packages(distribution: metadata.Distribution) -> set[str]:
    """Return the top-level packages that a distribution's plugins lie in."""
    with contextlib.suppress(Exception):
        points = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
        return {point.module.partition(".")[0] for point in points}
    return set()


def source_folder(distribution: metadata.Distribution) -> str | None:
    """Return the folder that an editable installation takes its code from; None for any other."""
    with contextlib.suppress(Exception):
        found = parse_json(text_of(distribution, "direct_url.json").encode(), "direct_url.json")
        if found["dir_info"]["editable"]:
            return url2pathname(urlsplit(found["url"]).path)
    return None
