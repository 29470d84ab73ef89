"""What the metadata of one installed distribution says. Damaged metadata says nothing, and concerns no other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

from esper_core.contracts.components import normalise_name
from esper_core.registry.hookspecs import ENTRY_POINT_GROUP
from esper_core.system.json_files import parse_json
from esper_core.system.machine import installed_version
from esper_core.system.packages import CORE_DISTRIBUTION, LOCAL_DISTRIBUTION, declarations, pinned, pip_install


def read(distribution: metadata.Distribution, key: str) -> str:
    """Return an entry of a distribution's metadata, or an empty string."""
    # What a missing key or a missing METADATA file gives differs between versions of Python: None or an error.
    with contextlib.suppress(Exception):
        return distribution.metadata[key] or ""
    return ""


def name_of(distribution: metadata.Distribution) -> str:
    """Return the normalised name of a distribution, or an empty string."""
    return normalise_name(str(read(distribution, "Name")))


def text_of(distribution: metadata.Distribution, file: str) -> str:
    """Return the text of a file among a distribution's metadata, or an empty string."""
    with contextlib.suppress(Exception):
        return distribution.read_text(file) or ""
    return ""


def has_plugins(distribution: metadata.Distribution) -> bool:
    """Return whether a distribution has entry points of ours, whether or not they can be read."""
    return f"[{ENTRY_POINT_GROUP}]" in text_of(distribution, "entry_points.txt")


def plugin_packages(distribution: metadata.Distribution) -> set[str]:
    """Return the top-level packages of a distribution's plugins."""
    with contextlib.suppress(Exception):
        points = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
        return {point.module.partition(".")[0] for point in points}
    return set()


def source_folder(distribution: metadata.Distribution) -> str | None:
    """Return the source folder of an editable installation; None for any other."""
    with contextlib.suppress(Exception):
        found = parse_json(text_of(distribution, "direct_url.json").encode(), "direct_url.json")
        if found["dir_info"]["editable"]:
            return url2pathname(urlsplit(found["url"]).path)
    return None


def reinstall_advice(versions: Iterable[tuple[str, str]]) -> str:
    """Return the line that installs distributions, given by name and version, and whom to ask about unknown ones.

    Names come from records, which anybody may have written: only what an installed distribution of the core or of a
    plugin is, or requires, is put into the line.
    """
    owners = {CORE_DISTRIBUTION, *map(name_of, filter(has_plugins, metadata.distributions()))}
    declared = {name for owner in owners for name, _, _ in declarations(owner)}
    known, unknown, scripts = [], [], list[str]()
    for name, version in dict.fromkeys(versions):
        pin = pinned(name, version) if installed_version(name) or normalise_name(name) in declared else None
        if name == LOCAL_DISTRIBUTION:
            scripts.append(
                "A class or an object of the script that began the run is needed: give it again, as in "
                "esper_core.load(run, use={KIND: ...}), or make a plugin of it: esper plugins new NAME --kind KIND"
            )
        elif pin is not None:
            known.append(pin)
        else:
            unknown.append(f"'{name}' {version}")
    asked = f"Nothing installed here knows {' and '.join(unknown)}: ask whoever made the run where to get it."
    return " ".join([pip_install(known)] * bool(known) + [asked] * bool(unknown) + scripts[:1])
